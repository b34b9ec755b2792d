/** Captures of every form give the same packets; damaged ones give those before the damage, and say where it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CaptureReader, isCapture } from '../../src/recorded/capture-reader.ts';
import { CUT_SHORT, findIp, NOT_IP, UNKNOWN_LINK } from '../../src/recorded/link-types.ts';
import { concat, ethernet, hex, tcp4, tcp6, toHex } from '../packets/build.ts';
import { sourceOf, writePcap, writePcapng, type Frame } from './write-capture.ts';

const PACKET = tcp4('10.0.0.1', '10.0.0.2', { srcPort: 40000, dstPort: 443, flags: 'S' });
const FRAMES: readonly Frame[] = [
  { bytes: PACKET, ms: 1_700_000_000_000 },
  { bytes: tcp4('10.0.0.2', '10.0.0.1', { srcPort: 443, dstPort: 40000 }), ms: 1_700_000_000_250 },
  { bytes: PACKET, ms: 1_700_000_001_999, kept: 21 },
];

interface Read {
  readonly packets: readonly string[];
  readonly damage: string | undefined;
  readonly lost: number;
}

/** `MS LENGTH BYTES` for each packet. */
async function readAll(bytes: Buffer, piece?: number): Promise<Read> {
  const reader = new CaptureReader(sourceOf(bytes, piece), bytes);
  const packets: string[] = [];
  while (await reader.next()) {
    const { view, offset, captured, length, timeMs } = reader.packet;
    const data = new Uint8Array(view.buffer, view.byteOffset + offset, captured);
    packets.push(`${Math.round(timeMs)} ${length} ${toHex(data)}`);
  }
  const { damage, lost } = reader;
  return { packets, damage: damage && `${damage.at}: ${damage.message}`, lost };
}

const EXPECTED = FRAMES.map(
  ({ bytes, ms, kept = bytes.length }) => `${ms} ${bytes.length} ${toHex(bytes.subarray(0, kept))}`,
);

for (const isBig of [false, true])
  for (const isNano of [false, true])
    test(`pcap and pcapng, ${isBig ? 'big' : 'little'}-endian, in ${isNano ? 'ns' : 'µs'}`, async () => {
      const form = { linkType: 101, isBig, isNano };
      for (const bytes of [writePcap(FRAMES, form), writePcapng(FRAMES, form)]) {
        assert.ok(isCapture(bytes));
        for (const piece of [undefined, 7, 64])
          assert.deepEqual(await readAll(bytes, piece), {
            packets: EXPECTED,
            damage: undefined,
            lost: 0,
          });
      }
    });

test('what a writer lost is told', async () => {
  const { packets, lost } = await readAll(writePcapng(FRAMES, { linkType: 101 }, 5));
  assert.deepEqual([packets.length, lost], [3, 5]);
});

test('a file that ends in the middle of a packet', async () => {
  for (const write of [writePcap, writePcapng]) {
    const whole = write(FRAMES, { linkType: 101 });
    const { packets, damage } = await readAll(whole.subarray(0, whole.length - 5), 100);
    assert.deepEqual(packets, EXPECTED.slice(0, 2));
    assert.match(damage ?? '', /^\d+: the last (packet|block) is cut off$/);
  }
});

test('lengths that nobody writes end the reading, with the place', async () => {
  const pcap = writePcap(FRAMES, { linkType: 101 });
  pcap.writeUInt32LE(0x7fffffff, 24 + 16 + PACKET.length + 8);
  assert.deepEqual((await readAll(pcap)).packets, EXPECTED.slice(0, 1));
  assert.equal(
    (await readAll(pcap)).damage,
    `${24 + 16 + PACKET.length}: a packet of 2147483647 bytes: the file is damaged, and nothing behind is read`,
  );
  const pcapng = writePcapng(FRAMES, { linkType: 101 });
  pcapng.writeUInt32LE(1, pcapng.length - 4);
  const { packets, damage } = await readAll(pcapng);
  assert.deepEqual(packets, EXPECTED.slice(0, 2));
  assert.match(damage ?? '', /a block whose two lengths differ: the file is damaged/);
});

test('whatever stands in a file, nothing throws and reading ends', async () => {
  const damaged = fc
    .tuple(
      fc.constantFrom(writePcap(FRAMES, { linkType: 1 }), writePcapng(FRAMES, { linkType: 1 })),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }),
      fc.nat(400),
    )
    .map(([bytes, changes, end]) => {
      const copy = Buffer.from(bytes.subarray(0, Math.max(24, bytes.length - end)));
      for (const [at, value] of changes) copy[at % copy.length] = value;
      return copy;
    });
  await fc.assert(
    fc.asyncProperty(damaged, fc.integer({ min: 1, max: 200 }), async (bytes, piece) => {
      // In pieces or as a whole, the same is read.
      assert.deepEqual(await readAll(bytes, piece), await readAll(bytes));
    }),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 300) },
  );
});

test('the IP packet in a frame, by the type of the link', () => {
  const at = (bytes: Uint8Array, linkType: number, captured = bytes.length): number =>
    findIp(new DataView(bytes.buffer, bytes.byteOffset), 0, captured, linkType);
  const six = tcp6('fd00::1', 'fd00::2', { srcPort: 1, dstPort: 2 });
  const macs = hex('020000000001020000000002');
  assert.equal(at(PACKET, 101), 0);
  assert.equal(at(six, 228), 0);
  assert.equal(at(concat(hex('02000000'), PACKET), 0), 4);
  assert.equal(at(concat(hex('0000001c'), six), 108), 4);
  assert.equal(at(concat(macs, hex('0800'), PACKET), 1), 14);
  assert.equal(at(concat(macs, hex('8100000586dd'), six), 1), 18);
  assert.equal(at(concat(macs, hex('88a80007810000050800'), PACKET), 1), 22);
  assert.equal(at(concat(hex('00040001000602000000000100000800'), PACKET), 113), 16);
  assert.equal(at(concat(hex('0800000000000002000100060200000000010000'), PACKET), 276), 20);
  assert.equal(at(concat(macs, hex('0806'), PACKET), 1), NOT_IP);
  assert.equal(at(hex('50'), 101), NOT_IP);
  assert.equal(at(concat(macs, hex('8100000508')), 1), CUT_SHORT);
  assert.equal(at(PACKET, 1, 13), CUT_SHORT);
  assert.equal(at(PACKET, 147), UNKNOWN_LINK);
  const frame = ethernet({
    src: '02:00:00:00:00:01',
    dst: '02:00:00:00:00:02',
    etherType: 0x0800,
    payload: PACKET,
  });
  assert.equal(at(frame, 1), 14);
});
