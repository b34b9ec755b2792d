/**
 * The access log: a JSON line for each request, with who asked, for what, and what came of it. It holds no secret, no
 * parameter and no signature. Texts of strangers are bounded and escaped.
 */
import type { Logger } from 'pino';

export interface AccessRecord {
  requestId: string;
  /** The address of the client. */
  from: string;
  /** The name of the key; undefined before the signature has been found right. */
  who?: string;
  accessKeyId?: string;
  service?: string;
  action?: string;
  /** `ok`, or the code of the error. */
  outcome: string;
  /** Of HTTP. */
  status: number;
  /** Why a signature did not count: what the client is not told. */
  reason?: string;
  /** Of the estate, after a change. */
  revision?: number;
  /** Hosts that a change concerns, and that don't live: nobody waited for them. */
  away?: readonly string[];
  /** Hosts that live, and did not have it in force when a quorum had, or when it was waited for long enough. */
  behind?: readonly string[];
  ms: number;
}

/** Unknown actions are told apart up to this many. */
const NAMES_MAX = 200;

/** Counts what clients asked for and is not served. Each name is logged when it comes for the first time. */
export class UnknownActions {
  private readonly log: Pick<Logger, 'warn'>;
  private readonly counts = new Map<string, number>();

  constructor(log: Pick<Logger, 'warn'>) {
    this.log = log;
  }

  /** @param name is bounded: `ec2:RunInstances` */
  add(name: string): void {
    const before = this.counts.get(name);
    if (before === undefined && this.counts.size >= NAMES_MAX) return;
    this.counts.set(name, (before ?? 0) + 1);
    if (before === undefined)
      this.log.warn({ action: name }, 'a client asked for an action that is not served');
  }

  /** How often each was asked for. */
  get all(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.counts);
  }
}
