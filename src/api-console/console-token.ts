/**
 * This file makes the tokens by which secgroup-api's console knows who has signed in, and reads them.
 *
 * Theory of operation
 *
 * Nothing is kept for who is signed in, as for sessions (api/sessions.ts): so there is no number of them to bound, each
 * server of a store takes the tokens of the others, and a restart ends none. A token says of which key it is, what it
 * may do at most, and when it ends, with a code over that (HMAC-SHA256) made with the key's secret. It counts for as
 * long as its key is in the file: each request looks. It never may more than the key may now.
 *
 * A token holds for TOKEN_MS, and can be renewed while it holds, until END_MS after the signature; that of a session
 * not beyond the session's end. Signing out is to forget it. Who gets hold of one has it until then, but not the
 * secret.
 *
 * The codes are other ones than those of sessions, so that neither can be passed off as the other: who has a session's
 * token without its secret may ask nothing.
 */
import { randomBytes } from 'node:crypto';
import type { Caller, Policy } from '../api/action.ts';
import type { ApiKey, KeyRing } from '../api/keys.ts';
import { codeOf, narrower, type Signer } from '../api/sessions.ts';
import { isSame } from '../api/signature.ts';

export const TOKEN_MS = 15 * 60_000;
/** A day's work. */
export const END_MS = 8 * 3_600_000;
/** So far the clocks of servers of one store may be apart. */
const CLOCKS_APART_MS = 5 * 60_000;
const SECOND_MS = 1000;
const NONCE_BYTES = 12;
/** `c.KEY.CLAIMS.CODE` */
const TOKEN = /^c\.([A-Za-z0-9]{16,128})\.([A-Za-z0-9_-]{1,2000})\.([A-Za-z0-9_-]{43})$/;

/** What a token says. Times are ms since 1970. */
interface Claims {
  readonly policy: Policy;
  /** Of the key, or of the role of its session. */
  readonly arn: string;
  readonly untilMs: number;
  /** No renewal goes beyond it. */
  readonly endMs: number;
  /** So that no two tokens are the same. */
  readonly nonce: string;
}

export type TokenCaller = Pick<Caller, 'accessKeyId' | 'name' | 'accountId' | 'policy' | 'arn'>;

export interface ReadToken {
  /** The key that the token is of. */
  readonly key: ApiKey;
  readonly caller: TokenCaller;
  readonly untilMs: number;
  readonly endMs: number;
}

export interface MadeToken {
  readonly token: string;
  readonly untilMs: number;
  readonly endMs: number;
}

/** Makes the first token of somebody whose signature was right. @param key the one in the file */
export function beginToken(key: ApiKey, { caller }: Signer, nowMs: number): MadeToken {
  const sessionEndMs = (caller.untilS ?? Infinity) * SECOND_MS;
  const { policy, arn } = caller;
  return makeToken(key, { policy, arn }, Math.min(nowMs + END_MS, sessionEndMs), nowMs);
}

export function renewToken({ key, caller, endMs }: ReadToken, nowMs: number): MadeToken {
  const { policy, arn } = caller;
  return makeToken(key, { policy, arn }, endMs, nowMs);
}

/** @returns undefined for whatever is no token of a key that there is, or has ended */
export function readToken(
  keys: Pick<KeyRing, 'find'>,
  token: string,
  nowMs: number,
): ReadToken | undefined {
  const [, id, text, code] = TOKEN.exec(token) ?? [];
  const key = id === undefined ? undefined : keys.find(id);
  if (key === undefined) return undefined;
  if (!isSame(codeOf(key, 'console', text).toString('base64url'), code)) return undefined;
  const claims = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Claims;
  const { untilMs, endMs, arn } = claims;
  if (untilMs <= nowMs) return undefined;
  // It holds for too long: the clock went back, or that of the server which made it is wrong.
  const latestMs = nowMs + CLOCKS_APART_MS;
  if (untilMs > latestMs + TOKEN_MS || endMs > latestMs + END_MS) return undefined;
  const { accessKeyId, name, accountId } = key;
  const policy = narrower(key.policy, claims.policy);
  return { key, caller: { accessKeyId, name, accountId, policy, arn }, untilMs, endMs };
}

function makeToken(
  key: ApiKey,
  who: Pick<Claims, 'policy' | 'arn'>,
  endMs: number,
  nowMs: number,
): MadeToken {
  const untilMs = Math.min(nowMs + TOKEN_MS, endMs);
  const nonce = randomBytes(NONCE_BYTES).toString('base64url');
  const claims: Claims = { ...who, untilMs, endMs, nonce };
  const text = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const code = codeOf(key, 'console', text).toString('base64url');
  return { token: `c.${key.accessKeyId}.${text}.${code}`, untilMs, endMs };
}
