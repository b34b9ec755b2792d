/** Makes resource ids that look like AWS's from names, so that they survive a reload and a restart. */
import * as crypto from 'node:crypto';

export type IdPrefix = 'sg' | 'sgr' | 'pl' | 'eni' | 'eni-attach' | 'vpc';

const HEX_DIGITS = 17;

const scratch = Buffer.alloc(64);

/** Node.js has crypto.hash from 20.12 on. It takes a fifth of the time of a Hash object. */
const { hash } = crypto as { readonly hash?: typeof crypto.hash };

/** The SHA-256 of a text, in hexadecimal digits. */
export function sha256(text: string): string {
  if (hash !== undefined) return hash('sha256', text, 'hex');
  return crypto.createHash('sha256').update(text).digest('hex');
}

/** Returns `sg-` and 17 lower-case hex digits of a SHA-256 over the parts. The same parts always give the same id. */
export function stableId(prefix: IdPrefix, ...parts: string[]): string {
  // The lengths distinguish ('ab', 'c') from ('a', 'bc').
  let text = `${prefix.length}:${prefix}`;
  for (const part of parts) text += `${part.length}:${part}`;
  const start = scratch.write(`${prefix}-`, 'latin1');
  scratch.write(sha256(text), start, HEX_DIGITS, 'latin1');
  // Not a joined and sliced string: that would keep the whole digest, and V8 would flatten it at the first
  // comparison. With ten thousand rules that costs a millisecond of the next change of policy.
  return scratch.toString('latin1', 0, start + HEX_DIGITS);
}

/** The id of the attachment that an interface has as its first: it has the same digits. */
export function attachmentId(interfaceId: string): string {
  return `eni-attach-${interfaceId.slice('eni-'.length)}`;
}

/** Whether `text` is an id of this kind: 17 lower-case hex digits, or the 8 of ids made before 2018. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return (
    text.startsWith(`${prefix}-`) &&
    /^([0-9a-f]{8}|[0-9a-f]{17})$/.test(text.slice(prefix.length + 1))
  );
}
