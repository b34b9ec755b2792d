/**
 * The slow twin of src/learn/blocks.ts: it tries all pairs of blocks each time, and counts addresses one by one. Blocks
 * are ranges of whole numbers here, so only few and near addresses can be summarised.
 */
export interface PlainBlock {
  readonly start: number;
  readonly size: number;
}

/** @param room addresses that all blocks together may hold */
export function plainSummarize(addresses: readonly number[], room: number): readonly PlainBlock[] {
  let blocks: readonly PlainBlock[] = [...addresses]
    .sort((a, b) => a - b)
    .map((start) => ({ start, size: 1 }));
  for (;;) {
    const held = coveredBy(blocks).size;
    const joins: { readonly joined: readonly PlainBlock[]; readonly made: PlainBlock; readonly cost: number }[] = []; // prettier-ignore
    for (const one of blocks)
      for (const other of blocks) {
        if (one === other) continue;
        const made = smallestOver(one, other);
        const joined = [...blocks.filter((block) => !isWithin(block, made)), made];
        joins.push({ joined, made, cost: coveredBy(joined).size - held });
      }
    joins.sort(
      (a, b) => a.cost - b.cost || a.made.size - b.made.size || a.made.start - b.made.start,
    );
    const [best] = joins;
    if (best === undefined || held + best.cost > room)
      return [...blocks].sort((a, b) => a.start - b.start);
    blocks = best.joined;
  }
}

export function coveredBy(blocks: readonly PlainBlock[]): ReadonlySet<number> {
  const all = new Set<number>();
  for (const { start, size } of blocks) for (let i = 0; i < size; i++) all.add(start + i);
  return all;
}

function smallestOver(one: PlainBlock, other: PlainBlock): PlainBlock {
  for (let size = 1; ; size *= 2) {
    const start = Math.floor(one.start / size) * size;
    const made = { start, size };
    if (isWithin(one, made) && isWithin(other, made)) return made;
  }
}

function isWithin(block: PlainBlock, outer: PlainBlock): boolean {
  return block.start >= outer.start && block.start + block.size <= outer.start + outer.size;
}
