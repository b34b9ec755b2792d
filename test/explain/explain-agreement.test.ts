/**
 * Explanations of random questions about random models agree with the plain matcher, the compiled one,
 * and the packet path itself, which gets the packet the question is about.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, type Address } from '../../src/addr/address.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { GATE_EGRESS, GATE_INGRESS } from '../../src/policy/compiled.ts';
import { explain } from '../../src/explain/explain.ts';
import type {
  FamilyAnswer,
  GateAnswer,
  Network,
  Question,
  Service,
} from '../../src/explain/explanation.ts';
import { Matcher, NO_RULE } from '../../src/policy/match.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { isUntrackedFlow, matchingRules, type Probe } from '../../src/policy/reference.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { NO_SPECIAL_ADDRESSES } from '../../src/policy/special-addresses.ts';
import { Rig } from '../engine/rig.ts';
import { icmp4, icmp6, ipv4, ipv6, tcp4, tcp6, udp4, udp6 } from '../packets/build.ts';
import { model, mustAddress, specialAddresses, type ModelText } from '../support/policy.ts';

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 1500);

const PLATFORM = ['169.254.169.254/tcp/80', '169.254.169.254/udp/53', 'fd00:ec2::254/tcp/80'];
const PORT_ADDRESSES = ['169.254.169.254', 'fd00:ec2::254'];
const withPlatformPort = (text: ModelText): ModelText => ({
  ...text,
  interfaces: {
    ...text.interfaces,
    platform: { addresses: PORT_ADDRESSES, groups: [], isPlatform: true },
  },
});
const BARE = [
  '10.0.0.1',
  '10.0.0.3',
  '203.0.113.7',
  '255.255.255.255',
  '224.0.0.1',
  '127.0.0.1',
  '0.0.0.1',
  'fd00:10::2',
  '2001:db8::1',
  'fe80::1',
  'ff02::1',
  '::1',
  '169.254.169.254',
  'fd00:ec2::254',
  '169.254.169.123',
  'fd00:ec2::123',
  '240.0.0.9',
];
const PEERS = [
  '0.0.0.0/0',
  '0.0.0.0/0',
  '::/0',
  '::/0',
  '0.0.0.0/1',
  '10.0.0.0/8',
  '10.0.0.1/32',
  '203.0.113.0/24',
  '8000::/1',
  'fd00:10::/64',
  'fd00:10::1/128',
  'sg:a',
  'sg:b',
  'pl:v4',
  'pl:v6',
];

// Few values, so that rules and questions meet; the edges among them.
const port = fc.constantFrom(0, 22, 80, 81, 443, 40000, 65535);
const portRange = fc.oneof(
  { weight: 2, arbitrary: fc.constant('0-65535') },
  {
    weight: 3,
    arbitrary: fc.tuple(port, port).map(([a, b]) => (a <= b ? `${a}-${b}` : `${b}-${a}`)),
  },
);
const icmpType = fc.constantFrom(0, 3, 8, 11, 13, 128, 129, 135, 255);
const icmpCode = fc.constantFrom(0, 1, 4);
const icmpRange = fc.oneof(
  fc.constant('-1/-1'),
  icmpType.map((type) => `${type}/-1`),
  fc.tuple(icmpType, icmpCode).map(([type, code]) => `${type}/${code}`),
);
const ruleLine = (word: 'from' | 'to'): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.oneof(
        portRange.map((range) => `tcp ${range}`),
        portRange.map((range) => `udp ${range}`),
        icmpRange.map((range) => `icmp ${range}`),
        icmpRange.map((range) => `icmpv6 ${range}`),
        fc.constantFrom('all', '47', '50', '0'),
      ),
      fc.constantFrom(...PEERS),
    )
    .map(([what, peer]) => `${what} ${word} ${peer}`);
const group = fc.record({
  ingress: fc.array(ruleLine('from'), { maxLength: 6 }),
  egress: fc.array(ruleLine('to'), { maxLength: 6 }),
});
const groupNames = fc.subarray(['a', 'b', 'c'], { minLength: 1 });
const text: fc.Arbitrary<ModelText> = fc.record({
  groups: fc.record({ a: group, b: group, c: group }),
  prefixLists: fc.constant({ v4: ['10.0.0.2/31', '203.0.113.7/32'], v6: ['fd00:10::/48'] }),
  interfaces: fc.tuple(groupNames, groupNames).map(([one, two]) => ({
    x: { addresses: ['10.0.0.1', 'fd00:10::1'], groups: one },
    y: { addresses: ['10.0.0.2', '10.128.0.1', 'fd00:10::2'], groups: two },
  })),
});

const end: fc.Arbitrary<Question['from']> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('eni-x', 'eni-y').map(interfaceEnd) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(...BARE)
      .map((one) => ({ kind: 'address', address: mustAddress(one) }) as const),
  },
);
const ports = fc.record({
  kind: fc.constant('ports' as const),
  protocol: fc.constantFrom(6 as const, 17 as const),
  port,
});
const service: fc.Arbitrary<Service> = fc.oneof(
  ports,
  fc.tuple(ports, port).map(([rest, sourcePort]) => ({ ...rest, sourcePort })),
  fc.record({
    kind: fc.constant('icmp' as const),
    protocol: fc.constantFrom(1 as const, 58 as const),
    type: icmpType,
    code: icmpCode,
  }),
  fc.record({
    kind: fc.constant('protocol' as const),
    protocol: fc.constantFrom(0, 47, 50, 51, 132, 255),
  }),
);
const question: fc.Arbitrary<Question> = fc.record({ from: end, to: end, service });

function interfaceEnd(interfaceId: string): Extract<Question['from'], { kind: 'interface' }> {
  return { kind: 'interface', interfaceId };
}

function addressOf(written: string): Address {
  const parsed = parseAddress(written);
  assert.ok(parsed.ok);
  return parsed.value;
}

function words({ words: w }: Address): [number, number, number, number] {
  return [w[0], w[1] ?? 0, w[2] ?? 0, w[3] ?? 0];
}

function probeOf(asked: Service, remote: Address): Probe {
  const nothing = { protocol: asked.protocol, port: 0, icmpType: 0, icmpCode: 0, remote };
  if (asked.kind === 'ports') return { ...nothing, port: asked.port };
  if (asked.kind === 'icmp') return { ...nothing, icmpType: asked.type, icmpCode: asked.code };
  return nothing;
}

function remoteOf(answer: FamilyAnswer, gate: GateAnswer): Address {
  return addressOf(gate.direction === 'egress' ? answer.to.address : answer.from.address);
}

test('gates admit what the plain and the compiled matcher admit, by exactly those rules', () => {
  const seen = { allowed: 0, refused: 0 };
  fc.assert(
    fc.property(text, fc.array(question, { minLength: 1, maxLength: 10 }), (written, questions) => {
      const built = model(written);
      const network: Network = { model: built, special: NO_SPECIAL_ADDRESSES, hasUplink: true };
      const ports = new Map([...built.interfaces.keys()].map((id, i) => [id, i + 1]));
      const policy = compilePolicy({
        model: built,
        ports,
        ruleNumbers: new RuleNumbers(),
        special: NO_SPECIAL_ADDRESSES,
        generation: 1,
      });
      const matcher = new Matcher(policy);
      for (const asked of questions) {
        for (const answer of explain(network, asked).answers) {
          for (const gate of answer.gates) {
            const remote = remoteOf(answer, gate);
            const probe = probeOf(asked.service, remote);
            const admitting = matchingRules(built, gate.interface.id, gate.direction, probe);
            const named = [...(gate.decidedBy ? [gate.decidedBy] : []), ...gate.alsoAdmittedBy];
            assert.deepEqual(
              named.map(({ id }) => id),
              admitting.map(({ id }) => id),
            );
            const rulePort =
              asked.service.kind === 'icmp' ? (probe.icmpType << 8) | probe.icmpCode : probe.port;
            const profile = policy.profiles[ports.get(gate.interface.id)!];
            const compiled = matcher.match(
              2 * profile + (gate.direction === 'ingress' ? GATE_INGRESS : GATE_EGRESS),
              remote.family,
              probe.protocol,
              rulePort,
              ...words(remote),
            );
            assert.equal(gate.verdict, compiled === NO_RULE ? 'refused' : 'allowed');
            assert.equal(gate.verdict, admitting.length === 0 ? 'refused' : 'allowed');
            seen[gate.verdict]++;
            assertMissesAreTheRest(built, gate);
            assertTrackingAgrees(built, gate, answer, asked.service);
          }
        }
      }
    }),
    { numRuns: RUNS },
  );
  assert.ok(seen.allowed > 0 && seen.refused > 0, 'the generator made one verdict only');
});

/** A refused gate tells of every rule it has, each with what fails, nearest first. */
function assertMissesAreTheRest(built: PolicyModel, gate: GateAnswer): void {
  if (gate.verdict === 'allowed') {
    assert.deepEqual(gate.nearMisses, []);
    return;
  }
  const { groupIds } = built.interfaces.get(gate.interface.id)!;
  const all = groupIds.flatMap((id) =>
    built.groups.get(id)![gate.direction].map((rule) => rule.id),
  );
  assert.deepEqual(gate.nearMisses.map(({ rule }) => rule.id).sort(), all.sort());
  const counts = gate.nearMisses.map(({ failed }) => failed.length);
  assert.ok(counts.every((count) => count > 0));
  assert.deepEqual(
    counts,
    [...counts].sort((a, b) => a - b),
  );
}

function assertTrackingAgrees(
  built: PolicyModel,
  gate: GateAnswer,
  { family }: FamilyAnswer,
  asked: Service,
): void {
  const { tracking } = gate;
  assert.equal(tracking === undefined, gate.verdict === 'refused');
  if (tracking === undefined) return;
  const isUntracked = (sourcePort: number): boolean => {
    const destination = asked.kind === 'ports' ? asked.port : 0;
    const isIngress = gate.direction === 'ingress';
    return isUntrackedFlow(built, gate.interface.id, {
      family,
      protocol: asked.protocol,
      localPort: isIngress ? destination : sourcePort,
      remotePort: isIngress ? sourcePort : destination,
    });
  };
  if (tracking.kind === 'depends') {
    assert.ok(asked.kind === 'ports' && asked.sourcePort === undefined);
    const { untrackedSourcePorts } = tracking;
    const edges = untrackedSourcePorts.flatMap(([from, to]) => [from - 1, from, to, to + 1]);
    for (const sourcePort of [0, 1000, 40000, 65535, ...edges]) {
      if (sourcePort < 0 || sourcePort > 65535) continue;
      const told = untrackedSourcePorts.some(
        ([from, to]) => from <= sourcePort && sourcePort <= to,
      );
      assert.equal(told, isUntracked(sourcePort), `source port ${sourcePort}`);
    }
    return;
  }
  const sourcePorts =
    asked.kind === 'ports' && asked.sourcePort === undefined
      ? [0, 22, 80, 40000, 65535]
      : [asked.kind === 'ports' ? asked.sourcePort! : 0];
  for (const sourcePort of sourcePorts)
    assert.equal(
      tracking.kind === 'untracked',
      isUntracked(sourcePort),
      `source port ${sourcePort}`,
    );
}

function packetOf({ from, to, family }: FamilyAnswer, asked: Service, srcPort: number): Uint8Array {
  const { address: src } = from;
  const { address: dst } = to;
  switch (asked.kind) {
    case 'ports': {
      const transport = { srcPort, dstPort: asked.port };
      if (asked.protocol === 6) {
        const syn = { ...transport, flags: 'S' };
        return family === 4 ? tcp4(src, dst, syn) : tcp6(src, dst, syn);
      }
      return family === 4 ? udp4(src, dst, transport) : udp6(src, dst, transport);
    }
    case 'icmp': {
      const message = { type: asked.type, code: asked.code };
      return family === 4 ? icmp4(src, dst, message) : icmp6(src, dst, message);
    }
    case 'protocol': {
      const { protocol } = asked;
      const payload = new Uint8Array(16);
      return family === 4
        ? ipv4({ src, dst, protocol, payload })
        : ipv6({ src, dst, nextHeader: protocol, payload });
    }
    default:
      return asked satisfies never;
  }
}

test('the packet asked about fares on the packet path as explained', () => {
  const reasons = new Set<string>();
  fc.assert(
    fc.property(
      text,
      question,
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      (instances, asked, hasUplink, allowsClassE, hasPort) => {
        const written = hasPort ? withPlatformPort(instances) : instances;
        const network: Network = {
          model: model(written),
          special: specialAddresses(PLATFORM, { allowsClassE }),
          hasUplink,
        };
        for (const answer of explain(network, asked).answers) {
          const { from, to, reason, gates } = answer;
          reasons.add(reason);
          // Without an uplink there is no port that a stranger's packet could come in by.
          if (from.kind !== 'interface' && !hasUplink) continue;
          // An instance's packets to itself stay inside; one that left would find its own flow at the
          // second gate.
          if (from.kind === 'interface' && to.kind === 'interface' && from.id === to.id) continue;
          const rig = new Rig(written, { hasUplink, platform: PLATFORM, allowsClassE });
          const srcPort = asked.service.kind === 'ports' ? (asked.service.sourcePort ?? 40000) : 0;
          const entry = from.kind === 'interface' ? from.name : 'uplink';
          const isBehindPort = hasPort && PORT_ADDRESSES.includes(to.address);
          const exit = to.kind === 'interface' ? to.name : isBehindPort ? 'platform' : 'uplink';
          const fared = rig.send(entry, packetOf(answer, asked.service, srcPort));
          assert.equal(fared, reason === 'passed' ? exit : reason);

          const flows = gates.filter(({ reached, tracking }) => {
            if (!reached || tracking === undefined) return false;
            if (tracking.kind !== 'depends') return tracking.kind === 'tracked';
            return !tracking.untrackedSourcePorts.some(([a, b]) => a <= srcPort && srcPort <= b);
          });
          assert.equal(rig.states.length, flows.length);
        }
      },
    ),
    { numRuns: RUNS },
  );
  assert.deepEqual([...reasons].sort(), [
    'egress-rules',
    'ingress-rules',
    'link-scope',
    'martian',
    'no-route',
    'passed',
    'uplink-spoof',
  ]);
});
