/**
 * Carries what node:test tells of a file from the process that runs it to the one that reports (run-file.ts, run-tests.ts).
 * Errors go as their parts, since what node:test adds to them would be lost on the way.
 */
import type { TestEvent } from 'node:test/reporters';

/** What reporters need. The rest is sums of one process, or the same told again. */
const TOLD: ReadonlySet<string> = new Set([
  ...['test:start', 'test:pass', 'test:fail', 'test:diagnostic', 'test:stdout', 'test:stderr'],
]);
/** Sums at the end of a run, here of one file. */
const SUM = /^(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;
const MAX_CAUSES = 8;

interface ErrorParts {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: unknown;
  readonly failureType: unknown;
  readonly cause: unknown;
}

interface Data {
  readonly nesting?: number;
  readonly message?: string;
  readonly file?: string;
  readonly details?: { readonly error?: unknown };
}

/** An event as it is sent; undefined if it is nobody's affair. */
export interface SentEvent {
  readonly type: string;
  readonly data: unknown;
  readonly error?: unknown;
}

export function packEvent(event: TestEvent): SentEvent | undefined {
  const data: Data = event.data ?? {};
  if (!TOLD.has(event.type)) return undefined;
  if (event.type === 'test:diagnostic' && data.nesting === 0 && SUM.test(data.message ?? ''))
    return undefined;
  if (data.details?.error === undefined) return { type: event.type, data };
  const { error, ...details } = data.details;
  return { type: event.type, data: { ...data, details }, error: packError(error, MAX_CAUSES) };
}

export function unpackEvent({ type, data, error }: SentEvent): TestEvent {
  if (error === undefined) return { type, data } as TestEvent;
  const { details, ...rest } = data as Data;
  return {
    type,
    data: { ...rest, details: { ...details, error: unpackError(error) } },
  } as TestEvent;
}

/** That a file could not be run to its end. */
export function fileFailure(file: string, why: string): TestEvent {
  const error = Object.assign(new Error(why), { failureType: 'testCodeFailure' });
  const details = { duration_ms: 0, error };
  return {
    type: 'test:fail',
    data: { name: file, file, nesting: 0, testNumber: 1, details },
  } as TestEvent;
}

function packError(error: unknown, depth: number): unknown {
  if (!(error instanceof Error)) return { text: String(error) };
  const { name, message, stack, cause } = error;
  const { code, failureType } = error as { code?: unknown; failureType?: unknown };
  const packed = cause === undefined || depth === 0 ? undefined : packError(cause, depth - 1);
  return { name, message, stack, code, failureType, cause: packed } satisfies ErrorParts;
}

function unpackError(packed: unknown): unknown {
  const parts = packed as ErrorParts | { readonly text: string };
  if ('text' in parts) return parts.text;
  const { name, message, stack, code, failureType, cause } = parts;
  const error = new Error(message);
  Object.defineProperties(error, {
    name: { value: name, configurable: true },
    stack: { value: stack, configurable: true, writable: true },
  });
  if (cause !== undefined) error.cause = unpackError(cause);
  if (code !== undefined) Object.assign(error, { code });
  if (failureType !== undefined) Object.assign(error, { failureType });
  return error;
}
