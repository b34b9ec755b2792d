/**
 * Huge pages for the flow tables and the flows' accounts.
 *
 * Theory of operation
 *
 * With a million flows each packet looks at places of memory that no other was at lately, some seven of them.
 * With pages of 4 KiB the processor has forgotten the page's address as well, and has to find that first.
 *
 * Asked for is what fills up from its start, entry by entry: the slabs of the tables and the accounts. Not the
 * tables' indexes: the first flows are anywhere in them, so ten flows would take ten pages of 2 MiB; and they are
 * so much smaller that their pages' addresses are remembered. Not the first SMALL_BYTES either: a daemon with few
 * flows stays as small as it was.
 *
 * A huge page is cleared when it is first written, which takes about 0.1 ms, every 37,000 new flows; up to 7 ms
 * were seen in a virtual machine whose host had to find the memory first. Where the
 * kernel has none to give (memory in pieces, /sys/kernel/mm/transparent_hugepage/enabled at `never`), all is as
 * without this.
 */
import type { Native } from '../ports/native.ts';

/** Memory at the start of each slab that is left as it is. */
const SMALL_BYTES = 2 * 1024 * 1024;

/** @param slabs those of flow tables and accounts, to which nothing has been written; null: there is none */
export function preferHugePages(
  native: Pick<Native, 'preferHugePages'>,
  slabs: readonly ({ readonly words: Int32Array } | null)[],
): void {
  for (const slab of slabs) {
    if (slab === null || slab.words.byteLength <= SMALL_BYTES) continue;
    const { buffer, byteOffset, byteLength } = slab.words;
    native.preferHugePages(
      new Uint8Array(buffer, byteOffset + SMALL_BYTES, byteLength - SMALL_BYTES),
    );
  }
}
