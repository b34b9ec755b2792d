/** Random calls that change the rules of a group, held against the plain list of rules of group-rules-twin.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  authorize,
  describeByPermissions,
  modifyRules,
  revokeByIds,
  revokeByPermissions,
  type Replacement,
} from '../../src/policy/group-rules.ts';
import type { Permission } from '../../src/policy/permissions.ts';
import type { Direction, PrefixList, SecurityGroup } from '../../src/policy/model.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { TwinGroup } from './group-rules-twin.ts';
import { makeGroup, ORIGIN, permission, ruleId } from './group-texts.ts';

const RULES_MAX = 8;
const LIST_SIZE = 3;

const lists = ['office', 'home'].map((name): PrefixList => ({
  id: `pl-${name}`,
  name,
  family: 4,
  maxEntries: LIST_SIZE,
  entries: [],
  origin: ORIGIN,
}));
const source = { prefixLists: new Map(lists.map((list) => [list.id, list])) };

/** Few services and few peers, so that calls often meet what is there. */
const permissions = fc
  .tuple(
    fc.constantFrom('tcp 22', 'tcp 22-23', 'icmp 8/-1', 'all', '50'),
    fc.constantFrom(
      '10.0.0.0/8',
      '0.0.0.0/0',
      '::/0',
      'fd00::/8',
      'sg:a',
      'sg:b',
      'pl:office',
      'pl:home',
    ),
    fc.constantFrom('', ' # one', ' # two'),
  )
  .map(([service, peer, description]) => permission(`${service} from ${peer}${description}`));

const direction = fc.constantFrom<Direction>('ingress', 'egress');
/** A rule that is there, by its place, or none. */
const place = fc.nat(12);
const some = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.array(one, { minLength: 1, maxLength: 4 });

/** What a call asks about: mostly a rule that is there, by its place, else one that may be. */
const asked = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.nat(5), fc.boolean()) },
  { weight: 1, arbitrary: permissions },
);
type Asked = Permission | readonly [place: number, withDescription: boolean];

/** What a rule is to be: another service or peer for what is there, or anything. */
const change = fc.record({ place: fc.nat(5), permission: permissions, keepsPeer: fc.boolean() });

type Call =
  | { readonly kind: 'authorize'; readonly direction: Direction; readonly permissions: readonly Permission[] }
  | { readonly kind: 'revoke' | 'list' | 'describe'; readonly direction: Direction; readonly asked: readonly Asked[] }
  | { readonly kind: 'revokeIds'; readonly direction: Direction; readonly places: readonly number[] }
  | { readonly kind: 'modify'; readonly changes: readonly { readonly place: number; readonly permission: Permission; readonly keepsPeer: boolean }[] }
  | { readonly kind: 'swap'; readonly places: readonly [number, number] }; // prettier-ignore

const calls: fc.Arbitrary<Call> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('authorize' as const), direction, permissions: some(permissions) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('revoke', 'list', 'describe'), direction, asked: some(asked) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revokeIds' as const), direction, places: some(place) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('modify' as const), changes: some(change) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('swap' as const), places: fc.tuple(place, place) }) },
); // prettier-ignore

/** The two sides, and what both answered: `done`, or the first code. */
class Pair {
  group: SecurityGroup = makeGroup([]);
  readonly twin = new TwinGroup(RULES_MAX, LIST_SIZE);
  #ids = 0;

  play(call: Call): readonly [string, string] {
    switch (call.kind) {
      case 'authorize':
        return this.#authorize(call.direction, call.permissions);
      case 'revoke':
      case 'list': {
        const permissions = this.#meant(call.direction, call.asked);
        const unknown = call.kind === 'list' ? 'list' : 'refuse';
        const checked = revokeByPermissions(this.group, call.direction, permissions, unknown);
        const lists = call.kind === 'list';
        return [
          this.#take(checked),
          this.twin.revokeByPermissions(call.direction, permissions, lists),
        ];
      }
      case 'describe': {
        const permissions = this.#meant(call.direction, call.asked);
        const checked = describeByPermissions(this.group, call.direction, permissions);
        const result = this.#take(
          checked.ok ? { ok: true, value: { group: checked.value } } : checked,
        );
        return [result, this.twin.describe(call.direction, permissions)];
      }
      case 'revokeIds': {
        const ids = call.places.map((at) => this.#idAt(at));
        const checked = revokeByIds(this.group, call.direction, ids);
        return [this.#take(checked), this.twin.revokeByIds(call.direction, ids)];
      }
      case 'modify':
        return this.#modify(
          call.changes.map(({ place, permission, keepsPeer }) => {
            const rule = this.twin.rules[place];
            const peer = keepsPeer && rule !== undefined ? rule.peer : permission.peer;
            return { ruleId: this.#idAt(place), permission: { ...permission, peer } };
          }),
        );
      case 'swap': {
        const { rules } = this.twin;
        if (rules.length === 0) return ['done', 'done'];
        const [one, other] = call.places.map((at) => rules[at % rules.length]);
        return this.#modify([
          { ruleId: one.id, permission: bare(other) },
          { ruleId: other.id, permission: bare(one) },
        ]);
      }
      default:
        return call satisfies never;
    }
  }

  #authorize(direction: Direction, permissions: readonly Permission[]): readonly [string, string] {
    const first = this.#ids;
    const ids = permissions.map((_, i) => ruleId(first + i));
    const options = {
      makeId: () => ruleId(this.#ids++),
      origin: ORIGIN,
      rulesPerGroup: RULES_MAX,
      source,
    };
    const checked = authorize(this.group, direction, permissions, options);
    this.#ids = first + permissions.length;
    return [this.#take(checked), this.twin.authorize(direction, permissions, ids)];
  }

  #modify(replacements: readonly Replacement[]): readonly [string, string] {
    const checked = modifyRules(this.group, replacements, { rulesPerGroup: RULES_MAX, source });
    return [this.#take(checked), this.twin.modify(replacements)];
  }

  /** Of a rule that is there: itself, with its description or without any. */
  #meant(direction: Direction, asked: readonly Asked[]): readonly Permission[] {
    const rules = this.twin.rules.filter((rule) => rule.direction === direction);
    return asked.flatMap((one) => {
      if (!('0' in one)) return [one];
      const [place, withDescription] = one;
      const rule = rules[place];
      if (rule === undefined) return [];
      return [withDescription ? { ...bare(rule), description: rule.description } : bare(rule)];
    });
  }

  #idAt(at: number): string {
    return this.twin.rules[at]?.id ?? ruleId(1_000_000);
  }

  #take(checked: Checked<{ readonly group: SecurityGroup }>): string {
    if (!checked.ok) return checked.refusals[0].code;
    this.group = checked.value.group;
    return 'done';
  }
}

function bare({ protocol, fromPort, toPort, peer }: Permission): Permission {
  return { protocol, fromPort, toPort, peer };
}

test('a group is what a plain list of rules is, after any calls', () => {
  const answers = new Map<string, number>();
  fc.assert(
    fc.property(fc.array(calls, { minLength: 8, maxLength: 30 }), (sequence) => {
      const pair = new Pair();
      for (const call of sequence) {
        const [actual, expected] = pair.play(call);
        assert.equal(actual, expected);
        const answer = `${call.kind} ${actual}`;
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
        for (const side of ['ingress', 'egress'] as const)
          assert.deepEqual(
            pair.group[side].map(({ origin: _, ...rule }) => rule),
            pair.twin.rules.filter((rule) => rule.direction === side),
          );
      }
    }),
    { numRuns: 300 },
  );
  // The calls were no idle ones: each kind was done and refused.
  for (const kind of ['authorize', 'revoke', 'describe', 'revokeIds', 'modify'])
    assert.ok(
      [...answers.keys()].filter((answer) => answer.startsWith(`${kind} `)).length >= 2,
      `${kind}: ${JSON.stringify([...answers])}`,
    );
  assert.ok((answers.get('swap done') ?? 0) > 0);
});
