/**
 * A sequence with the fast path and without: two engines judge it, of which one has the twin of the kernel's programs
 * (test/offload/) in front of its gates.
 *
 * Only flows between interfaces are forwarded, so here the peer is behind one as well, which tracks all and refuses
 * nothing but what belongs to no connection. That is a second opinion: from where it makes a difference, the sequence is
 * compared between the two engines alone. Before that, the verdict with the fast path is also the one that is compared
 * with nf_conntrack's.
 */
import { Rig } from '../engine/rig.ts';
import { addressBytes } from '../packets/bytes.ts';
import type { ModelText } from '../support/policy.ts';
import type { Comparison } from './compare.ts';
import { peerAddress } from './play.ts';
import { modelOfRules } from './rules.ts';
import type { Sent, Sequence } from './steps.ts';

/** Between two packets: some ticks come in a sequence, and no time-out. */
const STEP_MS = 30;
const RULES = modelOfRules();

export interface BothWays {
  /** Packets that went by the fast path. */
  readonly forwarded: number;
  /** Packets whose verdict with the fast path was compared with nf_conntrack's. */
  readonly asKernel: number;
  /** Where the fast path makes a difference; undefined: nowhere. */
  readonly wrong: string | undefined;
}

export function playBothWays(
  sequence: Sequence,
  { peer, judged, compared }: Pick<Comparison, 'peer' | 'judged' | 'compared'>,
): BothWays {
  const model = modelFor(peer);
  const [without, fast] = [false, true].map(
    (isOffloaded) => new Rig(model, { acceptsMidstream: sequence.midstream, isOffloaded }),
  );
  let asKernel = 0;
  let isAsOne = true;
  for (const [i, { sent, ours }] of judged.entries()) {
    const port = portOf(sent, sequence, peer);
    const [expected, actual] = [without, fast].map((rig) => {
      const answer = rig.send(port, sent.packet, i * STEP_MS);
      const verdict = rig.portOf(answer) < 0 ? answer : 'passed';
      return { verdict, text: `${verdict}, then ${rig.states.join(', ') || 'no flow'}` };
    });
    if (actual.text !== expected.text) {
      const wrong = `packet ${i}, ${sent.text}: ${actual.text} with the fast path; ${expected.text} without`;
      return { forwarded: fast.kernel!.forwarded, asKernel, wrong };
    }
    isAsOne &&= actual.verdict === ours;
    if (isAsOne && i < compared) asKernel++;
  }
  return { forwarded: fast.kernel!.forwarded, asKernel, wrong: undefined };
}

function modelFor(peer: number): ModelText {
  return {
    groups: { ...RULES.groups, open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] } },
    interfaces: {
      ...RULES.interfaces,
      peer: {
        addresses: [peerAddress(4, peer), peerAddress(6, peer)],
        groups: ['open'],
        alwaysTracked: true,
      },
    },
  };
}

/** Routers are beyond the uplink. */
function portOf({ from, packet }: Sent, { family }: Sequence, peer: number): string {
  if (from === 'in') return 'instance';
  const [at, address] = [family === 4 ? 12 : 8, addressBytes(peerAddress(family, peer))];
  const source = packet.subarray(at, at + address.length);
  return Buffer.compare(source, address) === 0 ? 'peer' : 'uplink';
}
