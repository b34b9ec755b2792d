/**
 * The Handover passes tracked flows on to the host that an interface was moved to, and takes those of interfaces that
 * were moved here, by rows of the store (estate/handover.ts).
 *
 * Theory of operation. The host before closes the device, and has the flows as they were then (handing.ts). It reads
 * the interface's row. If that says that the interface was moved away from here, it writes the flows, and only then
 * acknowledges the revision: whoever moves the interface lets the other host open it after that. So they are there when
 * that host looks for them, right before it opens the device. It reads those of the host and of the move that the
 * interface's row names, which hosts can't write. Rows of any other host are not looked at.
 *
 * Flows with addresses that were released meanwhile don't come to life by that: the host before passes on as ended what
 * it is about to end, and the other takes as ended what was released since it saw that the interface moves.
 *
 * A host needs rights for it that it can do without: the interface moves all the same, and its connections go on by
 * `conntrack.midstream` or are cut off. Both sides say so. Rows that nobody has taken are removed after a while, and at
 * the start.
 */
import type { Logger } from 'pino';
import type { Config, InterfaceConfig } from '../config/config.ts';
import type { Estate } from '../estate/estate.ts';
import { handoverRows, readHandover, removeHandover } from '../estate/handover.ts';
import { handoverPrefix, valueKey } from '../estate/keys.ts';
import type { Arrival, Arrived, EstateInterface } from '../estate/model.ts';
import { RowReader } from '../estate/row-reader.ts';
import { isOfEstate, ROW_FORMS } from '../estate/rows.ts';
import type { InterfaceId } from '../policy/model.ts';
import { ReleasedAddresses } from '../policy/released-addresses.ts';
import type { PackedFlows } from '../service/handed-flows.ts';
import type { Store } from '../store/store.ts';
import { Handing, type ArrivingFlows } from './handing.ts';

/** How long flows wait for the other host. */
const KEPT_MS = 5 * 60_000;
/** What a host hands over at a time, for all interfaces together. Etcd's quota is 2 GiB. */
const BYTES_MAX = 64 << 20;
/** So many of the interfaces that came last are told of. */
const ARRIVALS_MAX = 32;

/** Addresses that were released while interfaces were on their way. */
export interface ReleasesMeanwhile {
  /** Their flows here are about to be ended. */
  readonly now: ReleasedAddresses;
  /** All that were released after a revision. */
  readonly after: (revision: number) => ReleasedAddresses;
}

const NO_RELEASES: ReleasesMeanwhile = {
  now: new ReleasedAddresses(),
  after: () => new ReleasedAddresses(),
};

export interface HandoverOptions {
  readonly store: Store;
  readonly host: string;
  readonly log: Logger;
}

export class Handover {
  /** What came of the flows of interfaces that were moved here. */
  readonly arrivals = new Map<InterfaceId, Arrival>();
  private readonly options: HandoverOptions;
  /** Interfaces that are on their way here: since when, by performance.now(), and since which revision. */
  private readonly held = new Map<
    InterfaceId,
    { readonly sinceMs: number; readonly revision: number }
  >();
  private readonly removals = new Map<InterfaceId, NodeJS.Timeout>();
  private keptBytes = 0;

  constructor(options: HandoverOptions) {
    this.options = options;
  }

  /** Removes what an earlier process has left. */
  async start(): Promise<void> {
    await this.remove(handoverPrefix(this.options.host));
  }

  stop(): void {
    for (const timer of this.removals.values()) clearTimeout(timer);
  }

  /** Prepares a change of what is in force. */
  async prepare(
    before: Config,
    next: Config,
    estate: Estate,
    released: ReleasesMeanwhile = NO_RELEASES,
  ): Promise<Handing | undefined> {
    const isIn = new Set(next.interfaces.map(({ id }) => id));
    const wasIn = new Set(before.interfaces.map(({ id }) => id));
    const isMade = ({ device }: InterfaceConfig): boolean => isOfEstate(device);
    const leaving = new Set(
      before.interfaces.filter((one) => !isIn.has(one.id) && isMade(one)).map(({ id }) => id),
    );
    this.noteHeld(estate);
    const coming = [...isIn].flatMap((id) => {
      const value = wasIn.has(id) ? undefined : estate.interface(id);
      return value?.attachment?.moved?.isHeld === false ? [value] : [];
    });
    if (leaving.size === 0 && coming.length === 0) return undefined;
    const arriving = new Map<InterfaceId, ArrivingFlows>();
    await Promise.all(
      coming.map(async (value) => {
        const found = await this.fetch(value, released);
        if (typeof found === 'string') this.note(value, { flows: 0, refused: 0, why: found });
        else arriving.set(value.id, found);
      }),
    );
    return new Handing(leaving, arriving, released.now);
  }

  /** Tells of a change that was made, and passes on the flows of interfaces that were moved. It does not throw. */
  async finish({ left, arrived }: Handing, estate: Estate): Promise<void> {
    for (const [id, one] of arrived) {
      const value = estate.interface(id);
      if (value !== undefined) this.note(value, one);
    }
    for (const [id, packed] of left) await this.send(id, packed);
  }

  private noteHeld(estate: Estate): void {
    const held = estate
      .interfacesOfHost(this.options.host)
      .filter(({ attachment }) => attachment?.moved?.isHeld === true);
    const ids = new Set(held.map(({ id }) => id));
    for (const id of ids)
      if (!this.held.has(id)) {
        const revision = estate.revisionOf(valueKey('interfaces', id));
        this.held.set(id, { sinceMs: performance.now(), revision });
      }
    for (const id of this.held.keys())
      if (!ids.has(id) && estate.interface(id) === undefined) this.held.delete(id);
  }

  private note({ id, generation = 0, attachment }: EstateInterface, arrived: Arrived): void {
    this.arrivals.delete(id);
    this.arrivals.set(id, { generation, ...arrived });
    const [oldest] = this.arrivals.keys();
    if (this.arrivals.size > ARRIVALS_MAX) this.arrivals.delete(oldest);
    const said = { interface: id, from: attachment?.moved?.from, ...arrived };
    if (arrived.why === undefined)
      this.options.log.info(said, 'connections came with an interface');
    else this.options.log.warn(said, 'no connections came with an interface');
  }

  /** The flows of an interface that was moved here, or why there are none. */
  private async fetch(
    { id, generation = 0, attachment }: EstateInterface,
    { after }: ReleasesMeanwhile,
  ): Promise<ArrivingFlows | string> {
    const { from } = attachment!.moved!;
    // Without having seen it held, nobody knows how old its flows are.
    const { sinceMs = performance.now(), revision = 0 } = this.held.get(id) ?? {};
    this.held.delete(id);
    try {
      const { rows } = await this.options.store.read(handoverPrefix(from, id));
      const bytes = readHandover(rows, from, id, generation);
      if (bytes === undefined) return `${from} has handed over none`;
      return { bytes, elapsedMs: performance.now() - sinceMs, released: after(revision) };
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Passes flows on, if the interface that is gone was moved. */
  private async send(id: InterfaceId, { bytes, flows, leftOut }: PackedFlows): Promise<void> {
    const { store, host, log } = this.options;
    try {
      const key = valueKey('interfaces', id);
      const row = (await store.read(key)).rows.find((one) => one.key === key);
      if (row === undefined) return;
      const { generation = 0, attachment } = ROW_FORMS.interfaces.decode(id, RowReader.parse(key, row.value)); // prettier-ignore
      const { moved } = attachment ?? {};
      if (moved?.from !== host) return;
      const to = attachment!.host;
      if (!moved.isHeld) throw new Error(`${to} was let have it before`);
      if (this.keptBytes + bytes.length > BYTES_MAX)
        throw new Error(`there are ${this.keptBytes} bytes of other interfaces, which wait`);
      await this.remove(handoverPrefix(host, id));
      for (const put of handoverRows(host, id, generation, bytes))
        await store.commit({ conditions: [], puts: [put], deletes: [] });
      this.removeLater(id, bytes.length);
      log.info({ interface: id, to, flows, leftOut }, 'connections go with an interface');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.warn({ interface: id, why }, 'the connections of an interface do not go with it');
    }
  }

  private removeLater(id: InterfaceId, bytes: number): void {
    clearTimeout(this.removals.get(id));
    this.keptBytes += bytes;
    const timer = setTimeout(() => {
      this.removals.delete(id);
      this.keptBytes -= bytes;
      void this.remove(handoverPrefix(this.options.host, id)).catch(() => undefined);
    }, KEPT_MS);
    this.removals.set(id, timer.unref());
  }

  private remove(prefix: string): Promise<void> {
    return removeHandover(this.options.store, prefix);
  }
}
