/**
 * Defines what passes between the control plane and the threads of packet loops. Memory that both use is shared and
 * made here. Everything else is a message, which the loop takes between two batches.
 */
import type { FlowFamily } from '../conntrack/entry.ts';
import type { AdoptedFlows } from './adopt-flows.ts';
import type { Handed, Handing } from './handed-flows.ts';
import { captureRingBytes } from '../engine/capture-ring.ts';
import { eventRingBytes } from '../engine/events.ts';
import type { GateSettings } from '../engine/gate.ts';
import type { FlowTables } from '../engine/flow-limits.ts';
import type { FlowTableLayout } from '../conntrack/table.ts';
import { FlowTable, flowTableBytes } from '../conntrack/table.ts';
import { counterBytes, GAUGE_COUNT } from '../engine/counters.ts';
import { createFenceMemory } from '../engine/fence.ts';
import { STATE_COUNT } from '../conntrack/states.ts';
import { accountBytes } from '../conntrack/accounts.ts';
import type { HashKey } from '../conntrack/hash.ts';
import { learntBytes } from '../engine/names/learnt-addresses.ts';
import type { NameSettings } from '../engine/names/names.ts';
import { createLinkMemory, type LinkMemory } from '../engine/link-memory.ts';
import type { NextHops } from '../engine/next-hops.ts';
import { ruleHitBytes } from '../engine/rule-hits.ts';
import { PORTS_MAX, type CompiledPolicy } from '../policy/compiled.ts';
import type { OffloadFds } from '../offload/open-tables.ts';
import type { PortKindName } from '../ports/port-kind.ts';
import type { Lease } from '../wire/lease.ts';

export interface PortSpec {
  /** By loop: the descriptor of its queue of the device. Empty: no device has this port. */
  readonly fds: readonly number[];
  readonly kind: PortKindName;
  /** Whether its kernel takes UDP superpackets. */
  readonly takesUso: boolean;
  /** The largest IP packet that the device takes; undefined if it is not known. */
  readonly mtu?: number;
  /** MAC address of the instance, 6 bytes, if frames carry Ethernet; undefined if it has to be learned. */
  readonly macAddress?: Uint8Array;
  /** No frame of the instance may come from another MAC address. */
  readonly isMacFixed?: boolean;
  /** What the instance is told by DHCP and router advertisements; undefined: nothing. */
  readonly lease?: Lease;
  /** Packets of its flows may pass in the kernel; undefined: all come to the loops. */
  readonly offload?: OffloadPlace;
  /** Next hops on the link of an uplink whose frames carry Ethernet. */
  readonly nextHops?: NextHops;
  /** It is behind the fence (engine/fence.ts). Default false. */
  readonly isFenced?: boolean;
  /** Name for messages: `eth0 in /run/netns/web-1`. */
  readonly label: string;
}

/** Where a port's device is for the kernel's fast path. */
export interface OffloadPlace {
  /** In the namespace of the fast path. */
  readonly ifindex: number;
  /** It has another end, in another namespace. */
  readonly isPair: boolean;
}

/** What can change between two rounds of the loop. */
export interface Assignment {
  /** By port; port 0 is the uplink. */
  readonly ports: readonly PortSpec[];
  readonly policy: CompiledPolicy;
  /** Whether the configuration has an uplink. Its device may be missing. */
  readonly hasUplink: boolean;
}

/**
 * The settings of packet loops, from the configuration and the command line. They are the same for each loop while
 * the daemon runs. config/gate-settings.ts and daemon/loop-settings.ts make them once, and they are handed on as one
 * object. Apart from those files, only the reader of a setting names it.
 */
export interface LoopSettings extends GateSettings {
  /** Number of packet loops. Each has a thread of its own, and a queue of each device. */
  readonly workers: number;
  /** How long a loop asks for packets before it sleeps, in µs (busy-poll.ts). */
  readonly busyPollUs: number;
  /** Whether to count packets and bytes of each flow. */
  readonly accounting: boolean;
  /** How long addresses of DNS names count, and which ones. */
  readonly names: NameSettings;
  /** How many times faster than real time the loops' clock runs. */
  readonly timeScale: number;
}

/** The kernel's fast path, as the loops use it. */
export interface OffloadInput {
  /** Descriptors of its tables (offload/layout.ts), of which each loop maps its own view. */
  readonly fds: OffloadFds;
  /** The most flows in them. */
  readonly capacity: number;
}

/** What all loops of one process share besides memory. */
export interface LoopOrigin {
  readonly settings: LoopSettings;
  /** process.hrtime in ms at which the loops' clock was 0, not scaled. */
  readonly originMs: number;
  readonly hashKey: HashKey;
  /** undefined: the kernel forwards nothing. */
  readonly offload: OffloadInput | undefined;
}

/** The input of a loop's thread. */
export interface LoopInput extends Assignment, LoopOrigin {
  /** Number of the loop, from 0 on. */
  readonly number: number;
  readonly memory: LoopMemory;
  readonly shared: SharedMemory;
  /** Of the other loops: flow tables, to count their flows, and what they have learnt. Read, never written. */
  readonly others: readonly (FlowMemory & NamesMemory)[];
  /** The eventfd that wakes the loop for a message. */
  readonly wakeFd: number;
}

/** Memory that all loops use. */
export interface SharedMemory {
  /** Idle time-outs in ms by port and state (conntrack/states.ts). Int32Array, written by the control plane. */
  readonly timeoutsMs: SharedArrayBuffer;
  /** The most flows of a port's interface; 0: no limit of its own. Int32Array, written by the control plane. */
  readonly maxFlowsByPort: SharedArrayBuffer;
  /** By port: 1 while a guest is connected to the stream that it is. Uint8Array, written by the only loop. */
  readonly guests: SharedArrayBuffer;
  /** MAC addresses of instances and of the uplink's neighbours (engine/link.ts). The loop that learns one writes it. */
  readonly link: LinkMemory;
  /** Up to when packets pass the fence (engine/fence.ts). Int32Array, written by the control plane. */
  readonly fence: SharedArrayBuffer;
}

/** The addresses of names that a loop has learnt (engine/names/learnt-addresses.ts). */
export interface NamesMemory {
  readonly names: SharedArrayBuffer;
}

/** The flow tables of a loop. */
export interface FlowMemory {
  readonly flows4: SharedArrayBuffer;
  readonly flows6: SharedArrayBuffer;
  /** Flows by port, Int32Array. */
  readonly flowsByPort: SharedArrayBuffer;
}

/** Memory that one loop writes and the control plane reads. */
export interface LoopMemory extends FlowMemory, NamesMemory {
  /** engine/counters.ts, PORTS_MAX ports. */
  readonly counters: SharedArrayBuffer;
  /** engine/counters.ts, GAUGE_COUNT doubles. */
  readonly gauges: SharedArrayBuffer;
  /** engine/events.ts */
  readonly events: SharedArrayBuffer;
  /** engine/capture-ring.ts */
  readonly capture: SharedArrayBuffer;
  /** engine/rule-hits.ts */
  readonly ruleHits: SharedArrayBuffer;
  /** conntrack/accounts.ts, by family; null without accounting. */
  readonly accounts4: SharedArrayBuffer | null;
  readonly accounts6: SharedArrayBuffer | null;
}

export function makeSharedMemory(): SharedMemory {
  return {
    timeoutsMs: new SharedArrayBuffer(4 * PORTS_MAX * STATE_COUNT),
    maxFlowsByPort: new SharedArrayBuffer(4 * PORTS_MAX),
    guests: new SharedArrayBuffer(PORTS_MAX),
    link: createLinkMemory(PORTS_MAX),
    fence: createFenceMemory(),
  };
}

/**
 * Makes the memory of a loop. Each table has room for all flows the daemon may track; pages are taken as they are
 * used.
 */
export function makeLoopMemory({
  maxFlows,
  accounting,
}: Pick<LoopSettings, 'maxFlows' | 'accounting'>): LoopMemory {
  const accounts = (): SharedArrayBuffer | null =>
    accounting ? new SharedArrayBuffer(accountBytes(maxFlows)) : null;
  return {
    flows4: new SharedArrayBuffer(flowTableBytes(flowLayout(4, maxFlows))),
    flows6: new SharedArrayBuffer(flowTableBytes(flowLayout(6, maxFlows))),
    flowsByPort: new SharedArrayBuffer(4 * PORTS_MAX),
    counters: new SharedArrayBuffer(counterBytes(PORTS_MAX)),
    gauges: new SharedArrayBuffer(8 * GAUGE_COUNT),
    events: new SharedArrayBuffer(eventRingBytes()),
    capture: new SharedArrayBuffer(captureRingBytes()),
    ruleHits: new SharedArrayBuffer(ruleHitBytes()),
    accounts4: accounts(),
    accounts6: accounts(),
    names: new SharedArrayBuffer(learntBytes()),
  };
}

/** Opens the tables of a loop, on either side. */
export function openFlowTables(
  { flows4, flows6, flowsByPort }: FlowMemory,
  { settings: { maxFlows }, hashKey }: LoopOrigin,
): FlowTables {
  return {
    flows4: new FlowTable(flowLayout(4, maxFlows), hashKey, flows4),
    flows6: new FlowTable(flowLayout(6, maxFlows), hashKey, flows6),
    flowsByPort: new Int32Array(flowsByPort),
  };
}

/** Tables of a loop: one for each family. */
const TABLES = 2;

/** A table's number among those of all loops, which are ordered by loop. */
export function tableNumber(loop: number, isIpv4: boolean): number {
  return TABLES * loop + (isIpv4 ? 0 : 1);
}

export interface AssignCommand extends Omit<Assignment, 'ports'> {
  readonly kind: 'assign';
  /** undefined: as they were */
  readonly ports: Assignment['ports'] | undefined;
  /** Flows that go or come with ports; undefined: none do. */
  readonly handing: Handing | undefined;
}

/** A message to the loop. */
export type Command =
  | AssignCommand
  /** Ends these flows: three numbers for each (family, entry, incarnation). */
  | { readonly kind: 'end-flows'; readonly flows: Int32Array }
  /** Asks how the policy in force judges packets that nobody sends (probes.ts). */
  | { readonly kind: 'judge'; readonly probes: Int32Array }
  | { readonly kind: 'stop' };

/** A message from the loop. */
export type Report =
  /** Packets flow. `adopted` tells what became of the flows that were in the tables before. */
  | { readonly kind: 'running'; readonly adopted: AdoptedFlows }
  /** The last `assign` is in force. The loop no longer uses devices that it took away. */
  | {
      readonly kind: 'assigned';
      readonly generation: number;
      /** What came of `handing`. */
      readonly handed: Handed | undefined;
    }
  /** All flows have been checked against that policy, and `revoked` of them ended. */
  | { readonly kind: 'rechecked'; readonly generation: number; readonly revoked: number }
  /** An `end-flows` was carried out. Flows that had already ended don't count. */
  | { readonly kind: 'ended-flows'; readonly ended: number }
  /** The answers to the probes of a `judge`. */
  | { readonly kind: 'judged'; readonly answers: Int32Array }
  /** The device of a port is gone. The loop no longer uses its descriptor. */
  | { readonly kind: 'lost'; readonly port: number }
  /** A guest has connected to the socket of a port, or is gone: `why`. */
  | {
      readonly kind: 'guest';
      readonly port: number;
      readonly label: string;
      readonly why?: string;
    };

export function flowLayout(family: FlowFamily, maxFlows: number): FlowTableLayout {
  return { capacity: maxFlows, family };
}
