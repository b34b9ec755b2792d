/**
 * A file with the part of an estate that a host holds, so that it enforces that from its start on, whether or not the
 * store can be reached.
 *
 * Theory of operation. The file is written as a whole under another name, and renamed when it is on the disk. Its first
 * line says what it is and has a checksum of the rest; a file that is cut off, damaged, of another host or of another
 * store is refused as a whole, and the estate is read from the store as if there were none. Nothing of it is a secret,
 * but nobody else has to know who may reach whom, so only its owner may read it.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readBytes } from '../source/read-text.ts';
import type { EstateRow } from './estate.ts';

const FORMAT = 1;
/** A host with ten thousand remote members has some three million bytes. */
const BYTES_MAX = 256 << 20;

export interface CachedPart {
  readonly revision: number;
  readonly rows: readonly EstateRow[];
  /** The store was, or may have been, told so (AppliedState). */
  readonly fence?: 'lease';
}

/** Whose part it is. */
export interface CacheOwner {
  readonly host: string;
  /** The store, as it is named to the daemon. */
  readonly store: string;
}

interface Header {
  readonly format: number;
  readonly host: string;
  readonly store: string;
  readonly revision: number;
  readonly fence?: 'lease';
  readonly bytes: number;
  readonly sha256: string;
}

/** @returns why it can't be used, or undefined if there is none */
export function readCache(
  path: string,
  owner: CacheOwner,
): CachedPart | { readonly why: string } | undefined {
  const found = readBytes(path, BYTES_MAX);
  if (found.kind === 'failed')
    return found.error.code === 'ENOENT' ? undefined : { why: found.error.message };
  if (found.kind === 'no-file') return { why: `it is ${found.what}` };
  if (found.kind === 'too-large') return { why: `it has more than ${BYTES_MAX} bytes` };
  const text = found.bytes.toString();
  const end = text.indexOf('\n');
  const header = end < 0 ? undefined : parseHeader(text.slice(0, end));
  if (header === undefined) return { why: 'it has no first line that says what it is' };
  if (header.format !== FORMAT) return { why: `it has format ${header.format}, and not ${FORMAT}` };
  if (header.host !== owner.host) return { why: `it is of the host ${header.host}` };
  if (header.store !== owner.store) return { why: 'it is of another store' };
  const body = text.slice(end + 1);
  if (Buffer.byteLength(body) !== header.bytes || checksum(header, body) !== header.sha256)
    return { why: 'it is damaged: its checksum is another' };
  const fence = header.fence === undefined ? {} : { fence: header.fence };
  return { revision: header.revision, rows: JSON.parse(body) as EstateRow[], ...fence };
}

/** @throws Error if it can't be written; what was there before stays then */
export async function writeCache(path: string, owner: CacheOwner, part: CachedPart): Promise<void> {
  const body = JSON.stringify(part.rows);
  const { host, store } = owner;
  const said = {
    format: FORMAT,
    host,
    store,
    revision: part.revision,
    ...(part.fence === undefined ? {} : { fence: part.fence }),
    bytes: Buffer.byteLength(body),
  };
  const header: Header = { ...said, sha256: checksum(said, body) };
  const temporary = `${path}.new`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(header)}\n${body}`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Of all that the file says. A version that knows of no fence refuses a file that says so. */
function checksum({ host, store, revision, fence }: Omit<Header, 'sha256'>, body: string): string {
  const said = JSON.stringify([FORMAT, host, store, revision, ...(fence === undefined ? [] : [fence])]); // prettier-ignore
  return createHash('sha256').update(said).update(body).digest('hex');
}

function parseHeader(line: string): Header | undefined {
  try {
    const value = JSON.parse(line) as Partial<Header> | null;
    return typeof value === 'object' && value !== null ? (value as Header) : undefined;
  } catch {
    return undefined;
  }
}
