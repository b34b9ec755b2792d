/**
 * Reads the files given to `sgctl check`: configurations, each with the templates it names, and templates by
 * themselves. Puts their problems in one order, without repeats.
 */
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { loadRecognized, type InputKind, type LoadedInput } from '../inputs/load-input.ts';
import {
  NO_SETTINGS,
  readTemplateFiles,
  type GivenTemplate,
  type TemplateSettings,
} from '../inputs/read-templates.ts';
import { recognize, type Recognized } from '../inputs/recognize.ts';
import type { PlannedChange } from '../inputs/terraform/read-terraform.ts';
import { lint } from '../lint/lint.ts';
import type { PolicyModel, SecurityGroup } from '../policy/model.ts';
import type { Position, Problem } from '../source/problem.ts';
import { countSeverities } from './check-text.ts';
import type { TemplateInterface } from '../inputs/template-interfaces.ts';

export interface CheckedFile {
  /** As the caller named it. */
  readonly file: string;
  readonly kind: InputKind;
  /** What a plan changes. */
  readonly changes?: readonly PlannedChange[];
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
  const inputs = unique.map((file) => recognize(file));
  const templates = readTemplateFiles(inputs.flatMap(templateOf), settings);
  const checked = inputs.map((input) => {
    const { file } = input;
    const template = templates.files.get(file);
    const read =
      template === undefined
        ? checkInput(input, options)
        : { ...template, kind: input.kind as InputKind, changes: [] };
    const { model, problems, kind, changes } = read;
    if (model !== undefined && template?.isNested !== true) {
      const strangers = (template?.outside ?? []).map((group) => [group.id, group] as const);
      models.set(file, { ...model, groups: new Map([...model.groups, ...strangers]) });
    }
    const told = withoutRepeats(problems.map((problem) => showPaths(problem, shown, options.cwd)));
    all.push(...told);
    const summary = {
      ...summarize(file, kind, model, told),
      ...(kind === 'terraform-plan' ? { changes } : {}),
    };
    const interfaces = templates.interfaces.get(file)?.map((one) => one.shown);
    return interfaces === undefined ? summary : { ...summary, interfaces };
  });
  return {
    files: checked,
    problems: sortByPlace(withoutRepeats(all), unique),
    models,
    templates: inputs.filter(({ kind }) => kind === 'template').length,
    strangers: templates.strangers,
  };
}

/** A template or cloud assembly; they are read together, as they may belong together. */
function templateOf(input: Recognized): readonly GivenTemplate[] {
  if (input.kind !== 'template' && input.kind !== 'assembly') return [];
  const { file, text, tree } = input;
  return [{ file, text, tree }];
}

interface InputRead extends Pick<LoadedInput, 'kind' | 'problems' | 'changes'> {
  readonly model: PolicyModel | undefined;
}

function checkInput(input: Recognized, { netnsDirectory }: CheckOptions): InputRead {
  const { kind, config, problems, changes } = loadRecognized(input, { netnsDirectory });
  const found = config === undefined ? [] : lint(config);
  return { kind, changes, model: config?.model, problems: [...problems, ...found] };
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
      groupsNotUnderstood: groups.filter(isOpen).length,
      errors: error,
      warnings: warning,
      notices: notice,
    },
  };
}

function isOpen({ gaps, possible }: SecurityGroup): boolean {
  return gaps !== undefined || possible !== undefined;
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
