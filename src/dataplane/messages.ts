/**
 * What crosses between the control plane and a packet loop's thread. Memory that both use is shared
 * and made here; everything else is a message, taken by the loop between two batches.
 */
import type { AdoptedFlows } from './adopt-flows.ts';
import { captureRingBytes } from '../engine/capture-ring.ts';
import { eventRingBytes } from '../engine/events.ts';
import type { ExceptionPasses } from '../engine/gate.ts';
import type { FlowTables } from '../engine/flow-limits.ts';
import type { FlowTableLayout } from '../conntrack/table.ts';
import { FlowTable, flowTableBytes, KEY_WORDS_4, KEY_WORDS_6 } from '../conntrack/table.ts';
import { counterBytes, GAUGE_COUNT } from '../engine/counters.ts';
import { STATE_COUNT } from '../conntrack/states.ts';
import { accountBytes } from '../conntrack/accounts.ts';
import type { HashKey } from '../conntrack/hash.ts';
import { createLinkMemory, type LinkMemory } from '../engine/link-memory.ts';
import type { NextHops } from '../engine/next-hops.ts';
import { ruleHitBytes } from '../engine/rule-hits.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';

/**
 * Most ports at once, the uplink included: the shared counters and time-outs have room for so many, 0.8 KB each of
 * memory that is taken as it is used. Interface numbers in flow keys would allow 65,535.
 */
export const PORTS_MAX = 8192;

export interface PortSpec {
  /** By packet loop, its queue of the device; none: no device has this port. */
  readonly fds: readonly number[];
  readonly isTap: boolean;
  /** Its kernel takes UDP superpackets. */
  readonly takesUso: boolean;
  /** The largest IP packet that the device takes; undefined: not known. */
  readonly mtu?: number;
  /** MAC address of the instance on a TAP, 6 bytes; undefined where it has to be learned. */
  readonly macAddress?: Uint8Array;
  /** Of a TAP uplink: to whom on its link packets are handed. */
  readonly nextHops?: NextHops;
  /** For messages: `eth0 in /run/netns/web-1`. */
  readonly label: string;
}

/** What can change between two rounds of the loop. */
export interface Assignment {
  /** By port; port 0 is the uplink. */
  readonly ports: readonly PortSpec[];
  readonly policy: CompiledPolicy;
  /** Whether there is a way out; its device may be missing. */
  readonly hasUplink: boolean;
}

/** What stays as it is while the daemon runs, the same for every loop. */
export interface LoopSettings {
  /** Flows tracked at once, by all loops together. */
  readonly maxFlows: number;
  /** Of each loop's, how many may be half-open. */
  readonly maxHalfOpen: number;
  /** How many times faster than real time the loops' clock runs. */
  readonly timeScale: number;
  /** process.hrtime in ms when that clock, not scaled, was 0. */
  readonly originMs: number;
  readonly acceptsMidstream: boolean;
  readonly checksWindow: boolean;
  readonly passes: ExceptionPasses;
  readonly hashKey: HashKey;
}

/** What a loop's thread is given before it runs. */
export interface LoopInput extends Assignment, LoopSettings {
  /** Of the loop, from 0 on. */
  readonly number: number;
  readonly memory: LoopMemory;
  readonly shared: SharedMemory;
  /** Of the other loops, to count flows by; read, never written. */
  readonly others: readonly FlowMemory[];
  /** eventfd that wakes the loop for a message. */
  readonly wakeFd: number;
}

/** Memory that all loops use. */
export interface SharedMemory {
  /** Idle time-outs by port and state, in ms (conntrack/states.ts); Int32Array, written by the control plane. */
  readonly timeoutsMs: SharedArrayBuffer;
  /** By port, Int32Array, written by the control plane: flows its interface may have; 0: no limit of its own. */
  readonly maxFlowsByPort: SharedArrayBuffer;
  /** MAC addresses of instances and of the uplink's neighbours (engine/link.ts), written by whichever loop learns one. */
  readonly link: LinkMemory;
}

/** Where a loop has its flows. */
export interface FlowMemory {
  readonly flows4: SharedArrayBuffer;
  readonly flows6: SharedArrayBuffer;
  /** How many of them are of each port, Int32Array. */
  readonly flowsByPort: SharedArrayBuffer;
}

/** Memory that one loop writes, and by which the control plane sees what it does. */
export interface LoopMemory extends FlowMemory {
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
    link: createLinkMemory(PORTS_MAX),
  };
}

/** Each table could hold all flows the daemon may track; pages are taken as they are used. */
export function makeLoopMemory(maxFlows: number, accounting: boolean): LoopMemory {
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
  };
}

/** The tables of a loop, as either side reads them. */
export function openFlowTables(
  { flows4, flows6, flowsByPort }: FlowMemory,
  { maxFlows, hashKey }: LoopSettings,
): FlowTables {
  return {
    flows4: new FlowTable(flowLayout(4, maxFlows), hashKey, flows4),
    flows6: new FlowTable(flowLayout(6, maxFlows), hashKey, flows6),
    flowsByPort: new Int32Array(flowsByPort),
  };
}

/** Tables of a loop: one a family. */
const TABLES = 2;

/** A table's place among those of all loops, which come one loop after the other. */
export function tableNumber(loop: number, isIpv4: boolean): number {
  return TABLES * loop + (isIpv4 ? 0 : 1);
}

/** To the loop. */
export type Command =
  | ({ readonly kind: 'assign' } & Assignment)
  /** End these flows, each (family, entry, FLOW_STATE's incarnation bits): three numbers after each other. */
  | { readonly kind: 'end-flows'; readonly flows: Int32Array }
  | { readonly kind: 'stop' };

/** From the loop. */
export type Report =
  /** Packets flow; `adopted` tells of the flows that were in the tables before. */
  | { readonly kind: 'running'; readonly adopted: AdoptedFlows }
  /** The last `assign` is in force; devices it took away are no longer used. */
  | { readonly kind: 'assigned'; readonly generation: number }
  /** Every flow has been held against it; `revoked` of them ended. */
  | { readonly kind: 'rechecked'; readonly generation: number; readonly revoked: number }
  /** An `end-flows` was carried out; those that had ended meanwhile don't count. */
  | { readonly kind: 'ended-flows'; readonly ended: number }
  /** The device of a port is gone; the loop uses its descriptor no longer. */
  | { readonly kind: 'lost'; readonly port: number }
  | { readonly kind: 'stopped' };

export function flowLayout(family: 4 | 6, maxFlows: number): FlowTableLayout {
  return { capacity: maxFlows, keyWords: family === 4 ? KEY_WORDS_4 : KEY_WORDS_6 };
}
