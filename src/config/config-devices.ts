/** This file reads the names, namespaces and MTUs of the TUN and TAP devices of interfaces and of the uplink. */
import { portKind, type PortKindName } from '../ports/port-kind.ts';
import type { Parsed } from '../addr/address.ts';
import { get, type Node } from '../source/yaml.ts';
import { readServed } from './config-dhcp.ts';
import {
  fail,
  isTextOrNumber,
  lineText,
  readBoolean,
  readInteger,
  readText,
  type Place,
  type Reader,
} from './config-reader.ts';
import type { DeviceConfig } from './config.ts';
import { MTU_LIMITS } from './limits.ts';

/** IFNAMSIZ of linux/if.h without the closing NUL. */
const NAME_BYTES_MAX = 15;
/** NAME_MAX of linux/limits.h: the longest file name under the namespace directory. */
const NETNS_NAME_BYTES_MAX = 255;
/** RFC 8200 section 5. */
export const MTU_IPV6_MIN = 1280;

/** What is wrong, and what would be right. */
export interface Advised {
  readonly message: string;
  readonly hint: string;
}

export interface DeviceOptions {
  readonly kind: PortKindName;
  readonly nameNode: Node | undefined;
  readonly usesIpv6: boolean;
  /** Whether it is an interface's. The uplink's is configured by default, also in the daemon's own namespace. */
  readonly isInstance: boolean;
  readonly netnsDirectory: string;
}

/** Reads the keys that `interfaces.*.device` and `uplink` share. Returns undefined without a usable name. */
export function readDevice(
  reader: Reader,
  node: Node,
  options: DeviceOptions,
): DeviceConfig | undefined {
  const { kind, nameNode, usesIpv6, netnsDirectory, isInstance } = options;
  const name = readDeviceName(reader, nameNode);
  const netnsNode = get(node, 'netns');
  const netns = readNetns(reader, netnsNode, netnsDirectory);
  const mtu = readMtu(reader, node, usesIpv6);
  const configure = readBoolean(
    reader,
    node,
    'configure',
    !isInstance || (netnsNode !== undefined && !portKind(kind).isAttached),
  );
  const persist = readBoolean(reader, node, 'persist', false);
  if (portKind(kind).isAttached) refuseSettings(reader, node);
  const mac = readMac(reader, get(node, 'mac'), kind);
  const dhcp = isInstance && readServed(reader, node, { kind, configure, netns: netns?.text });
  if (name === undefined) return undefined;
  const origin = node.at;
  const place = netnsNode === undefined ? {} : { netnsAt: netnsNode.at };
  return {
    kind,
    name,
    netns: netns?.text,
    netnsPath: netns?.path,
    mtu,
    configure,
    persist,
    dhcp,
    ...(mac === undefined ? {} : { mac }),
    origin,
    ...place,
  };
}

function readMac(reader: Reader, node: Node | undefined, kind: PortKindName): string | undefined {
  const text = readText(reader, node)?.toLowerCase();
  if (text === undefined) return undefined;
  if (!portKind(kind).hasEthernet)
    return fail(reader, node!, 'bad-mac', `a ${kind} has no MAC address`, 'leave mac out');
  // The lowest bit of the first byte marks a group of hosts.
  const isHost = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/.test(text) && !/^[0:]+$/.test(text);
  if (isHost) return text;
  const message = `'${text}' is not the MAC address of a host`;
  return fail(reader, node!, 'bad-mac', message, 'write it as 02:00:00:00:00:11');
}

/** Who makes an attached device also configures it. */
function refuseSettings(reader: Reader, node: Node): void {
  for (const key of ['mtu', 'configure', 'persist']) {
    const given = get(node, key);
    if (given !== undefined)
      fail(
        reader,
        given,
        'attached-device',
        `'${key}' is of no use for an attached device`,
        'who makes the device configures it; leave this out',
      );
  }
}

function readDeviceName(reader: Reader, node: Node | undefined): string | undefined {
  const name = readText(reader, node);
  if (name === undefined) return undefined;
  const wrong = checkDeviceName(name);
  return wrong === undefined
    ? name
    : fail(reader, node!, 'bad-device-name', wrong.message, wrong.hint);
}

/** What stands against a name of a network interface. */
export function checkDeviceName(name: string): Advised | undefined {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > NAME_BYTES_MAX) {
    return {
      message: `the device name '${name}' has ${bytes} bytes`,
      hint: `Linux takes 1 to ${NAME_BYTES_MAX}`,
    };
  }
  // '%' would make the kernel choose a number ("tun%d").
  if (/[/:%\s\0]/.test(name) || name === '.' || name === '..') {
    return {
      message: `the device name '${name}' has a character Linux does not take`,
      hint: "use letters, digits, '-', '_' and '.'",
    };
  }
  return undefined;
}

function readMtu(reader: Reader, node: Node, usesIpv6: boolean): number {
  const range = { ...MTU_LIMITS, code: 'bad-mtu', what: 'mtu' };
  const mtu = readInteger(reader, node, 'mtu', range) ?? MTU_LIMITS.otherwise;
  if (usesIpv6 && mtu < MTU_IPV6_MIN) {
    fail(
      reader,
      get(node, 'mtu')!,
      'bad-mtu',
      `mtu ${mtu} is too small for IPv6`,
      `IPv6 needs at least ${MTU_IPV6_MIN}`,
    );
  }
  return mtu;
}

function readNetns(
  reader: Reader,
  node: Node | undefined,
  netnsDirectory: string,
): { text: string; path: string } | undefined {
  if (node === undefined) return undefined;
  if (!isTextOrNumber(node)) {
    reader.misses.push({ node, expected: 'a string or a whole number' });
    return undefined;
  }
  const { value, text } = node;
  if (typeof value === 'number') {
    if (/^[1-9]\d*$/.test(text)) return { text, path: `/proc/${text}/ns/net` };
    return fail(
      reader,
      node,
      'bad-netns',
      `'${text}' is not a process id`,
      'write the number of a process, the name of a namespace, or a path',
    );
  }
  const name = String(value);
  const resolved = resolveNetns(name, netnsDirectory);
  if (resolved.ok) return { text: name, path: resolved.value };
  return fail(reader, node, 'bad-netns', resolved.message, resolved.hint);
}

/**
 * The path of a network namespace that is named by its name below the namespace directory, or by its path.
 * @returns what is wrong with the text otherwise; whether there is such a namespace is not looked at
 */
export function resolveNetns(text: string, netnsDirectory: string): Parsed<string> {
  if (text.startsWith('/') && !text.includes('\0')) return { ok: true, value: text };
  if (/[/\0]/.test(text)) {
    const message = `'${text}' is neither the name of a namespace nor a path`;
    return { ok: false, message, hint: "a name has no '/', a path starts with '/'" };
  }
  if (
    text === '' ||
    text === '.' ||
    text === '..' ||
    Buffer.byteLength(text) > NETNS_NAME_BYTES_MAX
  ) {
    const message = `'${text}' can't be the name of a namespace`;
    return { ok: false, message, hint: "write a name as 'ip netns list' shows it" };
  }
  return { ok: true, value: `${netnsDirectory.replace(/\/+$/, '')}/${text}` };
}

/** Records the owner of each device. Two owners of one device would take each other's packets. */
export class DeviceRegistry {
  readonly #owners = new Map<string, { readonly place: Place; readonly what: string }>();

  add(reader: Reader, device: DeviceConfig, place: Place, what: string): void {
    const key = `${device.netnsPath ?? ''}\0${device.name}`;
    const first = this.#owners.get(key);
    if (first === undefined) {
      this.#owners.set(key, { place, what });
      return;
    }
    const where = device.netns === undefined ? '' : ` in namespace ${device.netns}`;
    const message = `the device '${device.name}'${where} belongs to ${first.what} on ${lineText(first.place.at, place.at)} already`;
    fail(reader, place, 'duplicate-device', message, 'give each its own device');
  }
}
