/** The compiled matcher against the plain one, on random rule sets and packets biased to the edges. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Address } from '../../src/addr/address.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { coverRange } from '../../src/policy/gate-tables.ts';
import { GATE_EGRESS, GATE_INGRESS, REVOKE_AUDIT } from '../../src/policy/compiled.ts';
import { Matcher, NO_RULE } from '../../src/policy/match.ts';
import {
  auditingRules,
  isUntrackedFlow,
  matchingRules,
  newFlowRules,
  type Probe,
} from '../../src/policy/reference.ts';
import { NO_SPECIAL_ADDRESSES } from '../../src/policy/special-addresses.ts';
import { model, mustAddress, type ModelText } from '../support/policy.ts';

const PORTS = new Map([
  ['eni-x', 1],
  ['eni-y', 2],
]);
const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 3000);

const port = fc.oneof(
  fc.constantFrom(0, 1, 79, 80, 81, 255, 256, 443, 4095, 4096, 32767, 32768, 65534, 65535),
  fc.nat(65535),
);
const portRange = fc.tuple(port, port).map(([a, b]) => (a <= b ? `${a}-${b}` : `${b}-${a}`));
const icmpRange = fc.oneof(
  fc.constant('-1/-1'),
  fc.nat(255).map((type) => `${type}/-1`),
  fc
    .tuple(fc.constantFrom(0, 3, 8, 128, 255), fc.constantFrom(0, 1, 4, 255))
    .map(([type, code]) => `${type}/${code}`),
);
const ADDRESSES = [
  '0.0.0.1',
  '10.0.0.1',
  '10.0.0.2',
  '10.0.0.3',
  '10.0.255.255',
  '10.128.0.1',
  '127.255.255.255',
  '128.0.0.1',
  '203.0.113.7',
  '255.255.255.254',
  '::1:0:0:1',
  'fd00:10::1',
  'fd00:10::2',
  'fd00:10::3',
  '2001:db8::1',
  'ffff::1',
];
const PEERS = [
  '0.0.0.0/0',
  '::/0',
  '0.0.0.0/1',
  '128.0.0.0/1',
  '10.0.0.0/8',
  '10.0.0.0/16',
  '10.0.0.0/31',
  '10.0.0.1/32',
  '203.0.113.0/24',
  '255.255.255.255/32',
  '::/1',
  '8000::/1',
  'fd00:10::/32',
  'fd00:10::/64',
  'fd00:10::2/127',
  'fd00:10::1/128',
  '2001:db8::/33',
  'sg:a',
  'sg:b',
  'sg:c',
  'pl:v4',
  'pl:v6',
  'pl:all4',
];
const ruleLine = (word: 'from' | 'to'): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.oneof(
        portRange.map((range) => `tcp ${range}`),
        portRange.map((range) => `udp ${range}`),
        icmpRange.map((range) => `icmp ${range}`),
        icmpRange.map((range) => `icmpv6 ${range}`),
        fc.constantFrom(
          'all',
          'all',
          'tcp 0-65535',
          'udp 0-65535',
          '47',
          '50',
          '2',
          '132',
          '255',
          '0',
        ),
      ),
      fc.oneof(fc.constantFrom('0.0.0.0/0', '::/0'), fc.constantFrom(...PEERS)),
    )
    .map(([what, peer]) => `${what} ${word} ${peer}`);
const group = fc.record({
  ingress: fc.array(ruleLine('from'), { maxLength: 8 }),
  egress: fc.array(ruleLine('to'), { maxLength: 8 }),
  audited: fc.array(fc.oneof(ruleLine('from'), ruleLine('to')), { maxLength: 6 }),
  audit: fc.integer({ min: 0, max: 7 }).map((one) => one === 0),
});
const text: fc.Arbitrary<ModelText> = fc.record({
  groups: fc.record({ a: group, b: group, c: group }),
  prefixLists: fc.constant({
    v4: ['10.0.0.0/15', '203.0.113.7/32'],
    v6: ['fd00:10::/48', '2001:db8::1/128'],
    all4: ['0.0.0.0/0'],
  }),
  interfaces: fc
    .tuple(
      fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
      fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
      fc.boolean(),
    )
    .map(([one, two, isXAudited]) => ({
      x: { addresses: ['10.0.0.1', 'fd00:10::1'], groups: one, audit: isXAudited },
      y: { addresses: ['10.0.0.2', '10.128.0.1', 'fd00:10::2'], groups: two },
    })),
  remote: fc.subarray(['a', 'b', 'c']).map((groups) => ({
    z: { addresses: ['10.128.0.1', '203.0.113.7', '2001:db8::1'], groups },
  })),
});
const probe: fc.Arbitrary<Probe> = fc.record({
  protocol: fc.oneof(fc.constantFrom(1, 6, 6, 17, 17, 58, 47, 50, 0, 255), fc.nat(255)),
  port,
  icmpType: fc.oneof(fc.constantFrom(0, 3, 8, 128), fc.nat(255)),
  icmpCode: fc.oneof(fc.constantFrom(0, 1, 4), fc.nat(255)),
  remote: fc.constantFrom(...ADDRESSES).map(mustAddress),
});

function portOf(p: Probe): number {
  if (p.protocol === 1 || p.protocol === 58) return (p.icmpType << 8) | p.icmpCode;
  return p.protocol === 6 || p.protocol === 17 ? p.port : 0;
}

function words(address: Address): [number, number, number, number] {
  return [address.words[0], address.words[1] ?? 0, address.words[2] ?? 0, address.words[3] ?? 0];
}

test('the compiled matcher admits what the plain one admits, and names a rule that does', () => {
  fc.assert(
    fc.property(
      text,
      fc.array(probe, { minLength: 1, maxLength: 30 }),
      fc.boolean(),
      (written, probes, areGroupsStale) => {
        const built = { ...model(written), areGroupsStale };
        const ruleNumbers = new RuleNumbers();
        const policy = compilePolicy({
          model: built,
          ports: PORTS,
          ruleNumbers,
          special: NO_SPECIAL_ADDRESSES,
          generation: 1,
        });
        const matcher = new Matcher(policy);
        for (const p of probes) {
          for (const [id, port] of PORTS) {
            for (const [direction, gate] of [
              ['ingress', GATE_INGRESS],
              ['egress', GATE_EGRESS],
            ] as const) {
              for (const rules of [matchingRules, newFlowRules]) {
                const expected = rules(built, id, direction, p);
                matcher.countsStale = rules === matchingRules;
                const found = matcher.match(
                  2 * policy.profiles[port] + gate,
                  p.remote.family,
                  p.protocol,
                  portOf(p),
                  ...words(p.remote),
                );
                if (expected.length === 0) assert.equal(found, NO_RULE);
                else
                  assert.ok(
                    expected.includes(ruleNumbers.ruleOf(found - 1)!),
                    `named rule ${found - 1} of ${expected.map((rule) => rule.id).join()}`,
                  );
              }
            }
          }
        }
      },
    ),
    { numRuns: RUNS },
  );
});

test('what audit lets pass: compiled as plain, and the narrowest rule first', () => {
  const kinds = new Set<string>();
  fc.assert(
    fc.property(
      text,
      fc.array(probe, { minLength: 1, maxLength: 30 }),
      fc.boolean(),
      (written, probes, areGroupsStale) => {
        const built = { ...model(written), areGroupsStale };
        const ruleNumbers = new RuleNumbers();
        const policy = compilePolicy({
          model: built,
          ports: PORTS,
          ruleNumbers,
          special: NO_SPECIAL_ADDRESSES,
          generation: 1,
        });
        const matcher = new Matcher(policy);
        matcher.countsStale = false;
        for (const p of probes)
          for (const [id, port] of PORTS)
            for (const [direction, gate] of [
              ['ingress', GATE_INGRESS],
              ['egress', GATE_EGRESS],
            ] as const) {
              const expected = auditingRules(built, id, direction, p);
              const found = matcher.matchAudit(
                port,
                gate,
                p.remote.family,
                p.protocol,
                portOf(p),
                ...words(p.remote),
              );
              if (expected.length === 0) assert.equal(found, NO_RULE);
              else {
                const rule = ruleNumbers.ruleOf(found - 1)!;
                const named = expected.filter(({ implied }) => implied !== true);
                assert.ok((named.length > 0 ? named : expected.slice(0, 1)).includes(rule));
                assert.equal(policy.revocation[found - 1], REVOKE_AUDIT + gate);
                kinds.add(
                  named.length > 0 ? 'rule' : rule.origin.file === '' ? 'interface' : 'group',
                );
              }
            }
      },
    ),
    { numRuns: RUNS },
  );
  assert.deepEqual([...kinds].sort(), ['group', 'interface', 'rule'], 'the generator made each');
});

test('which flows are untracked: compiled as plain', () => {
  const flow = fc.record({
    family: fc.constantFrom(4 as const, 6 as const),
    protocol: fc.constantFrom(6, 17, 47),
    localPort: port,
    remotePort: port,
  });
  let untracked = 0;
  fc.assert(
    fc.property(text, flow, (written, f) => {
      const built = model(written);
      const policy = compilePolicy({
        model: built,
        ports: PORTS,
        ruleNumbers: new RuleNumbers(),
        special: NO_SPECIAL_ADDRESSES,
        generation: 1,
      });
      const compiled = new Matcher(policy).isUntracked(
        1,
        f.family,
        f.protocol,
        f.localPort,
        f.remotePort,
      );
      if (compiled) untracked++;
      assert.equal(compiled, isUntrackedFlow(built, 'eni-x', f));
    }),
    { numRuns: RUNS },
  );
  assert.ok(untracked > 0, 'the generator never made an untracked flow');
});

test('the cover of a port range is exact, and small', () => {
  fc.assert(
    fc.property(port, port, (a, b) => {
      const from = Math.min(a, b);
      const to = Math.max(a, b);
      const nodes = coverRange(from, to);
      let at = from;
      for (const node of nodes) {
        const shift = 16 - 4 * (node >>> 16);
        assert.equal((node & 0xffff) << shift, at, 'nodes follow one another');
        at += 1 << shift;
      }
      assert.equal(at, to + 1);
      assert.ok(nodes.length <= 104, `${nodes.length} nodes`);
    }),
    { numRuns: 2000 },
  );
  assert.deepEqual(coverRange(0, 65535), [0]);
  assert.deepEqual(coverRange(443, 443), [(4 << 16) | 443]);
});
