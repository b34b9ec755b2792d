/** A backend against its slow twin: random commits, reads of the past, watches and compactions, compared. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'node:test';
import { CompactedError, type Commit, type Store } from '../../src/store/store.ts';
import { putsOf, shownChange, type Backend, type Subject } from './contract.ts';

const KEYS = ['a', 'a/1', 'a/1/x', 'a/2', 'b/1', 'b/2'];
const PREFIXES = ['', 'a', 'a/', 'a/1', 'b/', 'c'];
/** Each prefix has one, so that a watch knows that it has seen all. */
const LAST = putsOf({ '~': '', 'a/1/~': '', 'b/~': '', 'c/~': '' });

/** Which revision a condition names: none, the right one, or one before. */
type Aim = 'absent' | 'right' | 'stale';

type Step =
  | {
      readonly kind: 'commit';
      readonly byOther: boolean;
      readonly conditions: readonly (readonly [key: string, aim: Aim])[];
      readonly puts: ReadonlyMap<string, string>;
      readonly deletes: readonly string[];
    }
  | { readonly kind: 'read'; readonly prefix: string; readonly back: number | undefined }
  | { readonly kind: 'watch'; readonly prefix: string; readonly back: number }
  | { readonly kind: 'compact' };

const key = fc.constantFrom(...KEYS);
const prefix = fc.constantFrom(...PREFIXES);
const back = fc.nat({ max: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      byOther: fc.boolean(),
      conditions: fc.array(
        fc.tuple(key, fc.constantFrom<Aim>('right', 'right', 'right', 'absent', 'stale')),
        { maxLength: 2 },
      ),
      puts: fc.array(fc.tuple(key, fc.string({ maxLength: 3 })), { maxLength: 3 }).map((p) => {
        return new Map(p.map(([k, v]) => [k, v.replaceAll('\0', '')]));
      }),
      deletes: fc.uniqueArray(key, { maxLength: 2 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      prefix,
      back: fc.option(back, { nil: undefined }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('watch' as const), prefix, back }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
);

/** The result, or that the past is gone. */
async function outcomeOf<T>(work: Promise<T>): Promise<T | string> {
  return work.catch((error: unknown) => {
    // Not every backend knows the oldest revision, which the message has.
    if (error instanceof CompactedError) return `${error.revision} is not kept of ${error.newest}`;
    throw error;
  });
}

/** All changes up to a revision. @returns what was seen, at the end the error if there was one */
async function changesUpTo(
  store: Store,
  prefix: string,
  after: number,
  last: number,
): Promise<string[]> {
  const end = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const change of store.watch(prefix, after, end.signal)) {
      seen.push(shownChange(change));
      if (change.revision === last) end.abort();
    }
  })();
  const error = await outcomeOf(watching);
  if (error !== undefined) seen.push(error);
  return seen;
}

async function commitOf(
  { conditions, puts, deletes }: Extract<Step, { kind: 'commit' }>,
  store: Store,
): Promise<Commit> {
  const rows = new Map((await store.read('')).rows.map((row) => [row.key, row.revision]));
  return {
    conditions: conditions.map(([key, aim]) => {
      const revision = rows.get(key) ?? 0;
      return { key, revision: aim === 'right' ? revision : aim === 'absent' ? 0 : revision + 1 };
    }),
    puts: [...puts].map(([key, value]) => ({ key, value })),
    deletes: deletes.filter((key) => !puts.has(key)),
  };
}

interface Pair {
  readonly subject: Subject;
  readonly twin: Subject;
  readonly subjectOther: Store;
  readonly twinOther: Store;
}

/** Does the same to both and compares the answers. @returns the watches that were begun */
async function play(pair: Pair, steps: readonly Step[]): Promise<void> {
  const { subject, twin, subjectOther, twinOther } = pair;
  const begun: { readonly prefix: string; readonly after: number }[] = [];
  for (const step of steps) {
    const newest = (await twin.store.read('')).revision;
    switch (step.kind) {
      case 'commit': {
        const commit = await commitOf(step, twin.store);
        const [a, b] = step.byOther ? [subjectOther, twinOther] : [subject.store, twin.store];
        assert.deepEqual(await a.commit(commit), await b.commit(commit));
        break;
      }
      case 'read': {
        const at = step.back === undefined ? undefined : Math.max(0, newest + 1 - step.back);
        assert.deepEqual(
          await outcomeOf(subject.store.read(step.prefix, at)),
          await outcomeOf(twin.store.read(step.prefix, at)),
        );
        break;
      }
      case 'watch':
        begun.push({ prefix: step.prefix, after: Math.max(0, newest - step.back) });
        break;
      case 'compact':
        await subject.compact();
        await twin.compact();
        break;
    }
  }
  const last = { conditions: [], puts: LAST, deletes: [] };
  const outcome = await subjectOther.commit(last);
  assert.deepEqual(outcome, await twin.store.commit(last));
  const { revision } = outcome as { revision: number };
  for (const { prefix, after } of begun)
    assert.deepEqual(
      await changesUpTo(subject.store, prefix, after, revision),
      await changesUpTo(twin.store, prefix, after, revision),
    );
}

export function testAgainstTwin(backend: Backend, twin: Backend): void {
  describe(`${backend.name} and ${twin.name}`, () => {
    test('answer alike', async (t) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
          const [a, b] = [await backend.make(t), await twin.make(t)];
          const pair = {
            subject: a,
            twin: b,
            subjectOther: await a.other(),
            twinOther: await b.other(),
          };
          await play(pair, steps);
          for (const store of [a.store, pair.subjectOther]) await store.close();
        }),
        { numRuns: 100 },
      );
    });
  });
}
