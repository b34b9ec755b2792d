/**
 * The verdicts on a capture are those of the plain twin of the engine, fed the same packets one by one: what lies
 * between (the file, its reader, the link layer, ports by addresses, the clock) changes none of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { REASONS } from '../../src/engine/reasons.ts';
import { UPLINK_PORT } from '../../src/policy/compiled.ts';
import { CaptureReader } from '../../src/recorded/capture-reader.ts';
import { findIp } from '../../src/recorded/link-types.ts';
import { World } from '../../src/replay/world.ts';
import { decode } from '../../src/wire/decode.ts';
import { Packet } from '../../src/wire/packet.ts';
import { DECODE_OK } from '../../src/wire/status.ts';
import { Twin } from '../fuzz/twin.ts';
import { concat, hex, icmp4, tcp4, tcp6, udp4, udp6 } from '../packets/build.ts';
import { sourceOf, writePcap, writePcapng, type Frame } from '../recorded/write-capture.ts';
import { model, type ModelText } from '../support/policy.ts';
import { configOf, SMALL_FLOWS, START_MS, withSmallTables } from './support.ts';

const TEXT: ModelText = {
  groups: {
    web: { ingress: ['tcp 80-443 from 0.0.0.0/0', 'tcp 443 from ::/0'] },
    app: { ingress: ['tcp 8080 from sg:web', 'icmp 8/-1 from 10.0.0.0/8'], egress: ['udp 53 to 10.0.0.0/8', 'tcp 443 to ::/0'] }, // prettier-ignore
    db: { ingress: ['tcp 5432 from sg:app', 'udp 53 from sg:app'], egress: [] },
  },
  interfaces: {
    web: { addresses: ['10.0.0.1', 'fd00::1'], groups: ['web'] },
    app: { addresses: ['10.0.0.2', 'fd00::2'], groups: ['app'] },
    db: { addresses: ['10.0.0.3'], groups: ['db'] },
  },
};

const end4 = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '203.0.113.7', '203.0.113.8');
const end6 = fc.constantFrom('fd00::1', 'fd00::2', '2001:db8::7');
const port = fc.constantFrom(53, 80, 443, 5432, 8080, 40_000, 40_001);
const flags = fc.constantFrom('S', 'SA', 'A', 'A', 'PA', 'FA', 'R', 'RA', 'FS', '');
const number = fc.constantFrom(0, 1, 1000, 1001);

const tcpFields = fc.record({ srcPort: port, dstPort: port, flags, seq: number, ack: number });
const udpFields = fc.record({ srcPort: port, dstPort: port });
const packet: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(end4, end4, tcpFields).map(([a, b, o]) => tcp4(a, b, o)) },
  { weight: 3, arbitrary: fc.tuple(end4, end4, udpFields).map(([a, b, o]) => udp4(a, b, o)) },
  { weight: 2, arbitrary: fc.tuple(end6, end6, tcpFields).map(([a, b, o]) => tcp6(a, b, o)) },
  { weight: 1, arbitrary: fc.tuple(end6, end6, udpFields).map(([a, b, o]) => udp6(a, b, o)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(end4, end4, fc.constantFrom(0, 3, 8), fc.nat(1))
      .map(([a, b, type, id]) => icmp4(a, b, { type, code: 0, id })),
  },
);
const pause = fc.constantFrom(0, 1, 5, 900, 31_000, 61_000, 181_000, 301_000, 432_001_000);
const conversation = fc.array(fc.tuple(packet, pause), { minLength: 1, maxLength: 60 });
const LINKS = [
  { linkType: 101, head: '' },
  { linkType: 113, head: '00000001000602000000000100000800' },
];

test('what a capture is judged is what the plain twin says', async () => {
  await fc.assert(
    fc.asyncProperty(
      conversation,
      fc.boolean(),
      fc.constantFrom(...LINKS),
      fc.integer({ min: 20, max: 2000 }),
      async (steps, isNew, { linkType, head }, piece) => {
        let ms = START_MS;
        const frames = steps.map(([bytes, wait]): Frame => {
          ms += wait;
          const type = bytes[0] >>> 4 === 6 ? head.replace(/0800$/, '86dd') : head;
          return { bytes: concat(hex(type), bytes), ms };
        });
        const file = (isNew ? writePcapng : writePcap)(frames, { linkType });
        const world = new World(withSmallTables(configOf(TEXT)), true);
        const twin = makeTwin();
        const reader = new CaptureReader(sourceOf(file, piece), file);
        for (const [i, [bytes]] of steps.entries()) {
          assert.ok(await reader.next());
          const found = judge(world, reader);
          if (found === undefined) continue;
          const from = found.from;
          const told = twin.judge(bytes, bytes.length, from, frames[i].ms - frames[0].ms);
          const expected = typeof told === 'number' ? 'passed' : told;
          assert.equal(found.verdict, expected, `packet ${i}`);
        }
        assert.equal(await reader.next(), false);
      },
    ),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 200) },
  );
});

const seen = new Packet();

/** undefined: neither end is here. */
function judge(
  world: World,
  { packet: at }: CaptureReader,
): { readonly from: number; readonly verdict: string } | undefined {
  const ip = findIp(at.view, at.offset, at.captured, at.linkType);
  const [offset, length] = [at.offset + ip, at.captured - ip];
  assert.equal(decode(at.view, offset, length, seen), DECODE_OK);
  const [from, to] = [world.portFrom(seen), world.portTo(seen)];
  if (from === UPLINK_PORT && to === UPLINK_PORT) return undefined;
  const passes = world.judge(at.view, offset, length, from, to, at.timeMs);
  return { from, verdict: passes ? 'passed' : REASONS[world.reason][0] };
}

function makeTwin(): Twin {
  return new Twin(model(TEXT), {
    ...{ maxFlows: SMALL_FLOWS, maxHalfOpen: SMALL_FLOWS, maxFlowsOfPort: 0, datagrams: 4096 },
    ...{ acceptsMidstream: true, checksWindow: true, hasUplink: true, allowsClassE: false },
    passes: { tableFull: false, invalid: false, fragment: false, eventsFull: true },
    ...{ isEventRingFull: false, reserved: [], uplink: [], exempt: [] },
  });
}
