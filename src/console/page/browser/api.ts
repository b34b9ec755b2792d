/** This file asks the console's server, and says in one form why there is no answer. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Failure } from '../../contract.ts';
import { loseToken, token } from './session.ts';

const TIMEOUT_MS = 30_000;
const UNAUTHORIZED = 401;

/** Why there is no answer. */
export class AskError extends Error {
  /** What to do. */
  readonly hint: string | undefined;
  /** HTTP's; 0: the server was not reached. */
  readonly status: number;
  /** What to decide by (`Failure`). */
  readonly code: string | undefined;

  constructor(message: string, hint: string | undefined, status: number, code?: string) {
    super(message);
    this.hint = hint;
    this.status = status;
    this.code = code;
  }
}

/** Whatever was thrown, as an AskError. */
export function asAskError(error: unknown): AskError {
  return error instanceof AskError ? error : new AskError(String(error), undefined, 0);
}

/** Headers of each request. */
export function headers(): Record<string, string> {
  return { Authorization: `Bearer ${token.get()}` };
}

/**
 * Asks by GET, or with a body by POST. The types are those of contract.ts; the server keeps them.
 * @param path below /api/
 * @throws AskError
 */
export async function ask<Answer>(
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Answer> {
  const sent = token.get();
  try {
    if (body === undefined) return await askAs<Answer>(path, undefined, headers(), signal);
    const types = { ...headers(), 'Content-Type': 'application/json' };
    return await askAs<Answer>(path, JSON.stringify(body), types, signal);
  } catch (error) {
    if (error instanceof AskError && error.status === UNAUTHORIZED) loseToken(sent);
    throw error;
  }
}

/**
 * The same with headers of one's own, such as a signature.
 * @param body as it is sent; undefined: GET
 * @throws AskError
 */
export async function askAs<Answer>(
  path: string,
  body: string | undefined,
  own: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const request: RequestInit = {
    headers: own,
    signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    cache: 'no-store',
    ...(body === undefined ? {} : { method: 'POST', body }),
  };
  let response: Response;
  let text: string;
  try {
    response = await fetch(`/api/${path}`, request);
    text = await response.text();
  } catch (error) {
    throw unreached(error);
  }
  if (response.ok) return JSON.parse(text) as Answer;
  throw refused(response.status, text);
}

function unreached(error: unknown): AskError {
  const isTimeout = error instanceof DOMException && error.name === 'TimeoutError';
  return isTimeout
    ? new AskError(`there was no answer within ${TIMEOUT_MS / 1000} s`, undefined, 0)
    : new AskError(
        'the console does not answer',
        'it runs no more, or this machine can’t reach it; start sgctl console or secgroup-api again',
        0,
      );
}

function refused(status: number, text: string): AskError {
  try {
    const { error, hint, code } = JSON.parse(text) as Partial<Failure>;
    return new AskError(error ?? `the server answered ${status}`, hint, status, code);
  } catch {
    return new AskError(`the server answered ${status}`, undefined, status);
  }
}

export type Asked<Answer> =
  | { readonly state: 'loading'; readonly last?: Answer }
  | { readonly state: 'failed'; readonly error: AskError; readonly last?: Answer }
  | { readonly state: 'answered'; readonly answer: Answer; readonly last: Answer };

/**
 * Asks when a component appears, and again when the path changes or somebody calls `again`. The last answer stays
 * while the next one is awaited.
 * @param path undefined: nothing is asked yet
 * @param keepsLast whether an answer to another path is worth showing meanwhile
 */
export function useAsk<Answer>(
  path: string | undefined,
  keepsLast = false,
): Asked<Answer> & { readonly again: () => void } {
  const [asked, setAsked] = useState<Asked<Answer>>({ state: 'loading' });
  const [turn, setTurn] = useState(0);
  const askedPath = useRef(path);
  useEffect(() => {
    if (path === undefined) return undefined;
    const ended = new AbortController();
    const isSame = askedPath.current === path || keepsLast;
    askedPath.current = path;
    setAsked(({ last }) => ({
      state: 'loading',
      ...(isSame && last !== undefined ? { last } : {}),
    }));
    ask<Answer>(path, undefined, ended.signal).then(
      (answer) => {
        if (!ended.signal.aborted) setAsked({ state: 'answered', answer, last: answer });
      },
      (error: unknown) => {
        if (ended.signal.aborted) return;
        const failure = asAskError(error);
        setAsked(({ last }) => ({
          state: 'failed',
          error: failure,
          ...(last === undefined ? {} : { last }),
        }));
      },
    );
    return () => ended.abort();
  }, [path, turn, keepsLast]);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  return { ...asked, again };
}
