/** Builds DHCP, DHCPv6 and router discovery messages without src/wire/. */
import {
  addressBytes,
  bytes,
  concat,
  ethernet,
  ETHER_TYPE,
  hex,
  icmp6,
  MAC_BROADCAST,
  macBytes,
  udp4,
  udp6,
  uint,
  type AddressLike,
  type MacLike,
} from './build.ts';

/** RFC 2131, figure 1; RFC 2132 for the options. */
export interface Dhcp4Options {
  readonly op?: number;
  readonly hops?: number;
  readonly xid?: number;
  readonly flags?: number;
  readonly ciaddr?: string;
  readonly giaddr?: string;
  readonly chaddr?: MacLike;
  readonly cookie?: string;
  /** Option 53; undefined: none. */
  readonly type?: number;
  readonly options?: readonly (readonly [code: number, value: Uint8Array])[];
  /** Behind the options, in place of the end. */
  readonly tail?: Uint8Array;
}

const ZERO = '0.0.0.0';

export function dhcp4(o: Dhcp4Options): Uint8Array {
  const head = [bytes(o.op ?? 1, 1, 6, o.hops ?? 0), uint(o.xid ?? 0x1234567, 4), bytes(0, 0)];
  const typed = o.type === undefined ? [] : [[53, bytes(o.type)] as const];
  return concat(
    ...head,
    uint(o.flags ?? 0, 2),
    ...[o.ciaddr ?? ZERO, ZERO, ZERO, o.giaddr ?? ZERO].map(addressBytes),
    macBytes(o.chaddr ?? '06:00:00:00:00:0a'),
    new Uint8Array(10 + 64 + 128),
    hex(o.cookie ?? '63825363'),
    ...[...typed, ...(o.options ?? [])].flatMap(([code, value]) => [
      bytes(code, value.length),
      value,
    ]),
    o.tail ?? bytes(255),
  );
}

/** A client's frame with it. */
export function dhcp4Frame(
  o: Dhcp4Options,
  at: { src?: string; dst?: string; mac?: MacLike; srcPort?: number; dstPort?: number } = {},
): Uint8Array {
  const payload = udp4(at.src ?? ZERO, at.dst ?? '255.255.255.255', {
    srcPort: at.srcPort ?? 68,
    dstPort: at.dstPort ?? 67,
    payload: dhcp4(o),
  });
  const src = at.mac ?? '06:00:00:00:00:0a';
  return ethernet({ src, dst: MAC_BROADCAST, etherType: ETHER_TYPE.ipv4, payload });
}

export type Option6 = readonly [code: number, value: Uint8Array];

export function option6([code, value]: Option6): Uint8Array {
  return concat(uint(code, 2), uint(value.length, 2), value);
}

export function iaNa(iaid: number, addresses: readonly AddressLike[]): Option6 {
  const inner = addresses.map((one) => option6([5, concat(addressBytes(one), new Uint8Array(8))]));
  return [3, concat(uint(iaid, 4), new Uint8Array(8), ...inner)];
}

export interface Dhcp6Options {
  readonly type: number;
  readonly xid?: number;
  readonly options?: readonly Option6[];
  /** Behind the options. */
  readonly tail?: Uint8Array;
}

export function dhcp6(o: Dhcp6Options): Uint8Array {
  return concat(
    uint(o.type * 2 ** 24 + (o.xid ?? 0x123456), 4),
    ...(o.options ?? []).map(option6),
    o.tail ?? new Uint8Array(),
  );
}

export const LINK_LOCAL = 'fe80::400:ff:fe00:a';

export function dhcp6Frame(
  o: Dhcp6Options,
  at: { src?: string; dst?: string; mac?: MacLike; srcPort?: number; dstPort?: number } = {},
): Uint8Array {
  const payload = udp6(at.src ?? LINK_LOCAL, at.dst ?? 'ff02::1:2', {
    srcPort: at.srcPort ?? 546,
    dstPort: at.dstPort ?? 547,
    payload: dhcp6(o),
  });
  const src = at.mac ?? '06:00:00:00:00:0a';
  return ethernet({ src, dst: '33:33:00:01:00:02', etherType: ETHER_TYPE.ipv6, payload });
}

export function solicitRouter(
  at: { src?: string; mac?: MacLike; hopLimit?: number; code?: number; options?: string } = {},
): Uint8Array {
  const payload = icmp6(
    at.src ?? LINK_LOCAL,
    'ff02::2',
    { type: 133, code: at.code ?? 0, rest: 0, payload: hex(at.options ?? '') },
    { hopLimit: at.hopLimit ?? 255 },
  );
  const src = at.mac ?? '06:00:00:00:00:0a';
  return ethernet({ src, dst: '33:33:00:00:00:02', etherType: ETHER_TYPE.ipv6, payload });
}
