/** This file shows what stands in place of an answer: that it is awaited, that there is none, or that it is empty. */
import type { ComponentChildren } from 'preact';
import type { Asked, AskError } from '../browser/api.ts';
import { shown } from '../logic/shown.ts';
import { Icon } from './icon.tsx';

export function Loading({ what }: { readonly what: string }) {
  return (
    <div class="state" role="status">
      <span class="spinner" aria-hidden="true" />
      <p>Loading {what}…</p>
    </div>
  );
}

export function Failed({
  error,
  again,
}: {
  readonly error: AskError;
  readonly again?: () => void;
}) {
  return (
    <div class="state state-failed" role="alert">
      <Icon name="warning" />
      <p>
        <strong>{shown(error.message)}</strong>
      </p>
      {error.hint !== undefined && <p class="muted">{shown(error.hint)}</p>}
      {again !== undefined && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({
  title,
  children,
}: {
  readonly title: string;
  readonly children?: ComponentChildren;
}) {
  return (
    <div class="state">
      <p>
        <strong>{title}</strong>
      </p>
      {children !== undefined && <p class="muted">{children}</p>}
    </div>
  );
}

/** The answer, or what stands in its place. The last answer stays in sight while the next is awaited or fails. */
export function Answered<Answer>({
  asked,
  what,
  children,
}: {
  readonly asked: Asked<Answer> & { readonly again: () => void };
  /** What is loaded: `the map`. */
  readonly what: string;
  readonly children: (answer: Answer) => ComponentChildren;
}) {
  const { last } = asked;
  if (asked.state === 'failed')
    return (
      <>
        <Failed error={asked.error} again={asked.again} />
        {last !== undefined && children(last)}
      </>
    );
  return <>{last === undefined ? <Loading what={what} /> : children(last)}</>;
}

/** A sentence beside an answer: that something is left out, or not certain. */
export function Note({
  kind = 'note',
  children,
}: {
  readonly kind?: 'note' | 'warning';
  readonly children: ComponentChildren;
}) {
  return (
    <p class={`notice notice-${kind}`}>
      <Icon name={kind} />
      <span>{children}</span>
    </p>
  );
}
