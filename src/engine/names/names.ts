/**
 * Learns the addresses of names that rules have as peers, from the answers of DNS that instances get, and finds the
 * rule that admits a packet by such a name.
 *
 * Theory of operation
 *
 * An interface asks a resolver that its rules admit, or the platform's, by UDP. If the asked name is one of its rules'
 * names, the question is noted. The answer is read when it has passed the gates and before it is handed on, so that the
 * instance's next packet finds what it has taught. Names of other interfaces, and names that no rule has, teach nothing
 * and cost a reading of the question.
 *
 * Not read: TCP, encrypted DNS, answers in fragments or several in one superpacket. Then nothing is learnt, and the
 * connection that follows is refused: nothing unknown opens.
 *
 * An address counts for GRACE_MS longer than the answer says, since a client that has just looked into its cache is not
 * through with connecting. The shortest and the longest time are settings.
 */
import type { HashKey } from '../../conntrack/hash.ts';
import { GATE_EGRESS, UPLINK_PORT, type CompiledPolicy } from '../../policy/compiled.ts';
import { NAME_ID, NAME_TLS_PEER } from '../../policy/compiled-names.ts';
import { NO_RULE, type Matcher } from '../../policy/match.ts';
import { hasNames, isNamedAt, NameMatcher } from '../../policy/name-match.ts';
import { hash2 } from '../../policy/word-table.ts';
import { PROTO_UDP, UDP_HEADER_BYTES, UDP_LENGTH } from '../../wire/fields.ts';
import { FRAGMENT_LATER, FRAGMENT_NONE, type Packet } from '../../wire/packet.ts';
import { GAUGE_NAME_OUTCOMES, GAUGE_NAMES } from '../counters.ts';
import { hasInterface } from '../revocation.ts';
import type { ClientHello } from '../tls/client-hello.ts';
import {
  BAD_RECORD,
  DnsMessage,
  MESSAGE_ANSWERS,
  MESSAGE_ASKS,
  MESSAGE_MALFORMED,
} from './dns-message.ts';
import { isLearnable } from './learnable.ts';
import { LearntAddresses } from './learnt-addresses.ts';
import {
  NAME_FORBIDDEN,
  NAME_IN_FRAGMENTS,
  NAME_MALFORMED,
  NAME_TOO_MANY,
  NAME_TRUNCATED,
  NAME_UNASKED,
} from './outcomes.ts';
import { Questions } from './questions.ts';

const DNS_PORT = 53;
const GRACE_MS = 10_000;

/** For `findRule`: each name of the address counts. */
export const ANY_NAME = -1;

export interface NameSettings {
  /** How long an address counts at least and at most, in ms. */
  readonly minLifetimeMs: number;
  readonly maxLifetimeMs: number;
  /** The most addresses of an interface, as one loop has learnt them. */
  readonly maxAddresses: number;
  /** Whether a name may have an address of a private network. */
  readonly acceptsPrivate: boolean;
}

export interface NameParts {
  readonly settings: NameSettings;
  readonly key: HashKey;
  /** learntBytes() of shared memory, which this loop writes. */
  readonly memory: SharedArrayBuffer;
  /** Those of the other loops. */
  readonly others: readonly SharedArrayBuffer[];
  readonly ports: number;
  /** GAUGE_… of engine/counters.ts */
  readonly gauges: Float64Array;
}

export class Names {
  readonly learnt: LearntAddresses;
  private readonly settings: NameSettings;
  private readonly ports: number;
  private readonly gauges: Float64Array;
  private readonly tables: readonly LearntAddresses[];
  private policy: CompiledPolicy | null = null;
  /** Made when a policy has a name for the first time. */
  private questions: Questions | null = null;
  private readonly message = new DnsMessage();
  private readonly matcher = new NameMatcher();

  constructor({ settings, key, memory, others, ports, gauges }: NameParts) {
    this.settings = settings;
    this.ports = ports;
    this.gauges = gauges;
    this.learnt = new LearntAddresses(memory, key, ports);
    this.learnt.adopt();
    this.tables = [this.learnt, ...others.map((other) => new LearntAddresses(other, key, 0))];
  }

  /** Takes over a policy, between two batches. What was learnt of its names stays. */
  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.learnt.keepFor(policy);
    this.makeQuestions();
  }

  /** Whether any rule of the policy in force has a name. Otherwise no packet need be shown. */
  get isWanted(): boolean {
    return this.policy !== null && this.policy.names.starts.length > 0;
  }

  private makeQuestions(): void {
    if (this.isWanted) this.questions ??= new Questions(this.ports);
  }

  /** Frees what is over, among some places, and writes the gauge. */
  sweep(places: number, nowMs: number): void {
    this.learnt.sweep(places, nowMs);
    this.gauges[GAUGE_NAMES] = this.learnt.count;
  }

  /**
   * Looks at a packet that has passed all gates.
   * @param from port that it came in by
   * @param to port that it is for
   * @param packets how many it becomes on the wire
   */
  see(
    view: DataView,
    packet: Packet,
    from: number,
    to: number,
    packets: number,
    nowMs: number,
  ): void {
    const { policy, questions } = this;
    if (packet.protocol !== PROTO_UDP || packet.fragment === FRAGMENT_LATER) return;
    if (policy === null || questions === null || packets !== 1) return;
    const asks = packet.dstPort === DNS_PORT && this.gateOf(policy, from) >= 0;
    const answers = packet.srcPort === DNS_PORT && this.gateOf(policy, to) >= 0;
    if (!asks && !answers) return;
    if (packet.fragment !== FRAGMENT_NONE) {
      if (answers) this.count(NAME_IN_FRAGMENTS);
      return;
    }
    const { message } = this;
    const start = packet.transportOffset + UDP_HEADER_BYTES;
    const said = packet.transportOffset + view.getUint16(packet.transportOffset + UDP_LENGTH);
    const end = said < packet.endOffset ? said : packet.endOffset;
    const kind = message.read(view, start, end);
    if (kind === MESSAGE_ASKS && asks) this.note(policy, questions, packet, from, nowMs);
    else if (kind === MESSAGE_ANSWERS && answers)
      this.learn(view, policy, questions, packet, to, nowMs);
    else if (kind === MESSAGE_MALFORMED && answers) this.count(NAME_MALFORMED);
  }

  private note(
    policy: CompiledPolicy,
    questions: Questions,
    packet: Packet,
    port: number,
    nowMs: number,
  ): void {
    const { message } = this;
    if (!this.isOfInterface(policy, port)) return;
    const tag = this.tagOf(packet.src0, packet.src1, packet.src2, packet.src3);
    questions.note(packet, port, message.id, tag, nowMs);
  }

  private learn(
    view: DataView,
    policy: CompiledPolicy,
    questions: Questions,
    packet: Packet,
    port: number,
    nowMs: number,
  ): void {
    const { message } = this;
    if (!this.isOfInterface(policy, port)) return;
    const tag = this.tagOf(packet.dst0, packet.dst1, packet.dst2, packet.dst3);
    if (!questions.take(packet, port, message.id, tag, nowMs)) {
      this.count(NAME_UNASKED);
      return;
    }
    if (message.isTruncated) {
      this.count(NAME_TRUNCATED);
      return;
    }
    if (message.isTooLong) this.count(NAME_TOO_MANY);
    let at = message.next(view);
    while (at >= 0) {
      this.learnAddress(view, at, policy, port, nowMs);
      at = message.next(view);
    }
    if (at === BAD_RECORD) this.count(NAME_MALFORMED);
  }

  /** Learns that the address at `at` has the names that were found of the question. */
  private learnAddress(
    view: DataView,
    at: number,
    policy: CompiledPolicy,
    port: number,
    nowMs: number,
  ): void {
    const { learnt, message, matcher, settings } = this;
    const isIpv4 = message.family === 4;
    const a0 = view.getInt32(at);
    const a1 = isIpv4 ? 0 : view.getInt32(at + 4);
    const a2 = isIpv4 ? 0 : view.getInt32(at + 8);
    const a3 = isIpv4 ? 0 : view.getInt32(at + 12);
    if (!isLearnable(policy, settings.acceptsPrivate, message.family, a0, a1, a2, a3)) {
      this.count(NAME_FORBIDDEN);
      return;
    }
    const untilMs = (nowMs + this.lifetimeMs(message.lifetimeSec)) | 0;
    const { slots } = policy.names;
    const gate = this.gateOf(policy, port);
    learnt.look(port, message.family, a0, a1, a2, a3);
    for (let i = 0; i < matcher.count; i++) {
      const base = matcher.found[i];
      if (!isNamedAt(policy.names, gate, base)) continue;
      const { maxAddresses } = settings;
      this.count(
        learnt.learn(
          slots[base + NAME_ID],
          slots[base + NAME_ID + 1],
          untilMs,
          maxAddresses,
          nowMs,
        ),
      );
    }
  }

  private lifetimeMs(seconds: number): number {
    const { minLifetimeMs, maxLifetimeMs } = this.settings;
    const wanted = 1000 * seconds + GRACE_MS;
    if (wanted < minLifetimeMs) return minLifetimeMs;
    return wanted > maxLifetimeMs ? maxLifetimeMs : wanted;
  }

  /**
   * Finds a rule that admits a packet to an address by one of the names that it has now.
   * @param port of the interface whose egress gate it is
   * @param rulePort as Matcher.match takes it
   * @param which NAME_PEER, or NAME_TLS_PEER for the rules that require the name of TLS too
   * @param only where in `slots` the only name begins that counts, or ANY_NAME
   * @returns its number plus 1, or NO_RULE
   */
  findRule(
    rules: Matcher,
    packet: Packet,
    port: number,
    gate: number,
    rulePort: number,
    which: number,
    only: number,
    nowMs: number,
  ): number {
    const { policy, tables } = this;
    if (policy === null || !hasNames(policy.names, gate)) return NO_RULE;
    const { places, slots } = policy.names;
    const { family, protocol, dst0, dst1, dst2, dst3 } = packet;
    for (let i = 0; i < tables.length; i++) {
      const table = tables[i];
      table.look(port, family, dst0, dst1, dst2, dst3);
      while (table.next(nowMs)) {
        const { name0, name1 } = table;
        const base = places.get2(name0, name1, hash2(name0, name1)) - 1;
        if (base < 0 || (only !== ANY_NAME && only !== base)) continue;
        const peer = slots[base + which];
        const rule = peer === 0 ? NO_RULE : rules.matchPeer(gate, protocol, rulePort, peer);
        if (rule !== NO_RULE) return rule;
      }
    }
    return NO_RULE;
  }

  /**
   * Finds a rule that admits the connection of a packet by the server name that its ClientHello has: one that requires
   * that name, and that has the address. The flow's own rule had it when the connection was opened.
   * @param own number of the flow's rule
   * @param hello read, with a name
   * @returns the rule's number plus 1, or NO_RULE
   */
  findNamedRule(
    rules: Matcher,
    packet: Packet,
    port: number,
    own: number,
    hello: ClientHello,
    nowMs: number,
  ): number {
    const { policy, matcher } = this;
    const gate = policy === null ? -1 : this.gateOf(policy, port);
    if (policy === null || gate < 0) return NO_RULE;
    const { dstPort, protocol } = packet;
    const { slots } = policy.names;
    const count = matcher.find(policy.names, hello.name, hello.nameLength);
    for (let i = 0; i < count; i++) {
      const base = matcher.found[i];
      const peer = slots[base + NAME_TLS_PEER];
      if (peer === 0) continue;
      if (rules.admitsPeer(own + 1, gate, protocol, dstPort, peer)) return own + 1;
      const rule = this.findRule(rules, packet, port, gate, dstPort, NAME_TLS_PEER, base, nowMs);
      if (rule !== NO_RULE) return rule;
    }
    return NO_RULE;
  }

  /** The egress gate of a port's interface, if it has names; otherwise -1. */
  private gateOf(policy: CompiledPolicy, port: number): number {
    if (port === UPLINK_PORT || !hasInterface(policy, port)) return -1;
    const gate = 2 * policy.profiles[port] + GATE_EGRESS;
    return hasNames(policy.names, gate) ? gate : -1;
  }

  /** Whether the asked name is one of the interface's. Leaves the names that were found with `matcher`. */
  private isOfInterface(policy: CompiledPolicy, port: number): boolean {
    const { matcher, message } = this;
    const { names } = policy;
    const gate = this.gateOf(policy, port);
    const count = matcher.find(names, message.name.bytes, message.name.length);
    for (let i = 0; i < count; i++) if (isNamedAt(names, gate, matcher.found[i])) return true;
    return false;
  }

  /** What a question and its answer have in common beside ids and the resolver. */
  private tagOf(a0: number, a1: number, a2: number, a3: number): number {
    return hash2(
      hash2(this.matcher.hash, this.message.family),
      hash2(hash2(a0, a1), hash2(a2, a3)),
    );
  }

  private count(outcome: number): void {
    this.gauges[GAUGE_NAME_OUTCOMES + outcome]++;
  }
}
