/**
 * This file limits how many requests a key may make: a bucket of tokens for each, which fills at a steady rate.
 * There are as many buckets as there have been keys, within a bound; beyond it the oldest is forgotten, and full again.
 */
const SECOND_MS = 1000;
const BUCKETS_MAX = 65_536;

interface Bucket {
  tokens: number;
  atMs: number;
}

export class RequestLimit {
  private readonly perSecond: number;
  private readonly burst: number;
  private readonly buckets = new Map<string, Bucket>();

  /** @param burst how many may come at once */
  constructor(perSecond: number, burst: number) {
    this.perSecond = perSecond;
    this.burst = burst;
  }

  /** Takes a token of a key's. @returns false if there is none */
  take(key: string, nowMs: number): boolean {
    let bucket = this.buckets.get(key);
    if (bucket === undefined) {
      if (this.buckets.size >= BUCKETS_MAX) this.buckets.delete(this.buckets.keys().next().value!);
      bucket = { tokens: this.burst, atMs: nowMs };
      this.buckets.set(key, bucket);
    }
    const passedS = Math.max(0, nowMs - bucket.atMs) / SECOND_MS;
    bucket.tokens = Math.min(this.burst, bucket.tokens + passedS * this.perSecond);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
