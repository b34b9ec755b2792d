/** Who opened what, of packets: by SYN, by order, by ports; what is passed over; what does not fit in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conversations } from '../../src/learn/conversations.ts';
import { PacketLearner } from '../../src/learn/see-packets.ts';
import { Conversation } from '../engine/conversation.ts';
import { icmp4, icmp6, icmpError4, ipv4, tcp4, udp4, udp6 } from '../packets/build.ts';
import { capturedOf, conversationLines, seePackets, type Step } from './support.ts';

const A = '10.0.0.1';
const B = '203.0.113.9';

const linesOf = (...steps: readonly Step[]): readonly string[] =>
  conversationLines(seePackets(steps));
const udp = (src: string, srcPort: number, dst: string, dstPort: number): Uint8Array =>
  udp4(src, dst, { srcPort, dstPort, payload: 'x' });

test('TCP: flows of one service are one conversation, whatever their ports', () => {
  const one = new Conversation(B, 40_000, A, 443);
  const other = new Conversation(B, 40_001, A, 443);
  assert.deepEqual(
    linesOf(
      [0, one.syn()],
      [1, one.synAck()],
      [2, other.syn()],
      [3, one.ack('client')],
      [4, other.synAck()],
    ),
    ['6/443 203.0.113.9 > 10.0.0.1 x2 answered'],
  );
});

test('TCP: a SYN sent again is no flow more, a new connection with the same ports is', () => {
  const talk = new Conversation(B, 40_000, A, 443);
  const syn = talk.syn();
  assert.deepEqual(linesOf([0, syn], [1000, syn], [3000, syn]), [
    '6/443 203.0.113.9 > 10.0.0.1 x1',
  ]);
  const answer = talk.synAck();
  assert.deepEqual(linesOf([0, syn], [1, answer], [60_000, syn]), [
    '6/443 203.0.113.9 > 10.0.0.1 x2 answered',
  ]);
});

test('TCP: a refusal is no answer; a reset of what was answered does not undo it', () => {
  const refused = tcp4(A, B, { srcPort: 443, dstPort: 40_000, flags: 'RA' });
  const talk = new Conversation(B, 40_000, A, 443);
  const syn = talk.syn();
  assert.deepEqual(linesOf([0, syn], [1, refused]), ['6/443 203.0.113.9 > 10.0.0.1 x1']);
  assert.deepEqual(linesOf([0, syn], [1, talk.synAck()], [2, refused]), [
    '6/443 203.0.113.9 > 10.0.0.1 x1 answered',
  ]);
});

test('TCP: of what began before, a SYN-ACK tells, else the lower port', () => {
  const talk = new Conversation(B, 50_000, A, 40_000);
  talk.syn();
  assert.deepEqual(linesOf([0, talk.synAck()]), ['6/40000 203.0.113.9 > 10.0.0.1 x1 answered']);
  const data = tcp4(A, B, { srcPort: 8080, dstPort: 40_000, flags: 'PA', payload: 'x' });
  assert.deepEqual(linesOf([0, data]), ['6/8080 203.0.113.9 > 10.0.0.1 x1 answered']);
});

test('UDP: who sends first asks, unless ports say that it answers', () => {
  assert.deepEqual(linesOf([0, udp(A, 40_000, B, 53)], [5, udp(B, 53, A, 40_000)]), [
    '17/53 10.0.0.1 > 203.0.113.9 x1 answered',
  ]);
  assert.deepEqual(linesOf([0, udp(B, 53, A, 40_000)]), [
    '17/53 10.0.0.1 > 203.0.113.9 x1 answered',
  ]);
  assert.deepEqual(linesOf([0, udp(A, 123, B, 123)], [10, udp(B, 123, A, 123)]), [
    '17/123 10.0.0.1 > 203.0.113.9 x1 answered',
  ]);
});

test('UDP: after the time-out the other side opens anew; an answer then is late', () => {
  assert.deepEqual(linesOf([0, udp(A, 123, B, 123)], [31_000, udp(B, 123, A, 123)]), [
    '17/123 10.0.0.1 > 203.0.113.9 x1',
    '17/123 203.0.113.9 > 10.0.0.1 x1',
  ]);
  assert.deepEqual(linesOf([0, udp(A, 40_000, B, 53)], [200_000, udp(B, 53, A, 40_000)]), [
    '17/53 10.0.0.1 > 203.0.113.9 x2 answered late 1',
  ]);
});

test('ICMP: a query and its reply, of either family; errors are about something else', () => {
  const ask = icmp4(A, B, { type: 8, code: 0, id: 7 });
  const answer = icmp4(B, A, { type: 0, code: 0, id: 7 });
  assert.deepEqual(linesOf([0, ask], [1, answer]), ['1/2048 10.0.0.1 > 203.0.113.9 x1 answered']);
  assert.deepEqual(linesOf([0, answer]), ['1/2048 10.0.0.1 > 203.0.113.9 x1 answered']);
  const ask6 = icmp6('fd00::1', '2001:db8::1', { type: 128, code: 0, id: 7 });
  assert.deepEqual(linesOf([0, ask6]), ['58/32768 fd00::1 > 2001:db8::1 x1']);
  const error = icmpError4(B, A, { type: 3, code: 3, quoted: udp(A, 40_000, B, 53) });
  assert.deepEqual(linesOf([0, error]), []);
});

test('other protocols, IPv6, and what is of no conversation', () => {
  const gre = ipv4({ src: A, dst: B, protocol: 47, payload: new Uint8Array(8) });
  assert.deepEqual(linesOf([0, gre]), ['47/0 10.0.0.1 > 203.0.113.9 x1']);
  const six = udp6('fd00::1', '2001:db8::1', { srcPort: 40_000, dstPort: 53 });
  assert.deepEqual(linesOf([0, six]), ['17/53 fd00::1 > 2001:db8::1 x1']);
  const learner = new PacketLearner(new Conversations());
  for (const packet of [
    udp(A, 5353, '224.0.0.251', 5353),
    udp('127.0.0.1', 1, '127.0.0.1', 2),
    udp6('fe80::1', 'fd00::1', { srcPort: 1, dstPort: 2 }),
    udp(A, 40_000, '169.254.169.254', 80),
    Uint8Array.of(0x45, 0, 0),
    Uint8Array.of(1, 2, 3),
  ])
    learner.see(capturedOf([0, packet]));
  const { linkScope, platform, bad, cutShort, notIp, seen } = learner.counts;
  assert.deepEqual({ linkScope, platform, bad: bad + cutShort + notIp, seen }, { linkScope: 3, platform: 1, bad: 2, seen: 0 }); // prettier-ignore
});

test('memory is bounded: what was not answered makes room, and each address has a part', () => {
  const full = new Conversations(8, 8);
  const steps: Step[] = [];
  for (let i = 0; i < 3; i++) {
    steps.push(
      [i, udp(`203.0.113.${i}`, 40_000, A, 53)],
      [i, udp(A, 53, `203.0.113.${i}`, 40_000)],
    );
  }
  for (let i = 0; i < 6; i++) steps.push([10 + i, udp(B, 40_000, A, 1000 + i)]);
  seePackets(steps, full);
  assert.deepEqual(conversationLines(full), [
    '17/53 203.0.113.0 > 10.0.0.1 x1 answered',
    '17/53 203.0.113.1 > 10.0.0.1 x1 answered',
    '17/53 203.0.113.2 > 10.0.0.1 x1 answered',
    '17/1005 203.0.113.9 > 10.0.0.1 x1',
  ]);
  const { flows, packets } = full.forgotten;
  assert.deepEqual([flows, packets, full.beyond.flows], [5, 5, 0]);
  assert.equal(full.forgottenOf([(203 << 24) | (113 << 8) | 9]), 5);

  const part = new Conversations(8, 2);
  seePackets(steps, part);
  assert.equal(part.beyond.flows, 4);
  assert.equal(part.beyond.packets, 4);
  assert.equal(part.all.length, 5);
});
