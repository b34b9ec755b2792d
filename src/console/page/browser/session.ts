/**
 * This file keeps the token with which the page may ask the server, for this tab alone.
 *
 * `sgctl console` prints an address that ends with `#token=…`. What follows `#` is sent to no server and is in no log.
 * It is taken off the address at once, so that it is not in the history or a bookmark.
 *
 * secgroup-api gives a token to who signs in by a key (sign-in.ts), and that one ends. The address stays what it is
 * when it does, and drafts are kept, so that who signs in again goes on where they were.
 */
import { tokenIn } from '../logic/route.ts';
import { Store } from './store.ts';

const KEY = 'secgroupd-token';

/** The token; empty: there is none, and the page asks for it. */
export const token = new Store('');

/** Whether the server has taken the token away, or it has ended: the reader did not sign out. */
export const hasEnded = new Store(false);

/** Takes the token from the address or from what the tab remembers. */
export function openSession(): void {
  takeFromAddress();
  if (token.get() === '') token.set(sessionStorage.getItem(KEY) ?? '');
  addEventListener('hashchange', takeFromAddress);
}

/** Takes a token that somebody typed, that a new address brought, or that the server gave. */
export function setToken(value: string): void {
  sessionStorage.setItem(KEY, value);
  hasEnded.set(false);
  token.set(value);
}

/** The server does not know the token, or no longer. @param refused a newer one stays */
export function loseToken(refused: string): void {
  if (refused === '' || token.get() !== refused) return;
  hasEnded.set(true);
  forgetToken();
}

export function forgetToken(): void {
  sessionStorage.removeItem(KEY);
  token.set('');
}

function takeFromAddress(): void {
  const found = tokenIn(location.hash);
  if (found === undefined) return;
  history.replaceState(null, '', '#/map');
  setToken(found);
}
