/** Ends the tracked flows that somebody means, a few hundred at a time, while the packet loops go on. */
import { incarnationIn, stateWordOf, type FlowIndex } from '../conntrack/entry.ts';
import { REVOKED_FLOW, STATE_MASK } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import { scanFlows, type FlowClock } from './flow-scan.ts';

/** Flows ended by one command to the packet loop. It takes less than 1 ms. */
const ENDED_AT_ONCE = 512;
/** So many are looked for before they are ended. Each takes three numbers of memory. */
const FOUND_MAX = 1 << 20;

type EndingPlane = Pick<Dataplane, 'flows' | 'endFlows'> & FlowClock;

/**
 * Ends the flows that match and are not ended yet. One that opens meanwhile may be seen or missed.
 * @returns how many it ended
 */
export async function endFlows(
  dataplane: EndingPlane,
  matches: (table: FlowTable, flow: FlowIndex) => boolean,
): Promise<number> {
  let all = 0;
  for (;;) {
    const numbers: number[] = [];
    await scanFlows(dataplane.flows, dataplane, (table, flow, number) => {
      const word = stateWordOf(table, flow);
      if ((word & STATE_MASK) === REVOKED_FLOW || !matches(table, flow)) return;
      if (numbers.length < 3 * FOUND_MAX) numbers.push(number, flow, incarnationIn(word));
    });
    let ended = 0;
    for (let at = 0; at < numbers.length; at += 3 * ENDED_AT_ONCE)
      ended += await dataplane.endFlows(numbers.slice(at, at + 3 * ENDED_AT_ONCE));
    all += ended;
    if (numbers.length < 3 * FOUND_MAX) return all;
  }
}
