/**
 * Parameters and pseudo parameters: their values and what AWS checks about them.
 *
 * AllowedPattern is not checked: it is a Java regular expression from an untrusted text, and one
 * such as `(a+)+$` would hold the loader for ever.
 * Source: AWS CloudFormation User Guide, "CloudFormation template Parameters syntax" and "Get AWS
 * values using pseudo parameters".
 */
import type { Problem } from '../source/problem.ts';
import { describeNode, get, type Entry, type Mapping } from '../source/yaml.ts';
import { fail, type Inputs } from './scope.ts';
import { abbreviate, makeList, makeText, makeUnknown, type Value, type Where } from './values.ts';

/** Our account, region and partition: the fixed values AWS's documentation uses in its examples. */
export const ACCOUNT_ID = '123456789012';
export const REGION = 'us-east-1';
export const PARTITION = 'aws';
export const URL_SUFFIX = 'amazonaws.com';
/** Where AWS puts a random UUID into a stack's id. */
const STACK_UUID = '00000000-0000-0000-0000-000000000000';

/** AWS's own limit for one parameter's value. It also bounds what a list can be split into. */
const PARAMETER_CHARS_MAX = 4096;

/** The value of `AWS::…`; undefined if there is no such pseudo parameter. */
export function readPseudoParameter(
  name: string,
  stackName: string,
  where: Where,
): Value | undefined {
  switch (name) {
    case 'AWS::AccountId':
      return makeText(ACCOUNT_ID, where);
    case 'AWS::NoValue':
      return { kind: 'absent', ...where };
    case 'AWS::NotificationARNs':
      return makeList([], where);
    case 'AWS::Partition':
      return makeText(PARTITION, where);
    case 'AWS::Region':
      return makeText(REGION, where);
    case 'AWS::StackId':
      return makeText(
        `arn:${PARTITION}:cloudformation:${REGION}:${ACCOUNT_ID}:stack/${stackName}/${STACK_UUID}`,
        where,
      );
    case 'AWS::StackName':
      return makeText(stackName, where);
    case 'AWS::URLSuffix':
      return makeText(URL_SUFFIX, where);
    default:
      return undefined;
  }
}

/** The values of all parameters: what `overrides` gives, else the default, else `unknown`. */
export function readParameters(
  section: Mapping | undefined,
  overrides: ReadonlyMap<string, string>,
  inputs: Inputs,
  whole: Where,
  problems: Problem[],
): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const entry of section?.entries ?? []) {
    values.set(entry.key, readParameter(entry, overrides.get(entry.key), inputs, problems));
  }
  for (const name of overrides.keys()) {
    if (values.has(name)) continue;
    const known = [...values.keys()].join(', ');
    const hint = known === '' ? 'it has none' : `it has ${abbreviate(known)}`;
    fail(
      { problems },
      'unknown-parameter',
      section ?? whole,
      `a value is given for the parameter '${abbreviate(name)}', which the template does not have`,
      hint,
    );
  }
  return values;
}

function readParameter(
  entry: Entry,
  override: string | undefined,
  inputs: Inputs,
  problems: Problem[],
): Value {
  const { key, keyAt, value: node } = entry;
  const where: Where = { at: keyAt, path: node.path };
  if (node.kind !== 'mapping') {
    return fail(
      { problems },
      'bad-parameter',
      where,
      `the parameter '${abbreviate(key)}' must be a mapping with a Type, not ${describeNode(node)}`,
    );
  }
  const typeNode = get(node, 'Type');
  if (typeNode?.kind !== 'scalar' || typeof typeNode.value !== 'string') {
    return fail(
      { problems },
      'bad-parameter',
      typeNode ?? where,
      `the parameter '${abbreviate(key)}' has no Type`,
      'AWS refuses it; write Type: String',
    );
  }
  const type = parseType(typeNode.value);
  if (type === undefined) {
    const hint =
      'String, Number, CommaDelimitedList, List<Number>, AWS::EC2::…, AWS::SSM::Parameter::Value<…>';
    return fail(
      { problems },
      'bad-parameter',
      typeNode,
      `unknown parameter type '${abbreviate(typeNode.value)}'`,
      hint,
    );
  }
  const fallback = get(node, 'Default');
  if (
    fallback !== undefined &&
    (fallback.kind !== 'scalar' || fallback.value === null || fallback.tag !== undefined)
  ) {
    const hint = type.isList ? 'write a list as one text, as "a,b,c"' : undefined;
    return fail(
      { problems },
      'bad-parameter',
      fallback,
      `the default of '${abbreviate(key)}' must be text or a number, not ${describeNode(fallback)}`,
      hint,
    );
  }
  const text = override ?? fallback?.text;
  if (text === undefined) {
    return makeUnknown(
      `parameter '${abbreviate(key)}' has no default and no value was given`,
      `give a value for the parameter ${abbreviate(key)}`,
      where,
    );
  }
  if (text.length > PARAMETER_CHARS_MAX) {
    return fail(
      { problems },
      'bad-parameter',
      where,
      `the value of the parameter '${abbreviate(key)}' has ${text.length} characters`,
      `AWS takes ${PARAMETER_CHARS_MAX}`,
    );
  }
  const place = override === undefined ? (fallback ?? where) : where;
  if (type.isStored) return readStored(text, type.isList, inputs, place);
  return checkValue(key, node, type, text, place, problems);
}

interface ParameterType {
  readonly isList: boolean;
  readonly isNumber: boolean;
  /** The value is the name of a parameter in AWS Systems Manager, and what is stored there is meant. */
  readonly isStored: boolean;
}

function parseType(text: string): ParameterType | undefined {
  const stored = /^AWS::SSM::Parameter::Value<(.+)>$/.exec(text);
  const inner = stored?.[1] ?? text;
  const isStored = stored !== null;
  if (inner === 'CommaDelimitedList') return { isList: true, isNumber: false, isStored };
  const list = /^List<(.+)>$/.exec(inner);
  const item = list?.[1] ?? inner;
  if (item !== 'String' && item !== 'Number' && !/^AWS::[A-Za-z0-9]+::[A-Za-z0-9:]+$/.test(item))
    return undefined;
  return { isList: list !== null, isNumber: item === 'Number', isStored };
}

function readStored(name: string, isList: boolean, inputs: Inputs, where: Where): Value {
  const key = `ssm:${name}`;
  const supplied = inputs.supplied?.get(key);
  if (supplied === undefined) {
    return makeUnknown(
      `'${abbreviate(name)}' is stored in AWS Systems Manager`,
      supplyHint(inputs, key),
      where,
    );
  }
  return isList ? splitList(supplied, where) : makeText(supplied, where);
}

/** What to do about a value only AWS knows. */
export function supplyHint(inputs: Inputs, key: string): string {
  return inputs.supplied === undefined
    ? 'write the value into the template, or make it a parameter'
    : `supply it in the configuration as '${abbreviate(key)}'`;
}

function checkValue(
  key: string,
  node: Mapping,
  type: ParameterType,
  text: string,
  where: Where,
  problems: Problem[],
): Value {
  const value = type.isList ? splitList(text, where) : makeText(text, where);
  const parts =
    value.kind === 'list'
      ? value.items.map((item) => (item.kind === 'text' ? item.text : ''))
      : [text];
  const refuse = (message: string, hint: string): Value =>
    fail({ problems }, 'bad-parameter', where, message, hint);
  const allowed = get(node, 'AllowedValues');
  const allowedTexts =
    allowed?.kind === 'list'
      ? allowed.items.map((item) => (item.kind === 'scalar' ? item.text : ''))
      : undefined;
  for (const part of parts) {
    const shown = `the value '${abbreviate(part)}' of the parameter '${abbreviate(key)}'`;
    if (type.isNumber && !isNumeric(part))
      return refuse(
        `${shown} is not a number`,
        `AWS refuses it: Parameter '${abbreviate(key)}' must be a number`,
      );
    if (allowedTexts !== undefined && !allowedTexts.includes(part)) {
      return refuse(
        `${shown} is not one of its AllowedValues`,
        `write one of ${abbreviate(allowedTexts.join(', '))}`,
      );
    }
    if (type.isNumber) {
      const min = readLimit(node, 'MinValue') ?? -Infinity;
      const max = readLimit(node, 'MaxValue') ?? Infinity;
      if (Number(part) < min || Number(part) > max)
        return refuse(`${shown} is out of range`, `it goes from ${min} to ${max}`);
    } else if (!type.isList) {
      const min = readLimit(node, 'MinLength') ?? 0;
      const max = readLimit(node, 'MaxLength') ?? PARAMETER_CHARS_MAX;
      if (part.length < min || part.length > max)
        return refuse(`${shown} has ${part.length} characters`, `it takes ${min} to ${max}`);
    }
  }
  return value;
}

function readLimit(node: Mapping, name: string): number | undefined {
  const limit = get(node, name);
  return limit?.kind === 'scalar' && isNumeric(limit.text) ? Number(limit.text) : undefined;
}

function isNumeric(text: string): boolean {
  return /^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$/.test(text.trim());
}

function splitList(text: string, where: Where): Value {
  const parts = text === '' ? [] : text.split(',').map((part) => part.trim());
  return makeList(
    parts.map((part) => makeText(part, where)),
    where,
  );
}
