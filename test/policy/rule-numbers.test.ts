/** A rule's number is its own for as long as the daemon runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Rule } from '../../src/policy/model.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { model, type ModelText } from '../support/policy.ts';

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
        numbers.take(built.groups.values());
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
  numbers.take(built.groups.values());
  assert.deepEqual([numbers.numberOf(second), numbers.numberOf(first)], [1, 2]);
  assert.deepEqual([...numbers.revocation()], [2, 0, 0]);
});

test('more rules than a flow entry can name are refused, and none of them is numbered', () => {
  const numbers = new RuleNumbers();
  const [group] = model({ groups: { a: { ingress: ['tcp 1 from ::/0'], egress: [] } }, interfaces: {} }).groups.values(); // prettier-ignore
  numbers.take([group]);
  const rule = group.ingress[0];
  const many = Array.from({ length: (1 << 20) - 1 }, (_, i): Rule => ({ ...rule, id: `sgr-${i}` }));
  assert.throws(
    () => numbers.take([{ ...group, ingress: [rule, ...many] }]),
    /^RangeError: 1048576 different rules since the start; at most 1048575 can be told apart/,
  );
  assert.equal(numbers.ruleOf(1), undefined);
  numbers.take([{ ...group, ingress: [rule, many[0]] }]);
  assert.equal(numbers.numberOf(many[0]), 1);
});
