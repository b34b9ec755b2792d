/** The assets bucket over the wire: the SDK's client and signer, what is tampered with, and the bounds. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { assetActions } from '../../src/api/actions/assets.ts';
import { findObject, listObjects, putObject, ROWS_CHARS_MAX } from '../../src/api/s3/objects.ts';
import { crc32, crc32c } from '../../src/api/s3/crc.ts';
import { Edit } from '../../src/estate/edit.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { makeManaged } from './actions.ts';
import type { Got } from './request.ts';
import { sendS3, type S3Request } from './s3-signer.ts';
import { READER, startService, WRITER, type Service } from './service.ts';

const BUCKET = 'cdk-hnb659fds-assets-123456789012-us-east-1';

interface World {
  readonly service: Service;
  readonly client: EstateClient;
  readonly ask: (request: S3Request, key?: typeof WRITER) => Promise<Got>;
}

async function makeWorld(t: TestContext): Promise<World> {
  const { client, managed } = await makeManaged(t);
  const service = await startService(t, { actions: assetActions(managed) });
  return {
    service,
    client,
    ask: (request, key = WRITER) => sendS3(service.port, key, request),
  };
}

interface Loaded {
  readonly S3Client: new (settings: object) => {
    send(command: unknown): Promise<Record<string, unknown>>;
  };
  readonly [command: string]: new (input: object) => unknown;
}

const SDK = '@aws-sdk/client-s3';

async function load(t: TestContext): Promise<Loaded | undefined> {
  try {
    return (await import(SDK)) as Loaded;
  } catch {
    t.skip(`needs ${SDK}`);
    return undefined;
  }
}

async function sdk(
  t: TestContext,
  { url }: Service,
): Promise<((command: string, input: object) => Promise<Record<string, unknown>>) | undefined> {
  const loaded = await load(t);
  if (loaded === undefined) return undefined;
  const client = new loaded.S3Client({
    region: 'us-east-1',
    endpoint: url,
    credentials: WRITER,
    maxAttempts: 1,
  });
  return (command, input) =>
    client.send(new loaded[`${command}Command`]({ Bucket: BUCKET, ...input }));
}

test('the SDK puts, finds, lists, gets and deletes an object', async (t) => {
  const { service, client } = await makeWorld(t);
  const call = await sdk(t, service);
  if (call === undefined) return;
  const Key = 'a folder/ünïcode + (1)!.json';
  const Body = '{"Resources":{}}';
  const put = await call('PutObject', { Key, Body, ContentType: 'application/json' });
  assert.equal(put['ETag'], `"${createHash('md5').update(Body).digest('hex')}"`);
  const head = await call('HeadObject', { Key });
  assert.equal(head['ContentLength'], Body.length);
  assert.equal(head['ContentType'], 'application/json');
  const got = await call('GetObject', { Key });
  const text = await (got['Body'] as { transformToString(): Promise<string> }).transformToString();
  assert.equal(text, Body);
  const listed = await call('ListObjectsV2', { Prefix: 'a folder/' });
  assert.deepEqual(
    (listed['Contents'] as { Key: string; Size: number }[]).map((one) => [one.Key, one.Size]),
    [[Key, Body.length]],
  );
  const folders = await call('ListObjectsV2', { Delimiter: '/' });
  assert.deepEqual(folders['CommonPrefixes'], [{ Prefix: 'a folder/' }]);
  assert.equal((await call('GetBucketLocation', {}))['LocationConstraint'], undefined);
  await call('DeleteObject', { Key });
  assert.deepEqual(listObjects(client.estate), []);
  await assert.rejects(call('GetObject', { Key }), { name: 'NoSuchKey' });
  await assert.rejects(call('GetObject', { Bucket: 'other', Key }), { name: 'NoSuchBucket' });
  await assert.rejects(call('GetBucketEncryption', {}), {
    name: 'ServerSideEncryptionConfigurationNotFoundError',
  });
  await assert.rejects(call('PutObject', { Key, Body, IfNoneMatch: '*' }), {
    name: 'NotImplemented',
  });
  await assert.rejects(call('GetObjectAcl', { Key }), { name: 'NotImplemented' });
  assert.deepEqual(service.unknown.all, { 's3:GET object?acl': 1 });
});

test('a stream comes in chunks with a checksum behind them', async (t) => {
  const { service, client } = await makeWorld(t);
  const call = await sdk(t, service);
  if (call === undefined) return;
  const bytes = randomBytes(150_000);
  for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256']) {
    const Key = `stream ${ChecksumAlgorithm}`;
    const Body = Readable.from([bytes.subarray(0, 70_000), bytes.subarray(70_000)]);
    await call('PutObject', { Key, Body, ContentLength: bytes.length, ChecksumAlgorithm });
    assert.deepEqual(Buffer.from(findObject(client.estate, Key)!.body), bytes);
  }
  await assert.rejects(
    call('PutObject', { Key: 'x', Body: 'x', ChecksumAlgorithm: 'CRC64NVME', ChecksumCRC64NVME: 'AAAAAAAAAAA=' }),
    { name: 'NotImplemented' },
  ); // prettier-ignore
});

test('pages of a list go on where the last one ended', async (t) => {
  const { service } = await makeWorld(t);
  const call = await sdk(t, service);
  if (call === undefined) return;
  for (const Key of ['a', 'b/1', 'b/2', 'c']) await call('PutObject', { Key, Body: Key });
  const seen: unknown[] = [];
  let ContinuationToken: unknown;
  do {
    const page = await call('ListObjectsV2', { MaxKeys: 1, Delimiter: '/', ContinuationToken });
    seen.push(...((page['Contents'] ?? []) as { Key: string }[]).map(({ Key }) => Key));
    seen.push(...((page['CommonPrefixes'] ?? []) as { Prefix: string }[]).map((p) => p.Prefix));
    ContinuationToken = page['NextContinuationToken'];
  } while (ContinuationToken !== undefined && seen.length < 10);
  assert.deepEqual(seen, ['a', 'b/', 'c']);
});

test("S3's signatures: a path is encoded once, and a body may be left unsigned", async (t) => {
  const { ask, client } = await makeWorld(t);
  const path = `/${BUCKET}/a%20b%2Bc/%C3%BC.json`;
  assert.equal((await ask({ method: 'PUT', path, body: 'one' })).status, 200);
  assert.deepEqual(
    listObjects(client.estate).map(({ key }) => key),
    ['a b+c/ü.json'],
  );
  assert.equal((await ask({ path })).body, 'one');
  const instead = { path: `/${BUCKET}/other` };
  assert.equal(
    (await ask({ method: 'PUT', path, body: 'x', instead })).code,
    'SignatureDoesNotMatch',
  );
  const body = { body: 'two' };
  const tampered = await ask({ method: 'PUT', path, body: 'one', instead: body });
  assert.equal(tampered.code, 'SignatureDoesNotMatch');
  const headers = { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' };
  assert.equal((await ask({ method: 'PUT', path, body: 'two', headers })).status, 200);
  assert.equal((await ask({ path })).body, 'two');
  const presigned = await ask({ path, presign: 60, headers });
  assert.deepEqual([presigned.status, presigned.body], [200, 'two']);
  const broken = await ask({ method: 'PUT', path: `/${BUCKET}/%zz`, body: 'x' });
  assert.equal(broken.status, 400);
});

test('the bucket may stand in the name of the server', async (t) => {
  const { ask } = await makeWorld(t);
  const host = `${BUCKET}.localhost:8773`;
  assert.equal((await ask({ method: 'PUT', path: '/a/b', body: 'x', host })).status, 200);
  assert.equal((await ask({ path: `/${BUCKET}/a/b` })).body, 'x');
  assert.equal((await ask({ path: '/', query: { 'list-type': '2' }, host })).status, 200);
});

test('what is not served is said so', async (t) => {
  const { ask, service } = await makeWorld(t);
  const path = `/${BUCKET}/key`;
  const cases: readonly (readonly [S3Request, string])[] = [
    [{ path: '/' }, 'NotImplemented'],
    [{ path: '/other/', query: { 'list-type': '2' } }, 'NoSuchBucket'],
    [{ path: '/cdk-hnb659fds-assets-123456789012-eu-west-1/', query: { 'list-type': '2' } }, 'NoSuchBucket'],
    [{ path: `/${BUCKET}`, query: { 'list-type': '1' } }, 'InvalidArgument'],
    [{ path: `/${BUCKET}` }, 'NotImplemented'],
    [{ path, query: { versionId: 'x' } }, 'NotImplemented'],
    [{ method: 'PUT', path, query: { 'x-amz-acl': 'public-read' } }, 'NotImplemented'],
    [{ path, headers: { range: 'bytes=0-1' } }, 'NotImplemented'],
    [{ method: 'POST', path, query: { uploads: '' } }, 'NotImplemented'],
    [{ method: 'PUT', path, headers: { 'x-amz-copy-source': '/a/b' } }, 'NotImplemented'],
    [{ method: 'PUT', path, headers: { 'x-amz-acl': 'public-read' } }, 'AccessControlListNotSupported'],
    [{ method: 'PUT', path, headers: { 'content-encoding': 'gzip' } }, 'NotImplemented'],
    [{ method: 'PUT', path, body: 'x', headers: { 'content-md5': 'AAAA' } }, 'BadDigest'],
    [{ method: 'PUT', path, body: 'x', headers: { 'x-amz-checksum-crc32': 'AAAAAA==' } }, 'BadDigest'],
    [{ method: 'PUT', path: `${path}${'k'.repeat(1100)}`, body: 'x' }, 'KeyTooLongError'],
    [{ method: 'PUT', path, body: Buffer.alloc((512 << 10) + 1) }, 'EntityTooLarge'],
    [{ path }, 'NoSuchKey'],
  ]; // prettier-ignore
  for (const [request, code] of cases)
    assert.equal((await ask(request)).code, code, JSON.stringify(request).slice(0, 200));
  assert.equal((await ask({ method: 'PUT', path, body: 'x' }, READER)).code, 'AccessDenied');
  assert.equal((await ask({ method: 'DELETE', path }, READER)).code, 'AccessDenied');
  assert.equal((await ask({ path }, READER)).code, 'NoSuchKey');
  const stranger = { ...WRITER, accessKeyId: 'AKIANOBODYNOBODY1234' };
  assert.equal((await ask({ path }, stranger)).code, 'InvalidAccessKeyId');
  assert.ok(service.unknown.all['s3:POST object?uploads'] === 1);
});

test('the oldest objects go when there are too many, or they are too large', async (t) => {
  const { client } = await makeWorld(t);
  const put = async (key: string, body: Uint8Array): Promise<void> => {
    const done = await client.change((edit) => ({
      ok: true,
      value: putObject(edit, { key, body, contentType: 'x' }),
    }));
    assert.ok(done.ok);
  };
  const keys = (): readonly string[] => listObjects(client.estate).map(({ key }) => key);
  for (let i = 0; i < 102; i++) await put(`small-${String(i).padStart(3, '0')}`, Buffer.of(i));
  assert.equal(keys().length, 100);
  assert.equal(keys()[0], 'small-002');
  const large = Buffer.alloc(512 << 10, 7);
  for (let i = 0; i < 14; i++) await put(`large-${String(i).padStart(2, '0')}`, large);
  const left = keys();
  const chars = left.map((key) => client.estate.textOf(`assets/${key}`)!.length);
  assert.ok(chars.reduce((sum, one) => sum + one, 0) <= ROWS_CHARS_MAX);
  // Eleven of 699,052 characters and some fit, and no small one is younger than they are.
  assert.deepEqual(left, ['03', '04', '05', '06', '07', '08', '09', '10', '11', '12', '13'].map((n) => `large-${n}`)); // prettier-ignore
  // Another with the same key takes its place.
  const edit = new Edit(client.estate);
  putObject(edit, { key: 'large-03', body: large, contentType: 'x' });
  assert.deepEqual(edit.commit().deletes, []);
});

test('CRC-32 and CRC-32C of the check value', () => {
  // The catalogue of CRCs gives these for the digits 1 to 9.
  assert.equal(crc32(Buffer.from('123456789')).toString('hex'), 'cbf43926');
  assert.equal(crc32c(Buffer.from('123456789')).toString('hex'), 'e3069283');
});
