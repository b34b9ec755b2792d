/** The hash that the SDK's signer asks for, by node:crypto. */
import { createHash, createHmac } from 'node:crypto';

export class Sha256 {
  private readonly hash: { update(data: unknown): unknown; digest(): Buffer };
  constructor(secret?: string | Uint8Array) {
    this.hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret);
  }
  update(data: unknown): void {
    this.hash.update(data);
  }
  async digest(): Promise<Uint8Array> {
    return Uint8Array.from(this.hash.digest());
  }
  reset(): void {
    throw new Error('not asked for');
  }
}
