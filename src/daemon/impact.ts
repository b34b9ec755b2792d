/**
 * This file says what a policy that is not in force yet would do to tracked connections (`sgctl reload --dry-run`).
 *
 * It reads the flow tables in slices while the packet loop writes them. A flow that changes meanwhile may be counted
 * as it was a moment ago. It changes nothing.
 */
import { isUsed, ruleOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { admittedOrAudited, isAdmittedByName, NO_HEIR, openingGate, ruleAfter } from '../engine/revocation.ts'; // prettier-ignore
import type { Config } from '../config/config.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { Matcher, NO_RULE } from '../policy/match.ts';
import { readConnection, type Connection } from '../queries/connections.ts';
import type { Impact } from '../queries/reload-result.ts';
import { RuleBook } from '../queries/rule-book.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { scanEntries } from '../telemetry/flow-scan.ts';

/** Rules listed with how many connections of theirs would be cut. */
const RULES_MAX = 20;
/** Connections listed one by one. Further ones are only counted. */
const LISTED_MAX = 100;

/** What is to be planned; undefined: nothing. */
export interface Made {
  readonly config: Config | undefined;
}

export interface PlannedWith<M extends Made> {
  /** What was in force when it was made. */
  readonly before: Config;
  readonly generation: number;
  readonly made: M;
  readonly impact: Impact | undefined;
}

/**
 * @param policy the next policy, compiled with the ports and rule numbers in use
 * @param names of interfaces by port
 * @param textOf describes a rule by its number
 */
export async function assessImpact(
  tables: readonly FlowTable[],
  policy: CompiledPolicy,
  names: ReadonlyMap<number, string>,
  textOf: (rule: number) => string,
): Promise<Impact> {
  const matcher = new Matcher(policy);
  let kept = 0;
  let cut = 0;
  let keptButRefusedAnew = 0;
  const flowsCut = new Map<number, number>();
  const cutConnections: Connection[] = [];
  const refusedAnewConnections: Connection[] = [];
  await scanEntries(tables, (number, from, end) => {
    const table = tables[number];
    for (let flow = from; flow < end; flow++) {
      if (!isUsed(table, flow)) continue;
      if (ruleAfter(table, flow, policy, matcher) === NO_HEIR) {
        cut++;
        const rule = ruleOf(table, flow);
        flowsCut.set(rule, (flowsCut.get(rule) ?? 0) + 1);
        if (cutConnections.length < LISTED_MAX)
          cutConnections.push(readConnection(table, flow, names));
        continue;
      }
      kept++;
      const gate = openingGate(table, flow);
      if (isAdmittedByName(table, flow, policy, matcher)) continue;
      if (admittedOrAudited(table, flow, gate, policy, matcher) !== NO_RULE) continue;
      keptButRefusedAnew++;
      if (refusedAnewConnections.length < LISTED_MAX)
        refusedAnewConnections.push(readConnection(table, flow, names));
    }
  });
  const cutByRule = [...flowsCut]
    .sort(([rule, flows], [other, others]) => others - flows || rule - other)
    .slice(0, RULES_MAX)
    .map(([rule, flows]) => ({ rule: textOf(rule), flows }));
  return { kept, cut, keptButRefusedAnew, cutConnections, cutByRule, refusedAnewConnections };
}

/** How rules are told in an impact, by their numbers: with their group and direction. */
export function ruleTexts(observatory: Observatory): (number: number) => string {
  const book = new RuleBook(observatory);
  return (number) => {
    const rule = book.view(number);
    const place = rule?.group === undefined ? '' : `${rule.group.name} ${rule.direction}: `;
    return `${place}${rule?.text ?? `rule ${number}`}`;
  };
}
