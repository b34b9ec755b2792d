/** The contract of src/store/store.ts as tests, which each backend passes. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { COMMIT_LIMITS } from '../../src/store/limits.ts';
import {
  CompactedError,
  StoreError,
  type Change,
  type Commit,
  type Outcome,
  type Row,
  type Store,
} from '../../src/store/store.ts';

/** How the tests get at a backend. */
export interface Backend {
  readonly name: string;
  /** A watch may have fetched what is compacted before it is told: then it tells it. */
  readonly fetchesAhead?: boolean;
  /** Makes an empty store. All that it makes goes with the test. */
  readonly make: (t: TestContext) => Promise<Subject>;
}

export interface Subject {
  readonly store: Store;
  /** Opens the same store once more, as another process does. */
  readonly other: () => Promise<Store>;
  /** Compacts all history: of the past, only the newest revision is left. */
  readonly compact: () => Promise<void>;
}

type Parts = Partial<Commit>;

/** Commits, and expects the revision that it makes. */
export async function commit(store: Store, parts: Parts): Promise<number> {
  const outcome = await ask(store, parts);
  assert.equal(outcome.kind, 'committed');
  return (outcome as { revision: number }).revision;
}

function ask(store: Store, parts: Parts): Promise<Outcome> {
  return store.commit({ conditions: [], puts: [], deletes: [], ...parts });
}

/** `[{ key, value }]` of `{ key: value }`. */
export function putsOf(values: Readonly<Record<string, string>>): Commit['puts'] {
  return Object.entries(values).map(([key, value]) => ({ key, value }));
}

/** A row as `key=value createRevision/revision`. */
function shown({ key, value, createRevision, revision }: Row): string {
  return `${key}=${value} ${createRevision}/${revision}`;
}

async function rowsOf(store: Store, prefix: string, revision?: number): Promise<string[]> {
  return (await store.read(prefix, revision)).rows.map(shown);
}

/** A change as `revision: +put +put -delete`. */
export function shownChange({ revision, puts, deletes }: Change): string {
  const parts = [...puts.map((row) => `+${shown(row)}`), ...deletes.map((key) => `-${key}`)];
  return `${revision}: ${parts.join(' ')}`;
}

/** The next `count` changes, and the end of the watch. */
async function take(store: Store, prefix: string, after: number, count: number): Promise<string[]> {
  const end = new AbortController();
  const taken: string[] = [];
  for await (const change of store.watch(prefix, after, end.signal)) {
    taken.push(shownChange(change));
    if (taken.length === count) end.abort();
  }
  return taken;
}

/** Collects in the background until `stop`. */
function follow(store: Store, prefix: string, after: number, end: AbortController) {
  const seen: string[] = [];
  const ended = (async () => {
    for await (const change of store.watch(prefix, after, end.signal))
      seen.push(shownChange(change));
  })();
  return { seen, ended };
}

export function testContract({ name, make, fetchesAhead }: Backend): void {
  describe(`${name}: rows and revisions`, () => testRows(make));
  describe(`${name}: conditions`, () => testConditions(make));
  describe(`${name}: watches`, () => testWatches(make));
  describe(`${name}: history and its end`, () => testHistory(make, fetchesAhead === true));
  describe(`${name}: leases`, () => testLeases(make));
  describe(`${name}: what it refuses`, () => testRefusals(make));
}

type Make = Backend['make'];

function testRows(make: Make): void {
  test('it begins empty at revision 0', async (t) => {
    const { store } = await make(t);
    assert.deepEqual(await store.read(''), { revision: 0, rows: [] });
  });

  test('a row knows the revisions that made it and that put it last', async (t) => {
    const { store } = await make(t);
    assert.equal(await commit(store, { puts: putsOf({ a: '1', b: '2' }) }), 1);
    assert.equal(await commit(store, { puts: putsOf({ a: '3' }) }), 2);
    assert.equal(await commit(store, { puts: putsOf({ b: '2' }) }), 3);
    assert.deepEqual(await rowsOf(store, ''), ['a=3 1/2', 'b=2 1/3']);
    await commit(store, { deletes: ['a'] });
    assert.deepEqual(await rowsOf(store, ''), ['b=2 1/3']);
    await commit(store, { puts: putsOf({ a: '4' }) });
    assert.deepEqual(await rowsOf(store, ''), ['a=4 5/5', 'b=2 1/3']);
  });

  test('a prefix is one of texts, and rows are in the order of ASCII', async (t) => {
    const { store } = await make(t);
    const keys = ['g', 'g ', 'g-1', 'g/', 'g/1', 'g/10', 'g/Z', 'g/a', 'g/~', 'g/~~', 'g0', 'h'];
    await commit(store, { puts: [...keys].reverse().map((key) => ({ key, value: '' })) });
    const read = async (prefix: string): Promise<string[]> =>
      (await store.read(prefix)).rows.map(({ key }) => key);
    assert.deepEqual(await read(''), keys);
    assert.deepEqual(
      await read('g/'),
      keys.filter((key) => key.startsWith('g/')),
    );
    assert.deepEqual(await read('g/1'), ['g/1', 'g/10']);
    assert.deepEqual(await read('g/~'), ['g/~', 'g/~~']);
    assert.deepEqual(await read('i'), []);
  });

  test('values come back as they were', async (t) => {
    const { store } = await make(t);
    const values = ['', '{"a":[1,2]}', 'Grüße 🧱 \u2028\n\r\t"\'', 'x'.repeat(200_000)];
    await commit(store, { puts: values.map((value, i) => ({ key: `v/${i}`, value })) });
    assert.deepEqual(
      (await store.read('v/')).rows.map(({ value }) => value),
      values,
    );
  });

  test('what changes nothing makes no revision', async (t) => {
    const { store } = await make(t);
    await commit(store, { puts: putsOf({ a: '1' }) });
    assert.equal(await commit(store, {}), 1);
    assert.equal(await commit(store, { deletes: ['b', 'c'] }), 1);
    assert.equal(await commit(store, { conditions: [{ key: 'a', revision: 1 }] }), 1);
    assert.deepEqual(await store.read('b'), { revision: 1, rows: [] });
  });

  test('the past can be read, as it was', async (t) => {
    const { store } = await make(t);
    await commit(store, { puts: putsOf({ 'a/1': 'x', 'a/2': 'x', b: 'x' }) });
    await commit(store, { puts: putsOf({ 'a/1': 'y' }), deletes: ['a/2'] });
    await commit(store, { puts: putsOf({ 'a/2': 'z', 'a/3': 'z' }) });
    await commit(store, { deletes: ['a/1', 'b'] });
    assert.deepEqual(await store.read('a/', 0), { revision: 0, rows: [] });
    assert.deepEqual(await rowsOf(store, 'a/', 1), ['a/1=x 1/1', 'a/2=x 1/1']);
    assert.deepEqual(await rowsOf(store, 'a/', 2), ['a/1=y 1/2']);
    assert.deepEqual(await rowsOf(store, '', 3), [
      'a/1=y 1/2',
      'a/2=z 3/3',
      'a/3=z 3/3',
      'b=x 1/1',
    ]);
    assert.deepEqual(await rowsOf(store, '', 4), ['a/2=z 3/3', 'a/3=z 3/3']);
    assert.equal((await store.read('', 2)).revision, 2);
  });

  test('parts are rows and all below a prefix, as of one revision', async (t) => {
    const { store } = await make(t);
    await commit(store, { puts: putsOf({ 'a/1': 'x', 'a/2': 'x', 'a/1b': 'x', b: 'x', c: 'x' }) });
    await commit(store, { puts: putsOf({ 'a/1': 'y', 'a/3': 'y' }), deletes: ['b'] });
    const partsOf = async (parts: readonly string[], revision?: number): Promise<string[]> => {
      const found = await store.readParts(parts, revision);
      assert.equal(found.revision, revision ?? 2);
      return found.rows.map(shown);
    };
    assert.deepEqual(await partsOf(['c', 'a/1', 'b', 'd/']), ['c=x 1/1', 'a/1=y 1/2']);
    assert.deepEqual(await partsOf(['a/1']), ['a/1=y 1/2']);
    const below = ['a/1=y 1/2', 'a/1b=x 1/1', 'a/2=x 1/1', 'a/3=y 2/2'];
    assert.deepEqual(await partsOf(['b', 'a/', 'a/1']), [...below, 'a/1=y 1/2']);
    assert.deepEqual(await partsOf(['b', 'a/1', 'c'], 1), ['b=x 1/1', 'a/1=x 1/1', 'c=x 1/1']);
    assert.deepEqual(await store.readParts(['a/', 'b'], 0), { revision: 0, rows: [] });
    await assert.rejects(store.readParts(['a/', 'b'], 3), CompactedError);
    await assert.rejects(store.readParts([]), RangeError);
    await assert.rejects(store.readParts(['a/', 'ä']), RangeError);
    await assert.rejects(store.readParts(['a/', 'b'], -1), RangeError);
  });

  test('parts may be many, and have many rows, and large ones', async (t) => {
    const { store } = await make(t);
    const few = Array.from({ length: 300 }, (_, i) => `few/${String(i).padStart(3, '0')}/`);
    const { operations } = COMMIT_LIMITS;
    for (let from = 0; from < few.length; from += operations)
      await commit(store, {
        puts: few.slice(from, from + operations).map((part) => ({ key: `${part}row`, value: '' })),
      });
    const many = Array.from({ length: 500 }, (_, i) => `many/${String(i).padStart(3, '0')}`);
    for (let from = 0; from < many.length; from += operations)
      await commit(store, {
        puts: many.slice(from, from + operations).map((key) => ({ key, value: '' })),
      });
    // Together more than a message of etcd's may have here.
    const large = Array.from({ length: 20 }, (_, i) => `large/${String(i).padStart(2, '0')}`);
    const value = 'x'.repeat(1_000_000);
    for (const key of large) await commit(store, { puts: [{ key, value }] });
    const keysOf = async (parts: readonly string[]): Promise<string[]> =>
      (await store.readParts(parts)).rows.map(({ key }) => key);
    assert.deepEqual(
      await keysOf([...few].reverse()),
      [...few].reverse().map((one) => `${one}row`),
    );
    assert.deepEqual(await keysOf(['few/001/', 'many/', many[7]]), [
      'few/001/row',
      ...many,
      many[7],
    ]);
    assert.deepEqual(await keysOf(large), large);
    assert.deepEqual(await keysOf(['few/000/', 'large/']), ['few/000/row', ...large]);
  });

  test('what was answered is there for everybody', async (t) => {
    const { store, other } = await make(t);
    const second = await other();
    for (let i = 1; i <= 20; i++) {
      const [from, to] = i % 2 === 0 ? [store, second] : [second, store];
      const revision = await commit(from, { puts: putsOf({ a: String(i) }) });
      assert.deepEqual(await to.read('a'), {
        revision,
        rows: [{ key: 'a', value: String(i), createRevision: 1, revision }],
      });
    }
  });

  test('many rows are read as of one revision while others write', async (t) => {
    const { store, other } = await make(t);
    const second = await other();
    const count = 12_000;
    const keyOf = (i: number): string => `r/${String(i).padStart(6, '0')}`;
    for (let i = 0; i < count; i += 100) {
      const keys = Array.from({ length: 100 }, (_, j) => keyOf(i + j));
      await commit(store, { puts: keys.map((key) => ({ key, value: '0' })) });
    }
    // The first and the last row always have the same value, and one of them goes at times.
    let isReading = true;
    const writing = (async () => {
      for (let i = 1; isReading; i++) {
        const value = String(i);
        await commit(second, { puts: putsOf({ [keyOf(0)]: value, [keyOf(count - 1)]: value }) });
        await commit(second, { deletes: [keyOf(count / 2)] });
        await commit(second, { puts: putsOf({ [keyOf(count / 2)]: value }) });
      }
    })();
    for (let i = 0; i < 3; i++) {
      const { revision, rows } = await store.read('r/');
      assert.equal(rows[0].value, rows[rows.length - 1].value);
      assert.deepEqual(
        rows.map(({ key }) => key),
        [...new Set(rows.map(({ key }) => key))].sort(),
      );
      assert.ok(rows.length === count || rows.length === count - 1, String(rows.length));
      assert.ok(rows.every((row) => row.revision <= revision));
    }
    isReading = false;
    await writing;
  });
}

function testConditions(make: Make): void {
  test('a commit happens if each key was last put when it says', async (t) => {
    const { store } = await make(t);
    const conditions = [{ key: 'a', revision: 0 }];
    assert.equal(await commit(store, { conditions, puts: putsOf({ a: '1' }) }), 1);
    assert.deepEqual(await ask(store, { conditions, puts: putsOf({ a: '2', b: '2' }) }), {
      kind: 'conflict',
      keys: ['a'],
    });
    await commit(store, { conditions: [{ key: 'a', revision: 1 }], puts: putsOf({ a: '3' }) });
    assert.deepEqual(await rowsOf(store, ''), ['a=3 1/2']);
    assert.deepEqual(
      await ask(store, { conditions: [{ key: 'a', revision: 1 }], deletes: ['a'] }),
      { kind: 'conflict', keys: ['a'] },
    );
    await commit(store, { conditions: [{ key: 'a', revision: 2 }], deletes: ['a'] });
    assert.deepEqual(
      await ask(store, { conditions: [{ key: 'a', revision: 2 }], puts: putsOf({ a: '4' }) }),
      { kind: 'conflict', keys: ['a'] },
    );
    assert.deepEqual(await store.read(''), { revision: 3, rows: [] });
  });

  test('a conflict names all keys that did not hold', async (t) => {
    const { store } = await make(t);
    await commit(store, { puts: putsOf({ a: '', b: '', c: '' }) });
    const conditions = [
      { key: 'z', revision: 1 },
      { key: 'b', revision: 1 },
      { key: 'c', revision: 0 },
      { key: 'y', revision: 0 },
      { key: 'a', revision: 7 },
    ];
    assert.deepEqual(await ask(store, { conditions, puts: putsOf({ d: '' }) }), {
      kind: 'conflict',
      keys: ['z', 'c', 'a'],
    });
    assert.deepEqual(await rowsOf(store, 'd'), []);
  });

  test('of a hundred commits at once that want one key to be absent, one happens', async (t) => {
    const { store, other } = await make(t);
    const stores = [store, await other()];
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        ask(stores[i % 2], {
          conditions: [{ key: 'a', revision: 0 }],
          puts: putsOf({ a: String(i) }),
        }),
      ),
    );
    assert.equal(outcomes.filter(({ kind }) => kind === 'committed').length, 1);
    const winner = outcomes.findIndex(({ kind }) => kind === 'committed');
    assert.deepEqual(await rowsOf(store, ''), [`a=${winner} 1/1`]);
  });

  test('commits of one caller happen in the order of its calls', async (t) => {
    const { store } = await make(t);
    const revisions = await Promise.all(
      Array.from({ length: 50 }, (_, i) => commit(store, { puts: putsOf({ a: String(i) }) })),
    );
    assert.deepEqual(
      revisions,
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
    assert.deepEqual(await rowsOf(store, ''), ['a=49 1/50']);
  });
}

function testWatches(make: Make): void {
  test('tell each revision whole, once and in order, from where they were', async (t) => {
    const { store, other } = await make(t);
    const second = await other();
    await commit(store, { puts: putsOf({ 'b/1': 'x', 'a/2': 'x', 'a/1': 'x' }) });
    await commit(store, { puts: putsOf({ 'b/1': 'y' }) });
    await commit(store, { puts: putsOf({ 'a/3': 'y', 'a/1': 'y' }), deletes: ['b/1', 'a/2'] });
    const end = new AbortController();
    const all = follow(second, '', 0, end);
    const some = follow(second, 'a/', 1, end);
    const expected = [
      '1: +a/1=x 1/1 +a/2=x 1/1 +b/1=x 1/1',
      '2: +b/1=y 1/2',
      '3: +a/1=y 1/3 +a/3=y 3/3 -a/2 -b/1',
      '4: +b/2=z 4/4',
      '5: +a/1=z 1/5',
    ];
    await commit(store, { puts: putsOf({ 'b/2': 'z' }) });
    await commit(second, { puts: putsOf({ 'a/1': 'z' }) });
    assert.deepEqual(await take(store, '', 0, 5), expected);
    assert.deepEqual(await take(store, 'a/', 3, 1), [expected[4]]);
    // A watch may be told after `take` was: it is ended only when it has all.
    while (all.seen.length < 5 || some.seen.length < 2) await pause();
    end.abort();
    await Promise.all([all.ended, some.ended]);
    assert.deepEqual(all.seen, expected);
    assert.deepEqual(some.seen, ['3: +a/1=y 1/3 +a/3=y 3/3 -a/2', '5: +a/1=z 1/5']);
  });

  test('wait for what comes, also from others', async (t) => {
    const { store, other } = await make(t);
    const second = await other();
    for (let i = 1; i <= 10; i++) {
      const next = take(second, 'a', i - 1, 1);
      await pause();
      const puts = putsOf({ a: String(i) });
      await commit(i % 2 === 0 ? store : second, { puts, mayBeLost: i % 3 === 0 });
      assert.deepEqual(await next, [`${i}: +a=${i} 1/${i}`]);
    }
  });

  test('catch up with much', async (t) => {
    const { store } = await make(t);
    for (let i = 1; i <= 300; i++)
      await commit(store, { puts: putsOf({ [`k/${i % 7}`]: `${i}` }) });
    const seen = await take(store, 'k/3', 0, 43);
    assert.equal(seen.length, 43);
    assert.equal(seen[0], '3: +k/3=3 3/3');
    assert.equal(seen[42], '297: +k/3=297 3/297');
  });

  test('end with their signal: before they begin, while they wait, between two changes', async (t) => {
    const { store } = await make(t);
    await commit(store, { puts: putsOf({ a: '1' }) });
    await commit(store, { puts: putsOf({ a: '2' }) });
    const ended = AbortSignal.abort();
    for await (const change of store.watch('', 0, ended)) assert.fail(shownChange(change));
    const end = new AbortController();
    const { seen, ended: over } = follow(store, '', 2, end);
    await pause();
    end.abort();
    await over;
    assert.deepEqual(seen, []);
    assert.deepEqual(await take(store, '', 0, 1), ['1: +a=1 1/1']);
    const changes = store.watch('', 0, new AbortController().signal)[Symbol.asyncIterator]();
    assert.equal(((await changes.next()).value as Change).revision, 1);
    assert.deepEqual(await changes.return?.(), { done: true, value: undefined });
  });

  test('end with their signal, whatever they are about at that moment', async (t) => {
    const { store } = await make(t);
    const revision = await commit(store, { puts: putsOf({ a: '1' }) });
    const signals = Array.from({ length: 300 }, () => new AbortController());
    const watches = signals.map((end) => follow(store, '', revision, end));
    // Some are ended by each turn of the event loop from when they began.
    for (const [i, end] of signals.entries()) {
      end.abort();
      if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(watches.map(({ ended }) => ended));
  });

  test('end with the store', async (t) => {
    const { store } = await make(t);
    const { seen, ended } = follow(store, '', 0, new AbortController());
    await pause();
    await store.close();
    await ended;
    assert.deepEqual(seen, []);
  });
}

function testHistory(make: Make, fetchesAhead: boolean): void {
  test('what is compacted is told as such, and the rest is there', async (t) => {
    const { store, other, compact } = await make(t);
    const second = await other();
    for (const value of ['1', '2', '3'])
      await commit(store, { puts: putsOf({ a: value }), deletes: ['b'] });
    await compact();
    await commit(store, { puts: putsOf({ b: '4' }), deletes: ['a'] });
    for (const each of [store, second]) {
      for (const gone of [0, 1, 2]) {
        await assert.rejects(each.read('', gone), CompactedError);
        await assert.rejects(take(each, '', gone, 1), CompactedError);
      }
      assert.deepEqual(await rowsOf(each, '', 3), ['a=3 1/3']);
      assert.deepEqual(await take(each, '', 3, 1), ['4: +b=4 4/4 -a']);
      assert.deepEqual(await rowsOf(each, ''), ['b=4 4/4']);
    }
  });

  test('a watch that is too slow is told so', async (t) => {
    const { store, compact } = await make(t);
    const count = 200;
    for (let i = 0; i < count; i++) await commit(store, { puts: putsOf({ a: String(i) }) });
    const changes = store.watch('', 0, new AbortController().signal)[Symbol.asyncIterator]();
    assert.equal(((await changes.next()).value as Change).revision, 1);
    await compact();
    // Some may have been fetched before; none may be left out.
    const rest = (async () => {
      for (let revision = 2; revision <= count; revision++)
        assert.equal(((await changes.next()).value as Change).revision, revision);
    })();
    if (fetchesAhead) await rest;
    else await assert.rejects(rest, CompactedError);
    await changes.return?.();
  });

  test('a revision that the store has not reached is of another store', async (t) => {
    const { store } = await make(t);
    await commit(store, { puts: putsOf({ a: '1' }) });
    await assert.rejects(store.read('', 2), CompactedError);
    await assert.rejects(take(store, '', 2, 1), (error: unknown) => {
      assert.ok(error instanceof CompactedError);
      assert.equal(error.revision, 2);
      assert.match(error.message, /^revision 2 is not kept: .* 1; read anew$/);
      return true;
    });
  });

  test('a closed store has done what it was asked for, and does no more', async (t) => {
    const { store, other } = await make(t);
    const second = await other();
    const asked = [1, 2, 3].map((i) => commit(store, { puts: putsOf({ [`a/${i}`]: '' }) }));
    await store.close();
    await store.close();
    assert.deepEqual(await Promise.all(asked), [1, 2, 3]);
    const isClosed = (error: unknown): boolean =>
      error instanceof StoreError && error.fault === 'closed' && error.committed === 'no';
    await assert.rejects(store.read(''), isClosed);
    await assert.rejects(store.readParts(['a/1', 'a/2']), isClosed);
    await assert.rejects(ask(store, { puts: putsOf({ a: '1' }) }), isClosed);
    await assert.rejects(take(store, '', 0, 1), isClosed);
    assert.equal((await second.read('a/')).rows.length, 3);
  });
}

function testLeases(make: Make): void {
  const TTL_SEC = 60;

  test('a row is put by its lease, also again, and goes when it is released', async (t) => {
    const { store, other } = await make(t);
    const lease = store.lease({ key: 'a', value: '1' }, TTL_SEC);
    assert.equal(lease.keptUntilMs, 0);
    assert.deepEqual(await rowsOf(store, ''), []);
    assert.equal(await lease.put(), 1);
    assert.ok(lease.keptUntilMs > performance.now());
    assert.deepEqual(await rowsOf(await other(), ''), ['a=1 1/1']);
    await commit(await other(), { deletes: ['a'] });
    assert.equal(await lease.put(), 3);
    assert.equal(await lease.put(), 4);
    assert.deepEqual(await rowsOf(store, ''), ['a=1 3/4']);
    await lease.release();
    assert.equal(lease.keptUntilMs, 0);
    assert.deepEqual(await store.read(''), { revision: 5, rows: [] });
  });

  test('who puts a row that another lease keeps has it', async (t) => {
    const { store, other } = await make(t);
    await store.lease({ key: 'a', value: '1' }, TTL_SEC).put();
    await store.close();
    const second = await other();
    assert.deepEqual(await rowsOf(second, ''), ['a=1 1/1'], 'a store that is closed takes none');
    const lease = second.lease({ key: 'a', value: '2' }, TTL_SEC);
    await lease.put();
    assert.deepEqual(await rowsOf(second, ''), ['a=2 1/2']);
    await lease.release();
    assert.deepEqual(await rowsOf(second, ''), []);
  });

  test('it takes what a commit takes, and nothing once the store is closed', async (t) => {
    const { store } = await make(t);
    assert.throws(() => store.lease({ key: '', value: '' }, TTL_SEC), RangeError);
    assert.throws(() => store.lease({ key: 'a', value: '\0' }, TTL_SEC), RangeError);
    const lease = store.lease({ key: 'a', value: '1' }, TTL_SEC);
    await store.close();
    const isClosed = (error: unknown): boolean =>
      error instanceof StoreError && error.fault === 'closed';
    await assert.rejects(lease.put(), isClosed);
  });
}

function testRefusals(make: Make): void {
  const { operations, bytes, keyBytes } = COMMIT_LIMITS;
  const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}`);
  const puts = (keys: readonly string[]): Commit['puts'] => keys.map((key) => ({ key, value: '' }));
  const cases: readonly (readonly [name: string, parts: Parts, message: RegExp])[] = [
    ['an empty key', { puts: putsOf({ '': '' }) }, /^not a key .*: ""$/],
    ['an umlaut in a key', { deletes: ['ä'] }, /^not a key .*: "ä"$/],
    ['a line in a key', { conditions: [{ key: 'a\n', revision: 0 }] }, /^not a key .*: "a\\n"$/],
    [
      'a long key',
      { deletes: ['x'.repeat(keyBytes + 1)] },
      /^a key of 1025 bytes; it may have 1024/,
    ],
    ['a NUL in a value', { puts: putsOf({ a: 'x\0' }) }, /^the value of a has a NUL/],
    ['half a character', { puts: putsOf({ a: 'x\ud83e' }) }, /^the value of a has .* half a surr/],
    ['a key put twice', { puts: puts(['a', 'b', 'a']) }, /^a commit that changes a twice$/],
    [
      'a key put and deleted',
      { puts: puts(['a']), deletes: ['a'] },
      /^a commit that changes a twice$/,
    ],
    [
      'too many changes',
      { puts: puts(many(operations)), deletes: ['x'] },
      /^a commit of 128 puts and deletes; it may have 127$/,
    ],
    [
      'too many conditions',
      { conditions: many(operations + 1).map((key) => ({ key, revision: 0 })) },
      /^a commit of 128 conditions; it may have 127$/,
    ],
    [
      'too many bytes',
      { puts: putsOf({ a: 'ä'.repeat(bytes / 2) }) },
      /^a commit of 1048577 bytes; it may have 1048576$/,
    ],
    ['half a revision', { conditions: [{ key: 'a', revision: 0.5 }] }, /^not a revision: 0.5$/],
    ['a negative one', { conditions: [{ key: 'a', revision: -1 }] }, /^not a revision: -1$/],
  ];
  for (const [name, parts, message] of cases)
    test(name, async (t) => {
      const { store } = await make(t);
      await assert.rejects(ask(store, parts), { name: 'RangeError', message });
      assert.deepEqual(await store.read(''), { revision: 0, rows: [] });
    });

  test('prefixes and revisions that can not be', async (t) => {
    const { store } = await make(t);
    await assert.rejects(store.read('ä'), RangeError);
    await assert.rejects(store.read('', -1), RangeError);
    await assert.rejects(take(store, '\n', 0, 1), RangeError);
    await assert.rejects(take(store, '', NaN, 1), RangeError);
  });

  test('not what is just within the bounds', async (t) => {
    const { store } = await make(t);
    const keys = many(operations);
    await commit(store, {
      conditions: keys.map((key) => ({ key, revision: 0 })),
      puts: puts(keys),
    });
    await commit(store, { puts: putsOf({ a: 'x'.repeat(bytes - 1) }) });
    await commit(store, { puts: putsOf({ ['x'.repeat(keyBytes)]: '' }) });
    assert.equal((await store.read('')).rows.length, operations + 2);
  });
}

/** Lets timers and the file system have their turn. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}
