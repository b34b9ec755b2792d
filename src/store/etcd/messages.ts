/**
 * The messages of etcd's version 3 interface that a store sends and gets, by the numbers of their fields. Only what is
 * used is here. https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/ describes all of them.
 */
import {
  bool,
  bytes,
  id,
  list,
  message,
  number,
  part,
  text,
  type Codec,
  type Message,
  type Shape,
} from './wire.ts';

const HEADER = message({ clusterId: id(1), revision: number(3) });

export const KEY_VALUE = message({
  key: bytes(1),
  createRevision: number(2),
  modRevision: number(3),
  value: bytes(5),
});
export type KeyValue = Message<typeof KEY_VALUE.fields>;

const RANGE_REQUEST = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: number(3),
  revision: number(4),
  keysOnly: bool(8),
});
const RANGE_RESPONSE = message({ header: part(1, HEADER), kvs: list(2, KEY_VALUE), more: bool(3) });

/** What is put with it stays. */
export const NO_LEASE = '0';
const PUT_REQUEST = message({ key: bytes(1), value: bytes(2), lease: id(3) });
const DELETE_REQUEST = message({ key: bytes(1) });

const REQUEST_OP = message({
  range: part(1, RANGE_REQUEST),
  put: part(2, PUT_REQUEST),
  delete: part(3, DELETE_REQUEST),
});
export type RequestOp = Partial<Message<typeof REQUEST_OP.fields>>;
const RESPONSE_OP = message({ range: part(1, RANGE_RESPONSE) });

/** What a comparison looks at: the number of puts since the key was made, the last put's revision, the value. */
export const TARGET = { version: 0, modRevision: 2, value: 3 } as const;
/** The comparison is "equal" where `result` is left out, which is 0. */
const COMPARE = message({
  target: number(2),
  key: bytes(3),
  version: number(4),
  modRevision: number(6),
  value: bytes(7),
  rangeEnd: bytes(64),
});
export type Compare = Partial<Message<typeof COMPARE.fields>>;

const TXN_REQUEST = message({
  compare: list(1, COMPARE),
  success: list(2, REQUEST_OP),
  failure: list(3, REQUEST_OP),
});
const TXN_RESPONSE = message({
  header: part(1, HEADER),
  succeeded: bool(2),
  responses: list(3, RESPONSE_OP),
});

const WATCH_CREATE = message({
  key: bytes(1),
  rangeEnd: bytes(2),
  startRevision: number(3),
  fragment: bool(8),
});
const WATCH_REQUEST = message({ create: part(1, WATCH_CREATE) });
const EVENT = message({ type: number(1), kv: part(2, KEY_VALUE) });
/** Of an event; a put is 0. */
export const EVENT_DELETE = 1;
const WATCH_RESPONSE = message({
  header: part(1, HEADER),
  created: bool(3),
  canceled: bool(4),
  compactRevision: number(5),
  cancelReason: text(6),
  fragment: bool(7),
  events: list(11, EVENT),
});
export type WatchResponse = Message<typeof WATCH_RESPONSE.fields>;

const AUTHENTICATE_REQUEST = message({ name: text(1), password: text(2) });
const AUTHENTICATE_RESPONSE = message({ header: part(1, HEADER), token: text(2) });

/** In seconds. An answer has none if the lease is gone. */
const TTL = number(3);
const LEASE_GRANT_REQUEST = message({ ttlSec: number(1) });
const LEASE_GRANT_RESPONSE = message({ header: part(1, HEADER), id: id(2), ttlSec: TTL });
const LEASE_KEEP_ALIVE_REQUEST = message({ id: id(1) });
const LEASE_KEEP_ALIVE_RESPONSE = message({ header: part(1, HEADER), id: id(2), ttlSec: TTL });

/** A call with its messages. */
export interface Method<I extends Shape, O extends Shape> {
  readonly path: string;
  readonly request: Codec<I>;
  readonly response: Codec<O>;
  /** etcd takes any number of requests on one stream, and answers each. A call sends one. */
  readonly isStream?: boolean;
}

export const RANGE = {
  path: '/etcdserverpb.KV/Range',
  request: RANGE_REQUEST,
  response: RANGE_RESPONSE,
};
export const TXN = { path: '/etcdserverpb.KV/Txn', request: TXN_REQUEST, response: TXN_RESPONSE };
export const WATCH = {
  path: '/etcdserverpb.Watch/Watch',
  request: WATCH_REQUEST,
  response: WATCH_RESPONSE,
};
export const AUTHENTICATE = {
  path: '/etcdserverpb.Auth/Authenticate',
  request: AUTHENTICATE_REQUEST,
  response: AUTHENTICATE_RESPONSE,
};
export const LEASE_GRANT = {
  path: '/etcdserverpb.Lease/LeaseGrant',
  request: LEASE_GRANT_REQUEST,
  response: LEASE_GRANT_RESPONSE,
};
export const LEASE_KEEP_ALIVE = {
  path: '/etcdserverpb.Lease/LeaseKeepAlive',
  request: LEASE_KEEP_ALIVE_REQUEST,
  response: LEASE_KEEP_ALIVE_RESPONSE,
  isStream: true,
};
