/** Devices: the names, namespaces and sizes of TUN and TAP interfaces, for interfaces and for the uplink. */
import { get, type Node } from '../../source/yaml.ts';
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

/** IFNAMSIZ of linux/if.h without the closing NUL. */
const NAME_BYTES_MAX = 15;
/** NAME_MAX of linux/limits.h: the longest file name under the namespace directory. */
const NETNS_NAME_BYTES_MAX = 255;
/** RFC 791 section 3.1: what every host must take, and the kernel's own limit for a TUN. */
const MTU_MIN = 576;
const MTU_MAX = 65535;
/** RFC 8200 section 5. */
const MTU_IPV6_MIN = 1280;
const MTU_DEFAULT = 1500;

export interface DeviceOptions {
  readonly kind: 'tun' | 'tap';
  readonly nameNode: Node | undefined;
  readonly usesIpv6: boolean;
  /** Whether it is configured in the daemon's own namespace, too, without being asked to. */
  readonly configuresHost: boolean;
  readonly netnsDirectory: string;
}

/** Reads the keys that `interfaces.*.device` and `uplink` share from `node`; undefined without a usable name. */
export function readDevice(
  reader: Reader,
  node: Node,
  options: DeviceOptions,
): DeviceConfig | undefined {
  const { kind, nameNode, usesIpv6, netnsDirectory, configuresHost } = options;
  const name = readDeviceName(reader, nameNode);
  const netnsNode = get(node, 'netns');
  const netns = readNetns(reader, netnsNode, netnsDirectory);
  const mtu = readMtu(reader, node, usesIpv6);
  const configure = readBoolean(
    reader,
    node,
    'configure',
    configuresHost || netnsNode !== undefined,
  );
  const persist = readBoolean(reader, node, 'persist', false);
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
    origin,
    ...place,
  };
}

function readDeviceName(reader: Reader, node: Node | undefined): string | undefined {
  const name = readText(reader, node);
  if (name === undefined) return undefined;
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > NAME_BYTES_MAX) {
    return fail(
      reader,
      node!,
      'bad-device-name',
      `the device name '${name}' has ${bytes} bytes`,
      `Linux takes 1 to ${NAME_BYTES_MAX}`,
    );
  }
  // '%' would make the kernel number the device by itself ("tun%d").
  if (/[/:%\s\0]/.test(name) || name === '.' || name === '..') {
    return fail(
      reader,
      node!,
      'bad-device-name',
      `the device name '${name}' has a character Linux does not take`,
      "use letters, digits, '-', '_' and '.'",
    );
  }
  return name;
}

function readMtu(reader: Reader, node: Node, usesIpv6: boolean): number {
  const range = { min: MTU_MIN, max: MTU_MAX, code: 'bad-mtu', what: 'mtu' };
  const mtu = readInteger(reader, node, 'mtu', range) ?? MTU_DEFAULT;
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
  if (name.startsWith('/') && !name.includes('\0')) return { text: name, path: name };
  if (/[/\0]/.test(name)) {
    return fail(
      reader,
      node,
      'bad-netns',
      `'${name}' is neither the name of a namespace nor a path`,
      "a name has no '/', a path starts with '/'",
    );
  }
  if (
    name === '' ||
    name === '.' ||
    name === '..' ||
    Buffer.byteLength(name) > NETNS_NAME_BYTES_MAX
  ) {
    return fail(
      reader,
      node,
      'bad-netns',
      `'${name}' can't be the name of a namespace`,
      "write a name as 'ip netns list' shows it",
    );
  }
  return { text: name, path: `${netnsDirectory.replace(/\/+$/, '')}/${name}` };
}

/** Two users of one device would take each other's packets. */
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
