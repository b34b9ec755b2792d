/** The time of captured packets: real microseconds, in one order over all loops, by the wall clock as it is set. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  CaptureHub,
  type CaptureAnswer,
  type CapturedPacket,
} from '../../src/queries/capture-stream.ts';
import { CaptureClock } from '../../src/telemetry/capture-clock.ts';
import type { Observatory } from '../../src/telemetry/observatory.ts';
import { CaptureReader, captureRingBytes, CaptureRing } from '../../src/engine/capture-ring.ts';
import { enhancedPacket } from '../../src/cli/pcapng.ts';
import { udp4 } from '../packets/build.ts';
import { Seeing } from '../telemetry/seeing.ts';

const UPTIME_MS = 5000;

/** A wall clock and a loop's clock that stand still until they are moved. */
function stopClocks(t: TestContext): { wallMs: number; readonly loop: { uptimeMs: number } } {
  const clocks = { wallMs: performance.timeOrigin + 60_000.125, loop: { uptimeMs: UPTIME_MS } };
  t.mock.method(Date, 'now', () => Math.floor(clocks.wallMs));
  t.mock.method(performance, 'now', () => 60_000.125 + clocks.loop.uptimeMs - UPTIME_MS);
  return clocks;
}

function usecOf(timeMs: number): number {
  return Math.round(timeMs * 1000);
}

test('moments keep their distances to the microsecond, also beyond what 32 bits of them hold', (t) => {
  const clocks = stopClocks(t);
  const clock = new CaptureClock(clocks.loop);
  const zeroUsec = usecOf(clocks.wallMs - UPTIME_MS);
  for (const [sec, usec] of [
    [0, 0],
    [4, 999_999],
    [5, 1],
    [4295, 967_296],
    [2 ** 31 - 1, 999_999],
  ])
    // prettier-ignore
    assert.ok(Math.abs(usecOf(clock.wallMs(sec, usec)) - zeroUsec - 1e6 * sec - usec) <= 1);
});

test('a wall clock that is set is followed; one that is not, is not asked for its milliseconds', (t) => {
  const clocks = stopClocks(t);
  const clock = new CaptureClock(clocks.loop);
  const before = clock.wallMs(5, 7);
  for (let i = 0; i < 50; i++) {
    clocks.loop.uptimeMs += 0.31;
    clocks.wallMs += 0.31;
    clock.follow();
    assert.equal(clock.wallMs(5, 7), before);
  }
  clocks.wallMs += 3_600_000;
  clock.follow();
  assert.ok(Math.abs(clock.wallMs(5, 7) - before - 3_600_000) < 2);
});

test('packets of two loops come in their order, each with the microseconds of its round, into the file', async (t) => {
  const rings = [0, 1].map(() => new SharedArrayBuffer(captureRingBytes()));
  const [first, second] = rings.map((ring) => new CaptureRing(ring));
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const observatory = Object.create(seeing.observatory, {
    dataplane: {
      value: { captures: rings.map((ring) => new CaptureReader(ring)), uptimeMs: UPTIME_MS },
    },
  }) as Observatory;
  const packets: CapturedPacket[] = [];
  const hub = new CaptureHub(observatory, seeing.book);
  t.after(() => hub.stop());
  const packet = udp4('198.51.100.7', '10.0.0.11', { srcPort: 1, dstPort: 443 });
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const all = new Promise<void>((resolve) => {
    hub.follow(
      {},
      {
        send: (answer: CaptureAnswer) => {
          packets.push(...answer.packets);
          if (packets.length === 6) resolve();
          return true;
        },
        miss: () => undefined,
      },
    );
  });
  const copy = (ring: CaptureRing, sec: number, usec: number): void => {
    ring.beginRound(sec, usec);
    ring.copy(view, 0, packet.byteLength, 1, 0, 0, -1);
  };
  // The loops' rounds interleave within a millisecond, and go over to the next second.
  copy(first, 4, 999_001);
  copy(first, 4, 999_997);
  copy(first, 5, 3);
  copy(second, 4, 999_996);
  copy(second, 4, 999_998);
  copy(second, 5, 2);
  await all;
  const times = packets.map(({ timeMs }) => usecOf(timeMs));
  const distances = times.map((usec) => usec - times[0]);
  // Doubles of today's date hold a quarter of a microsecond.
  [0, 995, 996, 997, 1001, 1002].forEach((usec, i) =>
    assert.ok(Math.abs(distances[i] - usec) <= 1, distances.join()),
  );
  assert.deepEqual(
    [...distances].sort((a, b) => a - b),
    distances,
  );
  const block = enhancedPacket({
    interfaceNumber: 0,
    timeMs: packets[1].timeMs,
    data: packet,
    length: packet.byteLength,
    direction: 'inbound',
    comment: '',
    lost: 0,
  });
  assert.equal(block.readUInt32LE(12) * 2 ** 32 + block.readUInt32LE(16), times[1]);
});
