/** This file compares what a stack has with what it is to be made of, by logical ids. */
import { ruleKey } from '../../policy/rules.ts';
import type { Rule } from '../../policy/model.ts';
import type { DesiredResource } from './resource-specs.ts';
import type { ResourceChange, StackResource } from './stack-rows.ts';

/** @returns in the order of the template, what goes last */
export function compareStacks(
  previous: readonly StackResource[],
  desired: readonly DesiredResource[],
): readonly ResourceChange[] {
  const before = new Map(previous.map((one) => [one.logicalId, one]));
  const wanted = new Set(desired.map(({ logicalId }) => logicalId));
  const changes = desired.flatMap((one): ResourceChange[] => {
    const { logicalId, type } = one;
    const known = before.get(logicalId);
    if (known === undefined) return [{ action: 'Add', logicalId, type, isReplaced: false }];
    const { physicalId } = known;
    const isReplaced = isAnother(known, one);
    return isReplaced || !isSame(known, one)
      ? [{ action: 'Modify', logicalId, type, physicalId, isReplaced }]
      : [];
  });
  const gone = previous.flatMap(({ logicalId, type, physicalId }): ResourceChange[] =>
    wanted.has(logicalId)
      ? []
      : [{ action: 'Remove', logicalId, type, physicalId, isReplaced: false }],
  );
  return [...changes, ...gone];
}

export function isAnother(before: StackResource, { physicalId, type }: DesiredResource): boolean {
  return before.physicalId !== physicalId || before.type !== type;
}

/**
 * Whether a rule is AWS's own of IPv6: a group has it only where its VPC has IPv6.
 */
export function isOwnOfIpv6({ implied, peer, origin }: Rule): boolean {
  return (
    implied === true &&
    peer.kind === 'cidr' &&
    peer.cidr.family === 6 &&
    /^Resources\.[A-Za-z0-9]+$/.test(origin.path)
  );
}

function isSame(before: StackResource, after: DesiredResource): boolean {
  return (
    before.fingerprint === after.fingerprint &&
    before.isRetained === after.isRetained &&
    JSON.stringify(before.tags) === JSON.stringify(after.tags) &&
    hasSameRules(before, after)
  );
}

function hasSameRules(before: StackResource, after: DesiredResource): boolean {
  const optional = new Set(
    after.rules.filter(({ rule }) => isOwnOfIpv6(rule)).map(({ rule }) => ruleKey(rule)),
  );
  const had = before.rules.map(({ groupId, key, description }) => ({ groupId, key, description }));
  const wanted = after.rules.map(({ groupId, rule }) => ({
    groupId,
    key: ruleKey(rule),
    description: rule.description,
  }));
  const texts = (rules: typeof had): string =>
    rules
      .filter(({ key }) => !optional.has(key))
      .map((one) => JSON.stringify(one))
      .sort()
      .join();
  return texts(had) === texts(wanted);
}
