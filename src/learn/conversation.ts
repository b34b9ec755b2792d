/**
 * A conversation is what one address asked another for, at one service: all flows between the two with the same
 * protocol and port, whatever port the asker took. It is what rules are proposed for.
 */
import { formatAddress, type Family } from '../addr/address.ts';
import { serviceText } from '../policy/rules.ts';
import { hasIcmpType, hasPorts } from '../policy/protocols.ts';
import { ANY } from '../policy/model.ts';

const MS_PER_DAY = 86_400_000;
/** More days than these are not told apart. */
export const DAYS_MAX = 31;
/** Interfaces of a flow log that are kept for a conversation: those of its two ends, and some between. */
const PLACES_MAX = 4;

export type Words = readonly number[];

/** An interface of a flow log that recorded something, and which end it said is its own. */
export interface Place {
  readonly interfaceId: string;
  /** Whether the asker is its own; undefined: the log does not say which end is. */
  readonly isOpener: boolean | undefined;
}

/** What is known of who talks, whatever it was that told it. */
export interface Ends {
  readonly family: Family;
  /** int32 words of the address of who asked. */
  readonly opener: Words;
  readonly target: Words;
  readonly protocol: number;
  /** The target's port; type << 8 | code of ICMP; 0 where there is neither. */
  readonly service: number;
}

export class Conversation implements Ends {
  readonly family: Family;
  readonly opener: Words;
  readonly target: Words;
  readonly protocol: number;
  readonly service: number;
  flows = 0;
  packets = 0;
  bytes = 0;
  firstMs = Infinity;
  lastMs = -Infinity;
  /** The target has sent something back that is no refusal. */
  isAnswered = false;
  /** Records of a flow log say that it passed; a capture has seen it. */
  isAccepted = false;
  /** Records that say it was refused. */
  refused = 0;
  /** Answers that came when the groups would have forgotten the question. */
  late = 0;
  /** The days on which it was seen: bit number (day % DAYS_MAX). */
  dayMask = 0;
  /** Of some of its flows it is no more than a guess who opened them. */
  isGuess = false;
  /** It was forgotten, and may be opened anew. */
  isForgotten = false;
  /** The port that the first flow came from, for the example. */
  readonly openerPort: number;
  readonly places: Place[] = [];

  constructor({ family, opener, target, protocol, service }: Ends, openerPort: number) {
    this.family = family;
    this.opener = opener;
    this.target = target;
    this.protocol = protocol;
    this.service = service;
    this.openerPort = openerPort;
  }

  /** Adds what was seen from `firstMs` to `lastMs`. */
  add(packets: number, bytes: number, firstMs: number, lastMs: number): void {
    this.packets += packets;
    this.bytes += bytes;
    if (firstMs < this.firstMs) this.firstMs = firstMs;
    if (lastMs > this.lastMs) this.lastMs = lastMs;
    this.dayMask |= 1 << (Math.floor(firstMs / MS_PER_DAY) % DAYS_MAX);
  }

  notePlace(interfaceId: string, isOpener: boolean | undefined): void {
    const { places } = this;
    for (const place of places)
      if (place.interfaceId === interfaceId && place.isOpener === isOpener) return;
    if (places.length < PLACES_MAX) places.push({ interfaceId, isOpener });
  }
}

export function daysOf(dayMask: number): number {
  let days = 0;
  for (let rest = dayMask; rest !== 0; rest &= rest - 1) days++;
  return days;
}

/** The key of an address, that of one family never being that of the other. */
export function addressKey(words: Words): string {
  return words.length === 1 ? `${words[0]}` : words.join(' ');
}

export function conversationKey({ opener, target, protocol, service }: Ends): string {
  return `${addressKey(opener)}>${addressKey(target)} ${protocol} ${service}`;
}

export function addressText(words: Words): string {
  return formatAddress({ family: words.length === 1 ? 4 : 6, words });
}

/** First and last port of a rule for the service, or type and code, or ANY for both. */
export function rangeOf(
  protocol: number,
  service: number,
): { readonly fromPort: number; readonly toPort: number } {
  if (hasPorts(protocol)) return { fromPort: service, toPort: service };
  if (hasIcmpType(protocol)) return { fromPort: service >> 8, toPort: service & 0xff };
  return { fromPort: ANY, toPort: ANY };
}

/** `tcp 443`, `icmp type 8 code 0`, `50`. */
export function textOfService(protocol: number, service: number): string {
  return serviceText({ protocol, ...rangeOf(protocol, service) });
}
