/**
 * This file answers about a model that nobody has in force here: an input in files, or the estate of a store. Its
 * explanations are those of `sgctl explain FILE`; counts of traffic are 0.
 */
import { answerQuestion, type QuestionConfig } from '../explain/question-ends.ts';
import type { Network } from '../explain/explanation.ts';
import { networkOf, type QuestionText } from '../explain/question.ts';
import type { PolicyModel, Rule, SecurityGroup } from '../policy/model.ts';
import { findGroups, groupLabel } from '../policy/vpcs.ts';
import { viewRule } from '../queries/rule-book.ts';
import type { GroupUse, RulesQuestion, RuleUse } from '../queries/rules-view.ts';
import type { LiveExplanation } from './contract.ts';
import { ConsoleFailure } from './failure.ts';

export function listGroups({ groups, interfaces, remoteMembers }: PolicyModel): GroupUse[] {
  const members = new Map<string, string[]>();
  for (const { name, groupIds } of interfaces.values())
    for (const id of new Set(groupIds)) {
      const known = members.get(id);
      if (known === undefined) members.set(id, [name]);
      else known.push(name);
    }
  return [...groups.values()].map((group) => {
    const { file, line, logicalId } = group.origin;
    const elsewhere = remoteMembers?.get(group.id)?.size ?? 0;
    return {
      ...{ id: group.id, name: groupLabel(group), description: group.description },
      revocation: group.revocation ?? 'aws',
      ...{ ingress: group.ingress.length, egress: group.egress.length },
      interfaces: members.get(group.id) ?? [],
      ...(elsewhere === 0 ? {} : { elsewhere }),
      ...{ hits: 0, flows: 0 },
      origin: { file, line, ...(logicalId === undefined ? {} : { logicalId }) },
    };
  });
}

/** @throws ConsoleFailure if a group of the question is not there */
export function listRules(
  model: PolicyModel,
  { groups: wanted = [], direction }: RulesQuestion,
): RuleUse[] {
  const all = [...model.groups.values()];
  const groups = wanted.length === 0 ? all : wanted.map((text) => onlyGroup(all, text));
  return groups
    .flatMap((group) =>
      rulesOf(group).map((rule) => ({ ...viewRule(rule, group, model), hits: 0, flows: 0 })),
    )
    .filter((rule) => direction === undefined || rule.direction === direction);
}

/** @param network absent: that of the configuration */
export function explainOffline(
  config: QuestionConfig,
  question: QuestionText,
  network: Network = networkOf(config),
): LiveExplanation {
  const answers = answerQuestion(config, question, network);
  if (!answers.ok) {
    const { message, hint } = answers;
    return { outcome: 'misunderstood', message, hint };
  }
  const { service, pairs } = answers.value;
  return {
    ...{ outcome: 'explained', service },
    pairs: pairs.map(({ from, to, explanation }) => ({
      ...{ from, to, explanation, connections: [] },
    })),
  };
}

function rulesOf({ ingress, egress, audited = [] }: SecurityGroup): readonly Rule[] {
  return [...ingress, ...egress, ...audited];
}

function onlyGroup(all: readonly SecurityGroup[], text: string): SecurityGroup {
  const found = findGroups(all, text);
  if (found.length === 1) return found[0];
  const what = found.length > 1 ? 'more than one group is called' : 'there is no group';
  throw new ConsoleFailure(400, `${what} '${text}'`, 'give its id, or VPC/NAME');
}
