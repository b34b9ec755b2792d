/** `sgctl interfaces`: each interface with its device, addresses, groups, and what it passed and dropped. */
import { formatAddress } from '../../addr/address.ts';
import { KEY_META } from '../../conntrack/table.ts';
import {
  counterRow,
  DROPPED_BYTES,
  DROPPED_PACKETS,
  EGRESS,
  INGRESS,
  PASSED_BYTES,
  PASSED_PACKETS,
} from '../../engine/counters.ts';
import { UPLINK_PORT } from '../../policy/compiled.ts';
import type { Config, DeviceConfig } from '../config/config.ts';
import { scanFlows } from './flow-scan.ts';
import type { WaitingDevice } from '../socket/protocol.ts';
import type { Observatory } from './observatory.ts';
import { UPLINK_NAME } from './traffic-filter.ts';
import { groupLabel } from '../../policy/vpcs.ts';
import { type SecurityGroup } from '../../policy/model.ts';

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
  readonly device: string;
  readonly kind: 'tun' | 'tap';
  /** Path; absent: the daemon's own. */
  readonly netns?: string;
  readonly mtu: number;
  readonly addresses: readonly string[];
  /** Names; none on the uplink. */
  /** Absent where there is but one. */
  readonly vpc?: string;
  readonly groups: readonly string[];
  /** Towards the instance; of the uplink: what came in through it. */
  readonly ingress: Traffic;
  readonly egress: Traffic;
  /** Tracked now. */
  readonly flows: number;
  /** Absent: no limit of its own. */
  readonly maxFlows?: number;
  /** Why its device can't be had, until it can; absent: it is there. */
  readonly waiting?: string;
}

/** @param waiting whose device can't be had yet, and why */
export async function listInterfaces(
  observatory: Observatory,
  waiting: readonly WaitingDevice[],
): Promise<InterfaceView[]> {
  const reasons = new Map(waiting.map((one) => [one.name, one.reason]));
  const { dataplane, config } = observatory;
  const flows = new Map<number, number>();
  await scanFlows(dataplane.flows, dataplane, (table, flow) => {
    const port = table.words[flow * table.stride + KEY_META] >>> 16;
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
    const waits = reason === undefined ? {} : { waiting: reason };
    return [{ ...described, ...traffic, flows: flows.get(port) ?? 0, ...waits }];
  });
}

/** What a port has passed and dropped in a direction since it is in use. */
export function readTraffic(counters: Float64Array, port: number, direction: number): Traffic {
  const row = counterRow(port, direction);
  return {
    passedPackets: counters[row + PASSED_PACKETS],
    passedBytes: counters[row + PASSED_BYTES],
    droppedPackets: counters[row + DROPPED_PACKETS],
    droppedBytes: counters[row + DROPPED_BYTES],
  };
}

type Described = Omit<InterfaceView, 'ingress' | 'egress' | 'flows' | 'waiting'>;

function describe(config: Config, name: string): Described | undefined {
  const entry = config.interfaces.find((one) => one.name === name);
  if (entry === undefined) return undefined;
  const { addresses, groupIds, vpc } = config.model.interfaces.get(entry.id)!;
  return {
    name,
    id: entry.id,
    ...describeDevice(entry.device),
    addresses: addresses.map(formatAddress),
    ...(vpc === undefined ? {} : { vpc: vpc.name }),
    groups: groupIds.map((id) => nameOf(config.model.groups.get(id)) ?? id),
    ...(entry.maxFlows === undefined ? {} : { maxFlows: entry.maxFlows }),
  };
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
