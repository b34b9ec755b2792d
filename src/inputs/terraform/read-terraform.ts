/** Reads a plan or a state of Terraform into a draft of the model, and says what the plan changes. */
import { isObject, objectOf, own } from '../../source/json-values.ts';
import type { Problem } from '../../source/problem.ts';
import { ModelDraft } from '../draft.ts';
import type { JsonFile } from '../read-json.ts';
import { enterGroup, readInlineRules, readRule, readVpcRule } from './groups.ts';
import { readPriorWorld, readWorld, type TerraformWorld } from './instances.ts';
import type { Action, Instance } from './resource.ts';
import { readAttachment, readInstance, readNetworkInterface, readOther } from './interfaces.ts';
import { readList, readListEntry, readSubnet, readVpc } from './networks.ts';
import { isPulumi } from './pulumi.ts';
import { Reading } from './reading.ts';
import { FILTER_TYPES, readSubnetFilters } from './subnet-filters.ts';

/** A resource that a plan changes. */
export interface PlannedChange {
  readonly action: Action;
  readonly address: string;
  readonly type: string;
}

export interface TerraformRead {
  readonly draft: ModelDraft;
  readonly kind: 'plan' | 'state';
  readonly changes: readonly PlannedChange[];
}

type Reader = (reading: Reading, one: Instance) => void;

/** In the order of reading: what is named comes before what names it. */
const PASSES: readonly ReadonlyMap<string, Reader>[] = [
  new Map([
    ['aws_vpc', readVpc],
    ['aws_default_vpc', readVpc],
  ]),
  new Map([
    ['aws_subnet', readSubnet],
    ['aws_default_subnet', readSubnet],
    ['aws_ec2_managed_prefix_list', readList],
    ['aws_prefix_list', readList],
  ]),
  new Map([
    ['aws_security_group', enterGroup],
    ['aws_default_security_group', enterGroup],
  ]),
  new Map([
    ['aws_ec2_managed_prefix_list_entry', readListEntry],
    ['aws_security_group', readInlineRules],
    ['aws_default_security_group', readInlineRules],
  ]),
  new Map([
    ['aws_security_group_rule', readRule],
    ['aws_vpc_security_group_ingress_rule', readVpcRule],
    ['aws_vpc_security_group_egress_rule', readVpcRule],
    ['aws_network_interface', readNetworkInterface],
    ['aws_instance', readInstance],
  ]),
  new Map([['aws_network_interface_sg_attachment', readAttachment]]),
];
/** They decide beside groups whether a packet arrives. */
const NOT_JUDGED = /^aws_(?:vpc_peering_connection|networkfirewall_\w+)$/;
const KNOWN = new Set([...PASSES.flatMap((pass) => [...pass.keys()]), ...FILTER_TYPES]);

/** @param isPrior read what a plan starts from, in place of what it makes */
export function readTerraform(json: JsonFile, problems: Problem[], isPrior = false): TerraformRead {
  const root = objectOf(json.value);
  const world = isPrior ? readPriorWorld(root) : readWorld(root);
  const draft = new ModelDraft(world.kind === 'plan' ? 'the plan' : 'the state');
  const reading = new Reading(draft, world, json);
  for (const pass of PASSES) for (const one of world.instances) pass.get(one.type)?.(reading, one);
  for (const one of world.instances) if (!KNOWN.has(one.type)) readOther(reading, one);
  readSubnetFilters(reading);
  tellGaps(draft, world, json, problems);
  const changes = world.changes
    .filter(({ type }) => KNOWN.has(type) || NOT_JUDGED.test(type))
    .map(({ action, address, type }) => ({ action, address, type }));
  return { draft, kind: world.kind, changes };
}

/** Whether it is a plan: what it makes, with what it starts from. */
export function isPlan(value: unknown): boolean {
  return isObject(own(value, 'planned_values'));
}

/** Whether the JSON is a plan or a state. */
export function isTerraform(value: unknown): boolean {
  if (!isObject(value)) return false;
  if (isObject(own(value, 'planned_values')) || own(value, 'resource_changes') !== undefined)
    return true;
  if (isPulumi(value)) return true;
  const hasVersion = own(value, 'terraform_version') !== undefined;
  return (
    hasVersion || (own(value, 'format_version') !== undefined && isObject(own(value, 'values')))
  );
}

function tellGaps(
  draft: ModelDraft,
  { gaps, instances }: TerraformWorld,
  { file }: JsonFile,
  problems: Problem[],
): void {
  const place = { at: { file, line: 1, column: 1 }, path: '' };
  for (const why of gaps) {
    const message = `${draft.what} does not say everything: ${why}`;
    const hint =
      'what is missing is taken as not known: verdicts that depend on it are not decidable';
    problems.push({ severity: 'warning', code: 'incomplete-plan', ...place, message, hint });
    for (const group of draft.groups.values())
      for (const direction of ['ingress', 'egress'] as const) group.gaps[direction].push(why);
    for (const one of draft.interfaces.values()) one.gaps.push(why);
  }
  const others = instances.filter(({ type }) => NOT_JUDGED.test(type));
  if (others.length === 0) return;
  const types = [...new Set(others.map(({ type }) => type))].sort().join(', ');
  const message = `not all that AWS asks is judged: ${types} are passed over`;
  const hint = 'what a firewall refuses, or no peering leads to, may be told as allowed';
  problems.push({ severity: 'notice', code: 'passed-over', ...place, message, hint });
}
