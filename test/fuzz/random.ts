/**
 * The fuzzer's source of chance: a small fast counter generator (sfc32 by Chris Doty-Humphrey, public domain
 * algorithm), seeded through splitmix32. The same seed gives the same numbers on every machine, so that
 * an episode is named by two numbers. Not for secrets.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number, stream = 0) {
    let state = (seed ^ Math.imul(stream, 0x9e3779b1)) | 0;
    const word = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.a = word();
    this.b = word();
    this.c = word() ^ stream;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** 32 random bits, as an int32. */
  next(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum;
  }

  /** An integer from 0 to `count` - 1; `count` is at most 65,536 (the bias is below one in 65,536). */
  below(count: number): number {
    return ((this.next() >>> 16) * count) >>> 16;
  }

  /** True once in `count` times. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }
}
