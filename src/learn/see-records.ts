/**
 * Makes conversations of the records of flow logs: of AWS's, and of ours.
 *
 * A record is of one direction of a flow in an interval. Who opened it recorded/opener.ts tells, as for a replay. A
 * flow between two interfaces is in the log of each: it counts once, by the interface whose record came first.
 */
import { hashDestination, hashSource } from '../recorded/flow-memory.ts';
import {
  ACTION_REJECT,
  NOT_TOLD,
  TOWARDS_INSTANCE,
  type FlowRecord,
} from '../recorded/flow-record.ts';
import { RecordIntake, type RecordCounts } from '../recorded/record-intake.ts';
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, TCP_RST, TCP_SYN } from '../wire/fields.ts';
import { hasPorts } from '../policy/protocols.ts';
import type { Conversation, Words } from './conversation.ts';
import { addTo, type Conversations } from './conversations.ts';
import { FlowSlots } from './flow-slots.ts';
import { isPassedOver } from './passed-over.ts';

/** Type and code of an echo request: what ICMP is taken for, of which a log has no type. */
const ECHO_REQUEST = 8 << 8;
const ECHO_REQUEST_6 = 128 << 8;

export interface LearntRecordCounts extends RecordCounts {
  /** Of conversations. */
  seen: number;
  /** They end at their link, or are of services of the platform. */
  passedOver: number;
}

export class RecordLearner {
  readonly counts: LearntRecordCounts = {
    ...{ records: 0, seen: 0, byFlags: 0, byPorts: 0, byOrder: 0, typeless: 0 },
    ...{ passedOver: 0, impossible: 0, noData: 0, skipData: 0 },
  };
  readonly intake = new RecordIntake(this.counts);
  private readonly conversations: Conversations;
  private readonly slots = new FlowSlots();
  /** By conversation: the interface whose records count. */
  private readonly counted = new WeakMap<Conversation, string>();

  constructor(conversations: Conversations) {
    this.conversations = conversations;
  }

  see(record: FlowRecord): void {
    const { counts, intake } = this;
    if (!intake.take(record)) return;
    const { protocol, family } = record;
    const wrongFamily = family === 4 ? PROTO_ICMPV6 : PROTO_ICMP;
    if (protocol === wrongFamily) counts.impossible++;
    else if (isPassedOver(record)) counts.passedOver++;
    else {
      counts.seen++;
      intake.noteBasis(record);
      this.seeFlow(record, intake.isFromSource);
    }
  }

  private seeFlow(record: FlowRecord, isFromSource: boolean): void {
    const { conversations, slots } = this;
    const { protocol, packets, bytes, startMs, endMs, tcpFlags } = record;
    const src = hashSource(record);
    const dst = hashDestination(record);
    const asker = isFromSource ? src : dst;
    const asked = isFromSource ? dst : src;
    let slot = slots.find(src, dst);
    const isKnown =
      slot >= 0 &&
      slots.isOpenedBy(slot, asker) &&
      slots.conversationOf(slot)?.isForgotten !== true;
    const isRefused = record.action === ACTION_REJECT;
    if (!isKnown) {
      slot = slots.note(asker, asked, this.open(record, isFromSource));
      const made = slots.conversationOf(slot);
      if (made === undefined) conversations.beyond.flows++;
      else {
        made.flows++;
        if (this.intake.isGuess(record)) made.isGuess = true;
      }
    }
    const conversation = slots.conversationOf(slot);
    if (conversation === undefined) {
      addTo(conversations.beyond, { flows: 0, packets, bytes });
      return;
    }
    this.notePlace(conversation, record, isFromSource);
    if (this.isCounted(conversation, record.interfaceId))
      conversation.add(packets, bytes, startMs, endMs);
    if (isRefused) conversation.refused++;
    else conversation.isAccepted = true;
    const isOnlyReset =
      protocol === PROTO_TCP &&
      tcpFlags !== NOT_TOLD &&
      (tcpFlags & TCP_RST) !== 0 &&
      (tcpFlags & TCP_SYN) === 0;
    if (isFromSource || isRefused || (isOnlyReset && !slots.isAnswered(slot))) return;
    slots.noteAnswer(slot);
    conversation.isAnswered = true;
  }

  /** Whether the records of the interface count: another's of the same conversation tell of the same packets. */
  private isCounted(conversation: Conversation, interfaceId: string): boolean {
    const { counted } = this;
    const first = counted.get(conversation);
    if (first === undefined) counted.set(conversation, interfaceId);
    return first === undefined || first === interfaceId;
  }

  private notePlace(conversation: Conversation, record: FlowRecord, isFromSource: boolean): void {
    const { interfaceId, direction } = record;
    if (interfaceId === '') return;
    // Towards the instance: the destination is its own.
    const isOwnSource = direction === NOT_TOLD ? undefined : direction !== TOWARDS_INSTANCE;
    conversation.notePlace(
      interfaceId,
      isOwnSource === undefined ? undefined : isOwnSource === isFromSource,
    );
  }

  private open(record: FlowRecord, isFromSource: boolean): Conversation | undefined {
    const { protocol, srcPort, dstPort } = record;
    const family = record.family === 4 ? 4 : 6;
    const source: Words =
      family === 4 ? [record.src0] : [record.src0, record.src1, record.src2, record.src3];
    const destination: Words =
      family === 4 ? [record.dst0] : [record.dst0, record.dst1, record.dst2, record.dst3];
    const [opener, target] = isFromSource ? [source, destination] : [destination, source];
    const asked = isFromSource ? dstPort : srcPort;
    // Rules for other protocols have no ports, though a log may tell some.
    let service = hasPorts(protocol) ? asked : 0;
    if (protocol === PROTO_ICMP) service = ECHO_REQUEST;
    if (protocol === PROTO_ICMPV6) service = ECHO_REQUEST_6;
    return this.conversations.open(
      { family, opener, target, protocol, service },
      isFromSource ? srcPort : dstPort,
    );
  }
}
