/**
 * `sgctl learn` at the running daemon: the flows that it tracks, and those that it opens meanwhile.
 *
 * What a flow carries is in the table, which is looked at now and then. A flow that begins and ends between two looks
 * is told by the stream of `sgctl trace`. A flow between two interfaces has an entry at each; the one that comes first
 * counts.
 */
import { parseAddress } from '../addr/address.ts';
import { ask, follow } from '../control-socket/control-client.ts';
import type { Conversation, Words } from '../learn/conversation.ts';
import type { Conversations } from '../learn/conversations.ts';
import type { Owner } from '../learn/owners.ts';
import { stableId } from '../policy/ids.ts';
import { hasIcmpType, hasPorts, parseProtocol } from '../policy/protocols.ts';
import { FLOWS_SHOWN_MAX, type FlowView } from '../queries/flows-view.ts';
import type { InterfaceView } from '../queries/interfaces-view.ts';
import type { PacketView, VerdictView } from '../queries/verdict-view.ts';
import { lowerIsService } from '../recorded/opener.ts';
import { count } from '../source/count.ts';
import { sleep } from './live.ts';
import type { DaemonCounts, Looked } from './learn-sources.ts';
import { ProgressLine } from './progress-line.ts';
import { formatCount, formatDuration } from './units.ts';

const LOOK_MS = 2000;
const LAST_MS = 500;
/** Flows that are told apart; then the oldest is forgotten, and would count again. */
const FLOWS_MAX = 200_000;
/** Destination unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792). */
const ICMP_ERRORS: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);
/** Types below are errors (RFC 4443). */
const ICMPV6_INFORMATIONAL = 128;
/** A connection that was refused has carried a SYN and a RST. */
const REFUSED_PACKETS = 1;

export async function lookAtDaemon(
  socket: string,
  forMs: number,
  conversations: Conversations,
  signal: AbortSignal,
): Promise<Looked> {
  const owners = ownersOf(await ask(socket, 'interfaces', {}));
  const learner = new FlowLearner(conversations);
  const progress = new ProgressLine();
  const startMs = Date.now();
  const stop = new AbortController();
  const traced = follow(
    socket,
    'trace',
    { verdict: 'passed', eachWay: true },
    {
      signal: stop.signal,
      begin: () =>
        console.error(`sgctl: looking at the daemon's flows for ${formatDuration(forMs)}; Ctrl-C ends it earlier`), // prettier-ignore
      take: ({ verdicts, lost }, missed) => {
        learner.missed += lost + missed;
        for (const verdict of verdicts) learner.seeVerdict(verdict);
      },
    },
  );
  // It is awaited below; until then something else may fail first.
  traced.catch(() => undefined);
  try {
    for (let isLast = false; !isLast;) {
      isLast = signal.aborted || Date.now() - startMs >= forMs;
      // What has happened until now is told within a moment.
      if (isLast) await sleep(LAST_MS, stop.signal);
      const answer = await ask(socket, 'flows', { limit: FLOWS_SHOWN_MAX });
      learner.look(answer.flows, answer.matched);
      if (isLast) break;
      const leftMs = Math.max(0, forMs - (Date.now() - startMs));
      await Promise.race([traced, sleep(Math.min(LOOK_MS, leftMs), signal)]);
      progress.tell(
        () =>
          `${formatDuration(Date.now() - startMs)} of ${formatDuration(forMs)}, ${formatCount(learner.counts.seen)} flows`,
      );
    }
  } finally {
    stop.abort();
    progress.clear();
  }
  await traced;
  return {
    source: `the daemon at ${socket}`,
    ...{ firstMs: Math.min(startMs, learner.firstMs), lastMs: Date.now(), owners, recordings: [] },
    ...{ counts: learner.counts, missed: learner.missedTexts() },
  };
}

/** A flow as the daemon shows it: who opened it, and what was counted of it. */
interface Known {
  readonly conversation: Conversation | undefined;
  readonly interface: string;
  packets: number;
  bytes: number;
}

class FlowLearner {
  readonly counts: DaemonCounts = { seen: 0, looks: 0 };
  firstMs = Infinity;
  /** Verdicts that did not come through. */
  missed = 0;
  private beyond = 0;
  private readonly conversations: Conversations;
  private readonly flows = new Map<string, Known>();

  constructor(conversations: Conversations) {
    this.conversations = conversations;
  }

  look(flows: readonly FlowView[], matched: number): void {
    this.counts.looks++;
    this.beyond = Math.max(this.beyond, matched - flows.length);
    for (const flow of flows) this.seeFlow(flow);
  }

  seeVerdict({
    interface: name,
    packet,
    direction,
    isTracked,
    timeMs,
    ...rest
  }: VerdictView): void {
    if (packet === undefined || isError(packet)) return;
    const isEgress = direction === 'egress';
    const { icmp, tcpFlags } = packet;
    if (isTracked) {
      const known = this.find(packet, name, isEgress, icmp);
      if (known?.packets === 0) known.conversation?.add(0, 0, timeMs, timeMs);
      return;
    }
    // Nothing else tells of an untracked flow: this is its first packet, this way.
    const isAnswer = this.isAnswer(packet, isEgress);
    const known = this.find(packet, name, isEgress !== isAnswer, icmp);
    if (known?.conversation === undefined || known.interface !== name) return;
    known.conversation.add(rest.packets ?? 1, rest.bytes ?? 0, timeMs, timeMs);
    if (isAnswer && !(tcpFlags ?? '').includes('R')) known.conversation.isAnswered = true;
  }

  /** Whether a packet of an untracked flow answers: it is of a flow that the other end began, or its ports say so. */
  private isAnswer(packet: PacketView, isEgress: boolean): boolean {
    const { tcpFlags, protocol, localAddress, localPort, remoteAddress, remotePort } = packet;
    if (tcpFlags !== undefined && tcpFlags.includes('S')) return tcpFlags.includes('.');
    const [local, remote] = [wordsOf(localAddress), wordsOf(remoteAddress)];
    if (local === undefined || remote === undefined) return false;
    const [from, to] = isEgress ? [localPort, remotePort] : [remotePort, localPort];
    const [source, target] = isEgress ? [local, remote] : [remote, local];
    if (this.flows.has(keyOf(protocol, source, from, target, to))) return false;
    if (this.flows.has(keyOf(protocol, target, to, source, from))) return true;
    return lowerIsService(from, to) < 0;
  }

  missedTexts(): readonly string[] {
    const told: (readonly [number, string])[] = [
      [this.missed, `${count(this.missed, 'event')} of the daemon that did not come through`],
      [
        this.beyond,
        `${count(this.beyond, 'flow')} at once beyond the ${FLOWS_SHOWN_MAX} that it shows`,
      ],
    ];
    return told.flatMap(([amount, text]) => (amount > 0 ? [text] : []));
  }

  private seeFlow(flow: FlowView): void {
    const known = this.find(flow, flow.interface, flow.openedBy === 'instance');
    if (known === undefined || known.interface !== flow.interface) return;
    const { packetsOut = 0, packetsIn = 0, bytesOut = 0, bytesIn = 0, state, idleMs } = flow;
    const { conversation } = known;
    if (conversation === undefined) return;
    const [packets, bytes] = [packetsOut + packetsIn, bytesOut + bytesIn];
    const seenMs = Date.now() - idleMs;
    // Fewer than before: another flow with the same ends.
    if (packets < known.packets) conversation.flows++;
    const base = packets < known.packets ? { packets: 0, bytes: 0 } : known;
    if (packets > base.packets || conversation.packets === 0)
      conversation.add(packets - base.packets, bytes - base.bytes, seenMs, seenMs);
    known.packets = packets;
    known.bytes = bytes;
    this.firstMs = Math.min(this.firstMs, seenMs);
    const back = flow.openedBy === 'instance' ? packetsIn : packetsOut;
    const isOpening = state === 'syn-sent' || (state === 'closed' && back <= REFUSED_PACKETS);
    if (back > 0 && !isOpening) conversation.isAnswered = true;
  }

  private find(
    view: PacketView | FlowView,
    name: string,
    isOpenedHere: boolean,
    icmp?: { readonly type: number; readonly code: number },
  ): Known | undefined {
    const protocol = parseProtocol(view.protocol);
    const local = wordsOf(view.localAddress);
    const remote = wordsOf(view.remoteAddress);
    if (!protocol.ok || local === undefined || remote === undefined) return undefined;
    const [opener, target] = isOpenedHere ? [local, remote] : [remote, local];
    const [openerPort, targetPort] = isOpenedHere
      ? [view.localPort, view.remotePort]
      : [view.remotePort, view.localPort];
    const key = keyOf(view.protocol, opener, openerPort, target, targetPort);
    const known = this.flows.get(key);
    if (known !== undefined) return known;
    let service = hasPorts(protocol.value) ? targetPort : 0;
    // The type of a query stands for the port of who answers.
    if (hasIcmpType(protocol.value))
      service = icmp === undefined ? targetPort << 8 : (icmp.type << 8) | icmp.code;
    const family = opener.length === 1 ? 4 : 6;
    const ends = { family, opener, target, protocol: protocol.value, service } as const;
    const conversation = this.conversations.open(ends, openerPort);
    this.counts.seen++;
    if (conversation === undefined) this.conversations.beyond.flows++;
    else {
      conversation.flows++;
      conversation.isAccepted = true;
    }
    if (this.flows.size >= FLOWS_MAX) this.flows.delete(this.flows.keys().next().value!);
    const made: Known = { conversation, interface: name, packets: 0, bytes: 0 };
    this.flows.set(key, made);
    return made;
  }
}

function keyOf(protocol: string, opener: Words, from: number, target: Words, to: number): string {
  return `${protocol} ${opener.join()} ${from} ${target.join()} ${to}`;
}

/** Errors pass with the flow that they are about. */
function isError({ protocol, icmp }: PacketView): boolean {
  if (icmp === undefined) return false;
  return protocol === 'icmpv6' ? icmp.type < ICMPV6_INFORMATIONAL : ICMP_ERRORS.has(icmp.type);
}

function wordsOf(text: string): Words | undefined {
  const parsed = parseAddress(text);
  return parsed.ok ? parsed.value.words : undefined;
}

function ownersOf(views: readonly InterfaceView[]): readonly Owner[] {
  const several = new Set(views.flatMap(({ vpc }) => vpc ?? [])).size > 1;
  return views.flatMap(({ id, name, addresses, vpc }) => {
    if (id === undefined) return [];
    const own = addresses.flatMap((text) => {
      const parsed = parseAddress(text.replace(/\/.*$/, ''));
      return parsed.ok ? [parsed.value] : [];
    });
    const place =
      several && vpc !== undefined ? { vpc: { id: stableId('vpc', vpc), name: vpc } } : {};
    return [{ id, name, addresses: own, ...place }];
  });
}
