/** Actions of S3 on the one bucket that there is: that of the assets of stacks. */
import { action, ApiError, type Action, type Answer, type Caller, type Policy } from '../action.ts';
import { assetsBucket } from '../bootstrap.ts';
import { shown } from '../form.ts';
import type { Managed } from '../managed.ts';
import {
  findObject,
  listObjects,
  putObject,
  removeObject,
  type StoredObject,
} from '../s3/objects.ts';
import type { BucketOutput, ListOutput, ObjectOutput } from '../s3/s3-protocol.ts';

interface BucketParams {
  readonly Bucket: string;
}

interface ObjectParams extends BucketParams {
  readonly Key: string;
}

interface PutParams extends ObjectParams {
  readonly Body: Uint8Array;
  readonly ContentType?: string;
}

/** By their names in the query string. */
interface ListParams extends BucketParams {
  readonly 'list-type': string;
  readonly prefix?: string;
  readonly delimiter?: string;
  readonly 'max-keys'?: string;
  readonly 'continuation-token'?: string;
  readonly 'start-after'?: string;
  readonly 'encoding-type'?: string;
}

const KEYS_MAX = 1000;
const TYPE_DEFAULT = 'binary/octet-stream';
/** What may stand in a header of the answer. */
const TYPE = /^[\x20-\x7e]{1,256}$/;

export function assetActions(managed: Managed): readonly Action[] {
  const define = <P extends BucketParams>(
    name: string,
    right: Policy,
    run: (params: P, bucket: BucketOutput) => Promise<Answer>,
  ): Action =>
    action<P>('s3', name, right, async (params, caller) =>
      run(params, needBucket(managed, params.Bucket, caller)),
    );
  return [
    define('HeadBucket', 'read', async (_params, bucket) => ({ output: bucket })),
    define('GetBucketLocation', 'read', async (_params, bucket) => ({ output: bucket })),
    // The CDK asks, and takes this for "none".
    define('GetBucketEncryption', 'read', async () => {
      throw new ApiError(
        'ServerSideEncryptionConfigurationNotFoundError',
        'The server side encryption configuration was not found',
        404,
      );
    }),
    define<ListParams>('ListObjectsV2', 'read', async (params) => ({
      output: list(managed, params),
    })),
    define<PutParams>('PutObject', 'write', async ({ Key: key, Body: body, ContentType: type }) => {
      const contentType = type !== undefined && TYPE.test(type) ? type : TYPE_DEFAULT;
      let etag = '';
      const revision = await managed.note((edit) => {
        etag = putObject(edit, { key, body, contentType });
      });
      return { output: { ETag: etag }, revision };
    }),
    define<ObjectParams>('GetObject', 'read', async ({ Key: key }) => ({
      output: objectOutput(needObject(managed, key)),
    })),
    define<ObjectParams>('HeadObject', 'read', async ({ Key: key }) => ({
      output: objectOutput(needObject(managed, key)),
    })),
    define<ObjectParams>('DeleteObject', 'write', async ({ Key: key }) => ({
      output: {},
      revision: await managed.note((edit) => removeObject(edit, key)),
    })),
  ];
}

function needBucket({ region }: Managed, name: string, { accountId }: Caller): BucketOutput {
  const ours = assetsBucket(accountId, region);
  if (name === ours) return { Region: region };
  throw new ApiError(
    'NoSuchBucket',
    `The specified bucket does not exist: ${shown(name)}. The one that there is, is ${ours}`,
    404,
  );
}

function needObject({ estate }: Managed, key: string): StoredObject {
  const found = findObject(estate, key);
  if (found !== undefined) return found;
  throw new ApiError('NoSuchKey', 'The specified key does not exist.', 404);
}

function objectOutput({ etag, modifiedAt, contentType, body }: StoredObject): ObjectOutput {
  return { ETag: etag, LastModified: modifiedAt, ContentType: contentType, Body: body };
}

function list({ estate }: Managed, params: ListParams): ListOutput {
  const { Bucket: bucket, prefix = '', delimiter = '', 'encoding-type': encoding } = params;
  const { 'start-after': startAfter, 'continuation-token': token } = params;
  const wished = params['max-keys'] ?? String(KEYS_MAX);
  if (params['list-type'] !== '2' || !/^\d{1,9}$/.test(wished))
    throw new ApiError('InvalidArgument', 'list-type is 2, and max-keys is a number.');
  const most = Math.min(Number(wished), KEYS_MAX);
  const after = token === undefined ? startAfter : Buffer.from(token, 'base64url').toString('utf8');
  const contents: ListOutput['Contents'][number][] = [];
  const prefixes = new Set<string>();
  let last: string | undefined;
  let isTruncated = false;
  for (const { key, etag, size, modifiedAt } of listObjects(estate, prefix)) {
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const common = end === -1 ? undefined : key.slice(0, end + delimiter.length);
    // A token may be a common prefix: all of it has been told then.
    const isTold =
      after !== undefined && (key <= after || (common !== undefined && common <= after));
    if (isTold || (common !== undefined && prefixes.has(common))) continue;
    isTruncated = contents.length + prefixes.size === most;
    if (isTruncated) break;
    if (common === undefined)
      contents.push({ Key: key, ETag: etag, Size: size, LastModified: modifiedAt });
    else prefixes.add(common);
    last = common ?? key;
  }
  return {
    Name: bucket,
    Prefix: prefix,
    ...(delimiter === '' ? {} : { Delimiter: delimiter }),
    MaxKeys: most,
    ...(encoding === undefined ? {} : { EncodingType: encoding === 'url' ? 'url' : 'none' }),
    ...(token === undefined ? {} : { ContinuationToken: token }),
    ...(startAfter === undefined ? {} : { StartAfter: startAfter }),
    ...(isTruncated && last !== undefined
      ? { NextContinuationToken: Buffer.from(last).toString('base64url') }
      : {}),
    Contents: contents,
    CommonPrefixes: [...prefixes],
  };
}
