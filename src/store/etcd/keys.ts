/**
 * Says where things are in etcd. All keys of a store are below its prefix: its mark, by which we know that it is a
 * store and which, and its rows.
 */
import type { Row } from '../store.ts';
import type { KeyValue } from './messages.ts';

export interface Keys {
  /** The whole store: from the first key to behind the last one. */
  readonly all: KeyRange;
  readonly mark: Buffer;
  /** Of a row. */
  readonly of: (key: string) => Buffer;
  readonly withPrefix: (prefix: string) => KeyRange;
  /** A range of one row. */
  readonly only: (key: string) => KeyRange;
  /** The key of a row, by that in etcd. */
  readonly nameOf: (key: Buffer) => string;
}

export interface KeyRange {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

const ROWS = 'rows/';
const MARK = 'store';

/** @param prefix of the store: ends with a slash */
export function keysBelow(prefix: string): Keys {
  const rows = `${prefix}${ROWS}`;
  const of = (key: string): Buffer => Buffer.from(`${rows}${key}`, 'latin1');
  return {
    all: { key: Buffer.from(prefix), rangeEnd: endOf(Buffer.from(prefix)) },
    mark: Buffer.from(`${prefix}${MARK}`),
    of,
    withPrefix: (text) => ({ key: of(text), rangeEnd: endOf(of(text)) }),
    only: (key) => ({ key: of(key), rangeEnd: keyAfter(of(key)) }),
    // A key that is not ASCII was not put by us. It gets a name that no reader takes for one of its own.
    nameOf: (key) => key.toString('latin1', rows.length),
  };
}

/** The first key behind all that begin so. No prefix of ours ends with the byte 0xff. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]++;
  return end;
}

/** The first key that is behind this one. */
export function keyAfter(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

export function rowOf(keys: Keys, { key, value, createRevision, modRevision }: KeyValue): Row {
  return {
    key: keys.nameOf(key),
    value: value.toString('utf8'),
    createRevision,
    revision: modRevision,
  };
}
