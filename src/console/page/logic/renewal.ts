/** This file says when a session is renewed. */

/** Part of the time that is left, after which it is renewed: early enough to try again. */
const PART = 0.6;
/** A timer of a browser takes no longer time. */
const DELAY_MAX_MS = 2 ** 31 - 1;

/** How long to wait, ms. At the last token, which nothing renews: until it ends. */
export function renewalDelayMs(
  { expiresMs, endsMs }: { readonly expiresMs: number; readonly endsMs: number },
  nowMs: number,
): number {
  const leftMs = Math.max(0, expiresMs - nowMs);
  return Math.min(DELAY_MAX_MS, expiresMs >= endsMs ? leftMs : leftMs * PART);
}
