/**
 * This file reads the `securityGroups` section in two passes. The first finds the groups. The second reads their rules,
 * which may name any group.
 */
import { makeAuditAll } from '../policy/audit.ts';
import { DEFAULT_GROUP_DESCRIPTION } from '../policy/default-group.ts';
import { isId, type IdPrefix } from '../policy/ids.ts';
import type {
  Direction,
  Origin,
  Revocation,
  Rule,
  SecurityGroup,
  VpcRef,
} from '../policy/model.ts';
import { malformedIdText } from '../policy/permissions.ts';
import { openGroup, type Said } from '../policy/openness.ts';
import {
  checkGroupDescription,
  checkGroupName,
  DEFAULT_GROUP_NAME,
  explainText,
} from '../policy/texts.ts';
import { ownGroupId } from '../policy/vpcs.ts';
import { get, type Entry, type Node } from '../source/yaml.ts';
import type { Directory } from './config-names.ts';
import {
  accept,
  fail,
  originOf,
  readBoolean,
  readEntries,
  readText,
  type Reader,
} from './config-reader.ts';
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

/** An entry of the section, with the name and VPC that its key and `vpc` give. */
export interface PlacedGroup {
  readonly entry: Entry;
  readonly name: string;
  readonly vpc: KnownVpc;
}

/** Finds the VPC of each group. */
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
    // The problem has been reported. The group is still read, to report its other mistakes.
    return { entry, name, vpc: vpc ?? vpcs.all[0] };
  });
}

/**
 * Reads the groups without their rules. A group with a bad name is kept, so that the mistakes in its rules are
 * reported.
 */
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
    // Only the exact key 'default' replaces the VPC's default group.
    const wrongName = written === DEFAULT_GROUP_NAME ? undefined : checkGroupName(written);
    if (wrongName !== undefined) fail(reader, place, 'bad-name', wrongName.message, nameHint(name));
    const description =
      readText(reader, get(node, 'description')) ??
      (name === DEFAULT_GROUP_NAME ? DEFAULT_GROUP_DESCRIPTION : '');
    const descriptionAt = get(node, 'description') ?? place;
    accept(reader, descriptionAt, 'bad-description', checkGroupDescription(description));
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

/** Adds the rules to a group. A direction whose key is absent gets AWS's default rules. */
export function readGroup(context: RuleContext, head: GroupHead): SecurityGroup {
  const { node, ...group } = head;
  const { id } = group;
  const revocation = readRevocation(context.reader, node);
  const audited: Rule[] = [];
  const said = (direction: Direction): Said => {
    const list = get(node, direction);
    // Anything in the list that can't be read is an error, so the configuration does not come into force.
    if (list === undefined) return { rules: [], isStated: false, gaps: [] };
    const written = readRules(context, list, direction, id);
    audited.push(...written.audited);
    return { rules: written.rules, isStated: true, gaps: [] };
  };
  const opened = openGroup(
    { ...group, ...(revocation === undefined ? {} : { revocation }) },
    { ingress: said('ingress'), egress: said('egress') },
  );
  if (readBoolean(context.reader, node, 'audit', false))
    audited.push(...makeAuditAll(id, group.origin));
  return audited.length === 0 ? opened : { ...opened, audited };
}

/**
 * Reads the key `revocation` of a group or of the file. Undefined if it is absent or wrong; the schema reports the
 * latter.
 */
export function readRevocation(reader: Reader, node: Node | undefined): Revocation | undefined {
  const text = readText(reader, get(node, 'revocation'));
  return REVOCATIONS.find((word) => word === text);
}

/** Reads and checks `id`. Undefined if it is absent or wrong. */
export function readId(reader: Reader, entry: Entry, prefix: IdPrefix): string | undefined {
  const node = get(entry.value, 'id');
  const text = readText(reader, node);
  if (text === undefined || isId(prefix, text)) return text;
  return fail(
    reader,
    node!,
    'bad-id',
    malformedIdText(prefix, text),
    `an id is ${prefix}- and 17 (or 8) lower-case hexadecimal digits`,
  );
}
