/**
 * Judges the packets of captures, each by the engine in its order, as if it had come at its time.
 *
 * What can be told of a packet before any gate is told apart: it is no IP, between others, too short in the capture to
 * be judged, or of a service of the platform. A packet that the gates drop may be the answer to an opening from before
 * the capture began. It is, if the rules would have let its other end open that flow, and it is no opening itself; for
 * UDP and ICMP only in the capture's first minutes, since an opening later on would be in it.
 */
import { isOpeningSyn } from '../conntrack/tcp.ts';
import { TCP_MIDSTREAM } from '../engine/reasons.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { hasPorts } from '../policy/protocols.ts';
import type { CapturedPacket } from '../recorded/captured-packet.ts';
import { FlowMemory, hashDestination, hashSource } from '../recorded/flow-memory.ts';
import { lowerIsService } from '../recorded/opener.ts';
import { NO_PACKET, PacketIntake, type IntakeCounts } from '../recorded/packet-intake.ts';
import { readAddresses6 } from '../wire/decode.ts';
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE,
  IPV6_HEADER_BYTES,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/fields.ts';
import { FRAGMENT_LATER, ICMP_REPLY } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { isByRules, type Findings, type Place } from './findings.ts';
import {
  ABSENT,
  ASSUMED,
  countAbsent,
  countApart,
  DROPPED,
  FOLLOWS,
  PASSES,
  type ApartCounts,
} from './outcomes.ts';
import { isUnjudged, type World } from './world.ts';

/** The longest that UDP may be idle: an answer to an older question would be dropped anyway. */
const UNSEEN_MS = 180_000;

/** Marks of flows that something of was dropped. */
const BY_GATE = 1;
const BY_SUBNET = 2;

export interface CaptureCounts extends ApartCounts, IntakeCounts {
  /** Judged: they pass, or are dropped. */
  passed: number;
  dropped: number;
  /** Of the dropped: answers to what is dropped, which would not have been sent. */
  follows: number;
  /** Answers of connections that began before. They count as passed. */
  assumed: number;
  /** Their time is before that of the packet before. */
  outOfOrder: number;
}

export class CaptureJudge {
  readonly counts: CaptureCounts = {
    ...{
      packets: 0,
      passed: 0,
      dropped: 0,
      follows: 0,
      assumed: 0,
      notIp: 0,
      unknownLink: 0,
      unrelated: 0,
    },
    ...{ cutShort: 0, unjudged: 0, linkScope: 0, outOfOrder: 0, absent: [0, 0] },
  };
  readonly intake = new PacketIntake(this.counts);
  private readonly packet = this.intake.packet;
  private readonly ip = this.intake.ip;
  private readonly worlds: readonly World[];
  private readonly findings: Findings;
  private readonly outcomes = [PASSES, PASSES];
  /** By world: flows of which it has dropped something, and who was the first to send it. */
  private readonly refused = [new FlowMemory(), new FlowMemory()];

  private readonly openers = new FlowMemory();
  private readonly hasSubnets: boolean;

  /** @param worlds one, or the one before and the other one */
  constructor(worlds: readonly World[], findings: Findings) {
    this.worlds = worlds;
    this.hasSubnets = worlds.some(({ subnets }) => subnets !== undefined);
    this.findings = findings;
  }

  /** Takes the next packet, in order of time. */
  see(captured: CapturedPacket): void {
    const { counts, intake } = this;
    const { timeMs } = captured;
    if (timeMs < intake.lastMs) counts.outOfOrder++;
    const status = intake.take(captured);
    if (status === NO_PACKET) return;
    if (status !== DECODE_OK && !this.readAddresses()) counts.cutShort++;
    else this.judge(timeMs);
  }

  /** Reads the addresses of a packet that can't be decoded and will be dropped for that. @returns whether it has any */
  private readAddresses(): boolean {
    const { packet } = this;
    const { view, offset, length } = this.ip;
    if (length < 1) return false;
    const version = view.getUint8(offset) >>> 4;
    packet.protocol = packet.srcPort = packet.dstPort = packet.icmpType = packet.icmpCode = 0;
    packet.tcpFlags = packet.isSparse = 0;
    if (version === 4 && length >= IPV4_HEADER_BYTES) {
      packet.family = 4;
      packet.src0 = view.getInt32(offset + IPV4_SOURCE);
      packet.dst0 = view.getInt32(offset + IPV4_DESTINATION);
      return true;
    }
    if (version !== 6 || length < IPV6_HEADER_BYTES) return false;
    packet.family = 6;
    readAddresses6(view, offset, packet);
    return true;
  }

  private judge(timeMs: number): void {
    const { worlds, counts, outcomes } = this;
    const opens = this.hasSubnets && this.isFromOpener();
    for (let i = 0; i < worlds.length; i++)
      outcomes[i] = this.judgeIn(worlds[i], this.refused[i], opens, timeMs);
    if (countApart(counts, outcomes, worlds, this.packet)) return;
    if (worlds.length === 1) this.tell(outcomes[0], timeMs);
    else this.compare(timeMs);
  }

  private judgeIn(world: World, refused: FlowMemory, opens: boolean, timeMs: number): number {
    const { packet } = this;
    const { view, offset, length } = this.ip;
    const from = world.portFrom(packet);
    const to = world.portTo(packet);
    world.reason = 0;
    if (from === UPLINK_PORT && to === UPLINK_PORT) return ABSENT;
    if (isUnjudged(packet)) return PASSES;
    if (world.judge(view, offset, length, from, to, timeMs))
      return this.judgeAtSubnets(world, refused, from, to, opens, PASSES);
    if (this.isOlder(world, timeMs) && world.admitsReverse(packet, from, to))
      return this.judgeAtSubnets(world, refused, from, to, opens, ASSUMED);
    return isByRules(world.reason) && this.isAnswered(refused, BY_GATE) ? FOLLOWS : DROPPED;
  }

  /** Judges by network ACLs and routes what the gates let pass. @param outcome if they let it pass too */
  private judgeAtSubnets(
    world: World,
    refused: FlowMemory,
    from: number,
    to: number,
    opens: boolean,
    outcome: number,
  ): number {
    const { packet } = this;
    if (world.subnets === undefined) return outcome;
    if (!world.passesSubnets(packet, from, to, opens))
      return this.isAnswered(refused, BY_SUBNET) ? FOLLOWS : DROPPED;
    // Whoever asks by UDP asks again without an answer. A connection of TCP has none without the packets before.
    const needsOthers = !opens || (packet.protocol === PROTO_TCP && !isOpeningSyn(packet.tcpFlags));
    const src = hashSource(packet);
    const dst = hashDestination(packet);
    const isAfter =
      refused.knows(src, dst) &&
      refused.markOf(src, dst) === BY_SUBNET &&
      !refused.isOpenedBy(src, dst);
    return needsOthers && isAfter ? FOLLOWS : outcome;
  }

  /** Whether who sends the packet opened its flow. Where the opening was not seen, ports tell, else who came first. */
  private isFromOpener(): boolean {
    const { packet, openers } = this;
    const { protocol, tcpFlags, srcPort, dstPort, icmpKind } = packet;
    const src = hashSource(packet);
    const dst = hashDestination(packet);
    const isSyn = protocol === PROTO_TCP && isOpeningSyn(tcpFlags);
    if (!isSyn && openers.knows(src, dst)) return openers.isOpenedBy(src, dst);
    const isAnswer =
      !isSyn &&
      (icmpKind === ICMP_REPLY || (hasPorts(protocol) && lowerIsService(srcPort, dstPort) < 0));
    openers.note(isAnswer ? dst : src, isAnswer ? src : dst, 1);
    return !isAnswer;
  }

  /** Whether what the packet answers was dropped; if it answers nothing, it is noted. @param mark BY_… */
  private isAnswered(refused: FlowMemory, mark: number): boolean {
    const src = hashSource(this.packet);
    const dst = hashDestination(this.packet);
    if (refused.knows(src, dst)) return !refused.isOpenedBy(src, dst);
    refused.note(src, dst, mark);
    return false;
  }

  /** Whether the packet that was dropped may be of a connection from before the capture. */
  private isOlder({ reason }: World, timeMs: number): boolean {
    if (!isByRules(reason) && reason !== TCP_MIDSTREAM) return false;
    const { protocol, tcpFlags, icmpKind, fragment } = this.packet;
    if (fragment === FRAGMENT_LATER) return false;
    if (protocol === PROTO_TCP) return !isOpeningSyn(tcpFlags);
    const isAnswer = protocol === PROTO_UDP || icmpKind === ICMP_REPLY;
    return isAnswer && timeMs - this.intake.firstMs <= UNSEEN_MS;
  }

  private tell(outcome: number, timeMs: number): void {
    const { counts } = this;
    if (outcome === DROPPED || outcome === FOLLOWS) {
      counts.dropped++;
      if (outcome === FOLLOWS) counts.follows++;
      else this.add('dropped', 0, timeMs);
      return;
    }
    counts.passed++;
    if (outcome === ASSUMED) counts.assumed++;
  }

  private compare(timeMs: number): void {
    const { counts, outcomes } = this;
    const [before, after] = outcomes;
    if (countAbsent(counts, before, after)) return;
    if (after === DROPPED || after === FOLLOWS) counts.dropped++;
    else counts.passed++;
    if (after === FOLLOWS) counts.follows++;
    if (before === ASSUMED || after === ASSUMED) counts.assumed++;
    const [passedBefore, passesNow] = outcomes.map((one) => one === PASSES || one === ASSUMED);
    if (passedBefore && after === DROPPED) this.add('newly-dropped', 1, timeMs);
    if (before === DROPPED && passesNow) this.add('newly-passed', 0, timeMs);
  }

  /** @param number of the world that drops it */
  private add(
    kind: 'dropped' | 'newly-dropped' | 'newly-passed',
    number: number,
    ms: number,
  ): void {
    const { packet, ip } = this;
    const world = this.worlds[number];
    const { gatePort: port, direction, reason } = world;
    const place: Place = { world: number, port, direction, reason };
    this.findings.add(kind, place, {
      packet,
      fromPort: world.portFrom(packet),
      toPort: world.portTo(packet),
      packets: 1,
      bytes: ip.length,
      records: 0,
      isOwn: true,
      firstMs: ms,
      lastMs: ms,
    });
  }
}
