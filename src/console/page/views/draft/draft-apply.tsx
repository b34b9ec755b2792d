/**
 * This part of the draft applies it: never but with the preview of the same draft, and after the reader has confirmed
 * what was shown then. Whether that still holds is decided by the server, which knows what the preview was about.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type {
  ApplyAnswer,
  ApplyCall,
  ApplyOffer,
  DraftAnswer,
  GroupDraft,
} from '../../../contract.ts';
import { about } from '../../browser/about.ts';
import { ask, asAskError, type AskError } from '../../browser/api.ts';
import { useStore } from '../../browser/store.ts';
import { cutSentence, stateSentence } from '../../logic/apply-words.ts';
import { formatNumberOf } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Icon } from '../../parts/icon.tsx';
import { Failed, Note } from '../../parts/states.tsx';
import type { Computed } from './computed.ts';

type Offer = Extract<ApplyOffer, { isPossible: true }>;

/** What the reader is asked to confirm: it stays as it is while they read. */
interface Confirmation {
  readonly draft: GroupDraft;
  readonly offer: Offer;
  readonly answer: DraftAnswer;
}

type Progress =
  | { readonly state: 'idle' }
  | { readonly state: 'applying' }
  | { readonly state: 'applied'; readonly answer: ApplyAnswer; readonly text: string }
  | { readonly state: 'failed'; readonly error: AskError; readonly text: string };

interface ApplyProperties {
  readonly group: string;
  readonly draft: GroupDraft;
  readonly computed: Computed;
  readonly isChanged: boolean;
  readonly applied: () => void;
}

export function DraftApply(properties: ApplyProperties) {
  const { group, draft, computed, applied } = properties;
  const known = useStore(about);
  const [asked, setAsked] = useState<Confirmation | undefined>(undefined);
  const [progress, setProgress] = useState<Progress>({ state: 'idle' });
  if (known?.key === undefined) return null;
  const text = JSON.stringify(draft);
  const apply = async ({ draft: confirmed, offer }: Confirmation): Promise<void> => {
    setAsked(undefined);
    setProgress({ state: 'applying' });
    try {
      const body = { ...confirmed, preview: offer.preview };
      const answer = await ask<ApplyAnswer>('apply', body);
      applied();
      setProgress({ state: 'applied', answer, text });
    } catch (error) {
      setProgress({ state: 'failed', error: asAskError(error), text });
    }
  };
  return (
    <section class="card" aria-labelledby="apply-title">
      <h2 id="apply-title">Apply</h2>
      <Outcome {...{ progress, text, computed }} />
      {progress.state !== 'applying' && <Possible {...properties} confirm={setAsked} />}
      {asked !== undefined && (
        <ConfirmDialog
          group={group}
          confirmation={asked}
          apply={() => void apply(asked)}
          close={() => setAsked(undefined)}
        />
      )}
    </section>
  );
}

/** What can be applied now, with the button. */
function Possible({
  group,
  draft,
  computed: { answer, isOld },
  isChanged,
  confirm,
}: ApplyProperties & { readonly confirm: (confirmation: Confirmation) => void }) {
  if (!isChanged) return <p class="muted">Nothing to apply: the draft is what is in force.</p>;
  if (answer === undefined || isOld) return <p class="muted">The preview comes first.</p>;
  const { apply: offer } = answer;
  if (offer === undefined)
    return <p class="muted">The draft has errors, or can’t be applied here.</p>;
  if (!offer.isPossible) return <Note kind="warning">{shown(offer.why)}</Note>;
  if (offer.calls.length === 0)
    return <p class="muted">Nothing to apply: the group has these rules.</p>;
  return (
    <>
      <Calls calls={offer.calls} />
      <button type="button" class="primary" onClick={() => confirm({ draft, offer, answer })}>
        Apply to {shown(group)}…
      </button>
    </>
  );
}

function Calls({ calls }: { readonly calls: readonly ApplyCall[] }) {
  return (
    <ul class="calls">
      {calls.map(({ action, rules, ruleCount }) => (
        <li key={action}>
          <strong>{shown(action)}</strong>
          <ul class="plain-list mono">
            {rules.map((rule) => (
              <li key={rule}>{shown(rule)}</li>
            ))}
            {ruleCount > rules.length && <li class="muted">and {ruleCount - rules.length} more</li>}
          </ul>
        </li>
      ))}
    </ul>
  );
}

/** What became of it. An outcome of another draft than the one in the form is gone. */
function Outcome({
  progress,
  text,
  computed,
}: {
  readonly progress: Progress;
  readonly text: string;
  readonly computed: Computed;
}) {
  if (progress.state === 'idle') return null;
  if (progress.state === 'applying')
    return (
      <p role="status">
        <span class="spinner" aria-hidden="true" /> Applying, until the hosts have it in force…
      </p>
    );
  if (progress.text !== text) return null;
  if (progress.state === 'applied') return <Applied answer={progress.answer} />;
  const { error } = progress;
  if (error.code !== 'changed-since') return <Failed error={error} />;
  return (
    <div class="notice notice-warning" role="alert">
      <Icon name="warning" />
      <div>
        <p>
          <strong>It changed since: preview again.</strong> {shown(error.message)}. Nothing was
          applied.
        </p>
        <button type="button" onClick={computed.again}>
          Preview again
        </button>
      </div>
    </div>
  );
}

function Applied({ answer }: { readonly answer: ApplyAnswer }) {
  return (
    <div class="notice notice-good" role="status">
      <Icon name="allowed" />
      <span>
        <strong>Applied: revision {answer.revision}.</strong> {shown(stateSentence(answer))}
      </span>
    </div>
  );
}

function ConfirmDialog({
  group,
  confirmation: { offer, answer },
  apply,
  close,
}: {
  readonly group: string;
  readonly confirmation: Confirmation;
  readonly apply: () => void;
  readonly close: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const { newlyAllowed, noLongerAllowed, isTooLarge } = answer;
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="confirm-title" onClose={close}>
      <div class="dialog-content">
        <h2 id="confirm-title">Apply to {shown(group)}?</h2>
        <ul>
          <li>{formatNumberOf(newlyAllowed.length, 'pair')} newly allowed</li>
          <li>{formatNumberOf(noLongerAllowed.length, 'pair')} no longer allowed</li>
          <li>{shown(cutSentence(answer))}</li>
          {isTooLarge !== undefined && <li>{shown(isTooLarge)}</li>}
        </ul>
        <Calls calls={offer.calls} />
        <div class="tools">
          <button type="button" class="primary" onClick={apply}>
            Apply
          </button>
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
        </div>
      </div>
    </dialog>
  );
}
