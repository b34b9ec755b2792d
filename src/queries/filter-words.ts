/**
 * These functions parse the words of a filter: `443`, `8000-8100`, `10.0.0.0/8`, `tcp`. The daemon and sgctl share
 * them.
 */
import {
  addressBits,
  parseAddress,
  parseCidr,
  refuse,
  type Cidr,
  type Parsed,
} from '../addr/address.ts';
import { parseProtocol } from '../policy/protocols.ts';

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

const PORTS = /^(0|[1-9]\d{0,4})(?:-(0|[1-9]\d{0,4}))?$/;
const PORT_MAX = 65535;

/** Reads `443` or `8000-8100`. */
export function parsePortRange(text: string): Parsed<PortRange> {
  const parts = PORTS.exec(text);
  const from = Number(parts?.[1]);
  const to = Number(parts?.[2] ?? parts?.[1]);
  if (parts === null || from > PORT_MAX || to > PORT_MAX || from > to) {
    const hint = 'write a port, as 443, or the first and last of a range, as 8000-8100';
    return refuse(`'${text}' is no port`, hint);
  }
  return { ok: true, value: { from, to } };
}

/** Reads `10.0.0.11`, `10.0.0.0/8`, `fd00:10::/64`. */
export function parseBlock(text: string): Parsed<Cidr> {
  if (text.includes('/')) return parseCidr(text, 'mask');
  const address = parseAddress(text);
  if (!address.ok) return address;
  return { ok: true, value: { ...address.value, length: addressBits(address.value.family) } };
}

/** Reads `tcp`, `udp`, `icmp`, `icmpv6` or a number. */
export function parseProtocolWord(text: string): Parsed<number> {
  const parsed = parseProtocol(text);
  if (parsed.ok && parsed.value >= 0) return parsed;
  const hint = 'write tcp, udp, icmp, icmpv6 or a number from 0 to 255';
  return refuse(`'${text}' is no protocol`, hint);
}
