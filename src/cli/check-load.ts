/**
 * Reads the files given to `sgctl check`: configurations, each with the templates it names, and templates by
 * themselves. Puts their problems in one order, without repeats.
 */
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { isFolder } from '../cloudformation/cloud-assembly.ts';
import { parseTemplate } from '../cloudformation/template-tree.ts';
import { lint } from '../lint/lint.ts';
import { foreignText, isTemplate } from '../config/foreign-input.ts';
import { buildConfig } from '../config/load-config.ts';
import type { PolicyModel } from '../policy/model.ts';
import { hasErrors, type Position, type Problem } from '../source/problem.ts';
import { DOCUMENT_BYTES_MAX, parseDocument, readText, type Node } from '../source/yaml.ts';
import {
  NO_SETTINGS,
  readTemplateFiles,
  type GivenTemplate,
  type TemplateRead,
  type TemplateSettings,
} from './check-templates.ts';
import { countSeverities } from './check-text.ts';
import type { TemplateInterface } from './template-interfaces.ts';

export interface CheckedFile {
  /** As the caller named it. */
  readonly file: string;
  readonly kind: 'configuration' | 'template' | 'assembly';
  /** The interfaces of a template without errors that interfaces of a configuration can stand for. */
  readonly interfaces?: readonly TemplateInterface[];
  /** Whether it has no errors. */
  readonly ok: boolean;
  readonly counts: {
    readonly interfaces: number;
    readonly groups: number;
    readonly rules: number;
    /** Groups that may have more rules than could be read. */
    readonly groupsNotUnderstood: number;
    readonly errors: number;
    readonly warnings: number;
    readonly notices: number;
  };
}

export interface Checked {
  readonly files: readonly CheckedFile[];
  /** Problems of all files, without repeats. Sorted by file, in the given order, then by line and column. */
  readonly problems: readonly Problem[];
  /**
   * The model of each file without errors, by its name. It includes groups that the file adds rules to and does not
   * define. A nested template is part of the model of the outer one.
   */
  readonly models: ReadonlyMap<string, PolicyModel>;
  /** How many of the files are templates. */
  readonly templates: number;
  /** Names of given parameters that no template has. */
  readonly strangers: readonly string[];
}

export interface CheckOptions {
  readonly netnsDirectory: string;
  /** Paths below this directory are shown relative to it. */
  readonly cwd: string;
}

/** @param settings apply to the templates among the files */
export function checkFiles(
  files: readonly string[],
  options: CheckOptions,
  settings: TemplateSettings = NO_SETTINGS,
): Checked {
  const unique = [...new Map(files.map((file) => [resolve(options.cwd, file), file])).values()];
  const shown = new Map(unique.map((file) => [resolve(options.cwd, file), file]));
  const all: Problem[] = [];
  const models = new Map<string, PolicyModel>();
  const inputs = unique.map((file) => readInput(file));
  const templates = readTemplateFiles(
    inputs.flatMap(({ file, template }) => (template === undefined ? [] : { file, ...template })),
    settings,
  );
  const checked = inputs.map((input) => {
    const { file } = input;
    const template = templates.files.get(file);
    const { model, problems } = template ?? checkConfiguration(input, options.netnsDirectory);
    if (model !== undefined && template?.isNested !== true) {
      const strangers = (template?.outside ?? []).map((group) => [group.id, group] as const);
      models.set(file, { ...model, groups: new Map([...model.groups, ...strangers]) });
    }
    const told = withoutRepeats(problems.map((problem) => showPaths(problem, shown, options.cwd)));
    all.push(...told);
    const ofTemplate = input.template?.text === undefined ? 'assembly' : 'template';
    const kind = template === undefined ? 'configuration' : ofTemplate;
    const summary = summarize(file, kind, model, told);
    const interfaces = templates.interfaces.get(file);
    return interfaces === undefined ? summary : { ...summary, interfaces };
  });
  return {
    files: checked,
    problems: sortByPlace(withoutRepeats(all), unique),
    models,
    templates: inputs.filter(({ template }) => template?.text !== undefined).length,
    strangers: templates.strangers,
  };
}

/** What a file is, as far as it could be read. */
interface Input {
  readonly file: string;
  /** Set for a template. Without a text it is a cloud assembly. */
  readonly template?: Pick<GivenTemplate, 'text' | 'tree'>;
  /** The tree of any other file. */
  readonly root?: Node | undefined;
  readonly problems: readonly Problem[];
}

function readInput(file: string): Input {
  const problems: Problem[] = [];
  if (isFolder(file)) return { file, template: { text: undefined, tree: undefined }, problems };
  const text = readText(file, problems, DOCUMENT_BYTES_MAX);
  if (text === undefined) return { file, problems };
  const foreign = foreignText(file, text, 'configuration');
  if (foreign !== undefined) return { file, problems: [foreign] };
  // Nearly every template contains the name of an AWS type, and hardly another file does. So each text is parsed only
  // once.
  const tree = text.includes('AWS::') ? parseTemplate(file, text) : undefined;
  if (tree?.root !== undefined && isTemplate(tree.root, text))
    return { file, template: { text, tree }, problems };
  const root = parseDocument(file, text, problems);
  return isTemplate(root, text)
    ? { file, template: { text, tree }, problems: [] }
    : { file, root, problems };
}

function checkConfiguration(
  { file, root, problems: found }: Input,
  netnsDirectory: string,
): Pick<TemplateRead, 'model' | 'problems'> {
  if (root === undefined) return { model: undefined, problems: found };
  const loaded = buildConfig(file, root, { netnsDirectory });
  const problems = [...found, ...loaded.problems];
  const config = hasErrors(problems) ? undefined : loaded.config;
  if (config !== undefined) problems.push(...lint(config));
  return { model: config?.model, problems };
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

/** Shows paths as the caller named them, or relative to `cwd`. A configuration's templates have absolute paths. */
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
