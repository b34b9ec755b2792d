/**
 * This file reads which groups an instance is to have, in the words that all doors share: `sg=web,db`, where each is a
 * name or an id of a group, or `eni=eni-0123…`, an interface that a call of the EC2 API made.
 *
 * Nothing is guessed. Whoever writes a key that is not known, or no group, gets an error: the default group in its
 * place would let through what nobody asked for. Whether the groups exist is the daemon's to say, when it adds the
 * interface.
 */
import { isId } from '../policy/ids.ts';
import { printable } from '../source/excerpt.ts';
import { listWords } from '../source/suggest.ts';

/** Which groups an instance has, or which interface it is given. */
export type Selection =
  | { readonly kind: 'groups'; readonly securityGroups: readonly string[] }
  | { readonly kind: 'interface'; readonly id: string };

/** A runtime asked for something that a door can't do. The message is for the person who configured it. */
export class DoorError extends Error {}

const KEYS = ['sg', 'eni'];
/** Far more than the quota for an interface (16 at most). */
const TEXT_LENGTH_MAX = 8192;
const EXAMPLE = 'write sg=web,db with names or ids of groups, or eni=eni-…';

/**
 * Reads the options that a runtime handed on, each key in lower case. Keys of the runtime's own are not among them.
 * @throws DoorError if one is unknown or wrong, or if no group is named
 */
export function readSelection(options: ReadonlyMap<string, string>): Selection {
  const unknown = [...options.keys()].filter((key) => !KEYS.includes(key));
  if (unknown.length > 0)
    throw new DoorError(`${listWords(unknown.map(shown))} is no option of secgroupd: ${EXAMPLE}`);
  const sg = options.get('sg');
  const eni = options.get('eni');
  if (sg !== undefined && eni !== undefined)
    throw new DoorError(
      'sg and eni are both given: an interface made before has its groups already',
    );
  if (eni !== undefined) return { kind: 'interface', id: readId(eni) };
  if (sg === undefined) throw new DoorError(`no security group is named: ${EXAMPLE}`);
  return { kind: 'groups', securityGroups: readGroupList(sg) };
}

/**
 * Reads `web,db`: names or ids. A name that has a comma in it can't be written so; its id can.
 * @throws DoorError if a part is empty, or there twice
 */
export function readGroupList(text: string): readonly string[] {
  if (text.length > TEXT_LENGTH_MAX) throw new DoorError('sg is too long');
  const groups = text.split(',').map((part) => part.trim());
  if (groups.includes(''))
    throw new DoorError(`sg=${shown(text)} has an empty name of a group: ${EXAMPLE}`);
  const twice = groups.find((group, i) => groups.indexOf(group) < i);
  if (twice !== undefined) throw new DoorError(`sg names the group ${shown(twice)} twice`);
  return groups;
}

function readId(text: string): string {
  if (isId('eni', text)) return text;
  throw new DoorError(
    `eni=${shown(text)} is no id of an interface: eni- and 17 hexadecimal digits`,
  );
}

/** A stranger's text as an error repeats it. */
function shown(text: string): string {
  return printable(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
