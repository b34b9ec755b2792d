/**
 * Tokens gives out and checks the tokens of IMDSv2.
 *
 * A token is the time it ends at, and a MAC over that and the interface's id under a secret of this process. So a token
 * is of no use to another interface, none has to be remembered, and nobody can fill a memory with them. They end with
 * the process; clients take a new one when a token is refused.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const KEY_BYTES = 32;
const TIME_BYTES = 6;
const MAC_BYTES = 32;
/** Base64 has 6 bits a character. */
const TOKEN_CHARACTERS = Math.ceil(((TIME_BYTES + MAC_BYTES) * 8) / 6);
const SECOND_MS = 1000;

export class Tokens {
  private readonly key = randomBytes(KEY_BYTES);

  make(interfaceId: string, seconds: number, nowMs: number): string {
    const time = Buffer.alloc(TIME_BYTES);
    time.writeUIntBE(nowMs + seconds * SECOND_MS, 0, TIME_BYTES);
    return Buffer.concat([time, this.macOf(interfaceId, time)]).toString('base64url');
  }

  /** Seconds that a token of the interface is still good for; 0: it is none, or has ended. */
  secondsLeft(token: string, interfaceId: string, nowMs: number): number {
    if (token.length !== TOKEN_CHARACTERS || !/^[\w-]+$/.test(token)) return 0;
    const bytes = Buffer.from(token, 'base64url');
    const time = bytes.subarray(0, TIME_BYTES);
    if (!timingSafeEqual(bytes.subarray(TIME_BYTES), this.macOf(interfaceId, time))) return 0;
    const leftMs = time.readUIntBE(0, TIME_BYTES) - nowMs;
    return Math.max(0, Math.ceil(leftMs / SECOND_MS));
  }

  private macOf(interfaceId: string, time: Buffer): Buffer {
    return createHmac('sha256', this.key).update(time).update(interfaceId).digest();
  }
}
