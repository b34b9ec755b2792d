/**
 * What crosses between the control plane and the packet loop's thread. Memory that both use is shared
 * and made here; everything else is a message, taken by the loop between two batches.
 */
import type { FlowTableLayout } from '../conntrack/table.ts';
import { KEY_WORDS_4, KEY_WORDS_6 } from '../conntrack/table.ts';
import type { HashKey } from '../conntrack/hash.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';

export interface PortSpec {
  readonly fd: number;
  readonly isTap: boolean;
  /** For messages: `eth0 in /run/netns/web-1`. */
  readonly label: string;
}

/** workerData of the loop's thread. */
export interface LoopInput {
  /** Interfaces in the order of their indexes, then the uplink if there is one. */
  readonly ports: readonly PortSpec[];
  readonly hasUplink: boolean;
  readonly policy: CompiledPolicy;
  /** Idle time-outs by interface and state, in ms (conntrack/states.ts). */
  readonly timeoutsMs: Int32Array;
  readonly maxFlows: number;
  readonly acceptsMidstream: boolean;
  readonly hashKey: HashKey;
  readonly flows4: SharedArrayBuffer;
  readonly flows6: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  /** eventfd that wakes the loop for a message. */
  readonly wakeFd: number;
}

/** To the loop. */
export type Command =
  { readonly kind: 'policy'; readonly policy: CompiledPolicy } | { readonly kind: 'stop' };

/** From the loop. */
export type Report = { readonly kind: 'running' } | { readonly kind: 'stopped' };

/** Each family's table could hold all flows the daemon may track; memory is taken as it is touched. */
export function flowLayout(family: 4 | 6, maxFlows: number): FlowTableLayout {
  return { capacity: maxFlows, keyWords: family === 4 ? KEY_WORDS_4 : KEY_WORDS_6 };
}
