/**
 * This file signs in by a key, renews the session while the page is open, and signs out.
 *
 * The secret signs one request and is dropped: it is sent to nobody and kept nowhere. What is kept for the tab is the
 * token, which holds for some minutes, and when it ends. It is renewed before that, up to the end that the server sets.
 */
import type { SignedIn, SignInWay } from '../../contract.ts';
import { signRequest, type AccessKey } from '../logic/sign-request.ts';
import { renewalDelayMs } from '../logic/renewal.ts';
import { ask, AskError, askAs } from './api.ts';
import { forgetDrafts } from './kept-drafts.ts';
import { forgetToken, hasEnded, loseToken, setToken, token } from './session.ts';

const KEY = 'secgroupd-session';
const PATH = 'sign-in';
const JSON_TYPE = 'application/json';
const BODY = '{}';
/** After a renewal that nobody answered. */
const RETRY_MS = 15_000;

/** When a token ends, by this machine's clock, ms since 1970. */
interface Session {
  readonly token: string;
  readonly expiresMs: number;
  readonly endsMs: number;
}

let timer: ReturnType<typeof setTimeout> | undefined;

/** Goes on renewing the session that the tab remembers. */
export function openSignIn(): void {
  const session = readSession();
  if (session !== undefined && session.token === token.get()) renewLater(session);
}

/** How a token is had here. @throws AskError */
export function askWay(): Promise<SignInWay> {
  return askAs<SignInWay>(PATH, undefined, {});
}

/** @throws AskError */
export async function signIn(
  way: Extract<SignInWay, { how: 'key' }>,
  key: AccessKey,
): Promise<void> {
  const request = {
    ...{ method: 'POST', host: location.host, path: `/api/${PATH}` },
    ...{ contentType: JSON_TYPE, body: BODY },
  };
  take(await askAs<SignedIn>(PATH, BODY, await signRequest(request, key, way, Date.now())));
}

/** Forgets the token and all drafts: somebody else may sign in next. */
export function signOut(): void {
  clearTimeout(timer);
  sessionStorage.removeItem(KEY);
  forgetDrafts();
  hasEnded.set(false);
  forgetToken();
}

function take({ token: given, expiresMs, endsMs, nowMs }: SignedIn): void {
  const ahead = Date.now() - nowMs;
  const session = { token: given, expiresMs: expiresMs + ahead, endsMs: endsMs + ahead };
  sessionStorage.setItem(KEY, JSON.stringify(session));
  setToken(given);
  renewLater(session);
}

function renewLater(session: Session, delayMs = renewalDelayMs(session, Date.now())): void {
  clearTimeout(timer);
  timer = setTimeout(() => void renew(session), delayMs);
}

async function renew(session: Session): Promise<void> {
  if (token.get() !== session.token) return;
  // No renewal helps any more, and a machine that slept may wake up after the end.
  if (Date.now() >= session.expiresMs) return loseToken(session.token);
  if (session.expiresMs >= session.endsMs) return renewLater(session);
  try {
    take(await ask<SignedIn>('renew', {}));
  } catch (error) {
    // Who is refused has lost the token by now, and is asked to sign in.
    if (error instanceof AskError && token.get() === session.token) renewLater(session, RETRY_MS);
  }
}

function readSession(): Session | undefined {
  try {
    const text = sessionStorage.getItem(KEY);
    return text === null ? undefined : (JSON.parse(text) as Session);
  } catch {
    return undefined;
  }
}
