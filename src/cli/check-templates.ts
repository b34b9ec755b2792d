/**
 * Templates by themselves, and cloud assemblies, as `sgctl check` and `sgctl rules` are given them.
 *
 * They may belong together: what one exports, another imports, and a rule of one may be for a group of another, in any
 * order. They need not: several may export the same name, or have a group of the same name, as copies for stages do.
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
  surveyTemplate,
  TEMPLATE_BYTES_MAX,
  type LoadedTemplate,
  type OpenTemplate,
  type OutsideRule,
  type TemplateOptions,
} from '../cloudformation/load-template.ts';
import { KIND_STACK } from '../cloudformation/kinds.ts';
import { NestedStacks } from '../cloudformation/nested-stacks.ts';
import type { GivenValue } from '../cloudformation/parameters.ts';
import { nameVpcs } from '../cloudformation/vpcs.ts';
import { AWS_QUOTAS, checkQuotas } from '../control/config/config-quotas.ts';
import {
  addOutsideRules,
  outsidePartsOf,
  rulesByGroup,
} from '../control/config/config-templates.ts';
import { lintModel } from '../control/lint/lint.ts';
import { isId } from '../policy/ids.ts';
import type { GroupId, PolicyModel, SecurityGroup } from '../policy/model.ts';
import { findForeignReferences, foreignReferenceText } from '../policy/vpcs.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import { readText } from '../source/yaml.ts';
import { listTemplateInterfaces, type TemplateInterface } from './template-interfaces.ts';

/** What the command line says of templates. */
export interface TemplateSettings {
  /** Of the only template; undefined: the file's name without its extension. */
  readonly stackName: string | undefined;
  readonly account: Partial<Account>;
  /** By name; each template takes those it has. */
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
  /** Undefined: a folder. */
  readonly text: string | undefined;
}

export interface TemplateRead {
  /** Undefined if there are errors. */
  readonly model: PolicyModel | undefined;
  /** Groups that it adds rules to and no template given defines, with these rules alone. */
  readonly outside: readonly SecurityGroup[];
  readonly problems: readonly Problem[];
  /** It is nested in another one that is given, whose model has what it makes. */
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
  /** What the templates without errors have for `from` of an interface, by file. */
  readonly interfaces: ReadonlyMap<string, readonly TemplateInterface[]>;
  /** Names of given parameters that none of the templates has. */
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

/** The files that are templates of nested stacks in others that are given: these are no stacks of their own. */
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
  /** The template and all that is nested in it. */
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
  readonly assets?: ReadonlyMap<string, string>;
};

/** The one stack of a template, or all of a cloud assembly, as far as they can be read. */
function readStacks(
  { file, text }: GivenTemplate,
  { stackName, account }: TemplateSettings,
  problems: Problem[],
): readonly Stack[] {
  if (text !== undefined) {
    const name = stackName ?? basename(file, extname(file));
    return [{ file, text, stackName: name, account, parameters: new Map() }];
  }
  const { stacks } = readCloudAssembly(file, problems);
  return uniqueNames(stacks, problems).flatMap((stack) => {
    const found = readText(stack.file, problems, TEMPLATE_BYTES_MAX);
    const merged = { ...stack, account: { ...account, ...stack.account } };
    return found === undefined ? [] : [{ ...merged, text: found }];
  });
}

function openStack(
  { file, text, stackName, account, parameters, assets }: Stack,
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
  const options = {
    stackName,
    account,
    parameters,
    sharedParameters: new Map(
      [...settings.parameters].map(([name, value]): [string, GivenValue] => [
        name,
        { text: value, at, path: `--parameter ${name}` },
      ]),
    ),
    ...(assets === undefined ? {} : { assets }),
    // An id that looks right may well exist in AWS.
    resolveGroup: (reference: string) =>
      known.has(reference) || isId('sg', reference) ? reference : undefined,
    resolvePrefixList: (reference: string) => (isId('pl', reference) ? reference : undefined),
    ...shared,
    acceptsOutsideRules: true,
  };
  return openTemplate(file, text, options, problems);
}

interface Built extends Unit {
  readonly loaded: readonly LoadedTemplate[];
}

/** Tells the groups of several VPCs apart, and refuses rules that name a group of another. What is not known is passed over. */
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
  // What is in one VPC needs no name of it: most often files have nothing to do with each other.
  return built.map((unit, i) => (nameVpcs(unit.loaded).size < 2 ? unit : placed[i]));
}

/** The model of a unit, with what the others do to its groups; and what of it is too much, or surely not meant. */
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

/** What the templates around it made of a nested one. */
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

/** Groups of which nothing is known but their ids and what is added to them. */
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
