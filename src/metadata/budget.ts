/** Budget bounds how much of something there is at once, for each who asks and for all together. */
export class Budget {
  private readonly max: number;
  private readonly maxOfOne: number;
  private readonly taken = new Map<string, number>();
  private total = 0;

  constructor(max: number, maxOfOne: number) {
    this.max = max;
    this.maxOfOne = maxOfOne;
  }

  /** @returns false if there is no more; what was taken must be given back */
  take(who: string): boolean {
    const before = this.taken.get(who) ?? 0;
    if (before >= this.maxOfOne || this.total >= this.max) return false;
    this.taken.set(who, before + 1);
    this.total++;
    return true;
  }

  give(who: string): void {
    const before = this.taken.get(who) ?? 0;
    if (before > 1) this.taken.set(who, before - 1);
    else this.taken.delete(who);
    this.total--;
  }
}
