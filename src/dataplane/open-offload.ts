/** Opens a loop's part of the flows that the kernel forwards. */
import type { EventRing } from '../engine/events.ts';
import type { Engine } from '../engine/evaluate.ts';
import type { Fence } from '../engine/fence.ts';
import { ALIVE_MS, OffloadedFlows } from '../engine/offloaded-flows.ts';
import { openTables } from '../offload/open-tables.ts';
import { PORTS_MAX } from '../policy/compiled.ts';
import { loadNativeOffload } from '../ports/native-offload.ts';
import type { LoopInput } from './messages.ts';

/** @returns null without a fast path */
export function openOffload(
  { offload, number, settings, shared, policy }: LoopInput,
  { gates, counters }: Engine,
  events: EventRing,
  fence: Fence,
): OffloadedFlows | null {
  if (offload === undefined) return null;
  const { fds, capacity } = offload;
  const { flows4, flows6, accounts4, accounts6, udpOpeners } = gates.tracker;
  const opened = new OffloadedFlows({
    tables: openTables(loadNativeOffload(), fds, capacity, PORTS_MAX),
    loop: number,
    loops: settings.workers,
    capacity,
    ...{ flows4, flows6, accounts4, accounts6, counters, events, fence, udpOpeners },
    ruleHits: gates.ruleHits,
    timeoutsMs: new Int32Array(shared.timeoutsMs),
    ports: PORTS_MAX,
    aliveMs: ALIVE_MS,
  });
  opened.setPolicy(policy);
  gates.tracker.offload = opened;
  return opened;
}
