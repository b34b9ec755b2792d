/**
 * This file sends log lines to systemd's journal as entries with fields, by its native protocol
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL).
 *
 * pino makes the lines (JSON), and each becomes a datagram. MESSAGE is for people, PRIORITY comes from the level, and
 * every property of the line becomes a field. So `journalctl -u secgroupd SECGROUPD_DEVICE=eth0 -p warning` finds the
 * lines about a device. Rejected: `<N>` prefixes on standard error (no fields), and the existing libraries (bindings
 * to libsystemd that need its headers to build; no maintained one for pino).
 *
 * If the journal does not take a line, it goes to standard error, which systemd passes to the journal too.
 */
import { fstatSync } from 'node:fs';
import type { Native } from '../ports/native.ts';

export const JOURNAL_SOCKET = '/run/systemd/journal/socket';

const FIELD_PREFIX = 'SECGROUPD_';
/** journald refuses longer names. */
const FIELD_NAME_MAX = 64;
/** A socket with default buffers takes a datagram of this size. Longer values are cut. */
const FIELD_BYTES_MAX = 16 * 1024;
const SUMMARY_VALUE_MAX = 200;
const LENGTH_BYTES = 8;

/** Maps pino's levels to syslog's priorities: the first entry whose level is reached counts. */
const PRIORITIES: readonly (readonly [level: number, priority: number])[] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
];
const PRIORITY_DEBUG = 7;

/** Properties of a line that do not become fields of their own. */
const PLAIN = new Set(['level', 'time', 'msg']);

/**
 * Checks whether a descriptor leads to the journal. JOURNAL_STREAM names the stream's device and inode
 * (systemd.exec(5)). They are compared, because a child that was redirected elsewhere inherits the variable.
 */
export function isJournalStream(environment: NodeJS.ProcessEnv, fd: number): boolean {
  try {
    const { dev, ino } = fstatSync(fd);
    return environment['JOURNAL_STREAM'] === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** Makes a stream for pino that sends its lines to the journal. */
export function journalStream(
  native: Native,
  fallback: (line: string) => void,
  socket: string = JOURNAL_SOCKET,
): { readonly write: (line: string) => void } {
  const none = new Int32Array(0);
  return {
    write(line) {
      try {
        native.sendDatagram(socket, journalEntry(line), none);
      } catch {
        fallback(line);
      }
    },
  };
}

/** Makes the datagram for a line of pino's. */
export function journalEntry(line: string): Buffer {
  const record = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const level = Number(record['level']);
  const priority = PRIORITIES.find(([least]) => level >= least)?.[1] ?? PRIORITY_DEBUG;
  const fields = Object.entries(record).filter(([key]) => !PLAIN.has(key));
  const summary = fields.flatMap(([key, value]) => summarise(key, value));
  return Buffer.concat([
    field('MESSAGE', [textOf(record['msg']), ...summary].join(' ')),
    field('PRIORITY', String(priority)),
    field('SYSLOG_IDENTIFIER', 'secgroupd'),
    ...fields.map(([key, value]) => field(fieldName(key), textOf(value))),
  ]);
}

/** Formats a property as `key=value` for the message, so that a plain `journalctl` shows it. */
function summarise(key: string, value: unknown): string[] {
  const plain =
    typeof value === 'object' && value !== null && 'message' in value ? value.message : value;
  const text = textOf(plain);
  if (text === '' || text === '{}' || text === '[]') return [];
  const short = text.length > SUMMARY_VALUE_MAX ? `${text.slice(0, SUMMARY_VALUE_MAX)}…` : text;
  return [`${key}=${/[\s"]/.test(short) ? JSON.stringify(short) : short}`];
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined ? '' : JSON.stringify(value);
}

/** `maxFlows` → `SECGROUPD_MAX_FLOWS`. */
function fieldName(key: string): string {
  const name = key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '_');
  return `${FIELD_PREFIX}${name}`.slice(0, FIELD_NAME_MAX);
}

/** Encodes a field. A value with line breaks is sent with its length, so that it can't forge another field. */
function field(name: string, text: string): Buffer {
  const value = Buffer.from(text).subarray(0, FIELD_BYTES_MAX);
  if (!value.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), value, NEWLINE]);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, NEWLINE]);
}

const NEWLINE = Buffer.from('\n');
