/** Says what a proposed rule rests on: what was seen of it, and how much more it admits. */
import { addressText, type Conversation } from './conversation.ts';

export interface Evidence {
  flows: number;
  packets: number;
  bytes: number;
  firstMs: number;
  lastMs: number;
  /** Pairs of an interface and an address or interface that were seen, of each port those that it was seen with. */
  seen: number;
  /** Pairs that the rule admits. Undefined: everybody, because somebody said so. */
  admitted: bigint | undefined;
  /** Of ports that are taken anew each time: how many were seen, and how many the rule has. Absent: all were seen. */
  ports?: { readonly seen: number; readonly all: number };
  /** Flows to tell by, as `10.0.0.5:40912 to 10.0.0.11:8080`. */
  readonly examples: string[];
}

const EXAMPLES_MAX = 3;
/** What AWS takes as a description. */
const CHARS_MAX = 255;
const STEP = 1000;
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

export function evidenceOf(conversations: readonly Conversation[]): Evidence {
  const sum: Evidence = {
    ...{ flows: 0, packets: 0, bytes: 0, firstMs: Infinity, lastMs: -Infinity },
    ...{ seen: 0, admitted: 0n, examples: [] },
  };
  for (const one of conversations) {
    add(sum, one);
    if (sum.examples.length < EXAMPLES_MAX) sum.examples.push(exampleOf(one));
  }
  return sum;
}

/** Adds up what two rules rest on that become one. */
export function joinEvidence(one: Evidence, other: Evidence): Evidence {
  const sum: Evidence = { ...one, examples: [...one.examples] };
  add(sum, other);
  sum.seen += other.seen;
  sum.admitted =
    one.admitted === undefined || other.admitted === undefined
      ? undefined
      : one.admitted + other.admitted;
  sum.examples.push(...other.examples.slice(0, EXAMPLES_MAX - sum.examples.length));
  return sum;
}

function add(
  sum: Evidence,
  one: Readonly<Omit<Evidence, 'seen' | 'admitted' | 'ports' | 'examples'>>,
): void {
  sum.flows += one.flows;
  sum.packets += one.packets;
  sum.bytes += one.bytes;
  sum.firstMs = Math.min(sum.firstMs, one.firstMs);
  sum.lastMs = Math.max(sum.lastMs, one.lastMs);
}

function exampleOf({ opener, openerPort, target, service, protocol }: Conversation): string {
  const hasPort = protocol === 6 || protocol === 17;
  const from = endText(addressText(opener), hasPort ? openerPort : undefined);
  return `${from} to ${endText(addressText(target), hasPort ? service : undefined)}`;
}

function endText(address: string, port: number | undefined): string {
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `12 flows, 3.4 kB, 2026-11-30T20:00:01Z to 2026-11-30T20:05:00Z, 3 of 4 pairs seen, as 10.0.0.5:40912 to …`. */
export function evidenceText(evidence: Evidence): string {
  const { flows, bytes, firstMs, lastMs, seen, admitted, ports, examples } = evidence;
  const parts = [
    `${flows} ${flows === 1 ? 'flow' : 'flows'}`,
    bytesText(bytes),
    spanText(firstMs, lastMs),
    admitted === undefined
      ? `${seen} seen, admits everybody`
      : admitted === BigInt(seen)
        ? `admits the ${seen} seen`
        : `${seen} seen, admits ${admitted}`,
    ...(ports === undefined ? [] : [`${ports.seen} of ${ports.all} ports seen`]),
    ...(examples.length === 0 ? [] : [`as ${examples[0]}`]),
  ];
  return parts.join(', ').slice(0, CHARS_MAX);
}

function bytesText(bytes: number): string {
  let rest = bytes;
  let unit = 0;
  for (; rest >= STEP && unit < UNITS.length - 1; unit++) rest /= STEP;
  return `${unit === 0 ? rest : rest.toFixed(1)} ${UNITS[unit]}`;
}

export function spanText(firstMs: number, lastMs: number): string {
  const [first, last] = [timeText(firstMs), timeText(lastMs)];
  return first === last ? first : `${first} to ${last}`;
}

/** To the second, in UTC; what no calendar has is told as it is. */
export function timeText(ms: number): string {
  const date = new Date(Math.floor(ms));
  if (Number.isNaN(date.getTime())) return `${Math.floor(ms)} ms`;
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
