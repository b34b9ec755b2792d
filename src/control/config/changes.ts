/** What differs between the configuration in force and the next one, in the words of those who wrote them. */
import { formatAddress } from '../../addr/address.ts';
import type { PolicyModel, Rule } from '../../policy/model.ts';
import { ruleText } from '../../policy/rules.ts';
import type { Problem } from '../../source/problem.ts';
import type { Config } from './config.ts';

/** Names and rules, sorted as they stand in the files; plain data for logs and `--json`. */
export interface Changes {
  readonly groups: NameChanges;
  readonly rules: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly kept: number;
  };
  readonly prefixLists: NameChanges;
  readonly interfaces: NameChanges;
}

export interface NameChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

export function hasChanges({ groups, rules, prefixLists, interfaces }: Changes): boolean {
  const names = [groups, prefixLists, interfaces].flatMap(({ added, removed, changed }) => [
    ...added,
    ...removed,
    ...changed,
  ]);
  return names.length + rules.added.length + rules.removed.length > 0;
}

export function compareConfigs(current: Config, next: Config): Changes {
  const currentRules = rulesOf(current.model);
  const nextRules = rulesOf(next.model);
  return {
    groups: compareNames(
      new Map(
        [...current.model.groups.values()].map((group) => [
          group.name,
          JSON.stringify([group.id, group.description, group.revocation]),
        ]),
      ),
      new Map(
        [...next.model.groups.values()].map((group) => [
          group.name,
          JSON.stringify([group.id, group.description, group.revocation]),
        ]),
      ),
    ),
    rules: {
      added: textsMissingFrom(currentRules, nextRules, next.model),
      removed: textsMissingFrom(nextRules, currentRules, current.model),
      kept: [...nextRules.keys()].filter((id) => currentRules.has(id)).length,
    },
    prefixLists: compareNames(prefixListsOf(current.model), prefixListsOf(next.model)),
    interfaces: compareNames(interfacesOf(current), interfacesOf(next)),
  };
}

/** What can't be changed while the daemon runs: an error for each, at the place in the next file. */
export function refuseFixedChanges(current: Config, next: Config, problems: Problem[]): void {
  const fixed: readonly (readonly [path: string, before: unknown, after: unknown])[] = [
    ['uplink', fixedUplink(current), fixedUplink(next)],
    ['conntrack', current.conntrack, next.conntrack],
    ['metrics', current.metrics, next.metrics],
  ];
  for (const [path, before, after] of fixed) {
    if (JSON.stringify(before) === JSON.stringify(after)) continue;
    problems.push({
      severity: 'error',
      code: 'needs-restart',
      at: { file: next.file, line: 0, column: 0 },
      path,
      message: `'${path}' can't be changed while the daemon runs`,
      hint: 'restart the daemon, or leave it as it was',
    });
  }
}

/** The uplink's device; its addresses and routes may change. */
function fixedUplink({ uplink }: Config): unknown {
  if (uplink === undefined) return undefined;
  const { kind, name, netnsPath, configure, persist } = uplink.device;
  return { kind, name, netnsPath, configure, persist };
}

function rulesOf(model: PolicyModel): ReadonlyMap<string, Rule> {
  const groups = [...model.groups.values()];
  return new Map(
    groups.flatMap(({ ingress, egress }) => [...ingress, ...egress]).map((rule) => [rule.id, rule]),
  );
}

function textsMissingFrom(
  present: ReadonlyMap<string, Rule>,
  wanted: ReadonlyMap<string, Rule>,
  model: PolicyModel,
): string[] {
  const groupOf = new Map(
    [...model.groups.values()].flatMap((group) =>
      [...group.ingress, ...group.egress].map((rule) => [rule.id, group.name]),
    ),
  );
  return [...wanted.values()]
    .filter((rule) => !present.has(rule.id))
    .map((rule) => `${groupOf.get(rule.id)} ${rule.direction}: ${ruleText(rule, model)}`);
}

function prefixListsOf({ prefixLists }: PolicyModel): ReadonlyMap<string, string> {
  return new Map(
    [...prefixLists.values()].map((list) => [
      list.name,
      JSON.stringify(list.entries.map(({ cidr }) => cidr)),
    ]),
  );
}

function interfacesOf({ model, interfaces }: Config): ReadonlyMap<string, string> {
  return new Map(
    interfaces.map(({ id, name, device }) => {
      const { addresses, groupIds, sourceDestCheck, connectionTracking } =
        model.interfaces.get(id)!;
      const { origin: _origin, netnsAt: _netnsAt, ...rest } = device;
      return [
        name,
        JSON.stringify([
          id,
          addresses.map(formatAddress),
          groupIds,
          sourceDestCheck,
          connectionTracking,
          rest,
        ]),
      ];
    }),
  );
}

function compareNames(
  current: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): NameChanges {
  return {
    added: [...next.keys()].filter((name) => !current.has(name)),
    removed: [...current.keys()].filter((name) => !next.has(name)),
    changed: [...next]
      .filter(([name, content]) => current.has(name) && current.get(name) !== content)
      .map(([name]) => name),
  };
}
