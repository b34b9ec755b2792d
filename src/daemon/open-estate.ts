/**
 * This file opens what calls made, for a daemon.
 *
 * A store in a file is this host's: the daemon reads it before packets flow, holds all of it, and makes changes for
 * those who ask it. A store that hosts share may be far away, and is others'. The daemon holds the part that it needs,
 * has a copy of it in a file, starts by that copy, and tells the store about itself and nothing else. Whether it fences
 * (fencing.ts) is in the copy, too, before the store is told so and until it was told otherwise: a start without the
 * store has to know what others go by.
 */
import type { Logger } from 'pino';
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EstateClient } from '../estate/estate-client.ts';
import { EstateFollower } from '../estate/estate-follower.ts';
import { HostPart } from '../estate/host-part.ts';
import { ALIVE_TTL_SEC, HostRows } from '../estate/host-rows.ts';
import { appliedKey } from '../estate/keys.ts';
import type { AliveState } from '../estate/model.ts';
import { readCache, writeCache } from '../estate/part-cache.ts';
import { decodeApplied } from '../estate/rows.ts';
import { version } from '../service/version.ts';
import { LateStore } from '../store/late-store.ts';
import { openStore } from '../store/open-store.ts';
import { parsePlace } from '../store/place.ts';
import type { Store } from '../store/store.ts';
import { Handover } from './handover.ts';
import type { FenceSetting } from './fencing.ts';
import { EstateInForce, type EstateInForceOptions } from './estate-in-force.ts';

export interface OpenEstateOptions extends Omit<
  EstateInForceOptions,
  'client' | 'follower' | 'handover' | 'rows' | 'fence'
> {
  /** Where the copy is kept; undefined: nowhere. */
  readonly stateDirectory: string | undefined;
  readonly setting: FenceSetting;
  /** CLOCK_BOOTTIME. */
  readonly clockMs: () => number;
}

/** Each server of the API hears of each acknowledgement. */
const TELL_INTERVAL_MS = 1000;
/** A start without a copy waits so long for the store. Then packets flow by the file alone, until it is there. */
const FIRST_READ_MS = 5000;
/** The same trouble is logged so often at most. */
const TROUBLE_AGAIN_MS = 60_000;

/** @throws StoreError if a store in a file can't be read; RangeError if the place is none */
export function openEstateInForce(options: OpenEstateOptions): Promise<EstateInForce> {
  return parsePlace(options.place).kind === 'file' ? openOwn(options) : openShared(options);
}

async function openOwn(options: OpenEstateOptions): Promise<EstateInForce> {
  const { place, host, log } = options;
  const store = await openStore(place, (message) => log.warn(message));
  const onTrouble = (message: string): void => log.error({ message }, 'the store');
  const client = await EstateClient.open({ store, onTrouble });
  const rows = new HostRows({ store, host, alive: alive('all'), intervalMs: 0, onTrouble });
  return new EstateInForce({ ...options, follower: client, rows, client });
}

async function openShared(options: OpenEstateOptions): Promise<EstateInForce> {
  const { place, host, log, stateDirectory, setting, clockMs } = options;
  const onTrouble = troubleLog(log);
  const store = new LateStore(() => openStore(place, (message) => log.warn(message), clockMs));
  const follower = new EstateFollower({ store, scope: new HostPart(host), onTrouble });
  const path = stateDirectory === undefined ? undefined : join(stateDirectory, 'estate.cache');
  const cache = path === undefined ? undefined : new Cache(path, options, follower);
  cache?.restore();
  const isKnown = follower.estate.revision > 0;
  follower.start(false);
  if (!isKnown && !(await follower.until(() => follower.estate.revision > 0, FIRST_READ_MS)))
    log.error(
      { store: place },
      'the store can not be reached: what the file declares is in force alone, until it can',
    );
  const wasFencing = cache?.isRestored === true ? cache.isFencing : await hasFenced(store, host);
  if (cache !== undefined) cache.isFencing = wasFencing || setting === 'lease';
  const onToldNone = (): void => {
    if (cache === undefined) return;
    cache.isFencing = false;
    void cache.save();
  };
  const before = cache === undefined ? {} : { before: () => cache.save() };
  const rows = new HostRows({
    ...{ store, host, onTrouble, ...before },
    alive: { ...alive('part'), ttlSec: ALIVE_TTL_SEC },
    intervalMs: TELL_INTERVAL_MS,
  });
  const handover = new Handover({ store, host, log });
  // Without the rights for it, interfaces move without their connections.
  void handover.start().catch((error: unknown) => log.debug({ err: error }, 'handed over before'));
  const fence = { setting, wasFencing, clockMs, onToldNone };
  return new EstateInForce({ ...options, follower, rows, client: undefined, handover, fence });
}

/** Whether the store was told that this host fences, or may have been. */
async function hasFenced(store: Store, host: string): Promise<boolean> {
  if (store.awaySinceMs() !== undefined) return true;
  try {
    const { rows } = await store.read(appliedKey(host));
    return rows.some(({ key, value }) => decodeApplied(key, value).fence === 'lease');
  } catch {
    return true;
  }
}

function alive(holds: AliveState['holds']): AliveState {
  return { startId: randomUUID(), version, since: new Date().toISOString(), holds };
}

/** The copy of what is held. What the store is told to be in force here is in it. */
class Cache {
  private readonly path: string;
  private readonly options: OpenEstateOptions;
  private readonly follower: EstateFollower;
  private readonly changed: Set<string>;
  private savedRevision = 0;
  private isFencingSaved = false;
  private last: Promise<void> = Promise.resolve();
  isRestored = false;
  /** Whether the store was told that this host fences, or is to be told so. */
  isFencing = false;

  constructor(path: string, options: OpenEstateOptions, follower: EstateFollower) {
    this.path = path;
    this.options = options;
    this.follower = follower;
    this.changed = follower.estate.follow();
  }

  restore(): void {
    const { log } = this.options;
    const found = readCache(this.path, this.owner);
    if (found === undefined) return;
    if ('why' in found) {
      log.warn({ file: this.path, why: found.why }, 'the copy of the estate is not used');
      return;
    }
    const { revision, rows, fence } = found;
    this.isRestored = true;
    this.isFencing = fence === 'lease';
    this.isFencingSaved = this.isFencing;
    this.follower.restore({ revision, puts: rows, deletes: [], isContent: true });
    this.changed.clear();
    this.savedRevision = revision;
    log.info(
      { revision, rows: rows.length },
      'the copy of the estate is in force, until the store is read',
    );
  }

  /** One after the other: they write the same file. */
  save(): Promise<void> {
    this.last = this.last.then(() => this.saveNow());
    return this.last;
  }

  private async saveNow(): Promise<void> {
    const { estate } = this.follower;
    const { isFencing } = this;
    const isSaved = this.savedRevision > 0 && isFencing === this.isFencingSaved;
    if (estate.revision === 0 || (this.changed.size === 0 && isSaved)) return;
    const { revision } = estate;
    const rows = estate.rows();
    const changed = [...this.changed];
    this.changed.clear();
    try {
      const fence = isFencing ? { fence: 'lease' as const } : {};
      await writeCache(this.path, this.owner, { revision, rows, ...fence });
      this.savedRevision = revision;
      this.isFencingSaved = isFencing;
    } catch (error) {
      for (const key of changed) this.changed.add(key);
      this.options.log.error(
        { err: error, file: this.path },
        'the copy of the estate could not be written',
      );
      // That this host fences is told to the store now, and the former copy does not say so.
      if (isFencing && !this.isFencingSaved)
        await rm(this.path, { force: true }).catch(() => undefined);
    }
  }

  private get owner(): { readonly host: string; readonly store: string } {
    return { host: this.options.host, store: this.options.place };
  }
}

/** Logs what is new, and what goes on now and then. */
function troubleLog(log: Logger): (message: string) => void {
  let [last, lastMs] = ['', 0];
  return (message) => {
    const nowMs = performance.now();
    if (message === last && nowMs < lastMs + TROUBLE_AGAIN_MS) return;
    [last, lastMs] = [message, nowMs];
    log.error({ message }, 'the store');
  };
}
