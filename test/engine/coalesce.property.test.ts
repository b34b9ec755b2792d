/** Whatever is joined: what goes in comes out, byte for byte, and in order within a flow. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  counting,
  fragments4,
  hopByHop,
  icmp4,
  ICMP,
  ipv6,
  PROTOCOL,
  tcp4,
  tcp6,
  toHex,
  udp,
  udp4,
  udp6,
} from '../packets/build.ts';
import type { TcpOptions } from '../packets/build.ts';
import {
  OLD_PORT,
  packetsOf,
  TAP_PORT,
  TUN_PORT,
  withPartialChecksum,
  writesOf,
  type Outgoing,
} from './coalescing.ts';
import { finish } from './segment-twin.ts';

/** A packet and the name of its flow; packets without a flow of their own belong to all. */
interface Named extends Outgoing {
  readonly flow: string;
}
const EVERY_FLOW = '*';

const HOSTS4 = ['10.0.0.1', '10.0.0.2'] as const;
const HOSTS6 = ['fd00:10::1', 'fd00:10::2'] as const;

/** What may set a packet of a flow apart from the one before it. */
const ODDITIES = [
  'none', 'none', 'none', 'none', 'none', 'none', 'none', 'none', 'id', 'same id', 'df', 'ttl', 'tos', 'gap', 'ack', 'window', 'push',
  'fin', 'flags', 'urgent', 'timestamps', 'options', 'bad checksum', 'bad ip checksum', 'no checksum', 'complete',
  'dropped', 'other port', 'superpacket', 'short length', 'ip options',
] as const; // prettier-ignore
type Oddity = (typeof ODDITIES)[number];

interface Piece {
  readonly flow: number;
  readonly bytes: number;
  readonly oddity: Oddity;
}

const SIZES = [0, 1, 2, 3, 64, 64, 64, 64, 100, 100, 1448, 2000];

const piece: fc.Arbitrary<Piece> = fc.record({
  flow: fc.nat({ max: 4 }),
  bytes: fc.constantFrom(...SIZES),
  oddity: fc.constantFrom(...ODDITIES),
});

/** Runs of a flow are likely: a piece comes a few times over. */
const pieces: fc.Arbitrary<Piece[]> = fc
  .array(fc.tuple(piece, fc.constantFrom(1, 1, 2, 5, 20, 70)), { minLength: 1, maxLength: 12 })
  .map((runs) =>
    runs.flatMap(([first, count]) =>
      Array.from({ length: count }, (_, i) =>
        i === 0 ? first : { ...first, oddity: 'none' as const },
      ),
    ),
  );

interface Flow {
  readonly isTcp: boolean;
  readonly is6: boolean;
  readonly isPartial: boolean;
  readonly to: number;
  id: number;
  seq: number;
}

const flowKind = fc.record({
  isTcp: fc.boolean(),
  is6: fc.boolean(),
  isPartial: fc.boolean(),
  to: fc.constantFrom(TUN_PORT, TUN_PORT, TAP_PORT, OLD_PORT),
  id: fc.constantFrom(1, 65530),
  seq: fc.constantFrom(1000, 2 ** 31 - 100, 2 ** 32 - 100),
});

function makePacket(flow: Flow, number: number, { bytes, oddity }: Piece): Named {
  const { isTcp, is6 } = flow;
  const is = (name: Oddity): boolean => oddity === name;
  if (!is('same id')) flow.id = (flow.id + (is('id') ? 2 : 1)) % 65536;
  if (is('gap')) flow.seq += 7;
  const ip = {
    id: flow.id,
    df: !is('df'),
    ttl: is('ttl') ? 63 : 64,
    tos: is('tos') ? 3 : 0,
    ...(is('ip options') ? { options: Uint8Array.of(1, 1, 1, 0) } : {}),
    ...(is('bad ip checksum') ? { checksum: 0x1234 } : {}),
  };
  const ip6 = { hopLimit: ip.ttl, trafficClass: ip.tos, flowLabel: is('df') ? 5 : 4 };
  const payload = counting(bytes).map((byte) => (byte * 7 + number) % 256);
  const sum = is('bad checksum') ? { checksum: 0x4321 } : {};
  const ports = { srcPort: 40000 + number, dstPort: 5201 };
  const datagram = { ...ports, payload, ...sum, ...(is('no checksum') ? { checksum: 0 } : {}) };
  const content: TcpOptions = {
    ...ports,
    payload,
    ...sum,
    seq: flow.seq % 2 ** 32,
    ack: is('ack') ? 8 : 7,
    window: is('window') ? 100 : 101,
    flags: is('push') ? 'AP' : is('fin') ? 'AF' : is('flags') ? 'AE' : 'A',
    urgent: is('urgent') ? 1 : 0,
    timestamps: [is('timestamps') ? 2 : 1, 1],
    ...(is('options') ? { sackPermitted: true } : {}),
  };
  flow.seq += bytes;
  const [a, b] = is6 ? HOSTS6 : HOSTS4;
  const packet = isTcp
    ? is6
      ? tcp6(a, b, content, ip6)
      : tcp4(a, b, content, ip)
    : is6
      ? udp6(a, b, datagram, ip6)
      : udp4(a, b, datagram, ip);
  return {
    ...dress(flow, packet, oddity, bytes),
    flow: `${isTcp} ${is6} ${number}`,
  };
}

function dress(flow: Flow, packet: Uint8Array, oddity: Oddity, bytes: number): Outgoing {
  const to = oddity === 'dropped' ? -1 : oddity === 'other port' ? TUN_PORT : flow.to;
  const keepsSum = ['bad checksum', 'no checksum', 'complete', 'ip options'].includes(oddity);
  if (!flow.isPartial || keepsSum) return { to, packet };
  const partial = withPartialChecksum(packet);
  if (oddity === 'short length') {
    // A UDP length that leaves bytes behind it, or a TCP field of the pseudo-header that is not its sum.
    const copy = partial.packet.slice();
    copy[partial.vnet!.csumStart! + (flow.isTcp ? 16 : 5)] ^= 1;
    return { to, packet: copy, vnet: partial.vnet! };
  }
  if (oddity !== 'superpacket' || bytes <= 10) return { to, ...partial };
  const headers = partial.packet.length - bytes;
  const gsoType = flow.isTcp ? (flow.is6 ? 4 : 1) : 5;
  const gsoSize = Math.ceil(bytes / 2);
  return {
    to,
    packet: partial.packet,
    vnet: { ...partial.vnet, gsoType, gsoSize, hdrLen: headers },
  };
}

/** Packets that no flow can be told of. */
const STRANGERS: readonly Uint8Array[] = [
  icmp4(...HOSTS4, { type: ICMP.echo }),
  ...fragments4(udp4(...HOSTS4, { srcPort: 40000, dstPort: 5201, payload: counting(200) }), 64),
  ipv6({
    src: HOSTS6[0],
    dst: HOSTS6[1],
    nextHeader: PROTOCOL.udp,
    extensionHeaders: [hopByHop()],
    payload: udp(...HOSTS6, { srcPort: 40000, dstPort: 5201, payload: counting(64) }),
  }),
];

const batches = fc
  .tuple(
    fc.array(flowKind, { minLength: 5, maxLength: 5 }),
    pieces,
    fc.array(fc.tuple(fc.nat({ max: 400 }), fc.constantFrom(...STRANGERS)), { maxLength: 3 }),
  )
  .map(([kinds, list, strangers]) => {
    const flows = kinds.map((kind) => ({ ...kind }));
    const packets = list.map((one) => makePacket(flows[one.flow], one.flow, one));
    for (const [at, packet] of strangers)
      packets.splice(at % (packets.length + 1), 0, { to: TUN_PORT, packet, flow: EVERY_FLOW });
    return packets;
  });

/** The packets of a flow among those that belong to all, as hexadecimal lines. */
function linesOf(packets: readonly { to: number; packet: Uint8Array }[]): string[] {
  return packets.map(({ to, packet }) => `${to} ${Buffer.from(packet).toString('hex')}`);
}

test('what goes in comes out, in order within each flow', () => {
  let joined = 0;
  fc.assert(
    fc.property(batches, (packets) => {
      const writes = writesOf(packets);
      joined += writes.filter(({ slots }) => slots.length > 1).length;
      const nameOf = new Map<string, string>();
      const expected = packets
        .filter(({ to }) => to >= 0)
        .flatMap(({ to, packet, vnet = {}, flow }) =>
          packetsOf([{ to, packet, vnet, slots: [] }]).map((one) => ({ ...one, flow })),
        );
      for (const one of expected) nameOf.set(linesOf([one])[0], one.flow);
      const came = packetsOf(writes).map((one) => ({
        ...one,
        flow: nameOf.get(linesOf([one])[0]),
      }));
      assert.deepEqual(linesOf(came).sort(), linesOf(expected).sort());
      for (const name of new Set(packets.map(({ flow }) => flow))) {
        const ofFlow = (list: typeof came): string[] =>
          linesOf(list.filter(({ flow }) => flow === name || flow === EVERY_FLOW));
        assert.deepEqual(ofFlow(came), ofFlow(expected), `flow ${name}`);
      }
    }),
    { numRuns: 250 },
  );
  assert.equal(joined > 200, true, `${joined} runs were joined: too few to have tried anything`);
});

test('segmentation itself: a packet of partial checksum is what its sender would have sent', () => {
  const packet = udp4(...HOSTS4, { srcPort: 1, dstPort: 2, payload: counting(77) });
  const { packet: partial, vnet } = withPartialChecksum(packet);
  assert.notEqual(toHex(partial), toHex(packet));
  assert.equal(toHex(finish(vnet!, partial)), toHex(packet));
});
