/** Reads an entry of the kernel's table as a plain object. */
import {
  FLOW_FLAGS,
  FLOW_GENERATION,
  FLOW_KIND,
  FLOW_LOWER,
  FLOW_PORTS,
  FLOW_SEEN_MS,
  FLOW_SIDES,
  FLOW_TIMEOUT_MS,
  FLOW_UPPER,
  FLOW_WORDS,
  PASSES_FROM_LOWER,
  PASSES_FROM_UPPER,
  SLOT_FLOW_MASK,
  type OffloadTables,
} from '../../src/offload/layout.ts';
import type { PlainFlow, PlainSide } from './plain-programs.ts';

/**
 * @param from, to the ends of a packet, as endsOf gives them
 * @returns the generation of the flow that a slot names, and the flow
 */
export function readPlainFlow(
  { buckets, flows }: OffloadTables,
  nowMs: number,
  from: string,
  to: string,
): readonly [number, Omit<PlainFlow, 'decoded' | 'isOfThisPolicy'>] | undefined {
  for (let i = 0; i < buckets.length; i++) {
    if (buckets[i] === 0) continue;
    const at = ((buckets[i] & SLOT_FLOW_MASK) - 1) * FLOW_WORDS;
    const kind = flows[at + FLOW_KIND];
    const words = kind >>> 8 === 4 ? 1 : 4;
    const ports = flows[at + FLOW_PORTS];
    const lower = `${addressAt(flows, at + FLOW_LOWER, words)} ${ports >>> 16}`;
    const upper = `${addressAt(flows, at + FLOW_UPPER, words)} ${ports & 0xffff}`;
    if (!(lower === from && upper === to) && !(lower === to && upper === from)) continue;
    const flags = flows[at + FLOW_FLAGS];
    const sides = new Map([
      [lower, { side: sideAt(flows, at + FLOW_SIDES), passes: (flags & PASSES_FROM_LOWER) !== 0 }],
      [
        upper,
        { side: sideAt(flows, at + FLOW_SIDES + 5), passes: (flags & PASSES_FROM_UPPER) !== 0 },
      ],
    ]);
    const isIdle = nowMs - flows[at + FLOW_SEEN_MS] > flows[at + FLOW_TIMEOUT_MS];
    return [flows[at + FLOW_GENERATION], { protocol: kind & 0xff, sides, isAlive: true, isIdle }];
  }
  return undefined;
}

/** As the twin's decoder writes addresses: a character a byte. */
function addressAt(flows: Int32Array, at: number, words: number): string {
  let text = '';
  for (let word = 0; word < words; word++)
    for (const shift of [24, 16, 8, 0])
      text += String.fromCharCode((flows[at + word] >>> shift) & 0xff);
  return text;
}

function sideAt(flows: Int32Array, at: number): PlainSide {
  const [end, maxEnd, ack, window, scale] = flows.subarray(at, at + 5);
  return { end: end >>> 0, maxEnd: maxEnd >>> 0, ack: ack >>> 0, window, scale };
}
