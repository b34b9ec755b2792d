/** The `securityGroups` section, in two passes: first what groups there are, then their rules, which may name any of them. */
import { DEFAULT_GROUP_DESCRIPTION } from '../../policy/default-group.ts';
import { isId, type IdPrefix } from '../../policy/ids.ts';
import type { Direction, Origin, Revocation, SecurityGroup, VpcRef } from '../../policy/model.ts';
import { openGroup, type Said } from '../../policy/openness.ts';
import {
  checkGroupDescription,
  checkGroupName,
  DEFAULT_GROUP_NAME,
  explainText,
} from '../../policy/texts.ts';
import { ownGroupId } from '../../policy/vpcs.ts';
import { get, type Entry, type Node } from '../../source/yaml.ts';
import type { Directory } from './config-names.ts';
import { fail, originOf, readEntries, readText, type Reader } from './config-reader.ts';
import { readRules, type RuleContext } from './config-rules.ts';
import type { KnownVpc, VpcDirectory } from './config-vpc-directory.ts';

const REVOCATIONS: readonly Revocation[] = ['aws', 'recheck', 'cut'];

export interface GroupHead {
  readonly id: string;
  readonly name: string;
  readonly vpc?: VpcRef;
  readonly description: string;
  readonly origin: Origin;
  readonly node: Node;
}

/** An entry of the section, with the VPC and the name that its key and `vpc` say. */
export interface PlacedGroup {
  readonly entry: Entry;
  readonly name: string;
  readonly vpc: KnownVpc;
}

/** Which VPC each group belongs to. */
export function placeGroups(
  reader: Reader,
  section: Node | undefined,
  vpcs: VpcDirectory,
): readonly PlacedGroup[] {
  return readEntries(reader, section).map((entry) => {
    const place = { at: entry.keyAt, path: entry.value.path };
    const { vpc: inKey, name } = vpcs.split(entry.key);
    const node = get(entry.value, 'vpc');
    const given = vpcs.read(reader, node);
    if (given !== undefined && inKey !== undefined && given.id !== inKey.id) {
      const message = `the key says that '${name}' is in the VPC '${inKey.name}', and 'vpc' says '${given.name}'`;
      fail(reader, node!, 'other-vpc', message, 'remove one of the two');
    }
    const vpc = given ?? inKey ?? (node === undefined ? vpcs.takeFallback() : undefined);
    if (vpc === undefined && node === undefined)
      vpcs.failMissing(reader, place, `the security group '${name}'`);
    // Something has been reported, and the group is read for its own mistakes.
    return { entry, name, vpc: vpc ?? vpcs.all[0] };
  });
}

/** The groups without their rules. A group with a bad name still gets its rules read, for their mistakes. */
export function readGroupHeads(
  reader: Reader,
  placed: readonly PlacedGroup[],
  groups: Directory,
  vpcs: VpcDirectory,
): readonly GroupHead[] {
  return placed.map(({ entry, name: written, vpc }) => {
    const { value: node } = entry;
    const place = { at: entry.keyAt, path: node.path };
    const name = written.trimEnd();
    // Only the very key 'default' replaces the VPC's own group.
    const wrongName = written === DEFAULT_GROUP_NAME ? undefined : checkGroupName(written);
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
    const ref = vpcs.refOf(vpc);
    const id = readId(reader, entry, 'sg') ?? ownGroupId(name, ref);
    const origin = originOf(place);
    const head = {
      id,
      name,
      description,
      origin,
      node,
      ...(ref === undefined ? {} : { vpc: ref }),
    };
    groups.add(reader, head, place, { vpcId: vpc.id, vpc: ref });
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
  const { node, ...group } = head;
  const { id } = group;
  const revocation = readRevocation(context.reader, node);
  const said = (direction: Direction): Said => {
    const list = get(node, direction);
    // Whatever was not understood in a list of the configuration is an error, so nothing of it comes into force.
    if (list === undefined) return { rules: [], isStated: false, gaps: [] };
    return { rules: readRules(context, list, direction, id), isStated: true, gaps: [] };
  };
  return openGroup(
    { ...group, ...(revocation === undefined ? {} : { revocation }) },
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
