/**
 * This file says what the console's server asks of whoever knows its visitors: sgctl console has one for all, with the
 * token of its start (token.ts), and secgroup-api one for each key that has signed in.
 */
import type { ConsoleFailure } from './failure.ts';
import type { SignInWay } from './contract.ts';

/** Somebody who may ask. */
export interface Visitor {
  /** Streams and answers are bounded for each of them. */
  readonly id: string;
  /** Whether the token still counts: streams ask it again and again. */
  isGood(): boolean;
}

/** A request to sign in, or for another token. Nothing of it is believed yet. */
export interface SignInRequest {
  readonly path: 'sign-in' | 'renew';
  /** Below `/`, with the query string, as it came. */
  readonly url: string;
  /** Names and values in turns, as they came. */
  readonly rawHeaders: readonly string[];
  /** Finds a header by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Reads the body. @throws ConsoleFailure if it is too long or no JSON by its type */
  readonly readBody: () => Promise<Buffer>;
}

/** Lets visitors in. */
export interface Entrance<V extends Visitor> {
  /** How a token is had. */
  readonly way: SignInWay;
  /** Who has a token. @param authorization the header  @throws ConsoleFailure for whoever has none that counts */
  admit(authorization: string | undefined): V;
  /** Counts a request of a visitor. @throws ConsoleFailure if there were too many */
  count?(visitor: V): void;
  /** Answers a request to sign in. @throws ConsoleFailure  Absent: nobody signs in here. */
  signIn?(request: SignInRequest): Promise<{ readonly answer: unknown; readonly visitor: V }>;
}

/** What became of a request below `/api/`. */
export interface Answered<V extends Visitor> {
  /** The client's address. */
  readonly from: string;
  readonly method: string;
  /** Below `/api/`, as the client wrote it. */
  readonly path: string;
  /** Undefined: nobody who may ask. */
  readonly visitor: V | undefined;
  /** Of HTTP. */
  readonly status: number;
  /** What went wrong. */
  readonly failure?: ConsoleFailure;
  /** What was answered, of a 200 that is no stream. */
  readonly answer?: unknown;
  readonly ms: number;
}
