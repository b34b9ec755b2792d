/**
 * This file has the token by which the console knows its page: whoever has it may ask what the user who started the
 * console may. It is new with each start, comes to the page in the fragment of the address (which no browser sends to
 * anybody), and back in the header `Authorization`. There are no cookies, so no other site can have a browser send it.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { ConsoleFailure } from './failure.ts';
import type { Entrance, Visitor } from './visitor.ts';

const TOKEN_BYTES = 32;
const SCHEME = 'bearer ';
/** What whoever has no token is told to do. */
export const TOKEN_HINT = 'open the address that sgctl console has printed';
/** A header longer than that has no token of ours in it. */
const HEADER_LENGTH_MAX = 200;

export function makeToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** Lets in whoever has the token, as one visitor. */
export function tokenEntrance(token: string): Entrance<Visitor> {
  const visitor: Visitor = { id: '', isGood: () => true };
  return {
    way: { how: 'address' },
    admit: (authorization) => {
      if (hasToken(authorization, token)) return visitor;
      throw new ConsoleFailure(401, 'the token is missing or of another start', TOKEN_HINT);
    },
  };
}

/** Whether a header `Authorization` has the token. The time that it takes tells nothing of the token. */
export function hasToken(header: string | undefined, token: string): boolean {
  const sent = bearerOf(header, HEADER_LENGTH_MAX);
  // Hashes have one length, as the comparison asks for.
  return sent !== undefined && timingSafeEqual(hashOf(sent), hashOf(token));
}

/** The token of a header `Authorization` (RFC 6750); undefined: there is none. @param most characters of the header */
export function bearerOf(header: string | undefined, most: number): string | undefined {
  if (header === undefined || header.length > most) return undefined;
  if (header.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return undefined;
  return header.slice(SCHEME.length).trim();
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
