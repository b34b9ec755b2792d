/**
 * This file frees the numbers of rules that are in no group any more and that no flow carries (policy/rule-numbers.ts).
 *
 * A daemon whose rules are changed by calls would use up its million numbers otherwise, and keep every rule that it
 * ever had in memory. The packet loop gives flows the numbers of the policy in force only. So what is gone from that,
 * and is in no flow that was there then or came since, is in none later.
 */
import { setTimeout } from 'node:timers/promises';
import { isUsed, ruleOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { RuleNumbers } from '../policy/rule-numbers.ts';
import { scanEntries } from '../telemetry/flow-scan.ts';

/** So many rules must have left their groups: looking through all flows is worth it then. */
export const RECLAIM_FROM = 1 << 16;
/** Events in the ring still name a rule by its number. They are read every second. */
const EVENTS_READ_MS = 3000;

/**
 * @param begin calls `beginReclaim` while no change is under way
 * @returns the numbers that are free now; their hits are to be cleared
 */
export async function reclaimNumbers(
  ruleNumbers: RuleNumbers,
  tables: readonly FlowTable[],
  begin: () => Promise<void>,
  waitMs = EVENTS_READ_MS,
): Promise<readonly number[]> {
  await begin();
  await scanEntries(tables, (number, from, end) => {
    const table = tables[number];
    for (let flow = from; flow < end; flow++)
      if (isUsed(table, flow)) ruleNumbers.spare(ruleOf(table, flow));
  });
  await setTimeout(waitMs, undefined, { ref: false });
  return ruleNumbers.endReclaim();
}
