/** Who is answered by the console's server, and with what: hosts, origins, tokens, bounds, files. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import type { About } from '../../src/console/contract.ts';
import { BODY_BYTES_MAX, CONNECTIONS_MAX } from '../../src/console/console-server.ts';
import { checkOrigin, namesOf } from '../../src/console/guard.ts';
import { hasToken, makeToken } from '../../src/console/token.ts';
import { PACKED_FROM_BYTES } from '../../src/console/written.ts';
import { inputOf, openConsole, type ConsoleWorld, type Request } from './world.ts';

const TEXT = `
securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 443, from: 0.0.0.0/0 }] }
interfaces:
  a: { device: { name: a }, addresses: [10.0.0.1], securityGroups: [web] }
`;

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

async function open(
  t: TestContext,
): Promise<ConsoleWorld & { about(more?: Partial<Request>): ReturnType<ConsoleWorld['send']> }> {
  const world = await openConsole(t, inputOf(TEXT));
  const authorization = `Bearer ${world.token}`;
  return {
    ...world,
    about: ({ headers = {}, ...more } = {}) =>
      world.send({ path: '/api/about', ...more, headers: { authorization, ...headers } }),
  };
}

/** Sends bytes as they are. @returns the beginning of the answer */
function sendRaw(t: TestContext, port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  return new Promise((resolve, reject) => {
    socket.once('data', (answer) => resolve(answer.toString()));
    socket.once('error', reject);
    socket.write(bytes);
  });
}

const placeAt = (port: number): Parameters<typeof checkOrigin>[1] => ({
  ...{ port, isOurName: namesOf('127.0.0.1'), isTls: false, hint: '' },
});

describe('a request', () => {
  test('with the token is answered', async (t) => {
    const world = await open(t);
    const about = await world.get<About>('about');
    assert.deepEqual(
      { ...about, startedMs: 0 },
      {
        ...{ source: 'input', title: 'secgroupd.yaml', version: '1.2.3', isLive: false },
        ...{ mayDraft: true, mayApply: false, configuration: 'configuration', startedMs: 0 },
      },
    );
    assert.equal(world.url, `http://127.0.0.1:${world.port}/#token=${world.token}`);
  });

  test('with another token, or none, is not', async (t) => {
    const world = await open(t);
    const { token } = world;
    const other = makeToken();
    assert.equal(other.length, token.length);
    for (const authorization of [
      '',
      `Bearer ${other}`,
      `Bearer ${token}x`,
      token,
      `Basic ${token}`,
      'Bearer ',
      `Bearer ${'x'.repeat(5000)}`,
    ]) {
      const { status, text } = await world.about({ headers: { authorization } });
      assert.equal(status, 401, authorization);
      assert.deepEqual(JSON.parse(text), {
        error: 'the token is missing or of another start',
        hint: 'open the address that sgctl console has printed',
      });
    }
    assert.ok(hasToken(`bearer ${token} `, token));
    const inQuery = await world.send({ path: `/api/about?token=${token}` });
    assert.equal(inQuery.status, 401);
  });

  test('for another host is refused, whoever it has the address of', async (t) => {
    const world = await open(t);
    const { port, token } = world;
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `127.0.0.1.evil.example:${port}`,
      `user@127.0.0.1:${port}`,
    ]) {
      const api = await world.about({ headers: { host } });
      const page = await world.send({ path: '/', headers: { host } });
      assert.deepEqual([api.status, page.status], [403, 403], host);
    }
    assert.equal((await world.about({ headers: { host: `localhost:${port}` } })).status, 200);
    // An old client names none.
    const nameless = await sendRaw(
      t,
      port,
      `GET /api/about HTTP/1.0\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    assert.match(nameless, /^HTTP\/1\.1 403 /);
  });

  test('of another page is refused', async (t) => {
    const world = await open(t);
    const own = `http://127.0.0.1:${world.port}`;
    const cases: readonly (readonly [number, Readonly<Record<string, string>>])[] = [
      [200, { origin: own }],
      [200, { 'sec-fetch-site': 'same-origin' }],
      [200, { 'sec-fetch-site': 'none' }],
      [403, { origin: 'https://evil.example' }],
      [403, { origin: `http://127.0.0.1:${world.port + 1}` }],
      [403, { origin: `http://localhost:${world.port}` }],
      [403, { origin: 'null' }],
      [403, { 'sec-fetch-site': 'same-site' }],
      [403, { 'sec-fetch-site': 'cross-site' }],
      // A link to the answers themselves is none to the page.
      [
        403,
        {
          'sec-fetch-site': 'cross-site',
          'sec-fetch-mode': 'navigate',
          'sec-fetch-dest': 'document',
        },
      ],
    ];
    for (const [status, headers] of cases)
      assert.equal((await world.about({ headers })).status, status, JSON.stringify(headers));
  });

  test('is never allowed to ask from elsewhere', async (t) => {
    const world = await open(t);
    const asked = await world.send({
      ...{ method: 'OPTIONS', path: '/api/about' },
      headers: {
        origin: 'https://evil.example',
        'access-control-request-headers': 'authorization',
      },
    });
    assert.equal(asked.status, 403);
    const { status, headers } = await world.send({ method: 'OPTIONS', path: '/api/about' });
    assert.equal(status, 405);
    for (const answer of [asked.headers, headers])
      assert.deepEqual(
        Object.keys(answer).filter((name) => name.startsWith('access-control')),
        [],
      );
  });

  test('for what is not there, or by another method, is told so', async (t) => {
    const world = await open(t);
    for (const [status, method, path] of [
      [404, 'GET', '/api/'],
      [404, 'GET', '/api/toString'],
      [404, 'GET', '/api/drops/x'],
      [404, 'GET', '/../package.json'],
      [404, 'GET', '/page/index.html'],
      [404, 'GET', '/%2e%2e/package.json'],
      [405, 'POST', '/api/about'],
      [405, 'GET', '/api/explain'],
      [405, 'DELETE', '/api/about'],
      [405, 'POST', '/'],
      [404, 'GET', '//evil.example/api/about'],
    ] as const) {
      const body = method === 'POST' ? '{}' : undefined;
      const { status: told } = await world.about({
        ...{ method, path, headers: { 'content-type': 'application/json' } },
        ...(body === undefined ? {} : { body }),
      });
      assert.equal(told, status, `${method} ${path}`);
    }
  });

  test('has a body of JSON, within bounds', async (t) => {
    const world = await open(t);
    const json = { 'content-type': 'application/json' };
    const post = (
      body: string,
      headers: Readonly<Record<string, string>>,
    ): ReturnType<ConsoleWorld['send']> =>
      world.about({ method: 'POST', path: '/api/explain', body, headers });
    const good = JSON.stringify({ question: 'a -> 8.8.8.8 tcp 443' });
    assert.equal((await post(good, json)).status, 200);
    assert.equal((await post(good, { 'content-type': 'text/plain' })).status, 415);
    assert.equal((await post(good, {})).status, 415);
    assert.equal((await post('{', json)).status, 400);
    for (const wrong of ['null', '[]', '{}', '{"question":1}', '{"question":"a","more":1}'])
      assert.equal((await post(wrong, json)).status, 400, wrong);
    const fits = JSON.stringify({ question: 'x'.repeat(900) }).padEnd(BODY_BYTES_MAX);
    assert.equal((await post(fits, json)).status, 200);
    assert.equal((await post(`${fits} `, json)).status, 413);
    // Without a length it is counted as it comes.
    const chunked = { ...json, 'transfer-encoding': 'chunked' };
    assert.equal((await post(`${fits} `, chunked)).status, 413);
  });

  test('without the token has its body not read', async (t) => {
    const world = await open(t);
    // The body never comes.
    const answer = await sendRaw(
      t,
      world.port,
      `POST /api/draft HTTP/1.1\r\nHost: 127.0.0.1:${world.port}\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 401 .*\r\n(?:.*\r\n)*connection: close\r\n/i);
  });

  test('is answered while others hold all connections and say nothing', async (t) => {
    const world = await open(t);
    const silent = Array.from({ length: 2 * CONNECTIONS_MAX }, () => {
      const socket = connect(world.port, '127.0.0.1');
      t.after(() => socket.destroy());
      socket.on('error', () => undefined);
      return { socket, closed: once(socket, 'close') };
    });
    await Promise.all(silent.map(({ socket }) => once(socket, 'connect')));
    assert.equal((await world.about()).status, 200);
    // The oldest gave way.
    await silent[0].closed;
  });

  test('with endless headers ends', async (t) => {
    const world = await open(t);
    const { status } = await world
      .about({ headers: { 'x-long': 'x'.repeat(20_000) } })
      .catch(() => ({ status: 0 }));
    assert.notEqual(status, 200);
    assert.equal((await world.about()).status, 200);
  });
});

test('every answer has the headers that keep others out', async (t) => {
  const world = await open(t);
  const answers = await Promise.all([
    world.about(),
    world.send({ path: '/api/about' }),
    world.send({ path: '/' }),
    world.send({ path: '/nothing' }),
    world.send({ path: '/', headers: { host: 'evil.example' } }),
  ]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 401, 200, 404, 403],
  );
  for (const { headers } of answers) {
    assert.equal(headers['content-security-policy'], CSP);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
    assert.equal(headers['set-cookie'], undefined);
  }
});

test('a long answer is packed for who takes it, and a short one is not', async (t) => {
  const ports = Array.from(
    { length: 60 },
    (_, i) => `      - { protocol: tcp, ports: ${i + 1}, from: 10.0.0.0/8 }`,
  );
  const long = `securityGroups:\n  web:\n    ingress:\n${ports.join('\n')}\n`;
  const world = await openConsole(t, inputOf(long));
  const authorization = `Bearer ${world.token}`;
  const ask = async (path: string, accepted: string): Promise<readonly [unknown, string]> => {
    const headers = { authorization, 'accept-encoding': accepted };
    const answer = await world.send({ path: `/api/${path}`, headers });
    assert.equal(answer.headers.vary, 'accept-encoding');
    const packing = answer.headers['content-encoding'];
    const unpack =
      packing === 'br' ? brotliDecompressSync : packing === 'gzip' ? gunzipSync : String;
    return [packing, String(unpack(answer.body))];
  };
  const [none, text] = await ask('rules', 'identity');
  assert.equal(none, undefined);
  assert.ok(text.length >= PACKED_FROM_BYTES);
  for (const [accepted, packing] of [
    ['gzip, br', 'br'],
    ['gzip, deflate', 'gzip'],
    ['br;q=0, *', 'gzip'],
    ['BR ; q=0.1', 'br'],
    ['*;q=0', undefined],
  ] as const) {
    const [packed, same] = await ask('rules', accepted);
    assert.deepEqual([packed, same === text], [packing, true], accepted);
  }
  assert.equal((await ask('about', 'gzip, br'))[0], undefined);
});

test('a link to the page from elsewhere opens it, and nothing else of another page does', () => {
  const host = '127.0.0.1:7480';
  const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
  const frame = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' };
  const cross = { host, 'sec-fetch-site': 'cross-site' };
  assert.equal(checkOrigin({ ...cross, ...link }, placeAt(7480), true), undefined);
  assert.equal(checkOrigin({ ...cross, ...frame }, placeAt(7480), true)?.status, 403);
  assert.equal(
    checkOrigin(
      { ...cross, 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' },
      placeAt(7480),
      true,
    )?.status,
    403,
  );
  assert.equal(checkOrigin({ ...cross, ...link }, placeAt(7480), false)?.status, 403);
  assert.equal(checkOrigin({ host: 'LOCALHOST' }, placeAt(80), false), undefined);
});

describe('the page', () => {
  function makePage(t: TestContext): string {
    const folder = mkdtempSync(join(tmpdir(), 'sgt-page-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'index.html'), '<!doctype html><title>x</title>');
    writeFileSync(join(folder, 'page.js'), 'export {};');
    writeFileSync(join(folder, 'page.js.gz'), gzipSync('export {};'));
    writeFileSync(join(folder, 'secret.txt'), 'not of the page');
    return folder;
  }

  test('is served from its folder, compressed for who takes it, and once', async (t) => {
    const pageFolder = makePage(t);
    const world = await openConsole(t, inputOf(TEXT), { pageFolder });
    const page = await world.send({ path: '/' });
    assert.equal(page.text, '<!doctype html><title>x</title>');
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
    const plain = await world.send({ path: '/page.js' });
    const zipped = await world.send({
      path: '/page.js?v=1',
      headers: { 'accept-encoding': 'br, gzip;q=0.8' },
    });
    const refused = await world.send({
      path: '/page.js',
      headers: { 'accept-encoding': 'gzip;q=0' },
    });
    assert.deepEqual(
      [plain.text, gunzipSync(zipped.body).toString(), refused.text],
      ['export {};', 'export {};', 'export {};'],
    );
    assert.deepEqual(
      [plain.headers['content-encoding'], zipped.headers['content-encoding']],
      [undefined, 'gzip'],
    );
    assert.notEqual(plain.headers.etag, zipped.headers.etag);
    const again = await world.send({
      path: '/page.js',
      headers: { 'if-none-match': plain.headers.etag! },
    });
    assert.deepEqual([again.status, again.body.length], [304, 0]);
    const head = await world.send({ method: 'HEAD', path: '/page.js' });
    assert.deepEqual(
      [head.status, head.body.length, head.headers['content-length']],
      [200, 0, '10'],
    );
    for (const path of ['/secret.txt', '/page.css', '/page.js.gz', '/index.html'])
      assert.equal((await world.send({ path })).status, 404, path);
  });

  test('that was not built is told so', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sgt-page-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const world = await openConsole(t, inputOf(TEXT), { pageFolder: folder });
    const { status, text } = await world.send({ path: '/' });
    assert.equal(status, 200);
    assert.match(text, /The page of the console is not built here: run scripts\/build/);
  });
});
