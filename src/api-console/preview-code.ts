/**
 * This file stands for a preview that somebody was given: a code that says for which draft, against which state of the
 * estate, for which key and until when. Who applies a draft sends it back. So nothing is applied without a preview of
 * the same, or after something has changed since. Nothing is kept for it: any server of the store can tell.
 */
import { createHash } from 'node:crypto';
import type { ApiKey } from '../api/keys.ts';
import { codeOf } from '../api/sessions.ts';
import { isSame } from '../api/signature.ts';
import type { GroupDraft } from '../config/group-draft.ts';

export const PREVIEW_MS = 15 * 60_000;
/** `UNTIL.CODE` */
const PREVIEW = /^(\d{13})\.([A-Za-z0-9_-]{43})$/;

/** @param state of the estate (estate-state.ts) */
export function previewCode(key: ApiKey, draft: GroupDraft, state: string, nowMs: number): string {
  const untilMs = nowMs + PREVIEW_MS;
  return `${untilMs}.${codeFor(key, draft, state, untilMs)}`;
}

export function isPreviewOf(
  preview: string,
  key: ApiKey,
  draft: GroupDraft,
  state: string,
  nowMs: number,
): boolean {
  const [, until, code] = PREVIEW.exec(preview) ?? [];
  if (until === undefined || Number(until) <= nowMs) return false;
  return isSame(codeFor(key, draft, state, Number(until)), code);
}

function codeFor(
  key: ApiKey,
  { group, ingress, egress }: GroupDraft,
  state: string,
  untilMs: number,
): string {
  // The order of fields is that of the one reader of drafts (console/read-body.ts).
  const text = JSON.stringify({ group, ingress, egress });
  const hash = createHash('sha256').update(text).digest('base64url');
  return codeOf(key, 'preview', `${untilMs}\n${state}\n${hash}`).toString('base64url');
}
