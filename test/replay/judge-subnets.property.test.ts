/** A packet passes network ACLs and routes if policy/subnets.ts says so of its flow: at once, or packet by packet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UPLINK_PORT } from '../../src/policy/compiled.ts';
import { hasService, serviceNumber } from '../../src/policy/service-set.ts';
import { passagesBetween } from '../../src/policy/subnets.ts';
import { SubnetJudge } from '../../src/replay/judge-subnets.ts';
import { Packet } from '../../src/wire/packet.ts';
import { endOf, ends, PORTS, type Place } from '../policy/subnet-models.ts';

const ONE = 1;
const OTHER = 2;

function packetBetween(
  from: Place,
  to: Place,
  protocol: number,
  srcPort: number,
  dstPort: number,
): Packet {
  const [src0] = from.address.words;
  const [dst0] = to.address.words;
  return Object.assign(new Packet(), { family: 4, protocol, src0, dst0, srcPort, dstPort });
}

test('what is asked of packets is what is asked of their flow', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      ends,
      ends,
      fc.constantFrom(6, 17),
      fc.constantFrom(...PORTS),
      fc.constantFrom(...PORTS),
      (from, to, protocol, port, answers) => {
        const [source, target] = [endOf(from), endOf(to)];
        const passages = passagesBetween(source, target, 4, [answers, answers]);
        const service = serviceNumber(protocol, port);
        const isSure = passages.every(({ sure }) => hasService(sure, service));
        const isPossible = passages.every(({ maybe }) => hasService(maybe, service));

        const interfaces = [undefined, source.own, target.own];
        const judge = new SubnetJudge(interfaces, true);
        const ofPackets = new SubnetJudge(interfaces, false);
        const [here, there] = [from.own && ONE, to.own && OTHER].map((one) => one ?? UPLINK_PORT);
        const opening = packetBetween(from, to, protocol, answers, port);
        assert.equal(judge.passes(opening, here, there, true), isSure);
        judge.tell(opening, here, there, true);
        assert.equal(judge.refusal === undefined, isSure);
        // The first that refuses is told, which may be in doubt though another one refuses for certain.
        if (judge.refusal?.isCertain === true) assert.equal(isPossible, false);
        if (isPossible) assert.notEqual(judge.refusal?.isCertain, true);

        const isThere = ofPackets.passes(opening, here, there, true);
        const answer = packetBetween(to, from, protocol, port, answers);
        const isBack = protocol !== 6 || ofPackets.passes(answer, there, here, false);
        assert.equal(isThere && isBack, isSure);
        const kind = isSure ? 'sure' : isPossible ? 'possible' : 'refused';
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
      },
    ),
    { numRuns: 3000 },
  );
  assert.deepEqual([...seen.keys()].sort(), ['possible', 'refused', 'sure']);
});
