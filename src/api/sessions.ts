/**
 * Sessions: credentials that AssumeRole gives for a while, in place of a key.
 *
 * Theory of operation
 *
 * Nothing is kept for a session, so there is no number of them to bound, and they outlive a restart. The session token
 * says of which key the session is, what it may do at most, and when it ends, with a code over that (HMAC-SHA256) made
 * with the key's secret. The session's id and secret are such codes too. So a token counts for as long as its key is in
 * the file: a key that is deleted takes its sessions along. A session never may more than its key may now, nor than who
 * asked for it: a session that asks for another one gets its own bounds.
 *
 * Whoever has the key's secret could make a token without asking. That gains nothing, since the secret itself may do
 * all that the token may, for longer.
 *
 * The codes are made with another key than signatures are (`AWS4` and the secret there), so none can be passed off as
 * the other. A token is read only after its code was found right, by a comparison in constant time.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { Caller, Policy } from './action.ts';
import type { Credential } from './credential.ts';
import { idText, type ApiKey, type KeyRing } from './keys.ts';
import { isSame, type Refusal } from './signature.ts';

/** AWS's. */
export const DURATION_MIN_S = 900;
export const DURATION_MAX_S = 43_200;
export const DURATION_DEFAULT_S = 3600;
const SECOND_MS = 1000;
const ID_LENGTH = 16;
const SECRET_BYTES = 30;
const NONCE_BYTES = 12;
/** `KEY.CLAIMS.CODE`. No key's own token has this form and this code. */
const TOKEN = /^([A-Za-z0-9]{16,128})\.([A-Za-z0-9_-]{1,1000})\.([A-Za-z0-9_-]{43})$/;

/** What a token says of its session. */
interface Claims {
  /** What it may do at most. */
  readonly policy: Policy;
  readonly roleName: string;
  readonly sessionName: string;
  readonly untilS: number;
  /** So that no two sessions are the same. */
  readonly nonce: string;
}

export type SessionWish = Omit<Claims, 'nonce'>;

export interface Session {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

/** Who claims to have signed: what the signature is checked with, and who that is. */
export interface Signer {
  readonly key: ApiKey;
  readonly caller: Omit<Caller, 'host'>;
}

/** Makes a session of a key that is in the file. */
export function makeSession(key: ApiKey, wish: SessionWish): Session {
  const claims: Claims = { ...wish, nonce: randomBytes(NONCE_BYTES).toString('base64url') };
  const text = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const token = `${key.accessKeyId}.${text}.${codeOf(key, 'token', text).toString('base64url')}`;
  return sessionOf(key, text, token);
}

/**
 * Finds who claims to have signed: a key, or a session of one.
 * @returns why there is nobody whose signature could count
 */
export function findSigner(
  keys: Pick<KeyRing, 'find'>,
  { accessKeyId, sessionToken = '' }: Credential,
  nowMs: number,
): Signer | Refusal {
  const known = keys.find(accessKeyId);
  if (known !== undefined) return { key: known, caller: callerOf(known) };
  const parts = TOKEN.exec(sessionToken);
  if (parts === null) return 'unknown-key';
  const [, rootId, text, code] = parts;
  const root = keys.find(rootId);
  if (root === undefined) return 'unknown-key';
  if (!isSame(codeOf(root, 'token', text).toString('base64url'), code)) return 'wrong-token';
  const session = sessionOf(root, text, sessionToken);
  if (session.accessKeyId !== accessKeyId) return 'unknown-key';
  const claims = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Claims;
  const leftMs = claims.untilS * SECOND_MS - nowMs;
  if (leftMs <= 0) return 'expired-token';
  // Not made by makeSession, or the server's clock went back.
  if (leftMs > DURATION_MAX_S * SECOND_MS) return 'wrong-token';
  const { accountId, name } = root;
  const policy = narrower(root.policy, claims.policy);
  return {
    key: { ...session, accountId, name, policy },
    caller: {
      ...callerOf(root),
      policy,
      arn: assumedRoleArn(accountId, claims),
      untilS: claims.untilS,
    },
  };
}

function callerOf({ accessKeyId, name, accountId, policy }: ApiKey): Signer['caller'] {
  return { accessKeyId, name, accountId, policy, arn: `arn:aws:iam::${accountId}:user/${name}` };
}

export function assumedRoleArn(
  accountId: string,
  { roleName, sessionName }: Pick<SessionWish, 'roleName' | 'sessionName'>,
): string {
  return `arn:aws:sts::${accountId}:assumed-role/${roleName}/${sessionName}`;
}

/** What both may do. What a host's key may is no part of what the others may, so a session of it stays a host's. */
export function narrower(a: Policy, b: Policy): Policy {
  if (a === 'host' || b === 'host') return 'host';
  return a === 'write' && b === 'write' ? 'write' : 'read';
}

function sessionOf(key: ApiKey, text: string, sessionToken: string): Session {
  return {
    accessKeyId: `ASIA${idText(codeOf(key, 'id', text).subarray(0, ID_LENGTH))}`,
    secretAccessKey: codeOf(key, 'secret', text).subarray(0, SECRET_BYTES).toString('base64'),
    sessionToken,
  };
}

/** A code over a text that only whoever has the key's secret can make. Each use has codes of its own. */
export function codeOf(
  { accessKeyId, secretAccessKey }: ApiKey,
  what: 'token' | 'id' | 'secret' | 'console' | 'preview',
  text: string,
): Buffer {
  return createHmac('sha256', `secgroupd session ${secretAccessKey}`)
    .update(`${what}\n${accessKeyId}\n${text}`)
    .digest();
}
