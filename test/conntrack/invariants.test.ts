/** The flow table's memory, broken on purpose: what would go on with it ends instead (conntrack/invariant.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  INCARNATION_MASK,
  NO_FLOW,
  setStateWordOf,
  stateWordOf,
} from '../../src/conntrack/entry.ts';
import { createKey } from '../../src/conntrack/flow-key.ts';
import { FlowLines } from '../../src/conntrack/half-open.ts';
import { InvariantError } from '../../src/conntrack/invariant.ts';
import { Shares } from '../../src/conntrack/shares.ts';
import { TCP_ESTABLISHED } from '../../src/conntrack/states.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';

const CAPACITY = 8;
const SLOTS = 16;
/** The table's header, in front of its index: flows, first free entry plus one, entries ever used, the sweep's next. */
const HEADER = { count: 0, free: 1, highWater: 2, words: 4 };

/** A table with its memory. */
class Broken {
  readonly table: FlowTable;
  readonly memory: Int32Array;

  constructor() {
    const layout = { capacity: CAPACITY, family: 4 } as const;
    const buffer = new SharedArrayBuffer(flowTableBytes(layout));
    this.table = new FlowTable(layout, { k0: 1, k1: 2 }, buffer);
    this.memory = new Int32Array(buffer);
  }

  get index(): Int32Array {
    return this.memory.subarray(HEADER.words, HEADER.words + SLOTS);
  }

  /** Adds flow number `n`. */
  open(n: number): number {
    const flow = this.table.insert(keyOf(n));
    setStateWordOf(this.table, flow, stateWordOf(this.table, flow) | TCP_ESTABLISHED);
    return flow;
  }
}

function keyOf(n: number): Int32Array {
  return createKey(4).fill(0x01020304 * (n + 1));
}

function ends(act: () => unknown, what: RegExp): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof InvariantError, String(error));
    assert.match(error.message, /^broken invariant, the packet loop ends: /);
    assert.match(error.message, what);
    return true;
  });
}

test('a table that is sound goes on', () => {
  const broken = new Broken();
  assert.equal(broken.table.nextToSweep(), NO_FLOW);
  for (let round = 0; round < 3; round++) {
    const flows = Array.from({ length: CAPACITY }, (_, n) => broken.open(n));
    for (const flow of flows) broken.table.assertIndexed(flow);
    for (const flow of flows) broken.table.remove(flow);
    assert.equal(broken.table.count, 0);
  }
});

test('an entry is given out only if it is free', () => {
  const broken = new Broken();
  const flow = broken.open(1);
  const other = broken.open(2);
  broken.table.remove(flow);
  broken.memory[HEADER.free] = other + 1;
  ends(() => broken.open(3), /free flow entries names one that is not free$/);
  broken.memory[HEADER.free] = 7;
  ends(() => broken.open(3), /names one that is not free$/);
});

test('no more entries are given out than there are', () => {
  const broken = new Broken();
  for (let n = 0; n < CAPACITY; n++) broken.open(n);
  broken.memory[HEADER.count] = 3;
  ends(() => broken.open(9), /more flow entries are used than there are$/);
});

test('an index without a free slot does not keep the loop for ever', () => {
  const broken = new Broken();
  broken.index.fill(5);
  ends(() => broken.open(1), /has no free slot$/);
});

test('an entry is freed only if it is in use', () => {
  const broken = new Broken();
  const flow = broken.open(1);
  ends(() => broken.table.remove(-1), /not in use was to be freed$/);
  ends(() => broken.table.remove(flow + 1), /not in use was to be freed$/);
  broken.table.remove(flow);
  ends(() => broken.table.remove(flow), /not in use was to be freed$/);
  // What is left of a state word is the incarnation.
  const again = broken.open(1);
  const word = stateWordOf(broken.table, again);
  assert.notEqual(word & INCARNATION_MASK, 0);
  setStateWordOf(broken.table, again, word & INCARNATION_MASK);
  ends(() => broken.table.remove(again), /not in use was to be freed$/);
});

test('an entry is freed only if the index leads to it', () => {
  const lost = new Broken();
  const flow = lost.open(1);
  lost.index.fill(0);
  ends(() => lost.table.remove(flow), /does not lead to an entry$/);
  ends(() => lost.table.assertIndexed(flow), /does not lead to an entry$/);
  // Its key has become another's, by whatever wrote there: it can't be found by either.
  const changed = new Broken();
  const other = changed.open(1);
  changed.table.words[other * changed.table.stride + 2] ^= 0x55;
  ends(() => {
    for (let bit = 0; bit < 31; bit++) {
      changed.table.words[other * changed.table.stride + 2] ^= 1 << bit;
      changed.table.assertIndexed(other);
    }
  }, /does not lead to an entry$/);
});

test('counts that cannot be', () => {
  const below = new Broken();
  const flow = below.open(1);
  below.memory[HEADER.count] = 0;
  ends(() => below.table.remove(flow), /fewer than no flows are counted$/);
  const above = new Broken();
  above.open(1);
  above.memory[HEADER.count] = 2;
  ends(() => above.table.nextToSweep(), /more flows are counted than there are entries$/);
  const beyond = new Broken();
  beyond.open(1);
  beyond.memory[HEADER.highWater] = CAPACITY + 1;
  ends(() => beyond.table.nextToSweep(), /more flows are counted than there are entries$/);
});

test('a flow leaves only the line that it is in', () => {
  const { table } = new Broken();
  const make = (): FlowLines => {
    const lines = new FlowLines(table, new Broken().table, 4);
    lines.join(0, table, 0);
    lines.join(0, table, 1);
    return lines;
  };
  make().leave(0, table, 1);
  make().leave(0, table, 0);
  ends(() => make().leave(1, table, 0), /not in the line that its state says$/);
  ends(() => make().leave(0, table, 2), /not in the line that its state says$/);
  const lines = make();
  // What stands behind the first of the line.
  (Reflect.get(lines, 'links') as Int32Array)[2 * 1 + 1] = 5;
  ends(() => lines.leave(0, table, 1), /not in the line that its state says$/);
});

test('nobody has fewer than no entries', () => {
  const shares = new Shares(4);
  shares.grow(2);
  shares.shrink(2);
  ends(() => shares.shrink(2), /an owner has fewer than no entries$/);
  ends(() => new Shares(4).shrink(7), /an owner has fewer than no entries$/);
});
