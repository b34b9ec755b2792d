/** This file finds the interface that a match leads to. */
import { fitsMatch, matchLabel, type Link, type LinkMatch } from './link-match.ts';
import type { Native } from './native.ts';
import { systemError } from './system-error.ts';

/**
 * The only interface that fits.
 * @param netns path of the namespace; undefined: the daemon's own
 * @throws NativeError ENODEV if none fits, ENOTUNIQ if several do
 */
export function findOnly(
  native: Pick<Native, 'listLinks'>,
  match: LinkMatch,
  netns: string | undefined,
): Link {
  const fitting = native.listLinks(netns).filter((link) => fitsMatch(match, link));
  const why = whyNotOne(match, fitting);
  if (why === undefined) return fitting[0];
  throw systemError(fitting.length === 0 ? 'ENODEV' : 'ENOTUNIQ', 'rtnetlink RTM_GETLINK', why);
}

/** Why what fits can't be attached; undefined: it is one interface. */
export function whyNotOne(match: LinkMatch, fitting: readonly Link[]): string | undefined {
  if (fitting.length === 1) return undefined;
  if (fitting.length === 0)
    return `no interface is '${matchLabel(match)}'; it is attached once one is there`;
  const names = fitting.map(({ name }) => name);
  const shown =
    names.length > NAMES_SHOWN
      ? `${names.slice(0, NAMES_SHOWN).join(', ')} and ${names.length - NAMES_SHOWN} more`
      : `${names.slice(0, -1).join(', ')} and ${names.at(-1)!}`;
  return `${names.length} interfaces are '${matchLabel(match)}', ${shown}: nothing passes by any of them until it is one; remove the others, give them another name or alias, or say more of the right one`;
}

const NAMES_SHOWN = 3;
