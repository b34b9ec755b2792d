/**
 * Reads what `sgctl check` is given: configurations, each with the templates it names, and templates
 * by themselves; and puts what is wrong with them in one order, nothing twice.
 */
import { basename, extname, isAbsolute, relative, resolve, sep } from 'node:path';
import {
  loadTemplateText,
  TEMPLATE_BYTES_MAX,
  type OutsideRule,
} from '../cloudformation/load-template.ts';
import { AWS_QUOTAS, checkQuotas } from '../control/config/config-quotas.ts';
import { lint, lintModel } from '../control/lint/lint.ts';
import { foreignText, isTemplate } from '../control/config/foreign-input.ts';
import { buildConfig } from '../control/config/load-config.ts';
import { isId } from '../policy/ids.ts';
import type { GroupId, PolicyModel, Rule, SecurityGroup } from '../policy/model.ts';
import { hasErrors, type Position, type Problem } from '../source/problem.ts';
import { DOCUMENT_BYTES_MAX, parseDocument, readText } from '../source/yaml.ts';
import { countSeverities } from './check-text.ts';

export interface CheckedFile {
  /** As it was named. */
  readonly file: string;
  readonly kind: 'configuration' | 'template';
  /** Whether it has no errors. */
  readonly ok: boolean;
  readonly counts: {
    readonly interfaces: number;
    readonly groups: number;
    readonly rules: number;
    /** Groups that may say more than was understood. */
    readonly groupsNotUnderstood: number;
    readonly errors: number;
    readonly warnings: number;
    readonly notices: number;
  };
}

export interface Checked {
  readonly files: readonly CheckedFile[];
  /** Of all files: sorted by file, in the order they were named, by line and by column; each once. */
  readonly problems: readonly Problem[];
  /** What each file comes to, by its name, as far as it has no errors; with groups that it adds rules to and does not define. */
  readonly models: ReadonlyMap<string, PolicyModel>;
}

export interface CheckOptions {
  readonly netnsDirectory: string;
  /** Paths under it are shown as seen from here. */
  readonly cwd: string;
}

export function checkFiles(files: readonly string[], options: CheckOptions): Checked {
  const unique = [...new Map(files.map((file) => [resolve(options.cwd, file), file])).values()];
  const shown = new Map(unique.map((file) => [resolve(options.cwd, file), file]));
  const all: Problem[] = [];
  const models = new Map<string, PolicyModel>();
  const checked = unique.map((file) => {
    const { kind, model, outside, problems } = checkFile(file, options.netnsDirectory);
    if (model !== undefined) {
      const strangers = (outside ?? []).map((group) => [group.id, group] as const);
      models.set(file, { ...model, groups: new Map([...model.groups, ...strangers]) });
    }
    const told = withoutRepeats(problems.map((problem) => showPaths(problem, shown, options.cwd)));
    all.push(...told);
    return summarize(file, kind, model, told);
  });
  return { files: checked, problems: sortByPlace(withoutRepeats(all), unique), models };
}

interface Read {
  readonly kind: CheckedFile['kind'];
  readonly model: PolicyModel | undefined;
  /** Groups that a template adds rules to and does not define, with these rules alone. */
  readonly outside?: readonly SecurityGroup[];
  readonly problems: readonly Problem[];
}

function checkFile(file: string, netnsDirectory: string): Read {
  const problems: Problem[] = [];
  const text = readText(file, problems, DOCUMENT_BYTES_MAX);
  if (text === undefined) return { kind: 'configuration', model: undefined, problems };
  const foreign = foreignText(file, text, 'configuration');
  if (foreign !== undefined)
    return { kind: 'configuration', model: undefined, problems: [foreign] };
  const root = parseDocument(file, text, problems);
  if (isTemplate(root, text)) return checkTemplate(file, text);
  if (root === undefined) return { kind: 'configuration', model: undefined, problems };
  const loaded = buildConfig(file, root, { netnsDirectory });
  problems.push(...loaded.problems);
  const config = hasErrors(problems) ? undefined : loaded.config;
  if (config !== undefined) problems.push(...lint(config));
  return { kind: 'configuration', model: config?.model, problems };
}

function checkTemplate(file: string, text: string): Read {
  const problems: Problem[] = [];
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
    return { kind: 'template', model: undefined, problems };
  }
  const loaded = loadTemplateText(
    file,
    text,
    {
      stackName: basename(file, extname(file)),
      parameters: new Map(),
      // Nobody is looked up here: an id that looks right may well exist in AWS.
      resolveGroup: (reference) => (isId('sg', reference) ? reference : undefined),
      resolvePrefixList: (reference) => (isId('pl', reference) ? reference : undefined),
      acceptsOutsideRules: true,
    },
    problems,
  );
  if (loaded === undefined || hasErrors(problems))
    return { kind: 'template', model: undefined, problems };
  const model: PolicyModel = {
    groups: new Map(loaded.groups.map((group) => [group.id, group])),
    prefixLists: new Map(loaded.prefixLists.map((list) => [list.id, list])),
    interfaces: new Map(),
  };
  problems.push(...checkQuotas(model, AWS_QUOTAS), ...lintModel(model));
  return { kind: 'template', model, outside: outsideGroups(loaded.outsideRules), problems };
}

/** A group of which nothing is known but its id and what is added to it. */
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

function summarize(
  file: string,
  kind: CheckedFile['kind'],
  model: PolicyModel | undefined,
  problems: readonly Problem[],
): CheckedFile {
  const groups = [...(model?.groups.values() ?? [])];
  const { error, warning, notice } = countSeverities(problems);
  return {
    file,
    kind,
    ok: error === 0,
    counts: {
      interfaces: model?.interfaces.size ?? 0,
      groups: groups.length,
      rules: groups.reduce((sum, { ingress, egress }) => sum + ingress.length + egress.length, 0),
      groupsNotUnderstood: groups.filter(({ gaps }) => gaps !== undefined).length,
      errors: error,
      warnings: warning,
      notices: notice,
    },
  };
}

/** Paths as the caller named them, or as seen from `cwd`: a configuration's templates come with absolute ones. */
function showPaths(problem: Problem, shown: ReadonlyMap<string, string>, cwd: string): Problem {
  const shorten = (text: string): string => text.replaceAll(cwd + sep, '');
  const { at, message, hint } = problem;
  return {
    ...problem,
    at: at === undefined ? undefined : { ...at, file: showPath(at.file, shown, cwd) },
    message: shorten(message),
    ...(hint === undefined ? {} : { hint: shorten(hint) }),
  };
}

function showPath(file: string, shown: ReadonlyMap<string, string>, cwd: string): string {
  const named = shown.get(resolve(cwd, file));
  if (named !== undefined) return named;
  const path = isAbsolute(file) ? relative(cwd, file) : file;
  return path === '..' || path.startsWith(`..${sep}`) ? file : path;
}

function withoutRepeats(problems: readonly Problem[]): readonly Problem[] {
  const keyOf = ({ at, severity, code, message }: Problem): string =>
    JSON.stringify([at?.file, at?.line, at?.column, severity, code, message]);
  return [...new Map(problems.map((problem) => [keyOf(problem), problem])).values()];
}

function sortByPlace(problems: readonly Problem[], files: readonly string[]): readonly Problem[] {
  const found = problems.flatMap(({ at }) => at?.file ?? []);
  const order = [...new Set([...files, ...found])];
  const ranks = new Map(order.map((file, rank) => [file, rank]));
  const rankOf = (at: Position | undefined): number =>
    at === undefined ? -1 : ranks.get(at.file)!;
  return [...problems].sort(
    (a, b) =>
      rankOf(a.at) - rankOf(b.at) ||
      (a.at?.line ?? 0) - (b.at?.line ?? 0) ||
      (a.at?.column ?? 0) - (b.at?.column ?? 0),
  );
}
