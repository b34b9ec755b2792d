/**
 * Flows of a snapshot into the tables of a packet loop that has not begun, in this process's numbers.
 *
 * Every flow is held against the policy in force afterwards (engine/revocation.ts): it carries a
 * generation that is not the current one.
 */
import { isHalfOpen, INCARNATION_MASK } from '../../conntrack/half-open.ts';
import { STATE_COUNT, STATE_MASK } from '../../conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  KEY_META,
  NO_FLOW,
  type FlowTable,
} from '../../conntrack/table.ts';
import { GENERATION_MASK, RULE_BITS, RULE_MASK, RULE_PLATFORM } from '../../engine/revocation.ts';
import type { Snapshot } from './snapshot.ts';

const AGE_MAX_MS = 0x7fffffff;

export interface RestoreOptions {
  /** IPv4 and IPv6 of a packet loop, and then of the next. */
  readonly tables: readonly FlowTable[];
  /** The place among them of the table that a flow of this key belongs to. */
  readonly tableOf: (key: Int32Array) => number;
  /** Ports as they were → as they are; one that is missing has no interface any more. */
  readonly ports: ReadonlyMap<number, number>;
  /** Rule numbers as they were → as they are. */
  readonly rules: ReadonlyMap<number, number>;
  /** What passed since the snapshot, on the scaled clock flows age by. */
  readonly elapsedMs: number;
  /** Of the policy in force. */
  readonly generation: number;
  readonly maxFlows: number;
  /** Of all loops; each has its part of them. */
  readonly maxHalfOpen: number;
  readonly timeBudgetMs: number;
  /** Told now and then, with the flows looked at. */
  readonly onProgress: (flows: number) => void;
}

export interface Restored {
  /** Flows put into the tables; those past their time-out are still among them. */
  readonly flows: number;
  /** So old that their age can't be told any more. */
  readonly aged: number;
  /** Flows of interfaces that are gone or have another device. */
  readonly strangers: number;
  /** Flows the table, or the time, had no room for. */
  readonly left: number;
}

const PROGRESS_FLOWS = 16384;

export function restoreFlows(snapshot: Snapshot, options: RestoreOptions): Restored {
  const { tables, tableOf, ports, rules, elapsedMs, maxFlows, maxHalfOpen } = options;
  const deadline = performance.now() + options.timeBudgetMs;
  const oldGeneration = ((options.generation - 1) & GENERATION_MASK) << RULE_BITS;
  const counts = { flows: 0, aged: 0, strangers: 0, left: 0 };
  const loops = tables.length / 2;
  const halfOpen = new Array<number>(loops).fill(0);
  let looked = 0;
  snapshot.forEach((words, keyWords) => {
    if (++looked % PROGRESS_FLOWS === 0) options.onProgress(looked);
    const key = words.subarray(0, keyWords);
    const number = tableOf(key);
    const table = tables[number];
    const loop = number >>> 1;
    const word = words[keyWords + FLOW_STATE];
    const rule = words[keyWords + FLOW_RULE] & RULE_MASK;
    const port = ports.get(key[KEY_META] >>> 16);
    const newRule = rule === RULE_PLATFORM ? RULE_PLATFORM : rules.get(rule);
    const age = Math.max(0, words[keyWords + FLOW_SEEN]) + elapsedMs;
    const isSound = (word & STATE_MASK) !== 0 && (word & STATE_MASK) < STATE_COUNT;
    if (port === undefined || newRule === undefined || !isSound) counts.strangers++;
    else if (age > AGE_MAX_MS) counts.aged++;
    else {
      key[KEY_META] = (port << 16) | (key[KEY_META] & 0xffff);
      const isLast = isHalfOpen(word);
      const hasRoom =
        counts.flows < maxFlows && (!isLast || halfOpen[loop] < Math.ceil(maxHalfOpen / loops));
      const isNew = table.find(key) === NO_FLOW;
      const flow = hasRoom && isNew && performance.now() < deadline ? table.insert(key) : NO_FLOW;
      if (flow === NO_FLOW) {
        counts.left++;
        return true;
      }
      const at = flow * table.stride + keyWords;
      const incarnation = table.words[at + FLOW_STATE] & INCARNATION_MASK;
      table.words.set(words.subarray(keyWords), at);
      table.words[at + FLOW_STATE] = (word & ~INCARNATION_MASK) | incarnation;
      table.words[at + FLOW_SEEN] = Math.round(age);
      table.words[at + FLOW_RULE] = newRule | oldGeneration;
      counts.flows++;
      if (isLast) halfOpen[loop]++;
    }
    return true;
  });
  return counts;
}
