/** Whom the DNS forwarder asks. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseResolver, readResolvers, Resolvers } from '../../src/metadata/resolvers.ts';

const at = (address: string, port = 53) => ({ address, port });

test('a resolver is an address, with a port or without', () => {
  assert.deepEqual(parseResolver('192.0.2.1'), at('192.0.2.1'));
  assert.deepEqual(parseResolver('192.0.2.1:5353'), at('192.0.2.1', 5353));
  assert.deepEqual(parseResolver('2001:db8::1'), at('2001:db8::1'));
  assert.deepEqual(parseResolver('[2001:db8::1]:5353'), at('2001:db8::1', 5353));
  for (const text of [
    '',
    'dns.example',
    '192.0.2.1:0',
    '192.0.2.1:65536',
    '192.0.2.1:x',
    '[192.0.2.1]:53',
    '2001:db8::1]:53',
    '192.0.2:53',
  ])
    // prettier-ignore
    assert.equal(parseResolver(text), undefined, text);
});

test('resolv.conf names three at most, and this host if it names none', () => {
  const text = '# nameserver 192.0.2.9\nsearch example\n nameserver 192.0.2.1\nnameserver x\nnameserver fd00::1 # here\n'; // prettier-ignore
  assert.deepEqual(readResolvers(text), [at('192.0.2.1'), at('fd00::1')]);
  assert.deepEqual(readResolvers(''), [at('127.0.0.1')]);
  assert.equal(readResolvers('nameserver 192.0.2.1\n'.repeat(5)).length, 3);
});

test('a changed file is read again, and one that is gone is not missed', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-resolvers-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'resolv.conf');
  const resolvers = new Resolvers(file, []);
  assert.deepEqual(resolvers.now(0), [at('127.0.0.1')]);
  writeFileSync(file, 'nameserver 192.0.2.1\n');
  assert.deepEqual(resolvers.now(4999), [at('127.0.0.1')], 'looked a moment ago');
  assert.deepEqual(resolvers.now(5000), [at('192.0.2.1')]);
  rmSync(file);
  assert.deepEqual(resolvers.now(10_000), [at('192.0.2.1')]);
  assert.deepEqual(new Resolvers(file, [at('192.0.2.7')]).now(0), [at('192.0.2.7')]);
});
