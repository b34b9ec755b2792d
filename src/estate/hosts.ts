/** What the hosts of a store say of themselves: who lives, and which revision each has in force. */
import { parseHostKey } from './keys.ts';
import type { AliveState, AppliedState } from './model.ts';
import { decodeAlive, decodeApplied } from './rows.ts';

export class Hosts {
  /** A host that was killed is still here. */
  readonly applied = new Map<string, AppliedState>();
  readonly alive = new Map<string, AliveState>();
  /** Of those that live, who holds all rows. */
  readonly whole = new Set<string>();

  /** Takes in a row, if it is such a one. @returns whether it is. @throws RowError */
  put(key: string, text: string): boolean {
    const place = parseHostKey(key);
    if (place === undefined) return false;
    const { host, row } = place;
    if (row === 'applied') this.applied.set(host, decodeApplied(key, text));
    else this.setAlive(host, decodeAlive(key, text));
    return true;
  }

  /** @returns whether it is a row of a host */
  remove(key: string): boolean {
    const place = parseHostKey(key);
    if (place === undefined) return false;
    const { host, row } = place;
    this[row].delete(host);
    if (row === 'alive') this.whole.delete(host);
    return true;
  }

  private setAlive(host: string, state: AliveState): void {
    this.alive.set(host, state);
    if (state.holds === 'all') this.whole.add(host);
    else this.whole.delete(host);
  }
}
