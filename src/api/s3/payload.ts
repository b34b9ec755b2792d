/**
 * This file reads the body of an upload: as it came, or in chunks (`aws-chunked`) with a checksum behind them, each
 * chunk signed or none. What the client says of the body (hashes, signatures, lengths) must be so.
 *
 * Chunks are `SIZE;chunk-signature=HEX CRLF BYTES CRLF`, the size in hexadecimal; one of size 0 is the last, and lines
 * of `name:value` follow it. Each signature is of the chunk and of the signature before it, so none can be left out,
 * added or moved (AWS, "Signature calculations for the Authorization header: Transferring payload in multiple chunks").
 */
import { createHash } from 'node:crypto';
import { ApiError } from '../action.ts';
import type { Credential } from '../credential.ts';
import type { ReadRequest } from '../protocol.ts';
import { hmac, isSame, scopeOf, sha256, signingKey } from '../signature.ts';
import { crc32, crc32c } from './crc.ts';

const SIGNED = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
const SIGNED_TRAILER = `${SIGNED}-TRAILER`;
const UNSIGNED_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
const EMPTY_HASH = sha256(Buffer.alloc(0));
/** A chunk's first line, or one of the trailer. */
const LINE_MAX = 512;
const TRAILER_LINES_MAX = 10;
const SIZE_LINE = /^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/;
const CRLF = '\r\n';

/** @throws ApiError if the body is not what the client says of it */
export function readPayload({
  body,
  header,
  credential,
  secret,
}: Pick<ReadRequest, 'body' | 'header' | 'credential' | 'secret'>): Uint8Array {
  const mode = header('x-amz-content-sha256') ?? '';
  if (!mode.startsWith('STREAMING-')) {
    const encoding = header('content-encoding') ?? '';
    if (encoding.includes('aws-chunked'))
      throw new ApiError(
        'InvalidRequest',
        'A body in chunks takes x-amz-content-sha256: STREAMING-…',
      );
    checkSums(body, header);
    return body;
  }
  if (mode !== SIGNED && mode !== SIGNED_TRAILER && mode !== UNSIGNED_TRAILER)
    throw new ApiError('NotImplemented', 'This way to sign a body is not served here.', 501);
  const chain = mode === UNSIGNED_TRAILER ? undefined : new SignatureChain(credential, secret);
  const { bytes, trailer } = readChunks(Buffer.from(body), chain, mode !== SIGNED);
  const length = header('x-amz-decoded-content-length');
  if (length !== undefined && Number(length) !== bytes.length)
    throw new ApiError('IncompleteBody', 'The body has not x-amz-decoded-content-length bytes.');
  const announced = (header('x-amz-trailer') ?? '').split(',').map((name) => name.trim());
  for (const name of announced)
    if (name !== '' && !trailer.has(name))
      throw new ApiError(
        'MalformedTrailerError',
        `The body has no ${name.slice(0, 40)} behind it.`,
      );
  checkSums(bytes, (name) => trailer.get(name) ?? header(name));
  return bytes;
}

class SignatureChain {
  private readonly key: Buffer;
  private readonly head: readonly string[];
  private before: string;

  constructor(credential: Credential, secret: string) {
    this.key = signingKey(credential, secret);
    this.head = [credential.date, scopeOf(credential)];
    this.before = credential.signature;
  }

  /** @throws ApiError if the signature is another one */
  check(kind: 'PAYLOAD' | 'TRAILER', hashes: readonly string[], signature: string): void {
    const name = `AWS4-HMAC-SHA256-${kind}`;
    const toSign = [name, ...this.head, this.before, ...hashes].join('\n');
    if (!isSame(hmac(this.key, toSign).toString('hex'), signature))
      throw new ApiError(
        'SignatureDoesNotMatch',
        'The chunk signature we calculated does not match the one you provided.',
        403,
      );
    this.before = signature;
  }
}

interface Chunked {
  readonly bytes: Buffer;
  readonly trailer: ReadonlyMap<string, string>;
}

function readChunks(body: Buffer, chain: SignatureChain | undefined, hasTrailer: boolean): Chunked {
  const chunks: Buffer[] = [];
  let at = 0;
  const line = (): string => {
    const end = body.indexOf(CRLF, at);
    if (end === -1 || end - at > LINE_MAX) throw malformed();
    const text = body.toString('latin1', at, end);
    at = end + CRLF.length;
    return text;
  };
  for (;;) {
    const match = SIZE_LINE.exec(line());
    if (match === null) throw malformed();
    const [, hex, signature = ''] = match;
    const size = parseInt(hex, 16);
    const chunk = body.subarray(at, at + size);
    if (chunk.length < size) throw malformed();
    chain?.check('PAYLOAD', [EMPTY_HASH, sha256(chunk)], signature);
    at += size;
    if (size === 0) break;
    if (line() !== '') throw malformed();
    chunks.push(chunk);
  }
  const lines: string[] = [];
  while (at < body.length) {
    const text = line();
    if (text === '') break;
    lines.push(text);
    if (lines.length > TRAILER_LINES_MAX) throw malformed();
  }
  if (at < body.length) throw malformed();
  return { bytes: Buffer.concat(chunks), trailer: readTrailer(lines, chain, hasTrailer) };
}

function readTrailer(
  lines: readonly string[],
  chain: SignatureChain | undefined,
  hasTrailer: boolean,
): ReadonlyMap<string, string> {
  const trailer = new Map<string, string>();
  for (const text of lines) {
    const colon = text.indexOf(':');
    const name = text.slice(0, Math.max(colon, 0)).trim().toLowerCase();
    if (name === '' || trailer.has(name)) throw malformed();
    trailer.set(name, text.slice(colon + 1).trim());
  }
  if (!hasTrailer && trailer.size > 0) throw malformed();
  const signature = trailer.get('x-amz-trailer-signature');
  trailer.delete('x-amz-trailer-signature');
  if (chain !== undefined && hasTrailer) {
    const text = [...trailer].map(([name, value]) => `${name}:${value}\n`).join('');
    chain.check('TRAILER', [sha256(Buffer.from(text, 'latin1'))], signature ?? '');
  }
  return trailer;
}

const CHECKSUM = 'x-amz-checksum-';
const CHECKSUMS: Readonly<Record<string, (bytes: Uint8Array) => Buffer>> = {
  'content-md5': (bytes) => createHash('md5').update(bytes).digest(),
  [`${CHECKSUM}sha1`]: (bytes) => createHash('sha1').update(bytes).digest(),
  [`${CHECKSUM}sha256`]: (bytes) => createHash('sha256').update(bytes).digest(),
  [`${CHECKSUM}crc32`]: crc32,
  [`${CHECKSUM}crc32c`]: crc32c,
};
/** The rest of S3's. */
const NOT_CHECKED = ['crc64nvme', 'sha512', 'md5', 'xxhash64', 'xxhash3', 'xxhash128'];

function checkSums(bytes: Uint8Array, header: (name: string) => string | undefined): void {
  for (const [name, sum] of Object.entries(CHECKSUMS)) {
    const claimed = header(name);
    if (claimed === undefined || isSame(sum(bytes).toString('base64'), claimed)) continue;
    throw new ApiError('BadDigest', `The ${name} you specified did not match what we received.`);
  }
  const other = NOT_CHECKED.find((name) => header(CHECKSUM + name) !== undefined);
  if (other !== undefined)
    throw new ApiError(
      'NotImplemented',
      `Checksums ${other} are not served here: let the client send CRC32, CRC32C, SHA1 or SHA256.`,
      501,
    );
}

function malformed(): ApiError {
  return new ApiError('InvalidRequest', 'The chunks of the body can not be read.');
}
