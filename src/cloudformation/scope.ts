/**
 * This file is the environment of evaluation: the template, what was supplied from outside, and a budget.
 *
 * The budget keeps a hostile template harmless. Evaluation is recursive, and its results can double at every level
 * (`Fn::Sub` of a `Fn::Sub` …), so each step, each level and each new character is counted. When one of these runs out,
 * one error is reported, and everything after it is `invalid`.
 */
import type { GroupId } from '../policy/model.ts';
import type { Node } from '../source/yaml.ts';
import type { Account } from './account.ts';
import { fail, type Reporting } from './reporting.ts';
import type { Template } from './template.ts';
import type { Resource } from './resources.ts';
import type { InvalidValue, Truth, UnknownValue, Value, Where } from './values.ts';
import { makeInvalid } from './values.ts';

/** The most expressions that are evaluated in a template. 500 resources of 240 rules fit several times over. */
export const STEPS_MAX = 1_000_000;
/**
 * The deepest nesting of expressions, also through references, conditions and imports. Real templates have about thirty
 * levels.
 */
export const DEPTH_MAX = 300;
/** The longest text of one expression. It is longer than anything AWS takes in a property that is read here. */
export const TEXT_CHARS_MAX = 100_000;
/** The most text that all expressions make together. */
export const TOTAL_CHARS_MAX = 10_000_000;

/** Ids and names that were given to what a stack makes. Each may be undefined: then it is made from the names. */
export interface PhysicalNames {
  /** @param prefix of the id, `sg` for example */
  idOf(logicalId: string, prefix: string): string | undefined;
  /** The name of a group that says none. */
  groupName(logicalId: string): string | undefined;
  readonly stackId: string;
}

/** What comes from outside the template. */
export interface Inputs {
  /** The file of the template. */
  readonly file: string;
  readonly stackName: string;
  /** The logical ids from the outermost stack to this one, with slashes. Undefined for the outermost one. */
  readonly nestedPath: string | undefined;
  /** The files of this template and of those around it, the outermost first. */
  readonly chain: readonly string[];
  /** Reads nested stacks. Undefined: they are not read. */
  readonly nested: NestedReader | undefined;
  /** Files that will be uploaded, by the last part of their URL. */
  readonly assets: ReadonlyMap<string, string> | undefined;
  readonly account: Account;
  /** Undefined: no stack is made, and ids follow from the names of the stack and of the resource. */
  readonly physical: PhysicalNames | undefined;
  /** The exports of the configuration's templates. */
  readonly exports: Exports;
  /** The id of a VPC's default group. Undefined if default groups are unknown. */
  readonly defaultGroupOf: ((vpcId: string) => GroupId) | undefined;
  /** The existing default groups. Called when all templates are known. */
  readonly defaultGroups: () => readonly GroupId[];
  /**
   * Values that only AWS knows, given by the configuration. Hints name the keys: `ssm:/path`, `import:Name`,
   * `getatt:Id.Attribute`, `ref:Id`.
   */
  readonly supplied: ReadonlyMap<string, Supplied> | undefined;
  /** The keys that were asked for, whether they were supplied or not. */
  readonly askedKeys: Set<string>;
}

/** The exports of templates that belong together. ExportDirectory implements it. */
export interface Exports {
  readonly nesting: Nesting;
  add(scope: Scope): void;
  read(importer: Scope, name: string, where: Where): Value | undefined;
  readAll(scope: Scope): ReadonlyMap<string, string>;
  suggest(name: string): string;
}

export type Supplied = string | readonly string[];

/** The nested stacks of templates, by the resources that make them. */
export interface NestedReader {
  /** The value of `GetAtt Stack.Outputs.name`. Undefined if the stack's template can't be read. */
  readOutput(parent: Scope, resource: Resource, name: string, where: Where): Value | undefined;
  /** Why the stack's template can't be read. Undefined if it is read, or is no stack. */
  whyUnread(parent: Scope, resource: Resource): UnknownValue | undefined;
}

/** How deep the current evaluation is, through all templates that share this. */
export interface Nesting {
  depth: number;
}

export interface Budget {
  steps: number;
  readonly nesting: Nesting;
  chars: number;
  spent: boolean;
}

export interface Scope extends Reporting {
  readonly template: Template;
  readonly parameters: ReadonlyMap<string, Value>;
  readonly inputs: Inputs;
  readonly budget: Budget;
  /** Evaluates a node. Never throws, and always ends: see the theory above. */
  evaluate(node: Node): Value;
  /** Whether the named condition holds. */
  decide(condition: string, where: Where): Truth;
  /** The value of `Ref name`. */
  refer(name: string, where: Where): Value;
  /** The value of `Fn::GetAtt logicalId.attribute`. */
  readAttribute(logicalId: string, attribute: string, where: Where): Value;
}

export function makeBudget(nesting: Nesting): Budget {
  return { steps: 0, nesting, chars: 0, spent: false };
}

/** Takes one step, or one for each item of a list. False if the budget is spent, which is reported once. */
export function takeSteps(scope: Scope, count: number, where: Where): boolean {
  if (scope.budget.spent) return false;
  scope.budget.steps += count;
  if (scope.budget.steps <= STEPS_MAX) return true;
  return exhaust(scope, where, `the template needs more than ${STEPS_MAX} evaluation steps`);
}

/** Runs `body` one level deeper. Returns `invalid` if that is too deep. */
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

/** Counts a text that is about to be made. False if it, or the sum of all texts, is too long. */
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
