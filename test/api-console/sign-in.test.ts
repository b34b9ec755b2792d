/** Who may sign in at secgroup-api's console, for how long, and what is not let in. */
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import { findSigner, makeSession } from '../../src/api/sessions.ts';
import { RequestLimit } from '../../src/api/token-bucket.ts';
import { END_MS, TOKEN_MS } from '../../src/api-console/console-token.ts';
import type { About, Failure, SignedIn } from '../../src/console/contract.ts';
import type { Answer } from '../console/world.ts';
import { ApiConsole, HOST_KEY, READER, Tab, WRITER } from './world.ts';

const NOW = Date.parse('2026-12-01T12:00:00Z');
const MINUTE_MS = 60_000;

function failureOf({ status, text }: Answer): readonly [number, string | undefined] {
  return [status, (JSON.parse(text) as Failure).code];
}

/** A console with a clock that a test sets. */
async function atNoon(
  t: TestContext,
): Promise<{ readonly console: ApiConsole; readonly clock: { ms: number } }> {
  const clock = { ms: NOW };
  return { console: await ApiConsole.start(t, undefined, { now: () => clock.ms }), clock };
}

const at = (ms: number): { readonly date: Date } => ({ date: new Date(ms) });

describe('a key', () => {
  test('signs in, and its name and rights are told', async (t) => {
    const { console, clock } = await atNoon(t);
    const way = await console.send({ path: '/api/sign-in' });
    assert.deepEqual(JSON.parse(way.text), {
      ...{ how: 'key', region: 'us-east-1', service: 'secgroupd' },
    });
    const { status, text } = await console.signIn(READER, at(NOW));
    assert.equal(status, 200, text);
    const { token, ...told } = JSON.parse(text) as SignedIn;
    const key = {
      ...{ name: 'reader', accessKeyId: READER.accessKeyId, policy: 'read' },
      arn: 'arn:aws:iam::123456789012:user/reader',
    };
    assert.deepEqual(told, {
      ...{ expiresMs: NOW + TOKEN_MS, endsMs: NOW + END_MS, nowMs: clock.ms, key },
    });
    const about = await new Tab(console, token).must<About>('about');
    assert.deepEqual([about.source, about.mayApply, about.key], ['estate', false, key]);
  });

  test('with a session of AssumeRole signs in too, for no longer than that', async (t) => {
    const { console } = await atNoon(t);
    const untilS = NOW / 1000 + 600;
    const wish = { policy: 'read', roleName: 'r', sessionName: 'me', untilS } as const;
    const session = makeSession(WRITER, wish);
    const signed = { 'x-amz-security-token': session.sessionToken };
    const answer = await console.signIn(session, { ...at(NOW), signed });
    assert.equal(answer.status, 200, answer.text);
    const { endsMs, expiresMs, key } = JSON.parse(answer.text) as SignedIn;
    assert.deepEqual([endsMs, expiresMs], [untilS * 1000, untilS * 1000]);
    assert.deepEqual(
      [key.policy, key.arn],
      ['read', 'arn:aws:sts::123456789012:assumed-role/r/me'],
    );
    // The session's token alone is no token of the console, and the other way round.
    assert.deepEqual(await new Tab(console, session.sessionToken).failure('about'), [
      401,
      'expired',
    ]);
    const { token } = JSON.parse(answer.text) as SignedIn;
    const passedOff = {
      ...{ accessKeyId: 'ASIAASIAASIAASIAASIA', sessionToken: token.slice(2) },
    } as Parameters<typeof findSigner>[1];
    assert.equal(findSigner({ find: () => undefined }, passedOff, NOW), 'unknown-key');
    const find = (id: string) => (id === WRITER.accessKeyId ? WRITER : undefined);
    assert.equal(findSigner({ find }, passedOff, NOW), 'wrong-token');
  });

  test('of a host may not', async (t) => {
    const { console } = await atNoon(t);
    assert.deepEqual(failureOf(await console.signIn(HOST_KEY, at(NOW))), [403, 'not-allowed']);
  });
});

describe('nobody signs in', () => {
  test('with another secret, an unknown key, or what is not signed for this', async (t) => {
    const { console } = await atNoon(t);
    const other = { ...WRITER, secretAccessKey: `${WRITER.secretAccessKey}x` };
    const stranger = { ...WRITER, accessKeyId: 'AKIANOBODYNOBODY1234' };
    const answers = [
      await console.signIn(other, at(NOW)),
      await console.signIn(stranger, at(NOW)),
      await console.signIn(WRITER, { ...at(NOW), service: 'ec2' }),
      // A call of the API that somebody has read on the way: it is for another path.
      await console.signIn(WRITER, { ...at(NOW), signedPath: '/' }),
      // For another host: what was signed for one console is good at no other.
      await console.signIn(WRITER, { ...at(NOW), signed: { host: 'other:1' } }),
      await console.send({
        ...{ method: 'POST', path: '/api/sign-in', body: '{}' },
        headers: { 'content-type': 'application/json' },
      }),
    ];
    // The host that is signed is checked before the signature.
    assert.deepEqual(
      answers.map(({ status }) => status),
      [401, 401, 401, 401, 403, 401],
    );
    const told = new Set(
      [answers[0], answers[1], answers[2], answers[3], answers[5]].map(({ text }) => text),
    );
    assert.equal(told.size, 1, 'which of them it was is not told');
    assert.deepEqual(failureOf(answers[0]), [401, 'wrong-signature']);
    assert.deepEqual(
      console.records.map(({ reason }) => reason),
      [
        ...['wrong-signature', 'unknown-key', 'other-service', 'wrong-signature'],
        ...[undefined, 'not-signed'],
      ],
    );
  });

  test('with a request of another time, such as one that is sent again later', async (t) => {
    const { console, clock } = await atNoon(t);
    const date = at(NOW);
    assert.equal((await console.signIn(WRITER, date)).status, 200);
    clock.ms = NOW + 16 * MINUTE_MS;
    assert.deepEqual(failureOf(await console.signIn(WRITER, date)), [401, 'wrong-time']);
    clock.ms = NOW - 16 * MINUTE_MS;
    assert.deepEqual(failureOf(await console.signIn(WRITER, date)), [401, 'wrong-time']);
  });

  test('from another page, by an address, or with more than a body of {}', async (t) => {
    const { console } = await atNoon(t);
    const foreign = { headers: { origin: 'https://evil.example' } };
    assert.equal((await console.signIn(WRITER, { ...at(NOW), ...foreign })).status, 403);
    const cross = { headers: { 'sec-fetch-site': 'cross-site' } };
    assert.equal((await console.signIn(WRITER, { ...at(NOW), ...cross })).status, 403);
    const query = '?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00';
    const presigned = await console.send({
      ...{ method: 'POST', path: `/api/sign-in${query}`, body: '{}' },
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(presigned.status, 401);
    const long = await console.signIn(WRITER, { ...at(NOW), body: `{${' '.repeat(2000)}}` });
    assert.equal(long.status, 413);
    const form = { headers: { 'content-type': 'text/plain' } };
    assert.equal((await console.signIn(WRITER, { ...at(NOW), ...form })).status, 415);
    assert.equal((await console.signIn(WRITER, { ...at(NOW), body: '{"a":1}' })).status, 400);
  });

  test('more often than the key may call', async (t) => {
    const console = await ApiConsole.start(t, undefined, { limit: new RequestLimit(1e-9, 3) });
    const tab = await console.as(WRITER);
    await tab.must('about');
    await tab.must('groups');
    assert.deepEqual(await tab.failure('about'), [429, 'too-fast']);
    assert.deepEqual(failureOf(await console.signIn(WRITER)), [429, 'too-fast']);
    assert.equal((await console.signIn(READER)).status, 200, 'another key has its own');
    assert.equal(console.records.at(-2)?.outcome, 'RequestLimitExceeded');
  });
});

describe('a token', () => {
  test('ends, and is renewed while it holds, up to a day of work', async (t) => {
    const { console, clock } = await atNoon(t);
    let signed = JSON.parse((await console.signIn(WRITER, at(NOW))).text) as SignedIn;
    const first = new Tab(console, signed.token);
    clock.ms = NOW + TOKEN_MS - 1;
    await first.must('about');
    const renewed = await first.must<SignedIn>('renew', {});
    assert.deepEqual([renewed.expiresMs, renewed.endsMs], [clock.ms + TOKEN_MS, NOW + END_MS]);
    clock.ms = NOW + TOKEN_MS;
    assert.deepEqual(await first.failure('about'), [401, 'expired']);
    assert.deepEqual(await first.failure('renew', {}), [401, 'expired']);
    signed = renewed;
    for (; clock.ms < NOW + END_MS; clock.ms += TOKEN_MS - 1) {
      signed = await new Tab(console, signed.token).must<SignedIn>('renew', {});
      assert.ok(signed.expiresMs <= NOW + END_MS);
    }
    assert.deepEqual(await new Tab(console, signed.token).failure('about'), [401, 'expired']);
  });

  test('is good for nothing when the key is deleted, has another secret or less rights', async (t) => {
    const console = await ApiConsole.start(t);
    const tab = await console.as(WRITER);
    assert.equal((await tab.must<About>('about')).mayApply, true);
    console.keys.set(WRITER.accessKeyId, { ...WRITER, policy: 'read' });
    assert.equal((await tab.must<About>('about')).mayApply, false);
    console.keys.set(WRITER.accessKeyId, { ...WRITER, policy: 'host' });
    assert.deepEqual(await tab.failure('about'), [403, 'not-allowed']);
    console.keys.set(WRITER.accessKeyId, { ...WRITER, secretAccessKey: 'another-secret-0123' });
    assert.deepEqual(await tab.failure('about'), [401, 'expired']);
    console.keys.set(WRITER.accessKeyId, WRITER);
    await tab.must('about');
    console.keys.delete(WRITER.accessKeyId);
    assert.deepEqual(await tab.failure('about'), [401, 'expired']);
    assert.deepEqual(await tab.failure('renew', {}), [401, 'expired']);
  });

  test('is made by nobody else', async (t) => {
    const console = await ApiConsole.start(t);
    const { token } = await console.signedIn(READER);
    const [scheme, id, claims, code] = token.split('.');
    const more = JSON.parse(Buffer.from(claims, 'base64url').toString()) as object;
    const raised = Buffer.from(JSON.stringify({ ...more, policy: 'write' })).toString('base64url');
    for (const forged of [
      [scheme, id, raised, code],
      [scheme, WRITER.accessKeyId, claims, code],
      [scheme, id, claims, code.replace(/^./, (one) => (one === 'A' ? 'B' : 'A'))],
      [scheme, id, claims],
      ['', id, claims, code],
    ])
      assert.deepEqual(await new Tab(console, forged.join('.')).failure('about'), [401, 'expired']);
    for (const text of ['', 'x'.repeat(5000), '.'.repeat(100)])
      assert.deepEqual(await new Tab(console, text).failure('about'), [401, 'expired']);
  });

  test('and secrets are in no line of the access log', async (t) => {
    const console = await ApiConsole.start(t);
    const { token } = await console.signedIn(WRITER);
    await new Tab(console, token).must('map');
    await new Tab(console, `${token}x`).failure('map');
    await new Tab(console, token).failure(`${token}/../x`);
    const [signIn, map, wrong, unknown] = console.records;
    const { requestId: _, ms: __, ...told } = signIn;
    assert.deepEqual(told, {
      ...{ from: '127.0.0.1', who: 'writer', accessKeyId: WRITER.accessKeyId },
      ...{ service: 'console', action: 'POST sign-in', outcome: 'ok', status: 200 },
    });
    assert.deepEqual([map.action, map.who, map.outcome], ['GET map', 'writer', 'ok']);
    assert.deepEqual([wrong.who, wrong.outcome], [undefined, 'MissingAuthenticationToken']);
    assert.equal(unknown.action, 'unknown');
    const text = JSON.stringify(console.records);
    assert.equal(text.includes(token), false);
    assert.equal(text.includes(WRITER.secretAccessKey), false);
  });
});

/** Opens a stream. @returns its status, and what resolves when it has ended */
function stream(
  port: number,
  token: string,
): Promise<{ readonly status: number; readonly ended: Promise<void>; readonly end: () => void }> {
  return new Promise((resolve, reject) => {
    const headers = { host: `127.0.0.1:${port}`, authorization: `Bearer ${token}` };
    const asked = get(
      { host: '127.0.0.1', port, path: '/api/events', headers, agent: false },
      (got) => {
        const ended = new Promise<void>((done) => {
          got.on('close', done);
          got.on('error', () => undefined);
        });
        got.resume();
        resolve({ status: got.statusCode ?? 0, ended, end: () => asked.destroy() });
      },
    );
    asked.on('error', reject);
  });
}

describe('streams', () => {
  test('end when the key is gone', async (t) => {
    const console = await ApiConsole.start(t);
    const { token } = await console.signedIn(WRITER);
    const { status, ended, end } = await stream(console.port, token);
    t.after(end);
    assert.equal(status, 200);
    console.keys.delete(WRITER.accessKeyId);
    await ended;
  });

  test('of one key leave some to others', async (t) => {
    const console = await ApiConsole.start(t);
    const { token } = await console.signedIn(WRITER);
    const open: Awaited<ReturnType<typeof stream>>[] = [];
    for (let i = 0; i < 28; i++) open.push(await stream(console.port, token));
    t.after(() => open.forEach(({ end }) => end()));
    assert.deepEqual([...new Set(open.map(({ status }) => status))], [200]);
    const more = await stream(console.port, token);
    assert.equal(more.status, 503);
    const other = await stream(console.port, (await console.signedIn(READER)).token);
    t.after(other.end);
    assert.equal(other.status, 200);
  });
});
