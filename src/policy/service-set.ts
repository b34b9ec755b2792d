/**
 * Sets of what rules can admit to one end: protocols with their ports, types and codes.
 *
 * All of them lie on one line of whole numbers: 65536 for each protocol, in it the port, or type and code of ICMP. Of
 * other protocols rules admit all or nothing. So a rule is one range, and a set is ranges in order that don't touch.
 */
import { ANY, PROTOCOL_ALL, type Rule } from './model.ts';
import { hasIcmpType, hasPorts, protocolName } from './protocols.ts';

export type ServiceSet = readonly (readonly [first: number, last: number])[];

const PER_PROTOCOL = 0x10000;
const PROTOCOLS = 256;

export const NO_SERVICE: ServiceSet = [];
export const EVERY_SERVICE: ServiceSet = [[0, PROTOCOLS * PER_PROTOCOL - 1]];

/** What a rule admits, whoever the other side is. */
export function servicesOf({
  protocol,
  fromPort,
  toPort,
}: Pick<Rule, 'protocol' | 'fromPort' | 'toPort'>): ServiceSet {
  if (protocol === PROTOCOL_ALL) return EVERY_SERVICE;
  const base = protocol * PER_PROTOCOL;
  if (hasPorts(protocol)) return [[base + fromPort, base + toPort]];
  if (!hasIcmpType(protocol) || fromPort === ANY) return [[base, base + PER_PROTOCOL - 1]];
  const type = base + fromPort * 256;
  return toPort === ANY ? [[type, type + 255]] : [[type + toPort, type + toPort]];
}

/** The number that a single service has in a set. @param number port, type << 8 | code of ICMP, else 0 */
export function serviceNumber(protocol: number, number: number): number {
  return protocol * PER_PROTOCOL + number;
}

export function hasService(set: ServiceSet, service: number): boolean {
  return set.some(([first, last]) => first <= service && service <= last);
}

export function unite(sets: readonly ServiceSet[]): ServiceSet {
  const ranges = sets.flat().sort(([a], [b]) => a - b);
  const united: [number, number][] = [];
  for (const [first, last] of ranges) {
    const before = united.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else united.push([first, last]);
  }
  return united;
}

export function intersect(one: ServiceSet, other: ServiceSet): ServiceSet {
  const common: [number, number][] = [];
  for (let i = 0, j = 0; i < one.length && j < other.length;) {
    const first = Math.max(one[i][0], other[j][0]);
    const last = Math.min(one[i][1], other[j][1]);
    if (first <= last) common.push([first, last]);
    if (one[i][1] < other[j][1]) i++;
    else j++;
  }
  return common;
}

export function subtract(from: ServiceSet, what: ServiceSet): ServiceSet {
  const holes: [number, number][] = [];
  let next = 0;
  for (const [first, last] of what) {
    if (first > next) holes.push([next, first - 1]);
    next = last + 1;
  }
  holes.push([next, EVERY_SERVICE[0][1]]);
  return intersect(
    from,
    holes.filter(([first, last]) => first <= last),
  );
}

/** `tcp 22, 80-90`, `icmp type 8`, `everything`: a part a protocol. */
export function serviceTexts(set: ServiceSet): readonly string[] {
  if (set.length === 1 && set[0][0] === 0 && set[0][1] === EVERY_SERVICE[0][1])
    return ['everything'];
  const whole: number[] = [];
  const parts = new Map<number, string[]>();
  for (const [first, last] of set) {
    for (
      let protocol = Math.floor(first / PER_PROTOCOL);
      protocol * PER_PROTOCOL <= last;
      protocol++
    ) {
      const base = protocol * PER_PROTOCOL;
      const from = Math.max(first - base, 0);
      const to = Math.min(last - base, PER_PROTOCOL - 1);
      if (from === 0 && to === PER_PROTOCOL - 1) whole.push(protocol);
      else parts.set(protocol, [...(parts.get(protocol) ?? []), rangeText(protocol, from, to)]);
    }
  }
  return [
    ...[...parts].map(([protocol, ranges]) => `${protocolName(protocol)} ${ranges.join(', ')}`),
    ...wholeTexts(whole),
  ];
}

function rangeText(protocol: number, from: number, to: number): string {
  if (!hasIcmpType(protocol)) return from === to ? `${from}` : `${from}-${to}`;
  const [type, code] = [from >> 8, from & 255];
  if (from === to) return `type ${type} code ${code}`;
  return (from & 255) === 0 && to === from + 255 ? `type ${type}` : `types ${type}-${to >> 8}`;
}

/** Protocols as a whole: those with names one by one, the others as ranges. */
function wholeTexts(protocols: readonly number[]): readonly string[] {
  const named = protocols.filter((protocol) => hasPorts(protocol) || hasIcmpType(protocol));
  const ranges: [number, number][] = [];
  for (const protocol of protocols) {
    if (named.includes(protocol)) continue;
    const before = ranges.at(-1);
    if (before !== undefined && !isGap(before[1], protocol, named)) before[1] = protocol;
    else ranges.push([protocol, protocol]);
  }
  return [
    ...named.map((protocol) => `all of ${protocolName(protocol)}`),
    ...ranges.map(([first, last]) =>
      first === last ? `protocol ${first}` : `other protocols from ${first} to ${last}`,
    ),
  ];
}

/** Whether a protocol between the two is not named, so that they are two ranges. */
function isGap(before: number, next: number, named: readonly number[]): boolean {
  for (let protocol = before + 1; protocol < next; protocol++)
    if (!named.includes(protocol)) return true;
  return false;
}
