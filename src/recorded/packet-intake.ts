/** Takes in the packets of captures: finds and decodes the IP packet of each, and counts what has none. */
import { decode } from '../wire/decode.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import type { CapturedPacket } from './captured-packet.ts';
import { headerBytes, IpFinder } from './ip-finder.ts';
import { CUT_SHORT, UNKNOWN_LINK } from './link-types.ts';

/** There is nothing to decode in it, or too little was captured; it is counted. */
export const NO_PACKET = -1;

export interface IntakeCounts {
  /** All that the captures have. */
  packets: number;
  /** ARP and what else is no IP. */
  notIp: number;
  /** On a link whose frames are not known. */
  unknownLink: number;
  /** Too little of them was captured. */
  cutShort: number;
}

export class PacketIntake {
  firstMs = Infinity;
  lastMs = -Infinity;
  /** The packet taken in last, and where its bytes are. */
  readonly packet = new Packet();
  readonly ip = new IpFinder();
  private readonly counts: IntakeCounts;

  constructor(counts: IntakeCounts) {
    this.counts = counts;
  }

  /** @returns what `decode` says of the IP packet, or NO_PACKET */
  take(captured: CapturedPacket): number {
    const { counts, packet, ip } = this;
    const { timeMs } = captured;
    counts.packets++;
    if (timeMs < this.firstMs) this.firstMs = timeMs;
    if (timeMs > this.lastMs) this.lastMs = timeMs;
    const found = ip.find(captured);
    if (found < 0) {
      if (found === UNKNOWN_LINK) counts.unknownLink++;
      else if (found === CUT_SHORT) counts.cutShort++;
      else counts.notIp++;
      return NO_PACKET;
    }
    const status = decode(ip.view, ip.offset, ip.length, packet);
    if (status !== DECODE_OK || headerBytes(packet) <= ip.captured) return status;
    counts.cutShort++;
    return NO_PACKET;
  }
}
