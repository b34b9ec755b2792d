/**
 * This file answers `sgctl interfaces`: each interface with its device, addresses, groups, and what it passed and
 * dropped.
 */
import { formatAddress } from '../addr/address.ts';
import { portOf } from '../conntrack/entry.ts';
import {
  counterRow,
  DROPPED_BYTES,
  DROPPED_PACKETS,
  EGRESS,
  INGRESS,
  PASSED_BYTES,
  PASSED_PACKETS,
} from '../engine/counters.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import type { Config, DeviceConfig } from '../config/config.ts';
import type { DevicePlace } from '../ports/device-place.ts';
import type { FastPathPart } from '../ports/native-offload.ts';
import { portKind, type PortKindName } from '../ports/port-kind.ts';
import { scanFlows } from '../telemetry/flow-scan.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { auditors, readAuditedTraffic, type AuditedTraffic } from './audit-view.ts';
import { UPLINK_NAME } from './traffic-filter.ts';
import { groupLabel } from '../policy/vpcs.ts';
import type { Fenced, SecurityGroup, VpcRef } from '../policy/model.ts';

export interface WaitingDevice {
  /** An interface's name, or `uplink`. */
  readonly name: string;
  /** `eth0 in /run/netns/web-1`. */
  readonly device: string;
  /** Why it can't be opened and, if known, what to do about it. */
  readonly reason: string;
}

export interface Traffic {
  readonly passedPackets: number;
  readonly passedBytes: number;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
}

export interface InterfaceView {
  readonly name: string;
  /** Absent: the uplink has none. */
  readonly id?: string;
  /** Its name now. Somebody in its namespace may have renamed it. */
  readonly device: string;
  readonly kind: PortKindName;
  /**
   * Path of the namespace, or `net:[4026532]` (of a veth: `nsid 3`) if it has no path. Absent: the daemon's own
   * namespace.
   */
  readonly netns?: string;
  /**
   * Tells its namespace from all others, whatever they are called (`ls -Li`). Absent: the device is not open, or of the
   * kind veth and where nobody tells.
   */
  readonly netnsInode?: number;
  /** Of the kind veth, if it is open: the other end of the pair, and its namespace, which is the daemon's. */
  readonly hostEnd?: { readonly device: string; readonly netnsInode: number };
  /** The configured name and namespace, if the device was renamed or moved. */
  readonly configured?: { readonly device: string; readonly netns?: string };
  readonly mtu: number;
  readonly addresses: readonly string[];
  /** The name of its VPC; absent: the uplink is in none. */
  readonly vpc?: string;
  /** Names; none on the uplink. */
  readonly groups: readonly string[];
  /** Towards the instance. For the uplink: what came in through it. */
  readonly ingress: Traffic;
  readonly egress: Traffic;
  /** Tracked now. */
  readonly flows: number;
  /** Absent: no limit of its own. */
  readonly maxFlows?: number;
  /** Of a stream that is open: whether somebody is connected to its socket. */
  readonly guest?: 'connected' | 'absent';
  /** Why its device can't be opened. Absent: it is open. */
  readonly waiting?: string;
  /** What is not enforced there, and what has passed by that. Absent: everything is enforced. */
  readonly audit?: AuditedTraffic & { readonly by: readonly string[] };
  /** Whether the kernel forwards packets of flows that are decided, and if not, why. Absent: `offload` is off. */
  readonly fastPath?: FastPathPart;
  /** Why all its packets are dropped, whatever the rules say. Absent: they are not. */
  readonly fenced?: string;
}

/** What can be told of the ports' devices. */
export interface PortFacts {
  /** The current name and namespace of a port's device; undefined if unknown. */
  readonly placeOf: (port: number) => DevicePlace | undefined;
  /** What part it has in the fast path; undefined if it is not open. */
  readonly partOf: (port: number) => FastPathPart | undefined;
}

const NOT_OPEN: FastPathPart = { forwards: 'none', why: 'its device is not open' };

/** @param waiting interfaces whose device can't be opened yet, and why */
export async function listInterfaces(
  observatory: Observatory,
  waiting: readonly WaitingDevice[],
  devices: PortFacts,
  fenced?: Fenced,
): Promise<InterfaceView[]> {
  const reasons = new Map(waiting.map((one) => [one.name, one.reason]));
  const { dataplane, config } = observatory;
  const flows = new Map<number, number>();
  await scanFlows(dataplane.flows, dataplane, (table, flow) => {
    const port = portOf(table, flow);
    flows.set(port, (flows.get(port) ?? 0) + 1);
  });
  const counters = dataplane.readCounters();
  return [...observatory.portNames()].flatMap(([port, name]) => {
    const described = port === UPLINK_PORT ? describeUplink(config) : describe(config, name);
    if (described === undefined) return [];
    const traffic = {
      ingress: readTraffic(counters, port, INGRESS),
      egress: readTraffic(counters, port, EGRESS),
    };
    const reason = reasons.get(name);
    const state =
      reason === undefined
        ? guestOf(described.kind, dataplane.hasGuest(port))
        : { waiting: reason };
    const place = devices.placeOf(port);
    const found = place === undefined ? described : withPlace(described, place);
    const isFenced = found.id !== undefined && fenced?.interfaces.has(found.id) === true;
    const dropped = isFenced ? { fenced: fenced.why } : {};
    const part = config.offload === 'off' ? {} : { fastPath: devices.partOf(port) ?? NOT_OPEN };
    const own = config.model.interfaces.get(found.id ?? '');
    const by = own === undefined ? [] : auditors(config.model, own);
    const audit = by.length === 0 ? {} : { audit: { ...readAuditedTraffic(counters, port), by } };
    const count = flows.get(port) ?? 0;
    return [{ ...found, ...traffic, flows: count, ...state, ...part, ...dropped, ...audit }];
  });
}

/** Reads what a port has passed and dropped in a direction since it came into use. */
export function readTraffic(counters: Float64Array, port: number, direction: number): Traffic {
  const row = counterRow(port, direction);
  return {
    passedPackets: counters[row + PASSED_PACKETS],
    passedBytes: counters[row + PASSED_BYTES],
    droppedPackets: counters[row + DROPPED_PACKETS],
    droppedBytes: counters[row + DROPPED_BYTES],
  };
}

function guestOf(kind: PortKindName, isThere: boolean): Pick<InterfaceView, 'guest'> {
  return portKind(kind).isStream ? { guest: isThere ? 'connected' : 'absent' } : {};
}

type Described = Omit<InterfaceView, 'ingress' | 'egress' | 'flows' | 'waiting' | 'guest'>;

function describe(config: Config, name: string): Described | undefined {
  const entry = config.interfaces.find((one) => one.name === name);
  if (entry === undefined) return undefined;
  const { addresses, groupIds, vpc } = config.model.interfaces.get(entry.id)!;
  return {
    name,
    id: entry.id,
    ...describeDevice(entry.device),
    addresses: addresses.map(formatAddress),
    ...vpcOf(config, vpc),
    groups: groupIds.map((id) => nameOf(config.model.groups.get(id)) ?? id),
    ...(entry.maxFlows === undefined ? {} : { maxFlows: entry.maxFlows }),
  };
}

function withPlace(described: Described, place: DevicePlace): Described {
  const { name, netnsPath } = place;
  const known = {
    ...(place.netnsInode === undefined ? {} : { netnsInode: place.netnsInode }),
    ...(place.hostEnd === undefined ? {} : { hostEnd: place.hostEnd }),
  };
  const { device, netns, ...rest } = described;
  if (device === name && netns === netnsPath) return { ...described, ...known };
  const configured = { device, ...(netns === undefined ? {} : { netns }) };
  return {
    ...rest,
    device: name,
    ...(netnsPath === undefined ? {} : { netns: netnsPath }),
    ...known,
    configured,
  };
}

/** By its name, also of the only one. */
function vpcOf({ model }: Config, vpc: VpcRef | undefined): Pick<InterfaceView, 'vpc'> {
  const [only] = model.vpcs?.values() ?? [];
  const name = (vpc ?? only)?.name;
  return name === undefined ? {} : { vpc: name };
}

function nameOf(group: SecurityGroup | undefined): string | undefined {
  return group === undefined ? undefined : groupLabel(group);
}

function describeUplink({ uplink }: Config): Described | undefined {
  if (uplink === undefined) return undefined;
  return {
    name: UPLINK_NAME,
    ...describeDevice(uplink.device),
    addresses: uplink.addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`),
    groups: [],
  };
}

function describeDevice({
  name,
  kind,
  netnsPath,
  mtu,
}: DeviceConfig): Pick<InterfaceView, 'device' | 'kind' | 'netns' | 'mtu'> {
  return { device: name, kind, mtu, ...(netnsPath === undefined ? {} : { netns: netnsPath }) };
}
