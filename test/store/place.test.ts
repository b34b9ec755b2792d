/** Where a store can be: paths, and URLs of etcd, right and wrong. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { parsePlace } from '../../src/store/place.ts';

test('a path is one of a file', () => {
  assert.deepEqual(parsePlace('a/store.db'), { kind: 'file', path: resolve('a/store.db') });
  assert.deepEqual(parsePlace('/a/etcd://b'), { kind: 'file', path: '/a/etcd:/b' });
});

test('a URL has members, a prefix, and what it takes to get in', () => {
  const url =
    'etcds://10.0.0.1:2379,[fd00::1]:23,a.example/x/y?ca=/c/ca.pem&cert=/c/a.pem&key=/c/a%20b.key&user=api&password-file=/c/p';
  assert.deepEqual(parsePlace(url), {
    kind: 'etcd',
    url,
    endpoints: ['10.0.0.1:2379', '[fd00::1]:23', 'a.example:2379'],
    prefix: '/x/y/',
    tls: { ca: '/c/ca.pem', own: { cert: '/c/a.pem', key: '/c/a b.key' } },
    login: { user: 'api', passwordFile: '/c/p' },
  });
  for (const plain of ['etcd://127.0.0.1,[::1]:1,localhost', 'etcd://127.9.9.9:1/']) {
    const place = parsePlace(plain);
    assert.ok(place.kind === 'etcd');
    assert.deepEqual(
      [place.prefix, place.tls, place.login],
      ['/secgroupd/v1/', undefined, undefined],
    );
  }
  const far = parsePlace('etcd://10.0.0.1/?plain=allow');
  assert.deepEqual(far.kind === 'etcd' && far.endpoints, ['10.0.0.1:2379']);
});

const WRONG: readonly (readonly [url: string, message: RegExp])[] = [
  ['etcd:', /^it is not like etcds:\/\/HOST:PORT,HOST:PORT\/PREFIX\/\?ca=FILE$/],
  ['etcd://127.0.0.1/#a', /^it is not like/],
  ['etcds://', /^'' is not like HOST:2379 or \[ADDRESS\]:2379$/],
  ['etcds://a,,b', /^'' is not like/],
  ['etcds://a:0', /^'a:0' is not like/],
  ['etcds://a:65536', /^'a:65536' is not like/],
  ['etcds://[1.2.3.4]:1', /^'\[1\.2\.3\.4\]:1' is not like/],
  ['etcds://fd00::1', /^'fd00::1' is not like/],
  ['etcds://a b', /^'a b' is not like/],
  [`etcds://${Array.from({ length: 17 }, () => 'a').join(',')}`, /^at most 16 hosts, not 17$/],
  ['etcds://u:p@a', /^no user or password before the hosts: use \?user=NAME&password-file=FILE$/],
  ['etcds://a//', /^'\/\/' is not a prefix like \/secgroupd\/v1\/$/],
  ['etcds://a/ä', /^'\/ä' is not a prefix/],
  [
    'etcds://a/?password=x',
    /^there is no parameter 'password'; there are ca, cert, key, user, password-file, plain$/,
  ],
  ['etcds://a/?ca=/a&ca=/b', /^ca is there twice$/],
  ['etcds://a/?ca=', /^ca is empty$/],
  ['etcds://a/?ca=b', /^ca takes the absolute path of a file$/],
  ['etcds://a/?cert=/b', /^cert and key go together$/],
  ['etcds://a/?user=b', /^user and password-file go together$/],
  ['etcds://a/?password-file=/b', /^user and password-file go together$/],
  ['etcd://localhost/?ca=/a', /^ca needs TLS: begin with etcds:\/\/$/],
  ['etcd://localhost/?plain=yes', /^plain takes the word allow$/],
  [
    'etcd://localhost,10.0.0.1',
    /^10\.0\.0\.1:2379 is not loopback, and without TLS all is read and written on the way/,
  ],
  ['etcd://127.0.0.1.example', /is not loopback/],
  ['etcd://[::2]', /^\[::2\]:2379 is not loopback/],
];

for (const [url, message] of WRONG)
  test(`refused: ${url}`, () =>
    assert.throws(() => parsePlace(url), { name: 'RangeError', message }));
