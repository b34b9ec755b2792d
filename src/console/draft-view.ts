/**
 * This file says what a draft of a group would change: who could newly reach whom and who no longer (reach/compare.ts),
 * what the linter says of it, and what it would do to tracked connections, which the daemon tells. It also writes the
 * draft as something else.
 */
import { draftConfig, type GroupDraft } from '../config/group-draft.ts';
import { lint } from '../lint/lint.ts';
import type { GroupId, PolicyModel, SecurityGroup } from '../policy/model.ts';
import { serviceTexts } from '../policy/service-set.ts';
import { findGroups } from '../policy/vpcs.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import { writeCommands } from '../outputs/write-commands.ts';
import { writeGroup } from '../outputs/write-configuration.ts';
import { writeTemplate } from '../outputs/write-template.ts';
import { writeTerraform } from '../outputs/write-terraform.ts';
import { compareModels, type Difference } from '../reach/compare.ts';
import type { KnownConfiguration } from '../queries/configuration-view.ts';
import type { DraftPreview } from '../queries/draft-preview.ts';
import type { CopyAnswer, CopyRequest, DraftAnswer, DraftDifference } from './contract.ts';
import { ConsoleFailure } from './failure.ts';

/** Pairs of classes that are compared while somebody waits: about a second. */
const PAIRS_MAX = 200_000;
/** Findings of the group that were there before. */
const OLD_FINDINGS_MAX = 100;

/** @param preview asks the daemon; a text says why there are no connections to tell of */
export async function viewDraft(
  before: KnownConfiguration,
  draft: GroupDraft,
  preview: (draft: GroupDraft) => Promise<DraftPreview | string>,
): Promise<DraftAnswer> {
  const { answer, drafted } = compareDraft(before, draft);
  return drafted === undefined ? answer : { ...answer, ...connectionsOf(await preview(draft)) };
}

/** What a draft would change, but for connections. `drafted`: the group as it would be; absent: it has errors. */
export function compareDraft(
  before: KnownConfiguration,
  draft: GroupDraft,
): { readonly answer: DraftAnswer; readonly drafted?: SecurityGroup } {
  const { config: after, problems } = draftConfig(before, draft);
  const nothing = { newlyAllowed: [], noLongerAllowed: [], lint: [] };
  if (after === undefined) return { answer: { problems, ...nothing } };
  const { differences, isTooLarge } = compareModels(before.model, after.model, PAIRS_MAX);
  const told = (ending: string): readonly DraftDifference[] =>
    differences.filter(({ kind }) => kind.endsWith(ending)).map(viewDifference);
  const id = groupOf(after.model, draft.group);
  const answer = {
    problems,
    newlyAllowed: told('newly-allowed'),
    noLongerAllowed: told('no-longer-allowed'),
    lint: findings(before, after, id),
    ...(isTooLarge
      ? { isTooLarge: 'there are too many kinds of interfaces and blocks to compare: none were' }
      : {}),
  };
  return { answer, drafted: after.model.groups.get(id)! };
}

/** @throws ConsoleFailure if the draft has errors */
export function copyDraft(config: KnownConfiguration, { as, ...draft }: CopyRequest): CopyAnswer {
  const { config: drafted, problems } = draftConfig(config, draft);
  const error = problems.find(({ severity }) => severity === 'error');
  if (drafted === undefined)
    throw new ConsoleFailure(400, error?.message ?? 'the draft has errors', error?.hint);
  const id = groupOf(drafted.model, draft.group);
  if (as === 'yaml') return writeGroup(drafted, id);
  const model = closureOf(drafted.model, id);
  switch (as) {
    case 'cloudformation':
      return writeTemplate(model);
    case 'terraform':
      return writeTerraform(model);
    case 'commands':
      return writeCommands(model);
    default:
      return as satisfies never;
  }
}

function viewDifference({ kind, from, to, services, families }: Difference): DraftDifference {
  return {
    ...{ from, to, services: serviceTexts(services), families },
    ...(kind.startsWith('perhaps') ? { isPerhaps: true } : {}),
  };
}

/** What is new, then what was said of the group before. */
function findings(
  before: KnownConfiguration,
  after: KnownConfiguration,
  id: GroupId,
): DraftAnswer['lint'] {
  const known = new Set(lint(before).map(({ code, message }) => `${code} ${message}`));
  const group = after.model.groups.get(id)!;
  const places = new Set(
    [group, ...group.ingress, ...group.egress].map(({ origin }) => placeOf(origin)),
  );
  const all = lint(after).map((one) => ({
    ...one,
    isNew: !known.has(`${one.code} ${one.message}`),
  }));
  const old = all.filter(({ isNew, at }) => !isNew && at !== undefined && places.has(placeOf(at)));
  return [...all.filter(({ isNew }) => isNew), ...old.slice(0, OLD_FINDINGS_MAX)];
}

function placeOf({ file, line, column }: NonNullable<Problem['at']>): string {
  return `${file}:${line}:${column}`;
}

function connectionsOf(
  answer: DraftPreview | string,
): Pick<DraftAnswer, 'connections' | 'connectionsWhy'> {
  if (typeof answer === 'string') return { connectionsWhy: answer };
  if (answer.outcome === 'refused') {
    // The configuration changed since the console has seen it.
    const error = answer.problems.find((one) => hasErrors([one]));
    return { connectionsWhy: error?.message ?? 'the daemon refuses the draft' };
  }
  const { kept, cut, keptButRefusedAnew, cutByRule } = answer.impact;
  const { cutConnections, refusedAnewConnections } = answer.impact;
  return {
    connections: {
      ...{ kept, cut, refusedAnew: keptButRefusedAnew, cutByRule },
      ...{ cutConnections, refusedAnewConnections },
    },
  };
}

function groupOf({ groups }: PolicyModel, text: string): GroupId {
  return findGroups([...groups.values()], text)[0].id;
}

/** The group with all groups and lists that its rules name, and those that theirs do: what can be made by itself. */
function closureOf(model: PolicyModel, id: GroupId): PolicyModel {
  const groups = new Map<GroupId, SecurityGroup>();
  const lists = new Set<string>();
  const open = [id];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const group = model.groups.get(next);
    if (group === undefined || groups.has(next)) continue;
    groups.set(next, group);
    for (const { peer } of [...group.ingress, ...group.egress]) {
      if (peer.kind === 'group') open.push(peer.groupId);
      if (peer.kind === 'prefixList') lists.add(peer.prefixListId);
    }
  }
  const prefixLists = new Map([...model.prefixLists].filter(([list]) => lists.has(list)));
  return { ...model, groups, prefixLists };
}
