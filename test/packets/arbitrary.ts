/**
 * fast-check arbitraries of packets: valid ones of every kind, damaged ones, and plain bytes.
 *
 * Values lean towards the edges (port 0 and 65535, the first and last address, empty payloads),
 * where decoders and matchers go wrong. Few addresses are used, so that packets meet in one flow.
 */
import fc from 'fast-check';
import * as build from './build.ts';
import type { ExtensionHeader, IcmpOptions, Ipv4Rest, TcpOptions, UdpOptions } from './build.ts';

const { PROTOCOL, ETHER_TYPE } = build;

/** What a packet was built as, beside its bytes. */
export interface NamedPacket {
  readonly kind: PacketKind;
  readonly packet: Uint8Array;
}

export const PACKET_KINDS = [
  'tcp4',
  'udp4',
  'icmp4',
  'icmpError4',
  'fragment4',
  'other4',
  'tcp6',
  'udp6',
  'icmp6',
  'icmpError6',
  'fragment6',
  'other6',
  'nd',
] as const;

export type PacketKind = (typeof PACKET_KINDS)[number];

export const address4: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.1.255', '192.168.200.254'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('0.0.0.0', '127.0.0.1', '128.0.0.0', '224.0.0.1', '255.255.255.255'),
  },
  { weight: 1, arbitrary: fc.ipV4() },
);

export const address6: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('fd00:10::1', 'fd00:10::2', '2001:db8:0:1:ffff:fffe:8000:7'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '::',
      '::1',
      'fe80::1',
      'ff02::1',
      'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 })
      .map((words) => words.map((word) => word.toString(16)).join(':')),
  },
);

export const port: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1, 22, 53, 443, 32768, 65534, 65535),
  number(16),
);

export const payload: fc.Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 64 });

/** Of a SYN, a SYN-ACK, data, an end: what is seen; and any other combination, which is what attackers send. */
export const flags: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('S', 'SA', 'A', 'PA', 'FA', 'R', 'RA', ''),
  fc.subarray([...'FSRPAUEC']).map((letters) => letters.join('')),
);

function number(bits: number): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 2 ** bits - 1 });
}

/** No-operation, router alert, record route, timestamp; filled up with end-of-list by the builder. */
const options4 = fc
  .array(fc.constantFrom('01', '94040000', '07070400000000', '4408050000000000'), { maxLength: 4 })
  .map((texts) => build.hex(texts.join('')));

const ipRest4: fc.Arbitrary<Ipv4Rest> = fc.record(
  {
    tos: number(8),
    id: number(16),
    df: fc.boolean(),
    ttl: number(8),
    options: options4,
  },
  { requiredKeys: [] },
);

const tcpOptions: fc.Arbitrary<TcpOptions> = fc.record(
  {
    srcPort: port,
    dstPort: port,
    seq: number(32),
    ack: number(32),
    flags,
    window: number(16),
    urgent: number(16),
    mss: number(16),
    sackPermitted: fc.boolean(),
    timestamps: fc.tuple(number(32), number(32)),
    windowScale: number(8),
    payload,
  },
  { requiredKeys: ['srcPort', 'dstPort'] },
);

const udpOptions: fc.Arbitrary<UdpOptions> = fc.record({ srcPort: port, dstPort: port, payload });

/** Messages that quote no packet: those that do are icmpError4 and icmpError6, and nd has its own. */
function icmpOptions(types: readonly number[]): fc.Arbitrary<IcmpOptions> {
  const type = fc.constantFrom(...types);
  return fc.record(
    { type, code: number(8), id: number(16), seq: number(16), payload },
    { requiredKeys: ['type'] },
  );
}

const extensionHeader: fc.Arbitrary<ExtensionHeader> = fc.oneof(
  fc
    .integer({ min: 0, max: 20 })
    .map((length) => build.destinationOptions({ options: build.padN(length + 2) })),
  // Not type 0, which RFC 5095 has nodes refuse.
  fc.constantFrom(2, 3, 4, 253).map((type) => build.routing(type)),
  fc
    .integer({ min: 0, max: 4 })
    .map((words) => build.authentication({ icv: build.counting(words * 8 + 4) })),
  // Not cut at all: an "atomic" fragment, RFC 6946.
  number(32).map((id) => build.fragment6({ id })),
);

/** None twice; a hop-by-hop header, if there is one, comes first (RFC 8200 section 4.1). */
export const extensionHeaders: fc.Arbitrary<ExtensionHeader[]> = fc
  .tuple(
    fc.boolean(),
    fc.uniqueArray(extensionHeader, { maxLength: 4, selector: (header) => header.number }),
  )
  .map(([isHopByHop, rest]) => (isHopByHop ? [build.hopByHop(), ...rest] : rest));

const ipRest6 = fc.record(
  { trafficClass: number(8), flowLabel: number(20), hopLimit: number(8), extensionHeaders },
  { requiredKeys: [] },
);

// Protocols whose inside nobody here looks at; 59 would say "nothing follows".
const otherProtocol = fc.constantFrom(2, 4, 41, 47, 50, 89, 132, 253, 255);

const tcp4 = fc.tuple(address4, address4, tcpOptions, ipRest4).map((args) => build.tcp4(...args));
const udp4 = fc.tuple(address4, address4, udpOptions, ipRest4).map((args) => build.udp4(...args));
const icmp4 = fc
  .tuple(address4, address4, icmpOptions([0, 8, 9, 13, 14, 42, 255]), ipRest4)
  .map((args) => build.icmp4(...args));
const other4 = fc
  .tuple(address4, address4, otherProtocol, payload, ipRest4)
  .map(([src, dst, protocol, rest, ip]) =>
    build.ipv4({ ...ip, src, dst, protocol, payload: rest }),
  );

const tcp6 = fc.tuple(address6, address6, tcpOptions, ipRest6).map((args) => build.tcp6(...args));
const udp6 = fc.tuple(address6, address6, udpOptions, ipRest6).map((args) => build.udp6(...args));
const icmp6 = fc
  .tuple(address6, address6, icmpOptions([128, 129, 139, 140, 200, 255]), ipRest6)
  .map((args) => build.icmp6(...args));
const other6 = fc
  .tuple(address6, address6, otherProtocol, payload, ipRest6)
  .map(([src, dst, nextHeader, rest, ip]) =>
    build.ipv6({ ...ip, src, dst, nextHeader, payload: rest }),
  );

const icmpError4 = fc
  .tuple(
    address4,
    address4,
    fc.constantFrom(3, 4, 5, 11, 12),
    number(8),
    number(32),
    fc.oneof(tcp4, udp4, icmp4, other4),
    ipRest4,
  )
  .map(([src, dst, type, code, rest, quoted, ip]) =>
    build.icmpError4(src, dst, { type, code, rest, quoted }, ip),
  );
const icmpError6 = fc
  .tuple(
    address6,
    address6,
    fc.constantFrom(1, 2, 3, 4),
    number(8),
    number(32),
    fc.oneof(tcp6, udp6, icmp6, other6),
    ipRest6,
  )
  .map(([src, dst, type, code, rest, quoted, ip]) =>
    build.icmpError6(src, dst, { type, code, rest, quoted }, ip),
  );

// Any piece of a datagram, so that first, middle and last ones come up.
const fragment4 = fc
  .tuple(address4, address4, udpOptions, number(16), fc.constantFrom(8, 16, 24), number(8))
  .map(([src, dst, options, id, size, nth]) =>
    pick(build.fragments4(build.udp4(src, dst, options, { id }), size), nth),
  );
const fragment6 = fc
  .tuple(address6, address6, udpOptions, number(32), fc.constantFrom(8, 16, 24), number(8))
  .map(([src, dst, options, id, size, nth]) =>
    pick(
      build.fragments6(
        { src, dst, nextHeader: PROTOCOL.udp, payload: build.udp(src, dst, options) },
        size,
        id,
      ),
      nth,
    ),
  );

const mac: fc.Arbitrary<Uint8Array> = fc.uint8Array({ minLength: 6, maxLength: 6 });

const nd = fc.oneof(
  fc
    .tuple(address6, address6, mac)
    .map(([src, target, sourceMac]) => build.ndNeighborSolicitation({ src, target, sourceMac })),
  fc
    .tuple(address6, address6, mac)
    .map(([src, dst, targetMac]) =>
      build.ndNeighborAdvertisement({ src, dst, target: src, targetMac }),
    ),
);

const BY_KIND: Readonly<Record<PacketKind, fc.Arbitrary<Uint8Array>>> = {
  ...{ tcp4, udp4, icmp4, icmpError4, fragment4, other4 },
  ...{ tcp6, udp6, icmp6, icmpError6, fragment6, other6, nd },
};

function pick(parts: readonly Uint8Array[], nth: number): Uint8Array {
  return parts[nth % parts.length];
}

/** A well-formed IP packet of one of `kinds` (default: all), its lengths and checksums right. */
export function namedPacket(
  kinds: readonly PacketKind[] = PACKET_KINDS,
): fc.Arbitrary<NamedPacket> {
  return fc.oneof(...kinds.map((kind) => BY_KIND[kind].map((packet) => ({ kind, packet }))));
}

/** The bytes alone. */
export function validPacket(kinds: readonly PacketKind[] = PACKET_KINDS): fc.Arbitrary<Uint8Array> {
  return namedPacket(kinds).map(({ packet }) => packet);
}

/** One thing that goes wrong with a packet. Positions are taken modulo its length. */
export type Mutation =
  | { readonly kind: 'flip'; readonly bit: number }
  | { readonly kind: 'set'; readonly at: number; readonly value: number }
  | { readonly kind: 'truncate'; readonly length: number }
  | { readonly kind: 'extend'; readonly by: Uint8Array }
  | { readonly kind: 'lie'; readonly field: LengthField; readonly value: number };

/** The fields that say how long something is; `inner` is the byte a TCP data offset, a UDP or an extension header length is in. */
export type LengthField = 'version' | 'headerLength' | 'totalLength' | 'fragmentOffset' | 'inner';

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), bit: fc.nat() }),
  fc.record({
    kind: fc.constant('set' as const),
    at: fc.nat(),
    value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff),
  }),
  fc.record({ kind: fc.constant('truncate' as const), length: fc.nat() }),
  fc.record({
    kind: fc.constant('extend' as const),
    by: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
  fc.record({
    kind: fc.constant('lie' as const),
    field: fc.constantFrom<LengthField>(
      'version',
      'headerLength',
      'totalLength',
      'fragmentOffset',
      'inner',
    ),
    value: fc.oneof(fc.constantFrom(0, 1, 4, 5, 15, 19, 20, 39, 40, 0xff, 0xffff), number(16)),
  }),
);

/** A packet after one to four mutations. Checksums are left as they were. */
export function mutatedPacket(
  kinds: readonly PacketKind[] = PACKET_KINDS,
): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(validPacket(kinds), fc.array(mutation, { minLength: 1, maxLength: 4 }))
    .map(([packet, mutations]) => mutations.reduce(mutate, packet));
}

/** The packet with one mutation; the one given is left alone. */
export function mutate(packet: Uint8Array, change: Mutation): Uint8Array {
  if (change.kind === 'extend') return build.concat(packet, change.by);
  if (packet.length === 0) return packet;
  if (change.kind === 'truncate') return packet.slice(0, change.length % packet.length);
  const changed = packet.slice();
  switch (change.kind) {
    case 'flip':
      changed[(change.bit >> 3) % packet.length] ^= 1 << (change.bit & 7);
      return changed;
    case 'set':
      changed[change.at % packet.length] = change.value;
      return changed;
    case 'lie':
      return lie(changed, change.field, change.value);
  }
}

/** Writes over `packet`. A field beyond its end stays unwritten: a store to a typed array out of bounds does nothing. */
function lie(packet: Uint8Array, field: LengthField, value: number): Uint8Array {
  const is6 = packet[0] >> 4 === 6;
  const put16 = (offset: number): void => {
    packet[offset] = value >> 8;
    packet[offset + 1] = value & 0xff;
  };
  if (field === 'version') packet[0] = (packet[0] & 0x0f) | ((value & 0x0f) << 4);
  if (field === 'headerLength') packet[0] = (packet[0] & 0xf0) | (value & 0x0f);
  if (field === 'totalLength') put16(is6 ? 4 : 2);
  if (field === 'fragmentOffset') put16(is6 ? 42 : 6);
  if (field === 'inner') lieInside(packet, is6, value);
  return packet;
}

function lieInside(packet: Uint8Array, is6: boolean, value: number): void {
  const protocol = packet[is6 ? 6 : 9];
  const start = is6 ? 40 : (packet[0] & 0x0f) * 4;
  if (protocol === PROTOCOL.tcp) packet[start + 12] = value & 0xff;
  else if (protocol === PROTOCOL.udp) packet[start + 5] = value & 0xff;
  else packet[start + 1] = value & 0xff; // An extension header's length; elsewhere an ICMP code.
}

/** Bytes with no thought behind them, and bytes that begin like an IP header, which get further. */
export const arbitraryBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc
    .tuple(fc.constantFrom(0x45, 0x46, 0x4f, 0x60), fc.uint8Array({ maxLength: 200 }))
    .map(([first, rest]) => build.concat(build.bytes(first), rest)),
);

/** What may come out of a TUN device: mostly whole packets, also damaged ones and noise. */
export const anyPacket: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: validPacket() },
  { weight: 3, arbitrary: mutatedPacket() },
  { weight: 1, arbitrary: arbitraryBytes },
);

const ipFrame = fc
  .tuple(mac, mac, fc.option(fc.integer({ min: 0, max: 4095 })), validPacket())
  .map(([src, dst, vlan, packet]) =>
    build.ethernet({
      src,
      dst,
      ...(vlan === null ? {} : { vlan }),
      etherType: packet[0] >> 4 === 6 ? ETHER_TYPE.ipv6 : ETHER_TYPE.ipv4,
      payload: packet,
    }),
  );

const arpFrame = fc
  .tuple(mac, address4, address4, fc.constantFrom('request' as const, 'reply' as const))
  .map(([senderMac, senderIp, targetIp, operation]) =>
    build.ethernet({
      src: senderMac,
      dst: build.MAC_BROADCAST,
      etherType: ETHER_TYPE.arp,
      payload: build.arp({ operation, senderMac, senderIp, targetIp }),
    }),
  );

/** What may come out of a TAP device: IP (also tagged) and ARP, well-formed. */
export const validFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: ipFrame },
  { weight: 1, arbitrary: arpFrame },
);

/** The same, damaged, or noise. */
export const anyFrame: fc.Arbitrary<Uint8Array> = fc.oneof(
  validFrame,
  fc.tuple(validFrame, fc.nat()).map(([frame, length]) => frame.slice(0, length % frame.length)),
  fc.tuple(validFrame, fc.nat()).map(([frame, bit]) => mutate(frame, { kind: 'flip', bit })),
  fc.uint8Array({ maxLength: 100 }),
);
