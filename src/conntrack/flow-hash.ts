/**
 * Computes the keyed hash of a flow's tuple: protocol, addresses and ports.
 *
 * The hash puts the lower end first, so both directions give the same hash. So do the keys that two gates have for
 * one flow, and a packet is hashed once. The table mixes in interface and role (table.ts).
 */
import type { Packet } from '../wire/packet.ts';
import { hashThreeAndByte, hashWordsAndByte, type HashKey } from './hash.ts';

const WORDS_6 = 9;

export class TupleHash {
  private readonly k0: number;
  private readonly k1: number;
  /** The lower end's address, the upper end's address, their ports. */
  private readonly tuple6 = new Int32Array(WORDS_6);

  constructor(key: HashKey) {
    this.k0 = key.k0 | 0;
    this.k1 = key.k1 | 0;
  }

  /** Hashes a decoded packet. */
  ofPacket(packet: Packet): number {
    const ports = (packet.srcPort << 16) | packet.dstPort;
    if (packet.family === 4) return this.of4(packet.src0, packet.dst0, ports, packet.protocol);
    const { tuple6 } = this;
    const isLower = isLowerEnd(packet);
    const lower = isLower ? 0 : 4;
    const upper = isLower ? 4 : 0;
    tuple6[lower] = packet.src0;
    tuple6[lower + 1] = packet.src1;
    tuple6[lower + 2] = packet.src2;
    tuple6[lower + 3] = packet.src3;
    tuple6[upper] = packet.dst0;
    tuple6[upper + 1] = packet.dst1;
    tuple6[upper + 2] = packet.dst2;
    tuple6[upper + 3] = packet.dst3;
    return this.of6(isLower ? ports : swapHalves(ports), packet.protocol);
  }

  /** Hashes IPv4 ends. @param ports the first end's << 16 | the second end's */
  of4(first: number, second: number, ports: number, protocol: number): number {
    const isLower = first === second ? ports >>> 16 <= (ports & 0xffff) : first < second;
    return isLower
      ? hashThreeAndByte(first, second, ports, protocol, this.k0, this.k1)
      : hashThreeAndByte(second, first, swapHalves(ports), protocol, this.k0, this.k1);
  }

  /** Hashes IPv6 ends, whose four words each begin at words[first] and words[second]. */
  of6At(words: Int32Array, first: number, second: number, ports: number, protocol: number): number {
    const { tuple6 } = this;
    let i = 0;
    while (i < 4 && words[first + i] === words[second + i]) i++;
    const isLower =
      i === 4 ? ports >>> 16 <= (ports & 0xffff) : words[first + i] < words[second + i];
    const lower = isLower ? first : second;
    const upper = isLower ? second : first;
    for (let word = 0; word < 4; word++) {
      tuple6[word] = words[lower + word];
      tuple6[word + 4] = words[upper + word];
    }
    return this.of6(isLower ? ports : swapHalves(ports), protocol);
  }

  private of6(ports: number, protocol: number): number {
    this.tuple6[WORDS_6 - 1] = ports;
    return hashWordsAndByte(this.tuple6, 0, WORDS_6, protocol, this.k0, this.k1);
  }
}

/** Whether the packet's source comes before its destination: by address words, then by port. */
export function isLowerEnd(packet: Packet): boolean {
  if (packet.src0 !== packet.dst0) return packet.src0 < packet.dst0;
  if (packet.src1 !== packet.dst1) return packet.src1 < packet.dst1;
  if (packet.src2 !== packet.dst2) return packet.src2 < packet.dst2;
  if (packet.src3 !== packet.dst3) return packet.src3 < packet.dst3;
  return packet.srcPort <= packet.dstPort;
}

function swapHalves(ports: number): number {
  return (ports << 16) | (ports >>> 16);
}
