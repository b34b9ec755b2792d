/** AWS-looking resource ids, made from what a thing is called, so that they survive a reload and a restart. */
import { createHash } from 'node:crypto';

export type IdPrefix = 'sg' | 'sgr' | 'pl' | 'eni';

const HEX_DIGITS = 17;

/** `sg-` and 17 lower-case hex digits of a SHA-256 over the parts; the same parts always give the same id. */
export function stableId(prefix: IdPrefix, ...parts: string[]): string {
  const hash = createHash('sha256');
  // The lengths keep ('ab', 'c') and ('a', 'bc') apart.
  for (const part of [prefix, ...parts]) hash.update(`${part.length}:${part}`);
  return `${prefix}-${hash.digest('hex').slice(0, HEX_DIGITS)}`;
}

/** Whether `text` is an id of this kind: 17 lower-case hex digits, or the 8 of ids made before 2018. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return (
    text.startsWith(`${prefix}-`) &&
    /^([0-9a-f]{8}|[0-9a-f]{17})$/.test(text.slice(prefix.length + 1))
  );
}
