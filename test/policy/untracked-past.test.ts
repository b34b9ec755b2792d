/** Which ports were untracked: against a plain twin, a moment for each port. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compilePolicy } from '../../src/policy/compile.ts';
import { Matcher } from '../../src/policy/match.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { paint, PAST_SEC, UntrackedPast, type PastRange } from '../../src/policy/untracked-past.ts';
import { NO_SPECIAL_ADDRESSES } from '../../src/policy/special-addresses.ts';
import { model, type ModelText } from '../support/policy.ts';

const port = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 65_535 }));
const painting = fc.tuple(port, port).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);

test('painted ranges say of every port when it was untracked last', () => {
  fc.assert(
    fc.property(fc.array(painting, { maxLength: 15 }), (paintings) => {
      const twin = new Map<number, number>();
      let list: PastRange[] = [];
      paintings.forEach(([from, to], atSec) => {
        list = paint(list, from, to, atSec);
        for (let at = from; at <= to; at++) twin.set(at, atSec);
      });
      for (let at = 0; at <= 65_535; at++) {
        const found = list.filter(({ from, to }) => from <= at && at <= to);
        assert.ok(found.length <= 1, `ranges overlap at ${at}`);
        assert.equal(found[0]?.atSec, twin.get(at), `port ${at}`);
      }
    }),
    { numRuns: 30 },
  );
});

test('beyond 32 ranges those nearest to each other become one: more is closed, never less', () => {
  let list: PastRange[] = [];
  for (let i = 0; i < 500; i++) list = paint(list, 100 * i, 100 * i + (i % 7), i);
  assert.equal(list.length, 32);
  for (let i = 0; i < 500; i++) {
    const found = list.filter(({ from, to }) => from <= 100 * i && 100 * i + (i % 7) <= to);
    assert.equal(found.length, 1, `range ${i}`);
    assert.ok(found[0].atSec >= i);
  }
});

function text(ingress: readonly string[], egress: readonly string[], more = {}): ModelText {
  return {
    groups: { web: { ingress, egress } },
    interfaces: { web: { addresses: ['10.0.0.1', 'fd00::1'], groups: ['web'], ...more } },
  };
}

const RULES = [
  'all from 0.0.0.0/0',
  'all from ::/0',
  'tcp 0-65535 from 0.0.0.0/0',
  'tcp 1-65535 from ::/0',
  'tcp 80-90 from 0.0.0.0/0',
  'tcp 443 from ::/0',
  'tcp 22 from 10.0.0.0/8',
  'udp 53 from 0.0.0.0/0',
];
const rules = fc.subarray(RULES);

test('a port was untracked if a policy before left it untracked, as the matcher says', () => {
  const ports = new Map([['eni-web', 1]]);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(rules, rules, fc.boolean()), { minLength: 1, maxLength: 4 }),
      (policies) => {
        const past = new UntrackedPast(() => 0);
        const ruleNumbers = new RuleNumbers();
        const matchers = policies.map(([ingress, egress, alwaysTracked]) => {
          const out = egress.map((rule) => rule.replace(' from ', ' to '));
          const built = model(text(ingress, out, { alwaysTracked }));
          const input = {
            model: built,
            ports,
            ruleNumbers,
            special: NO_SPECIAL_ADDRESSES,
            generation: 1,
          };
          past.note(built);
          return new Matcher(compilePolicy(input));
        });
        const { model: last, ...rest } = {
          model: model(text([], [])),
          ports,
          ruleNumbers,
          special: NO_SPECIAL_ADDRESSES,
          generation: 2,
          past,
        };
        const matcher = new Matcher(compilePolicy({ model: last, ...rest }));
        for (const family of [4, 6])
          for (const local of [0, 1, 79, 80, 90, 91, 443, 65_535])
            for (const remote of [0, 1, 85, 443, 50_000, 65_535]) {
              const was = matchers.some((one) => one.isUntracked(1, family, 6, local, remote));
              assert.equal(matcher.wasUntracked(1, family, local, remote), was);
            }
      },
    ),
    { numRuns: 200 },
  );
});

test('it is forgotten when no connection can have been idle for so long, and with the last of 1,024 gone interfaces', () => {
  let nowSec = 0;
  const past = new UntrackedPast(() => nowSec);
  const open = model(text(['tcp 80 from 0.0.0.0/0'], ['all to 0.0.0.0/0']));
  past.note(open);
  const share = (): number => past.share(new Map([['eni-web', 1]]), 2).pastRanges.length;
  nowSec = PAST_SEC;
  assert.equal(share(), 1);
  nowSec = PAST_SEC + 1;
  assert.equal(share(), 0);
  past.note(open);
  assert.equal(share(), 1);
  for (let i = 0; i < 1100; i++) {
    const name = `eni-${i}`;
    const one = [...open.interfaces.values()][0];
    past.note({ ...open, interfaces: new Map([[name, { ...one, id: name }]]) });
  }
  assert.equal(new Set(past.save().map(([id]) => id)).size, 1025);
  assert.equal(share(), 0);
});
