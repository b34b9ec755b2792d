/**
 * Reads templates by themselves, and cloud assemblies, for `sgctl check` and `sgctl rules`.
 *
 * They may belong together: one exports what another imports, or has a rule for a group of another, in any order.
 * They may also be unrelated: several may export the same name or have groups of the same name, as copies for stages
 * do.
 */
import { basename, extname, resolve } from 'node:path';
import {
  readCloudAssembly,
  uniqueNames,
  type AssemblyStack,
} from '../cloudformation/cloud-assembly.ts';
import type { Account } from '../cloudformation/account.ts';
import { ExportDirectory } from '../cloudformation/exports.ts';
import {
  buildTemplate,
  openTemplate,
  stackOptions,
  surveyTemplate,
  type LoadedTemplate,
  type OpenTemplate,
  type OutsideRule,
  type TemplateOptions,
} from '../cloudformation/load-template.ts';
import { KIND_STACK } from '../cloudformation/kinds.ts';
import { NestedStacks } from '../cloudformation/nested-stacks.ts';
import type { GivenValue } from '../cloudformation/parameters.ts';
import { TEMPLATE_BYTES_MAX, type TemplateTree } from '../cloudformation/template-tree.ts';
import { nameVpcs } from '../cloudformation/vpcs.ts';
import { AWS_QUOTAS, checkQuotas } from '../config/config-quotas.ts';
import { addOutsideRules, outsidePartsOf, rulesByGroup } from '../config/config-templates.ts';
import { lintModel } from '../lint/lint.ts';
import { isId } from '../policy/ids.ts';
import type { GroupId, PolicyModel, SecurityGroup } from '../policy/model.ts';
import { findForeignReferences, foreignReferenceText } from '../policy/vpcs.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import { readText } from '../source/yaml.ts';
import { listTemplateInterfaces, type PlacedInterface } from './template-interfaces.ts';

/** The command line's settings for templates. */
export interface TemplateSettings {
  /** Name of the stack, if there is only one template; undefined: the file's name without its extension. */
  readonly stackName: string | undefined;
  readonly account: Partial<Account>;
  /** By name. Each template takes those that it has. */
  readonly parameters: ReadonlyMap<string, string>;
}

export const NO_SETTINGS: TemplateSettings = {
  stackName: undefined,
  account: {},
  parameters: new Map(),
};

/** A template, or a folder that is a cloud assembly. */
export interface GivenTemplate {
  readonly file: string;
  /** Undefined for a folder. */
  readonly text: string | undefined;
  /** The parsed text, if somebody has parsed it already. A template of 1 MB takes half a second. */
  readonly tree?: TemplateTree | undefined;
}

export interface TemplateRead {
  /** Undefined if there are errors. */
  readonly model: PolicyModel | undefined;
  /** Groups that it adds rules to and that no given template defines, with only these rules. */
  readonly outside: readonly SecurityGroup[];
  readonly problems: readonly Problem[];
  /** It is nested in another given template, whose model includes it. */
  readonly isNested: boolean;
}

/** A template with all that is nested in it. */
interface Unit {
  readonly file: string;
  readonly problems: Problem[];
  readonly opened: readonly OpenTemplate[];
}

export interface TemplatesRead {
  /** By file. */
  readonly files: ReadonlyMap<string, TemplateRead>;
  /** By file: what the templates without errors offer to `from` of an interface. */
  readonly interfaces: ReadonlyMap<string, readonly PlacedInterface[]>;
  /** Names of given parameters that no template has. */
  readonly strangers: readonly string[];
}

export function readTemplateFiles(
  given: readonly GivenTemplate[],
  settings: TemplateSettings,
): TemplatesRead {
  const nestedFiles = findNestedFiles(given, settings);
  const [inner, outer] = [true, false].map((isNested) =>
    given.filter(({ file }) => nestedFiles.has(resolve(file)) === isNested),
  );
  const known = new Set<GroupId>();
  const exports: ExportDirectory[] = [];
  const starts = outer.map((template) => startUnit(template, settings, exports, known));
  const units = starts.map((start): Unit => ({ ...start, opened: start.followAll() }));
  const surveyed = units.map((unit) => ({ ...unit, surveys: unit.opened.map(surveyTemplate) }));
  for (const { surveys } of surveyed)
    for (const { groups } of surveys) for (const id of groups.keys()) known.add(id);
  const built = putIntoVpcs(
    surveyed.map((unit) => ({ ...unit, loaded: unit.surveys.map(buildTemplate) })),
  );
  for (const directory of exports) directory.warnOfCircles();
  const good = built.filter(({ problems, loaded }) => loaded.length > 0 && !hasErrors(problems));
  const files = new Map<string, TemplateRead>(
    units.map(({ file, problems }) => [
      file,
      { model: undefined, outside: [], problems, isNested: false },
    ]),
  );
  for (const unit of good) files.set(unit.file, finish(unit, good, known));
  for (const { file } of inner) files.set(file, readInner(file, [...files.values()]));
  const scopes = units.flatMap(({ opened }) => opened.map(({ scope }) => scope));
  const names = new Set(scopes.flatMap(({ parameters }) => [...parameters.keys()]));
  return {
    files,
    interfaces: listTemplateInterfaces(good),
    strangers: [...settings.parameters.keys()].filter((name) => !names.has(name)),
  };
}

/** Finds the files that are nested stacks of other given templates. They are no stacks of their own. */
function findNestedFiles(
  given: readonly GivenTemplate[],
  settings: TemplateSettings,
): ReadonlySet<string> {
  const found = given
    .filter(({ text }) => text?.includes(KIND_STACK) === true)
    .map((template) => {
      const { nested, followAll } = startUnit(template, settings, [], new Set());
      followAll();
      return nested.files;
    });
  return new Set(found.flatMap((files) => [...files]));
}

interface Start {
  readonly file: string;
  readonly problems: Problem[];
  readonly nested: NestedStacks;
  /** Follows nested stacks. Returns the template and all templates nested in it. */
  readonly followAll: () => readonly OpenTemplate[];
}

function startUnit(
  template: GivenTemplate,
  settings: TemplateSettings,
  peers: ExportDirectory[],
  known: ReadonlySet<GroupId>,
): Start {
  const exports = new ExportDirectory(peers);
  peers.push(exports);
  const problems: Problem[] = [];
  const nested = new NestedStacks();
  const shared = { exports, nested };
  const opened = readStacks(template, settings, problems).flatMap((stack) => {
    const open = openStack(stack, settings, shared, known, problems);
    if (open !== undefined) nested.enter(open);
    return open ?? [];
  });
  const followAll = (): readonly OpenTemplate[] =>
    opened.flatMap((open) => [open, ...nested.follow(open)]);
  exports.awaitMore(followAll);
  return { file: template.file, problems, nested, followAll };
}

type Stack = Omit<AssemblyStack, 'artifactId' | 'where' | 'assets'> & {
  readonly text: string;
  readonly tree?: TemplateTree | undefined;
  readonly assets?: ReadonlyMap<string, string>;
};

/** Reads the one stack of a template, or all stacks of a cloud assembly. */
function readStacks(
  { file, text, tree }: GivenTemplate,
  { stackName, account }: TemplateSettings,
  problems: Problem[],
): readonly Stack[] {
  if (text !== undefined) {
    const name = stackName ?? basename(file, extname(file));
    return [{ file, text, tree, stackName: name, account, parameters: new Map() }];
  }
  const { stacks } = readCloudAssembly(file, problems);
  return uniqueNames(stacks, problems).flatMap((stack) => {
    const found = readText(stack.file, problems, TEMPLATE_BYTES_MAX);
    const merged = { ...stack, account: { ...account, ...stack.account } };
    return found === undefined ? [] : [{ ...merged, text: found }];
  });
}

function openStack(
  { file, text, tree, stackName, account, parameters, assets }: Stack,
  settings: TemplateSettings,
  shared: Pick<TemplateOptions, 'exports' | 'nested'>,
  known: ReadonlySet<GroupId>,
  problems: Problem[],
): OpenTemplate | undefined {
  const bytes = Buffer.byteLength(text);
  const at = { file, line: 0, column: 0 };
  if (bytes > TEMPLATE_BYTES_MAX) {
    problems.push({
      severity: 'error',
      code: 'file-too-large',
      at,
      path: '',
      message: `the file has ${bytes} bytes; of a template at most ${TEMPLATE_BYTES_MAX} are read`,
      hint: 'AWS takes no larger one either: split it',
    });
    return undefined;
  }
  const given = [...settings.parameters].map(([name, value]): [string, GivenValue] => [
    name,
    { text: value, at, path: `--parameter ${name}` },
  ]);
  const said = { stackName, account, parameters, sharedParameters: new Map(given), assets };
  const options = stackOptions(said, {
    // An id in the right form may well exist in AWS.
    resolveGroup: (reference: string) =>
      known.has(reference) || isId('sg', reference) ? reference : undefined,
    resolvePrefixList: (reference: string) => (isId('pl', reference) ? reference : undefined),
    ...shared,
  });
  return openTemplate(file, tree ?? text, options, problems);
}

interface Built extends Unit {
  readonly loaded: readonly LoadedTemplate[];
}

/**
 * Assigns groups to their VPCs if there are several, and refuses rules that name a group of another VPC. Groups whose
 * VPC is not known are left alone.
 */
function putIntoVpcs(built: readonly Built[]): readonly Built[] {
  const names = nameVpcs(built.flatMap(({ loaded }) => loaded));
  if (names.size < 2) return built;
  const put = (template: LoadedTemplate): LoadedTemplate => {
    const groups = template.groups.map((group) => {
      const id = template.vpcs.ofGroups.get(group.id);
      const name = typeof id === 'string' ? names.get(id)?.name : undefined;
      return typeof id !== 'string' || name === undefined ? group : { ...group, vpc: { id, name } };
    });
    return { ...template, groups };
  };
  const placed = built.map((unit) => ({ ...unit, loaded: unit.loaded.map(put) }));
  const known = placed
    .flatMap((unit) =>
      unit.loaded.flatMap(({ groups }) => groups.map((group) => ({ unit, group }))),
    )
    .filter(({ group }) => group.vpc !== undefined);
  const foreign = findForeignReferences(new Map(known.map(({ group }) => [group.id, group])));
  for (const { rule, ...reference } of foreign) {
    const { file, line, column, path } = rule.origin;
    const at = { file, line, column };
    known
      .find(({ group }) => group === reference.group)
      ?.unit.problems.push({
        severity: 'error',
        code: 'other-vpc',
        at,
        path,
        ...foreignReferenceText(reference),
      });
  }
  // Within one VPC no name is needed: mostly, several files have nothing to do with each other.
  return built.map((unit, i) => (nameVpcs(unit.loaded).size < 2 ? unit : placed[i]));
}

/** Makes the model of a unit, with the rules that the others add to its groups. Adds problems of quotas and lint. */
function finish(
  { loaded, problems }: Built,
  all: readonly Built[],
  known: ReadonlySet<GroupId>,
): TemplateRead {
  const groups = addOutsideRules(
    loaded.flatMap((one) => one.groups),
    outsidePartsOf(all.flatMap((one) => one.loaded)),
  );
  const lists = loaded.flatMap(({ prefixLists }) => prefixLists);
  const model: PolicyModel = {
    groups: new Map(groups.map((group) => [group.id, group])),
    prefixLists: new Map(lists.map((list) => [list.id, list])),
    interfaces: new Map(),
  };
  const outside = loaded
    .flatMap((one) => one.outsideRules)
    .filter(({ groupId }) => !known.has(groupId));
  const found = [...problems, ...checkQuotas(model, AWS_QUOTAS), ...lintModel(model)];
  return { model, outside: outsideGroups(outside), problems: found, isNested: false };
}

/** The part of the outer templates' result that comes from a nested template. */
function readInner(file: string, all: readonly TemplateRead[]): TemplateRead {
  const isHere = (origin: { readonly file: string } | undefined): boolean =>
    origin !== undefined && resolve(origin.file) === resolve(file);
  const problems = all.flatMap((one) => one.problems.filter(({ at }) => isHere(at)));
  const groups = all.flatMap(({ model }) =>
    [...(model?.groups.values() ?? [])].filter(({ origin }) => isHere(origin)),
  );
  const model: PolicyModel = {
    groups: new Map(groups.map((group) => [group.id, group])),
    prefixLists: new Map(),
    interfaces: new Map(),
  };
  return { model: hasErrors(problems) ? undefined : model, outside: [], problems, isNested: true };
}

/** Makes groups of which only the ids and the added rules are known. */
function outsideGroups(added: readonly OutsideRule[]): readonly SecurityGroup[] {
  return [...rulesByGroup(added)].map(([id, rules]) => ({
    id,
    name: id,
    description: '',
    origin: rules[0].origin,
    ingress: rules.filter(({ direction }) => direction === 'ingress'),
    egress: rules.filter(({ direction }) => direction === 'egress'),
  }));
}
