/** This is the form of a draft with what it would do, which is computed a moment after each change. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { DraftAnswer, GroupDraft, Problem } from '../../../contract.ts';
import { ask, asAskError } from '../../browser/api.ts';
import { forgetDraft, keepDraft, readDraft } from '../../browser/kept-drafts.ts';
import { generation } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import {
  DIRECTIONS,
  draftOf,
  isSameDraft,
  rowsOf,
  type Direction,
  type DraftRow,
  type DraftRows,
} from '../../logic/draft-rows.ts';
import { shown } from '../../logic/shown.ts';
import { Note } from '../../parts/states.tsx';
import type { Computed } from './computed.ts';
import { DraftApply } from './draft-apply.tsx';
import { DraftCopies } from './draft-copies.tsx';
import { DraftEffects } from './draft-effects.tsx';
import { RuleRows } from './rule-rows.tsx';

/** So long after the last key the draft is computed. */
const PAUSE_MS = 400;

interface FormProperties {
  /** As it is in force. */
  readonly now: GroupDraft;
  /** Its name. */
  readonly group: string;
  readonly names: readonly string[];
  /** `before revision 12`: whose rules the draft began with. Undefined: those in force. */
  readonly from: string | undefined;
}

export function DraftForm({ now, group, names, from }: FormProperties) {
  const { rows, change, reset } = useRows(now, group);
  const draft = draftOf(now.group, rows);
  const isChanged = !isSameDraft(draft, now);
  const computed = useComputed(draft);
  const problems = computed.answer?.problems ?? [];
  return (
    <div class="draft">
      <div class="draft-rules">
        {from !== undefined && isChanged && (
          <Note>The draft began with the rules that the group had {shown(from)}.</Note>
        )}
        {DIRECTIONS.map((direction) => (
          <RuleRows
            key={direction}
            direction={direction}
            rows={rows[direction]}
            names={names}
            problems={problemsOf(problems, direction)}
            change={(next) => change(direction, next)}
          />
        ))}
        <div class="tools">
          <button type="button" onClick={reset} disabled={!isChanged}>
            Back to what is in force
          </button>
          <p class="muted" role="status">
            {isChanged
              ? 'The draft differs from what is in force.'
              : 'The draft is what is in force.'}
          </p>
        </div>
      </div>
      <div class="draft-answers">
        <DraftEffects computed={computed} isChanged={isChanged} />
        <DraftApply {...{ group, draft, computed, isChanged }} applied={() => forgetDraft(group)} />
        <DraftCopies draft={draft} />
      </div>
    </div>
  );
}

function problemsOf(problems: readonly Problem[], direction: Direction): readonly Problem[] {
  return problems.filter(({ path }) => path.startsWith(direction));
}

/** The rows as they are typed. Without a draft they are those in force, also when these change. */
function useRows(now: GroupDraft, group: string) {
  const [rows, setRows] = useState<DraftRows>(() => rowsOf(readDraft(group) ?? now));
  useEffect(() => {
    if (readDraft(group) === undefined) setRows(rowsOf(now));
  }, [now]);
  return {
    rows,
    change: (direction: Direction, next: readonly DraftRow[]): void => {
      const changed = { ...rows, [direction]: next };
      setRows(changed);
      keepDraft(group, draftOf(now.group, changed));
    },
    reset: (): void => {
      forgetDraft(group);
      setRows(rowsOf(now));
    },
  };
}

function useComputed(draft: GroupDraft): Computed {
  const [computed, setComputed] = useState<Omit<Computed, 'again'>>({ isOld: true });
  const [turn, setTurn] = useState(0);
  const text = JSON.stringify(draft);
  const inForce = useStore(generation);
  useEffect(() => {
    const ended = new AbortController();
    setComputed((last) => ({ ...last, isOld: true }));
    const timer = setTimeout(() => {
      ask<DraftAnswer>('draft', draft, ended.signal).then(
        (answer) => !ended.signal.aborted && setComputed({ answer, isOld: false }),
        (error: unknown) =>
          !ended.signal.aborted && setComputed({ error: asAskError(error), isOld: false }),
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [text, inForce, turn]);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  return { ...computed, again };
}
