/** Finds names for proposed groups, each its own: by their members, or by what these offer. */
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import type { Owner } from './owners.ts';

const CHARS_MAX = 60;
const PREFIX_CHARS_MIN = 2;
export const IDLE_NAME = 'nothing-seen';

export class GroupNames {
  private readonly taken = new Set<string>([DEFAULT_GROUP_NAME]);

  /** @param service what the group offers first, or else asks for, as `tcp 443`; undefined: nothing */
  next(members: readonly Owner[], service: string | undefined, isOffered: boolean): string {
    const stem =
      service === undefined
        ? IDLE_NAME
        : (nameOfMembers(members) ?? `${isOffered ? 'offers' : 'asks'}-${plain(service)}`);
    let name = stem;
    for (let i = 2; this.taken.has(name.toLowerCase()); i++) name = `${stem}-${i}`;
    this.taken.add(name.toLowerCase());
    return name;
  }
}

/** The name of the only member, or what the names of all begin with. Made-up ones say nothing. */
function nameOfMembers(members: readonly Owner[]): string | undefined {
  const names = members.map(({ name }) => name);
  if (names.some((name) => name.startsWith('ip-'))) return undefined;
  let stem = names[0];
  for (const name of names) while (!name.startsWith(stem)) stem = stem.slice(0, -1);
  const clean = plain(names.length === 1 ? stem : stem.replace(/[-_.\d]+$/, ''));
  return clean.length < PREFIX_CHARS_MIN || clean.startsWith('sg-') ? undefined : clean;
}

/** As names of groups may be in every form that is written. */
function plain(text: string): string {
  const short = text.replace(/[^A-Za-z0-9_.-]+/g, '-').slice(0, CHARS_MAX);
  return short.replace(/^[-.]+|[-.]+$/g, '');
}
