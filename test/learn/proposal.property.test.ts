/**
 * The proposal for some traffic, replayed over the same traffic, drops nothing but what was set apart; and no rule
 * admits more pairs than the bound, counted pair by pair.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Config } from '../../src/config/config.ts';
import { makeConfig } from '../../src/inputs/make-config.ts';
import { addressKey, type Conversation } from '../../src/learn/conversation.ts';
import type { Learnt } from '../../src/learn/learn.ts';
import { modelOf } from '../../src/learn/proposal-model.ts';
import type { Proposed } from '../../src/learn/propose.ts';
import { matchingRules } from '../../src/policy/reference.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { Findings, isByRules } from '../../src/replay/findings.ts';
import { CaptureJudge } from '../../src/replay/judge-capture.ts';
import { FlowLogJudge } from '../../src/replay/judge-flow-log.ts';
import { World } from '../../src/replay/world.ts';
import { FlowLogReader } from '../../src/recorded/flow-log-reader.ts';
import { READ_ONE } from '../../src/recorded/captured-packet.ts';
import { decode } from '../../src/wire/decode.ts';
import { Packet } from '../../src/wire/packet.ts';
import { sourceOf } from '../recorded/write-capture.ts';
import { withSmallTables } from '../replay/support.ts';
import {
  capturedOf,
  owner,
  proposedFor,
  seePackets,
  seeRecords,
  sorted,
  type Step,
} from './support.ts';
import { INSIDE_4, INSIDE_6, traffic } from './traffic.ts';

const OWNERS = INSIDE_4.map((address, i) => owner(`i${i}`, address, INSIDE_6[i]));
const FACTORS = [1, 2, 4, 1000];
/** Late answers are told of their conversation: groups drop them, whatever the rules. */
const isToldApart = (learnt: Learnt): ReadonlySet<Conversation> =>
  new Set([
    ...learnt.apart.map(({ conversation }) => conversation),
    ...learnt.kept.filter(({ late }) => late > 0),
  ]);

function configOf(model: PolicyModel): Config {
  return withSmallTables(makeConfig('test', model, '/run/netns'));
}

/** Whether a packet between the two may be of one of the conversations. */
function isOf(all: ReadonlySet<Conversation>, packet: Packet): boolean {
  const { family, src0, src1, src2, src3, dst0, dst1, dst2, dst3, protocol, srcPort, dstPort } =
    packet;
  const src = addressKey(family === 4 ? [src0] : [src0, src1, src2, src3]);
  const dst = addressKey(family === 4 ? [dst0] : [dst0, dst1, dst2, dst3]);
  const isIcmp = protocol === 1 || protocol === 58;
  return [...all].some((one) => {
    if (one.protocol !== protocol) return false;
    const [opener, target] = [addressKey(one.opener), addressKey(one.target)];
    const isForward = opener === src && target === dst && (isIcmp || one.service === dstPort);
    return isForward || (opener === dst && target === src && (isIcmp || one.service === srcPort));
  });
}

/** Checks the bound: for each rule, the pairs that it admits against those of what was kept that it admits. */
function checkBound(learnt: Learnt, proposed: Proposed, model: PolicyModel, factor: number): void {
  for (const { group, members, rules } of proposed.groups)
    for (const { rule, evidence } of rules) {
      const seen = new Set<string>();
      for (const { opener, target, family, protocol, service } of learnt.kept)
        for (const member of members) {
          const isIngress = rule.direction === 'ingress';
          const [own, remote] = isIngress ? [target, opener] : [opener, target];
          if (!member.addresses.some(({ words }) => addressKey(words) === addressKey(own)))
            continue;
          const probe = { protocol, port: service, icmpType: service >> 8, icmpCode: service & 255, remote: { family, words: remote } }; // prettier-ignore
          if (!matchingRules(model, member.id, rule.direction, probe).includes(rule)) continue;
          const other = learnt.owners.of(remote);
          seen.add(`${member.id} ${other < 0 || rule.peer.kind !== 'group' ? addressKey(remote) : other} ${service}`); // prettier-ignore
        }
      assert.equal(evidence.seen, seen.size, `${group.name}: ${rule.description}`);
      // Of a range of ports more are admitted than were seen, which is told apart from pairs.
      const pairs = new Set([...seen].map((one) => one.slice(0, one.lastIndexOf(' '))));
      const { ports } = evidence;
      if (ports !== undefined) {
        assert.equal(ports.all, rule.toPort - rule.fromPort + 1);
        const services = new Set([...seen].map((one) => one.slice(one.lastIndexOf(' '))));
        assert.equal(ports.seen, services.size);
      }
      const most = ports === undefined ? seen.size : pairs.size * ports.all;
      const isBlock = rule.peer.kind === 'cidr';
      // Blocks of one service are bounded together, so one of them may hold more than its part.
      if (!isBlock) assert.ok(Number(evidence.admitted) <= factor * most, rule.description);
    }
  for (const { rules } of proposed.groups) {
    const services = new Map<string, { seen: number; admitted: number }>();
    for (const { rule, evidence } of rules) {
      if (rule.peer.kind !== 'cidr' || rule.fromPort !== rule.toPort) continue;
      const key = `${rule.direction} ${rule.protocol} ${rule.fromPort} ${rule.peer.cidr.family}`;
      const sum = services.get(key) ?? { seen: 0, admitted: 0 };
      sum.seen += evidence.seen;
      sum.admitted += Number(evidence.admitted);
      services.set(key, sum);
    }
    for (const { seen, admitted } of services.values()) assert.ok(admitted <= factor * seen);
  }
}

test('a capture, replayed: nothing is dropped but what was set apart', () => {
  const packet = new Packet();
  let inRanges = 0;
  fc.assert(
    fc.property(
      traffic,
      fc.constantFrom(...FACTORS),
      fc.integer({ min: 1, max: 3 }),
      fc.constantFrom(0, 3, 8),
      (steps, factor, minFlows, dynamicPorts) => {
        const thresholds = {
          minFlows,
          minDays: 1,
          scanPlaces: 20,
          scanAnswered: 0.25,
          keepsUnanswered: false,
          dynamicPorts,
        };
        const learnt = sorted(seePackets(steps), { given: OWNERS, thresholds });
        const proposed = proposedFor(learnt, { factor });
        const model = modelOf(proposed, new Map());
        checkBound(learnt, proposed, model, factor);
        inRanges += learnt.ranges.size;
        const judge = new CaptureJudge([new World(configOf(model), true)], new Findings());
        const apart = isToldApart(learnt);
        let dropped = 0;
        for (const step of steps) {
          judge.see(capturedOf(step));
          if (judge.counts.dropped === dropped) continue;
          dropped = judge.counts.dropped;
          const [ms, bytes] = step;
          decode(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length, packet);
          assert.ok(
            isOf(apart, packet),
            `the packet at ${ms} ms is dropped, and was not set apart`,
          );
        }
      },
    ),
    { numRuns: 150 },
  );
  assert.ok(inRanges > 0, 'no traffic had ports that are taken anew');
});

const record = fc
  .record({
    from: fc.constantFrom(...INSIDE_4, '203.0.113.7', '203.0.113.8', '198.51.100.1'),
    to: fc.constantFrom(...INSIDE_4, '203.0.113.7', '203.0.113.8'),
    ports: fc.constantFrom([40_000, 443], [40_001, 443], [443, 40_000], [5432, 40_000], [40_000, 5432], [50_000, 40_000], [123, 123], [0, 0]), // prettier-ignore
    protocol: fc.constantFrom(6, 6, 17, 1, 47),
    action: fc.constantFrom('ACCEPT', 'ACCEPT', 'ACCEPT', 'REJECT'),
    flags: fc.constantFrom(0, 2, 18, 3, 19, 4),
    at: fc.nat(1000),
  })
  .filter(({ from, to }) => from !== to);

test('a flow log, replayed: nothing is dropped but what was set apart', async () => {
  const format = '${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${tcp-flags}'; // prettier-ignore
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 40 }), async (records) => {
      const text = [...records].sort((a, b) => a.at - b.at).map(({ from, to, ports, protocol, action, flags, at }) => `${from} ${to} ${ports.join(' ')} ${protocol} 3 180 ${1_700_000_000 + at} ${1_700_000_060 + at} ${action} ${flags}\n`); // prettier-ignore
      const learnt = sorted(await seeRecords(text.join(''), format), { given: OWNERS });
      const proposed = proposedFor(learnt, { factor: 2 });
      const model = modelOf(proposed, new Map());
      checkBound(learnt, proposed, model, 2);
      const findings = new Findings();
      const judge = new FlowLogJudge([new World(configOf(model), false)], findings);
      const reader = new FlowLogReader(sourceOf(Buffer.from(text.join(''))), format.replace(/[${}]/g, '').split(' ')); // prettier-ignore
      await reader.feed();
      await reader.feed();
      while (reader.step() === READ_ONE) judge.see(reader.record);
      const apart = isToldApart(learnt);
      for (const { kind, reason, example } of findings.all) {
        if (kind !== 'dropped' || !isByRules(reason)) continue;
        const packet = Object.assign(new Packet(), {
          ...{ family: example.from.family, protocol: example.protocol },
          ...{ src0: example.from.words[0], dst0: example.to.words[0] },
          ...{ srcPort: example.sourcePort, dstPort: example.port },
        });
        assert.ok(isOf(apart, packet), `${JSON.stringify(example)} is dropped, and was not set apart`); // prettier-ignore
      }
    }),
    { numRuns: 150 },
  );
});

test('the same traffic gives the same proposal', () => {
  fc.assert(
    fc.property(traffic, (steps: readonly Step[]) => {
      const once = (): string =>
        JSON.stringify(proposedFor(sorted(seePackets(steps), { given: OWNERS }), { factor: 4 }), (_, value: unknown) => typeof value === 'bigint' ? `${value}` : value); // prettier-ignore
      assert.equal(once(), once());
    }),
    { numRuns: 30 },
  );
});
