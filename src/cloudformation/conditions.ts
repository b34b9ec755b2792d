/**
 * This file evaluates conditions. They have three values, since the values they compare may be unknown.
 *
 * `And(false, unknown)` is false, and `Or(true, unknown)` is true. So one unknown SSM parameter does not make
 * everything unknown.
 * Source: AWS CloudFormation User Guide, "Condition functions".
 */
import type { Node } from '../source/yaml.ts';
import { readCall, readConditionName, takeArguments, type Call } from './calls.ts';
import { explainTransform, TRANSFORM } from './macros.ts';
import { fail } from './reporting.ts';
import { descend, takeSteps, type Scope } from './scope.ts';
import { toJson } from './to-json.ts';
import {
  describeKind,
  makeInvalid,
  type InvalidValue,
  type Truth,
  type UnknownValue,
  type Where,
} from './values.ts';

const OPERANDS_MAX = 10;

/** Evaluates a node of the Conditions section. */
export function evaluateTruth(scope: Scope, node: Node): Truth {
  return descend(scope, node, () =>
    takeSteps(scope, 1, node) ? evaluateCall(scope, node) : makeInvalid(node),
  );
}

function evaluateCall(scope: Scope, node: Node): Truth {
  const call = readCall(node);
  switch (call?.name) {
    case 'Fn::And':
      return combine(scope, call, false);
    case 'Fn::Or':
      return combine(scope, call, true);
    case 'Fn::Not': {
      const items = takeArguments(scope, call, 1, 1, '[condition]');
      if (items === undefined) return makeInvalid(node);
      const truth = evaluateTruth(scope, items[0]);
      return truth.kind === 'truth' ? { kind: 'truth', value: !truth.value } : truth;
    }
    case 'Fn::Equals':
      return compare(scope, call);
    case 'Condition':
      return decideCondition(scope, call.argument, call);
    case TRANSFORM:
      return explainTransform(call.argument, call);
    default: {
      const hint = 'write Fn::And, Fn::Or, Fn::Not, Fn::Equals or Condition';
      return fail(scope, 'bad-function', node, 'this is not a condition', hint);
    }
  }
}

/** Whether the condition that a node names holds. */
export function decideCondition(scope: Scope, node: Node, where: Where = node): Truth {
  const name = readConditionName(scope, node);
  return name.kind === 'text' ? scope.decide(name.text, where) : name;
}

/** Evaluates Fn::And (`decisive` false) and Fn::Or (`decisive` true). One decisive operand settles the result. */
function combine(scope: Scope, call: Call, decisive: boolean): Truth {
  const items = takeArguments(
    scope,
    call,
    2,
    OPERANDS_MAX,
    '[condition, condition, …], two to ten of them',
  );
  if (items === undefined) return makeInvalid(call);
  const truths = items.map((item) => evaluateTruth(scope, item));
  const invalid = truths.find((truth) => truth.kind === 'invalid');
  if (invalid !== undefined) return invalid;
  if (truths.some((truth) => truth.kind === 'truth' && truth.value === decisive))
    return { kind: 'truth', value: decisive };
  return truths.find((truth) => truth.kind === 'unknown') ?? { kind: 'truth', value: !decisive };
}

function compare(scope: Scope, call: Call): Truth {
  const items = takeArguments(scope, call, 2, 2, '[value, value]');
  if (items === undefined) return makeInvalid(call);
  const left = readComparable(scope, call, items[0]);
  const right = readComparable(scope, call, items[1]);
  if (typeof left !== 'string') return left;
  if (typeof right !== 'string') return right;
  return { kind: 'truth', value: left === right };
}

function readComparable(
  scope: Scope,
  where: Where,
  node: Node,
): string | UnknownValue | InvalidValue {
  const value = scope.evaluate(node);
  switch (value.kind) {
    case 'text':
      return value.text;
    case 'unknown':
    case 'invalid':
      return value;
    case 'list':
    case 'map':
      return toJson(scope, value, where);
    case 'absent':
      return fail(scope, 'bad-function', value, `Fn::Equals can't compare ${describeKind(value)}`);
    default:
      return value satisfies never;
  }
}
