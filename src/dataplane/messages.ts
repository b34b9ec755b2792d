/**
 * What crosses between the control plane and the packet loop's thread. Memory that both use is shared
 * and made here; everything else is a message, taken by the loop between two batches.
 */
import type { ExceptionPasses } from '../engine/gate.ts';
import type { FlowTableLayout } from '../conntrack/table.ts';
import { KEY_WORDS_4, KEY_WORDS_6 } from '../conntrack/table.ts';
import type { HashKey } from '../conntrack/hash.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';

/**
 * Most ports at once, the uplink included: the shared counters and time-outs have room for so many.
 * A thousand instances on one daemon; interface numbers in flow keys would allow 65,535.
 */
export const PORTS_MAX = 1024;

export interface PortSpec {
  /** -1: no device has this port. */
  readonly fd: number;
  readonly isTap: boolean;
  /** MAC address of the instance on a TAP, 6 bytes; undefined where it has to be learned. */
  readonly macAddress?: Uint8Array;
  /** For messages: `eth0 in /run/netns/web-1`. */
  readonly label: string;
}

/** What can change between two rounds of the loop. */
export interface Assignment {
  /** By port; port 0 is the uplink. */
  readonly ports: readonly PortSpec[];
  readonly policy: CompiledPolicy;
}

/** workerData of the loop's thread. */
export interface LoopInput extends Assignment {
  readonly hasUplink: boolean;
  /** Idle time-outs by port and state, in ms (conntrack/states.ts); Int32Array, written by the control plane. */
  readonly timeoutsMs: SharedArrayBuffer;
  readonly maxFlows: number;
  /** Of them, how many may be half-open. */
  readonly maxHalfOpen: number;
  /** By port, Int32Array, written by the control plane: flows its interface may have; 0: no limit of its own. */
  readonly maxFlowsByPort: SharedArrayBuffer;
  /** How many times faster than real time the loop's clock runs. */
  readonly timeScale: number;
  readonly acceptsMidstream: boolean;
  readonly checksWindow: boolean;
  readonly passes: ExceptionPasses;
  readonly hashKey: HashKey;
  readonly flows4: SharedArrayBuffer;
  readonly flows6: SharedArrayBuffer;
  /** engine/counters.ts, PORTS_MAX ports. */
  readonly counters: SharedArrayBuffer;
  /** engine/counters.ts, GAUGE_COUNT doubles. */
  readonly gauges: SharedArrayBuffer;
  /** eventfd that wakes the loop for a message. */
  readonly wakeFd: number;
}

/** To the loop. */
export type Command = ({ readonly kind: 'assign' } & Assignment) | { readonly kind: 'stop' };

/** From the loop. */
export type Report =
  | { readonly kind: 'running' }
  /** The last `assign` is in force; devices it took away are no longer used. */
  | { readonly kind: 'assigned'; readonly generation: number }
  /** Every flow has been held against it; `revoked` of them ended. */
  | { readonly kind: 'rechecked'; readonly generation: number; readonly revoked: number }
  | { readonly kind: 'stopped' };

/** Each family's table could hold all flows the daemon may track; memory is taken as it is touched. */
export function flowLayout(family: 4 | 6, maxFlows: number): FlowTableLayout {
  return { capacity: maxFlows, keyWords: family === 4 ? KEY_WORDS_4 : KEY_WORDS_6 };
}
