/** Canaries: what the packet loops are asked of a new interface, and what becomes of one that they judge wrongly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findWrong, makeCanaries, packCanaries } from '../../src/daemon/canary.ts';
import { judgeProbes } from '../../src/dataplane/probes.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { Matcher } from '../../src/policy/match.ts';
import type { Rule } from '../../src/policy/model.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { NO_SPECIAL_ADDRESSES } from '../../src/policy/special-addresses.ts';
import { model as modelOf } from '../support/policy.ts';
import { startWorld } from './world.ts';

const A = '  a: { device: { name: dev-a }, addresses: [10.0.0.1], securityGroups: [web] }\n';
const B =
  '  b: { device: { name: dev-b }, addresses: [10.0.0.2, fd00::2], securityGroups: [web] }\n';
const TEXT = `
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 80-90, from: 10.0.0.0/8 }
      - { protocol: icmp, type: 8, from: 'sg:web' }
    egress: []
interfaces:
${A}`;

test('each address, each rule and packets that no rule is for are tried', async (t) => {
  const { load } = await startWorld(t, TEXT);
  const { model, interfaces } = load(TEXT + B);
  const numbers = new Map<Rule, number>();
  const numberOf = (rule: Rule): number => {
    if (!numbers.has(rule)) numbers.set(rule, numbers.size);
    return numbers.get(rule)!;
  };
  const canaries = makeCanaries(model, interfaces[1].id, 2, numberOf);
  const strangers = (direction: string, end: string): [string, number[]][] =>
    ['192.0.2.1', '2001:db8::1'].flatMap((address) => [
      [`${direction} of protocol 253, port 0, ${end} ${address}`, [0]],
      [`${direction} of protocol 6, port 1, ${end} ${address}`, [0]],
    ]);
  assert.deepEqual(
    canaries.map(({ text, right }) => [text, right]),
    [
      ['a packet to 10.0.0.2', [2]],
      ['a packet to fd00::2', [2]],
      ['ingress of protocol 6, port 80, from 10.0.0.0', [1]],
      ['ingress of protocol 1, port 2048, from 10.0.0.1', [2]],
      ...strangers('ingress', 'from'),
      ...strangers('egress', 'to'),
    ],
  );
  const answers = canaries.map(({ right }) => right[0]);
  assert.equal(findWrong(canaries, answers), undefined);
  canaries.forEach(({ text }, i) => {
    assert.equal(findWrong(canaries, answers.with(i, 7))?.text, text);
  });
});

test('of an interface in a group without members, only strangers are tried for that rule', async (t) => {
  const { load } = await startWorld(t, TEXT);
  const { model, interfaces } = load(
    TEXT.replace(
      'egress: []',
      "egress: []\n  none: { ingress: [{ protocol: all, from: 'sg:empty' }] }\n  empty: {}",
    ).replace('[web] }', '[none] }'),
  );
  const canaries = makeCanaries(model, interfaces[0].id, 1, () => 4);
  assert.deepEqual(
    canaries.filter(({ text }) => text.startsWith('ingress')).map(({ right }) => right),
    [[0], [0], [0], [0]],
  );
  // Egress is open to everywhere, of both families, by two rules.
  assert.deepEqual(
    canaries.filter(({ text }) => text.startsWith('egress')).map(({ right }) => right),
    [[5], [5], [5], [5], [5], [5]],
  );
});

test('what is compiled right is never called wrong', () => {
  const services = ['all', 'tcp 0-65535', 'tcp 80-90', 'udp 53', 'icmp 8/-1', 'icmp -1/-1'];
  const more = ['icmpv6 128/0', 'icmpv6 -1/-1', '47', '253'];
  const peers = [
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/8',
    'fd00::/64',
    '192.0.2.0/24',
    'sg:a',
    'sg:b',
    'pl:l',
  ];
  const rule = (word: string): fc.Arbitrary<string> =>
    fc
      .tuple(fc.constantFrom(...services, ...more), fc.constantFrom(...peers))
      .map(([service, peer]) => `${service} ${word} ${peer}`);
  const group = fc.record({
    ingress: fc.array(rule('from'), { maxLength: 10 }),
    egress: fc.array(rule('to'), { maxLength: 10 }),
  });
  const groupsOf = fc.subarray(['a', 'b'], { minLength: 1 });
  fc.assert(
    fc.property(group, group, groupsOf, groupsOf, (a, b, groupsOfX, groupsOfY) => {
      const model = modelOf({
        groups: { a, b },
        prefixLists: { l: ['10.0.0.0/15', '203.0.113.7/32'] },
        interfaces: {
          x: { addresses: ['10.0.0.1', 'fd00::1'], groups: groupsOfX },
          y: { addresses: ['10.0.0.2'], groups: groupsOfY },
        },
      });
      const ruleNumbers = new RuleNumbers();
      const ports = new Map([
        ['eni-x', 1],
        ['eni-y', 2],
      ]);
      const policy = compilePolicy({
        model,
        ports,
        ruleNumbers,
        special: NO_SPECIAL_ADDRESSES,
        generation: 1,
      });
      for (const [id, port] of ports) {
        const canaries = makeCanaries(model, id, port, (one) => ruleNumbers.numberOf(one));
        const answers = judgeProbes(policy, new Matcher(policy), packCanaries(canaries));
        assert.equal(findWrong(canaries, answers)?.text, undefined);
      }
    }),
    { numRuns: 500 },
  );
});

test('an interface that the loops judge wrongly is not left in force', async (t) => {
  const { daemon, load, takeLog } = await startWorld(t, TEXT);
  const { dataplane } = daemon.observatory;
  const judge = dataplane.judge.bind(dataplane);
  let asked = 0;
  dataplane.judge = async (probes) => {
    asked++;
    const answers = await judge(probes);
    // A loop that would let everything in.
    for (const one of answers) for (let i = 2; i < one.length; i++) one[i] ||= 1;
    return answers;
  };
  const before = daemon.config;
  await assert.rejects(
    daemon.reload(load(TEXT + B)),
    new Error(
      'the rules do not hold for b: ingress of protocol 253, port 0, from 192.0.2.1 is judged wrongly',
    ),
  );
  assert.equal(daemon.config, before);
  assert.deepEqual(daemon.status().interfaces, ['a']);
  assert.ok(takeLog().includes('error the rules do not hold for a new interface'));
  dataplane.judge = judge;
  await daemon.reload(load(TEXT + B));
  assert.deepEqual(daemon.status().interfaces, ['a', 'b']);
  assert.equal(asked, 1);
});
