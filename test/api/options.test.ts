/** The command line of secgroup-api: where it may listen, and what it says where it may not. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { changeKeys } from '../../src/api/keys.ts';
import { endpointFault, parseEndpoint } from '../../src/api/options.ts';
import { mustRun, run, start } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { WRITER } from './service.ts';

const PROGRAM = fileURLToPath(new URL('../../src/api/secgroup-api.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sgt-options-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const keys = join(folder, 'keys.json');
const store = join(folder, 'store', 'store.db');
changeKeys(keys, () => [WRITER]);

test('an endpoint is an address and a port, or a port', () => {
  for (const [text, host, port] of [
    ['127.0.0.1:8773', '127.0.0.1', 8773],
    ['[::1]:1', '::1', 1],
    ['localhost:0', '127.0.0.1', 0],
    ['8773', '127.0.0.1', 8773],
  ] as const)
    assert.deepEqual(parseEndpoint(text), { host, port });
  for (const text of [
    '',
    'host:1',
    '127.0.0.1',
    '127.0.0.1:65536',
    '::1:1',
    '[::1',
    '127.0.0.1:x',
    '1.2.3:4',
  ])
    assert.throws(() => parseEndpoint(text), /it is not like 127\.0\.0\.1:8773/, text);
});

describe('it may listen', () => {
  const base = { keys: 'k', region: 'us-east-1', requestsPerSecond: 1 };
  const at = (host: string) => ({ ...base, listen: { host, port: 1 } });
  const tls = { tlsCert: 'c', tlsKey: 'k' };
  test('on loopback without anything', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', '::1'])
      assert.equal(endpointFault(at(host), 0), undefined);
  });
  test('elsewhere with a certificate and a key, and not with less', () => {
    for (const host of ['0.0.0.0', '10.0.0.1', '::', 'fd00::1', '128.0.0.1', '::ffff:10.0.0.1']) {
      assert.match(
        endpointFault(at(host), 1) ?? '',
        /is not loopback, so it takes --tls-cert and --tls-key/,
      );
      assert.match(
        endpointFault({ ...at(host), ...tls }, 0) ?? '',
        /is not loopback, and k has no key/,
      );
      assert.equal(endpointFault({ ...at(host), ...tls }, 1), undefined);
    }
  });
  test('so may the console, and a daemon is asked for it alone', () => {
    const page = { host: '10.0.0.1', port: 2 };
    const own = { ...at('::1'), console: page };
    assert.match(
      endpointFault(own, 1) ?? '',
      /^10\.0\.0\.1 is not loopback, so it takes --tls-cert/,
    );
    assert.match(
      endpointFault({ ...own, ...tls }, 0) ?? '',
      /^10\.0\.0\.1 is not loopback, and k has no/,
    );
    assert.equal(endpointFault({ ...own, ...tls }, 1), undefined);
    assert.equal(endpointFault({ ...own, console: { ...page, host: '::1' } }, 0), undefined);
    assert.equal(
      endpointFault({ ...at('::1'), consoleDaemon: '/run/x.sock' }, 1),
      '--console-daemon is for the console: give --console, too',
    );
  });
  test('not with a certificate alone', () => {
    assert.equal(
      endpointFault({ ...at('::1'), tlsCert: 'c' }, 1),
      '--tls-cert and --tls-key go together',
    );
  });
});

describe('the program', () => {
  const api = async (...args: string[]) => run(process.execPath, [PROGRAM, ...args]);
  test('ends with 2 for wrong arguments and for an address that it may not have', async () => {
    for (const [args, message] of [
      [['--listen', 'x'], /it is not like 127\.0\.0\.1:8773/],
      [['--region', 'mars'], /it is not like us-east-1/],
      [['--requests-per-second', '0'], /it goes from 1 to 1000000/],
      [
        ['--listen', '0.0.0.0:0', '--keys', keys],
        /^secgroup-api: 0\.0\.0\.0 is not loopback, so it takes/,
      ],
    ] as const) {
      const { code, stderr, stdout } = await api(...args);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, message);
    }
  });

  test('ends with 1 where it can not listen', async () => {
    const { code, stderr } = await api(
      '--listen',
      '127.0.0.1:0',
      '--keys',
      keys,
      '--store',
      store,
      '--tls-cert',
      '/nowhere',
      '--tls-key',
      '/nowhere',
    );
    assert.equal(code, 1);
    assert.match(stderr, /^secgroup-api: can't serve at 127\.0\.0\.1 port 0: ENOENT/);
  });

  test('says at the start that it has no key', async () => {
    const server = await start(process.execPath, [
      PROGRAM,
      '--listen',
      '0',
      '--keys',
      join(folder, 'none.json'),
      '--store',
      store,
    ]);
    await server.waitFor(
      /none\.json has no key: requests are refused until sgctl api key create made one/,
    );
    assert.equal((await server.stop()).code, 0);
  });

  test('speaks TLS', async (t) => {
    if (!requireTools(t, 'openssl')) return;
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await mustRun('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-subj',
      '/CN=localhost',
      '-keyout',
      key,
      '-out',
      cert,
    ]);
    const server = await start(process.execPath, [
      PROGRAM,
      '--listen',
      '0.0.0.0:0',
      '--keys',
      keys,
      '--store',
      store,
      '--tls-cert',
      cert,
      '--tls-key',
      key,
    ]);
    const [, port] = await server.waitFor(/"url":"https:\/\/0\.0\.0\.0:(\d+)"/);
    const status = await new Promise((resolve, reject) => {
      request(
        { host: '127.0.0.1', port, path: '/health', rejectUnauthorized: false },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      )
        .on('error', reject)
        .end();
    });
    assert.equal(status, 200);
    assert.equal((await server.stop()).code, 0);
  });
});
