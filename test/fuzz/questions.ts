/** Makes questions of DHCP, DHCPv6 and router discovery for the fuzzer: right ones, and nearly right ones. */
import type { Lease } from '../../src/wire/lease.ts';
import { addressBytes, hex } from '../packets/build.ts';
import { dhcp4Frame, dhcp6Frame, iaNa, solicitRouter, type Option6 } from '../packets/dhcp.ts';
import type { ReadAnswer } from '../packets/read-dhcp.ts';
import * as places from './policies.ts';
import type { Random } from './random.ts';
import type { TwinAnswer, TwinLease } from './twin-dhcp.ts';

const ADDRESSES: readonly (readonly [string, string])[] = [
  [places.WEB, places.WEB6],
  [places.APP, places.APP6],
  [places.DB, places.DB6],
];
const GATEWAY = '10.0.0.1';
const DNS = 0x08080808;
const LINK_LOCAL = 'fe80::1';
const OUR_ID = hex('00030001027367000001');

/** The same lease twice: as the engine has it, and as the twin has it. Each family is there or not. */
export function makeLeases(
  random: Random,
  port: number,
): { readonly lease: Lease | null; readonly twin: TwinLease } {
  const [address4, address6] = ADDRESSES[port - 1];
  const has4 = !random.oneIn(8);
  const has6 = !random.oneIn(8);
  const dns = random.oneIn(2) ? [] : [DNS];
  const lease: Lease = {
    ipv4: has4
      ? { ...{ address: words(address4)[0], prefixLength: random.below(33) }, router: words(GATEWAY)[0], dns } // prettier-ignore
      : undefined,
    ipv6: has6
      ? { address: words(address6), dns: dns.flatMap((one) => [one, 0, 0, 1]) }
      : undefined,
  };
  const twin = {
    address4: has4 ? letters(address4) : undefined,
    router4: letters(GATEWAY),
    address6: has6 ? letters(address6) : undefined,
  };
  return { lease: has4 || has6 ? lease : null, twin };
}

/** Whether an answer says what it must, and names no address but the interface's. */
export function isAsExpected(read: ReadAnswer, expected: TwinAnswer, own: TwinLease): boolean {
  const { kind, type, xid, toMac, gives } = expected;
  if (read.kind !== kind || read.type !== type || read.xid !== xid || read.toMac !== toMac)
    return false;
  if (kind === 'dhcp') {
    const address = gives ? [...own.address4!].map((one) => one.charCodeAt(0)).join('.') : '0.0.0.0'; // prettier-ignore
    return read.fixed.split(' ')[1] === address;
  }
  const given = read.options.filter((one) => one.startsWith('3 '));
  if (!gives) return given.length === 0;
  const address = Buffer.from(own.address6!, 'latin1').toString('hex');
  // Any other is to be given up: its lifetimes are 0.
  const [first, ...others] = given[0].slice(given[0].indexOf('[') + 1, -1).split(', ');
  return (
    first === `5 ${address}00000e1000000e10` && others.every((one) => one.endsWith('0'.repeat(16)))
  );
}

/** An IP packet with a question of a host with this MAC address. */
export function makeQuestion(random: Random, mac: Uint8Array): Uint8Array {
  const roll = random.below(8);
  const made = roll < 4 ? ask4(random, mac) : roll < 7 ? ask6(random, mac) : askRouter(random, mac);
  const packet = Uint8Array.from(made.subarray(14));
  for (let dents = random.below(3); dents > 0 && random.oneIn(2); dents--)
    packet[random.below(packet.length)] = random.next();
  return packet;
}

function one<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)];
}

function ask4(random: Random, mac: Uint8Array): Uint8Array {
  const all = [...ADDRESSES.map(([address]) => address), GATEWAY, '0.0.0.0'];
  const options: [number, Uint8Array][] = [];
  if (random.oneIn(2)) options.push([50, addressBytes(one(random, all))]);
  if (random.oneIn(3)) options.push([54, addressBytes(one(random, [GATEWAY, places.OUT]))]);
  if (random.oneIn(3)) options.push([61, noise(random, random.below(140))]);
  if (random.oneIn(4)) options.push([random.below(256), noise(random, random.below(8))]);
  return dhcp4Frame(
    {
      type: one(random, [1, 1, 3, 3, 3, 4, 7, 8, random.below(256)]),
      xid: random.next() >>> 0,
      flags: random.oneIn(3) ? 0x8000 : 0,
      ...{ ciaddr: one(random, all), giaddr: random.oneIn(16) ? places.OUT : '0.0.0.0' },
      ...{ chaddr: mac, options },
    },
    {
      src: one(random, all),
      dst: one(random, ['255.255.255.255', '255.255.255.255', GATEWAY, places.APP]),
      ...{ mac, srcPort: random.oneIn(16) ? 67 : 68 },
    },
  );
}

function ask6(random: Random, mac: Uint8Array): Uint8Array {
  const some = [...ADDRESSES.map(([, address]) => address), places.OUT6];
  const options: Option6[] = [];
  if (!random.oneIn(8)) options.push([1, noise(random, random.below(134))]);
  if (random.oneIn(2))
    options.push([2, random.oneIn(4) ? noise(random, random.below(12)) : OUR_ID]);
  if (random.oneIn(4)) options.push([random.below(30), noise(random, random.below(8))]);
  for (let count = random.below(3); count > 0; count--)
    options.push(
      iaNa(
        random.below(256),
        Array.from({ length: random.below(7) }, () => one(random, some)),
      ),
    );
  return dhcp6Frame(
    { type: random.below(14), xid: random.next() & 0xffffff, options },
    {
      src: one(random, [LINK_LOCAL, LINK_LOCAL, places.WEB6]),
      dst: one(random, ['ff02::1:2', 'ff02::1:2', 'ff02::1:2', 'ff02::1:3', places.APP6]),
      mac,
    },
  );
}

function askRouter(random: Random, mac: Uint8Array): Uint8Array {
  return solicitRouter({
    src: one(random, [LINK_LOCAL, '::', places.WEB6]),
    ...{ mac, hopLimit: random.oneIn(8) ? 64 : 255 },
    options: one(random, ['', '0101060000000001', '0100060000000001', '01010600']),
  });
}

function noise(random: Random, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.next());
}

function words(address: string): number[] {
  const view = new DataView(Uint8Array.from(addressBytes(address)).buffer);
  return Array.from({ length: view.byteLength / 4 }, (_, i) => view.getInt32(4 * i));
}

function letters(address: string): string {
  return String.fromCharCode(...addressBytes(address));
}
