/** This file reads the `prefixLists` section. Source: Amazon VPC User Guide, "Customer-managed prefix lists". */
import { formatCidr, parseCidr, type Cidr, type Family } from '../addr/address.ts';
import { stableId } from '../policy/ids.ts';
import type { PrefixList } from '../policy/model.ts';
import {
  checkEntryFamily,
  checkPrefixListName,
  findRepeatedEntries,
} from '../policy/prefix-lists.ts';
import { get, type Entry, type Node } from '../source/yaml.ts';
import { readId } from './config-groups.ts';
import type { Directory } from './config-names.ts';
import { MAX_ENTRIES_LIMITS } from './limits.ts';
import {
  accept,
  fail,
  lineText,
  originOf,
  readEntries,
  readInteger,
  readItems,
  readText,
  report,
  take,
  type Reader,
} from './config-reader.ts';
import { readRuleDescription } from './config-rules.ts';

interface EntryAt {
  readonly cidr: Cidr;
  readonly description: string;
  readonly node: Node;
}

export function readPrefixLists(
  reader: Reader,
  section: Node | undefined,
  prefixLists: Directory,
): readonly PrefixList[] {
  return readEntries(reader, section).flatMap((entry) => {
    const list = readPrefixList(reader, entry);
    return prefixLists.add(reader, list, { at: entry.keyAt, path: entry.value.path }) ? [list] : [];
  });
}

function readPrefixList(reader: Reader, entry: Entry): PrefixList {
  const { value: node } = entry;
  const place = { at: entry.keyAt, path: node.path };
  const name = entry.key.trimEnd();
  accept(reader, place, 'bad-name', checkPrefixListName(name));
  const entriesNode = get(node, 'entries');
  const entries = readItems(reader, entriesNode).flatMap((item) => {
    const read = readEntry(reader, item);
    return read === undefined ? [] : [read];
  });
  const family = readFamily(reader, node, entriesNode, entries);
  const { length } = entries;
  const range = { ...MAX_ENTRIES_LIMITS, code: 'bad-max-entries', what: 'maxEntries' };
  const maxEntries = readInteger(reader, node, 'maxEntries', range);
  if (maxEntries !== undefined && length > maxEntries) {
    fail(
      reader,
      get(node, 'maxEntries')!,
      'too-many-entries',
      `the list has ${length} entries, more than its maxEntries ${maxEntries}`,
      `write maxEntries: ${length}, or remove entries`,
    );
  }
  return {
    id: readId(reader, entry, 'pl') ?? stableId('pl', name),
    name,
    family,
    maxEntries: maxEntries ?? Math.max(1, length),
    entries: entries.map(({ cidr, description }) => ({ cidr, description })),
    origin: originOf(place),
  };
}

function readEntry(reader: Reader, item: Node): EntryAt | undefined {
  const node = item.kind === 'mapping' ? get(item, 'cidr') : item;
  const text = readText(reader, node);
  const description =
    item.kind === 'mapping' ? readRuleDescription(reader, get(item, 'description')) : '';
  if (node === undefined || text === undefined) return undefined;
  const cidr = take(reader, node, 'bad-cidr', parseCidr(text, 'refuse'));
  return cidr === undefined ? undefined : { cidr, description, node };
}

function readFamily(
  reader: Reader,
  node: Node,
  entriesNode: Node | undefined,
  entries: readonly EntryAt[],
): Family {
  const familyNode = get(node, 'family');
  const given =
    familyNode?.kind === 'scalar' && (familyNode.value === 4 || familyNode.value === 6)
      ? familyNode.value
      : undefined;
  const family = given ?? entries[0]?.cidr.family;
  if (family === undefined) {
    // Unless the list is empty, an unreadable entry has been reported already.
    if (
      entriesNode?.kind === 'list' &&
      entriesNode.items.length === 0 &&
      familyNode === undefined
    ) {
      fail(
        reader,
        entriesNode,
        'missing-family',
        'a prefix list without entries needs a family',
        'write family: 4 or family: 6',
      );
    }
    return 4;
  }
  for (const { node: at, cidr } of entries)
    accept(reader, at, 'mixed-families', checkEntryFamily(cidr, family));
  for (const { entry, first } of findRepeatedEntries(entries)) {
    const where = lineText(first.node.at, entry.node.at);
    const message = `${formatCidr(entry.cidr)} is in the list already on ${where}`;
    report(reader, 'warning', entry.node, 'duplicate-entry', message, 'remove it; AWS refuses it');
  }
  return family;
}
