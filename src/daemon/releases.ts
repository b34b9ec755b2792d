/**
 * Releases are the addresses that interfaces have lost, as a host learns of them from the store: whose flows it still
 * has to end before it acknowledges a revision (estate/released.ts).
 *
 * Theory of operation. Each row that tells of a release is noted when it comes, and stays noted until the flows with
 * its address were ended. What was noted is taken together with the estate that is to be put in force, so all of it is
 * of that estate's revision or older. A row may be gone from the store again by then.
 *
 * A host that does not follow the store for a while (it is stopped, or cut off for so long that history was compacted)
 * reads all rows that there are then. Those that have gone meanwhile it does not see. `releasesForgotten` says up to
 * which revision some have gone; if this host had ended flows up to a smaller one only, nobody knows which addresses
 * it missed, and any that an interface may have counts as released. The same if a row can't be read.
 *
 * Flows that are saved over a restart say up to which revision of which store they are good. Where hosts begin with
 * another store (`secgroupd store copy`), all rows that it has count.
 */
import type { Estate } from '../estate/estate.ts';
import { readReleased } from '../estate/release-text.ts';
import { ReleasedAddresses } from '../policy/released-addresses.ts';
import type { SavedReleases } from '../service/snapshot.ts';

/** What was noted, to be ended. */
export interface TakenReleases {
  /** Rows: their texts, by their keys. */
  readonly rows: ReadonlyMap<string, string>;
  readonly addresses: ReleasedAddresses;
  /** The revision of the estate. */
  readonly revision: number;
}

export class Releases {
  private readonly estate: Estate;
  private readonly place: string;
  private readonly noted: Map<string, string>;
  /** All releases up to this revision are dealt with. */
  private revision = 0;
  /** The revision of the estate when it was looked at last. */
  private seen = 0;

  constructor(estate: Estate, place: string) {
    this.estate = estate;
    this.place = place;
    this.noted = estate.followReleases();
  }

  /** Up to which revision of the store flows are good now. */
  get saved(): SavedReleases {
    return { store: this.place, revision: this.revision };
  }

  /**
   * All that is known to have been released since flows were saved, which are good up to now then.
   * @param saved undefined: nobody knows when that was
   */
  sinceSaved(saved: SavedReleases | undefined): ReleasedAddresses {
    const revision = saved?.store === this.place ? saved.revision : 0;
    this.revision = Math.max(this.revision, revision);
    return this.after(revision);
  }

  /** All that is known to have been released after a revision. */
  after(revision: number): ReleasedAddresses {
    const { estate } = this;
    const { released, releasesForgotten } = estate;
    const keys = [...released].flatMap(([key, since]) => (since > revision ? [key] : []));
    const texts = keys.map((key) => estate.textOf(key) ?? '');
    return read(texts, releasesForgotten > revision);
  }

  /** Counts all as dealt with that the estate had at a revision: older flows were looked at when they were restored. */
  begin(revision: number): void {
    this.revision = Math.max(this.revision, revision);
    this.seen = this.estate.revision;
  }

  /** Takes what was noted; it is given back or settled. */
  take(): TakenReleases {
    const { estate, noted } = this;
    const { revision, released, releasesForgotten } = estate;
    // Another history is told: the store was put back to what it had been.
    if (revision < this.seen) this.revision = 0;
    this.seen = revision;
    const isNews = (key: string): boolean => (released.get(key) ?? Infinity) > this.revision;
    const rows = new Map([...noted].filter(([key]) => isNews(key)));
    noted.clear();
    return {
      rows,
      addresses: read([...rows.values()], releasesForgotten > this.revision),
      revision,
    };
  }

  giveBack({ rows }: TakenReleases): void {
    for (const [key, text] of rows) this.noted.set(key, text);
  }

  settle({ revision }: TakenReleases): void {
    this.revision = Math.max(this.revision, revision);
  }
}

function read(texts: readonly string[], areUnknown: boolean): ReleasedAddresses {
  const found = new ReleasedAddresses();
  found.areUnknown = areUnknown;
  for (const text of texts) {
    const lost = readReleased(text);
    if (lost === undefined) found.areUnknown = true;
    else for (const { vpcId, address } of lost) found.add(vpcId, address);
  }
  return found;
}
