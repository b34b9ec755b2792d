/**
 * Finds files that know where the fields of a flow entry are. Plain functions over source texts, so that tests can
 * try them.
 */
import ts from 'typescript';

/** Files that compute where an entry begins, and where its fields stand. */
const LAYOUT_FILES = ['entry.ts', 'table.ts', 'flow-key.ts', 'flow-record.ts'];

/** Files that move the state of one entry: they are told its place, and know the fields behind it. */
const STATE_FILES = [
  'track.ts',
  'tcp.ts',
  'tcp-end.ts',
  'tcp-handshake.ts',
  'tcp-sides.ts',
  'tcp-window.ts',
  'quotation.ts',
];

/** Offsets of fields of the state. */
const STATE_OFFSETS =
  /^(FLOW_(SEEN|STATE|RULE)|TCP_(OPENER|OTHER|SIDE_END|SIDE_MAX_END|SIDE_ACK|WINDOWS))$/;

/** Offsets of fields of the key, and masks of what words hold. */
const LAYOUT_NAMES =
  /^(KEY_(META|ASKS_LOCALLY|PORTS|ADDRESSES|WORDS_[46])|STATE_WORDS|ENTRY_LAYOUT|INCARNATION_(MASK|SHIFT)|RULE_(BITS|MASK)|GENERATION_MASK)$/;

/** Sizes of a table's entries (FlowTable). */
const SIZE_PROPERTIES = /^(stride|keyWords)$/;

/** A table of its own, whose keys have nothing to do with flows. */
const OTHER_TABLES = ['src/policy/word-table.ts'];

/** Uses of an entry's layout outside the files that may, with their line. */
export function entryBreaches(sources: ReadonlyMap<string, string>): string[] {
  return [...sources].flatMap(([path, text]) => {
    const name = path.replace(/^src\/conntrack\//, '');
    if (LAYOUT_FILES.includes(name) || OTHER_TABLES.includes(path)) return [];
    const isState = STATE_FILES.includes(name);
    return breachesIn(path, text, (word, isProperty) => {
      if (isProperty) return SIZE_PROPERTIES.test(word);
      return LAYOUT_NAMES.test(word) || (!isState && STATE_OFFSETS.test(word));
    });
  });
}

function breachesIn(
  path: string,
  text: string,
  isBreach: (word: string, isProperty: boolean) => boolean,
): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && isBreach(node.text, isProperty(node))) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
      found.push(`${path}:${line + 1}: ${node.text} is known to conntrack's entry files alone`);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Whether the identifier reads a property: `table.stride`, `{ stride } = table`. */
function isProperty(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  return ts.isBindingElement(parent) && (parent.propertyName ?? parent.name) === node;
}
