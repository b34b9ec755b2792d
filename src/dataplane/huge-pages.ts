/**
 * Asks for huge pages for the flow tables and the flows' accounts.
 *
 * Theory of operation
 *
 * With a million flows, each packet reads some seven places of memory that no other packet read lately. With pages of
 * 4 KiB the processor has forgotten the address of the page too, and must look it up first.
 *
 * Huge pages are for what fills up from its start, entry by entry: the slabs of the tables and the accounts. They are
 * not for the tables' indexes. The first flows are anywhere in an index, so ten flows would take ten pages of 2 MiB.
 * And indexes are so much smaller that the processor remembers their pages. The first SMALL_BYTES of a slab stay as
 * they are, so that a daemon with few flows stays small.
 *
 * The kernel clears a huge page at its first write. That takes about 0.1 ms every 37,000 new flows; up to 7 ms were
 * seen in a virtual machine whose host had to find the memory first. Where the kernel has no huge pages (fragmented
 * memory, /sys/kernel/mm/transparent_hugepage/enabled at `never`), nothing changes.
 */
import type { Native } from '../ports/native.ts';

/** Bytes at the start of each slab that stay on small pages. */
const SMALL_BYTES = 2 * 1024 * 1024;

/** @param slabs slabs of flow tables and accounts, not yet written to; null: there is none */
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
