/** This file reads the `interfaces` and `uplink` sections. */
import {
  cidrContains,
  formatAddress,
  parseAddress,
  maskWords,
  type Address,
  type Cidr,
  type Parsed,
} from '../addr/address.ts';
import type { Placement, PlacementWishes } from '../cloudformation/placement.ts';
import { PORTS_MAX } from '../policy/compiled.ts';
import { IDLE_TIMEOUTS } from '../policy/idle-timeouts.ts';
import { isId, stableId } from '../policy/ids.ts';
import type { ConnectionTracking, NetworkInterface } from '../policy/model.ts';
import {
  PORT_KIND_NAMES,
  portKind,
  UPLINK_KIND_NAMES,
  type PortKindName,
} from '../ports/port-kind.ts';
import { get, type Entry, type Node } from '../source/yaml.ts';
import {
  parseAddressWithLength,
  readCidrs,
  type AddressRegistry,
  type VpcBlocks,
} from './config-addresses.ts';
import { warnOfInterfaceAudit } from './config-audit.ts';
import { readDevice, type DeviceRegistry } from './config-devices.ts';
import { readMembership, type VpcContext } from './config-interface-vpc.ts';
import {
  fail,
  originOf,
  readBoolean,
  readEntries,
  readInteger,
  readItems,
  readText,
  readWord,
  take,
  type Reader,
} from './config-reader.ts';
import type { InterfaceConfig, UplinkConfig } from './config.ts';
import { INTERFACE_FLOWS_LIMITS } from './limits.ts';

const NAME_LENGTH_MAX = 64;
const LINK_LOCAL: Cidr = { family: 6, words: [0xfe800000 | 0, 0, 0, 0], length: 10 };
/** Port 0 is the uplink. */
const INTERFACES_MAX = PORTS_MAX - 1;

export interface InterfaceContext extends VpcContext {
  readonly addresses: AddressRegistry;
  readonly devices: DeviceRegistry;
  /** Finds a resource of a template that has network interfaces. */
  readonly place: (reference: string, wishes: PlacementWishes) => Parsed<Placement>;
  readonly netnsDirectory: string;
  /** Of a device that says none. */
  readonly deviceKind: PortKindName;
  /** All subnets of all VPCs. */
  readonly subnets: readonly Cidr[];
}

export interface InterfaceParts {
  readonly network: NetworkInterface;
  /** Undefined if the device is wrong; that has been reported. */
  readonly config: InterfaceConfig | undefined;
}

export function readInterfaces(
  context: InterfaceContext,
  section: Node | undefined,
): readonly InterfaceParts[] {
  const { reader } = context;
  const entries = readEntries(reader, section);
  const tooMany = entries[INTERFACES_MAX];
  if (tooMany !== undefined)
    fail(
      reader,
      { at: tooMany.keyAt, path: tooMany.value.path },
      'too-many-interfaces',
      `there are ${entries.length} interfaces, and a daemon has at most ${INTERFACES_MAX}`,
      'run a second daemon for the rest',
    );
  return entries.slice(0, INTERFACES_MAX).map((entry) => readInterface(context, entry));
}

/** The packets of a stream come to one loop, and the answers to them would come to another. */
export function refuseStreams(
  reader: Reader,
  interfaces: readonly InterfaceParts[],
  workers: number,
): void {
  if (workers === 1) return;
  for (const { config } of interfaces)
    if (config !== undefined && portKind(config.device.kind).isStream)
      fail(
        reader,
        { at: config.device.origin, path: `interfaces.${config.name}.device` },
        'stream-workers',
        `a stream has one queue, and there are ${workers} packet loops`,
        'leave workers out, or give the machine a TAP (kind: attach)',
      );
}

function readInterface(context: InterfaceContext, entry: Entry): InterfaceParts {
  const { reader, vpcs, devices, netnsDirectory, deviceKind } = context;
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
  const placement = readPlacement(context, node);
  const { vpc, groupIds } = readMembership(context, node, name, place, placement);
  const blocks = vpcs.blocksOf(vpc);
  const addresses = readAddresses(context, node, name, placement, blocks);
  const tracking = get(node, 'connectionTracking');
  const network: NetworkInterface = {
    id,
    name,
    ...(blocks.ref === undefined ? {} : { vpc: blocks.ref }),
    addresses,
    groupIds,
    sourceDestCheck: readBoolean(
      reader,
      node,
      'sourceDestCheck',
      placement?.sourceDestCheck ?? true,
    ),
    connectionTracking: readTimeouts(reader, tracking, placement?.connectionTracking),
    alwaysTracked: readBoolean(reader, tracking, 'always', false),
    ...(readBoolean(reader, node, 'audit', placement?.audit ?? false) ? { audit: true } : {}),
    origin: originOf(place),
  };
  warnOfInterfaceAudit(reader, network);
  const deviceNode = get(node, 'device');
  if (deviceNode === undefined) return { network, config: undefined };
  const device = readDevice(reader, deviceNode, {
    kind: readWord(reader, deviceNode, 'kind', PORT_KIND_NAMES, deviceKind),
    nameNode: get(deviceNode, 'name'),
    usesIpv6: addresses.some(({ family }) => family === 6),
    isInstance: true,
    netnsDirectory,
  });
  if (device === undefined) return { network, config: undefined };
  devices.add(reader, device, deviceNode, `interface '${name}'`);
  const limit = { ...INTERFACE_FLOWS_LIMITS, code: 'bad-max-flows', what: 'maxFlows' };
  const maxFlows = readInteger(reader, tracking, 'maxFlows', limit);
  const subnets = context.subnets.filter((subnet) =>
    addresses.some((one) => cidrContains(subnet, one)),
  );
  return { network, config: { id, name, device, maxFlows, subnets } };
}

/** What the template says about the interface, if `from` names one. Undefined if that is unknown, which is reported. */
function readPlacement(context: InterfaceContext, node: Node): Placement | undefined {
  const { reader, place } = context;
  const fromNode = get(node, 'from');
  const from = readText(reader, fromNode);
  if (from === undefined) return undefined;
  const wishes = {
    addresses: get(node, 'addresses') === undefined,
    groups: get(node, 'securityGroups') === undefined,
  };
  return take(reader, fromNode!, 'unknown-placement', place(from, wishes));
}

function readAddresses(
  context: InterfaceContext,
  node: Node,
  name: string,
  placement: Placement | undefined,
  blocks: VpcBlocks,
): readonly Address[] {
  const { reader, addresses } = context;
  const list = get(node, 'addresses');
  const from = get(node, 'from');
  if (list === undefined && from !== undefined) {
    for (const address of placement?.addresses ?? [])
      addresses.addPrivate(reader, address, from, `interface '${name}'`, blocks);
    if (placement?.addresses.length === 0) {
      const message = `the template does not say which addresses '${from.kind === 'scalar' ? from.text : name}' has`;
      const hint = 'AWS would choose them; give them here, as addresses: [10.0.0.11]';
      fail(reader, from, 'missing-address', message, hint);
    }
    return placement?.addresses ?? [];
  }
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
    addresses.addPrivate(reader, address, node, `interface '${name}'`, blocks);
    return [address];
  });
}

function readTimeouts(
  reader: Reader,
  node: Node | undefined,
  template: Partial<ConnectionTracking> = {},
): ConnectionTracking {
  const read = (key: keyof ConnectionTracking): number => {
    const { min, max, otherwise } = IDLE_TIMEOUTS[key];
    const name = key.replace(/Sec$/, '');
    const range = { min, max, code: 'bad-timeout', what: name };
    const given = node === undefined ? undefined : readInteger(reader, node, name, range);
    return given ?? template[key] ?? otherwise;
  };
  if (node !== undefined && node.kind !== 'mapping')
    reader.misses.push({ node, expected: 'a mapping' });
  return {
    tcpEstablishedTimeoutSec: read('tcpEstablishedTimeoutSec'),
    udpTimeoutSec: read('udpTimeoutSec'),
    udpStreamTimeoutSec: read('udpStreamTimeoutSec'),
  };
}

/** Reads `uplink`. Undefined if it is absent or unusable, which is reported. */
export function readUplink(
  context: Pick<InterfaceContext, 'reader' | 'addresses' | 'devices' | 'netnsDirectory'>,
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
  const kinds = UPLINK_KIND_NAMES.filter((name) => get(section, name) !== undefined);
  const [kind = 'tun', other] = kinds;
  const hasLink = kinds.some((name) => portKind(name).hasEthernet);
  const gateways = readGateways(reader, section, addresses, hasLink);
  const routes = readCidrs(reader, get(section, 'routes')).map(({ cidr }) => cidr);
  if (kinds.length === 0) {
    fail(
      reader,
      section,
      'missing-device',
      'the uplink has no device',
      `write ${UPLINK_KIND_NAMES.map((name) => `${name}: NAME`).join(' or ')}`,
    );
  } else if (other !== undefined) {
    fail(
      reader,
      get(section, other)!,
      'two-devices',
      `the uplink has both '${kind}' and '${other}'`,
      'keep one of the two',
    );
  }
  const usesIpv6 =
    addresses.some(({ address }) => address.family === 6) ||
    routes.some(({ family }) => family === 6);
  const device = readDevice(reader, section, {
    kind,
    nameNode: get(section, kind),
    usesIpv6,
    isInstance: false,
    netnsDirectory,
  });
  if (device === undefined) return undefined;
  if (
    device.netnsPath === undefined &&
    device.configure &&
    routes.some(({ length }) => length === 0)
  )
    fail(
      reader,
      get(section, 'routes')!,
      'host-default-route',
      "the uplink's routes have a default route, and the uplink is in the host's own network namespace",
      "the host's default route is never replaced: name the blocks behind the uplink, or its namespace with netns",
    );
  devices.add(reader, device, section, 'the uplink');
  return { device, addresses, gateways, routes };
}

/** Reads `uplink.gateways`. A gateway is on the uplink's link, and only a TAP has a link. */
function readGateways(
  reader: Reader,
  section: Node,
  addresses: UplinkConfig['addresses'],
  hasLink: boolean,
): readonly Address[] {
  const families = new Set<number>();
  return readItems(reader, get(section, 'gateways')).flatMap((node) => {
    const text = readText(reader, node);
    const address =
      text === undefined ? undefined : take(reader, node, 'bad-address', parseAddress(text));
    if (address === undefined) return [];
    const { family } = address;
    const own = addresses.filter((entry) => entry.address.family === family);
    const isLinkLocal = family === 6 && cidrContains(LINK_LOCAL, address);
    const isOnLink = own.some(({ address: base, length }) =>
      cidrContains({ family, words: maskWords(base.words, length), length }, address),
    );
    if (!hasLink)
      fail(
        reader,
        node,
        'gateway-without-link',
        `only a TAP has a link with a gateway on it`,
        'leave gateways out; behind a TUN, the host routes',
      );
    else if (families.has(family))
      fail(
        reader,
        node,
        'two-gateways',
        `there is another gateway for IPv${family}`,
        'keep one of them: packets go to one router',
      );
    else if (!isOnLink && !isLinkLocal)
      fail(
        reader,
        node,
        'gateway-off-link',
        `${formatAddress(address)} is in no prefix of the uplink's addresses, so nobody on its link can be asked for it`,
        `give the uplink an address in the gateway's network (addresses)`,
      );
    else {
      families.add(family);
      return [address];
    }
    return [];
  });
}
