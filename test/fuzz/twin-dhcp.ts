/**
 * The twin of what answers DHCP, DHCPv6 and router solicitations: what is to become of a question, and what an answer to
 * it has to say. Written from RFC 2131, RFC 8415 and RFC 4861, and docs/how-it-decides.md, "What an instance is told".
 */
import type { ReadAnswer } from '../packets/read-dhcp.ts';

/** Addresses as strings of a character a byte; undefined: not served in that family. */
export interface TwinLease {
  readonly address4: string | undefined;
  readonly router4: string;
  readonly address6: string | undefined;
}

/** What an answer must say. */
export interface TwinAnswer extends Pick<ReadAnswer, 'kind' | 'type' | 'xid' | 'toMac'> {
  /** Whether it names the interface's address. */
  readonly gives: boolean;
}

/** `other`: it is no question, and goes on; `silent`: it is taken, and needs no answer. */
export type DhcpVerdict = 'other' | 'silent' | 'bad-dhcp' | TwinAnswer;

const BROADCAST = '\xff\xff\xff\xff';
const NOBODY = '\0\0\0\0';
const SERVERS = '\xff\x02\0\0\0\0\0\0\0\0\0\0\0\x01\0\x02';
const SERVER_ID = '\0\x03\0\x01\x02\x73\x67\0\0\x01';

/** @param at where the IP packet begins, whose version fits the frame's type */
export function judgeQuestion(frame: Uint8Array, at: number, lease: TwinLease): DhcpVerdict {
  const mac = text(frame, 6, 6);
  const ip = frame.subarray(at);
  if (ip[0] >> 4 === 4)
    return lease.address4 === undefined ? 'other' : judge4(ip, mac, lease.address4, lease.router4);
  if (lease.address6 === undefined || ip.length < 48) return 'other';
  const isSolicitation = ip[6] === 58 && ip[7] === 255 && ip[40] === 133;
  return isSolicitation ? judgeSolicitation(ip, mac) : judge6(ip, mac, lease.address6);
}

function judge4(ip: Uint8Array, mac: string, own: string, router: string): DhcpVerdict {
  if (ip.length < 28 || ip[0] !== 0x45 || ip[9] !== 17 || u16(ip, 6) % 0x4000 !== 0) return 'other';
  if (u16(ip, 20) !== 68 || u16(ip, 22) !== 67) return 'other';
  if (![BROADCAST, router].includes(text(ip, 16, 4))) return 'other';
  const [total, udp] = [u16(ip, 2), u16(ip, 24)];
  if (total > ip.length || udp < 8 || udp + 20 > total) return 'other';
  const message = ip.subarray(28, 20 + udp);
  if (message.length < 240 || text(message, 0, 4) !== '\x01\x01\x06\0') return 'bad-dhcp';
  if (text(message, 236, 4) !== '\x63\x82\x53\x63') return 'bad-dhcp';
  if (text(message, 24, 4) !== NOBODY || text(message, 28, 6) !== mac) return 'bad-dhcp';
  const options = readOptions4(message);
  if (options === undefined) return 'bad-dhcp';
  const type = options.get(53)?.charCodeAt(0) ?? 0;
  const answer = (kind: number, isToAll: boolean, gives: boolean): TwinAnswer => ({
    ...{ kind: 'dhcp', type: kind, xid: toHex(text(message, 4, 4)), gives },
    toMac: macText(isToAll ? '\xff'.repeat(6) : mac),
  });
  const isFromOwn = text(ip, 12, 4) === own;
  const isToAll = !isFromOwn && message[10] >= 128;
  if (type === 1) return answer(2, isToAll, true);
  if (type === 8) return answer(5, !isFromOwn, false);
  if (type === 4 || type === 7) return 'silent';
  if (type !== 3) return 'bad-dhcp';
  const server = options.get(54) ?? NOBODY;
  if (server !== NOBODY && server !== router) return 'silent';
  const said = options.get(50) ?? NOBODY;
  const wanted = said === NOBODY ? text(message, 12, 4) : said;
  if (wanted === NOBODY) return 'bad-dhcp';
  return wanted === own ? answer(5, isToAll, true) : answer(6, true, false);
}

/** The last of each code; undefined if they are malformed. */
function readOptions4(message: Uint8Array): Map<number, string> | undefined {
  const sizes = new Map([
    [53, [1, 1]],
    [50, [4, 4]],
    [54, [4, 4]],
    [61, [1, 135]],
  ]);
  const found = new Map<number, string>();
  for (let at = 240; at < message.length && message[at] !== 255;) {
    if (message[at] === 0) {
      at++;
      continue;
    }
    const size = message[at + 1];
    if (size === undefined || at + 2 + size > message.length) return undefined;
    const [least, most] = sizes.get(message[at]) ?? [0, 255];
    if (size < least || size > most) return undefined;
    found.set(message[at], text(message, at + 2, size));
    at += 2 + size;
  }
  return found;
}

function judge6(ip: Uint8Array, mac: string, own: string): DhcpVerdict {
  if (ip[6] !== 17 || u16(ip, 40) !== 546 || u16(ip, 42) !== 547) return 'other';
  if (text(ip, 24, 16) !== SERVERS || !isLinkLocal(ip)) return 'other';
  const [payload, udp] = [u16(ip, 4), u16(ip, 44)];
  if (payload + 40 > ip.length || udp < 8 || udp > payload) return 'other';
  const message = ip.subarray(48, 40 + udp);
  const options = message.length < 4 ? undefined : readOptions6(text(message, 4, message.length));
  if (options === undefined) return 'bad-dhcp';
  const last = (code: number): string | undefined =>
    options.filter((one) => one.code === code).at(-1)?.value;
  const associations = options.filter(({ code }) => code === 3).map(({ value }) => value);
  const isWrongId = ({ code, value }: Option): boolean =>
    (code === 1 || code === 2) && (value === '' || value.length > 130);
  if (options.some(isWrongId)) return 'bad-dhcp';
  // Only the first is served, and looked at.
  const inner = associations.length === 0 ? [] : addressesOf(associations[0]);
  if (inner === undefined) return 'bad-dhcp';
  const type = message[0];
  const [hasClient, server] = [last(1) !== undefined, last(2)];
  const isRight = [1, 4, 6].includes(type)
    ? hasClient && server === undefined
    : [3, 5, 8, 9].includes(type)
      ? hasClient && server !== undefined
      : type === 11 && associations.length === 0;
  if (!isRight) return 'bad-dhcp';
  if (server !== undefined && server !== SERVER_ID) return 'silent';
  if (type === 4 && inner.length === 0) return 'silent';
  if (type === 1 && associations.length === 0) return 'silent';
  const gives = [1, 3, 5, 6].includes(type) && associations.length > 0 && own !== '';
  const xid = toHex(text(message, 1, 3));
  return { kind: 'dhcpv6', type: type === 1 ? 2 : 7, xid, toMac: macText(mac), gives };
}

interface Option {
  readonly code: number;
  readonly value: string;
}

function readOptions6(part: string): Option[] | undefined {
  const options: Option[] = [];
  for (let rest = part; rest !== '';) {
    if (rest.length < 4) return undefined;
    const [code, size] = [word(rest, 0), word(rest, 2)];
    if (4 + size > rest.length) return undefined;
    options.push({ code, value: rest.slice(4, 4 + size) });
    rest = rest.slice(4 + size);
  }
  return options;
}

/** The addresses of an identity association; undefined if it is malformed. */
function addressesOf(association: string): string[] | undefined {
  if (association.length < 12) return undefined;
  const all = readOptions6(association.slice(12))?.filter(({ code }) => code === 5);
  return all?.some(({ value }) => value.length < 24) === false
    ? all.map(({ value }) => value.slice(0, 16))
    : undefined;
}

function judgeSolicitation(ip: Uint8Array, mac: string): DhcpVerdict {
  const size = u16(ip, 4);
  if (size + 40 > ip.length) return 'other';
  if (size < 8 || ip[41] !== 0) return 'bad-dhcp';
  let at = 48;
  while (at < 40 + size) {
    if (at + 8 > 40 + size || ip[at + 1] === 0) return 'bad-dhcp';
    at += 8 * ip[at + 1];
  }
  if (at !== 40 + size) return 'bad-dhcp';
  const to = isLinkLocal(ip) ? mac : '\x33\x33\0\0\0\x01';
  return { kind: 'router', type: 134, xid: '', toMac: macText(to), gives: false };
}

function isLinkLocal(ip: Uint8Array): boolean {
  return ip[8] === 0xfe && ip[9] >> 6 === 2;
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at] * 256 + bytes[at + 1];
}

function word(part: string, at: number): number {
  return part.charCodeAt(at) * 256 + part.charCodeAt(at + 1);
}

function text(bytes: Uint8Array, at: number, size: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + size));
}

function toHex(part: string): string {
  return Buffer.from(part, 'latin1').toString('hex');
}

function macText(mac: string): string {
  return toHex(mac).match(/../g)!.join(':');
}
