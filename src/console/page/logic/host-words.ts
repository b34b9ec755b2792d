/** This file says in words how a host is, and finds hosts by words. */
import type { ConsoleHost } from '../../contract.ts';
import { formatNumberOf } from './format.ts';
import { matchesWords } from './search-words.ts';

/** How it is in a word, and whether that is worth a second look. */
export function stateOf(host: ConsoleHost): {
  readonly word: string;
  readonly kind: 'good' | 'warning' | 'bad';
} {
  const { state, isBehind, isFenced, refused } = host;
  if (state === 'away') return { word: 'away', kind: 'bad' };
  if (state === 'left') return { word: 'left', kind: 'bad' };
  if (isFenced === true) return { word: 'fenced', kind: 'bad' };
  if (refused !== undefined) return { word: 'refuses', kind: 'bad' };
  return isBehind ? { word: 'behind', kind: 'warning' } : { word: 'alive', kind: 'good' };
}

/** What is wrong with it, each as a sentence without a full stop. */
export function faultsOf(host: ConsoleHost): readonly string[] {
  const { state, interfaces, isFenced, refused, leftOut, leftOutCount } = host;
  const more = leftOutCount - leftOut.length;
  return [
    ...(state === 'left' && interfaces > 0
      ? [
          `it left, and ${formatNumberOf(interfaces, 'interface is', 'interfaces are')} still placed there`,
        ]
      : []),
    ...(isFenced === true ? ['it does not forward for interfaces of the store now'] : []),
    ...(refused === undefined
      ? []
      : [`it can’t put revision ${refused.revision} in force: ${refused.message}`]),
    ...leftOut.map(({ id, why }) => `${id} is not in force there: ${why}`),
    ...(more > 0
      ? [`and ${formatNumberOf(more, 'more thing is', 'more things are')} not in force there`]
      : []),
  ];
}

export function findHosts(
  hosts: readonly ConsoleHost[],
  words: readonly string[],
): readonly ConsoleHost[] {
  if (words.length === 0) return hosts;
  return hosts.filter((host) =>
    matchesWords(words, [
      ...[host.host, host.version ?? '', stateOf(host).word],
      ...faultsOf(host),
    ]),
  );
}
