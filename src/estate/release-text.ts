/** The row of an address that was released (released.ts). */
const PREFIX = '{"released":';

/** @param revision when the address was released; 0: with the row */
export function releaseText(revision: number): string {
  return `${PREFIX}${revision}}`;
}

export function isRelease(text: string | undefined): boolean {
  return text?.startsWith(PREFIX) === true;
}

/** When the address was released, by the text of its row and the row's revision; undefined: it is no release. */
export function readRelease(text: string, rowRevision: number): number | undefined {
  if (!isRelease(text)) return undefined;
  const since = Number.parseInt(text.slice(PREFIX.length), 10);
  return since > 0 ? since : rowRevision;
}
