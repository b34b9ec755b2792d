/**
 * This file evaluates a node of the template to its value.
 *
 * Theory of operation. Evaluation is lazy: a property is evaluated when the loader asks for it. So an S3 bucket beside
 * the security group may use any function. Conditions and attributes are cached by name; without the cache, `A: And[B,
 * B]`, `B: And[C, C]` … would double the work with every line. The name of what is being evaluated is kept in `open`.
 * Meeting it again is a circular reference; it is reported once, and its value is `invalid`. Steps, depth and text are
 * counted against the budget in scope.ts.
 *
 * Rejected: one pass that replaces every call in the tree first. It reports errors in values that nobody needs, and
 * loses the positions.
 */
import type { Problem } from '../source/problem.ts';
import { readPlain11 } from '../source/yaml11.ts';
import type { Node } from '../source/yaml.ts';
import { readPseudoParameter } from './account.ts';
import { readAttributeOf, readReferenceTo } from './attributes.ts';
import { readCall } from './calls.ts';
import { evaluateTruth } from './conditions.ts';
import { resolveDynamic } from './dynamic-references.ts';
import { callFunction } from './intrinsics.ts';
import { findUnread, whyUnseen } from './macros.ts';
import { findSupplied, supplyHint } from './parameters.ts';
import { fail } from './reporting.ts';
import { descend, makeBudget, takeSteps, type Inputs, type Scope } from './scope.ts';
import type { Template } from './template.ts';
import {
  abbreviate,
  makeInvalid,
  makeText,
  makeUnknown,
  moveTo,
  type InvalidValue,
  type Truth,
  type UnknownValue,
  type Value,
  type Where,
} from './values.ts';

export function createScope(
  template: Template,
  parameters: ReadonlyMap<string, Value>,
  inputs: Inputs,
  problems: Problem[],
): Scope {
  const truths = new Map<string, Truth>();
  const attributes = new Map<string, Value>();
  const open: string[] = [];

  const once = <T>(label: string, where: Where, body: () => T): T | InvalidValue =>
    evaluateOnce(scope, open, label, where, body);

  const scope: Scope = {
    template,
    parameters,
    inputs,
    problems,
    budget: makeBudget(inputs.exports.nesting),
    evaluate: (node) =>
      descend(scope, node, () => {
        const value = evaluateNode(scope, node);
        return value.kind === 'text' ? resolveDynamic(scope, value) : value;
      }),
    decide(name, where) {
      const known = truths.get(name);
      if (known !== undefined) return moveTruthTo(known, where);
      const node = findCondition(template, name);
      const unseen = node === undefined ? whyUnseen(template.unseen, 'Conditions') : undefined;
      if (unseen !== undefined) return moveTruthTo(explainUnseen('condition', name, unseen), where);
      if (node === undefined) {
        const hint = `AWS refuses it: unresolved condition dependency ${abbreviate(name)}`;
        return fail(
          scope,
          'unknown-condition',
          where,
          `the template has no condition '${abbreviate(name)}'`,
          hint,
        );
      }
      const truth = once(`condition ${name}`, where, () => evaluateTruth(scope, node));
      truths.set(name, truth);
      return moveTruthTo(truth, where);
    },
    refer(name, where) {
      const parameter = parameters.get(name);
      if (parameter !== undefined) return copyTo(scope, parameter, where);
      const pseudo = readPseudo(inputs, name, where);
      if (pseudo !== undefined) return pseudo;
      if (!template.resources.has(name)) return failUnresolved(scope, name, `ref:${name}`, where);
      return remember(`resource ${name}`, where, () =>
        readReferenceTo(scope, template.resources.get(name)!, where),
      );
    },
    readAttribute(logicalId, attribute, where) {
      const resource = template.resources.get(logicalId);
      if (resource === undefined)
        return failUnresolved(scope, logicalId, `getatt:${logicalId}.${attribute}`, where);
      const label = `attribute ${logicalId}.${attribute}`;
      return remember(label, where, () => readAttributeOf(scope, resource, attribute, where));
    },
  };

  function remember(label: string, where: Where, body: () => Value): Value {
    const known = attributes.get(label);
    if (known !== undefined) return copyTo(scope, known, where);
    const value = once(label, where, body);
    attributes.set(label, value);
    return value;
  }

  return scope;
}

/** Runs `body` for the thing called `label`, unless that is in `open`, which means it is being evaluated. */
function evaluateOnce<T>(
  scope: Scope,
  open: string[],
  label: string,
  where: Where,
  body: () => T,
): T | InvalidValue {
  const start = open.indexOf(label);
  if (start >= 0) {
    const circle = [...open.slice(start), label].map((part) => part.replace(/^\w+ /, ''));
    const message = `circular reference: ${abbreviate(circle.join(' -> '))}`;
    const hint = 'nothing in the circle can be evaluated; break it';
    return fail(scope, 'circular-reference', where, message, hint);
  }
  open.push(label);
  try {
    return descend(scope, where, body);
  } finally {
    open.pop();
  }
}

function readPseudo(inputs: Inputs, name: string, where: Where): Value | undefined {
  const isOwn = name === 'AWS::StackName' || name === 'AWS::StackId';
  if (name === 'AWS::StackId' && inputs.physical !== undefined)
    return makeText(inputs.physical.stackId, where);
  if (!isOwn || inputs.nestedPath === undefined)
    return readPseudoParameter(name, inputs.stackName, inputs.account, where);
  // AWS appends random letters to the name of a nested stack.
  const key = `ref:${name}`;
  const supplied = findSupplied(inputs, key, where);
  if (supplied !== undefined) return supplied;
  const reason = `${name} of the nested stack '${inputs.nestedPath}' ends in letters that AWS makes up`;
  return makeUnknown(reason, supplyHint(inputs, key), where);
}

function moveTruthTo(truth: Truth, { at, path }: Where): Truth {
  return truth.kind === 'truth' ? truth : { ...truth, at, path };
}

/** Counts the items of a list. Otherwise a long list could be copied a million times for free by a short name. */
function copyTo(scope: Scope, value: Value, where: Where): Value {
  if (value.kind === 'list' && !takeSteps(scope, value.items.length, where))
    return makeInvalid(where);
  return moveTo(value, where);
}

/** The value of something that is not written, but may exist. */
function explainUnseen(what: string, name: string, why: UnknownValue): UnknownValue {
  return {
    ...why,
    reason: `the ${what} '${abbreviate(name)}' is not written out, and ${why.reason}`,
  };
}

/** The value of a name that nothing in the template has. `key` is the key under which a value can be supplied. */
function failUnresolved(scope: Scope, name: string, key: string, where: Where): Value {
  const unseen = findMaker(scope, name);
  if (unseen === undefined) {
    const { message, hint } = unresolvedText(scope, name);
    return fail(scope, 'unresolved-reference', where, message, hint);
  }
  const supplied = findSupplied(scope.inputs, key, where);
  if (supplied !== undefined) return supplied;
  const { reason } = explainUnseen('resource', name, unseen);
  return makeUnknown(reason, supplyHint(scope.inputs, key), where);
}

/** The hint for a reference to nothing. A parameter does not count where a resource is needed. */
export function unresolvedText(
  { parameters }: Scope,
  name: string,
): { readonly message: string; readonly hint: string } {
  const shown = abbreviate(name);
  const hint = `AWS refuses it: Unresolved resource dependencies [${shown}]`;
  if (!parameters.has(name))
    return { message: `'${shown}' is neither a parameter nor a resource of this template`, hint };
  const message = `'${shown}' is a parameter of this template, not a resource`;
  return { message, hint: `${hint}; the value of a parameter is !Ref ${shown}` };
}

/** The condition of that name, or of a name that is the same boolean in YAML 1.1: `Yes` is `on`. */
function findCondition({ conditions }: Template, name: string): Node | undefined {
  const found = conditions.get(name);
  if (found !== undefined) return found;
  const { value } = readPlain11(name);
  if (typeof value !== 'boolean') return undefined;
  return [...conditions].find(([other]) => readPlain11(other).value === value)?.[1];
}

/** Why a resource of that name may exist although it is not written. Undefined if none can. */
export function findMaker({ template }: Scope, name: string): UnknownValue | undefined {
  const unseen =
    whyUnseen(template.unseen, 'Resources') ?? whyUnseen(template.unseen, 'Parameters');
  if (unseen !== undefined) return unseen;
  for (const { logicalId, type, at, path } of template.resources.values()) {
    if (!type.endsWith('::MODULE') || !name.startsWith(logicalId)) continue;
    const reason = `the module '${logicalId}' (${abbreviate(type)}) is written out by AWS alone`;
    return makeUnknown(reason, 'write out what it makes', { at, path });
  }
  return undefined;
}

function evaluateNode(scope: Scope, node: Node): Value {
  if (!takeSteps(scope, 1, node)) return makeInvalid(node);
  const unread = node.kind === 'mapping' ? findUnread(node) : undefined;
  if (unread !== undefined) return unread;
  const call = readCall(node);
  // `{Condition: x}` in full form is plain data outside conditions. Policies of other kinds use that key.
  if (call !== undefined && (call.name !== 'Condition' || node.tag !== undefined))
    return callFunction(scope, call);
  switch (node.kind) {
    case 'scalar': {
      if (node.value === null) {
        return fail(
          scope,
          'null-value',
          node,
          'there is no value',
          "AWS refuses it: 'null' values are not allowed in templates",
        );
      }
      if (typeof node.value === 'boolean')
        return { ...makeText(String(node.value), node), form: 'boolean' };
      return {
        ...makeText(node.text, node),
        form: typeof node.value === 'number' ? 'number' : 'string',
      };
    }
    case 'list': {
      const items = node.items
        .map((item) => scope.evaluate(item))
        .filter((item) => item.kind !== 'absent');
      return { kind: 'list', items, at: node.at, path: node.path };
    }
    case 'mapping':
      return evaluateMapping(scope, node);
    default:
      return node satisfies never;
  }
}

function evaluateMapping(scope: Scope, node: Node & { kind: 'mapping' }): Value {
  const stray = node.entries.find((entry) => entry.key.startsWith('Fn::'));
  if (stray !== undefined) {
    const where = { at: stray.keyAt, path: node.path };
    return fail(
      scope,
      'bad-function',
      where,
      `${abbreviate(stray.key)} stands next to other keys`,
      'a function is the only key of its mapping',
    );
  }
  return { kind: 'map', node, at: node.at, path: node.path };
}
