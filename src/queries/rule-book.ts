/** The rule book describes rules for people, by the numbers that flows, events and hits carry. */
import { RULE_PLATFORM } from '../conntrack/entry.ts';
import type { Rule, SecurityGroup } from '../policy/model.ts';
import { ruleText } from '../policy/rules.ts';
import type { NumberedRule } from '../policy/rule-numbers.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { PLATFORM_NAME } from './traffic-filter.ts';
import { groupLabel } from '../policy/vpcs.ts';

export interface RuleView {
  readonly id: string;
  /** `tcp 443 from 0.0.0.0/0`. */
  readonly text: string;
  readonly direction: 'ingress' | 'egress';
  /** Absent if the rule is no longer in force, or is no rule (`platform`). */
  readonly group?: { readonly id: string; readonly name: string };
  readonly description: string;
  /** It only audits: what it alone admits would be dropped. Absent: false. */
  readonly audit?: true;
  /** Absent if it is written in no file. */
  readonly origin?: {
    readonly file: string;
    readonly line: number;
    readonly logicalId?: string;
  };
}

const PLATFORM: RuleView = {
  id: PLATFORM_NAME,
  text: 'to the platform, which groups never filter',
  direction: 'egress',
  description: '',
};

export class RuleBook {
  private readonly observatory: Observatory;

  constructor(observatory: Observatory) {
    this.observatory = observatory;
  }

  /** The rules in force, group by group. */
  get rules(): Iterable<NumberedRule> {
    return this.observatory.inForce.values();
  }

  /** The rules that only audit, likewise; those of interfaces last. */
  get audits(): Iterable<NumberedRule> {
    return this.observatory.audits.values();
  }

  /** The rule with this number. It may no longer be in force. Undefined if the number was never assigned. */
  view(number: number): RuleView | undefined {
    if (number === RULE_PLATFORM) return PLATFORM;
    const { config, inForce, audits } = this.observatory;
    const numbered = inForce.get(number) ?? audits.get(number);
    const rule = numbered?.rule ?? this.observatory.ruleOf(number);
    if (rule === undefined) return undefined;
    const group = numbered === undefined ? undefined : config.model.groups.get(numbered.groupId);
    return viewRule(rule, group, config.model);
  }
}

/** Describes a rule. @param group undefined if the rule is no longer in force */
export function viewRule(
  rule: Rule,
  group: SecurityGroup | undefined,
  names: Parameters<typeof ruleText>[1],
): RuleView {
  const { file, line, logicalId } = rule.origin;
  return {
    id: rule.id,
    text: rule.audit === true && rule.implied === true ? 'everything' : ruleText(rule, names),
    direction: rule.direction,
    ...(group === undefined ? {} : { group: { id: group.id, name: groupLabel(group) } }),
    description: rule.description,
    ...(rule.audit === true ? { audit: true } : {}),
    ...(file === ''
      ? {}
      : { origin: { file, line, ...(logicalId === undefined ? {} : { logicalId }) } }),
  };
}
