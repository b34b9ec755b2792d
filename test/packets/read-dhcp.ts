/**
 * Reads the frames that answer DHCP, DHCPv6 and router solicitations: slowly, and without src/wire/. What is wrong with
 * one throws: a length that doesn't fit, a checksum that isn't right, bytes behind the end.
 */
import assert from 'node:assert/strict';
import { checksum, pseudoHeader } from './build.ts';

/** What an answer says, in words. Options have their code and their value in hexadecimal. */
export interface ReadAnswer {
  readonly toMac: string;
  readonly from: string;
  readonly to: string;
  /** `dhcp`, `dhcpv6` or `router`. */
  readonly kind: string;
  readonly type: number;
  readonly xid: string;
  /** Of DHCP: address of the client as it says, its address, flags, hardware address. */
  readonly fixed: string;
  readonly options: readonly string[];
}

export function readAnswer(frame: Uint8Array): ReadAnswer {
  const text = (at: number, size: number): string => Buffer.from(frame.subarray(at, at + size)).toString('hex'); // prettier-ignore
  assert.equal(text(6, 6), '027367000001', 'it is from the gateway');
  const type = text(12, 2);
  assert.ok(type === '0800' || type === '86dd');
  const toMac = text(0, 6).match(/../g)!.join(':');
  const ip = frame.subarray(14);
  return { toMac, ...(type === '0800' ? readIpv4(ip) : readIpv6(ip)) };
}

function u16(from: Uint8Array, at: number): number {
  return from[at] * 256 + from[at + 1];
}

function toHex(part: Uint8Array): string {
  return Buffer.from(part).toString('hex');
}

function dotted(part: Uint8Array): string {
  return [...part].join('.');
}

function readIpv4(ip: Uint8Array): Omit<ReadAnswer, 'toMac'> {
  assert.equal(ip[0], 0x45);
  assert.equal(u16(ip, 2), ip.length);
  assert.equal(checksum(ip.subarray(0, 20)), 0, 'header checksum');
  const [from, to] = [ip.subarray(12, 16), ip.subarray(16, 20)];
  const message = readUdp(ip.subarray(20), ip[9], from, to, 67, 68);
  assert.equal(toHex(message.subarray(0, 4)), '02010600');
  assert.equal(toHex(message.subarray(236, 240)), '63825363');
  assert.equal(toHex(message.subarray(44, 236)), '00'.repeat(192), 'no name of server or file');
  assert.equal(
    toHex(message.subarray(20, 28)),
    '00'.repeat(8),
    'neither a next server nor a relay',
  );
  const options: string[] = [];
  let type = 0;
  let at = 240;
  for (; message[at] !== 255; at += 2 + message[at + 1]) {
    assert.ok(at + 2 + message[at + 1] < message.length, 'an option reaches beyond the end');
    const value = message.subarray(at + 2, at + 2 + message[at + 1]);
    if (message[at] === 53) [type] = value;
    else options.push(`${message[at]} ${toHex(value)}`);
  }
  assert.equal(at, message.length - 1, 'the end is the end');
  const fixed = `${dotted(message.subarray(12, 16))} ${dotted(message.subarray(16, 20))} ${toHex(message.subarray(10, 12))} ${toHex(message.subarray(28, 34))}`;
  const xid = toHex(message.subarray(4, 8));
  return { from: dotted(from), to: dotted(to), kind: 'dhcp', type, xid, fixed, options };
}

function readIpv6(ip: Uint8Array): Omit<ReadAnswer, 'toMac'> {
  assert.equal(ip[0] >> 4, 6);
  assert.equal(u16(ip, 4), ip.length - 40);
  assert.equal(ip[7], 255);
  const [from, to] = [ip.subarray(8, 24), ip.subarray(24, 40)];
  const ends = { from: toHex(from), to: toHex(to), fixed: '' };
  if (ip[6] === 58) return { ...ends, ...readAdvertisement(ip.subarray(40), from, to) };
  const message = readUdp(ip.subarray(40), ip[6], from, to, 547, 546);
  const options = readOptions6(message.subarray(4));
  const xid = toHex(message.subarray(1, 4));
  return { ...ends, kind: 'dhcpv6', type: message[0], xid, options };
}

/** Options of DHCPv6; those within an identity association stand behind it, in brackets. */
function readOptions6(part: Uint8Array): string[] {
  const options: string[] = [];
  for (let at = 0; at < part.length;) {
    assert.ok(at + 4 <= part.length);
    const [code, size] = [u16(part, at), u16(part, at + 2)];
    const value = part.subarray(at + 4, at + 4 + size);
    assert.equal(value.length, size, 'an option reaches beyond the end');
    const inner = code === 3 ? ` [${readOptions6(value.subarray(12)).join(', ')}]` : '';
    options.push(`${code} ${toHex(code === 3 ? value.subarray(0, 12) : value)}${inner}`);
    at += 4 + size;
  }
  return options;
}

function readAdvertisement(
  message: Uint8Array,
  from: Uint8Array,
  to: Uint8Array,
): Pick<ReadAnswer, 'kind' | 'type' | 'xid' | 'options'> {
  assert.equal(checksum(pseudoHeader(from, to, 58, message.length), message), 0, 'checksum');
  assert.equal(message[0], 134);
  assert.equal(message[1], 0);
  const options = [toHex(message.subarray(4, 16))];
  for (let at = 16; at < message.length; at += 8 * message[at + 1]) {
    assert.ok(message[at + 1] > 0 && at + 8 * message[at + 1] <= message.length);
    options.push(`${message[at]} ${toHex(message.subarray(at + 2, at + 8 * message[at + 1]))}`);
  }
  return { kind: 'router', type: 134, xid: '', options };
}

function readUdp(
  datagram: Uint8Array,
  protocol: number,
  from: Uint8Array,
  to: Uint8Array,
  srcPort: number,
  dstPort: number,
): Uint8Array {
  assert.equal(protocol, 17);
  assert.deepEqual([u16(datagram, 0), u16(datagram, 2)], [srcPort, dstPort]);
  assert.equal(u16(datagram, 4), datagram.length);
  assert.equal(checksum(pseudoHeader(from, to, 17, datagram.length), datagram), 0, 'checksum');
  return datagram.subarray(8);
}
