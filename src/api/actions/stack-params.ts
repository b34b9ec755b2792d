/** This file reads the parameters of stack calls: which stack, and what it is to be made of. */
import { ApiError, type Caller } from '../action.ts';
import type { Managed } from '../managed.ts';
import { newStack, noSuchStack, settled, type OnFailure } from '../stacks/deploy.ts';
import {
  findStack,
  listDeleted,
  listStacks,
  templateOf,
  type Stack,
  type StackOrder,
  type StackParameter,
} from '../stacks/stack-rows.ts';
import {
  invalid,
  isTemplateSize,
  summarize,
  type TemplateSummary,
} from '../stacks/template-checks.ts';
import { shown } from '../form.ts';
import { templateAt } from './template-url.ts';

export interface TemplateParams {
  readonly TemplateBody?: string;
  readonly TemplateURL?: string;
  readonly UsePreviousTemplate?: boolean;
}

export interface OrderParams extends TemplateParams {
  readonly StackName?: string;
  readonly Parameters?: readonly {
    readonly ParameterKey?: string;
    readonly ParameterValue?: string;
    readonly UsePreviousValue?: boolean;
  }[];
  readonly Tags?: readonly { readonly Key?: string; readonly Value?: string }[];
  readonly Capabilities?: readonly string[];
  readonly RoleARN?: string;
  readonly OnFailure?: string;
  readonly DisableRollback?: boolean;
}

const NAME = /^[A-Za-z][-A-Za-z0-9]{0,127}$/;

/** @throws ApiError if it is no name */
export function checkName(name: string | undefined, what = 'stackName'): string {
  if (name !== undefined && NAME.test(name)) return name;
  throw invalid(
    `1 validation error detected: Value '${shown(name ?? '')}' at '${what}' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*`,
  );
}

/** A stack by its name or id, also one that was deleted if it is named by its id. */
export function lookUp({ estate }: Managed, named: string): Stack | undefined {
  const isId = named.startsWith('arn:');
  const found = isId
    ? [...listStacks(estate), ...listDeleted(estate)].find(({ id }) => id === named)
    : findStack(estate, named);
  return found === undefined ? undefined : settled(found);
}

/** @throws ApiError if there is none, or it is gone */
export function needStack(my: Managed, named: string | undefined): Stack {
  if (named === undefined) throw invalid('StackName must be specified');
  const found = lookUp(my, named);
  if (found === undefined || found.deletedAt !== undefined) throw noSuchStack(shown(named));
  return found;
}

/** @throws ApiError if the stack is in a state from which it can only be deleted */
export function checkUpdatable({ id, status }: Stack): void {
  const isOver = /^(ROLLBACK_|DELETE_|REVIEW_)|_IN_PROGRESS$/.test(status);
  if (isOver) throw invalid(`Stack:${id} is in ${status} state and can not be updated.`);
}

/** The template of a call: its own, one of the assets bucket, or that of the stack. */
export function templateText(
  my: Managed,
  { TemplateBody: body, TemplateURL: url, UsePreviousTemplate: isPrevious }: TemplateParams,
  stack: Stack | undefined,
  caller: Caller,
): string {
  if (url !== undefined && body !== undefined)
    throw invalid('You must specify only TemplateBody or TemplateURL, but not both');
  if (url !== undefined) return templateAt(my, url, caller);
  if (isPrevious === true && stack !== undefined) return templateOf(my.estate, stack.name);
  if (body === undefined) throw invalid('Either Template URL or Template Body must be specified.');
  if (!isTemplateSize(body)) {
    throw invalid(
      "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200",
    );
  }
  return body;
}

export function orderOf(
  my: Managed,
  params: OrderParams,
  stack: Stack | undefined,
  caller: Caller,
): StackOrder {
  const template = templateText(my, params, stack, caller);
  const tags = (params.Tags ?? []).map(({ Key: key = '', Value: value = '' }) => ({ key, value }));
  return {
    template,
    parameters: parametersOf(summarize(template), params, stack),
    tags: params.Tags === undefined ? (stack?.tags ?? []) : tags,
    capabilities: params.Capabilities ?? [],
    ...(params.RoleARN === undefined ? {} : { roleArn: params.RoleARN }),
  };
}

export function onFailureOf({ OnFailure: wish, DisableRollback: isOff }: OrderParams): OnFailure {
  if (wish === 'DELETE' || wish === 'DO_NOTHING' || wish === 'ROLLBACK') return wish;
  return isOff === true ? 'DO_NOTHING' : 'ROLLBACK';
}

/** The row of a stack that a call is to make. @throws ApiError if there is one */
export function makeStack(my: Managed, params: OrderParams, order: StackOrder): Stack {
  const name = checkName(params.StackName);
  const known = findStack(my.estate, name);
  if (known !== undefined) throw existsAlready(name);
  return newStack(my, name, order);
}

export function existsAlready(name: string): ApiError {
  return new ApiError('AlreadyExistsException', `Stack [${name}] already exists`);
}

function parametersOf(
  { parameters: declared }: TemplateSummary,
  { Parameters: given = [] }: OrderParams,
  stack: Stack | undefined,
): readonly StackParameter[] {
  const previous = new Map((stack?.parameters ?? []).map(({ key, value }) => [key, value]));
  const values = new Map<string, string | undefined>();
  for (const { ParameterKey: key = '', ParameterValue: value, UsePreviousValue: old } of given) {
    if (old === true && !previous.has(key))
      throw invalid(
        `Invalid input for parameter key ${shown(key)}. Cannot specify usePreviousValue as true for a parameter key not in the previous template`,
      );
    values.set(key, old === true ? previous.get(key) : value);
  }
  const names = new Set(declared.map(({ name }) => name));
  const strange = [...values.keys()].filter((key) => !names.has(key));
  if (strange.length > 0)
    throw invalid(`Parameters: [${shown(strange.join(', '))}] do not exist in the template`);
  const missing = declared.filter(
    ({ name, fallback }) => values.get(name) === undefined && fallback === undefined,
  );
  if (missing.length > 0)
    throw invalid(`Parameters: [${missing.map(({ name }) => name).join(', ')}] must have values`);
  return declared.map(({ name, fallback, isSecret }) => ({
    key: name,
    value: values.get(name) ?? fallback ?? '',
    isSecret,
  }));
}
