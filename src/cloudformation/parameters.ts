/**
 * This file gives parameters their values, and checks what AWS checks. Pseudo parameters are in account.ts.
 *
 * AllowedPattern is not checked. It is a Java regular expression from an untrusted text, and one such as `(a+)+$` would
 * block the loader for ever.
 * Source: AWS CloudFormation User Guide, "CloudFormation template Parameters syntax".
 */
import type { Problem } from '../source/problem.ts';
import { describeNode, get, type Entry, type Mapping } from '../source/yaml.ts';
import { closest } from '../source/suggest.ts';
import { isMacroKey } from './macros.ts';
import { fail } from './reporting.ts';
import type { Inputs, Supplied } from './scope.ts';
import {
  abbreviate,
  makeList,
  makeText,
  makeUnknown,
  moveTo,
  type UnknownValue,
  type Value,
  type Where,
} from './values.ts';
import { count } from '../source/count.ts';

/** AWS's limit for a parameter's value. It also limits how many items a list can have. */
const PARAMETER_CHARS_MAX = 4096;

/** A value given for a parameter, and where it is given. Problems with it are reported there. */
export interface GivenValue extends Where {
  readonly text: string;
}

/** The values of all parameters: the one in `given`, else the default, else `unknown`. */
export function readParameters(
  section: Mapping | undefined,
  given: ReadonlyMap<string, GivenValue | UnknownValue>,
  inputs: Inputs,
  problems: Problem[],
): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const entry of section?.entries ?? []) {
    values.set(entry.key, readParameter(entry, given.get(entry.key), inputs, problems));
  }
  for (const [name, where] of given) {
    if (values.has(name)) continue;
    const meant = closest(name, values.keys());
    const suggestion = meant === undefined ? '' : `; did you mean '${abbreviate(meant)}'?`;
    const message = `the template has no parameter '${abbreviate(name)}'${suggestion}`;
    const hint =
      values.size === 0 ? 'it has none' : `it has ${abbreviate([...values.keys()].join(', '))}`;
    fail({ problems }, 'unknown-parameter', where, message, hint);
  }
  return values;
}

function readParameter(
  entry: Entry,
  given: GivenValue | UnknownValue | undefined,
  inputs: Inputs,
  problems: Problem[],
): Value {
  const { key, keyAt, value: node } = entry;
  const where: Where = { at: keyAt, path: node.path };
  const name = `'${abbreviate(key)}'`;
  const refuse = (at: Where, message: string, hint?: string): Value =>
    fail({ problems }, 'bad-parameter', at, message, hint);
  if (isMacroKey(key)) {
    const hint = 'AWS refuses it: they work in all sections but this one; write the parameters out';
    return refuse(where, `${abbreviate(key)} stands in Parameters, where no macro works`, hint);
  }
  if (node.kind !== 'mapping') {
    return refuse(
      where,
      `the parameter ${name} must be a mapping with a Type, not ${describeNode(node)}`,
    );
  }
  const typeNode = get(node, 'Type');
  if (typeNode?.kind !== 'scalar' || typeof typeNode.value !== 'string') {
    return refuse(
      typeNode ?? where,
      `the parameter ${name} has no Type`,
      'AWS refuses it; write Type: String',
    );
  }
  const type = parseType(typeNode.value);
  if (type === undefined) {
    const message = `unknown parameter type '${abbreviate(typeNode.value)}'`;
    return refuse(typeNode, message, `there are ${TYPES}`);
  }
  if (given !== undefined && 'kind' in given) return moveTo(given, where);
  const fallback = get(node, 'Default');
  if (
    fallback !== undefined &&
    (fallback.kind !== 'scalar' || fallback.value === null || fallback.tag !== undefined)
  ) {
    const message = `the default of ${name} must be text or a number, not ${describeNode(fallback)}`;
    return refuse(
      fallback,
      message,
      type.isList ? 'write a list as one text, as "a,b,c"' : undefined,
    );
  }
  const text = given?.text ?? fallback?.text;
  if (text === undefined) {
    const reason = `parameter ${name} has no default and no value was given`;
    return makeUnknown(reason, `give a value for the parameter ${name}`, where);
  }
  const place = given ?? fallback ?? where;
  if (text.length > PARAMETER_CHARS_MAX) {
    const message = `the value of the parameter ${name} has ${text.length} characters`;
    return refuse(place, message, `AWS takes ${PARAMETER_CHARS_MAX}`);
  }
  // A problem in the use of a value given outside is reported at the parameter's declaration.
  const here = fallback !== undefined && given === undefined ? fallback : where;
  if (type.isStored) return readStored(text, type.isList, inputs, here);
  const value = checkValue(key, node, type, text, place, problems);
  return moveTo(value, here);
}

const TYPES =
  'String, Number, CommaDelimitedList, List<Number>, AWS::EC2::…, List<AWS::EC2::…>, AWS::SSM::Parameter::Value<…>';

interface ParameterType {
  readonly isList: boolean;
  readonly isNumber: boolean;
  /** The value is the name of a parameter in AWS Systems Manager. The stored value is meant. */
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
  const supplied = findSupplied(inputs, key, where);
  if (supplied?.kind === 'text' && isList) return splitList(supplied.text, where);
  if (supplied !== undefined) return supplied;
  return makeUnknown(
    `'${abbreviate(name)}' is stored in AWS Systems Manager`,
    supplyHint(inputs, key),
    where,
  );
}

/** The key of a supplied value. In a nested stack its path of logical ids comes first. */
function ownKey({ nestedPath }: Inputs, key: string): string {
  return nestedPath === undefined ? key : key.replace(/^(?:ref|getatt):/, `$&${nestedPath}/`);
}

/** A value that only AWS knows, if the configuration supplies it. */
export function findSupplied(inputs: Inputs, plainKey: string, where: Where): Value | undefined {
  const key = ownKey(inputs, plainKey);
  inputs.askedKeys.add(key);
  const supplied: Supplied | undefined = inputs.supplied?.get(key);
  if (supplied === undefined) return undefined;
  if (typeof supplied === 'string') return makeText(supplied, where);
  return makeList(
    supplied.map((text) => makeText(text, where)),
    where,
  );
}

/** The hint about a value that only AWS knows. */
export function supplyHint(inputs: Inputs, key: string): string {
  return inputs.supplied === undefined
    ? 'write the value into the template, or make it a parameter'
    : `supply it in the configuration as ${quoteKey(ownKey(inputs, key))}`;
}

/** A whole key, so that it can be copied. One that does not fit on a line is quoted as JSON. */
function quoteKey(key: string): string {
  return /[\u0000-\u001f\u007f-\u009f']/.test(key) ? JSON.stringify(key) : `'${key}'`;
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
        return refuse(
          `${shown} has ${count(part.length, 'character')}`,
          `it takes ${min} to ${max}`,
        );
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
