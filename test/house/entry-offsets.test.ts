/** Only files of conntrack/ that handle flow entries know where an entry's fields are (ARCHITECTURE.md). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSources, repositoryRoot } from '../support/repository.ts';
import { entryBreaches } from './entry-rules.ts';

function breaches(path: string, text: string): string[] {
  return entryBreaches(new Map([[path, text]]));
}

test('no file outside conntrack computes an offset of a flow entry', () => {
  const sources = readSources(repositoryRoot());
  // Were they moved or renamed, the check would look for nothing.
  for (const name of ['entry', 'table', 'flow-key', 'flow-record', 'track', 'tcp', 'tcp-end'])
    assert.ok(sources.has(`src/conntrack/${name}.ts`), name);
  assert.match(sources.get('src/conntrack/entry.ts')!, /export const FLOW_STATE = /);
  assert.match(sources.get('src/conntrack/table.ts')!, /readonly stride: number/);
  assert.deepEqual(entryBreaches(sources), []);
});

test('each way to compute one is found', () => {
  const by = (path: string, text: string): string[] =>
    breaches(path, text).map((breach) => /: (\w+) is known/.exec(breach)![1]);
  assert.deepEqual(
    by('src/engine/a.ts', 'const at = flow * table.stride + table.keyWords + FLOW_STATE;'),
    ['stride', 'keyWords', 'FLOW_STATE'],
  );
  assert.deepEqual(by('src/engine/a.ts', 'const { stride, keyWords: words } = table;'), [
    'stride',
    'keyWords',
  ]);
  assert.deepEqual(by('src/engine/a.ts', 'const rule = word & RULE_MASK;'), ['RULE_MASK']);
  assert.deepEqual(by('src/conntrack/tcp.ts', 'words[at + TCP_OTHER + TCP_SIDE_ACK] = 1;'), []);
  assert.deepEqual(by('src/conntrack/tcp.ts', 'const at = table.stride;'), ['stride']);
  assert.deepEqual(by('src/conntrack/half-open.ts', 'words[at + FLOW_STATE]'), ['FLOW_STATE']);
  assert.deepEqual(by('src/conntrack/table.ts', 'const at = flow * table.stride;'), []);
  assert.deepEqual(by('src/engine/a.ts', 'const keyWords = 3; tally({ stride: keyWords });'), []);
  assert.deepEqual(breaches('src/engine/a.ts', '\nconst a = KEY_META;'), [
    "src/engine/a.ts:2: KEY_META is known to conntrack's entry files alone",
  ]);
});
