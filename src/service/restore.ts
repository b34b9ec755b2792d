/**
 * This file puts the flows of a snapshot into the tables of a packet loop that has not begun yet, with this process's
 * numbers.
 *
 * Every flow carries a generation that is not the current one. So it is judged by the policy in force afterwards
 * (engine/revocation.ts). One with an address that was released meanwhile comes back as one that is ended, so that
 * nothing else brings it back.
 */
import { NO_FLOW, RULE_PLATFORM, packRule } from '../conntrack/entry.ts';
import type { FlowRecord } from '../conntrack/flow-record.ts';
import { isHalfOpen } from '../conntrack/half-open.ts';
import { STATE_COUNT, STATE_MASK } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { Snapshot } from './snapshot.ts';

const AGE_MAX_MS = 0x7fffffff;

export interface RestoreOptions {
  /** The IPv4 and the IPv6 table of the first packet loop, then those of the next. */
  readonly tables: readonly FlowTable[];
  /** Finds the index of the table that a flow with this key belongs to. */
  readonly tableOf: (key: Int32Array) => number;
  /** Old port → new port. A missing port has no interface any more. */
  readonly ports: ReadonlyMap<number, number>;
  /** Old rule number → new rule number. */
  readonly rules: ReadonlyMap<number, number>;
  /** Whether the remote address of a flow, whose port is the new one, is not its owner's any more. */
  readonly isReleased: (record: FlowRecord) => boolean;
  /** Time since the snapshot, on the scaled clock that flows age by. */
  readonly elapsedMs: number;
  /** Generation of the policy in force. */
  readonly generation: number;
  readonly maxFlows: number;
  /** The limit for all loops together. Each loop has its share. */
  readonly maxHalfOpen: number;
  readonly timeBudgetMs: number;
  /** Called from time to time with the number of flows read. */
  readonly onProgress: (flows: number) => void;
}

export interface Restored {
  /** Flows put into the tables, including those past their time-out. */
  readonly flows: number;
  /** Flows that are so old that their age can't be represented. */
  readonly aged: number;
  /** Flows of interfaces that were removed or have another device. */
  readonly strangers: number;
  /** Flows for which there was no room or no time. */
  readonly left: number;
}

const PROGRESS_FLOWS = 16384;

export function restoreFlows(snapshot: Snapshot, options: RestoreOptions): Restored {
  const { tables, tableOf, ports, rules, elapsedMs, maxFlows, maxHalfOpen } = options;
  const deadline = performance.now() + options.timeBudgetMs;
  const counts = { flows: 0, aged: 0, strangers: 0, left: 0 };
  const loops = tables.length / 2;
  const halfOpen = new Array<number>(loops).fill(0);
  let looked = 0;
  snapshot.forEach((record) => {
    if (++looked % PROGRESS_FLOWS === 0) options.onProgress(looked);
    const { key, rule } = record;
    const number = tableOf(key);
    const table = tables[number];
    const loop = number >>> 1;
    const port = ports.get(record.port);
    const newRule = rule === RULE_PLATFORM ? RULE_PLATFORM : rules.get(rule);
    const age = Math.max(0, record.ageMs) + elapsedMs;
    const state = record.stateWord & STATE_MASK;
    const isSound = state !== 0 && state < STATE_COUNT;
    if (port === undefined || newRule === undefined || !isSound) counts.strangers++;
    else if (age > AGE_MAX_MS) counts.aged++;
    else {
      record.port = port;
      if (options.isReleased(record)) record.revoke();
      const isLast = isHalfOpen(record.stateWord);
      const hasRoom =
        counts.flows < maxFlows && (!isLast || halfOpen[loop] < Math.ceil(maxHalfOpen / loops));
      const isNew = table.find(key) === NO_FLOW;
      const flow = hasRoom && isNew && performance.now() < deadline ? table.insert(key) : NO_FLOW;
      if (flow === NO_FLOW) {
        counts.left++;
        return true;
      }
      record.fill(table, flow, Math.round(age), packRule(newRule, options.generation - 1));
      counts.flows++;
      if (isLast) halfOpen[loop]++;
    }
    return true;
  });
  return counts;
}
