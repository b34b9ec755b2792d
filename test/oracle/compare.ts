/** Both firewalls judge a sequence; what they say of each packet, and where they differ. */
import { Rig } from '../engine/rig.ts';
import { bytesToCome, fragmentOf, Receiver } from './datagrams.ts';
import { DIFFERENCES, type Difference } from './differences.ts';
import type { KernelRouter } from './kernel-router.ts';
import { PEER_COUNT, play } from './play.ts';
import { modelOfRules } from './rules.ts';
import type { Place, Sent, Sequence } from './steps.ts';
import { Ledger } from './ledger.ts';
import { segmentOf } from './segment.ts';
import { brokenBounds, tcpStateOf, viewTcp, type TcpView } from './tcp-view.ts';

export interface Judged {
  readonly sent: Sent;
  /** What our engine answered: `passed`, or the name of the drop reason. */
  readonly ours: string;
  /** Of a first fragment: that its datagram is complete in the end. */
  readonly kernelPasses: boolean;
  /** Something came out of the kernel at once. */
  readonly kernelDelivers: boolean;
  /** The packet gets to one receiver and not to the other; of fragments that goes for the datagram. */
  readonly differs: boolean;
  /** Number of the packet with which the kernel made a first fragment's datagram complete. */
  readonly completeAt: number | undefined;
  /** States of our flows before the packet and after it. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** What we knew of the TCP connection before the packet. */
  readonly tcp: TcpView | undefined;
}

export interface Comparison {
  readonly peer: number;
  readonly judged: readonly Judged[];
  /** Packets compared: those behind a difference that leaves two different states are not. */
  readonly compared: number;
  /** Rows of the table that were met. */
  readonly known: readonly Difference[];
  /** Number of the packet that differs though no row of the table says so. */
  readonly unknown: number | undefined;
}

const MODEL = modelOfRules();
const PORTS: Readonly<Record<Place, string>> = { in: 'instance', out: 'uplink' };

/** The two kernels, one for each way to take packets of no known connection. */
export class Oracle {
  private readonly strict: KernelRouter;
  private readonly midstream: KernelRouter;
  private nextPeer = 1;

  constructor(strict: KernelRouter, midstream: KernelRouter) {
    this.strict = strict;
    this.midstream = midstream;
  }

  kernelFor(sequence: Sequence): KernelRouter {
    return sequence.midstream ? this.midstream : this.strict;
  }

  /** Nothing of one sequence meets anything of another: each has its own peer, and our engine starts empty. */
  compare(sequence: Sequence): Comparison {
    const peer = this.nextPeer++;
    if (peer >= PEER_COUNT - 1) throw new Error('more sequences than peers: make another Oracle');
    const sent = play(sequence, peer);
    const came = this.kernelFor(sequence).judge(sent);
    const judged = judgeOurselves(sequence, sent, came);
    return { peer, judged, ...differencesOf(sequence, judged) };
  }
}

function judgeOurselves(
  sequence: Sequence,
  sent: readonly Sent[],
  came: readonly (Uint8Array | undefined)[],
): Judged[] {
  const rig = new Rig(MODEL, { acceptsMidstream: sequence.midstream });
  const receiver = new Receiver();
  const ledger = new Ledger();
  return sent.map((one, i) => {
    const before = rig.states;
    const stateBefore = tcpStateOf(rig);
    const tcp = viewTcp(stateBefore, ledger);
    const answer = rig.send(PORTS[one.from], one.packet);
    const ours = Object.values(PORTS).includes(answer) ? 'passed' : answer;
    const segment = segmentOf(one);
    if (segment !== undefined && ours === 'passed')
      ledger.enter(one.from, segment, bytesToCome(one), stateBefore?.state, tcpStateOf(rig)?.state);
    const content = ours === 'passed' ? receiver.take(one.packet) : undefined;
    const completeAt = completionOf(sent, came, i);
    const kernelPasses = came[i] !== undefined || completeAt !== undefined;
    const verdicts = {
      ours,
      kernelPasses,
      kernelDelivers: came[i] !== undefined,
      differs: !isSameContent(content, came[i]),
      completeAt,
    };
    return { sent: one, ...verdicts, before, after: rig.states, tcp };
  });
}

/** With which packet the kernel made the datagram of first fragment `at` complete. */
function completionOf(
  sent: readonly Sent[],
  came: readonly (Uint8Array | undefined)[],
  at: number,
): number | undefined {
  const { packet, whole: mine } = sent[at];
  if (mine === undefined || fragmentOf(packet)?.start !== 0) return undefined;
  const found = sent.findIndex(
    ({ whole }, i) =>
      i >= at && came[i] !== undefined && whole !== undefined && Buffer.compare(whole, mine) === 0,
  );
  return found < 0 ? undefined : found;
}

function isSameContent(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}

/**
 * For a fragment on which the verdicts differ: the sequence as if its datagram had come whole, in place of the fragment,
 * and been judged as its first fragment was. Undefined if that verdict does not differ: the fragments do.
 */
function asWhole(judged: readonly Judged[], at: number): readonly Judged[] | undefined {
  const datagram = fragmentOf(judged[at].sent.packet)?.datagram;
  if (datagram === undefined) return judged.slice(0, at + 1);
  const isOfIt = ({ sent }: Judged): boolean => fragmentOf(sent.packet)?.datagram === datagram;
  const first = judged.findLastIndex(
    (one, i) =>
      i <= at &&
      isOfIt(one) &&
      fragmentOf(one.sent.packet)?.start === 0 &&
      one.ours !== 'fragment-duplicate',
  );
  const kernelPasses = judged[at].kernelDelivers;
  if (first < 0 || (judged[first].ours === 'passed') === kernelPasses) return undefined;
  const before = judged.slice(0, at).filter((one, i) => i < first || !isOfIt(one));
  return [...before, { ...judged[first], kernelPasses }];
}

function differencesOf(
  sequence: Sequence,
  judged: readonly Judged[],
): Pick<Comparison, 'compared' | 'known' | 'unknown'> {
  const known: Difference[] = [];
  for (let i = 0; i < judged.length; i++) {
    if (!judged[i].differs) continue;
    const whole = asWhole(judged, i);
    const row = DIFFERENCES.find(({ ofFragments, covers }) =>
      ofFragments === true
        ? covers(judged, i, sequence)
        : whole !== undefined && covers(whole, whole.length - 1, sequence),
    );
    if (row === undefined) return { compared: i + 1, known, unknown: i };
    known.push(row);
    if (row.splitsStates) return { compared: i + 1, known, unknown: undefined };
  }
  return { compared: judged.length, known, unknown: undefined };
}

/** The sequence as people read it: each packet with both verdicts, and our states around it. */
export function describeComparison(sequence: Sequence, { judged, unknown }: Comparison): string {
  const { family, midstream, opener, client, server } = sequence;
  const side = (name: string, { initial, scale, window }: Sequence['client']): string =>
    `${name}: initial ${initial}, scale ${scale ?? 'none'}, window ${window}`;
  const head = [
    `IPv${family}, midstream ${midstream ? 'accepted' : 'dropped'}, opened from ${opener}side; ${side('client', client)}; ${side('server', server)}`,
  ];
  const lines = judged.map(({ sent, ours, kernelDelivers, differs, before, after, tcp }, i) => {
    const mark = i === unknown ? '>>' : differs ? ' *' : '  ';
    const kernel = kernelDelivers
      ? 'passes'
      : sent.whole === undefined
        ? 'drops'
        : 'keeps or drops';
    const states = before.join() === after.join() ? '=' : `${before.join()} -> ${after.join()}`;
    const segment = segmentOf(sent);
    const broken =
      tcp === undefined || segment === undefined ? [] : brokenBounds(tcp, sent.from, segment);
    const outside = broken.length === 0 ? '' : `; outside the bounds: ${broken.join(', ')}`;
    return `${mark} ${i} from ${sent.from}: ${sent.text}\n       ours: ${ours}; kernel: ${kernel}; states: ${states}${outside}`;
  });
  return [...head, ...lines].join('\n');
}
