/** The `interfaces` and `uplink` sections. */
import { parseAddress, type Address } from '../addr/address.ts';
import { isId, stableId } from '../policy/ids.ts';
import type { ConnectionTracking, GroupId, NetworkInterface } from '../policy/model.ts';
import { get, type Entry, type Node } from '../source/yaml.ts';
import { parseAddressWithLength, readCidrs, type AddressRegistry } from './config-addresses.ts';
import { readDevice, type DeviceRegistry } from './config-devices.ts';
import type { Directory } from './config-names.ts';
import {
  fail,
  originOf,
  readBoolean,
  readEntries,
  readInteger,
  readItems,
  readText,
  readWord,
  report,
  take,
  type Reader,
} from './config-reader.ts';
import type { InterfaceConfig, UplinkConfig } from './config.ts';

const NAME_LENGTH_MAX = 64;

/** Source: Amazon EC2 User Guide, "Security group connection tracking", idle time-outs. */
const TIMEOUTS = {
  tcpEstablishedTimeout: { min: 60, max: 432_000, otherwise: 432_000 },
  udpTimeout: { min: 30, max: 60, otherwise: 30 },
  udpStreamTimeout: { min: 60, max: 180, otherwise: 180 },
} as const;

export interface InterfaceContext {
  readonly reader: Reader;
  readonly groups: Directory;
  readonly defaultGroupId: GroupId;
  readonly addresses: AddressRegistry;
  readonly devices: DeviceRegistry;
  readonly netnsDirectory: string;
}

export interface InterfaceParts {
  readonly network: NetworkInterface;
  /** Undefined if the device is wrong, which has been reported. */
  readonly config: InterfaceConfig | undefined;
}

export function readInterfaces(
  context: InterfaceContext,
  section: Node | undefined,
): readonly InterfaceParts[] {
  return readEntries(context.reader, section).map((entry) => readInterface(context, entry));
}

function readInterface(context: InterfaceContext, entry: Entry): InterfaceParts {
  const { reader, devices, netnsDirectory } = context;
  const { key: name, value: node } = entry;
  const place = { at: entry.keyAt, path: node.path };
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) || name.length > NAME_LENGTH_MAX) {
    fail(
      reader,
      place,
      'bad-name',
      `'${name}' can't be the name of an interface`,
      `use 1 to ${NAME_LENGTH_MAX} letters, digits, '-', '_' and '.'`,
    );
  }
  const id = isId('eni', name) ? name : stableId('eni', name);
  const addresses = readAddresses(context, get(node, 'addresses'), name);
  const groupIds = readGroupIds(context, get(node, 'securityGroups'));
  const network: NetworkInterface = {
    id,
    name,
    addresses,
    groupIds,
    sourceDestCheck: readBoolean(reader, node, 'sourceDestCheck', true),
    connectionTracking: readTimeouts(reader, get(node, 'connectionTracking')),
    origin: originOf(place),
  };
  const deviceNode = get(node, 'device');
  if (deviceNode === undefined) return { network, config: undefined };
  const device = readDevice(reader, deviceNode, {
    kind: readWord(reader, deviceNode, 'kind', ['tun', 'tap'], 'tun'),
    nameNode: get(deviceNode, 'name'),
    usesIpv6: addresses.some(({ family }) => family === 6),
    netnsDirectory,
  });
  if (device === undefined) return { network, config: undefined };
  devices.add(reader, device, deviceNode, `interface '${name}'`);
  return { network, config: { id, name, device } };
}

function readAddresses(
  context: InterfaceContext,
  list: Node | undefined,
  name: string,
): readonly Address[] {
  const { reader, addresses } = context;
  if (list?.kind === 'list' && list.items.length === 0) {
    fail(
      reader,
      list,
      'missing-address',
      'an interface needs at least one address',
      'write addresses: [10.0.0.11]',
    );
  }
  return readItems(reader, list).flatMap((node) => {
    const text = readText(reader, node);
    const address =
      text === undefined ? undefined : take(reader, node, 'bad-address', parseAddress(text));
    if (address === undefined) return [];
    addresses.addPrivate(reader, address, node, `interface '${name}'`);
    return [address];
  });
}

function readGroupIds(context: InterfaceContext, list: Node | undefined): readonly GroupId[] {
  const { reader, groups, defaultGroupId } = context;
  if (list === undefined) return [defaultGroupId];
  const items = readItems(reader, list);
  if (list.kind === 'list' && items.length === 0) {
    fail(
      reader,
      list,
      'missing-group',
      'an interface has at least one security group',
      'name one, or remove the key: then it has the default group',
    );
  }
  const ids = new Set<GroupId>();
  for (const node of items) {
    const text = readText(reader, node);
    const id =
      text === undefined ? undefined : take(reader, node, groups.unknownCode, groups.resolve(text));
    if (id === undefined) continue;
    if (ids.has(id))
      report(
        reader,
        'warning',
        node,
        'duplicate-group',
        `the security group '${text!}' is named twice`,
        'remove one of the two',
      );
    ids.add(id);
  }
  return [...ids];
}

function readTimeouts(reader: Reader, node: Node | undefined): ConnectionTracking {
  const read = (key: keyof typeof TIMEOUTS): number => {
    const { min, max, otherwise } = TIMEOUTS[key];
    const range = { min, max, code: 'bad-timeout', what: key };
    return (node === undefined ? undefined : readInteger(reader, node, key, range)) ?? otherwise;
  };
  if (node !== undefined && node.kind !== 'mapping')
    reader.misses.push({ node, expected: 'a mapping' });
  return {
    tcpEstablishedTimeoutSec: read('tcpEstablishedTimeout'),
    udpTimeoutSec: read('udpTimeout'),
    udpStreamTimeoutSec: read('udpStreamTimeout'),
  };
}

/** Reads `uplink`; undefined if there is none, or none that could be used (reported). */
export function readUplink(
  context: Omit<InterfaceContext, 'groups' | 'defaultGroupId'>,
  section: Node | undefined,
): UplinkConfig | undefined {
  const { reader, addresses: registry, devices, netnsDirectory } = context;
  if (section === undefined) return undefined;
  if (section.kind !== 'mapping') {
    reader.misses.push({ node: section, expected: 'a mapping' });
    return undefined;
  }
  const addresses = readItems(reader, get(section, 'addresses')).flatMap((node) => {
    const text = readText(reader, node);
    const parsed =
      text === undefined
        ? undefined
        : take(reader, node, 'bad-address', parseAddressWithLength(text));
    if (parsed === undefined) return [];
    registry.addUplink(reader, parsed.address, node);
    return [parsed];
  });
  const routes = readCidrs(reader, get(section, 'routes')).map(({ cidr }) => cidr);
  const tun = get(section, 'tun');
  const tap = get(section, 'tap');
  if (tun === undefined && tap === undefined) {
    fail(
      reader,
      section,
      'missing-device',
      'the uplink has no device',
      'write tun: NAME or tap: NAME',
    );
  } else if (tun !== undefined && tap !== undefined) {
    fail(reader, tap, 'two-devices', "the uplink has both 'tun' and 'tap'", 'keep one of the two');
  }
  const usesIpv6 =
    addresses.some(({ address }) => address.family === 6) ||
    routes.some(({ family }) => family === 6);
  const kind = tun === undefined ? 'tap' : 'tun';
  const device = readDevice(reader, section, {
    kind,
    nameNode: tun ?? tap,
    usesIpv6,
    netnsDirectory,
  });
  if (device === undefined) return undefined;
  devices.add(reader, device, section, 'the uplink');
  return { device, addresses, routes };
}
