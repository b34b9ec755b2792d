/**
 * The keys that may sign requests, in a file: who they are for, their secrets, and what they may do.
 *
 * The file has mode 0600, since whoever reads it can sign. A file that others may read or write is refused, and a link
 * is not followed: another user could have made it. It is written as a whole under another name and then renamed, so
 * a reader sees the old keys or the new ones. The server looks before each request whether the file is another one
 * (by inode, time and size), so a key that is deleted is refused from then on.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { syncFile } from '../store/files.ts';
import { POLICIES, type Policy } from './action.ts';

export interface ApiKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Requests must carry it, where there is one. */
  readonly sessionToken?: string;
  readonly accountId: string;
  readonly name: string;
  readonly policy: Policy;
}

export const KEYS_FILE_DEFAULT = '/var/lib/secgroup-api/keys.json';
const MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;
const FILE_SIZE_MAX = 1 << 20;
export const KEYS_MAX = 1000;
export const KEY_NAME = /^[A-Za-z0-9][A-Za-z0-9+=,.@_-]{0,63}$/;
export const ACCOUNT_ID = /^\d{12}$/;
const ACCESS_KEY_ID = /^[A-Za-z0-9]{16,128}$/;
const TOKEN_LENGTH_MAX = 4096;
const SECRET_LENGTH_MIN = 16;
const SECRET_LENGTH_MAX = 128;

/** The file can't be used. The message says why and what to do. */
export class KeysFileError extends Error {}

/**
 * Reads the keys.
 * @returns no keys if there is no such file
 * @throws KeysFileError if others may read it, or it is no file with keys
 */
export function readKeys(path: string): ApiKey[] {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    if (code === 'ELOOP')
      throw new KeysFileError(`${path} is a symbolic link; name the file itself`);
    throw new KeysFileError(`${path} can't be read: ${(error as Error).message}`);
  }
  try {
    const stat = fstatSync(fd);
    const { mode, size } = stat;
    if (!stat.isFile()) throw new KeysFileError(`${path} is no file`);
    if ((mode & OTHERS) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0');
      throw new KeysFileError(`${path} has mode ${octal}, so others may use it: chmod 600 ${path}`);
    }
    if (size > FILE_SIZE_MAX)
      throw new KeysFileError(`${path} has more than ${FILE_SIZE_MAX} bytes`);
    return parseKeys(path, readFileSync(fd, 'utf8'));
  } finally {
    closeSync(fd);
  }
}

function parseKeys(path: string, text: string): ApiKey[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    // The parser's message would quote the text, and so a secret.
    throw new KeysFileError(`${path} is no JSON; sgctl api key create makes such a file`);
  }
  const keys = (content as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new KeysFileError(`${path} has no list 'keys'`);
  if (keys.length > KEYS_MAX) throw new KeysFileError(`${path} has more than ${KEYS_MAX} keys`);
  const ids = new Set<string>();
  return keys.map((key: unknown, i) => {
    const fault = faultOf(key);
    if (fault !== undefined) throw new KeysFileError(`${path}: keys[${i}]: ${fault}`);
    const read = key as ApiKey;
    if (ids.has(read.accessKeyId))
      throw new KeysFileError(`${path}: keys[${i}]: accessKeyId is that of another key too`);
    ids.add(read.accessKeyId);
    return read;
  });
}

/** What is wrong with a key; never tells a value, which could be a secret. */
function faultOf(key: unknown): string | undefined {
  const fields = (typeof key === 'object' ? key : null) as Record<string, unknown> | null;
  if (fields === null) return 'it is no object';
  const isText = (name: string, pattern: RegExp): boolean =>
    typeof fields[name] === 'string' && pattern.test(fields[name]);
  if (!isText('accessKeyId', ACCESS_KEY_ID))
    return 'accessKeyId is not 16 to 128 letters and digits';
  const { secretAccessKey: secret, sessionToken: token, policy } = fields;
  if (
    typeof secret !== 'string' ||
    secret.length < SECRET_LENGTH_MIN ||
    secret.length > SECRET_LENGTH_MAX
  )
    return `secretAccessKey has not ${SECRET_LENGTH_MIN} to ${SECRET_LENGTH_MAX} characters`;
  if (
    token !== undefined &&
    (typeof token !== 'string' || token === '' || token.length > TOKEN_LENGTH_MAX)
  )
    return `sessionToken has not 1 to ${TOKEN_LENGTH_MAX} characters`;
  if (!isText('accountId', ACCOUNT_ID)) return 'accountId has not 12 digits';
  if (!isText('name', KEY_NAME)) return 'name is not 1 to 64 of A-Z a-z 0-9 + = , . @ _ -';
  if (!POLICIES.some((one) => one === policy)) return `policy is none of ${POLICIES.join(', ')}`;
  return undefined;
}

/**
 * Changes the keys: as a whole, with mode 0600, on disk when it returns. Who owned the file before owns it after. A new
 * file belongs to who owns the folder, so that root can make keys for the server's user. The new file's name is fixed,
 * and taken before the old one is read: of two who change at a time one is refused, and no key is lost.
 * @param change returns what the keys are to be
 * @throws KeysFileError if the file is wrong, or can't be written
 */
export function changeKeys(
  path: string,
  change: (keys: readonly ApiKey[]) => readonly ApiKey[],
): void {
  const next = `${path}.new`;
  const fd = openNext(path, next);
  try {
    const keys = change(readKeys(path));
    if (keys.length > KEYS_MAX)
      throw new KeysFileError(`${path} has no room: ${KEYS_MAX} keys are the most`);
    const { uid, gid } = lstatSync(path, { throwIfNoEntry: false }) ?? lstatSync(dirname(path));
    if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
    // Whatever the umask was.
    fchmodSync(fd, MODE);
    writeFileSync(fd, `${JSON.stringify({ keys }, null, 2)}\n`);
    fsyncSync(fd);
    renameSync(next, path);
    syncFile(dirname(path));
  } catch (error) {
    rmSync(next, { force: true });
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new KeysFileError(`${path} can't be written: ${(error as Error).message}`);
  } finally {
    closeSync(fd);
  }
}

function openNext(path: string, next: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    return openSync(next, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, MODE);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new KeysFileError(
      code === 'EEXIST'
        ? `somebody else is changing ${path}; if nobody is, remove ${next} and try again`
        : `${path} can't be written: ${(error as Error).message}`,
    );
  }
}

const ID_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const ID_LENGTH = 16;
const SECRET_BYTES = 30;

/** Makes a key with a fresh id and secret: 80 and 240 random bits. */
export function createKey(name: string, accountId: string, policy: Policy): ApiKey {
  return {
    accessKeyId: `AKIA${idText(randomBytes(ID_LENGTH))}`,
    secretAccessKey: randomBytes(SECRET_BYTES).toString('base64'),
    accountId,
    name,
    policy,
  };
}

/** Finds keys by their id, as the file has them now. */
export class KeyRing {
  private readonly path: string;
  private readonly onFault: (error: Error) => void;
  private keys: ReadonlyMap<string, ApiKey> = new Map();
  private seen: string | undefined;

  /** @param onFault is told once for each version of the file that can't be used; there are no keys then */
  constructor(path: string, onFault: (error: Error) => void) {
    this.path = path;
    this.onFault = onFault;
  }

  find(accessKeyId: string): ApiKey | undefined {
    this.refresh();
    return this.keys.get(accessKeyId);
  }

  /** How many keys there are. */
  get size(): number {
    this.refresh();
    return this.keys.size;
  }

  private refresh(): void {
    const version = versionOf(this.path);
    if (version === this.seen) return;
    this.seen = version;
    this.keys = new Map();
    try {
      this.keys = new Map(readKeys(this.path).map((key) => [key.accessKeyId, key]));
    } catch (error) {
      this.onFault(error as Error);
    }
  }
}

/** Says that a file is another one: inode, size, mode, times of content and of status. */
function versionOf(path: string): string {
  try {
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return 'none';
    return [stat.ino, stat.size, stat.mode, stat.uid, stat.mtimeNs, stat.ctimeNs].join(' ');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

/** What follows the four letters of an id, as IAM writes it: a letter for each byte, with five bits of it. */
export function idText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => ID_LETTERS[byte % ID_LETTERS.length]).join('');
}
