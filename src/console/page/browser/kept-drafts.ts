/**
 * This file keeps drafts for as long as the tab is open, so that neither a look at the map nor the end of a session
 * costs what was typed.
 */
import type { GroupDraft } from '../../contract.ts';

const PREFIX = 'secgroupd-draft-';

export function readDraft(group: string): GroupDraft | undefined {
  try {
    const text = sessionStorage.getItem(PREFIX + group);
    return text === null ? undefined : (JSON.parse(text) as GroupDraft);
  } catch {
    return undefined;
  }
}

export function keepDraft(group: string, draft: GroupDraft): void {
  try {
    sessionStorage.setItem(PREFIX + group, JSON.stringify(draft));
  } catch {
    // It is full, or switched off: the draft lives as long as the view.
  }
}

export function forgetDraft(group: string): void {
  sessionStorage.removeItem(PREFIX + group);
}

export function forgetDrafts(): void {
  for (const key of Object.keys(sessionStorage))
    if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
}
