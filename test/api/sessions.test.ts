/** Credentials of AssumeRole: whose they are, what they may do, when they end, and that nobody else can make them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { action, mayCall, POLICIES, type Action } from '../../src/api/action.ts';
import { findSigner, makeSession, narrower, type SessionWish } from '../../src/api/sessions.ts';
import type { ApiKey } from '../../src/api/keys.ts';
import { RequestLimit } from '../../src/api/token-bucket.ts';
import { requireSdk, sdkClient } from './sdk.ts';
import { READER, startService, WRITER, type Service } from './service.ts';

const ACCOUNT = WRITER.accountId;
const role = (kind: string): string =>
  `arn:aws:iam::${ACCOUNT}:role/cdk-hnb659fds-${kind}-role-${ACCOUNT}-us-east-1`;
const WRITES: Action = action('ec2', 'DeleteVpc', 'write', async () => ({ output: {} }));
const NOW = Date.parse('2026-11-29T12:00:00Z');
const WISH: SessionWish = {
  policy: 'write',
  roleName: 'the-role',
  sessionName: 'me',
  untilS: NOW / 1000 + 3600,
};

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

async function assume(
  { url }: Service,
  credentials: Credentials,
  kind: string,
  more: object = {},
): Promise<Required<Credentials> & { readonly expiration: Date }> {
  const client = await sdkClient('sts', { endpoint: url, credentials });
  const { Credentials: got } = await client.call('AssumeRole', {
    RoleArn: role(kind),
    RoleSessionName: 'me',
    ...more,
  });
  const made = got as { [name: string]: string } & { Expiration: Date };
  return {
    accessKeyId: made['AccessKeyId'],
    secretAccessKey: made['SecretAccessKey'],
    sessionToken: made['SessionToken'],
    expiration: made.Expiration,
  };
}

async function deleteVpc({ url }: Service, credentials: Credentials): Promise<unknown> {
  return (await sdkClient('ec2', { endpoint: url, credentials })).call('DeleteVpc', { VpcId: 'v' });
}

async function arnOf({ url }: Service, credentials: Credentials): Promise<unknown> {
  const client = await sdkClient('sts', { endpoint: url, credentials });
  return (await client.call('GetCallerIdentity', {}))['Arn'];
}

test('a session signs, and says whose it is', async (t) => {
  if (!requireSdk(t)) return;
  const service = await startService(t, { actions: [WRITES] });
  const session = await assume(service, WRITER, 'deploy');
  assert.match(session.accessKeyId, /^ASIA[A-Z2-7]{16}$/);
  assert.equal(
    await arnOf(service, session),
    `arn:aws:sts::${ACCOUNT}:assumed-role/cdk-hnb659fds-deploy-role-${ACCOUNT}-us-east-1/me`,
  );
  await deleteVpc(service, session);
  const { who, accessKeyId } = service.records[service.records.length - 1];
  assert.deepEqual([who, accessKeyId], ['writer', session.accessKeyId]);
  // A replay makes another one, and no two are the same.
  assert.notEqual((await assume(service, WRITER, 'deploy')).accessKeyId, session.accessKeyId);
});

test('a session may do what its key may at most, and its role', async (t) => {
  if (!requireSdk(t)) return;
  const service = await startService(t, { actions: [WRITES] });
  const refused = { name: 'UnauthorizedOperation' };
  await assert.rejects(deleteVpc(service, await assume(service, READER, 'deploy')), refused);
  await assert.rejects(deleteVpc(service, await assume(service, WRITER, 'lookup')), refused);
  // A role that may do less gives none that may do more.
  const lookup = await assume(service, WRITER, 'lookup');
  await assert.rejects(deleteVpc(service, await assume(service, lookup, 'deploy')), refused);
  const publishing = await assume(service, WRITER, 'file-publishing');
  await deleteVpc(service, await assume(service, publishing, 'deploy'));
});

test('a role that there is not, and what would narrow a session, are refused', async (t) => {
  if (!requireSdk(t)) return;
  const service = await startService(t, {});
  const cases: readonly (readonly [object, string])[] = [
    [{ RoleArn: `arn:aws:iam::${ACCOUNT}:role/admin` }, 'AccessDenied'],
    [{ RoleArn: role('deploy').replaceAll(ACCOUNT, '210987654321') }, 'AccessDenied'],
    [{ RoleArn: role('deploy').replace('us-east-1', 'eu-west-1') }, 'AccessDenied'],
    [{ RoleArn: role('cfn-exec') }, 'AccessDenied'],
    [{ RoleSessionName: 'x' }, 'ValidationError'],
    [{ RoleSessionName: 'a/b' }, 'ValidationError'],
    [{ DurationSeconds: 899 }, 'ValidationError'],
    [{ DurationSeconds: 43_201 }, 'ValidationError'],
    [{ Policy: '{}' }, 'ValidationError'],
    [{ PolicyArns: [{ arn: 'arn:aws:iam::aws:policy/ReadOnlyAccess' }] }, 'ValidationError'],
  ];
  for (const [more, name] of cases)
    await assert.rejects(assume(service, WRITER, 'deploy', more), { name }, JSON.stringify(more));
});

test('a session ends, and gives none that lasts longer', async (t) => {
  if (!requireSdk(t)) return;
  let aheadMs = 0;
  const service = await startService(t, { now: () => Date.now() + aheadMs });
  const session = await assume(service, WRITER, 'deploy', { DurationSeconds: 900 });
  const next = await assume(service, session, 'deploy', { DurationSeconds: 43_200 });
  assert.equal(next.expiration.getTime(), session.expiration.getTime());
  aheadMs = 900_000;
  await assert.rejects(arnOf(service, session), { name: 'ExpiredToken' });
  await assert.rejects(arnOf(service, next), { name: 'ExpiredToken' });
});

test('a session goes with its key, and outlives a restart', async (t) => {
  if (!requireSdk(t)) return;
  const session = await assume(await startService(t, {}), WRITER, 'deploy');
  const restarted = await startService(t, {});
  assert.match(String(await arnOf(restarted, session)), /assumed-role/);
  const without = await startService(t, { keys: [READER] });
  await assert.rejects(arnOf(without, session), { name: 'InvalidClientTokenId' });
  const changed = { ...WRITER, secretAccessKey: 'another-secret-of-the-writer' };
  const other = await startService(t, { keys: [changed] });
  await assert.rejects(arnOf(other, session), { name: 'InvalidClientTokenId' });
});

test('all sessions of a key have its limit of requests', async (t) => {
  if (!requireSdk(t)) return;
  const service = await startService(t, { limit: new RequestLimit(1e-9, 3) });
  const one = await assume(service, WRITER, 'deploy');
  const two = await assume(service, WRITER, 'deploy');
  await arnOf(service, one);
  await assert.rejects(arnOf(service, two), { name: /Throttling/ });
});

test('only the key that a token names makes it, and only as it is', () => {
  const find = (id: string): ApiKey | undefined =>
    [WRITER, READER].find(({ accessKeyId }) => accessKeyId === id);
  const credential = (accessKeyId: string, sessionToken: string): never =>
    ({ accessKeyId, sessionToken }) as never;
  const session = makeSession(WRITER, WISH);
  const [id, claims, code] = session.sessionToken.split('.');
  const look = (token: string, accessKeyId = session.accessKeyId, nowMs = NOW): unknown => {
    const found = findSigner({ find }, credential(accessKeyId, token), nowMs);
    return typeof found === 'string' ? found : found.caller.policy;
  };
  assert.equal(look(session.sessionToken), 'write');
  assert.equal(look(session.sessionToken, 'ASIAAAAAAAAAAAAAAAAA'), 'unknown-key');
  assert.equal(look(`${READER.accessKeyId}.${claims}.${code}`), 'wrong-token');
  const longer = Buffer.from(JSON.stringify({ ...WISH, untilS: 1e12 })).toString('base64url');
  assert.equal(look(`${id}.${longer}.${code}`), 'wrong-token');
  assert.equal(look(`${id}.${claims}.${'A'.repeat(43)}`), 'wrong-token');
  assert.equal(look(`AKIANOBODYNOBODY1234.${claims}.${code}`), 'unknown-key');
  assert.equal(look(''), 'unknown-key');
  assert.equal(look(session.sessionToken, session.accessKeyId, NOW + 3_599_999), 'write');
  assert.equal(look(session.sessionToken, session.accessKeyId, NOW + 3_600_000), 'expired-token');
  // A token that ends later than any that the server gives.
  const forever = makeSession(WRITER, { ...WISH, untilS: NOW / 1000 + 43_201 });
  assert.equal(look(forever.sessionToken, forever.accessKeyId), 'wrong-token');
});

test("a session of a host's key stays a host's, whatever it asks for", () => {
  for (const policy of POLICIES) assert.equal(narrower('host', policy), 'host');
  assert.equal(mayCall('host', 'read'), false);
  assert.equal(mayCall('write', 'host'), false);
});
