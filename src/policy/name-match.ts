/**
 * Finds which of a policy's names a DNS name is, or is below.
 *
 * It runs on the packet path, for questions and answers of DNS. A name has at most 127 labels, so it costs as many
 * lookups, whatever names the policy has. A lookup compares the bytes of a name whose hash is equal.
 */
import {
  FORM_BELOW,
  FORM_ITSELF,
  hashLabel,
  NAME_AT,
  NAME_FORM,
  NAME_HASH,
  NAME_PEER,
  NAME_TLS_PEER,
  NAME_WORDS,
  NO_LABEL_HASH,
  type CompiledNames,
} from './compiled-names.ts';

/** Labels of a name of 255 bytes. */
const LABELS_MAX = 127;

/** Whether a gate names any. */
export function hasNames(names: CompiledNames, gate: number): boolean {
  const { starts } = names;
  return gate >= 0 && gate + 1 < starts.length && starts[gate] < starts[gate + 1];
}

/** Whether a rule of the gate has this peer. An interface has at most 64 names. */
function namesPeer(names: CompiledNames, gate: number, peer: number): boolean {
  const { starts, gatePeers } = names;
  if (!hasNames(names, gate)) return false;
  for (let i = starts[gate]; i < starts[gate + 1]; i++) if (gatePeers[i] === peer) return true;
  return false;
}

/** Whether a rule of the gate has the name, whatever it requires. @param base where in `slots` the name begins */
export function isNamedAt(names: CompiledNames, gate: number, base: number): boolean {
  const { slots } = names;
  return (
    namesPeer(names, gate, slots[base + NAME_PEER]) ||
    namesPeer(names, gate, slots[base + NAME_TLS_PEER])
  );
}

export class NameMatcher {
  /** Where in `slots` the names begin that `find` has found: `count` of them. */
  readonly found = new Int32Array(LABELS_MAX + 1);
  count = 0;
  /** The hash of the name that `find` was called with. */
  hash = 0;
  private readonly labels = new Int32Array(LABELS_MAX + 1);

  /** @param bytes labels in lower case, each behind its length: `length` bytes, at most 254. @returns how many */
  find(names: CompiledNames, bytes: Uint8Array, length: number): number {
    const { labels } = this;
    let count = 0;
    for (let at = 0; at < length; at += 1 + bytes[at]) labels[count++] = at;
    this.count = 0;
    let hash = NO_LABEL_HASH;
    let end = length;
    for (let label = count - 1; label >= 0; label--) {
      const start = labels[label];
      hash = hashLabel(hash, bytes, start, end);
      end = start;
      this.look(names, label === 0 ? FORM_ITSELF : FORM_BELOW, hash, bytes, start, length);
    }
    this.hash = hash;
    return this.count;
  }

  /** Looks for one name: the bytes from `start` on. */
  private look(
    names: CompiledNames,
    kind: number,
    hash: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    const { slots, mask } = names;
    const form = kind | (end - start);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const base = NAME_WORDS * slot;
      if (slots[base + NAME_FORM] === 0) return;
      if (slots[base + NAME_HASH] !== hash || slots[base + NAME_FORM] !== form) continue;
      if (!isSame(names.bytes, slots[base + NAME_AT], bytes, start, end)) continue;
      this.found[this.count++] = base;
      return;
    }
  }
}

function isSame(
  own: Uint8Array,
  at: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  for (let i = start; i < end; i++) if (own[at + i - start] !== bytes[i]) return false;
  return true;
}
