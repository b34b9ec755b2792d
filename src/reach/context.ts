/** Holds what the readers of a file of expectations share. */
import type { Family } from '../addr/address.ts';
import { readOneOrMore, readText, take, type Reader } from '../config/config-reader.ts';
import type { Node } from '../source/yaml.ts';
import type { EndFinder, Target } from './ends.ts';
import type { Expander } from './expand.ts';

export interface Context {
  readonly reader: Reader;
  readonly ends: EndFinder;
  readonly expander: Expander;
}

/** Reads the names of a list, or a single name, without repeats. */
export function readTargets(context: Context, node: Node | undefined): readonly Target[] {
  const targets = new Map<string, Target>();
  for (const item of node === undefined ? [] : readOneOrMore(node)) {
    const label = readText(context.reader, item);
    if (label === undefined) continue;
    const target = take(context.reader, item, 'unknown-end', context.ends.find(label));
    if (target !== undefined) targets.set(label, target);
  }
  return [...targets.values()];
}

/** Reads an address family. Undefined if absent, or if the schema refuses it. */
export function readFamily(node: Node | undefined): Family | undefined {
  const value = node?.kind === 'scalar' ? node.value : undefined;
  return value === 4 || value === 6 ? value : undefined;
}
