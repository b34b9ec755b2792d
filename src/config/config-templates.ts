/**
 * This file reads the `templates` section. Templates may refer to each other and to the groups of the file, and the
 * file to theirs, in any order.
 */
import { refuse, type Parsed } from '../addr/address.ts';
import { ExportDirectory } from '../cloudformation/exports.ts';
import {
  buildTemplate,
  openTemplate,
  stackOptions,
  surveyTemplate,
  type LoadedTemplate,
  type OpenTemplate,
  type OutsideRule,
  type SurveyedTemplate,
  type TemplateOptions,
} from '../cloudformation/load-template.ts';
import { NestedStacks } from '../cloudformation/nested-stacks.ts';
import type { Networks } from '../cloudformation/networks.ts';
import type { Placement, PlacementWishes } from '../cloudformation/placement.ts';
import type { Direction, GroupId, PrefixList, Rule, SecurityGroup } from '../policy/model.ts';
import { addToGroup } from '../policy/openness.ts';
import { TEMPLATE_BYTES_MAX } from '../cloudformation/template-tree.ts';
import { nameVpcs } from '../cloudformation/vpcs.ts';
import { defaultGroupIdOf } from '../policy/vpcs.ts';
import { didYouMean, listWords } from '../source/suggest.ts';
import { readText, type Node } from '../source/yaml.ts';
import type { Directory } from './config-names.ts';
import { fail, lineText, placeOf, readItems, report, type Reader } from './config-reader.ts';
import { foreignText, foreignTree, isTemplate } from './foreign-input.ts';
import {
  readTemplateItem,
  refuseUnusedParameters,
  warnOfUnusedValues,
  type TemplateItem,
} from './config-template-item.ts';
import type { KnownVpc, VpcDirectory } from './config-vpc-directory.ts';

/** More would take too long: a template may take a second to read. AWS's quota is 2000 stacks an account. */
const TEMPLATES_MAX = 500;

export interface TemplateParts {
  readonly groups: readonly SecurityGroup[];
  readonly prefixLists: readonly PrefixList[];
  readonly outside: OutsideParts;
  readonly networks: readonly Networks[];
  /** Finds groups and addresses of `STACK/LOGICAL-ID`, a resource with network interfaces. */
  readonly place: (reference: string, wishes: PlacementWishes) => Parsed<Placement>;
  /** The templates and parameters files, with those that could not be read. */
  readonly files: readonly string[];
}

/** What templates change in groups that they do not define. */
export interface OutsideParts {
  readonly rules: readonly OutsideRule[];
  /** Groups that get an egress rule, or may get one. */
  readonly egress: ReadonlySet<GroupId>;
  /** Groups whose default rules a resource removes. */
  readonly emptied: ReadonlySet<GroupId>;
  /** Why something unseen may add rules to groups. */
  readonly gaps: readonly ReadonlyMap<GroupId, readonly string[]>[];
}

interface TemplateContext {
  readonly reader: Reader;
  readonly configFile: string;
  readonly groups: Directory;
  readonly prefixLists: Directory;
  readonly vpcs: VpcDirectory;
}

/** The templates and what they define, before the rest of the configuration is known. */
export interface SurveyedTemplates {
  /** Nested templates are included. */
  readonly surveyed: readonly PlacedItem[];
  readonly opened: readonly OpenItem[];
  readonly exports: ExportDirectory;
  readonly nested: NestedStacks;
  readonly items: readonly TemplateItem[];
}

/** A template and its item. The item of a nested template is that of the outermost one. */
interface OpenItem {
  readonly item: TemplateItem;
  readonly open: OpenTemplate;
}

interface SurveyedItem {
  readonly item: TemplateItem;
  readonly survey: SurveyedTemplate;
}

interface PlacedItem extends SurveyedItem {
  /** The VPC of each group. */
  readonly homes: ReadonlyMap<GroupId, KnownVpc>;
}

/** Reads the templates and adds their VPCs to `vpcs`. The directories are not used yet. */
export function surveyTemplates(
  context: TemplateContext,
  section: Node | undefined,
): SurveyedTemplates {
  const { reader, configFile, vpcs } = context;
  const nodes = readItems(reader, section);
  if (nodes.length > TEMPLATES_MAX) {
    const message = `there are ${nodes.length} templates; at most ${TEMPLATES_MAX} are read`;
    fail(reader, nodes[TEMPLATES_MAX], 'template-limit', message, 'split the configuration');
  }
  const items = nodes
    .slice(0, TEMPLATES_MAX)
    .flatMap((node) => readTemplateItem(reader, configFile, node));
  const exports = new ExportDirectory();
  const nested = new NestedStacks();
  const stacks = items.filter(({ isEmpty }) => !isEmpty);
  if (stacks.length > TEMPLATES_MAX) {
    const message = `there are ${stacks.length} stacks; at most ${TEMPLATES_MAX} are read`;
    fail(reader, stacks[TEMPLATES_MAX].node, 'template-limit', message, 'split the configuration');
    stacks.length = TEMPLATES_MAX;
  }
  const opened = withoutSameStacks(reader, stacks).flatMap((item) => {
    const open = openItem(context, item, exports, nested);
    if (open !== undefined) nested.enter(open);
    return open === undefined ? [] : [{ item, open }];
  });
  const followAll = (): readonly OpenItem[] =>
    opened.flatMap(({ item, open }) =>
      [open, ...nested.follow(open)].map((one) => ({ item, open: one })),
    );
  exports.awaitMore(() => followAll().map(({ open }) => open));
  const surveyed = followAll().map(({ item, open }) => ({ item, survey: surveyTemplate(open) }));
  vpcs.addTemplates(
    nameVpcs(
      surveyed.map(({ survey }) => ({ stackName: survey.options.stackName, vpcs: survey.vpcs })),
    ),
  );
  const placed = surveyed.map(({ item, survey }) => {
    const ids = [...survey.groups.keys()];
    const homes = new Map(ids.map((id) => [id, homeOf(context, item, survey, id)]));
    return { item, survey, homes };
  });
  return { surveyed: placed, opened, exports, nested, items };
}

/**
 * Adds what the templates define to the directories, which already hold the names of the file. Then reads the rules.
 */
export function buildTemplates(
  context: TemplateContext,
  { surveyed, opened, exports, nested, items }: SurveyedTemplates,
): TemplateParts {
  const loaded = buildAll(context, surveyed);
  exports.warnOfCircles();
  tellUnused(context.reader, opened);
  return {
    groups: loaded.flatMap(({ groups }) => groups),
    prefixLists: loaded.flatMap(({ prefixLists }) => prefixLists),
    outside: outsidePartsOf(loaded),
    networks: loaded.map(({ networks }) => networks),
    place: (reference, wishes) => placeReference(loaded, reference, wishes),
    files: [
      ...items.flatMap(({ file, isEmpty, otherFiles }) =>
        isEmpty ? otherFiles : [file, ...otherFiles],
      ),
      ...nested.files,
    ],
  };
}

/** Reports values that no template used, of each item: of a single template, or of all stacks of a cloud assembly. */
function tellUnused(reader: Reader, opened: readonly OpenItem[]): void {
  for (const node of new Set(opened.map(({ item }) => item.node))) {
    const here = opened.filter(({ item }) => item.node === node);
    const [{ item }] = here;
    const asked = new Set(here.flatMap(({ open }) => [...open.scope.inputs.askedKeys]));
    warnOfUnusedValues(reader, item, asked);
    const known = new Set(here.flatMap(({ open }) => [...open.scope.parameters.keys()]));
    refuseUnusedParameters(reader, item, known);
  }
}

/** Keeps the first template of each stack name. The others are errors. */
function withoutSameStacks(reader: Reader, items: readonly TemplateItem[]): TemplateItem[] {
  const stacks = new Map<string, Node>();
  return items.filter(({ stackName, stackNameNode, node }) => {
    const first = stacks.get(stackName);
    if (first === undefined) {
      stacks.set(stackName, node);
      return true;
    }
    const message = `the stack name '${stackName}' is taken by the template on ${lineText(first.at, node.at)}`;
    const hint = 'give one of the two another stackName';
    fail(reader, stackNameNode ?? node, 'duplicate-stack', message, hint);
    return false;
  });
}

function openItem(
  { reader, groups, prefixLists, vpcs }: TemplateContext,
  item: TemplateItem,
  exports: ExportDirectory,
  nested: NestedStacks,
): OpenTemplate | undefined {
  const { problems } = reader;
  const before = problems.length;
  const finder = (directory: Directory) => (reference: string, referrer?: string) => {
    const found = directory.resolve(reference, directory.vpcOf(referrer));
    return found.ok ? found.value : undefined;
  };
  const stack = stackOptions(item, {
    resolveGroup: finder(groups),
    resolvePrefixList: finder(prefixLists),
    defaultGroupOf: defaultGroupIdOf,
    defaultGroups: () => vpcs.all.flatMap(({ id }) => finder(groups)(defaultGroupIdOf(id)) ?? []),
    exports,
    nested,
  });
  const options: TemplateOptions = {
    ...stack,
    supplied: new Map([...item.supplied].map(([key, { value }]) => [key, value])),
    recognize: (root: Node) =>
      isTemplate(root, '') ? undefined : foreignTree(root.at.file, root, 'template'),
  };
  const text = readText(item.file, problems, TEMPLATE_BYTES_MAX);
  const foreign = text === undefined ? undefined : foreignText(item.file, text, 'template');
  if (foreign !== undefined) {
    problems.push(foreign);
    return undefined;
  }
  const open = text === undefined ? undefined : openTemplate(item.file, text, options, problems);
  if (open === undefined && !problems.slice(before).some(({ severity }) => severity === 'error')) {
    const message = `the template '${item.name}' could not be read`;
    fail(reader, item.fileNode, 'template', message);
  }
  return open;
}

/** Adds all names first, then reads the rules, which may use any of them. */
function buildAll(context: TemplateContext, placed: readonly PlacedItem[]): LoadedTemplate[] {
  const { reader, groups, prefixLists, vpcs } = context;
  const entered = placed.map(({ survey, homes }) => {
    const { stackName } = survey.options;
    const added = new Set<GroupId>();
    for (const group of survey.groups.values()) {
      const vpc = homes.get(group.id)!;
      const home = { stackName, vpcId: vpc.id, vpc: vpcs.refOf(vpc) };
      if (groups.add(reader, group, placeOf(group.origin), home)) added.add(group.id);
    }
    const lists = survey.prefixLists.filter((list) =>
      prefixLists.add(reader, list, placeOf(list.origin), { stackName }),
    );
    return { survey: { ...survey, prefixLists: lists }, homes, added };
  });
  return entered.map(({ survey, homes, added }) => {
    const loaded = buildTemplate(survey);
    const own = loaded.groups.filter(({ id }) => added.has(id));
    return { ...loaded, groups: own.map((group) => putInto(vpcs, group, homes.get(group.id)!)) };
  });
}

function putInto(vpcs: VpcDirectory, group: SecurityGroup, vpc: KnownVpc): SecurityGroup {
  const ref = vpcs.refOf(vpc);
  return ref === undefined ? group : { ...group, vpc: ref };
}

/** The VPC of a group: that of its VpcId, else the one that the configuration gives the template. */
function homeOf(
  { reader, vpcs }: TemplateContext,
  { vpcNode, node }: TemplateItem,
  survey: SurveyedTemplate,
  groupId: GroupId,
): KnownVpc {
  const said = survey.vpcs.ofGroups.get(groupId);
  const known = typeof said === 'string' ? vpcs.find(said) : undefined;
  if (known !== undefined) return known;
  const { logicalId } = survey.groups.get(groupId)!.resource;
  const vpc =
    vpcs.read(reader, vpcNode) ?? (vpcNode === undefined ? vpcs.takeFallback() : undefined);
  if (vpc === undefined) {
    const what = `the security group '${logicalId}' of the template`;
    if (vpcNode === undefined)
      vpcs.failMissing(reader, node, what, 'vpc: NAME beside the file of the template');
    return vpcs.all[0];
  }
  if (typeof said === 'object' && vpcNode === undefined && vpcs.isSeveral) {
    const message = `VpcId of '${logicalId}' can't be known here: ${said.reason}; the group is taken to be in the VPC '${vpc.name}'`;
    const hint = `${said.hint}; or say it in the configuration, as vpc: NAME beside the file of the template`;
    report(reader, 'warning', said, 'unknown-value', message, hint);
  }
  return vpc;
}

function placeReference(
  loaded: readonly LoadedTemplate[],
  reference: string,
  wishes: PlacementWishes,
): Parsed<Placement> {
  const all = loaded.flatMap(({ stackName, placeable }) =>
    placeable.map((logicalId) => ({ stackName, logicalId, text: `${stackName}/${logicalId}` })),
  );
  const found = all.filter(({ text, logicalId }) => text === reference || logicalId === reference);
  if (found.length > 1) {
    const hint = `write one of ${listWords(found.map(({ text }) => text))}`;
    return refuse(`'${reference}' could be any of ${found.length} resources`, hint);
  }
  if (found.length === 1) {
    const [{ stackName, logicalId }] = found;
    return loaded.find((stack) => stack.stackName === stackName)!.place(logicalId, wishes);
  }
  const names = all.map(({ text }) => text);
  const message = `no template has a resource with network interfaces '${reference}'${didYouMean(reference, names)}`;
  const hint = names.length === 0 ? 'write STACK/LOGICAL-ID' : `there are ${listWords(names)}`;
  return refuse(message, hint);
}

/** What several templates together change in groups that they do not define. */
export function outsidePartsOf(loaded: readonly LoadedTemplate[]): OutsideParts {
  return {
    rules: loaded.flatMap(({ outsideRules }) => outsideRules),
    egress: new Set(loaded.flatMap(({ outsideEgress }) => [...outsideEgress])),
    emptied: new Set(loaded.flatMap(({ emptied }) => [...emptied])),
    gaps: loaded.map(({ outsideGaps }) => outsideGaps),
  };
}

/** The rules by group, in the order of their first rules. */
export function rulesByGroup(outside: readonly OutsideRule[]): Map<GroupId, Rule[]> {
  const rules = new Map<GroupId, Rule[]>();
  for (const { groupId, rule } of outside) {
    const known = rules.get(groupId);
    if (known === undefined) rules.set(groupId, [rule]);
    else known.push(rule);
  }
  return rules;
}

/** Applies to `groups` what templates say about groups that they do not define. */
export function addOutsideRules(
  groups: readonly SecurityGroup[],
  { rules: outside, egress, emptied, gaps }: OutsideParts,
): readonly SecurityGroup[] {
  const rules = rulesByGroup(outside);
  const unseen = gapsByGroup(gaps);
  return groups.map((group) => {
    const stated = new Set<Direction>();
    if (egress.has(group.id) || emptied.has(group.id)) stated.add('egress');
    if (emptied.has(group.id)) stated.add('ingress');
    const said = { rules: rules.get(group.id) ?? [], stated, gaps: unseen.get(group.id) ?? [] };
    return said.rules.length === 0 && stated.size === 0 && said.gaps.length === 0
      ? group
      : addToGroup(group, said);
  });
}

/** The clauses of all templates by group. Asking 100 templates for each of 25,000 groups would take a second. */
function gapsByGroup(gaps: OutsideParts['gaps']): Map<GroupId, string[]> {
  const found = new Map<GroupId, string[]>();
  for (const one of gaps)
    for (const [id, clauses] of one) found.set(id, [...(found.get(id) ?? []), ...clauses]);
  return found;
}
