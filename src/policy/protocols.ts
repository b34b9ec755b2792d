/**
 * Parses and writes protocol names and numbers as EC2 does. Source: EC2 API Reference, IpPermission: one of four
 * names, a number, or -1.
 */
import { refuse, type Parsed } from '../addr/address.ts';
import { PROTOCOL_ALL } from './model.ts';

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

const PROTOCOL_MAX = 255;

const NUMBERS: ReadonlyMap<string, number> = new Map([
  ['tcp', PROTOCOL_TCP],
  ['udp', PROTOCOL_UDP],
  ['icmp', PROTOCOL_ICMP],
  ['icmpv6', PROTOCOL_ICMPV6],
]);

const NAMES: ReadonlyMap<number, string> = new Map([
  ...[...NUMBERS].map(([name, number]) => [number, name] as const),
  [PROTOCOL_ALL, 'all'],
]);

/**
 * Parses a protocol of our configuration: tcp, udp, icmp, icmpv6 in any case, 0–255, and `all` or -1 for all
 * protocols.
 */
export function parseProtocol(value: string | number): Parsed<number> {
  if (typeof value === 'string' && value.toLowerCase() === 'all')
    return { ok: true, value: PROTOCOL_ALL };
  return parse(value, 'all, or a number from 0 to 255');
}

/** Parses a protocol as AWS does: the same without the word `all`, which the API refuses. */
export function parseAwsProtocol(value: string | number): Parsed<number> {
  return parse(value, 'a number from 0 to 255, or -1 for every protocol');
}

/** Writes 6 as `tcp`, 17 as `udp`, 1 as `icmp`, 58 as `icmpv6`, -1 as `all`, and any other as its number. */
export function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? String(protocol);
}

/** Whether rules for the protocol have ports. */
export function hasPorts(protocol: number): boolean {
  return protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP;
}

/** Whether rules for the protocol have an ICMP type and code. */
export function hasIcmpType(protocol: number): boolean {
  return protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6;
}

function parse(value: string | number, alsoGood: string): Parsed<number> {
  const text = String(value);
  const byName = NUMBERS.get(text.toLowerCase());
  if (byName !== undefined) return { ok: true, value: byName };
  if (text === '-1') return { ok: true, value: PROTOCOL_ALL };
  // '006' and '0x6' are refused: it is unclear what base the author meant.
  if (/^(0|[1-9]\d{0,2})$/.test(text) && Number(text) <= PROTOCOL_MAX)
    return { ok: true, value: Number(text) };
  return refuse(
    `Invalid value '${text}' for IP protocol. Unknown protocol.`,
    `write tcp, udp, icmp, icmpv6, ${alsoGood}`,
  );
}
