/**
 * Flows that change hosts with their interface: a packet loop copies those of a port that goes, and takes in those of a
 * port that comes.
 *
 * Theory of operation. Both happen within the change of policy and ports, between two rounds. So no packet passes after
 * its flow was copied, and none comes before its flow is there: the sequence numbers of TCP are those of the last
 * packet that passed. Which entries are to be copied has been looked for before, in the shared memory, so that the loop
 * does not go over its whole table meanwhile.
 *
 * What comes was said by another host, which may be lying. A flow is taken in only if the rules in force admit it now
 * at the gate that it was opened through, and then as one that this rule admitted. What it says of its rule does not
 * count, but for flows to the platform, which are looked at as after any change of rules. A flow that was revoked stays
 * so.
 */
import {
  isUsed,
  NO_FLOW,
  packRule,
  portOf,
  RULE_PLATFORM,
  setRuleWordOf,
  stateOf,
  type FlowFamily,
} from '../conntrack/entry.ts';
import { FlowRecord, recordWords, writeRecord } from '../conntrack/flow-record.ts';
import { REVOKED_FLOW } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { Gates } from '../engine/gate.ts';
import { admittedOrAudited, NO_HEIR, openingGate, ruleAfter } from '../engine/revocation.ts';
import { NO_RULE } from '../policy/match.ts';
import { NO_INTERVAL } from './adopt-flows.ts';

/** Whole records (conntrack/flow-record.ts), one behind the other, by family. */
export interface FlowRecords {
  readonly records4: Int32Array;
  readonly records6: Int32Array;
}

/** What a loop is asked for. */
export interface Handing {
  /** Ports that go, and entries that may be theirs. */
  readonly ports: readonly number[];
  readonly entries4: readonly number[];
  readonly entries6: readonly number[];
  /** Flows that come, with their port here and the age that they have now. */
  readonly arriving: FlowRecords;
}

/** What came of it. */
export interface Handed {
  readonly left: FlowRecords;
  /** How many flows were taken in, by port. The others have no room, or no rule admits them. */
  readonly taken: ReadonlyMap<number, number>;
}

/** Packs records for a loop. */
export function packRecords(records: readonly FlowRecord[]): FlowRecords {
  const pack = (family: FlowFamily): Int32Array => {
    const size = recordWords(family);
    const own = records.filter((record) => record.family === family);
    const words = new Int32Array(own.length * size);
    own.forEach((record, i) => words.set(record.words, i * size));
    return words;
  };
  return { records4: pack(4), records6: pack(6) };
}

/** Entries of a table that are flows of these ports. The loop may be changing them. */
export function findFlowsOf(table: FlowTable, ports: ReadonlySet<number>): number[] {
  const found: number[] = [];
  for (let flow = 0; flow < table.highWater; flow++)
    if (isUsed(table, flow) && ports.has(portOf(table, flow))) found.push(flow);
  return found;
}

/** Copies flows of ports that still have theirs. */
export function copyFlows(
  gates: Gates,
  { ports, entries4, entries6 }: Handing,
  nowMs: number,
): FlowRecords {
  const { flows4, flows6 } = gates.tracker;
  const wanted = new Set(ports);
  return {
    records4: copyFrom(flows4, wanted, entries4, nowMs),
    records6: copyFrom(flows6, wanted, entries6, nowMs),
  };
}

function copyFrom(
  table: FlowTable,
  ports: ReadonlySet<number>,
  entries: readonly number[],
  nowMs: number,
): Int32Array {
  const size = recordWords(table.family);
  const records = new Int32Array(entries.length * size);
  let used = 0;
  for (const flow of entries) {
    if (!isUsed(table, flow) || !ports.has(portOf(table, flow))) continue;
    writeRecord(table, flow, nowMs, records, used);
    used += size;
  }
  return records.slice(0, used);
}

/** Takes in flows. The policy in force has their ports. */
export function takeFlows(
  gates: Gates,
  { records4, records6 }: FlowRecords,
  nowMs: number,
): Map<number, number> {
  const taken = new Map<number, number>();
  const { flows4, flows6 } = gates.tracker;
  for (const [table, words] of [
    [flows4, records4],
    [flows6, records6],
  ] as const) {
    const size = recordWords(table.family);
    for (let at = 0; at < words.length; at += size) {
      const record = new FlowRecord(words.subarray(at, at + size));
      if (takeFlow(gates, table, record, nowMs))
        taken.set(record.port, (taken.get(record.port) ?? 0) + 1);
    }
  }
  return taken;
}

/** @returns whether the flow is tracked now */
function takeFlow(gates: Gates, table: FlowTable, record: FlowRecord, nowMs: number): boolean {
  const { tracker, policy, matcher } = gates;
  const { generation } = policy;
  if (!tracker.hasRoom(record.port, nowMs) || table.find(record.key) !== NO_FLOW) return false;
  const flow = table.insert(record.key);
  if (flow === NO_FLOW) return false;
  const seen = (nowMs - record.ageMs) | 0;
  record.fill(table, flow, seen, packRule(RULE_PLATFORM, generation));
  const isExempt = record.rule === RULE_PLATFORM || stateOf(table, flow) === REVOKED_FLOW;
  const gate = openingGate(table, flow);
  const rule = isExempt ? NO_RULE : admittedOrAudited(table, flow, gate, policy, matcher);
  if (rule !== NO_RULE) setRuleWordOf(table, flow, packRule(rule - 1, generation));
  else if (!isExempt || ruleAfter(table, flow, policy, matcher) === NO_HEIR) {
    table.remove(flow);
    return false;
  }
  tracker.adopt(table, flow);
  tracker.accountsOf(table)?.open(flow, NO_INTERVAL, nowMs);
  return !tracker.freeExpired(table, flow, nowMs);
}
