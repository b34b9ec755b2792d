/** The `securityGroups` section, in two passes: first what groups there are, then their rules, which may name any of them. */
import { DEFAULT_GROUP_DESCRIPTION } from '../../policy/default-group.ts';
import { isId, stableId, type IdPrefix } from '../../policy/ids.ts';
import type { Direction, Origin, Revocation, SecurityGroup } from '../../policy/model.ts';
import { openGroup, type Said } from '../../policy/openness.ts';
import {
  checkGroupDescription,
  checkGroupName,
  DEFAULT_GROUP_NAME,
  explainText,
} from '../../policy/texts.ts';
import { get, type Entry, type Node } from '../../source/yaml.ts';
import type { Directory } from './config-names.ts';
import { fail, originOf, readEntries, readText, type Reader } from './config-reader.ts';
import { readRules, type RuleContext } from './config-rules.ts';

const REVOCATIONS: readonly Revocation[] = ['aws', 'recheck', 'cut'];

export interface GroupHead {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly origin: Origin;
  readonly node: Node;
}

/** The groups without their rules. A group with a bad name still gets its rules read, for their mistakes. */
export function readGroupHeads(
  reader: Reader,
  section: Node | undefined,
  groups: Directory,
): readonly GroupHead[] {
  return readEntries(reader, section).map((entry) => {
    const { value: node } = entry;
    const place = { at: entry.keyAt, path: node.path };
    const name = entry.key.trimEnd();
    // Only the very key 'default' replaces the VPC's own group.
    const wrongName = entry.key === DEFAULT_GROUP_NAME ? undefined : checkGroupName(entry.key);
    if (wrongName !== undefined) fail(reader, place, 'bad-name', wrongName, nameHint(name));
    const description =
      readText(reader, get(node, 'description')) ??
      (name === DEFAULT_GROUP_NAME ? DEFAULT_GROUP_DESCRIPTION : '');
    const wrongDescription = checkGroupDescription(description);
    if (wrongDescription !== undefined)
      fail(
        reader,
        get(node, 'description')!,
        'bad-description',
        wrongDescription,
        explainText(description),
      );
    const id = readId(reader, entry, 'sg') ?? stableId('sg', name);
    const head = { id, name, description, origin: originOf(place), node };
    groups.add(reader, head, place);
    return head;
  });
}

function nameHint(name: string): string | undefined {
  if (name.startsWith('sg-'))
    return `to give the group an id of AWS, write id: ${name} under a name of its own`;
  if (name.toLowerCase() === DEFAULT_GROUP_NAME)
    return `to replace the VPC's default group, write ${DEFAULT_GROUP_NAME}`;
  return explainText(name);
}

/** A group with its rules. Without the key, a direction has what AWS gives such a group when it is made. */
export function readGroup(context: RuleContext, head: GroupHead): SecurityGroup {
  const { id, name, description, origin, node } = head;
  const revocation = readRevocation(context.reader, node);
  const said = (direction: Direction): Said => {
    const list = get(node, direction);
    // Whatever was not understood in a list of the configuration is an error, so nothing of it comes into force.
    if (list === undefined) return { rules: [], isStated: false, gaps: [] };
    return { rules: readRules(context, list, direction, id), isStated: true, gaps: [] };
  };
  return openGroup(
    { id, name, description, origin, ...(revocation === undefined ? {} : { revocation }) },
    { ingress: said('ingress'), egress: said('egress') },
  );
}

/** The key `revocation` of a group or of the whole file; undefined if it is not there (or is wrong, which the schema tells). */
export function readRevocation(reader: Reader, node: Node | undefined): Revocation | undefined {
  const text = readText(reader, get(node, 'revocation'));
  return REVOCATIONS.find((word) => word === text);
}

/** A given `id`, checked; undefined if there is none. */
export function readId(reader: Reader, entry: Entry, prefix: IdPrefix): string | undefined {
  const node = get(entry.value, 'id');
  const text = readText(reader, node);
  if (text === undefined || isId(prefix, text)) return text;
  return fail(
    reader,
    node!,
    'bad-id',
    `Invalid id: "${text}" (expecting "${prefix}-...")`,
    `an id is ${prefix}- and 17 (or 8) lower-case hexadecimal digits`,
  );
}
