/** A lease of a store where nobody notices that a holder is silent: its row stays until it is released. */
import type { Lease, Store } from './store.ts';

export class PlainLease implements Lease {
  keptUntilMs = 0;
  putRevision = 0;
  private readonly store: Store;
  private readonly row: { readonly key: string; readonly value: string };

  constructor(store: Store, row: { readonly key: string; readonly value: string }) {
    this.store = store;
    this.row = row;
  }

  async put(): Promise<number> {
    // Nobody lives after a loss of power.
    const puts = { conditions: [], puts: [this.row], deletes: [], mayBeLost: true };
    const outcome = await this.store.commit(puts);
    this.keptUntilMs = Infinity;
    // It has no condition, so there is no conflict.
    this.putRevision = (outcome as { readonly revision: number }).revision;
    return this.putRevision;
  }

  async release(): Promise<void> {
    this.keptUntilMs = 0;
    await this.store.commit({ conditions: [], puts: [], deletes: [this.row.key] });
  }
}
