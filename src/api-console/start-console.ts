/** This file starts the console of secgroup-api: who may sign in, what is answered, and what is logged of it. */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { AccessRecord } from '../api/access-log.ts';
import type { Action } from '../api/action.ts';
import type { KeyRing } from '../api/keys.ts';
import type { Managed } from '../api/managed.ts';
import type { RequestLimit } from '../api/token-bucket.ts';
import { serveConsole, type ServedConsole } from '../console/console.ts';
import type { ConsolePlace } from '../console/console-server.ts';
import type { ApplyAnswer } from '../console/contract.ts';
import type { Answered } from '../console/visitor.ts';
import { EstateRoutes } from './estate-routes.ts';
import { EstateSource } from './estate-source.ts';
import { KeyEntrance, SignInFailure, type SignedInVisitor } from './key-entrance.ts';
import { routeOf } from './rights.ts';

/** Of all keys; a browser opens six connections to one address. */
const STREAMS_MAX = 32;
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;
const TOO_MANY = 429;

export interface ApiConsoleOptions {
  readonly place: ConsolePlace;
  readonly managed: Managed;
  readonly actions: readonly Action[];
  readonly keys: Pick<KeyRing, 'find'>;
  readonly limit: RequestLimit;
  readonly region: string;
  readonly version: string;
  /** The control socket of a daemon of this host; undefined: none is asked. */
  readonly daemon: string | undefined;
  readonly log: Pick<Logger, 'error' | 'info'>;
  /** Ms since 1970. */
  readonly now: () => number;
  readonly onAccess: (record: AccessRecord) => void;
  /** Where the page is; absent: where scripts/build puts it. */
  readonly pageFolder?: string;
}

/** @throws Error with `code` (EADDRINUSE, EACCES, EADDRNOTAVAIL) if it can't listen there */
export async function startApiConsole(options: ApiConsoleOptions): Promise<ServedConsole> {
  const { place, managed, actions, keys, limit, region, version, daemon, log, now } = options;
  const source = new EstateSource({ client: managed.client, region, version, daemon });
  return serveConsole(source, {
    place,
    entrance: new KeyEntrance({ keys, limit, region, now }),
    routes: (every) => new EstateRoutes({ every, source, managed, actions, now }),
    events: { streamsMax: STREAMS_MAX, isForSeveral: true },
    hint: 'open the address of the console itself: secgroup-api logs it when it starts',
    onError: (error) => log.error({ err: error }, 'the console failed'),
    onAnswer: (answered) => options.onAccess(recordOf(answered)),
    ...(options.pageFolder === undefined ? {} : { pageFolder: options.pageFolder }),
  });
}

/** As a call is logged: who asked, for what, and what came of it; no parameter, no token. */
function recordOf(answered: Answered<SignedInVisitor>): AccessRecord {
  const { from, method, path, visitor, status, failure, answer, ms } = answered;
  const action = routeOf(method, path);
  const reason = failure instanceof SignInFailure ? failure.reason : undefined;
  const applied = action === 'POST apply' ? (answer as ApplyAnswer | undefined) : undefined;
  return {
    ...{ requestId: randomUUID(), from },
    ...(visitor === undefined
      ? {}
      : { who: visitor.caller.name, accessKeyId: visitor.caller.accessKeyId }),
    ...{ service: 'console', action, outcome: outcomeOf(status, failure?.code), status, ms },
    ...(reason === undefined ? {} : { reason }),
    ...(applied === undefined ? {} : { revision: applied.revision }),
    ...namedHosts('away', applied?.away),
    ...namedHosts('behind', applied?.behind),
  };
}

/** In the words of calls, so that they are counted alike. */
function outcomeOf(status: number, code: string | undefined): string {
  switch (status) {
    case 200:
      return 'ok';
    case UNAUTHORIZED:
      return 'MissingAuthenticationToken';
    case FORBIDDEN:
      return 'AccessDenied';
    case TOO_MANY:
      return 'RequestLimitExceeded';
    default:
      return code ?? `status-${status}`;
  }
}

/** Of hosts that a record of the log names. */
const HOSTS_MAX = 20;

function namedHosts(
  how: 'away' | 'behind',
  hosts: readonly string[] = [],
): { readonly away?: readonly string[]; readonly behind?: readonly string[] } {
  return hosts.length === 0 ? {} : { [how]: hosts.slice(0, HOSTS_MAX) };
}
