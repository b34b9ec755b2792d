/**
 * This file finds references to nothing in groups, rules and prefix lists.
 *
 * AWS refuses a template for a reference to nothing before it evaluates anything. It does so even in an Fn::If branch
 * that is not taken, and in a resource whose condition is false. Here values are evaluated only where they are needed,
 * and tags, DependsOn and such branches are not. So the groups, rules and prefix lists are searched once more as they
 * are written. What is found is a warning, since nothing that is needed depends on it.
 */
import type { Position } from '../source/problem.ts';
import { readPseudoParameter } from './account.ts';
import { findWrittenMentions, readDependsOn, type Mention } from './dependencies.ts';
import { findMaker, unresolvedText } from './evaluator.ts';
import { isRuleKind } from './kinds.ts';
import { report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Where } from './values.ts';

const CODE = 'unresolved-reference';
/** A name that Fn::Sub refuses has been reported by it. */
const NAME = /^[A-Za-z0-9_.:]+$/;

/** Only whether there is a value matters. */
const NOWHERE: Where = { at: { file: '', line: 0, column: 0 }, path: '' };

/**
 * Warns of references to nothing in groups, rules and prefix lists that evaluation has not met. Must be called last.
 */
export function warnOfUnresolved(scope: Scope): void {
  // A text with variables may have several references at one position.
  const keyOf = (at: Position | undefined, message: string): string =>
    `${at?.file}:${at?.line}:${at?.column} ${message}`;
  const told = new Set(
    scope.problems.filter(({ code }) => code === CODE).map(({ at, message }) => keyOf(at, message)),
  );
  for (const mention of findLooseEnds(scope)) {
    const { message, hint } = unresolvedText(scope, mention.name);
    const key = keyOf(mention.at, message);
    if (told.has(key)) continue;
    told.add(key);
    report(scope.problems, 'warning', CODE, mention, message, hint);
  }
}

function findLooseEnds(scope: Scope): Mention[] {
  const { template, parameters } = scope;
  const ours = [...template.resources.values()].filter(({ type }) => isRuleKind(type));
  return ours.flatMap(({ properties, node }) => {
    const mentions = properties === undefined ? [] : findWrittenMentions(properties);
    return [
      ...mentions.filter(
        ({ name, attribute }) =>
          attribute !== undefined || !(parameters.has(name) || isPseudoParameter(scope, name)),
      ),
      // Only resources can have these names.
      ...readDependsOn(node),
    ].filter(
      ({ name }) =>
        NAME.test(name) && !template.resources.has(name) && findMaker(scope, name) === undefined,
    );
  });
}

function isPseudoParameter({ inputs }: Scope, name: string): boolean {
  const { stackName, account } = inputs;
  return readPseudoParameter(name, stackName, account, NOWHERE) !== undefined;
}
