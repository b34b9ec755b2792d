/** This file reads the names, namespaces and MTUs of the devices of interfaces and of the uplink. */
import { isPattern, matchLabel } from '../ports/link-match.ts';
import { isMadeHere, portKind, type PortKindName } from '../ports/port-kind.ts';
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
import { MatchRegistry, readMatch } from './config-match.ts';
import type { DeviceConfig } from './config.ts';
import { MTU_LIMITS } from './limits.ts';
import { isMacOfHost } from './mac-text.ts';

/** IFNAMSIZ of linux/if.h without the closing NUL. */
const NAME_BYTES_MAX = 15;
/** NAME_MAX of linux/limits.h: the longest file name under the namespace directory. */
const NETNS_NAME_BYTES_MAX = 255;
/** sun_path of unix(7) without the closing NUL. */
const SOCKET_PATH_BYTES_MAX = 107;
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
  refuseSettings(reader, node, kind);
  const { isStream } = portKind(kind);
  const given = readDeviceName(reader, isStream ? get(node, 'path') : nameNode, kind);
  const match = readMatch(reader, node, kind, given);
  const name = match === undefined ? given : matchLabel(match);
  const netnsNode = get(node, 'netns');
  const netns = readNetns(reader, netnsNode, netnsDirectory);
  const mtu = readMtu(reader, node, usesIpv6);
  const configure = readBoolean(
    reader,
    node,
    'configure',
    !isInstance || (netnsNode !== undefined && isMadeHere(portKind(kind))),
  );
  const persist = readBoolean(reader, node, 'persist', false);
  const mac = readMac(reader, get(node, 'mac'), kind);
  const group = readGroup(reader, get(node, 'group'));
  const dhcp = isInstance && readServed(reader, node, { kind, configure, netns: netns?.text });
  if (name === undefined) return undefined;
  const origin = node.at;
  const place = netnsNode === undefined ? {} : { netnsAt: netnsNode.at };
  return {
    kind,
    name,
    ...(match === undefined ? {} : { match }),
    netns: netns?.text,
    netnsPath: netns?.path,
    mtu,
    configure,
    persist,
    dhcp,
    ...(mac === undefined ? {} : { mac }),
    ...(group === undefined ? {} : { group }),
    origin,
    ...place,
  };
}

function readMac(reader: Reader, node: Node | undefined, kind: PortKindName): string | undefined {
  const text = readText(reader, node)?.toLowerCase();
  if (text === undefined) return undefined;
  if (!portKind(kind).hasEthernet)
    return fail(reader, node!, 'bad-mac', `a ${kind} has no MAC address`, 'leave mac out');
  if (isMacOfHost(text)) return text;
  const message = `'${text}' is not the MAC address of a host`;
  return fail(reader, node!, 'bad-mac', message, 'write it as 02:00:00:00:00:11');
}

/** Whether there is such a group is known where the daemon runs. */
function readGroup(reader: Reader, node: Node | undefined): string | undefined {
  const text = readText(reader, node);
  if (text === undefined) return undefined;
  const isGroup = /^(?:[a-z_][a-z0-9_.-]{0,31}|\d{1,9})$/i.test(text);
  if (isGroup) return text;
  const message = `'${text}' can't be the name of a group`;
  return fail(reader, node!, 'bad-socket-group', message, 'write a name or number of /etc/group');
}

/** Who makes an attached device also configures it, and a stream has no interface. */
function refuseSettings(reader: Reader, node: Node, kind: PortKindName): void {
  const refuse = (keys: readonly string[], code: string, what: string, hint: string): void => {
    for (const key of keys) {
      const given = get(node, key);
      if (given !== undefined) fail(reader, given, code, `'${key}' is of no use for ${what}`, hint);
    }
  };
  if (portKind(kind).isAttached)
    refuse(
      ['mtu', 'configure', 'persist'],
      'attached-device',
      'an attached device',
      'who makes the device configures it; leave this out',
    );
  if (portKind(kind).isStream)
    refuse(
      ['name', 'netns', 'configure', 'persist'],
      'stream-device',
      'a stream',
      'a stream has a socket (path) and no interface; leave this out',
    );
  else
    refuse(
      ['path', 'group'],
      'stream-device',
      `a ${kind}`,
      'write kind: stream, or leave this out',
    );
}

function readDeviceName(
  reader: Reader,
  node: Node | undefined,
  kind: PortKindName,
): string | undefined {
  const name = readText(reader, node);
  if (name === undefined) return undefined;
  const wrong = checkName(name, kind);
  if (wrong === undefined) return name;
  const code = portKind(kind).isStream ? 'bad-socket-path' : 'bad-device-name';
  return fail(reader, node!, code, wrong.message, wrong.hint);
}

/** What stands against a name of a network interface as it is, or the path of a stream's socket. */
export function checkDeviceName(name: string, kind: PortKindName): Advised | undefined {
  if (!portKind(kind).isAttached || !isPattern(name)) return checkName(name, kind);
  return {
    message: `'${name}' is a pattern, and no name of an interface`,
    hint: 'patterns are for configuration files; here the name is written out',
  };
}

function checkName(name: string, kind: PortKindName): Advised | undefined {
  return portKind(kind).isStream ? checkSocketPath(name) : checkInterfaceName(name);
}

function checkSocketPath(path: string): Advised | undefined {
  const bytes = Buffer.byteLength(path);
  // The kernel would take a path with a dot as well; two spellings of one socket would be two devices.
  if (!path.startsWith('/') || path.includes('\0') || /\/(\.{0,2})(\/|$)/.test(path))
    return {
      message: `'${path}' can't be the path of a socket`,
      hint: "write it whole and without '.', '..' and '//', as /run/secgroupd/vm1.sock",
    };
  if (bytes > SOCKET_PATH_BYTES_MAX)
    return {
      message: `the socket's path has ${bytes} bytes`,
      hint: `Linux takes ${SOCKET_PATH_BYTES_MAX}`,
    };
  return undefined;
}

function checkInterfaceName(name: string): Advised | undefined {
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
  readonly #matches = new MatchRegistry();

  add(reader: Reader, device: DeviceConfig, place: Place, what: string): void {
    this.#matches.add(reader, device, place, what);
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
