/** What `sgctl capture` sends of the copies in the rings: matching packets, cut, in bounded answers. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { EGRESS, INGRESS } from '../../src/engine/counters.ts';
import {
  CAPTURE_BYTES,
  CaptureReader,
  captureRingBytes,
  CaptureRing,
} from '../../src/engine/capture-ring.ts';
import { WANT_CAPTURE } from '../../src/engine/events.ts';
import { INGRESS_RULES } from '../../src/engine/reasons.ts';
import {
  CaptureHub,
  type CaptureAnswer,
  type CaptureQuestion,
} from '../../src/queries/capture-stream.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import type { Observatory } from '../../src/telemetry/observatory.ts';
import { udp4 } from '../packets/build.ts';
import { NOW_MS, Seeing } from '../telemetry/seeing.ts';

const WEB = 1;
const INTERVAL_MS = 20;

interface Capturing {
  readonly seeing: Seeing;
  readonly reader: CaptureReader;
  /** Starts a client. @returns its answers, and a function that ends it */
  readonly follow: (question: CaptureQuestion) => {
    readonly answers: CaptureAnswer[];
    readonly stop: () => void;
  };
  /** The loop copies a packet of a stranger's port, of so many bytes. */
  readonly copy: (port: number, reason?: number, direction?: number, payloadBytes?: number) => void;
  /** Lets the hub look at the ring. */
  readonly look: () => void;
}

function makeCapturing(t: TestContext): Capturing {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const memory = new SharedArrayBuffer(captureRingBytes());
  const reader = new CaptureReader(memory);
  const ring = new CaptureRing(memory);
  const dataplane = { captures: [reader], uptimeMs: 5000 };
  const observatory = Object.create(seeing.observatory, {
    dataplane: { value: dataplane },
  }) as Observatory;
  const hub = new CaptureHub(observatory, seeing.book);
  t.after(() => hub.stop());
  return {
    seeing,
    reader,
    follow: (question) => {
      const answers: CaptureAnswer[] = [];
      const sink = { send: (one: CaptureAnswer) => answers.push(one) > 0, miss: () => undefined };
      return { answers, stop: hub.follow(question, sink) };
    },
    copy: (port, reason = 0, direction = INGRESS, payloadBytes = 0) => {
      const isEgress = direction === EGRESS;
      const [from, to] = isEgress ? ['10.0.0.11', '198.51.100.7'] : ['198.51.100.7', '10.0.0.11'];
      const ports = isEgress ? { srcPort: 443, dstPort: port } : { srcPort: port, dstPort: 443 };
      const packet = udp4(from, to, { ...ports, payload: new Uint8Array(payloadBytes) });
      const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
      ring.beginRound(4, 0);
      ring.copy(view, 0, packet.byteLength, WEB, direction, reason, -1);
    },
    look: () => t.mock.timers.tick(INTERVAL_MS),
  };
}

/** The stranger's port of each packet. */
function portsOf(answers: readonly CaptureAnswer[]): number[] {
  return answers
    .flatMap(({ packets }) => packets)
    .map(({ data, direction }) =>
      Buffer.from(data, 'base64').readUInt16BE(direction === 'ingress' ? 20 : 22),
    );
}

test('each client gets what it asked for, cut to the length it asked for', (t) => {
  const { follow, copy, look, reader } = makeCapturing(t);
  const all = follow({});
  const dropped = follow({ verdict: 'dropped', snapLength: 30 });
  const egress = follow({ direction: 'egress' });
  const reasons = follow({ reasons: ['ingress-rules'] });
  const port = follow({ remotePorts: ['3'] });
  assert.equal(reader.words.includes(2048), true, 'the longest that anybody asked for is copied');
  copy(1, INGRESS_RULES, INGRESS, 100);
  copy(2);
  copy(3, 0, EGRESS);
  look();
  assert.deepEqual(portsOf(all.answers), [1, 2, 3]);
  assert.deepEqual(portsOf(dropped.answers), [1]);
  assert.deepEqual(portsOf(egress.answers), [3]);
  assert.deepEqual(portsOf(reasons.answers), [1]);
  assert.deepEqual(portsOf(port.answers), [3]);
  const [{ timeMs, data, ...packet }] = dropped.answers[0].packets;
  assert.equal(Number.isFinite(timeMs), true);
  assert.equal(Buffer.from(data, 'base64').length, 30);
  assert.deepEqual(packet, {
    interface: 'eni-web-1',
    direction: 'ingress',
    reason: 'ingress-rules',
    length: 128,
  });
});

test('the loop copies while somebody captures, and not before or after', (t) => {
  const { follow, copy, look, seeing } = makeCapturing(t);
  const wanted = (): number => {
    seeing.ring.beginRound(NOW_MS);
    return seeing.ring.wanted;
  };
  assert.equal(wanted(), 0);
  copy(1);
  const first = follow({});
  const second = follow({});
  assert.equal(wanted(), WANT_CAPTURE);
  copy(2);
  first.stop();
  look();
  assert.deepEqual([portsOf(first.answers), portsOf(second.answers)], [[], [2]]);
  second.stop();
  second.stop();
  assert.equal(wanted(), 0);
  copy(3);
  look();
  assert.deepEqual(portsOf(second.answers), [2]);
});

test('who comes later does not get what came before', (t) => {
  const { follow, copy, look } = makeCapturing(t);
  const first = follow({});
  copy(1);
  const second = follow({});
  copy(2);
  look();
  assert.deepEqual([portsOf(first.answers), portsOf(second.answers)], [[1, 2], [2]]);
});

test('an answer has a quarter of a megabyte at most, and one look two thousand packets', (t) => {
  const { follow, copy, look } = makeCapturing(t);
  const { answers } = follow({ snapLength: 1028 });
  for (let i = 0; i < 600; i++) copy(i, 0, INGRESS, 1000);
  look();
  assert.deepEqual(
    answers.map(({ packets }) => packets.length),
    [256, 256, 88],
  );
  answers.length = 0;
  for (let i = 0; i < 2001; i++) copy(i);
  look();
  assert.equal(portsOf(answers).length, 2000);
  look();
  assert.equal(portsOf(answers).length, 2001);
});

test('copies that the ring had no room for are told of once, to each client', (t) => {
  const { follow, copy, look } = makeCapturing(t);
  const { answers } = follow({ verdict: 'dropped', snapLength: 65535 });
  const bytes = 60_000 + 28;
  const room = Math.floor(CAPTURE_BYTES / (bytes + 28));
  for (let i = 0; i < room + 5; i++) copy(i, 0, INGRESS, 60_000);
  look();
  assert.deepEqual(answers, [{ packets: [], lost: 5 }]);
  copy(1, INGRESS_RULES);
  look();
  assert.deepEqual(
    answers.map(({ lost }) => lost),
    [5, 0],
  );
});

test('a question that makes no sense is refused', (t) => {
  const { follow } = makeCapturing(t);
  assert.throws(() => follow({ snapLength: 0 }), RequestError);
  assert.throws(() => follow({ snapLength: 65536 }), RequestError);
  assert.throws(() => follow({ verdict: 'lost' as never }), RequestError);
  assert.throws(() => follow({ reasons: ['bad-luck'] }), RequestError);
});
