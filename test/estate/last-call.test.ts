/** A server's estate has what other servers have answered, however late the store tells of it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { LAST_CALL_KEY, LastCall } from '../../src/estate/last-call.ts';
import type { Change, Snapshot, Store } from '../../src/store/store.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { change } from './world.ts';

/** A store that tells changes when the test says so, and counts its reads. */
class LateStore implements Store {
  readonly reads: string[] = [];
  /** The first reading waits for it. */
  readable: Promise<void> = Promise.resolve();
  tell = (): void => undefined;
  private readonly store: MemoryStore;
  private readonly told: Promise<void>;

  constructor(memory: Memory) {
    this.store = new MemoryStore(memory);
    this.told = new Promise((resolve) => (this.tell = resolve));
  }

  async read(prefix: string, revision?: number): Promise<Snapshot> {
    this.reads.push(prefix);
    await this.readable;
    return this.store.read(prefix, revision);
  }

  readParts(...args: Parameters<Store['readParts']>): ReturnType<Store['readParts']> {
    return this.store.readParts(...args);
  }

  commit(...args: Parameters<Store['commit']>): ReturnType<Store['commit']> {
    return this.store.commit(...args);
  }

  async *watch(prefix: string, after: number, signal: AbortSignal): AsyncGenerator<Change> {
    for await (const one of this.store.watch(prefix, after, signal)) {
      const over = new Promise((resolve) => signal.addEventListener('abort', resolve));
      await Promise.race([this.told, over]);
      yield one;
    }
  }

  lease(...args: Parameters<MemoryStore['lease']>): ReturnType<Store['lease']> {
    return this.store.lease(...args);
  }

  awaySinceMs(): undefined {
    return undefined;
  }

  close(): Promise<void> {
    return this.store.close();
  }
}

async function open(t: TestContext, store: Store): Promise<EstateClient> {
  const client = await EstateClient.open({ store, onTrouble: (message) => assert.fail(message) });
  t.after(() => client.close());
  return client;
}

function put(client: EstateClient, key: string, value: string): Promise<void> {
  return change(client, (edit) => {
    edit.put(key, value);
    return { ok: true, value: undefined };
  });
}

test('what another server has answered is waited for', async (t) => {
  const memory = new Memory();
  const store = new LateStore(memory);
  const [here, other] = [await open(t, store), await open(t, new MemoryStore(memory))];
  await here.catchUp(0);
  await put(other, 'a', '1');
  await assert.rejects(here.catchUp(0), {
    fault: 'failed',
    committed: 'no',
    message: 'the store has revision 1, and has not told of it within 0 s: only 0 is known here',
  });
  const caughtUp = here.catchUp(GUARD_MS);
  assert.equal(here.estate.textOf('a'), undefined);
  store.tell();
  await caughtUp;
  assert.equal(here.estate.textOf('a'), '1');
});

test('a change that is taken back is waited for, too', async (t) => {
  const memory = new Memory();
  const [here, other] = [await open(t, new MemoryStore(memory)), await open(t, new MemoryStore(memory))]; // prettier-ignore
  const done = await other.change((edit) => {
    edit.put('a', '1');
    return { ok: true, value: undefined };
  });
  assert.ok(done.ok && done.value.edit !== undefined);
  const { edit, revision } = done.value;
  await put(here, 'b', '1');
  assert.ok(await other.takeBack(edit, revision), 'the row of all calls keeps nobody from it');
  await here.catchUp();
  assert.deepEqual([...here.estate.keys()].sort(), ['b', LAST_CALL_KEY]);
});

test('what hosts and others write is not waited for', async (t) => {
  const memory = new Memory();
  const store = new LateStore(memory);
  const here = await open(t, store);
  await new MemoryStore(memory).commit({
    conditions: [],
    puts: [{ key: 'hosts/far/applied', value: '{}' }],
    deletes: [],
  });
  await here.catchUp(0);
});

test('calls that come during a reading share the next one', async (t) => {
  const memory = new Memory();
  const store = new LateStore(memory);
  t.after(() => store.close());
  const last = new LastCall(store);
  let go = (): void => undefined;
  store.readable = new Promise((resolve) => (go = resolve));
  const first = last.revision();
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(store.reads, [LAST_CALL_KEY]);
  const later = Array.from({ length: 10 }, () => last.revision());
  assert.deepEqual(store.reads, [LAST_CALL_KEY], 'one at a time');
  go();
  assert.deepEqual(await Promise.all([first, ...later]), Array<number>(11).fill(0));
  assert.deepEqual(store.reads, [LAST_CALL_KEY, LAST_CALL_KEY]);
});

test('a change that collides is made again when the other one is known, however late', async (t) => {
  const memory = new Memory();
  const store = new LateStore(memory);
  const [here, other] = [await open(t, store), await open(t, new MemoryStore(memory))];
  await put(other, 'a', 'other');
  let attempts = 0;
  const seen: (string | undefined)[] = [];
  const mine = change(here, (edit) => {
    seen.push(edit.text('a'));
    if (++attempts === 1) setImmediate(store.tell);
    edit.put('a', 'mine');
    return { ok: true, value: undefined };
  });
  await mine;
  assert.deepEqual(seen, [undefined, 'other']);
});
