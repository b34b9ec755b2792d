/** Ports that are taken anew each time: what makes a range, how long it is, and what is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Thresholds } from '../../src/learn/set-apart.ts';
import { THRESHOLDS } from '../../src/learn/set-apart.ts';
import { findUses } from '../../src/learn/tighten.ts';
import { Conversation } from '../engine/conversation.ts';
import { tcp4, udp4 } from '../packets/build.ts';
import { model } from '../support/policy.ts';
import {
  linesOf,
  owner,
  proposedFor,
  seePackets,
  seeRecords,
  sorted,
  type Step,
} from './support.ts';

const FTP = '10.0.0.1';
const CLIENT = '203.0.113.8';
const GIVEN = [owner('ftp', FTP)];
/** Every tenth port from 50,000 on. */
const TENTHS = Array.from({ length: 11 }, (_, i) => 50_000 + 10 * i);

/** A connection that is answered. */
function talk(client: string, port: number, from = port - 10_000): readonly Step[] {
  const one = new Conversation(client, from, FTP, port);
  return [[0, one.syn()], [1, one.synAck()], [2, one.ack('client')]]; // prettier-ignore
}

const busy = (client: string, port: number): readonly Step[] =>
  [1, 2, 3, 4].flatMap((i) => talk(client, port, 30_000 + i));

function learn(steps: readonly Step[], thresholds: Partial<Thresholds> = {}) {
  return sorted(seePackets(steps), {
    given: GIVEN,
    thresholds: { ...THRESHOLDS, ...thresholds },
  });
}

const rulesOf = (steps: readonly Step[], thresholds: Partial<Thresholds> = {}): readonly string[] =>
  linesOf(proposedFor(learn(steps, thresholds))).slice(1);

test('a range goes from the lowest port to the highest and the mean gap beyond, and says how many were seen', () => {
  const control = busy(CLIENT, 21);
  const learnt = learn([...control, ...TENTHS.flatMap((port) => talk(CLIENT, port))]);
  const proposed = proposedFor(learnt);
  assert.deepEqual(linesOf(proposed), [
    'ftp: ftp',
    '  tcp 21 from 203.0.113.8/32',
    '  tcp 49991-50109 from 203.0.113.8/32',
  ]);
  const [, { rule, evidence }] = proposed.groups[0].rules;
  assert.match(rule.description, /^11 flows, .*, 11 seen, admits 119, 11 of 119 ports seen, as /);
  assert.deepEqual([evidence.seen, evidence.admitted], [11, 119n]);
  assert.deepEqual(learnt.apart, []);
});

test('too few ports, too far apart, or not wanted: they are what they are', () => {
  const few = TENTHS.slice(0, 7).flatMap((port) => talk(CLIENT, port));
  assert.deepEqual(rulesOf(few), []);
  assert.deepEqual(rulesOf(few, { dynamicPorts: 7 }), ['  tcp 49991-50069 from 203.0.113.8/32']);
  const all = TENTHS.flatMap((port) => talk(CLIENT, port));
  assert.deepEqual(rulesOf(all, { dynamicPorts: 0 }), []);
  const apart = TENTHS.map((port, i) => port - 4000 * i).flatMap((port) => talk(CLIENT, port));
  assert.deepEqual(rulesOf(apart), []);
  // Somebody who met one of the ports is no peer of the service.
  const stranger = talk('198.51.100.7', 50_000, 33_000);
  assert.deepEqual(rulesOf([...all, ...stranger]), ['  tcp 49991-50109 from 203.0.113.8/32']);
});

test('a range ends before a port that others have as a service of its own', () => {
  const all = Array.from({ length: 20 }, (_, i) => 50_000 + 10 * i).flatMap((port) =>
    talk(CLIENT, port),
  );
  assert.deepEqual(rulesOf([...all, ...busy('198.51.100.7', 50_095)]), [
    '  tcp 49991-50094 from 203.0.113.8/32',
    '  tcp 50095 from 198.51.100.7/32',
    '  tcp 50096-50199 from 203.0.113.8/32',
  ]);
  // The client has this one as well, so nothing is lost.
  assert.deepEqual(rulesOf([...all, ...busy(CLIENT, 50_095)]), [
    '  tcp 49991-50199 from 203.0.113.8/32',
    '  tcp 50095 from 203.0.113.8/32',
  ]);
});

test('what nobody answered is no service, nor is what a guess has as one', async () => {
  const traceroute = TENTHS.map((port): Step => [port, udp4(CLIENT, FTP, { srcPort: 40_000, dstPort: port })]); // prettier-ignore
  assert.deepEqual(rulesOf(traceroute), []);
  const midway = TENTHS.flatMap((port): Step[] => [
    [0, tcp4(CLIENT, FTP, { srcPort: 40_000, dstPort: port, flags: 'PA', seq: 1, ack: 1 })],
    [1, tcp4(FTP, CLIENT, { srcPort: port, dstPort: 40_000, flags: 'PA', seq: 1, ack: 1 })],
  ]);
  assert.deepEqual(rulesOf(midway), []);
  const record = (ends: string, ports: string, flags: number): string =>
    `${ends} ${ports} 6 3 180 1700000000 1700000060 ACCEPT ${flags}\n`;
  const logOf = (flags: number, answer: number): string =>
    TENTHS.flatMap((port) => [
      record(`${CLIENT} ${FTP}`, `40000 ${port}`, flags),
      record(`${FTP} ${CLIENT}`, `${port} 40000`, answer),
    ]).join('');
  const format = '${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${tcp-flags}'; // prettier-ignore
  const lines = async (flags: number, answer: number): Promise<readonly string[]> =>
    linesOf(
      proposedFor(
        sorted(await seeRecords(logOf(flags, answer), format), {
          given: GIVEN,
          thresholds: THRESHOLDS,
        }),
      ),
    ).slice(1);
  assert.deepEqual(await lines(2, 18), ['  tcp 49991-50109 from 203.0.113.8/32']);
  assert.deepEqual(await lines(0, 0), []);
});

test('tighten: a narrower rule has the range, as far as the rule goes', () => {
  const existing = model({
    groups: { ftp: { ingress: ['tcp 50000-65535 from 203.0.113.0/24'], egress: [] } },
    interfaces: { ftp: { addresses: [FTP], groups: ['ftp'] } },
  });
  const learnt = learn(TENTHS.flatMap((port) => talk(CLIENT, port)));
  assert.deepEqual(findUses(learnt, existing, 4).map(({ narrower }) => narrower), [
    ['tcp 50000-50109 from 203.0.113.8/32'],
  ]); // prettier-ignore
});
