/** Makes a long text that never repeats within a segment. A byte that is lost, doubled or moved changes its hash. */
import { createHash } from 'node:crypto';

const BLOB_BYTES = 20_000_000;

export function blob(): Uint8Array {
  const words = new Uint32Array(BLOB_BYTES / 4);
  // xorshift32 (Marsaglia 2003): cheap, and the same everywhere.
  let state = 0x5ec6;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}

/** Its SHA-256 as `sha256sum` prints it. */
export function blobHash(): string {
  return createHash('sha256').update(blob()).digest('hex');
}
