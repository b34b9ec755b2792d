/** A watch of a store in etcd whose caller is slow. Runs alone: it measures memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { start } from '../support/process.ts';
import { commit, putsOf } from './contract.ts';
import { openAt } from './etcd-place.ts';

const COMMITS = 150;
const VALUE_BYTES = 1_000_000;

/** Takes one change, waits for a line, says what memory it needs, then takes all the others. */
const PROGRAM = `
  const { openStore } = await import(process.argv[1]);
  const [url, after, count] = [process.argv[2], ...process.argv.slice(3).map(Number)];
  const store = await openStore(url, () => undefined);
  const changes = store.watch('', after, new AbortController().signal)[Symbol.asyncIterator]();
  const used = () => {
    gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  await changes.next();
  const before = used();
  console.log('waiting');
  await new Promise((resolve) => process.on('SIGUSR2', resolve));
  console.log(JSON.stringify({ grown: used() - before }));
  let [bytes, last] = [0, 0];
  for (let i = 0; i < count; i++) {
    const { value } = await changes.next();
    bytes += value.puts[0].value.length;
    if (value.revision <= last) throw new Error('out of order');
    last = value.revision;
  }
  console.log(JSON.stringify({ bytes, last }));
  process.exit();`;

test('what it has not taken stays with etcd', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const url = `etcd://${etcd.hosts}/`;
  const store = await openAt(t, url);
  const { revision } = await store.read('');
  const module = new URL('../../src/store/open-store.js', import.meta.url).href;
  const args = ['--expose-gc', '--input-type=module', '-e', PROGRAM, module];
  const child = await start(process.execPath, [...args, url, String(revision), String(COMMITS)]);
  t.after(() => child.stop('SIGKILL'));
  await commit(store, { puts: putsOf({ a: 'first' }) });
  await child.waitFor(/waiting/);
  let last = 0;
  for (let i = 0; i < COMMITS; i++)
    last = await commit(store, { puts: putsOf({ a: String(i % 10).repeat(VALUE_BYTES) }) });
  process.kill(child.pid, 'SIGUSR2');
  const [, grown] = await child.waitFor(/"grown":(\d+)/);
  // Sixteen answers and what is under way; a third of all would be 50 MB.
  assert.ok(Number(grown) < (COMMITS * VALUE_BYTES) / 3, `${grown} bytes`);
  await child.waitFor(/"bytes"/);
  assert.match(child.stdout(), new RegExp(`{"bytes":${COMMITS * VALUE_BYTES},"last":${last}}`));
  t.diagnostic(`grown by ${grown} bytes while ${COMMITS * VALUE_BYTES} came`);
});
