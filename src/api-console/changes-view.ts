/** This file tells the history of changes (estate/change-notes.ts), and makes drafts of groups as they were. */
import { draftOf, type GroupDraft } from '../config/group-draft.ts';
import type { ChangedGroup, ChangesAnswer, ConsoleChange } from '../console/contract.ts';
import { ConsoleFailure } from '../console/failure.ts';
import { readQuery } from '../console/query-words.ts';
import { NOTES_MAX, readNotes, type ChangeNote, type NotedGroup } from '../estate/change-notes.ts';
import type { Estate } from '../estate/estate.ts';
import type { EstateGroup } from '../estate/model.ts';
import { applyAuditTags, isAuditTagged } from '../policy/audit-tags.ts';
import type { PolicyModel, Rule } from '../policy/model.ts';
import { ruleKey, ruleText } from '../policy/rules.ts';

const SHOWN_DEFAULT = 100;
const RULES_SHOWN = 100;

interface ChangesQuestion {
  readonly group?: string;
  readonly limit?: number;
}

interface PastQuestion {
  readonly group?: string;
  readonly revision?: number;
  readonly before?: number;
}

/** @throws ConsoleFailure for parameters that can't be read */
export function viewChanges(
  estate: Estate,
  model: PolicyModel,
  query: URLSearchParams,
): ChangesAnswer {
  const { group, limit = SHOWN_DEFAULT } = readQuery<ChangesQuestion>(query, {
    group: ['group', 'word'],
    limit: ['limit', 'number'],
  });
  if (limit > NOTES_MAX) throw new ConsoleFailure(400, `limit goes from 0 to ${NOTES_MAX}`);
  const notes = readNotes(estate);
  const asked = notes.filter(
    ({ groups }) => group === undefined || groups.some(({ id }) => id === group),
  );
  return {
    changes: asked.slice(0, limit).map((note) => viewNote(note, model)),
    keptAtMost: NOTES_MAX,
    hasMore: asked.length > limit || notes.length >= NOTES_MAX,
  };
}

/** Whether a request for a draft is for one of the past. */
export function isOfPast(query: URLSearchParams): boolean {
  return query.has('revision') || query.has('before');
}

/**
 * A draft of a group as a change left it (`revision`), or as it found it (`before`).
 * @throws ConsoleFailure if the history has no such change
 */
export function draftOfPast(
  estate: Estate,
  model: PolicyModel,
  query: URLSearchParams,
): GroupDraft {
  const {
    group: id = '',
    revision: after,
    before,
  } = readQuery<PastQuestion>(query, {
    group: ['group', 'word'],
    revision: ['revision', 'number'],
    before: ['before', 'number'],
  });
  if ((after === undefined) === (before === undefined))
    throw new ConsoleFailure(400, 'one of revision and before is given');
  const noted = readNotes(estate, after ?? before)
    .flatMap(({ groups }) => groups)
    .find((one) => one.id === id);
  if (noted === undefined)
    throw new ConsoleFailure(
      410,
      `no change of ${id} is kept with the revision ${after ?? before}`,
      `the last ${NOTES_MAX} changes are kept`,
    );
  const { states } = noted;
  if (states === undefined)
    throw new ConsoleFailure(410, 'the group was too large to be kept as it was');
  const past = after === undefined ? states.before : states.after;
  if (past === undefined) throw new ConsoleFailure(404, `there was no group ${id} then`);
  const now = model.groups.get(id);
  if (now === undefined)
    throw new ConsoleFailure(404, `${id} was deleted, and its id is never given again`);
  // It is called what it is called now: its rules alone are of the past.
  const { ingress, egress, audited } = applyAuditTags(past.group, past.tags, past.ruleTags);
  const { audited: _, ...rest } = now;
  const then = { ...rest, ingress, egress, ...(audited === undefined ? {} : { audited }) };
  const groups = new Map(model.groups).set(id, then);
  const { draft, problems } = draftOf({ ...model, groups }, id);
  if (draft !== undefined) return draft;
  throw new ConsoleFailure(404, problems[0].message);
}

function viewNote(note: ChangeNote, model: PolicyModel): ConsoleChange {
  const { revision, timeMs, name, accessKeyId, arn, actions, by, groups, others } = note;
  return {
    ...{ revision, timeMs, who: { name, accessKeyId, arn }, actions, by, others },
    groups: groups.map((one) => viewGroup(one, model)),
  };
}

function viewGroup({ id, name, what, states }: NotedGroup, model: PolicyModel): ChangedGroup {
  const [before, after] = [rulesOf(states?.before, model), rulesOf(states?.after, model)];
  const added = [...after].flatMap(([key, text]) => (before.get(key) === text ? [] : [text]));
  const removed = [...before].flatMap(([key, text]) => (after.get(key) === text ? [] : [text]));
  return {
    ...{ id, name, what },
    ...{ added: added.slice(0, RULES_SHOWN), addedCount: added.length },
    ...{ removed: removed.slice(0, RULES_SHOWN), removedCount: removed.length },
    mayGoBack: what === 'changed' && states !== undefined && model.groups.has(id),
  };
}

/** Texts of rules by what they say; one that is described otherwise, or only audits, has another text. */
function rulesOf(state: EstateGroup | undefined, model: PolicyModel): ReadonlyMap<string, string> {
  if (state === undefined) return new Map();
  const { group, ruleTags } = state;
  const textOf = (rule: Rule): string => {
    const audits = isAuditTagged(ruleTags.get(rule.id) ?? []) ? ', only audits' : '';
    const told = rule.description === '' ? '' : `, ${JSON.stringify(rule.description)}`;
    return `${rule.direction} ${ruleText(rule, model)}${audits}${told}`;
  };
  return new Map(
    [...group.ingress, ...group.egress].map((rule) => [
      `${rule.direction} ${ruleKey(rule)}`,
      textOf(rule),
    ]),
  );
}
