/**
 * This file turns a CloudFormation template into groups and prefix lists.
 *
 * Theory of operation. Text becomes a tree with positions (template-tree.ts), loops are expanded (for-each.ts), and
 * sections and resources are found (template.ts). Then the resources of the known kinds are read. They ask the
 * evaluator for each property that they need. Nothing else in the template is evaluated.
 *
 * Templates of one configuration may refer to each other in any order. So there are three passes, each over all
 * templates: `openTemplate` enters the exports, `surveyTemplate` finds the groups and prefix lists, and `buildTemplate`
 * reads the rules that name them.
 *
 * There are three severities. An error: the template can't be used. A warning: it works here, but AWS would refuse it
 * or act differently, or a rule was left out because only AWS could know what it says. A missing rule denies; nothing
 * that is unknown ever allows. A notice: resources of other kinds.
 */
import { resolve } from 'node:path';
import type { GroupId, PrefixList, PrefixListId, SecurityGroup } from '../policy/model.ts';
import type { Problem } from '../source/problem.ts';
import { get, type Mapping, type Node } from '../source/yaml.ts';
import type { Parsed } from '../addr/address.ts';
import { makeAccount, type Account } from './account.ts';
import { decideExistence } from './attributes.ts';
import { findEmptied } from './default-groups.ts';
import { warnOfCircles } from './dependencies.ts';
import { createScope } from './evaluator.ts';
import { ExportDirectory } from './exports.ts';
import { expandLoops } from './for-each.ts';
import { startGroups, type Draft } from './drafts.ts';
import { buildGroups, takesPart, type BuiltGroups } from './groups.ts';
import {
  isPlaceable,
  listInterfaces,
  placeResource,
  type ImpliedInterface,
} from './implied-interfaces.ts';
import {
  isPlacementKind,
  isRuleKind,
  KIND_ASSOCIATION,
  KIND_PREFIX_LIST,
  KIND_RESTRICT_DEFAULT,
  KIND_STACK,
} from './kinds.ts';
import { LANGUAGE_EXTENSIONS } from './macros.ts';
import { readNetworks, type Networks } from './networks.ts';
import { readParameters, type GivenValue } from './parameters.ts';
import { checkAssociation, type Placement, type PlacementWishes } from './placement.ts';
import { readPrefixList } from './prefix-lists.ts';
import { makeDirectory } from './references.ts';
import { report } from './reporting.ts';
import type { Inputs, NestedReader, PhysicalNames, Scope, Supplied } from './scope.ts';
import type { Resource } from './resources.ts';
import { parseTemplate, type TemplateTree } from './template-tree.ts';
import { readSections, readTemplate, type Sections, type Template } from './template.ts';
import { warnOfUnresolved } from './unresolved.ts';
import { abbreviate, type UnknownValue, type Value } from './values.ts';
import { findVpcs, type TemplateVpcs } from './vpcs.ts';

export type { OutsideRule } from './groups.ts';

export interface LoadedTemplate extends BuiltGroups {
  /** Groups from which a resource of this template removes AWS's own rules. */
  readonly emptied: ReadonlySet<GroupId>;
  readonly stackName: string;
  readonly groups: readonly SecurityGroup[];
  readonly prefixLists: readonly PrefixList[];
  /** The known outputs with an export name, which Fn::ImportValue of other templates may use. */
  readonly exports: ReadonlyMap<string, string>;
  readonly networks: Networks;
  readonly vpcs: TemplateVpcs;
  /** The logical ids of the resources that have network interfaces. */
  readonly placeable: readonly string[];
  /**
   * The groups and addresses of one of those. Refused if it does not exist. Problems with its properties are reported.
   */
  readonly place: (logicalId: string, wishes: PlacementWishes) => Parsed<Placement>;
  /** The same of all of them, without reporting problems. Must be asked last. */
  readonly listInterfaces: () => readonly ImpliedInterface[];
}

export interface TemplateOptions {
  /** The value of AWS::StackName. It becomes part of generated names and of every id. */
  readonly stackName: string;
  /** Where the stack is made. What is absent is as in AWS's examples. */
  readonly account?: Partial<Account>;
  /** Values of parameters by name. They replace defaults. */
  readonly parameters: ReadonlyMap<string, GivenValue | UnknownValue>;
  /** Values for several templates. Each uses those of its own parameters that `parameters` lacks. */
  readonly sharedParameters?: ReadonlyMap<string, GivenValue>;
  /**
   * Finds a group of the configuration or of another template by id or name, for a rule of the group `referrer`. Not
   * called before `buildTemplate`.
   */
  readonly resolveGroup: (reference: string, referrer?: GroupId) => GroupId | undefined;
  /** Finds a prefix list that the template does not define. */
  readonly resolvePrefixList?: (reference: string) => PrefixListId | undefined;
  /** The id of a VPC's default group, for `resolveGroup`: the value of `GetAtt VPC.DefaultSecurityGroup`. */
  readonly defaultGroupOf?: (vpcId: string) => GroupId;
  /** The default groups of all VPCs. Not called before `buildTemplate`. */
  readonly defaultGroups?: () => readonly GroupId[];
  /** The exports of all templates of the configuration. The template enters its own. */
  readonly exports?: ExportDirectory;
  /**
   * Values that only AWS knows. The hint of the warning names the key: `ssm:/path`, `import:Name`,
   * `getatt:Id.Attribute` or `ref:Id`.
   */
  readonly supplied?: ReadonlyMap<string, Supplied>;
  /** True if the caller adds `outsideRules` to their groups. Otherwise such a rule is an error. */
  readonly acceptsOutsideRules?: boolean;
  /** Reads nested stacks. Absent: they stay unknown. */
  readonly nested?: NestedReader;
  /** Files that will be uploaded, by the last part of their URL. They may be templates of nested stacks. */
  readonly assets?: ReadonlyMap<string, string>;
  /** For a nested stack, see Inputs. */
  readonly nestedPath?: string;
  readonly chain?: readonly string[];
  readonly askedKeys?: Set<string>;
  /** What a service that makes the stack has given to its resources. */
  readonly physical?: PhysicalNames;
  /** Recognises a file that is no template at all, before anything in it is read. */
  readonly recognize?: (root: Node) => Problem | undefined;
}

/** What is said about a stack outside its template: in a configuration, on a command line, in a cloud assembly. */
export interface StackSaid extends Required<
  Pick<TemplateOptions, 'stackName' | 'account' | 'parameters' | 'sharedParameters'>
> {
  readonly assets?: TemplateOptions['assets'] | undefined;
}

/** The options of one of several stacks that share exports, nested stacks and groups. */
export function stackOptions(
  { stackName, account, parameters, sharedParameters, assets }: StackSaid,
  shared: Pick<
    TemplateOptions,
    'exports' | 'nested' | 'resolveGroup' | 'resolvePrefixList' | 'defaultGroupOf' | 'defaultGroups'
  >,
): TemplateOptions {
  return {
    stackName,
    account,
    parameters,
    sharedParameters,
    ...(assets === undefined ? {} : { assets }),
    ...shared,
    acceptsOutsideRules: true,
  };
}

/** A template after the first pass: parameters have values, and exports are entered. */
export interface OpenTemplate {
  readonly scope: Scope;
  readonly options: TemplateOptions;
}

/** A template after the second pass: what it defines is known. */
export interface SurveyedTemplate extends OpenTemplate {
  /** Its groups, without their rules. */
  readonly groups: ReadonlyMap<GroupId, Draft>;
  readonly vpcs: TemplateVpcs;
  readonly prefixLists: readonly PrefixList[];
  /** The existing resources of the known kinds, in the order of the template. */
  readonly present: readonly Resource[];
  /** Groups, rules and prefix lists that may or may not exist, because their condition is unknown. */
  readonly uncertain: readonly Resource[];
}

/**
 * Reads a single template, YAML or JSON. Undefined only if there is nothing to read. Problems are added to `problems`
 * in any case.
 */
export function loadTemplateText(
  file: string,
  text: string,
  options: TemplateOptions,
  problems: Problem[],
): LoadedTemplate | undefined {
  const found: Problem[] = [];
  const exports = options.exports ?? new ExportDirectory();
  const open = openTemplate(file, text, { ...options, exports }, found);
  const loaded = open === undefined ? undefined : buildTemplate(surveyTemplate(open));
  exports.warnOfCircles();
  // In the order of the file, since the order of the passes means nothing to the reader.
  found.sort(
    (a, b) => (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.at?.column ?? 0) - (b.at?.column ?? 0),
  );
  for (const problem of found) problems.push(problem);
  return loaded;
}

/**
 * First pass. `file` is for the positions. Problems are added to `problems`, in later passes too.
 * @param source the text, or the tree parsed from it
 */
export function openTemplate(
  file: string,
  source: string | TemplateTree,
  options: TemplateOptions,
  problems: Problem[],
): OpenTemplate | undefined {
  const { root, problems: found } =
    typeof source === 'string' ? parseTemplate(file, source) : source;
  problems.push(...found);
  const stranger = root === undefined ? undefined : options.recognize?.(root);
  if (stranger !== undefined) problems.push(stranger);
  const sections =
    root === undefined || stranger !== undefined ? undefined : readSections(root, problems);
  if (sections === undefined) return undefined;
  const inputs: Inputs = {
    file,
    nestedPath: options.nestedPath,
    chain: [...(options.chain ?? []), resolve(file)],
    nested: options.nested,
    assets: options.assets,
    stackName: options.stackName,
    account: makeAccount(options.account ?? {}),
    physical: options.physical,
    exports: options.exports ?? new ExportDirectory(),
    defaultGroupOf: options.defaultGroupOf,
    defaultGroups: options.defaultGroups ?? (() => []),
    supplied: options.supplied,
    askedKeys: options.askedKeys ?? new Set(),
  };
  const shared = [...(options.sharedParameters ?? [])].filter(
    ([name]) => get(sections.parameters, name) !== undefined,
  );
  const given = new Map([...shared, ...options.parameters]);
  const parameters = readParameters(sections.parameters, given, inputs, problems);
  const expanded = expandSections(sections, parameters, inputs, problems);
  if (expanded === undefined) return undefined;
  const template = readTemplate(expanded, problems);
  const scope = createScope(template, parameters, inputs, problems);
  inputs.exports.add(scope);
  warnOfTransforms(sections, problems);
  tellPassedOver(template, problems);
  return { scope, options };
}

/** Expands the loops. Those of Conditions come first, since the others may depend on conditions. */
function expandSections(
  sections: Sections,
  parameters: ReadonlyMap<string, Value>,
  inputs: Inputs,
  problems: Problem[],
): Sections | undefined {
  const expand = (
    section: Mapping | undefined,
    before: Sections,
  ): { readonly section: Mapping | undefined } | undefined => {
    if (section === undefined) return { section };
    // This is read for collections only. Problems are reported when the loops have been expanded.
    const scope = createScope(readTemplate(before, []), parameters, inputs, problems);
    const isEnabled = sections.transforms.some(({ name }) => name === LANGUAGE_EXTENSIONS);
    const expanded = expandLoops(
      section,
      { evaluate: (node: Node) => scope.evaluate(node), isEnabled },
      problems,
    );
    return expanded === undefined ? undefined : { section: expanded };
  };
  const conditions = expand(sections.conditions, sections);
  if (conditions === undefined) return undefined;
  const decided = { ...sections, conditions: conditions.section };
  const resources = expand(sections.resources, decided);
  const outputs = expand(sections.outputs, decided);
  if (resources?.section === undefined || outputs === undefined) return undefined;
  return { ...decided, resources: resources.section, outputs: outputs.section };
}

function warnOfTransforms(sections: Sections, problems: Problem[]): void {
  for (const transform of sections.transforms) {
    if (transform.name === LANGUAGE_EXTENSIONS) continue;
    const message = `the transform '${abbreviate(transform.name)}' runs in AWS alone; resources are read as they are written`;
    const hint = 'groups and rules that the transform would make or change are not seen';
    report(problems, 'warning', 'transform', transform, message, hint);
  }
}

function tellPassedOver(template: Template, problems: Problem[]): void {
  const counts = new Map<string, number>();
  let first: Resource | undefined;
  for (const resource of template.resources.values()) {
    if (isRuleKind(resource.type) || isPlacementKind(resource.type) || isPlaceable(resource))
      continue;
    if (resource.type === KIND_STACK || resource.type === KIND_RESTRICT_DEFAULT) continue;
    counts.set(resource.type, (counts.get(resource.type) ?? 0) + 1);
    first ??= resource;
  }
  if (first === undefined) return;
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...counts].map(([kind, count]) => `${count} ${abbreviate(kind)}`).join(', ');
  const message = `${total} ${total === 1 ? 'resource makes' : 'resources make'} no security group rules and ${total === 1 ? 'is' : 'are'} passed over: ${kinds}`;
  report(problems, 'notice', 'passed-over', { at: first.at, path: 'Resources' }, message);
}

/** Warns of nested stacks that are not read. */
function tellUnread(scope: Scope): void {
  for (const resource of scope.template.resources.values()) {
    if (resource.type !== KIND_STACK) continue;
    const why = scope.inputs.nested?.whyUnread(scope, resource);
    if (why === undefined && scope.inputs.nested !== undefined) continue;
    const reason = why === undefined ? 'it is a template of its own' : why.reason;
    const message = `what the stack '${resource.logicalId}' defines is not read: ${reason}`;
    const hint = why?.hint ?? 'name that template in the configuration too, if its groups matter';
    report(scope.problems, 'notice', 'nested-stack', resource, message, hint);
  }
}

/** Second pass, after all templates are open. */
export function surveyTemplate(open: OpenTemplate): SurveyedTemplate {
  const { scope } = open;
  const known = [...scope.template.resources.values()].filter(
    ({ type }) => isRuleKind(type) || isPlacementKind(type),
  );
  const present: Resource[] = [];
  const uncertain: Resource[] = [];
  for (const resource of known) {
    if (isPlacementKind(resource.type)) {
      const truth = decideExistence(scope, resource);
      if (truth.kind === 'truth' && truth.value) present.push(resource);
      continue;
    }
    const part = takesPart(scope, resource);
    if (part === true) present.push(resource);
    if (part === 'unknown') uncertain.push(resource);
  }
  const prefixLists = present.flatMap((resource) => {
    const list = resource.type === KIND_PREFIX_LIST ? readPrefixList(scope, resource) : undefined;
    return list ?? [];
  });
  const groups = startGroups(scope, present);
  const vpcs = findVpcs(scope, groups, present);
  return { ...open, groups, vpcs, prefixLists, present, uncertain };
}

/** Third pass, after `resolveGroup` and `resolvePrefixList` know what all templates define. */
export function buildTemplate(surveyed: SurveyedTemplate): LoadedTemplate {
  const { scope, options, present, uncertain } = surveyed;
  const directory = makeDirectory(scope, present, {
    resolveGroup: options.resolveGroup,
    resolvePrefixList: options.resolvePrefixList ?? (() => undefined),
  });
  warnOfCircles(
    scope,
    present.filter(({ type }) => isRuleKind(type)),
  );
  tellUnread(scope);
  const acceptsOutsideRules = options.acceptsOutsideRules ?? false;
  const built = buildGroups(scope, directory, surveyed.groups, present, {
    acceptsOutsideRules,
    uncertain,
  });
  for (const resource of present) {
    if (resource.type === KIND_ASSOCIATION) checkAssociation(scope, directory, resource);
  }
  warnOfUnresolved(scope);
  return {
    ...built,
    emptied: findEmptied(scope, directory),
    stackName: options.stackName,
    prefixLists: surveyed.prefixLists,
    exports: scope.inputs.exports.readAll(scope),
    networks: readNetworks(scope, present),
    vpcs: surveyed.vpcs,
    placeable: [...scope.template.resources.values()]
      .filter(isPlaceable)
      .map(({ logicalId }) => logicalId),
    place: (logicalId, wishes) => placeResource(scope, directory, logicalId, wishes),
    listInterfaces: () => listInterfaces(scope, directory),
  };
}
