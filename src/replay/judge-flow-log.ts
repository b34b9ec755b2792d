/**
 * Judges the records of flow logs: would the rules let the flow be opened that a record is of?
 *
 * A record is of one direction of a flow in an interval. Who opened it is guessed (recorded/opener.ts), and the
 * packet that would open it goes through an engine that remembers no flow. So the answers in a log are judged by the
 * opening that they answer. Where the guess is no more than one, or the log does not say what was sent (ICMP has
 * neither type nor code in it), both directions are asked: if either would be let in, the record passes; and what only
 * perhaps would be dropped is not decided.
 *
 * A flow between two interfaces is in the log of each. The record at the interface whose gate drops it counts; the
 * other's counts only where the gate's own are not in the log.
 */
import { EGRESS, INGRESS } from '../engine/counters.ts';
import { PASS } from '../engine/reasons.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { ACTION_REJECT, type FlowRecord } from '../recorded/flow-record.ts';
import { lacksPorts } from '../recorded/opener.ts';
import { RecordIntake, type RecordCounts } from '../recorded/record-intake.ts';
import { decode } from '../wire/decode.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import type { FindingKind, Findings } from './findings.ts';
import { OpeningPacket } from './opening-packet.ts';
import {
  ABSENT,
  countAbsent,
  countApart,
  DROPPED,
  OPEN,
  PASSES,
  type ApartCounts,
} from './outcomes.ts';
import { isUnjudged, type World } from './world.ts';

export interface FlowLogCounts extends ApartCounts, RecordCounts {
  /** Records that would pass, would not, or can't be decided by what they say. */
  passed: number;
  dropped: number;
  undecided: number;
  /** Of those that would be dropped: they were refused then, too. */
  refusedThen: number;
}

export class FlowLogJudge {
  readonly counts: FlowLogCounts = {
    ...{ records: 0, passed: 0, dropped: 0, undecided: 0, refusedThen: 0 },
    ...{ byFlags: 0, byPorts: 0, byOrder: 0, typeless: 0 },
    ...{ unrelated: 0, unjudged: 0, linkScope: 0, impossible: 0, noData: 0, skipData: 0 },
    absent: [0, 0],
  };
  readonly intake = new RecordIntake(this.counts);
  private readonly worlds: readonly World[];
  private readonly findings: Findings;
  private readonly forward = new OpeningPacket();
  private readonly backward = new OpeningPacket();
  private readonly forwardPacket = new Packet();
  private readonly backwardPacket = new Packet();
  private readonly outcomes = [PASSES, PASSES];

  /** @param worlds that remember nothing: one, or the one before and the other one */
  constructor(worlds: readonly World[], findings: Findings) {
    this.worlds = worlds;
    this.findings = findings;
  }

  see(record: FlowRecord): void {
    const { counts, intake, worlds, outcomes } = this;
    const { forward, forwardPacket, backward, backwardPacket } = this;
    if (!intake.take(record)) return;
    const { isFromSource } = intake;
    forward.write(record, isFromSource);
    if (decode(forward.view, 0, forward.length, forwardPacket) !== DECODE_OK) {
      counts.impossible++;
      return;
    }
    const isGuess = intake.isGuess(record);
    if (isGuess) {
      backward.write(record, !isFromSource);
      decode(backward.view, 0, backward.length, backwardPacket);
    }
    for (let i = 0; i < worlds.length; i++) outcomes[i] = this.judgeIn(worlds[i], record, isGuess);
    if (countApart(counts, outcomes, worlds, forwardPacket)) return;
    intake.noteBasis(record);
    this.tell(record);
  }

  private judgeIn(world: World, record: FlowRecord, isGuess: boolean): number {
    const { forward, forwardPacket, backward, backwardPacket } = this;
    const from = world.portFrom(forwardPacket);
    const to = world.portTo(forwardPacket);
    world.reason = 0;
    if (from === UPLINK_PORT && to === UPLINK_PORT) return ABSENT;
    if (isGuess && admits(world, backward, backwardPacket, to, from)) return PASSES;
    if (admits(world, forward, forwardPacket, from, to)) return PASSES;
    return isGuess && lacksPorts(record.protocol) ? OPEN : DROPPED;
  }

  private tell(record: FlowRecord): void {
    const { counts, outcomes, worlds } = this;
    const [before, after] = outcomes;
    const last = worlds.length === 1 ? before : after;
    if (worlds.length === 2 && countAbsent(counts, before, after)) return;
    if (outcomes[0] === OPEN || last === OPEN) {
      counts.undecided++;
      return;
    }
    if (last === PASSES) counts.passed++;
    else counts.dropped++;
    const wasRefused = record.action === ACTION_REJECT;
    if (worlds.length === 2) {
      if (before === PASSES && after === DROPPED) this.add('newly-dropped', 1, record);
      if (before === DROPPED && after === PASSES) this.add('newly-passed', 0, record);
    } else if (last === DROPPED) {
      if (wasRefused) counts.refusedThen++;
      else this.add('dropped', 0, record);
    } else if (wasRefused) this.add('passed', 0, record);
  }

  private add(kind: FindingKind, number: number, record: FlowRecord): void {
    const { forwardPacket: packet } = this;
    const world = this.worlds[number];
    const fromPort = world.portFrom(packet);
    const toPort = world.portTo(packet);
    // What passes has no gate that drops it. It is told at the interface that it goes to.
    const isPassed = kind === 'passed';
    const port = isPassed ? (toPort === UPLINK_PORT ? fromPort : toPort) : world.gatePort;
    const direction = isPassed ? (toPort === UPLINK_PORT ? EGRESS : INGRESS) : world.direction;
    const { packets, bytes, startMs, endMs } = record;
    this.findings.add(
      kind,
      { world: number, port, direction, reason: isPassed ? PASS : world.reason },
      {
        ...{ packet, fromPort, toPort, packets, bytes, records: 1 },
        ...{ firstMs: startMs, lastMs: endMs },
        isOwn: record.interfaceId === world.interfaces[port]?.id,
      },
    );
  }
}

/** Whether gates, network ACLs and routes let a flow pass. @param packet the one that opens it, decoded */
function admits(
  world: World,
  { view, length }: OpeningPacket,
  packet: Packet,
  from: number,
  to: number,
): boolean {
  if (!world.judge(view, 0, length, from, to, 0)) return false;
  return isUnjudged(packet) || world.passesSubnets(packet, from, to, true);
}
