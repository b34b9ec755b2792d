/**
 * S3's protocol: the method, the path and the query string say what is asked for. A bucket is the first part of the
 * path, or of the name by which the client calls this server (`BUCKET.localhost`).
 *
 * A request is one of the operations below if nothing stands in its query string but what the operation takes. So what
 * S3 has and is not served here (`?acl`, `?uploads`) is told as such, and is not taken for something else.
 */
import { ApiError, type Struct } from '../action.ts';
import { BUCKET_PREFIX } from '../bootstrap.ts';
import { shown } from '../form.ts';
import type { Protocol, ReadRequest, RequestHead, Written } from '../protocol.ts';
import { DECLARATION, escapeXml } from '../xml-writer.ts';
import { readPayload } from './payload.ts';

interface Operation {
  readonly name: string;
  readonly method: string;
  readonly on: 'bucket' | 'object';
  /** The parameter that tells it from others of the same method; absent: none. */
  readonly marker?: string;
  readonly takes?: readonly string[];
}

const OPERATIONS: readonly Operation[] = [
  {
    name: 'ListObjectsV2',
    method: 'GET',
    on: 'bucket',
    marker: 'list-type',
    takes: [
      'prefix', 'delimiter', 'max-keys', 'continuation-token', 'start-after', 'encoding-type', 'fetch-owner',
    ],
  },
  { name: 'GetBucketLocation', method: 'GET', on: 'bucket', marker: 'location' },
  { name: 'GetBucketEncryption', method: 'GET', on: 'bucket', marker: 'encryption' },
  { name: 'HeadBucket', method: 'HEAD', on: 'bucket' },
  { name: 'PutObject', method: 'PUT', on: 'object' },
  { name: 'GetObject', method: 'GET', on: 'object' },
  { name: 'HeadObject', method: 'HEAD', on: 'object' },
  { name: 'DeleteObject', method: 'DELETE', on: 'object' },
]; // prettier-ignore

/** The SDKs name their operation in the query string. The rest is of a presigned address. */
const IGNORED =
  /^(x-id|x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256|user-agent|checksum-mode|sdk-checksum-algorithm))$/i;
/** Headers that make another call of one: to do it all the same would overwrite, or hand out, what must not be. */
const NOT_SERVED =
  /^(if-(none-)?match|if-(un)?modified-since|range|x-amz-copy-source.*|x-amz-server-side-encryption-customer-.*|x-amz-grant-.*|x-amz-object-lock-.*|x-amz-website-redirect-location|x-amz-tagging|x-amz-write-offset-bytes)$/;
const NO_CONTENT = 204;
/** S3 tells this region by an empty element. */
const NAMELESS_REGION = 'us-east-1';
const XML = { 'content-type': 'application/xml' };
const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** What the actions on objects answer. */
export interface ObjectOutput {
  readonly ETag: string;
  readonly LastModified: Date;
  readonly ContentType: string;
  readonly Body: Uint8Array;
}

export interface BucketOutput {
  readonly Region: string;
}

export interface ListOutput {
  readonly Name: string;
  readonly Prefix: string;
  readonly Delimiter?: string;
  readonly MaxKeys: number;
  readonly EncodingType?: string;
  readonly ContinuationToken?: string;
  readonly NextContinuationToken?: string;
  readonly StartAfter?: string;
  readonly Contents: readonly {
    readonly Key: string;
    readonly ETag: string;
    readonly Size: number;
    readonly LastModified: Date;
  }[];
  readonly CommonPrefixes: readonly string[];
}

export const S3_PROTOCOL: Protocol = {
  service: 's3',
  has: (action) => OPERATIONS.some(({ name }) => name === action),
  refusalOfForm,
  readCall(request) {
    const { bucket, key } = readPlace(request);
    const on = key === '' ? 'bucket' : 'object';
    const parameters = request.query.filter(([name]) => !IGNORED.test(name));
    const names = parameters.map(([name]) => name);
    const operation = OPERATIONS.find(
      ({ method, on: what, marker, takes = [] }) =>
        method === request.method &&
        what === on &&
        (marker === undefined || names.includes(marker)) &&
        names.every((name) => name === marker || takes.includes(name)),
    );
    if (operation === undefined) {
      const [name] = names;
      const what = `${request.method} ${bucket === '' ? 'service' : on}`;
      return { action: name === undefined ? what : `${what}?${name}`, parameters: () => ({}) };
    }
    return {
      action: operation.name,
      parameters: (): Struct => ({
        Bucket: bucket,
        ...(key === '' ? {} : { Key: key }),
        ...Object.fromEntries(parameters),
        ...(operation.name === 'PutObject'
          ? { Body: readPayload(request), ContentType: request.header('content-type') }
          : {}),
      }),
    };
  },
  unknownAction: (action) =>
    new ApiError(
      'NotImplemented',
      `${action} is not served here: there is one bucket, for the assets of stacks.`,
      501,
    ),
  writeAnswer,
  writeError: ({ code, message }, requestId) => ({
    headers: XML,
    body: `${DECLARATION}<Error><Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message><RequestId>${requestId}</RequestId></Error>`,
  }),
};

/** Refuses what asks for more than is served. An ACL would make an object public; encodings are not kept. */
function refusalOfForm({ headerNames, header }: RequestHead): ApiError | undefined {
  const strange = headerNames.find((name) => NOT_SERVED.test(name));
  if (strange !== undefined)
    return new ApiError('NotImplemented', `The header ${shown(strange)} is not served here.`, 501);
  const encodings = (header('content-encoding') ?? '').split(',').map((one) => one.trim());
  if (encodings.some((one) => !['', 'identity', 'aws-chunked'].includes(one)))
    return new ApiError('NotImplemented', 'Objects with an encoding are not served here.', 501);
  if (![undefined, 'private', 'bucket-owner-full-control'].includes(header('x-amz-acl')))
    return new ApiError('AccessControlListNotSupported', 'The bucket does not allow ACLs');
  return undefined;
}

/** The bucket and the key of a request; either may be empty. @throws ApiError for a path that can't be read */
function readPlace({ path, header }: ReadRequest): {
  readonly bucket: string;
  readonly key: string;
} {
  const [label] = (header('host') ?? '').split('.', 1);
  let decoded: string;
  try {
    decoded = decodeURIComponent(path.slice(1));
  } catch {
    throw new ApiError('InvalidURI', `Couldn't parse the specified URI: ${shown(path)}`);
  }
  if (label.startsWith(BUCKET_PREFIX)) return { bucket: label, key: decoded };
  const slash = decoded.indexOf('/');
  return slash === -1
    ? { bucket: decoded, key: '' }
    : { bucket: decoded.slice(0, slash), key: decoded.slice(slash + 1) };
}

function writeAnswer(action: string, output: object): Written {
  switch (action) {
    case 'GetObject':
    case 'HeadObject': {
      const {
        ETag: etag,
        LastModified: at,
        ContentType: type,
        Body: body,
      } = output as ObjectOutput;
      return {
        headers: { 'content-type': type, etag, 'last-modified': at.toUTCString() },
        body,
      };
    }
    case 'PutObject':
      return { headers: { etag: (output as ObjectOutput).ETag }, body: '' };
    case 'DeleteObject':
      return { status: NO_CONTENT, headers: {}, body: '' };
    case 'HeadBucket':
      return { headers: { 'x-amz-bucket-region': (output as BucketOutput).Region }, body: '' };
    case 'GetBucketLocation': {
      const { Region: region } = output as BucketOutput;
      const text = region === NAMELESS_REGION ? '' : region;
      return {
        headers: XML,
        body: `${DECLARATION}<LocationConstraint xmlns="${NAMESPACE}">${text}</LocationConstraint>`,
      };
    }
    default:
      return { headers: XML, body: writeList(output as ListOutput) };
  }
}

function writeList(list: ListOutput): string {
  const name = (text: string): string =>
    escapeXml(list.EncodingType === 'url' ? encodeURIComponent(text).replaceAll('%2F', '/') : text);
  const element = (tag: string, text: string | number | undefined): string =>
    text === undefined ? '' : `<${tag}>${text}</${tag}>`;
  const optional = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : name(text);
  const objects = list.Contents.map(
    ({ Key, ETag, Size, LastModified }) =>
      `<Contents>${element('Key', name(Key))}${element('LastModified', LastModified.toISOString())}${element('ETag', escapeXml(ETag))}${element('Size', Size)}<StorageClass>STANDARD</StorageClass></Contents>`,
  );
  const prefixes = list.CommonPrefixes.map(
    (prefix) => `<CommonPrefixes>${element('Prefix', name(prefix))}</CommonPrefixes>`,
  );
  const body = [
    element('Name', list.Name),
    element('Prefix', name(list.Prefix)),
    element('Delimiter', optional(list.Delimiter)),
    element('MaxKeys', list.MaxKeys),
    element('EncodingType', list.EncodingType),
    element('KeyCount', list.Contents.length + list.CommonPrefixes.length),
    element('IsTruncated', String(list.NextContinuationToken !== undefined)),
    element('ContinuationToken', optional(list.ContinuationToken)),
    element('NextContinuationToken', list.NextContinuationToken),
    element('StartAfter', optional(list.StartAfter)),
    ...objects,
    ...prefixes,
  ];
  return `${DECLARATION}<ListBucketResult xmlns="${NAMESPACE}">${body.join('')}</ListBucketResult>`;
}
