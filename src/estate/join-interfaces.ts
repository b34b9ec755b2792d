/**
 * This file makes the interfaces that a host has from those that calls attached to it.
 *
 * An interface that can't be had as the call wants it is left out, with the reason: it has no device then, and no
 * packet of it passes. One whose groups are not there has a group that lets nothing through.
 */
import { formatAddress, sameAddress } from '../addr/address.ts';
import type { Config, InterfaceConfig } from '../config/config.ts';
import { checkDeviceName, resolveNetns } from '../config/config-devices.ts';
import { isServedByDefault } from '../config/config-dhcp.ts';
import { isAuditTagged } from '../policy/audit-tags.ts';
import { IDLE_TIMEOUTS } from '../policy/idle-timeouts.ts';
import type {
  ConnectionTracking,
  GroupId,
  InterfaceId,
  NetworkInterface,
  SecurityGroup,
} from '../policy/model.ts';
import type { EstateView } from './estate.ts';
import type { EstateInterface } from './model.ts';
import { ESTATE_FILE, estateOrigin, vpcRef } from './rows.ts';

/** AWS's time-outs. */
export const DEFAULT_TRACKING: ConnectionTracking = {
  tcpEstablishedTimeoutSec: IDLE_TIMEOUTS.tcpEstablishedTimeoutSec.otherwise,
  udpTimeoutSec: IDLE_TIMEOUTS.udpTimeoutSec.otherwise,
  udpStreamTimeoutSec: IDLE_TIMEOUTS.udpStreamTimeoutSec.otherwise,
};

export interface InterfaceJoin {
  readonly declared: Config;
  /** What files declare, in their VPCs. */
  readonly members: ReadonlyMap<InterfaceId, NetworkInterface>;
  readonly estate: EstateView;
  readonly host: string;
  readonly netnsDirectory: string;
  readonly hasOneVpc: boolean;
  readonly hasGroup: (id: GroupId) => boolean;
  /** What was made of values of the estate before: those that are the same stay the same objects. */
  readonly made: WeakMap<EstateInterface, MadeInterface>;
}

export interface MadeInterface {
  readonly config: InterfaceConfig;
  readonly member: NetworkInterface;
}

export interface JoinedInterfaces {
  /** Those of files, then those of the estate. */
  readonly interfaces: readonly InterfaceConfig[];
  readonly members: ReadonlyMap<InterfaceId, NetworkInterface>;
  /** Groups that stand in for those that are not there. */
  readonly closed: readonly SecurityGroup[];
  readonly leftOut: ReadonlyMap<string, string>;
}

export function joinInterfaces(join: InterfaceJoin): JoinedInterfaces {
  const { declared, estate, host } = join;
  const members = new Map(join.members);
  const closed: SecurityGroup[] = [];
  const leftOut = new Map<string, string>();
  const taken = new Taken(declared, members);
  const attached = [...estate.interfacesOfHost(host)].sort(byAttachment);
  const added = attached.flatMap((value) => {
    if (value.declaredAt !== undefined) return [];
    const name = taken.freeName(value);
    const made = makeInterface(join, value, name);
    const why = whyNoDevice(join, value) ?? taken.whyNot(made);
    if (why !== undefined) {
      leftOut.set(value.id, why);
      return [];
    }
    const { groupIds } = made.member;
    if (groupIds.length < value.groupIds.length)
      leftOut.set(value.id, 'it has groups that are not there; they let nothing through');
    const stand = groupIds.length === 0 ? closedGroup(`${value.id}-closed`) : undefined;
    if (stand !== undefined) closed.push(stand);
    taken.add(made);
    members.set(value.id, stand === undefined ? made.member : { ...made.member, groupIds: [stand.id] }); // prettier-ignore
    return [made.config];
  });
  return { interfaces: [...declared.interfaces, ...added], members, closed, leftOut };
}

/** Its tag `Name` where that is free and fit for a name, else its id. */
export function freeName({ id, tags }: EstateInterface, taken: ReadonlySet<string>): string {
  const name = tags.find(({ key }) => key === 'Name')?.value ?? '';
  return /^[A-Za-z0-9][\w.-]{0,62}$/.test(name) && !taken.has(name) ? name : id;
}

/** Names, addresses and devices that interfaces of this host have. */
class Taken {
  private readonly names: Set<string>;
  private readonly holders: Map<string, string>;
  private readonly devices: Map<string, string>;
  private readonly members: ReadonlyMap<InterfaceId, NetworkInterface>;

  constructor({ interfaces }: Config, members: ReadonlyMap<InterfaceId, NetworkInterface>) {
    this.members = members;
    this.names = new Set(interfaces.map(({ name }) => name));
    this.holders = new Map(
      [...members.values()].flatMap(({ name, addresses }) =>
        addresses.map((address) => [formatAddress(address), name] as const),
      ),
    );
    this.devices = new Map(
      interfaces.map(({ name, device }) => [deviceKey(device), name] as const),
    );
  }

  freeName(value: EstateInterface): string {
    return freeName(value, this.names);
  }

  whyNot({ config, member }: MadeInterface): string | undefined {
    if (this.members.has(member.id)) return 'a file declares this id too';
    for (const address of member.addresses) {
      const holder = this.holders.get(formatAddress(address));
      if (holder !== undefined) return `the interface ${holder} has one of its addresses`;
    }
    const user = this.devices.get(deviceKey(config.device));
    return user === undefined ? undefined : `the interface ${user} has its device`;
  }

  add({ config, member }: MadeInterface): void {
    this.names.add(config.name);
    this.devices.set(deviceKey(config.device), config.name);
    for (const address of member.addresses) this.holders.set(formatAddress(address), config.name);
  }
}

function whyNoDevice(
  { declared, netnsDirectory }: InterfaceJoin,
  { attachment, addresses }: EstateInterface,
): string | undefined {
  if (addresses.length === 0) return 'it has no address';
  const { moved } = attachment!;
  if (moved?.isHeld === true) return `it waits until the host ${moved.from} has given it up`;
  const { reserved, uplink } = declared.special;
  const special = addresses.find((one) =>
    [...reserved, ...uplink].some((other) => sameAddress(one, other)),
  );
  if (special !== undefined) return `${formatAddress(special)} is the platform's or the uplink's`;
  const { kind, name, netns } = attachment!.device;
  return (checkDeviceName(name, kind) ?? checkNetns(netns, netnsDirectory))?.message;
}

/** The interface with those of its groups that are there; the same object as before if it would be the same. */
function makeInterface(join: InterfaceJoin, value: EstateInterface, name: string): MadeInterface {
  const groupIds = value.groupIds.filter((id) => join.hasGroup(id));
  const before = join.made.get(value);
  const isSame =
    before?.config.name === name &&
    before.member.groupIds.length === groupIds.length &&
    (before.member.vpc === undefined) === join.hasOneVpc;
  if (isSame && groupIds.every((id, i) => id === before.member.groupIds[i])) return before;
  const { id, vpcId, addresses, sourceDestCheck, connectionTracking } = value;
  const made = {
    config: interfaceConfig(join, value, name),
    member: {
      id,
      name,
      ...(join.hasOneVpc ? {} : { vpc: vpcRef(vpcId) }),
      addresses,
      groupIds,
      sourceDestCheck,
      connectionTracking: { ...DEFAULT_TRACKING, ...connectionTracking },
      ...(isAuditTagged(value.tags) ? { audit: true as const } : {}),
      origin: estateOrigin(id),
    },
  };
  join.made.set(value, made);
  return made;
}

function interfaceConfig(
  { netnsDirectory, estate }: InterfaceJoin,
  { id, subnetId, attachment }: EstateInterface,
  name: string,
): InterfaceConfig {
  const subnet = subnetId === undefined ? undefined : estate.find('subnets', subnetId);
  const subnets = subnet === undefined ? [] : [subnet.cidr];
  const { netns, ...device } = attachment!.device;
  const path = netns === undefined ? undefined : resolveNetns(netns, netnsDirectory);
  return {
    id,
    name,
    maxFlows: undefined,
    subnets,
    device: {
      ...device,
      dhcp: isServedByDefault({ ...device, netns }),
      netns,
      netnsPath: path?.ok === true ? path.value : undefined,
      origin: { file: ESTATE_FILE, line: 0, column: 0 },
    },
  };
}

/** A group that lets nothing through, in place of one that can't be had. */
export function closedGroup(id: GroupId): SecurityGroup {
  return { id, name: id, description: '', ingress: [], egress: [], origin: estateOrigin(id) };
}

/**
 * The first interface of a namespace has its default route, as AWS's primary one has. So the order stays as it is,
 * whatever changes about an interface.
 */
function byAttachment(a: EstateInterface, b: EstateInterface): number {
  const [first, second] = [a.attachment!, b.attachment!];
  if (first.deviceIndex !== second.deviceIndex) return first.deviceIndex - second.deviceIndex;
  if (first.attachedAt !== second.attachedAt) return first.attachedAt < second.attachedAt ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

function deviceKey({ netnsPath, name }: InterfaceConfig['device']): string {
  return `${netnsPath ?? ''} ${name}`;
}

function checkNetns(
  netns: string | undefined,
  directory: string,
): { readonly message: string } | undefined {
  if (netns === undefined) return undefined;
  const resolved = resolveNetns(netns, directory);
  return resolved.ok ? undefined : resolved;
}
