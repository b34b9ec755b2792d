/**
 * Programs that tests of the store run beside themselves: `child.js NAME FILE …`. They print a line for each thing that
 * has happened, at once.
 */
import { rmSync, writeFileSync, writeSync } from 'node:fs';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { Sqlite } from '../../src/store/sqlite.ts';
import { StoreError, type Outcome } from '../../src/store/store.ts';

const [name, file, ...args] = process.argv.slice(2);

function say(what: unknown): void {
  writeSync(1, `${typeof what === 'string' ? what : JSON.stringify(what)}\n`);
}

const PROGRAMS: Readonly<Record<string, () => Promise<void>>> = {
  /**
   * Puts a number into ten rows, one more each time, until it is killed. Says each that was answered. Those that a loss
   * of power may undo are as safe from a kill as the others.
   */
  count: async () => {
    const store = await openSqliteStore(file);
    const { rows } = await store.read('count/');
    for (let value = rows.length === 0 ? 1 : Number(rows[0].value) + 1; ; value++) {
      const puts = Array.from({ length: 10 }, (_, i) => ({
        key: `count/${i}`,
        value: String(value),
      }));
      const mayBeLost = value % 3 === 0;
      const outcome = await store.commit({ conditions: [], puts, deletes: [], mayBeLost });
      say(`${value} ${(outcome as { revision: number }).revision}`);
    }
  },

  /** Wants to be the first in each of many rounds, and then to add to one number. Says what it won. */
  race: async () => {
    const [me, rounds] = [args[0], Number(args[1])];
    const store = await openSqliteStore(file);
    const first: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const key = `round/${i}`;
      const outcome = await store.commit({
        conditions: [{ key, revision: 0 }],
        puts: [{ key, value: me }],
        deletes: [],
      });
      if (outcome.kind === 'committed') first.push(i);
    }
    let added = 0;
    for (let i = 0; i < rounds; i++) {
      const [row] = (await store.read('sum')).rows;
      const outcome: Outcome = await store.commit({
        conditions: [{ key: 'sum', revision: row?.revision ?? 0 }],
        puts: [{ key: 'sum', value: String(Number(row?.value ?? 0) + 1) }],
        deletes: [],
      });
      if (outcome.kind === 'committed') added++;
    }
    say({ first, added });
    await store.close();
  },

  /** Fills the disk, makes room, and goes on. `args[0]` is a file that takes room. */
  fill: async () => {
    const store = await openSqliteStore(file);
    let last = 0;
    const put = async (): Promise<void> => {
      const puts = [{ key: `fill/${last + 1}`, value: 'x'.repeat(10_000) }];
      const outcome = await store.commit({ conditions: [], puts, deletes: [] });
      last = (outcome as { revision: number }).revision;
    };
    try {
      for (;;) await put();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const { fault, committed, message } = error;
      say({ fault, committed, message });
    }
    const { revision, rows } = await store.read('');
    say({ last, revision, rows: rows.length });
    rmSync(args[0]);
    await put();
    say({ last });
    await store.close();
  },

  /** Opens a store, and says what comes of it. */
  open: async () => {
    try {
      const store = await openSqliteStore(file);
      say({ revision: (await store.read('')).revision });
      await store.close();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      say({ fault: error.fault, message: error.message });
    }
  },

  /** Commits as another user, with the umask of the unit that hides most: `args` are uid, gid and further groups. */
  user: async () => {
    const [uid, gid, ...groups] = args.map(Number);
    // Before it can no longer read what it needs for that.
    Sqlite.inMemory(file).close();
    process.umask(0o077);
    process.setgroups!(groups);
    process.setgid!(gid);
    process.setuid!(uid);
    const store = await openSqliteStore(file);
    for (let i = 0; i < 3; i++) {
      const puts = [{ key: `user/${uid}/${i}`, value: '' }];
      const outcome = await store.commit({ conditions: [], puts, deletes: [] });
      say({ revision: (outcome as { revision: number }).revision });
    }
    // The other user finds it open, and later closed.
    process.stdin.resume().once('end', () => void store.close());
  },

  /** Watches, and says each revision with its keys. */
  watch: async () => {
    const store = await openSqliteStore(file);
    const end = new AbortController();
    const { revision } = await store.read('');
    say(`from ${revision}`);
    for await (const change of store.watch('', revision, end.signal)) {
      say(`${change.revision} ${change.puts.map(({ key }) => key).join(' ')}`);
      if (change.puts.some(({ key }) => key === 'end')) end.abort();
    }
    await store.close();
  },

  /** Takes room. */
  filler: async () => writeFileSync(file, Buffer.alloc(Number(args[0]))),
};

await PROGRAMS[name]();
