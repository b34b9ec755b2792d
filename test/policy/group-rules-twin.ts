/**
 * A plain model of a group's rules and of the calls that change them: one list of rules, searched from its beginning
 * each time. It shares no code with src/policy/group-rules.ts, and says of a refused call only its first code.
 */
import type { Direction, Peer } from '../../src/policy/model.ts';

export interface TwinRule {
  id: string;
  direction: Direction;
  protocol: number;
  fromPort: number;
  toPort: number;
  peer: Peer;
  description: string;
}

export interface TwinPermission {
  readonly protocol: number;
  readonly fromPort: number;
  readonly toPort: number;
  readonly peer: Peer;
  readonly description?: string;
}

export class TwinGroup {
  rules: TwinRule[] = [];
  readonly #rulesMax: number;
  /** Prefix lists are IPv4, and each counts as many rules. */
  readonly #listSize: number;

  constructor(rulesMax: number, listSize: number) {
    this.#rulesMax = rulesMax;
    this.#listSize = listSize;
  }

  authorize(
    direction: Direction,
    permissions: readonly TwinPermission[],
    ids: readonly string[],
  ): string {
    for (const [i, one] of permissions.entries())
      for (const other of permissions.slice(0, i))
        if (isSame(one, other)) return 'InvalidParameterValue';
    for (const one of permissions)
      for (const rule of this.rules)
        if (rule.direction === direction && isSame(one, rule)) return 'InvalidPermission.Duplicate';
    const added = permissions.map((one, i) => ({ description: '', ...one, direction, id: ids[i] }));
    return this.#try([...this.rules, ...added]);
  }

  revokeByIds(direction: Direction, ids: readonly string[]): string {
    for (const id of ids)
      if (!this.rules.some((rule) => rule.id === id && rule.direction === direction))
        return 'InvalidSecurityGroupRuleId.NotFound';
    this.rules = this.rules.filter(({ id }) => !ids.includes(id));
    return 'done';
  }

  revokeByPermissions(
    direction: Direction,
    permissions: readonly TwinPermission[],
    lists: boolean,
  ): string {
    const found: string[] = [];
    for (const one of permissions) {
      const rule = this.rules.find(
        (rule) =>
          rule.direction === direction &&
          isSame(one, rule) &&
          (one.description === undefined || one.description === rule.description),
      );
      if (rule !== undefined) found.push(rule.id);
      else if (!lists) return 'InvalidPermission.NotFound';
    }
    this.rules = this.rules.filter(({ id }) => !found.includes(id));
    return 'done';
  }

  modify(
    changes: readonly { readonly ruleId: string; readonly permission: TwinPermission }[],
  ): string {
    const after = this.rules.map((rule) => ({ ...rule }));
    const named: string[] = [];
    for (const { ruleId, permission } of changes) {
      const rule = after.find(({ id }) => id === ruleId);
      if (rule === undefined) return 'InvalidSecurityGroupRuleId.NotFound';
      const before = this.rules.find(({ id }) => id === ruleId)!;
      if (named.includes(ruleId) || kindOf(before.peer) !== kindOf(permission.peer))
        return 'InvalidParameterValue';
      named.push(ruleId);
      Object.assign(rule, { description: '' }, permission);
    }
    for (const [i, one] of after.entries())
      for (const other of after.slice(0, i))
        if (one.direction === other.direction && isSame(one, other))
          return 'InvalidPermission.Duplicate';
    return this.#try(after);
  }

  describe(direction: Direction, permissions: readonly TwinPermission[]): string {
    const after = this.rules.map((rule) => ({ ...rule }));
    for (const one of permissions) {
      const rule = after.find((rule) => rule.direction === direction && isSame(one, rule));
      if (rule === undefined) return 'InvalidPermission.NotFound';
      rule.description = one.description ?? '';
    }
    this.rules = after;
    return 'done';
  }

  #try(after: TwinRule[]): string {
    for (const direction of ['ingress', 'egress'] as const)
      for (const family of [4, 6] as const) {
        const count = (rules: TwinRule[]): number => this.#count(rules, direction, family);
        if (count(after) > this.#rulesMax && count(after) > count(this.rules))
          return 'RulesPerSecurityGroupLimitExceeded';
      }
    this.rules = after;
    return 'done';
  }

  #count(rules: readonly TwinRule[], direction: Direction, family: 4 | 6): number {
    let total = 0;
    for (const rule of rules) {
      if (rule.direction !== direction) continue;
      if (rule.peer.kind === 'group') total += 1;
      if (rule.peer.kind === 'cidr' && rule.peer.cidr.family === family) total += 1;
      if (rule.peer.kind === 'prefixList' && family === 4) total += this.#listSize;
    }
    return total;
  }
}

function isSame(one: TwinPermission, other: TwinPermission): boolean {
  return (
    one.protocol === other.protocol &&
    one.fromPort === other.fromPort &&
    one.toPort === other.toPort &&
    JSON.stringify(one.peer) === JSON.stringify(other.peer)
  );
}

function kindOf(peer: Peer): string {
  return peer.kind === 'cidr' ? `cidr${peer.cidr.family}` : peer.kind;
}
