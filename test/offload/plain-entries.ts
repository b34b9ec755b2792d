/** Reads an entry of the kernel's table as a plain object, and writes down what a program would of a packet. */
import {
  BY_RULES,
  FLOW_BYTES,
  FLOW_FLAGS,
  FLOW_GENERATION,
  FLOW_KIND,
  FLOW_LOWER,
  FLOW_PACKETS,
  FLOW_PLACES,
  FLOW_PORTS,
  FLOW_SEEN_MS,
  FLOW_SIDES,
  FLOW_TIMEOUT_MS,
  FLOW_UPPER,
  FLOW_WORDS,
  MARK_FLOWS,
  PASSES_FROM_LOWER,
  PASSES_FROM_UPPER,
  SLOT_FLOW_MASK,
  UNCHECKED,
  type OffloadTables,
} from '../../src/offload/layout.ts';
import { SIDE_WORDS } from '../../src/conntrack/tcp-sides.ts';
import type { TwinPacket } from '../fuzz/twin-decode.ts';
import { endsOf, type PlainFlow, type PlainSide } from './plain-programs.ts';

export interface PlainEntry {
  /** Its place in the table. */
  readonly number: number;
  /** Of the policy by which it was admitted. */
  readonly generation: number;
  /** A gate lets the flow pass by the rules alone. */
  readonly isByRules: boolean;
  /** As endsOf gives them: the lower end, the upper end. */
  readonly ends: readonly [string, string];
  /** Ports of the ends' interfaces. */
  readonly ports: readonly [number, number];
  readonly flow: Omit<PlainFlow, 'decoded' | 'isOfThisPolicy'>;
}

/** @returns the entry of a packet's flow that a slot names */
export function readPlainEntry(
  { buckets, flows }: OffloadTables,
  nowMs: number,
  decoded: TwinPacket,
): PlainEntry | undefined {
  const [from, to] = endsOf(decoded);
  for (let i = 0; i < buckets.length; i++) {
    if (buckets[i] === 0) continue;
    const number = (buckets[i] & SLOT_FLOW_MASK) - 1;
    const at = number * FLOW_WORDS;
    const kind = flows[at + FLOW_KIND];
    if ((kind & 0xff) !== decoded.protocol) continue;
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
        {
          side: sideAt(flows, at + FLOW_SIDES + SIDE_WORDS),
          passes: (flags & PASSES_FROM_UPPER) !== 0,
        },
      ],
    ]);
    const isIdle = ((nowMs - flows[at + FLOW_SEEN_MS]) | 0) > flows[at + FLOW_TIMEOUT_MS];
    const places = flows[at + FLOW_PLACES];
    return {
      number,
      generation: flows[at + FLOW_GENERATION],
      isByRules: (flags & BY_RULES) !== 0,
      ends: [lower, upper],
      ports: [places >>> 16, places & 0xffff],
      flow: {
        ...{ protocol: kind & 0xff, sides, isAlive: true, isIdle },
        isUnchecked: (flags & UNCHECKED) !== 0,
      },
    };
  }
  return undefined;
}

/**
 * Writes down a packet that was forwarded.
 * @param from the end that sent it
 * @param bytes of the IP packet
 */
export function writePlainEntry(
  { flows, changed }: OffloadTables,
  { number, ends, flow }: PlainEntry,
  from: string,
  bytes: number,
  nowMs: number,
): void {
  const at = number * FLOW_WORDS;
  for (const [i, end] of ends.entries()) {
    const { maxEnd, window, ack, end: last } = flow.sides.get(end)!.side;
    flows.set([last, maxEnd, ack, window], at + FLOW_SIDES + i * SIDE_WORDS);
  }
  flows[at + FLOW_SEEN_MS] = nowMs;
  const side = ends.indexOf(from);
  flows[at + FLOW_PACKETS + side]++;
  flows[at + FLOW_BYTES + side] += bytes;
  changed[Math.floor(number / MARK_FLOWS)] = 1;
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
  const [end, maxEnd, ack, window, scale] = flows.subarray(at, at + SIDE_WORDS);
  return { end: end >>> 0, maxEnd: maxEnd >>> 0, ack: ack >>> 0, window, scale };
}
