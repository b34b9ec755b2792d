/** AWS-looking resource ids, made from what a thing is called, so that they survive a reload and a restart. */
import { createHash } from 'node:crypto';

export type IdPrefix = 'sg' | 'sgr' | 'pl' | 'eni' | 'vpc';

const HEX_DIGITS = 17;

const scratch = Buffer.alloc(64);

/** `sg-` and 17 lower-case hex digits of a SHA-256 over the parts; the same parts always give the same id. */
export function stableId(prefix: IdPrefix, ...parts: string[]): string {
  // The lengths keep ('ab', 'c') and ('a', 'bc') apart.
  const text = [prefix, ...parts].map((part) => `${part.length}:${part}`).join('');
  const start = scratch.write(`${prefix}-`, 'latin1');
  scratch.write(createHash('sha256').update(text).digest('hex'), start, HEX_DIGITS, 'latin1');
  // Joined and sliced text would keep the whole digest, and be put together when it is first compared: with ten
  // thousand rules that is a millisecond of the next change of policy.
  return scratch.toString('latin1', 0, start + HEX_DIGITS);
}

/** Whether `text` is an id of this kind: 17 lower-case hex digits, or the 8 of ids made before 2018. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return (
    text.startsWith(`${prefix}-`) &&
    /^([0-9a-f]{8}|[0-9a-f]{17})$/.test(text.slice(prefix.length + 1))
  );
}
