/** The neighbour table as a Map, from its theory of operation and docs alone. Times are plain numbers. */
const ASK_MS = 1000;
const ANSWER_MS = 3000;
const REACHABLE_MS = 30_000;
const PROBES_MAX = 3;
const CREATED_BURST = 32;
const CREATED_MS = 50;

interface Entry {
  mac: string | undefined;
  confirmedMs: number;
  askedMs: number;
  asks: number;
}

export type Asked = 'nobody' | 'all' | 'neighbour';

export interface Found {
  /** undefined: not known. */
  readonly mac: string | undefined;
  readonly ask: Asked;
}

/** Without a bound: its tests stay within what the table has room for. */
export class NeighboursTwin {
  private readonly entries = new Map<string, Entry>();
  private readonly paidUntil = new Map<number, number>();

  lookUp(address: string, port: number, nowMs: number): Found {
    const entry = this.entries.get(address);
    if (entry === undefined) {
      const paid = Math.max(this.paidUntil.get(port) ?? nowMs, nowMs);
      if (paid - nowMs > (CREATED_BURST - 1) * CREATED_MS) return { mac: undefined, ask: 'nobody' };
      this.paidUntil.set(port, paid + CREATED_MS);
      this.entries.set(address, { mac: undefined, confirmedMs: nowMs, askedMs: nowMs, asks: 1 });
      return { mac: undefined, ask: 'all' };
    }
    if (entry.mac !== undefined && nowMs - entry.confirmedMs < REACHABLE_MS)
      return { mac: entry.mac, ask: 'nobody' };
    if (nowMs - entry.askedMs < ASK_MS) return { mac: entry.mac, ask: 'nobody' };
    entry.askedMs = nowMs;
    if (entry.mac !== undefined && entry.asks < PROBES_MAX) {
      entry.asks++;
      return { mac: entry.mac, ask: 'neighbour' };
    }
    entry.asks = entry.mac === undefined ? entry.asks + 1 : 1;
    entry.mac = undefined;
    return { mac: undefined, ask: 'all' };
  }

  answer(address: string, mac: string, nowMs: number): boolean {
    const entry = this.entries.get(address);
    if (entry === undefined) return false;
    if (entry.mac !== undefined && entry.mac !== mac) {
      this.announce(address, mac, nowMs);
      return false;
    }
    if (entry.asks === 0 || nowMs - entry.askedMs > ANSWER_MS) return false;
    Object.assign(entry, { mac, confirmedMs: nowMs, asks: 0 });
    return true;
  }

  announce(address: string, mac: string, nowMs: number): void {
    const entry = this.entries.get(address);
    if (entry?.mac === undefined || entry.mac === mac) return;
    entry.confirmedMs = Math.min(entry.confirmedMs, nowMs - REACHABLE_MS);
  }
}
