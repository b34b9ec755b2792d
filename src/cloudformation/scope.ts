/**
 * What an expression is evaluated in: the template, what was supplied from outside, and a budget.
 *
 * The budget is what keeps a hostile template harmless. Evaluation is recursive and its results can
 * double at every level (`Fn::Sub` of a `Fn::Sub` …), so each step, each level and each character
 * made is counted. When one runs out, one error says so and everything after it is `invalid`.
 */
import type { GroupId } from '../policy/model.ts';
import type { Problem, Severity } from '../source/problem.ts';
import type { Node } from '../source/yaml.ts';
import type { Account } from './account.ts';
import type { ExportDirectory } from './exports.ts';
import type { Template } from './template.ts';
import type { Resource } from './resources.ts';
import type { InvalidValue, Truth, UnknownValue, Value, Where } from './values.ts';
import { makeInvalid } from './values.ts';

/** Most expressions evaluated in one template: 500 resources of 240 rules fit several times over. */
export const STEPS_MAX = 1_000_000;
/** Most expressions inside each other, through references, conditions and imports too; real templates go to about thirty. */
export const DEPTH_MAX = 300;
/** Longest text one expression makes. Longer than anything AWS takes in a property we read. */
export const TEXT_CHARS_MAX = 100_000;
/** All the text all expressions make, so that many long ones don't add up. */
export const TOTAL_CHARS_MAX = 10_000_000;

/** What comes from outside the template. */
export interface Inputs {
  /** The file of the template. */
  readonly file: string;
  readonly stackName: string;
  /** The logical ids that lead from the outermost stack to this one, with slashes; undefined if this is it. */
  readonly nestedPath: string | undefined;
  /** The files of the templates around this one, from the outermost, and its own. */
  readonly chain: readonly string[];
  /** Reads nested stacks; undefined: they are not read. */
  readonly nested: NestedReader | undefined;
  /** Files that will be uploaded, by the last part of their URL. */
  readonly assets: ReadonlyMap<string, string> | undefined;
  readonly account: Account;
  /** What the templates of the configuration export. */
  readonly exports: ExportDirectory;
  /** What stands for the default group of a VPC; undefined if nobody knows of default groups. */
  readonly defaultGroupOf: ((vpcId: string) => GroupId) | undefined;
  /** The default groups that there are; asked when all templates are known. */
  readonly defaultGroups: () => readonly GroupId[];
  /** Values only AWS knows, given by hand; keys as the hints name them: `ssm:/path`, `import:Name`, `getatt:Id.Attribute`, `ref:Id`. */
  readonly supplied: ReadonlyMap<string, Supplied> | undefined;
  /** The keys that were asked for, whether they were supplied or not. */
  readonly askedKeys: Set<string>;
}

export type Supplied = string | readonly string[];

/** The nested stacks of templates, by the resources that make them. */
export interface NestedReader {
  /** `GetAtt Stack.Outputs.name`; undefined if the stack's template can't be read. */
  readOutput(parent: Scope, resource: Resource, name: string, where: Where): Value | undefined;
  /** Why the stack's template can't be read; undefined if it is read, or is none. */
  whyUnread(parent: Scope, resource: Resource): UnknownValue | undefined;
}

/** How many expressions are being evaluated inside each other, in all templates that share it. */
export interface Nesting {
  depth: number;
}

export interface Budget {
  steps: number;
  readonly nesting: Nesting;
  chars: number;
  spent: boolean;
}

export interface Scope {
  readonly template: Template;
  readonly parameters: ReadonlyMap<string, Value>;
  readonly inputs: Inputs;
  readonly problems: Problem[];
  readonly budget: Budget;
  /** Never throws, never loops: see the theory above. */
  evaluate(node: Node): Value;
  /** Whether the named condition holds. */
  decide(condition: string, where: Where): Truth;
  /** What `Ref name` comes to. */
  refer(name: string, where: Where): Value;
  /** What `Fn::GetAtt logicalId.attribute` comes to. */
  readAttribute(logicalId: string, attribute: string, where: Where): Value;
}

export function makeBudget(nesting: Nesting): Budget {
  return { steps: 0, nesting, chars: 0, spent: false };
}

export function report(
  problems: Problem[],
  severity: Severity,
  code: string,
  { at, path }: Where,
  message: string,
  hint?: string,
): void {
  problems.push({ severity, code, at, path, message, ...(hint === undefined ? {} : { hint }) });
}

/** Reports an error and gives the value that stands for it. */
export function fail(
  scope: Pick<Scope, 'problems'>,
  code: string,
  where: Where,
  message: string,
  hint?: string,
): InvalidValue {
  report(scope.problems, 'error', code, where, message, hint);
  return makeInvalid(where);
}

/** Takes a step, or as many as a list has items; false when the budget is spent (reported once). */
export function takeSteps(scope: Scope, count: number, where: Where): boolean {
  if (scope.budget.spent) return false;
  scope.budget.steps += count;
  if (scope.budget.steps <= STEPS_MAX) return true;
  return exhaust(scope, where, `the template needs more than ${STEPS_MAX} evaluation steps`);
}

/** Runs `body` one level deeper; gives `invalid` where the nesting is too deep. */
export function descend<T>(scope: Scope, where: Where, body: () => T): T | InvalidValue {
  if (scope.budget.spent) return makeInvalid(where);
  if (scope.budget.nesting.depth >= DEPTH_MAX) {
    exhaust(scope, where, `expressions are nested more than ${DEPTH_MAX} deep`);
    return makeInvalid(where);
  }
  scope.budget.nesting.depth += 1;
  try {
    return body();
  } finally {
    scope.budget.nesting.depth -= 1;
  }
}

/** Accounts for a text about to be made; false when it or the sum of all is too long. */
export function takeChars(scope: Scope, chars: number, where: Where): boolean {
  if (scope.budget.spent) return false;
  if (chars > TEXT_CHARS_MAX) {
    return exhaust(
      scope,
      where,
      `an expression makes a text longer than ${TEXT_CHARS_MAX} characters`,
    );
  }
  scope.budget.chars += chars;
  if (scope.budget.chars <= TOTAL_CHARS_MAX) return true;
  return exhaust(
    scope,
    where,
    `expressions make more than ${TOTAL_CHARS_MAX} characters of text in all`,
  );
}

function exhaust(scope: Scope, where: Where, message: string): false {
  scope.budget.spent = true;
  fail(
    scope,
    'template-limit',
    where,
    message,
    'the rest of the template is not evaluated; make it simpler',
  );
  return false;
}
