/** The latest drops are kept, a bounded number of them, whatever strangers send. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropExamples, EXAMPLES_MAX, KINDS_MAX } from '../../src/queries/drop-examples.ts';
import { explainDrop, listDrops } from '../../src/queries/drops-view.ts';
import { readTraffic } from '../../src/queries/interfaces-view.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import {
  AUDITED_BY_NAME,
  AUDITED_PACKETS,
  count,
  counterRow,
  EGRESS,
  INGRESS,
} from '../../src/engine/counters.ts';
import {
  EVENT_AUDIT,
  EVENT_DROP,
  EVENT_NO_RULE,
  WANT_AUDITS,
  WANT_DROPS,
} from '../../src/engine/events.ts';
import {
  EGRESS_RULES,
  INGRESS_RULES,
  LINK_SCOPE,
  SOURCE_CHECK,
  TCP_WINDOW,
  TLS_NAME,
  TLS_NAME_AWAITED,
} from '../../src/engine/reasons.ts';
import { NO_FLOW } from '../../src/conntrack/entry.ts';
import { Packet } from '../../src/wire/packet.ts';
import { NOW_MS, Seeing } from '../telemetry/seeing.ts';

const DB = 3;
const WEB = 1;

/** Tells of a dropped TCP segment, and counts it. */
function drop(
  seeing: Seeing,
  port: number,
  direction: number,
  reason: number,
  sourcePort: number,
  kind = EVENT_DROP,
): void {
  const packet = new Packet();
  packet.family = 4;
  packet.protocol = 6;
  packet.src0 = direction === EGRESS ? 0x0a00000b : 0xc6336407 | 0;
  packet.dst0 = direction === EGRESS ? 0x0a00000d : 0x0a00000d;
  packet.srcPort = sourcePort;
  packet.dstPort = 5432;
  packet.tcpFlags = 2;
  seeing.ring.beginRound(NOW_MS);
  seeing.ring.tellPacket(
    kind,
    reason,
    packet,
    true,
    port,
    direction,
    EVENT_NO_RULE,
    NO_FLOW,
    1,
    60,
  );
  if (kind === EVENT_DROP) count(seeing.counters, port, direction, reason, 1, 60);
}

test('the latest of each kind, newest first, with counts and meaning', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  for (let i = 1; i <= 20; i++) drop(seeing, DB, INGRESS, INGRESS_RULES, i);
  drop(seeing, WEB, EGRESS, EGRESS_RULES, 99);
  const { drops, lost } = listDrops(seeing.observatory, seeing.book, seen, {});
  assert.equal(lost, 0);
  assert.deepEqual(
    drops.map(({ interface: name, direction, reason, packets }) => [
      name,
      direction,
      reason,
      packets,
    ]),
    [
      ['eni-db-1', 'ingress', 'ingress-rules', 20],
      ['eni-web-1', 'egress', 'egress-rules', 1],
    ],
  );
  const [{ examples, meaning }] = drops;
  assert.equal(meaning, 'no ingress rule of the groups on the interface admits it');
  assert.deepEqual(
    examples.map(({ id, packet }) => [id, packet?.remotePort]),
    [20, 19, 18, 17, 16, 15, 14, 13].map((i) => [i, i]),
  );
  assert.deepEqual(examples[0].packet, {
    family: 4,
    protocol: 'tcp',
    localAddress: '10.0.0.13',
    localPort: 5432,
    remoteAddress: '198.51.100.7',
    remotePort: 20,
    tcpFlags: 'S',
  });
});

test('what passes by audit: by the rules of a gate, and by a required server name', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  const row = counterRow(WEB, EGRESS);
  seeing.counters[row + AUDITED_PACKETS] = 10;
  seeing.counters[row + AUDITED_BY_NAME] = 4;
  seeing.counters[row + AUDITED_BY_NAME + 1] = 1;
  drop(seeing, WEB, EGRESS, EGRESS_RULES, 1, EVENT_AUDIT);
  drop(seeing, WEB, EGRESS, TLS_NAME, 2, EVENT_AUDIT);
  // Of a server that speaks first: the gate is that of the egress rule.
  drop(seeing, WEB, INGRESS, TLS_NAME_AWAITED, 3, EVENT_AUDIT);
  const { drops } = listDrops(seeing.observatory, seeing.book, seen, { audit: true });
  assert.deepEqual(
    drops.map(({ direction, reason, packets, examples }) => [
      ...[direction, reason, packets],
      examples.map(({ id }) => id),
    ]),
    [
      ['egress', 'egress-rules', 5, [1]],
      ['egress', 'tls-name', 4, [2]],
      ['egress', 'tls-name-awaited', 1, [3]],
    ],
  );
  const one = { audit: true, reasons: ['tls-name'] };
  const named = listDrops(seeing.observatory, seeing.book, seen, one);
  assert.deepEqual(
    named.drops.map(({ packets }) => packets),
    [4],
  );
});

test('filters of drops', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  drop(seeing, DB, INGRESS, INGRESS_RULES, 1);
  drop(seeing, WEB, EGRESS, EGRESS_RULES, 2);
  const list = (question: Parameters<typeof listDrops>[3]): string[] =>
    listDrops(seeing.observatory, seeing.book, seen, question).drops.map(({ reason }) => reason);
  assert.deepEqual(list({ interfaces: ['eni-db-1'] }), ['ingress-rules']);
  assert.deepEqual(list({ direction: 'egress' }), ['egress-rules']);
  assert.deepEqual(list({ reasons: ['egress-rules'] }), ['egress-rules']);
  assert.deepEqual(list({ reasons: ['martian'] }), []);
  assert.throws(() => list({ reasons: ['bad luck'] }), RequestError);
  assert.throws(() => list({ interfaces: ['nobody'] }), RequestError);
});

test('a flood of kinds pushes out kinds, and memory stays bounded', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  seeing.names = new Map(Array.from({ length: 400 }, (_, port) => [port, `port-${port}`]));
  for (let round = 0; round < 20; round++) {
    for (let port = 0; port < 400; port++) drop(seeing, port, INGRESS, INGRESS_RULES, round);
    seeing.pump.flush();
  }
  const kept = seen.examples();
  assert.equal(seen.total, 8000);
  assert.ok(kept.length <= KINDS_MAX * EXAMPLES_MAX);
  assert.equal(new Set(kept.map(({ event }) => event.port)).size, KINDS_MAX);
  assert.equal(kept[0].id, 8000);
});

test('a port that another interface has now shows none of the examples of the one before', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  drop(seeing, DB, INGRESS, INGRESS_RULES, 1);
  drop(seeing, WEB, EGRESS, EGRESS_RULES, 2);
  seeing.pump.flush();
  seeing.config = { ...seeing.config };
  seeing.names = new Map([...seeing.names, [DB, 'eni-new']]);
  drop(seeing, WEB, EGRESS, EGRESS_RULES, 3);
  assert.deepEqual(
    seen.examples().map(({ id, event }) => [id, event.port]),
    [
      [3, WEB],
      [2, WEB],
    ],
  );
});

test('a drop that was seen is explained by the rules in force', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  const explained = (
    id?: number,
  ): Extract<ReturnType<typeof explainDrop>, { outcome: 'explained' }> => {
    const answer = explainDrop(seeing.observatory, seeing.book, seen, id);
    assert.ok(answer.outcome === 'explained');
    return answer;
  };
  drop(seeing, DB, INGRESS, INGRESS_RULES, 1);
  const { explanation, service } = explained(1);
  assert.deepEqual(service, { kind: 'ports', protocol: 6, port: 5432, sourcePort: 1 });
  assert.equal(explanation!.answers[0].reason, 'ingress-rules');
  const [gate] = explanation!.answers[0].gates;
  assert.match(gate.nearMisses[0].text, /^would match if the source were in sg:app/);

  // Forged: its port says who sent it, not its address.
  drop(seeing, WEB, EGRESS, SOURCE_CHECK, 2);
  assert.equal(explained(2).drop.reason, 'source-check');
  drop(seeing, WEB, EGRESS, TCP_WINDOW, 3);
  assert.equal(explained(3).drop.meaning?.slice(0, 32), 'a TCP packet outside the window ');

  // Chatter with the link is nobody's question.
  drop(seeing, WEB, EGRESS, LINK_SCOPE, 4);
  assert.equal(explained().drop.id, 3);
  assert.equal(explained(4).drop.id, 4);
  const list = (reasons?: readonly string[]) =>
    listDrops(
      seeing.observatory,
      seeing.book,
      seen,
      reasons === undefined ? {} : { reasons },
    ).drops.map(({ reason }) => reason);
  assert.equal(list().includes('link-scope'), false);
  assert.equal(list().includes('tcp-window'), true);
  assert.deepEqual(list(['link-scope']), ['link-scope']);
  assert.equal(
    readTraffic(seeing.counters, WEB, EGRESS).droppedPackets,
    2,
    'source-check and tcp-window',
  );
  assert.deepEqual(explainDrop(seeing.observatory, seeing.book, seen, 5), {
    outcome: 'unknown',
    kept: 4,
    newest: 4,
  });
});

test('drops are kept from the start: the packet loop is told to tell them', (t) => {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const seen = new DropExamples(seeing.observatory);
  seeing.ring.beginRound(NOW_MS);
  assert.equal(seeing.ring.wanted, WANT_DROPS | WANT_AUDITS);
  seen.stop();
  seeing.ring.beginRound(NOW_MS);
  assert.equal(seeing.ring.wanted, 0);
});
