/**
 * Flows that go from one host to another with their interface: the connection goes on as it was, and what a host says
 * that lies opens nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, type Address } from '../../src/addr/address.ts';
import { FLOW_STATE, KEY_META, RULE_PLATFORM, STATE_WORDS } from '../../src/conntrack/entry.ts';
import { FlowRecord, recordWords } from '../../src/conntrack/flow-record.ts';
import { REPLIED, STATE_NAMES } from '../../src/conntrack/states.ts';
import {
  copyFlows,
  findFlowsOf,
  packRecords,
  takeFlows,
  type FlowRecords,
} from '../../src/dataplane/handed-flows.ts';
import { packHanded, readHanded } from '../../src/service/handed-flows.ts';
import { packFlows } from '../../src/service/snapshot.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { udp4 } from '../packets/build.ts';

const WEB = '10.0.0.11';
const DB = '10.0.0.12';
const FAR = '9.0.0.1';

/** `web` may ask anybody, and lets nobody in but by ssh. */
function makeRig(
  ingress: readonly string[] = ['tcp 22 from 9.0.0.0/8'],
  egress = ['all to 0.0.0.0/0'],
): Rig {
  return new Rig(
    {
      groups: { web: { ingress: [...ingress], egress } },
      interfaces: {
        db: { addresses: [DB], groups: ['web'] },
        web: { addresses: [WEB], groups: ['web'] },
      },
    },
    { acceptsMidstream: false },
  );
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

/** What a host copies of the interface `web`. */
function leave(rig: Rig, nowMs: number): FlowRecords {
  const ports = [2];
  const entries = findFlowsOf(rig.flows4, new Set(ports));
  const none = packRecords([]);
  return copyFlows(
    rig.engine.gates,
    { ports, entries4: entries, entries6: [], arriving: none },
    nowMs,
  );
}

/** @returns how many flows another host takes in, for `web` */
function arrive(rig: Rig, bytes: Buffer, nowMs: number, elapsedMs = 0, port = 2): number {
  const { records } = readHanded(bytes, { port, addresses: [address(WEB)], elapsedMs });
  return takeFlows(rig.engine.gates, packRecords(records), nowMs).get(port) ?? 0;
}

function connect(rig: Rig, talk: Conversation, from: string, to: string, atMs: number): void {
  assert.equal(rig.send(from, talk.syn(), atMs), to);
  assert.equal(rig.send(to, talk.synAck(), atMs + 1), from);
  assert.equal(rig.send(from, talk.ack('client'), atMs + 2), to);
}

test('a connection goes on where it was, also in the direction that no rule admits', () => {
  const [before, after] = [makeRig(), makeRig()];
  const [out, inward] = [new Conversation(WEB, 40_000, FAR, 80), new Conversation(FAR, 40_000, WEB, 22)]; // prettier-ignore
  connect(before, out, 'web', 'uplink', 1000);
  connect(before, inward, 'uplink', 'web', 1000);
  connect(before, new Conversation(DB, 40_000, FAR, 80), 'db', 'uplink', 1000);
  // The loops of the other host have another clock.
  const packed = packHanded([leave(before, 5000)], 2);
  assert.deepEqual([packed.flows, packed.leftOut], [2, 0]);
  assert.equal(after.send('uplink', out.data('server'), 700_000), 'ingress-rules');
  assert.equal(arrive(after, packed.bytes, 700_000, 1000), 2);
  assert.equal(after.send('uplink', out.data('server'), 700_001), 'web');
  assert.equal(after.send('web', out.ack('client'), 700_002), 'uplink');
  assert.equal(after.send('web', inward.data('server'), 700_003), 'uplink');
  // Windows are those of the connection, so what is outside of them is not of it.
  out.server.next += 1 << 29;
  assert.equal(after.send('uplink', out.data('server'), 700_004), 'tcp-window');
  after.engine.gates.tracker.assertCounts();
});

test('its age goes on, and what has aged meanwhile is forgotten', () => {
  const before = makeRig();
  assert.equal(before.send('web', udp4(WEB, FAR, { srcPort: 5000, dstPort: 53, payload: 'q' }), 1000), 'uplink'); // prettier-ignore
  assert.equal(before.send('uplink', udp4(FAR, WEB, { srcPort: 53, dstPort: 5000, payload: 'a' }), 1000), 'web'); // prettier-ignore
  const { bytes } = packHanded([leave(before, 11_000)], 2);
  assert.equal(arrive(makeRig(), bytes, 0, 21_000), 0);
  const after = makeRig();
  assert.equal(arrive(after, bytes, 0, 19_000), 1);
  const again = udp4(FAR, WEB, { srcPort: 53, dstPort: 5000, payload: 'a' });
  assert.equal(after.send('uplink', again, 999), 'web');
});

test('the rules in force where it comes decide anew', () => {
  const before = makeRig();
  connect(before, new Conversation(FAR, 40_000, WEB, 22), 'uplink', 'web', 1000);
  const { bytes } = packHanded([leave(before, 2000)], 2);
  const after = makeRig(['tcp 443 from 9.0.0.0/8']);
  assert.equal(arrive(after, bytes, 3000), 0);
  assert.equal(after.flows4.count, 0);
});

test('a flow with an address that was released comes as one that is ended, whoever has noticed', () => {
  const isReleased = ({ remoteAddress }: FlowRecord): boolean =>
    remoteAddress.join() === address(FAR).words.join();
  for (const by of ['the host before', 'the host after', 'none'] as const) {
    const [before, after] = [makeRig(), makeRig()];
    const [gone, stays] = [FAR, '9.0.0.2'].map((far) => new Conversation(WEB, 40_000, far, 80));
    for (const talk of [gone, stays]) connect(before, talk, 'web', 'uplink', 1000);
    const { bytes } = packHanded([leave(before, 2000)], 2, by === 'the host before' ? isReleased : undefined); // prettier-ignore
    const whose = { port: 2, addresses: [address(WEB)], elapsedMs: 0 };
    const more = by === 'the host after' ? { isReleased } : {};
    const { records } = readHanded(bytes, { ...whose, ...more });
    takeFlows(after.engine.gates, packRecords(records), 3000);
    // Neither side brings it back.
    const expected = by === 'none' ? ['uplink', 'web'] : ['revoked', 'revoked'];
    const seen = [after.send('web', gone.data('client'), 3001), after.send('uplink', gone.data('server'), 3002)]; // prettier-ignore
    assert.deepEqual(seen, expected, by);
    assert.equal(after.send('uplink', stays.data('server'), 3003), 'web');
    after.engine.gates.tracker.assertCounts();
  }
});

test('a flow of another address is refused, and one that its port has no room for', () => {
  const before = makeRig();
  connect(before, new Conversation(WEB, 40_000, FAR, 80), 'web', 'uplink', 1000);
  connect(before, new Conversation(WEB, 40_001, FAR, 80), 'web', 'uplink', 1000);
  const { bytes } = packHanded([leave(before, 2000)], 2);
  const whose = { port: 2, addresses: [address(DB)], elapsedMs: 0 };
  assert.deepEqual(readHanded(bytes, whose), { records: [], refused: 2 });
  const after = makeRig();
  after.maxFlowsByPort[2] = 1;
  assert.equal(arrive(after, bytes, 3000), 1);
});

/** Records as somebody makes them up. */
const forged = fc.array(
  fc.record({
    protocol: fc.constantFrom(1, 6, 17, 47, 255),
    state: fc.nat(STATE_NAMES.length + 2),
    more: fc.integer(),
    ports: fc.integer(),
    isOwn: fc.boolean(),
    isPlatform: fc.boolean(),
    words: fc.array(fc.integer(), { minLength: STATE_WORDS, maxLength: STATE_WORDS }),
  }),
  { maxLength: 40 },
);

test('whatever is said, no invariant breaks, and what no rule admits from its opener is not tracked', () => {
  const [own, db, far] = [WEB, DB, FAR].map((text) => address(text).words[0]);
  fc.assert(
    fc.property(forged, (flows) => {
      const size = recordWords(4);
      const words = new Int32Array(flows.length * size);
      flows.forEach(({ protocol, state, more, ports, isOwn, isPlatform, words: rest }, i) => {
        const record = words.subarray(i * size, (i + 1) * size);
        record.set(rest, size - STATE_WORDS);
        const stateAt = size - STATE_WORDS + FLOW_STATE;
        record[stateAt] = (more & ~0xff) | state | REPLIED;
        record[stateAt + 1] = isPlatform ? RULE_PLATFORM : rest[2];
        record[KEY_META] = (2 << 16) | protocol;
        record.set([ports, isOwn ? own : db, far], KEY_META + 1);
      });
      const bytes = packFlows({ interfaces: [], rules: [] }, [{ family: 4, words }]);
      const rig = makeRig(['tcp 22 from 9.0.0.0/8'], []);
      arrive(rig, bytes, 1000);
      for (const flow of findFlowsOf(rig.flows4, new Set([2]))) {
        const at = flow * size;
        const record = new FlowRecord(rig.flows4.words.slice(at, at + size));
        const { key, stateWord } = record;
        const isRevoked = STATE_NAMES[stateWord & 0xff] === 'revoked';
        const isSsh = (key[KEY_META] & 0xff) === 6 && key[KEY_META + 1] >>> 16 === 22;
        assert.ok(isRevoked || isSsh, key.join(' '));
        assert.equal(record.localAddress[0], own);
      }
      rig.engine.gates.tracker.assertCounts();
      for (const { ports } of flows) {
        const [local, remote] = [ports >>> 16, ports & 0xffff];
        const talk = new Conversation(FAR, remote, WEB, local);
        for (const [from, packet] of [
          ['uplink', talk.data('client')],
          ['web', talk.data('server')],
          ['uplink', talk.fin('client')],
          ['uplink', talk.syn()],
        ] as const)
          rig.send(from, packet, 1001);
        rig.send('uplink', udp4(FAR, WEB, { srcPort: remote, dstPort: local, payload: 'x' }), 1002);
      }
      rig.engine.gates.tracker.sweep(1000, 2_000_000);
      rig.engine.gates.tracker.assertCounts();
    }),
    { numRuns: 300 },
  );
});
