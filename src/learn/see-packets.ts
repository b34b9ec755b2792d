/**
 * Makes conversations of packets, which come in the order of time: from captures, or live from libpcap.
 *
 * Who opened a flow of TCP a SYN says, and else a packet of it before. Of other protocols it is who sends first, and
 * who sends first again when the gates would have forgotten the flow. Where the beginning was not seen, ports decide
 * as for flow logs (recorded/opener.ts): an answer is never taken for a question from a service's port to a port of
 * the kind that whoever asks takes. An answer that comes when the gates have forgotten the question is counted as
 * late: they drop it whatever the rules are.
 */
import { isLinkScope } from '../engine/scope.ts';
import type { CapturedPacket } from '../recorded/captured-packet.ts';
import { hashDestination, hashSource } from '../recorded/flow-memory.ts';
import { lowerIsService } from '../recorded/opener.ts';
import { NO_PACKET, PacketIntake, type IntakeCounts } from '../recorded/packet-intake.ts';
import {
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  TCP_ACK,
  TCP_RST,
  TCP_SYN,
} from '../wire/fields.ts';
import { FRAGMENT_LATER, ICMP_ERROR, ICMP_REPLY, type Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import type { Conversation, Words } from './conversation.ts';
import { addTo, type Conversations } from './conversations.ts';
import { FlowSlots } from './flow-slots.ts';
import { isOfLink, isOfPlatformBlock } from './passed-over.ts';

/** A flow of UDP or ICMP may be forgotten when it is idle for longer (AWS: UDP time-out, 30 s at least). */
const IDLE_MS = 30_000;
/** Other protocols than TCP, UDP and ICMP (AWS: 600 s). */
const IDLE_OTHER_MS = 600_000;
/** An answer may be to a question from before the capture, in its first minutes (AWS: UDP stream, 180 s at most). */
const UNSEEN_MS = 180_000;
/** A SYN of a flow that nobody has answered is sent again within so long (Linux: five or six times, up to 63 s). */
const SYN_AGAIN_MS = 130_000;
const SYN_OR_ACK = TCP_SYN | TCP_ACK;

export interface PacketCounts extends IntakeCounts {
  /** Of conversations. */
  seen: number;
  /** What can't be decoded: no packet of an honest sender. */
  bad: number;
  /** They end at their link, or at the host: multicast, neighbour discovery, loopback. */
  linkScope: number;
  /** Of services of the platform, which no group filters. */
  platform: number;
  /** ICMP errors and later fragments: they pass with what they are about. */
  follows: number;
}

export class PacketLearner {
  readonly counts: PacketCounts = {
    ...{ packets: 0, seen: 0, notIp: 0, unknownLink: 0, cutShort: 0, bad: 0 },
    ...{ linkScope: 0, platform: 0, follows: 0 },
  };
  readonly intake = new PacketIntake(this.counts);
  private readonly packet = this.intake.packet;
  private readonly conversations: Conversations;
  private readonly slots = new FlowSlots();

  constructor(conversations: Conversations) {
    this.conversations = conversations;
  }

  see(captured: CapturedPacket): void {
    const { counts, packet, intake } = this;
    const status = intake.take(captured);
    if (status === NO_PACKET) return;
    if (status !== DECODE_OK) counts.bad++;
    else if (isLinkScope(packet) || isOfLink(packet)) counts.linkScope++;
    else if (isOfPlatformBlock(packet)) counts.platform++;
    else if (packet.fragment === FRAGMENT_LATER || packet.icmpKind === ICMP_ERROR) counts.follows++;
    else {
      counts.seen++;
      this.seeFlow(captured.timeMs, intake.ip.length);
    }
  }

  private seeFlow(ms: number, bytes: number): void {
    const { packet, slots } = this;
    const { protocol, tcpFlags } = packet;
    const src = hashSource(packet);
    const dst = hashDestination(packet);
    let slot = slots.find(src, dst);
    if (slot >= 0 && slots.conversationOf(slot)?.isForgotten === true) slot = -1;
    const isKnown = slot >= 0 && this.isSameFlow(slot, src, ms);
    let isLate = false;
    if (!isKnown) {
      const isAnswer = this.isAnswer(slot, src);
      isLate = isAnswer && protocol !== PROTO_TCP && ms - this.intake.firstMs > UNSEEN_MS;
      const conversation = this.open(isAnswer);
      slot = slots.note(isAnswer ? dst : src, isAnswer ? src : dst, conversation);
      if (conversation === undefined) this.conversations.beyond.flows++;
      else {
        conversation.flows++;
        if (this.isGuess()) conversation.isGuess = true;
      }
    }
    slots.touch(slot, ms);
    const conversation = slots.conversationOf(slot);
    if (conversation === undefined) {
      addTo(this.conversations.beyond, { flows: 0, packets: 1, bytes });
      return;
    }
    conversation.add(1, bytes, ms, ms);
    conversation.isAccepted = true;
    if (isLate) conversation.late++;
    const isBack = !slots.isOpenedBy(slot, src);
    if (!isBack || (protocol === PROTO_TCP && isRefusal(tcpFlags) && !slots.isAnswered(slot)))
      return;
    slots.noteAnswer(slot);
    conversation.isAnswered = true;
  }

  /** Whether the packet is of the flow that is in the slot, and not the first of a new one. */
  private isSameFlow(slot: number, src: number, ms: number): boolean {
    const { slots } = this;
    const { protocol, tcpFlags } = this.packet;
    const idleMs = ms - slots.seenMs(slot);
    if (protocol === PROTO_TCP) {
      const syn = tcpFlags & SYN_OR_ACK;
      if (syn === TCP_SYN)
        return slots.isOpenedBy(slot, src) && !slots.isAnswered(slot) && idleMs < SYN_AGAIN_MS;
      return syn !== SYN_OR_ACK || !slots.isOpenedBy(slot, src);
    }
    const isShort = protocol === PROTO_UDP || protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
    return idleMs <= (isShort ? IDLE_MS : IDLE_OTHER_MS);
  }

  /** Of the first packet of a flow that is seen: whether it answers something that was not, or long ago. */
  private isAnswer(slot: number, src: number): boolean {
    const { protocol, tcpFlags, srcPort, dstPort, icmpKind } = this.packet;
    if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6) return icmpKind === ICMP_REPLY;
    if (protocol === PROTO_TCP) {
      const syn = tcpFlags & SYN_OR_ACK;
      if ((syn & TCP_SYN) !== 0) return syn === SYN_OR_ACK;
      if (slot >= 0) return !this.slots.isOpenedBy(slot, src);
    }
    return (
      (protocol === PROTO_TCP || protocol === PROTO_UDP) && lowerIsService(srcPort, dstPort) < 0
    );
  }

  /** Of the first packet of a flow that is seen: whether neither it nor its ports tell who opened. */
  private isGuess(): boolean {
    const { protocol, tcpFlags, srcPort, dstPort } = this.packet;
    return (
      protocol === PROTO_TCP && (tcpFlags & TCP_SYN) === 0 && lowerIsService(srcPort, dstPort) === 0
    );
  }

  private open(isAnswer: boolean): Conversation | undefined {
    const { packet } = this;
    const { protocol, srcPort, dstPort, icmpType, icmpCode, icmpKind } = packet;
    const family = packet.family === 4 ? 4 : 6;
    const [source, destination] = [sourceOf(packet), destinationOf(packet)];
    const [opener, target] = isAnswer ? [destination, source] : [source, destination];
    let service = isAnswer ? srcPort : dstPort;
    if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6)
      // A reply has the type of its query in place of the port of who answers (wire/packet.ts).
      service = icmpKind === ICMP_REPLY ? srcPort << 8 : (icmpType << 8) | icmpCode;
    const ends = { family, opener, target, protocol, service } as const;
    return this.conversations.open(ends, isAnswer ? dstPort : srcPort);
  }
}

function isRefusal(tcpFlags: number): boolean {
  return (tcpFlags & TCP_RST) !== 0;
}

function sourceOf({ family, src0, src1, src2, src3 }: Packet): Words {
  return family === 4 ? [src0] : [src0, src1, src2, src3];
}

function destinationOf({ family, dst0, dst1, dst2, dst3 }: Packet): Words {
  return family === 4 ? [dst0] : [dst0, dst1, dst2, dst3];
}
