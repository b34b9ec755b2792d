/**
 * Counts requests by what came of them, for metrics. What a stranger sends is never a label: codes are put into few
 * classes, and which action it was that is not served, the log says.
 */
import type { AccessRecord } from './access-log.ts';

/** Codes with a class of their own. Others go by the status. */
const CLASSES: Readonly<Record<string, string>> = {
  ok: 'ok',
  DryRunOperation: 'dry-run',
  InvalidAction: 'unknown-action',
  NotImplemented: 'unknown-action',
  UnknownOperationException: 'unknown-action',
  RequestLimitExceeded: 'throttled',
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  SlowDown: 'throttled',
  UnauthorizedOperation: 'not-allowed',
  AccessDenied: 'not-allowed',
  AccessDeniedException: 'not-allowed',
  MissingAuthenticationToken: 'not-signed',
  IncompleteSignature: 'not-signed',
};
const UNAVAILABLE = 503;
const SERVER_ERROR = 500;

export interface RequestCount {
  readonly service: string;
  readonly outcome: string;
  readonly count: number;
}

export class RequestCounts {
  private readonly counts = new Map<string, RequestCount>();

  add(record: AccessRecord): void {
    const { service = 'none' } = record;
    const outcome = classOf(record);
    const key = `${service} ${outcome}`;
    const count = 1 + (this.counts.get(key)?.count ?? 0);
    this.counts.set(key, { service, outcome, count });
  }

  get all(): Iterable<RequestCount> {
    return this.counts.values();
  }
}

function classOf({ outcome, status, reason }: AccessRecord): string {
  if (reason !== undefined) return 'not-signed';
  if (Object.hasOwn(CLASSES, outcome)) return CLASSES[outcome];
  if (status === UNAVAILABLE) return 'unavailable';
  return status >= SERVER_ERROR ? 'failed' : 'invalid';
}
