/**
 * The mark of a store in etcd: a key that says that this is a store, of which format, and which one.
 *
 * Addresses say little about which cluster is behind them: a member may be started again with an empty disk, or with
 * another cluster's. A cluster has an id, and each answer tells it; but by then a commit has happened. So a commit also
 * has the condition that the mark is as it was when the store was opened, and no other cluster has the same one.
 */
import { randomUUID } from 'node:crypto';
import type { Channel } from './grpc.ts';
import type { Keys } from './keys.ts';
import { RANGE, TARGET, TXN, type Compare } from './messages.ts';
import type { StoreError, StoreFault } from '../store.ts';

const FORMAT = 1;
const ABOUT = 'A store of secgroupd. docs/store.md tells what is in it.';
const MARK_BYTES_MAX = 4096;

/** Which store it is. */
export interface Identity {
  readonly clusterId: string;
  /** The value of the mark. */
  readonly mark: Buffer;
}

/** Makes the error of the store. */
export type Fail = (fault: StoreFault, what: string) => StoreError;

/**
 * Reads which store a member has.
 * @param known the one that it was before; undefined: it may be any, and is made if there is none
 * @returns also the newest revision of the cluster
 * @throws StoreError, CallError
 */
export async function identify(
  channel: Channel,
  keys: Keys,
  known: Identity | undefined,
  limitMs: number,
  fail: Fail,
): Promise<Identity> {
  const { header, kvs } = await channel.call(RANGE, { key: keys.mark }, limitMs);
  const clusterId = header?.clusterId ?? '0';
  const mark = kvs[0]?.value;
  if (known !== undefined) {
    assertSame(known, clusterId, mark, channel.endpoint, fail);
    return known;
  }
  if (mark === undefined) return { clusterId, mark: await makeMark(channel, keys, limitMs, fail) };
  assertFormat(mark, fail);
  return { clusterId, mark };
}

function assertSame(
  known: Identity,
  clusterId: string,
  mark: Buffer | undefined,
  endpoint: string,
  fail: Fail,
): void {
  const { clusterId: before } = known;
  if (clusterId !== before)
    throw fail(
      'gone',
      `at ${endpoint} is another cluster now (${hex(clusterId)}, not ${hex(before)})`,
    );
  if (mark === undefined) throw fail('gone', 'somebody removed it from the cluster');
  if (!mark.equals(known.mark)) throw fail('gone', 'somebody put another in its place');
}

/** As etcdctl shows it. */
function hex(id: string): string {
  return BigInt(id).toString(16);
}

/** Makes a store where nothing is. Several may want to at once: one does. */
async function makeMark(
  channel: Channel,
  keys: Keys,
  limitMs: number,
  fail: Fail,
): Promise<Buffer> {
  const value = Buffer.from(JSON.stringify({ about: ABOUT, format: FORMAT, id: randomUUID() }));
  const isEmpty: Compare = { target: TARGET.version, ...keys.all, version: 0 };
  const { succeeded, responses } = await channel.call(
    TXN,
    {
      compare: [isEmpty],
      success: [{ put: { key: keys.mark, value } }],
      failure: [{ range: { key: keys.mark } }],
    },
    limitMs,
  );
  if (succeeded) return value;
  const mark = responses[0]?.range?.kvs?.[0]?.value;
  if (mark === undefined) throw fail('foreign', 'there are keys of something else at its prefix');
  assertFormat(mark, fail);
  return mark;
}

function assertFormat(mark: Buffer, fail: Fail): void {
  const format = formatOf(mark);
  if (format === undefined) throw fail('foreign', 'what is at its prefix is not marked as a store');
  if (format > FORMAT)
    throw fail('newer', `it has format ${format}, and this version knows ${FORMAT} alone`);
}

function formatOf(mark: Buffer): number | undefined {
  if (mark.length > MARK_BYTES_MAX) return undefined;
  try {
    const { format } = JSON.parse(mark.toString()) as { format?: unknown };
    return Number.isSafeInteger(format) && (format as number) >= 1 ? (format as number) : undefined;
  } catch {
    return undefined;
  }
}
