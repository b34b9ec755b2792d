/** The changes of the benchmark "cluster": those of a busy estate, and one chain that packets can tell apart. */
import { indexChange } from '../../../src/estate/index-rows.ts';
import { valueKey } from '../../../src/estate/keys.ts';
import { ROW_FORMS } from '../../../src/estate/rows.ts';
import { StoreError, type Store } from '../../../src/store/store.ts';
import { nowMs } from './clock.ts';
import {
  APP,
  appRules,
  groupRow,
  hostName,
  interfaceOf,
  PER_HOST,
  serviceId,
  serviceRules,
  type Size,
} from './rows.ts';
import type { MarkerState } from './verdicts.ts';

/** Of ten changes so many move an interface to another service; the others are of a rule. */
const MOVES_OF_TEN = 9;
/** The hosts before are real. */
const FIRST_SIMULATED = 2;

/** Changes at a steady rate, by several writers, as servers of the API would make them. */
export class Background {
  /** When the commit of a revision was asked for. */
  readonly startedMs = new Map<number, number>();
  failed = 0;
  private readonly stores: readonly Store[];
  private readonly size: Size;
  private readonly groups = new Map<number, readonly string[]>();
  private made = 0;

  constructor(stores: readonly Store[], size: Size) {
    this.stores = stores;
    this.size = size;
  }

  /** Makes changes until it is told to stop. @returns what stops it, and waits for those under way */
  start(perSecond: number): () => Promise<void> {
    const beganMs = nowMs();
    let due = 0;
    const underWay = new Set<Promise<void>>();
    const timer = setInterval(() => {
      for (; due < ((nowMs() - beganMs) * perSecond) / 1000; due++) {
        const change: Promise<void> = this.change().finally(() => underWay.delete(change));
        underWay.add(change);
      }
    }, 2);
    return async () => {
      clearInterval(timer);
      await Promise.all(underWay);
    };
  }

  private async change(): Promise<void> {
    const count = this.made++;
    const writer = count % this.stores.length;
    const startedMs = nowMs();
    try {
      const outcome = await this.stores[writer].commit({
        conditions: [],
        ...(count % 10 < MOVES_OF_TEN ? this.move(writer) : this.rule(count)),
      });
      if (outcome.kind === 'committed') this.startedMs.set(outcome.revision, startedMs);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.failed++;
    }
  }

  private move(writer: number): Pick<Parameters<Store['commit']>[0], 'puts' | 'deletes'> {
    const { size, stores } = this;
    const simulated = size.interfaces - FIRST_SIMULATED * PER_HOST;
    // Each writer has interfaces of its own, so that its commits are the only ones of an interface.
    const some = Math.floor((Math.random() * simulated) / stores.length) * stores.length + writer;
    const number = FIRST_SIMULATED * PER_HOST + some;
    const host = hostName(Math.floor(number / PER_HOST));
    const before = this.groups.get(number) ?? size.groupsOf(number);
    const service = serviceId(Math.floor(Math.random() * size.services));
    const groupIds = [service, ...before.slice(1)];
    this.groups.set(number, groupIds);
    const after = interfaceOf({ number, host, groupIds });
    const index = indexChange(interfaceOf({ number, host, groupIds: before }), after);
    const row = {
      key: valueKey('interfaces', after.id),
      value: JSON.stringify(ROW_FORMS.interfaces.encode(after)),
    };
    return { puts: [row, ...index.puts], deletes: index.deletes };
  }

  private rule(count: number): Pick<Parameters<Store['commit']>[0], 'puts' | 'deletes'> {
    const service = Math.floor(Math.random() * this.size.services);
    const rules = serviceRules(service, this.size, 1000 + (count % 5000));
    return { puts: [groupRow(serviceId(service), rules)], deletes: [] };
  }
}

/** Says in a rule of the probes' server which of the states is in force: each opens another port. */
export class Marker {
  readonly states: MarkerState[] = [];
  private readonly store: Store;
  private readonly steadyPort: number;
  private readonly ports: readonly number[];
  private made = 0;

  constructor(store: Store, steadyPort: number, ports: readonly number[]) {
    this.store = store;
    this.steadyPort = steadyPort;
    this.ports = ports;
  }

  /** Makes the next state, and tries until it is there. */
  async next(): Promise<MarkerState> {
    const port = this.ports[this.made++ % this.ports.length];
    const row = groupRow(APP, appRules(this.steadyPort, port));
    const startedMs = nowMs();
    for (;;) {
      try {
        const { rows } = await this.store.read(row.key);
        const [found] = rows;
        // An attempt of which nobody could tell may have happened.
        if (found?.value === row.value) return this.note({ port, revision: found.revision, startedMs }); // prettier-ignore
        const conditions = [{ key: row.key, revision: found?.revision ?? 0 }];
        const outcome = await this.store.commit({ conditions, puts: [row], deletes: [] });
        if (outcome.kind === 'committed')
          return this.note({ port, revision: outcome.revision, startedMs });
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
    }
  }

  private note(state: MarkerState): MarkerState {
    this.states.push(state);
    return state;
  }
}
