/**
 * Says what an error of etcd means for a call of the store: whether it is tried again, what became of a commit, and
 * what to do. etcd's own words are in api/v3rpc/rpctypes/error.go; gRPC's codes alone don't tell them apart.
 */
import type { CallError } from './grpc.ts';
import { status } from './grpc.ts';
import { StoreError, type StoreFault } from '../store.ts';

/** What a failed call means. */
export type Verdict =
  /** Nothing was done, and this member or connection does not serve now: another may. */
  | { readonly kind: 'elsewhere'; readonly what: string }
  /** The login is no longer known. Nothing was done. */
  | { readonly kind: 'login'; readonly what: string }
  /** Nobody can tell what was done. */
  | { readonly kind: 'unknown'; readonly what: string }
  /** The revision that was asked for is too old, or too new. */
  | { readonly kind: 'noRevision' }
  /** The answer is larger than a message may be. */
  | { readonly kind: 'tooLarge' }
  /** It would fail again, and elsewhere too. */
  | { readonly kind: 'refused'; readonly fault: StoreFault; readonly what: string };

/** By etcd's words. */
const SAID: readonly (readonly [pattern: RegExp, verdict: (what: string) => Verdict])[] = [
  [/required revision (has been compacted|is a future revision)/, () => ({ kind: 'noRevision' })],
  [/database space exceeded/, refused('full')],
  [/too many requests/, elsewhere],
  [/no leader|not leader|stopped|member not found|not capable/, elsewhere],
  [
    /invalid auth token|revision in header is old|invalid token/,
    (what) => ({ kind: 'login', what }),
  ],
  [/permission denied|user name is empty|authentication failed/, refused('denied')],
  [/request is too large|too many operations/, refused('failed')],
  [/authentication is not enabled/, refused('failed')],
  [/[Rr]eceived message larger than max/, () => ({ kind: 'tooLarge' })],
];

/** Nothing was sent: there was no connection. */
const NOT_SENT = /^No connection established|^Name resolution failed|^Connection dropped$/;

/** What TLS says of a certificate: the same again, until somebody mends it. */
export const CERTIFICATE =
  /certificate|self[- ]signed|altname|wrong version number|unknown ca|handshake failure|SSL routines|EPROTO/i;

/** Says what it means that a call failed. */
export function verdictOf(error: CallError): Verdict {
  const what = wordsOf(error);
  for (const [pattern, verdict] of SAID) if (pattern.test(what)) return verdict(what);
  if (NOT_SENT.test(what))
    return CERTIFICATE.test(what) ? { kind: 'refused', fault: 'failed', what } : elsewhere(what);
  switch (error.code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
    case status.UNKNOWN:
    case status.ABORTED:
    case status.INTERNAL:
      return { kind: 'unknown', what };
    case status.UNAUTHENTICATED:
      return { kind: 'login', what };
    case status.PERMISSION_DENIED:
      return { kind: 'refused', fault: 'denied', what };
    default:
      return { kind: 'refused', fault: 'failed', what };
  }
}

/** What an error says, on one line and without what is OpenSSL's and gRPC's own affair. */
export function wordsOf({ details }: CallError): string {
  return details
    .replaceAll(/[0-9A-F]*:?error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):.*/g, '$1')
    .replaceAll(/ Resolution note:.*|\s*\(\d{4}-\d\d-\d\dT[\d:.]+Z\)\.?/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

function elsewhere(what: string): Verdict {
  return { kind: 'elsewhere', what };
}

function refused(fault: StoreFault): (what: string) => Verdict {
  return (what) => ({ kind: 'refused', fault, what });
}

/** What to do, by what happened; the first that fits. */
const ADVICE: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [
    /database space exceeded/,
    "compact it (etcdctl compact REVISION), run 'etcdctl defrag' and 'etcdctl alarm disarm', or start it with a larger --quota-backend-bytes",
  ],
  [/too many operations/, 'start etcd with --max-txn-ops=128, which is its default, or with more'],
  [
    /request is too large/,
    'start etcd with --max-request-bytes=1572864, which is its default, or with more',
  ],
  [
    /user name is empty/,
    'it wants to know who asks: name a certificate of this client, or a user with password-file',
  ],
  [/authentication failed/, 'the user, or what password-file holds, is not right'],
  [
    /authentication is not enabled/,
    "leave out user and password-file, or run 'etcdctl auth enable'",
  ],
  [/permission denied/, 'give the role of this user the prefix (etcdctl role grant-permission)'],
  [/wrong version number/, 'see whether etcd takes TLS at all; etcd:// is without it, on loopback'],
  [
    CERTIFICATE,
    "see that ca names who signed etcd's certificate, that it has the name that is asked for, and that cert is one that etcd trusts",
  ],
];

const ADVICE_OF_FAULT: Readonly<Record<StoreFault, string>> = {
  busy: 'try again',
  full: 'make room there',
  denied: 'see which rights this user has there (etcdctl role get)',
  absent: 'name another',
  foreign: 'name another prefix, which is empty',
  newer: 'install the version of secgroupd that made it, or a newer one',
  corrupt: 'see what wrote it, and mend it there',
  closed: 'open it again',
  gone: 'stop what uses it; start it again once the right cluster is there, or if this is now the right one',
  failed:
    "see that it runs and can be reached ('etcdctl endpoint status --cluster'), and try again",
};

/** Makes the error of a store in etcd. @param what happened, a part of a sentence */
export function etcdError(
  place: string,
  fault: StoreFault,
  what: string,
  options: { readonly committed?: 'no' | 'unknown'; readonly cause?: unknown } = {},
): StoreError {
  const advice = ADVICE.find(([pattern]) => pattern.test(what))?.[1] ?? ADVICE_OF_FAULT[fault];
  return new StoreError(fault, `the store ${place}: ${what}; ${advice}`, options);
}
