/**
 * Defines the DNS names of a compiled policy: which there are, as DNS messages have them, and which gates name them.
 *
 * It is plain data over shared arrays, as the rest of the policy. A name has two peer numbers, by which rules are found
 * as with any peer: one for rules that admit its addresses, and one for those that require it as TLS's server name too.
 * Two tables lead to them. One goes by the text of a question: it has the hash of the name's bytes, and the
 * bytes themselves, which are compared. So nobody can ask for a name of their own that passes for another one. The
 * other table goes by the name's identity (dns-names.ts), which is what learnt addresses are kept under.
 */
import { isWildcardName, nameIdentity, wireForm } from './dns-names.ts';
import type { DnsPeer } from './model.ts';
import { shareWords, WordTable } from './word-table.ts';

/** Words of a name in `slots`. A form is never 0, which marks a free slot. */
export const NAME_WORDS = 7;
export const NAME_HASH = 0;
/** Whether it stands for itself or for what is below it, << 16, and how many bytes it has. */
export const NAME_FORM = 1;
/** Where in `bytes` it begins. */
export const NAME_AT = 2;
/** Its peer number in rules that require nothing more, and in those that require it of TLS; 0: no rule has that. */
export const NAME_PEER = 3;
export const NAME_TLS_PEER = 4;
/** Its identity: two words. */
export const NAME_ID = 5;

export const FORM_ITSELF = 1 << 16;
export const FORM_BELOW = 2 << 16;

export interface CompiledNames {
  /** Open addressing, at most half full: NAME_WORDS for each slot. */
  readonly slots: Int32Array;
  readonly mask: number;
  /** The names' labels, lower case, each behind its length. */
  readonly bytes: Uint8Array;
  /** A name's identity → where in `slots` it begins, plus 1. */
  readonly places: WordTable;
  /** Whether any rule requires a name of TLS. */
  readonly requiresTlsName: boolean;
  /** The peers of a gate's names: gatePeers[starts[gate] … starts[gate + 1] - 1]. Empty if no rule has a name. */
  readonly starts: Int32Array;
  readonly gatePeers: Int32Array;
}

/** The hash of no label. */
export const NO_LABEL_HASH = 0x3c6ef372;

/** Continues the hash of a name with the bytes of the label in front. A name is hashed from its last label on. */
export function hashLabel(hash: number, bytes: Uint8Array, start: number, end: number): number {
  let mixed = hash;
  for (let i = start; i < end; i++) {
    const product = Math.imul(mixed ^ bytes[i], 0x2b7e1517);
    mixed = product ^ (product >>> 15);
  }
  return mixed;
}

export const NO_NAMES: CompiledNames = compileNames(new Map(), new Map());

/**
 * @param dnsPeers by number
 * @param gates by gate that names any: the peers of its names
 */
export function compileNames(
  dnsPeers: ReadonlyMap<number, DnsPeer>,
  gates: ReadonlyMap<number, Iterable<number>>,
): CompiledNames {
  const names = new Set(Array.from(dnsPeers.values(), ({ name }) => name));
  let size = 2;
  while (size < 2 * names.size) size *= 2;
  const slots = new Int32Array(NAME_WORDS * size);
  const forms = Array.from(names, (name) => ({ name, wire: wireForm(name) }));
  const length = forms.reduce((sum, { wire }) => sum + wire.length, 0);
  const bytes = new Uint8Array(new SharedArrayBuffer(length));
  const places = new WordTable(2);
  const placeOf = new Map<string, number>();
  let end = 0;
  for (const { name, wire } of forms) {
    bytes.set(wire, end);
    const id = nameIdentity(name);
    const hash = hashWire(wire);
    let slot = hash & (size - 1);
    while (slots[NAME_WORDS * slot + NAME_FORM] !== 0) slot = (slot + 1) & (size - 1);
    const form = isWildcardName(name) ? FORM_BELOW : FORM_ITSELF;
    slots.set([hash, form | wire.length, end, 0, 0, ...id], NAME_WORDS * slot);
    places.set(Int32Array.from(id), NAME_WORDS * slot + 1);
    placeOf.set(name, NAME_WORDS * slot);
    end += wire.length;
  }
  for (const [number, { name, tlsName }] of dnsPeers)
    slots[placeOf.get(name)! + (tlsName === true ? NAME_TLS_PEER : NAME_PEER)] = number;
  const lists = makeLists(gates);
  const requiresTlsName = [...dnsPeers.values()].some(({ tlsName }) => tlsName === true);
  return { slots: shareWords(slots), mask: size - 1, bytes, places, requiresTlsName, ...lists };
}

function makeLists(
  gates: ReadonlyMap<number, Iterable<number>>,
): Pick<CompiledNames, 'starts' | 'gatePeers'> {
  const starts: number[] = [];
  const gatePeers: number[] = [];
  const last = Math.max(-1, ...gates.keys());
  for (let gate = 0; gate <= last; gate++) {
    starts.push(gatePeers.length);
    gatePeers.push(...(gates.get(gate) ?? []));
  }
  if (last >= 0) starts.push(gatePeers.length);
  return { starts: shareWords(starts), gatePeers: shareWords(gatePeers) };
}

function hashWire(wire: Uint8Array): number {
  const starts: number[] = [];
  for (let at = 0; at < wire.length; at += 1 + wire[at]) starts.push(at);
  let hash = NO_LABEL_HASH;
  let end = wire.length;
  for (const start of starts.reverse()) {
    hash = hashLabel(hash, wire, start, end);
    end = start;
  }
  return hash;
}

/** Gives the table its methods back, after a structured clone. */
export function restoreNames(plain: CompiledNames): CompiledNames {
  return { ...plain, places: WordTable.makeFrom(plain.places) };
}
