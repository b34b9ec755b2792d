/** The rows of differences.ts about datagrams that come in fragments. */
import { fragmentOf } from './datagrams.ts';
import type { Difference } from './differences.ts';
import { fragmentsUpTo, protocolOf, protocolsOf } from './history.ts';

export const FRAGMENT_DIFFERENCES: readonly Difference[] = [
  {
    name: 'first fragment without the transport header',
    splitsStates: true,
    ofFragments: true,
    covers: (judged, at) =>
      judged[at].kernelDelivers &&
      fragmentsUpTo(judged, at).some(({ ours }) => ours === 'tiny-fragment'),
  },
  {
    name: 'fragments that overlap',
    splitsStates: true,
    ofFragments: true,
    covers: (judged, at) =>
      judged[at].kernelDelivers &&
      fragmentsUpTo(judged, at).some(({ ours }) => ours === 'fragment-overlap'),
  },
  {
    name: 'fragment before the first one',
    splitsStates: true,
    ofFragments: true,
    covers: (judged, at) =>
      fragmentsUpTo(judged, at).some(
        ({ ours }, i, all) =>
          ours === 'fragment-early' ||
          // Behind a first one that was refused: another first one begins a datagram anew.
          (ours === 'fragment-refused' &&
            all.slice(i).some(({ sent }) => fragmentOf(sent.packet)?.start === 0)),
      ),
  },
  {
    name: 'atomic fragment among others of its identification',
    splitsStates: true,
    ofFragments: true,
    covers: (judged, at) => {
      const all = fragmentsUpTo(judged, at).map(({ sent }) => fragmentOf(sent.packet));
      const isAtomic = (one: (typeof all)[number]): boolean => one?.start === 0 && !one.more;
      return all.some(isAtomic) && !all.every(isAtomic);
    },
  },
  {
    name: 'two datagrams with one identification',
    splitsStates: true,
    ofFragments: true,
    covers: (judged, at) => {
      const [first, ...others] = fragmentsUpTo(judged, at).map(({ sent }) => sent.whole);
      return others.some(
        (other) => other !== undefined && first !== undefined && Buffer.compare(first, other) !== 0,
      );
    },
  },
  {
    name: 'datagram that never comes whole',
    splitsStates: true,
    covers: (judged, at) =>
      judged
        .slice(0, at)
        .some(
          ({ sent, ours, completeAt }) =>
            ours === 'passed' &&
            fragmentOf(sent.packet)?.start === 0 &&
            (completeAt === undefined || completeAt >= at) &&
            protocolsOf(judged[at].sent).includes(protocolOf(sent)),
        ),
  },
];
