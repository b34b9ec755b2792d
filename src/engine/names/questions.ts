/**
 * Remembers the questions of DNS that interfaces have asked and that nobody has answered yet.
 *
 * An answer teaches addresses only if it answers one of these: from the resolver that was asked, to the port that
 * asked, with the id and the name of the question. So nobody who sends packets with a resolver's address teaches an
 * instance anything without knowing 32 bits that the instance drew (RFC 5452). An answer that nobody asked for, or a
 * second one to the same question, is worth nothing.
 *
 * Bounds. Each interface has PLACES of its own, so that none takes them from another. They are in sets of SET; a
 * question takes a free place of its set, or that of the oldest. An instance that asks more at once than it has places
 * for has some answers teach nothing, and asks again.
 */
import type { Packet } from '../../wire/packet.ts';

const PLACES = 64;
const SET = 8;
/** Leaves the number of one of the PLACES / SET sets. */
const SET_SHIFT = 29;
/** Id and port; the hash of name, type and local address; the resolver's address; when it was asked; family or 0. */
const PLACE_WORDS = 8;
const TAG = 1;
const RESOLVER = 2;
const ASKED_MS = 6;
const FAMILY = 7;

/** Resolvers give up after 5 to 10 s, and clients no later than after 30 (resolv.conf(5)). */
const QUESTION_MS = 30_000;

export class Questions {
  private readonly words: Int32Array;

  constructor(ports: number) {
    this.words = new Int32Array(ports * PLACES * PLACE_WORDS);
  }

  /** @param tag hash of what is asked */
  note(packet: Packet, port: number, id: number, tag: number, nowMs: number): void {
    const { words } = this;
    const ids = (id << 16) | packet.srcPort;
    const first = setOf(port, ids);
    let at = first;
    for (let place = first; place < first + SET * PLACE_WORDS; place += PLACE_WORDS) {
      // The same question once more.
      if (words[place + FAMILY] !== 0 && words[place] === ids) {
        at = place;
        break;
      }
      if (words[at + FAMILY] === 0) continue;
      if (words[place + FAMILY] === 0 || ((words[place + ASKED_MS] - words[at + ASKED_MS]) | 0) < 0)
        at = place;
    }
    words[at] = ids;
    words[at + TAG] = tag;
    words[at + RESOLVER] = packet.dst0;
    words[at + RESOLVER + 1] = packet.dst1;
    words[at + RESOLVER + 2] = packet.dst2;
    words[at + RESOLVER + 3] = packet.dst3;
    words[at + ASKED_MS] = nowMs;
    words[at + FAMILY] = packet.family;
  }

  /** Takes the question that the packet answers. @returns whether there is one */
  take(packet: Packet, port: number, id: number, tag: number, nowMs: number): boolean {
    const { words } = this;
    const ids = (id << 16) | packet.dstPort;
    const first = setOf(port, ids);
    for (let at = first; at < first + SET * PLACE_WORDS; at += PLACE_WORDS) {
      if (words[at + FAMILY] !== packet.family || words[at] !== ids) continue;
      if (
        words[at + TAG] !== tag ||
        words[at + RESOLVER] !== packet.src0 ||
        words[at + RESOLVER + 1] !== packet.src1 ||
        words[at + RESOLVER + 2] !== packet.src2 ||
        words[at + RESOLVER + 3] !== packet.src3 ||
        ((nowMs - words[at + ASKED_MS]) | 0) > QUESTION_MS
      )
        return false;
      words[at + FAMILY] = 0;
      return true;
    }
    return false;
  }

  /** Forgets what the interface of a port has asked. */
  forget(port: number): void {
    this.words.fill(0, port * PLACES * PLACE_WORDS, (port + 1) * PLACES * PLACE_WORDS);
  }
}

/** Who asks chooses ids and ports, and crowds nobody but itself. */
function setOf(port: number, ids: number): number {
  const set = Math.imul(ids, 0x9e3779b1) >>> SET_SHIFT;
  return (port * PLACES + set * SET) * PLACE_WORDS;
}
