/**
 * Templates by themselves, as `sgctl check` and `sgctl rules` are given them.
 *
 * They may belong together: what one exports, another imports, and a rule of one may be for a group of another, in any
 * order. They need not: several may export the same name, or have a group of the same name, as copies for stages do.
 */
import { basename, extname } from 'node:path';
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
  type SurveyedTemplate,
} from '../cloudformation/load-template.ts';
import type { GivenValue } from '../cloudformation/parameters.ts';
import { AWS_QUOTAS, checkQuotas } from '../control/config/config-quotas.ts';
import { addOutsideRules } from '../control/config/config-templates.ts';
import { lintModel } from '../control/lint/lint.ts';
import { isId } from '../policy/ids.ts';
import type { GroupId, PolicyModel, Rule, SecurityGroup } from '../policy/model.ts';
import { hasErrors, type Problem } from '../source/problem.ts';

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

export interface GivenTemplate {
  readonly file: string;
  readonly text: string;
}

export interface TemplateRead {
  /** Undefined if there are errors. */
  readonly model: PolicyModel | undefined;
  /** Groups that it adds rules to and no template given defines, with these rules alone. */
  readonly outside: readonly SecurityGroup[];
  readonly problems: readonly Problem[];
}

interface Opened {
  readonly file: string;
  readonly problems: Problem[];
  readonly open: OpenTemplate | undefined;
}

export interface TemplatesRead {
  /** By file. */
  readonly files: ReadonlyMap<string, TemplateRead>;
  /** Names of given parameters that none of the templates has. */
  readonly strangers: readonly string[];
}

export function readTemplateFiles(
  given: readonly GivenTemplate[],
  settings: TemplateSettings,
): TemplatesRead {
  const known = new Set<GroupId>();
  const exports: ExportDirectory[] = [];
  const opened = given.map((template): Opened => {
    const own = new ExportDirectory(exports);
    exports.push(own);
    const problems: Problem[] = [];
    return { file: template.file, problems, open: open(template, settings, own, known, problems) };
  });
  const surveyed = opened.flatMap(({ file, problems, open }) => {
    const survey = open === undefined ? undefined : surveyTemplate(open);
    for (const id of survey?.groups.keys() ?? []) known.add(id);
    return survey === undefined ? [] : [{ file, problems, survey }];
  });
  const built = surveyed.map((one) => ({ ...one, loaded: buildTemplate(one.survey) }));
  for (const directory of exports) directory.warnOfCircles();
  const files = new Map<string, TemplateRead>(
    opened.map(({ file, problems }) => [file, { model: undefined, outside: [], problems }]),
  );
  const good = built.filter(({ problems }) => !hasErrors(problems));
  for (const one of good) files.set(one.file, finish(one, good, known));
  const names = new Set(opened.flatMap(({ open }) => [...(open?.scope.parameters.keys() ?? [])]));
  return { files, strangers: [...settings.parameters.keys()].filter((name) => !names.has(name)) };
}

function open(
  { file, text }: GivenTemplate,
  { stackName, account, parameters }: TemplateSettings,
  exports: ExportDirectory,
  known: ReadonlySet<GroupId>,
  problems: Problem[],
): OpenTemplate | undefined {
  const bytes = Buffer.byteLength(text);
  if (bytes > TEMPLATE_BYTES_MAX) {
    problems.push({
      severity: 'error',
      code: 'file-too-large',
      at: { file, line: 0, column: 0 },
      path: '',
      message: `the file has ${bytes} bytes; of a template at most ${TEMPLATE_BYTES_MAX} are read`,
      hint: 'AWS takes no larger one either: split it',
    });
    return undefined;
  }
  const at = { file, line: 0, column: 0 };
  const options = {
    stackName: stackName ?? basename(file, extname(file)),
    account,
    parameters: new Map(),
    sharedParameters: new Map(
      [...parameters].map(([name, value]): [string, GivenValue] => [
        name,
        { text: value, at, path: `--parameter ${name}` },
      ]),
    ),
    // An id that looks right may well exist in AWS.
    resolveGroup: (reference: string) =>
      known.has(reference) || isId('sg', reference) ? reference : undefined,
    resolvePrefixList: (reference: string) => (isId('pl', reference) ? reference : undefined),
    exports,
    acceptsOutsideRules: true,
  };
  return openTemplate(file, text, options, problems);
}

interface Built {
  readonly file: string;
  readonly problems: Problem[];
  readonly survey: SurveyedTemplate;
  readonly loaded: LoadedTemplate;
}

/** The model of one template, with what the others do to its groups; and what of it is too much, or surely not meant. */
function finish(
  { loaded, problems }: Built,
  all: readonly Built[],
  known: ReadonlySet<GroupId>,
): TemplateRead {
  const others = all.map((one) => one.loaded).filter((one) => one !== loaded);
  const groups = addOutsideRules(loaded.groups, {
    rules: others.flatMap(({ outsideRules }) => outsideRules),
    egress: new Set(others.flatMap(({ outsideEgress }) => [...outsideEgress])),
    emptied: new Set([loaded, ...others].flatMap(({ emptied }) => [...emptied])),
  });
  const model: PolicyModel = {
    groups: new Map(groups.map((group) => [group.id, group])),
    prefixLists: new Map(loaded.prefixLists.map((list) => [list.id, list])),
    interfaces: new Map(),
  };
  const outside = loaded.outsideRules.filter(({ groupId }) => !known.has(groupId));
  const found = [...problems, ...checkQuotas(model, AWS_QUOTAS), ...lintModel(model)];
  return { model, outside: outsideGroups(outside), problems: found };
}

/** Groups of which nothing is known but their ids and what is added to them. */
function outsideGroups(added: readonly OutsideRule[]): readonly SecurityGroup[] {
  const byGroup = new Map<GroupId, Rule[]>();
  for (const { groupId, rule } of added) {
    const rules = byGroup.get(groupId) ?? [];
    byGroup.set(groupId, rules);
    rules.push(rule);
  }
  return [...byGroup].map(([id, rules]) => ({
    id,
    name: id,
    description: '',
    origin: rules[0].origin,
    ingress: rules.filter(({ direction }) => direction === 'ingress'),
    egress: rules.filter(({ direction }) => direction === 'egress'),
  }));
}
