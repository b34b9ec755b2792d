/** A rule's number is its own while it is in a group or a flow carries it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GroupId, Rule, SecurityGroup } from '../../src/policy/model.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { model, type ModelText } from '../support/policy.ts';

const groupsOf = (group: SecurityGroup): ReadonlyMap<GroupId, SecurityGroup> =>
  new Map([[group.id, group]]);

const CODES = { aws: 0, recheck: 1, cut: 2 } as const;

test('numbers stay, and lead to the rule as it was last written', () => {
  const lines = fc.subarray(['tcp 1', 'tcp 2', 'tcp 3', 'udp 4', 'udp 5', 'all'], { minLength: 0 });
  const group = fc
    .tuple(lines, fc.boolean(), fc.constantFrom('aws', 'recheck', 'cut'))
    .map(([written, isReversed, revocation]): ModelText['groups'][string] => {
      const ingress = written.map((line) => `${line} from 10.0.0.0/8`);
      return {
        ingress: isReversed ? ingress.toReversed() : ingress,
        egress: [],
        revocation: revocation,
      };
    });
  const groups = fc.record({ a: group, b: group }, { requiredKeys: [] });
  fc.assert(
    fc.property(fc.array(groups, { minLength: 2, maxLength: 8 }), (versions) => {
      const numbers = new RuleNumbers();
      const given = new Map<string, number>();
      const shared: [Uint8Array, Uint8Array][] = [];
      for (const version of versions) {
        const built = model({ groups: version, interfaces: {} });
        numbers.take(built.groups);
        for (const { ingress, revocation = 'aws' } of built.groups.values()) {
          for (const rule of ingress) {
            const number = numbers.numberOf(rule);
            assert.equal(given.get(rule.id) ?? number, number);
            given.set(rule.id, number);
            assert.equal(numbers.ruleOf(number), rule, 'the very rule of this version');
            assert.equal(numbers.revocationOf(number), revocation);
            assert.equal(numbers.revocation()[number], CODES[revocation]);
          }
        }
        shared.push([numbers.revocation(), numbers.revocation().slice()]);
      }
      assert.equal(new Set(given.values()).size, given.size, 'no number is given twice');
      for (const [handedOut, copy] of shared) assert.deepEqual(handedOut, copy);
    }),
    { numRuns: 300 },
  );
});

test('a rule that came back from an earlier process keeps the number it was given', () => {
  const numbers = new RuleNumbers();
  const built = model({ groups: { a: { ingress: ['tcp 1 from 10.0.0.0/8', 'tcp 2 from ::/0'], egress: [] } }, interfaces: {} }); // prettier-ignore
  const [first, second] = built.groups.get('sg-a')!.ingress;
  const gone: Rule = { ...first, id: 'sgr-gone' };
  assert.equal(numbers.restore(gone, 'cut'), 0);
  assert.equal(numbers.restore(second, 'aws'), 1);
  numbers.take(built.groups);
  assert.deepEqual([numbers.numberOf(second), numbers.numberOf(first)], [1, 2]);
  assert.deepEqual([...numbers.revocation()], [2, 0, 0]);
});

test('a rule that decides something else and keeps its id has another number, for as long as somebody may ask', () => {
  const numbers = new RuleNumbers();
  const [group] = model({ groups: { a: { ingress: ['tcp 1 from ::/0'], egress: [] } }, interfaces: {} }).groups.values(); // prettier-ignore
  const [rule] = group.ingress;
  const changed: Rule = { ...rule, toPort: 2 };
  const take = (one: Rule): number => {
    numbers.take(groupsOf({ ...group, ingress: [one] }));
    return numbers.numberOf(one);
  };
  const first = take(rule);
  const tried = numbers.tryOut(
    () => take(changed),
    () => assert.equal(take(rule), first),
  );
  assert.notEqual(tried, first);
  assert.deepEqual(
    [numbers.numberOf(rule), numbers.count],
    [first, 1],
    'nothing is left of the trial',
  );
  const second = take(changed);
  assert.deepEqual([numbers.ruleOf(first), numbers.ruleOf(second)], [rule, changed]);
  numbers.beginReclaim();
  assert.deepEqual(numbers.endReclaim(), [first]);
  assert.deepEqual([numbers.numberOf(changed), numbers.count], [second, 1]);
});

test('more rules than a flow entry can name are refused, and none of them is numbered', () => {
  const numbers = new RuleNumbers();
  const [group] = model({ groups: { a: { ingress: ['tcp 1 from ::/0'], egress: [] } }, interfaces: {} }).groups.values(); // prettier-ignore
  numbers.take(groupsOf(group));
  const rule = group.ingress[0];
  const many = Array.from({ length: (1 << 20) - 1 }, (_, i): Rule => ({ ...rule, id: `sgr-${i}` }));
  assert.throws(
    () => numbers.take(groupsOf({ ...group, ingress: [rule, ...many] })),
    /^RangeError: 1048576 different rules with those that connections are of; at most 1048575 can be told apart/,
  );
  assert.equal(numbers.ruleOf(1), undefined);
  numbers.take(groupsOf({ ...group, ingress: [rule, many[0]] }));
  assert.equal(numbers.numberOf(many[0]), 1);
});

/** What happens to numbers: rules come and go, flows open and end, numbers are reclaimed and tried out. */
type Step =
  | { readonly kind: 'take' | 'try'; readonly rules: readonly number[] }
  | { readonly kind: 'open' | 'end'; readonly at: number }
  | { readonly kind: 'begin' | 'finish' };

const rulesOf = fc.uniqueArray(fc.nat(30), { maxLength: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('take' as const, 'try' as const), rules: rulesOf }),
  fc.record({ kind: fc.constantFrom('open' as const, 'end' as const), at: fc.nat(7) }),
  fc.record({ kind: fc.constantFrom('begin' as const, 'finish' as const) }),
);

test('a number goes to another rule only when no group has its rule and no flow carries it', () => {
  const [group] = model({ groups: { a: { ingress: ['tcp 1 from ::/0'], egress: [] } }, interfaces: {} }).groups.values(); // prettier-ignore
  const versionOf = (rules: readonly number[]): SecurityGroup => ({
    ...group,
    ingress: rules.map((i): Rule => ({ ...group.ingress[0], id: `sgr-${i}` })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const numbers = new RuleNumbers();
      let inForce = versionOf([]);
      numbers.take(groupsOf(inForce));
      const flows: { readonly number: number; readonly id: string }[] = [];
      let isReclaiming = false;
      for (const one of steps) {
        if (one.kind === 'take') {
          inForce = versionOf(one.rules);
          numbers.take(groupsOf(inForce));
        } else if (one.kind === 'try') {
          const { count } = numbers;
          const other = groupsOf(versionOf(one.rules));
          const back = (): void => numbers.take(groupsOf(inForce));
          numbers.tryOut(() => numbers.take(other), back);
          assert.equal(numbers.count, count, 'who only asks uses up nothing');
        } else if (one.kind === 'open') {
          const rule = inForce.ingress.at(one.at);
          if (rule !== undefined) flows.push({ number: numbers.numberOf(rule), id: rule.id });
        } else if (one.kind === 'end') flows.splice(one.at, 1);
        else if (one.kind === 'begin' && !isReclaiming) {
          numbers.beginReclaim();
          for (const { number } of flows) numbers.spare(number);
          isReclaiming = true;
        } else if (one.kind === 'finish' && isReclaiming) {
          for (const free of numbers.endReclaim()) assert.equal(numbers.ruleOf(free), undefined);
          isReclaiming = false;
        }
        const given = inForce.ingress.map((rule) => numbers.numberOf(rule));
        assert.equal(new Set(given).size, given.length, 'no two rules in force share a number');
        for (const { number, id } of flows) assert.equal(numbers.ruleOf(number)?.id, id);
      }
    }),
    { numRuns: 500 },
  );
});

test('with reclaiming there is no end to how many rules may come and go', () => {
  const numbers = new RuleNumbers();
  const [group] = model({ groups: { a: { ingress: ['tcp 1 from ::/0'], egress: [] } }, interfaces: {} }).groups.values(); // prettier-ignore
  const [rule] = group.ingress;
  for (let round = 0; round < 5; round++) {
    const ingress = Array.from({ length: 1 << 18 }, (_, i): Rule => ({ ...rule, id: `sgr-${round}-${i}` })); // prettier-ignore
    numbers.take(groupsOf({ ...group, ingress }));
    numbers.take(groupsOf(group));
    assert.ok(numbers.goneCount >= 1 << 18);
    numbers.beginReclaim();
    assert.equal(numbers.endReclaim().length, 1 << 18);
    assert.equal(numbers.count, 1);
  }
});
