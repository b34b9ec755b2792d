/** Both firewalls judge a sequence; what they say of each packet, and where they differ. */
import { Rig } from '../engine/rig.ts';
import { DIFFERENCES, type Difference } from './differences.ts';
import type { KernelRouter } from './kernel-router.ts';
import { PEER_COUNT, play } from './play.ts';
import { modelOfRules } from './rules.ts';
import type { Place, Sent, Sequence } from './steps.ts';
import { brokenBounds, segmentOf, viewTcp, type TcpView } from './tcp-view.ts';

export interface Judged {
  readonly sent: Sent;
  /** What our engine answered: `passed`, or the name of the drop reason. */
  readonly ours: string;
  readonly kernelPasses: boolean;
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
    const passes = this.kernelFor(sequence).judge(sent);
    const judged = judgeOurselves(sequence, sent, passes);
    return { peer, judged, ...differencesOf(sequence, judged) };
  }
}

function judgeOurselves(
  sequence: Sequence,
  sent: readonly Sent[],
  kernelPasses: readonly boolean[],
): Judged[] {
  const rig = new Rig(MODEL, { acceptsMidstream: sequence.midstream });
  return sent.map((one, i) => {
    const before = rig.states;
    const tcp = viewTcp(rig);
    const answer = rig.send(PORTS[one.from], one.packet);
    const ours = Object.values(PORTS).includes(answer) ? 'passed' : answer;
    return { sent: one, ours, kernelPasses: kernelPasses[i], before, after: rig.states, tcp };
  });
}

function differencesOf(
  sequence: Sequence,
  judged: readonly Judged[],
): Pick<Comparison, 'compared' | 'known' | 'unknown'> {
  const known: Difference[] = [];
  for (let i = 0; i < judged.length; i++) {
    const { ours, kernelPasses } = judged[i];
    if ((ours === 'passed') === kernelPasses) continue;
    const row = DIFFERENCES.find((difference) => difference.covers(judged, i, sequence));
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
  const lines = judged
    .slice(0, unknown === undefined ? undefined : unknown + 1)
    .map(({ sent, ours, kernelPasses, before, after, tcp }, i) => {
      const mark = i === unknown ? '>>' : '  ';
      const kernel = kernelPasses ? 'passes' : 'drops';
      const states = before.join() === after.join() ? '=' : `${before.join()} -> ${after.join()}`;
      const segment = segmentOf(sent);
      const broken =
        tcp === undefined || segment === undefined ? [] : brokenBounds(tcp, sent.from, segment);
      const outside = broken.length === 0 ? '' : `; outside the bounds: ${broken.join(', ')}`;
      return `${mark} ${i} from ${sent.from}: ${sent.text}\n       ours: ${ours}; kernel: ${kernel}; states: ${states}${outside}`;
    });
  return [...head, ...lines].join('\n');
}
