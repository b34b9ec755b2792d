/**
 * This file says what a draft would do on all hosts, and applies it.
 *
 * Theory of operation. A preview makes the draft on an edit that nobody commits, by the calls of the API
 * (draft-steps.ts), and has the hosts say by the store what that would do to their connections (api/previews.ts). It
 * gives a code (preview-code.ts). To apply, the same draft comes again with the code. If all that the preview was made
 * of is still so, the same steps are one commit, which waits for hosts and is taken back as that of any call
 * (api/managed.ts).
 *
 * Between the last look and the commit another server may change something. If that is the group, what its rules name
 * or whether it is declared, the commit fails, everything is looked at again, and the draft is refused. A change of
 * another group or of an interface just then is as if it had come just after.
 */
import { ApiError } from '../api/action.ts';
import { refusalError, type Managed } from '../api/managed.ts';
import type { Answers } from '../api/previews.ts';
import type { GroupDraft } from '../config/group-draft.ts';
import type { ApplyAnswer, ApplyCall, DraftAnswer, DraftHost } from '../console/contract.ts';
import { compareDraft } from '../console/draft-view.ts';
import { ConsoleFailure } from '../console/failure.ts';
import { Edit } from '../estate/edit.ts';
import type { Checked } from '../policy/refusals.ts';
import type { KnownConfiguration } from '../queries/configuration-view.ts';
import { StoreError } from '../store/store.ts';
import { makeDraft } from './draft-steps.ts';
import { configOf } from './estate-config.ts';
import { stateOf } from './estate-state.ts';
import type { SignedInVisitor } from './key-entrance.ts';
import { isPreviewOf, previewCode } from './preview-code.ts';
import { whyMayNotCall, type ActionRights } from './rights.ts';

const CONFLICT = 409;
const UNAVAILABLE = 503;

export interface Applying {
  readonly managed: Managed;
  readonly rights: ActionRights;
  readonly visitor: SignedInVisitor;
  readonly draft: GroupDraft;
  /** Ms since 1970. */
  readonly nowMs: number;
}

/** What a draft would do, and whether it can be applied. */
export async function previewDraft(
  { managed, rights, visitor, draft, nowMs }: Applying,
  config: KnownConfiguration,
): Promise<DraftAnswer> {
  const { estate, context } = managed;
  const state = stateOf(estate);
  const { answer, drafted } = compareDraft(config, draft);
  if (drafted === undefined) return answer;
  const edit = new Edit(estate);
  const made = makeDraft(edit, drafted, config.model, context);
  if (!made.ok) {
    const { message } = refusalError(made.refusals);
    const why = 'what it would do to connections is not asked, since it can’t be applied';
    return { ...answer, connectionsWhy: why, apply: { isPossible: false, why: message } };
  }
  const calls = made.value;
  const denied = whyMayNotCall(rights, visitor.caller, calls);
  if (denied !== undefined) {
    const told = 'hosts are asked only for who may change something';
    return { ...answer, connectionsWhy: told, apply: { isPossible: false, why: denied } };
  }
  const impact = await managed.impactOf(edit);
  const preview = previewCode(visitor.key, draft, state, nowMs);
  return { ...answer, ...hostsOf(impact), apply: { isPossible: true, preview, calls } };
}

/** @throws ConsoleFailure; nothing has changed then, or it was taken back, or the sentence says that nobody knows */
export async function applyDraft(
  { managed, rights, visitor, draft, nowMs }: Applying,
  preview: string,
): Promise<ApplyAnswer> {
  const { caller, key } = visitor;
  const { name, accessKeyId, arn } = caller;
  /** For the history: those of the last time that the draft was made. */
  const actions: string[] = [];
  const work = (edit: Edit): Checked<readonly ApplyCall[]> => {
    if (!isPreviewOf(preview, key, draft, stateOf(edit.estate), nowMs)) throw changedSince();
    const config = configOf(edit.estate);
    const { drafted } = compareDraft(config, draft);
    if (drafted === undefined) throw changedSince();
    const made = makeDraft(edit, drafted, config.model, managed.context);
    if (!made.ok) return made;
    const denied = whyMayNotCall(rights, caller, made.value);
    if (denied !== undefined) throw new ConsoleFailure(403, denied, undefined, 'not-allowed');
    actions.splice(0, Infinity, ...new Set(made.value.map(({ action }) => action)));
    return made;
  };
  try {
    await managed.catchUp();
    const my = managed.as(caller, { name, accessKeyId, arn, actions, by: 'console' });
    const { value: calls, revision } = await my.change({}, work);
    const enforcement = managed.wait === 'none' ? 'kept' : 'awaited';
    return { revision, enforcement, ...my.notInForce, calls };
  } catch (error) {
    throw failureOf(error);
  }
}

function hostsOf(
  impact: Answers | string | undefined,
): Pick<DraftAnswer, 'hosts' | 'connectionsWhy'> {
  if (typeof impact === 'string') return { connectionsWhy: impact };
  return { hosts: (impact ?? []).map(([host, answer]) => hostOf(host, answer)) };
}

function hostOf(host: string, answer: Answers[number][1]): DraftHost {
  if (answer === undefined) return { host, why: 'it did not answer in time' };
  if (answer.impact === undefined) return { host, why: answer.why };
  const { kept, cut, refusedAnew, cutBy, cutConnections, refusedConnections } = answer.impact;
  return {
    host,
    impact: {
      ...{ kept, cut, refusedAnew, cutBy, cutConnections },
      refusedAnewConnections: refusedConnections,
    },
  };
}

function changedSince(): ConsoleFailure {
  return new ConsoleFailure(
    CONFLICT,
    'it changed since the preview, or this is another draft',
    'look at the preview again, and apply that',
    'changed-since',
  );
}

/** @returns the failure that the page is told */
export function failureOf(error: unknown): unknown {
  if (error instanceof ApiError) {
    const { status, message, code } = error;
    const isOurs = status === UNAVAILABLE || status === 403;
    return new ConsoleFailure(isOurs ? status : CONFLICT, message, undefined, code);
  }
  if (error instanceof StoreError) {
    const what =
      error.fault === 'busy' ? 'is busy' : error.fault === 'full' ? 'has no room' : 'failed';
    const outcome =
      error.committed === 'no'
        ? 'nothing was changed'
        : 'it is not known whether the change was made: look before you repeat it';
    return new ConsoleFailure(UNAVAILABLE, `the store ${what}; ${outcome}`, undefined, 'ServiceUnavailable'); // prettier-ignore
  }
  return error;
}
