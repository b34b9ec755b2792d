/** IMDSv2 over HTTP, on loopback: who asks is told by the address that the client binds. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { MetadataServer } from '../../src/metadata/metadata-server.ts';
import { DB, WEB } from './instances.ts';

const TTL = 'x-aws-ec2-metadata-token-ttl-seconds';
const TOKEN = 'x-aws-ec2-metadata-token';

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface Got {
  readonly status: number | undefined;
  readonly text: string;
  readonly headers: NodeJS.Dict<string | string[]>;
}

type Ask = (sent: Sent) => Promise<Got>;

async function start(t: TestContext): Promise<{ readonly port: number; readonly ask: Ask }> {
  const instances = new Map([
    ['127.0.0.1', WEB],
    ['127.0.0.2', DB],
  ]);
  const server = new MetadataServer({
    find: (address) =>
      address === '127.0.0.9'
        ? Promise.reject(new Error('no daemon'))
        : Promise.resolve(instances.get(address)),
    hasTags: false,
    log: { warn: () => undefined },
  }).makeServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask: Ask = ({ method = 'GET', path = '/', from = '127.0.0.1', headers, body }) =>
    new Promise((resolve, reject) => {
      const options = { method, path, port, host: '127.0.0.1', localAddress: from, headers };
      const sent = request({ ...options, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () =>
          resolve({ status: response.statusCode, text, headers: response.headers }),
        );
      });
      sent.on('error', reject);
      sent.end(body);
    });
  return { port, ask };
}

async function tokenFrom(ask: Ask, from: string, seconds = '60'): Promise<string> {
  const { status, text, headers } = await ask({
    ...{ method: 'PUT', path: '/latest/api/token', from },
    headers: { [TTL]: seconds },
  });
  assert.equal(status, 200);
  assert.equal(headers[TTL], seconds);
  return text;
}

test('a token opens the metadata of who got it, and nobody else’s', async (t) => {
  const { ask } = await start(t);
  const path = '/latest/meta-data/network/interfaces/macs/02:78:9a:bc:de:f0/interface-id';
  const web = await tokenFrom(ask, '127.0.0.1');
  const db = await tokenFrom(ask, '127.0.0.2', '21600');
  const got = await ask({ path, headers: { [TOKEN]: web } });
  assert.deepEqual([got.status, got.text], [200, WEB.id]);
  assert.match(String(got.headers[TTL]), /^(60|59)$/);
  assert.equal((await ask({ path, from: '127.0.0.2', headers: { [TOKEN]: db } })).text, DB.id);
  const stolen = await ask({ path, from: '127.0.0.2', headers: { [TOKEN]: web } });
  assert.deepEqual([stolen.status, stolen.text], [401, '401 - Unauthorized\n']);
  const listed = await ask({ path: '/', headers: { [TOKEN]: web } });
  assert.match(listed.text, /(^|\n)latest$/);
  const head = await ask({ method: 'HEAD', path, headers: { [TOKEN]: web } });
  assert.deepEqual([head.status, head.text], [200, '']);
  const encoded = path.replaceAll(':', '%3A');
  assert.equal((await ask({ path: encoded, headers: { [TOKEN]: web } })).text, WEB.id);
});

test('what AWS refuses is refused', async (t) => {
  const { ask } = await start(t);
  const put = (headers: Record<string, string>, path = '/latest/api/token') =>
    ask({ method: 'PUT', path, headers }).then(({ status }) => status);
  for (const seconds of ['0', '21601', '-1', '1.5', 'x', '', '1e3', '99999999999'])
    assert.equal(await put({ [TTL]: seconds }), 400, seconds);
  assert.equal(await put({}), 400);
  assert.equal(await put({ [TTL]: '60', 'x-forwarded-for': '203.0.113.1' }), 403);
  assert.equal(await put({ [TTL]: '60' }, '/latest/meta-data/'), 405);
  const token = await tokenFrom(ask, '127.0.0.1');
  const get = (path: string, headers: Record<string, string> = { [TOKEN]: token }) =>
    ask({ path, headers }).then(({ status }) => status);
  assert.equal(await get('/latest/meta-data/', {}), 401, 'there is no version 1');
  assert.equal(await get('/latest/meta-data/', { [TOKEN]: 'x' }), 401);
  assert.equal(await get('/latest/meta-data/', { [TOKEN]: token, 'X-Forwarded-For': 'x' }), 403);
  assert.equal(await get('/latest/meta-data/'), 200);
  assert.equal(await get('/2009-04-04/meta-data/instance-id'), 200);
  assert.equal(await get('/1999-01-01/meta-data/'), 404);
  assert.equal(await get('/latest/user-data'), 404);
  assert.equal(await get('/latest/meta-data/%zz'), 404);
  assert.equal(await get(`/${'x'.repeat(2000)}`), 414);
  assert.equal((await ask({ method: 'DELETE' })).status, 405);
  assert.equal((await ask({ from: '127.0.0.3' })).status, 403, 'of no instance');
  assert.equal((await ask({ from: '127.0.0.9' })).status, 503, 'nobody says who that is');
});

test('a body is not read, and one instance has not all connections', async (t) => {
  const { ask, port } = await start(t);
  const withBody = await ask({
    ...{ method: 'PUT', path: '/latest/api/token', body: 'x'.repeat(100) },
    headers: { [TTL]: '60' },
  });
  assert.deepEqual([withBody.status, withBody.headers['connection']], [200, 'close']);
  const idle = Array.from({ length: 80 }, () => connect({ port, host: '127.0.0.1' }));
  t.after(() => idle.forEach((socket) => socket.destroy()));
  const closed = idle.map((socket) => {
    socket.on('error', () => undefined).resume();
    return once(socket, 'close');
  });
  await Promise.race(closed);
  const other = await ask({ path: '/', from: '127.0.0.2' });
  assert.equal(other.status, 401, 'others have theirs');
});
