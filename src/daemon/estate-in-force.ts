/**
 * This file keeps the estate in force beside the configuration file.
 *
 * Theory of operation. What runs is always the join of the file that was read last and the estate as it is. Either of
 * the two changes it: a reload brings another file, a revision of the store another estate. Both wait for their turn,
 * so each joins what the other left. Revisions that come while a change is under way are put in force together.
 *
 * After each change the host tells the store which revision it has in force (`hosts/HOST/applied`), or which one it
 * refused and why. Calls of the API wait for that answer. A host that stops in order takes its answer away, since
 * nothing waits for a host that does not run. One that was killed leaves it, so calls fail rather than pretend. The
 * answer also says what of the estate is not in force though the revision is. That changes without a revision when a
 * device comes or goes, so we look once a second.
 *
 * A refusal is of the estate as it is, so of all revisions that were taken together. A host refuses only what no single
 * change is to blame for: descriptors or memory are short, there are too many interfaces, or the packet loops judge
 * wrongly, and then nothing that they hold of these revisions can be relied on. What one change is to blame for, such
 * as a device that can't be opened, refuses no revision: it is left out, and whoever made it learns so (`leftOut`).
 * Calls that were refused together answer ServiceUnavailable, which AWS's clients repeat.
 *
 * Before a revision is acknowledged, the tracked flows with addresses that were released by it are ended (releases.ts):
 * whoever gets such an address after that is let in by no old flow.
 *
 * What the file declares is in the store too (`hosts/HOST/declared/…`), so that the API can show it, and refuses to
 * change it.
 */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { declaredRows } from '../estate/declared.ts';
import type { Edit } from '../estate/edit.ts';
import type { Estate } from '../estate/estate.ts';
import type { EstateClient } from '../estate/estate-client.ts';
import type { EstateFollower } from '../estate/estate-follower.ts';
import type { HostRows } from '../estate/host-rows.ts';
import { Joiner } from '../estate/join.ts';
import type { AppliedState } from '../estate/model.ts';
import { parseValueKey } from '../estate/keys.ts';
import { encodeApplied, isOfEstate } from '../estate/rows.ts';
import type { Fenced, InterfaceId } from '../policy/model.ts';
import type { ReleasedAddresses } from '../policy/released-addresses.ts';
import type { StoreFigures } from '../metrics/metrics-parts.ts';
import type { Changes, Impact } from '../queries/reload-result.ts';
import type { StoreStatus } from '../queries/status-view.ts';
import { everySecond } from '../telemetry/every-second.ts';
import { admittedAnew } from './admitted-anew.ts';
import { Fencing, type FencingOptions } from './fencing.ts';
import type { Handover } from './handover.ts';
import { PreviewAnswers } from './previews.ts';
import { Releases } from './releases.ts';
import type { Reloadable } from './reloader.ts';

/** What puts in force what was joined. */
export interface Enforcer extends Reloadable {
  /** Ends the tracked flows with addresses that are not their owners' any more. */
  endReleased(released: ReleasedAddresses): Promise<void>;
  /** Up to when packets of what the store gave flow, by CLOCK_BOOTTIME; Infinity: for ever. */
  setFence(bootMs: number): void;
}

export interface EstateInForceOptions {
  readonly follower: EstateFollower;
  /** What this host says of itself in the store. */
  readonly rows: HostRows;
  /** Makes changes for those who ask this daemon; undefined: a host may make none. */
  readonly client: EstateClient | undefined;
  /** Passes flows on to other hosts; undefined: there are none. */
  readonly handover?: Handover | undefined;
  /** Where the store is. */
  readonly place: string;
  readonly host: string;
  readonly netnsDirectory: string;
  readonly flowLogDirectory: string;
  readonly log: Logger;
  /** What the configuration file says. */
  readonly declared: Config;
  /** After so long without the store, rules that name groups admit nothing new. Default: never. */
  readonly staleAfterMs?: number;
  /** Default: there is no fence. */
  readonly fence?: Pick<FencingOptions, 'setting' | 'wasFencing' | 'clockMs' | 'onToldNone'>;
}

/** So often a question what a change would do is asked again because what is in force has changed meanwhile. */
const ATTEMPTS_MAX = 3;

/** How long a reload or a stop waits for the store to take what this host says. */
const TELL_TIMEOUT_MS = 5000;
/** And a start, however busy the disk is: until the store knows of a host, no call waits for it. */
const FIRST_TELL_TIMEOUT_MS = 60_000;
/** How long a change that a server of the API made for this host may take to be told. */
const NEWS_TIMEOUT_MS = 10_000;

export class EstateInForce implements Reloadable {
  readonly client: EstateClient | undefined;
  readonly host: string;
  readonly releases: Releases;
  private readonly follower: EstateFollower;
  private readonly rows: HostRows;
  private readonly handover: Handover | undefined;
  private readonly place: string;
  private readonly log: Logger;
  private readonly staleAfterMs: number;
  private readonly joiner: Joiner;
  private readonly previews: PreviewAnswers;
  private readonly fencing: Fencing | undefined;
  private declared: Config;
  private leftOut: ReadonlyMap<string, string> = new Map();
  /** Of the estate that was joined last: its revision, and how many changes it had had. */
  private joined = { revision: 0, changes: 0 };
  /** Of the changes of the estate, how many were looked at. */
  private looked = 0;
  /** What was joined last is not in force: it was refused. */
  private isBehind = false;
  private enforcer: Enforcer | undefined;
  private applied: AppliedState = { revision: 0 };
  private appliedAt = new Date().toISOString();
  private isWaiting = false;
  private isAging = false;
  private last: Promise<unknown> = Promise.resolve();
  private stopListening: (() => void) | undefined;

  constructor(options: EstateInForceOptions) {
    const { follower, rows, client, handover, place, host, log, declared } = options;
    this.follower = follower;
    this.rows = rows;
    this.client = client;
    this.handover = handover;
    this.place = place;
    this.host = host;
    this.log = log;
    this.declared = declared;
    this.staleAfterMs = options.staleAfterMs ?? Infinity;
    this.joiner = new Joiner(follower.estate, options);
    this.releases = new Releases(follower.estate, place);
    const catchUp = async (): Promise<string | undefined> => {
      await follower.readAll();
      return this.settle();
    };
    this.fencing = options.fence && new Fencing({ ...options.fence, rows, catchUp, log });
    const assess = (edit: Edit): ReturnType<EstateInForce['assess']> => this.assess(edit);
    this.previews = new PreviewAnswers({ follower, rows, host, log, assess });
  }

  /** What is to run now. What of the estate can't is logged. */
  join(declared = this.declared): Config {
    const { config, leftOut } = this.joiner.join(declared);
    for (const [id, reason] of leftOut)
      if (this.leftOut.get(id) !== reason) this.log.warn({ id, reason }, 'not in force');
    this.leftOut = leftOut;
    const { contentRevision: revision, contentChanges: changes } = this.estate;
    this.joined = { revision, changes };
    return this.withAge(config);
  }

  get estate(): Estate {
    return this.follower.estate;
  }

  get config(): Config {
    return this.enforcer!.config;
  }

  get generation(): number {
    return this.enforcer!.generation;
  }

  get observatory(): Reloadable['observatory'] {
    return this.enforcer!.observatory;
  }

  waiting(): ReturnType<Reloadable['waiting']> {
    return this.enforcer!.waiting();
  }

  /** For metrics. */
  get counts(): StoreFigures {
    const { revision } = this.applied;
    const isFenced = this.fencing?.isFenced === true;
    return { revision, notInForce: this.notInForce().size, awaySec: this.awaySec(), isFenced };
  }

  /** What calls have tagged an interface with. */
  tagsOf(id: InterfaceId): Readonly<Record<string, string>> {
    const tags = this.estate.interface(id)?.tags ?? [];
    return Object.fromEntries(tags.map(({ key, value }) => [key, value]));
  }

  status(): StoreStatus {
    const notInForce = [...this.notInForce()].map(([id, reason]) => ({ id, reason }));
    const { place: file, host } = this;
    const awaySec = this.awaySec();
    const away = awaySec === 0 ? {} : { awaySec };
    const stale = this.config.model.areGroupsStale === true ? { areGroupsStale: true } : {};
    return {
      file,
      host,
      ...this.applied,
      ...away,
      ...stale,
      ...this.fencing?.status(),
      notInForce,
    };
  }

  /** Whether packets of what the store gave are stopped now. */
  get isFenced(): boolean {
    return this.fencing?.isFenced === true;
  }

  /** What is behind the fence, if that is closed now. */
  fenced(): Fenced | undefined {
    const why = this.fencing?.status().fenced;
    if (why === undefined) return undefined;
    const made = [...this.config.model.interfaces.values()].filter(isOfEstate);
    return { interfaces: new Set(made.map(({ id }) => id)), why };
  }

  /**
   * Begins to follow the store.
   * @param enforcer has put in force what `join` gave, and is closed for what the store gave if it is fenced
   */
  async follow(enforcer: Enforcer): Promise<void> {
    this.enforcer = enforcer;
    this.rows.start();
    this.fencing?.start((bootMs) => enforcer.setFence(bootMs));
    this.looked = this.joined.changes;
    this.releases.begin(this.joined.revision);
    const isOwn = this.client !== undefined;
    const timeoutMs = isOwn ? FIRST_TELL_TIMEOUT_MS : TELL_TIMEOUT_MS;
    const published = this.publish({ revision: this.joined.revision }, timeoutMs);
    // Packets flow already, and one that others share and that can't be reached must not hold up who waits for them.
    if (isOwn || this.follower.awaySinceMs() === undefined) await published;
    const stopListening = this.follower.listen(() => {
      this.lookForNews();
      this.previews.look();
    });
    const stopLooking = everySecond(() => {
      this.lookForAge();
      this.lookForDevices();
    });
    this.stopListening = () => {
      stopListening();
      stopLooking();
    };
    this.lookForNews();
    this.previews.look();
  }

  /** Puts another file in force. @throws Error of the enforcer; nothing has changed then */
  reload(declared: Config): Promise<Changes> {
    return this.inTurn(async () => {
      const changes = await this.enforce(declared);
      this.declared = declared;
      await this.publish(this.applied);
      return changes;
    });
  }

  plan(declared: Config): ReturnType<Reloadable['plan']> {
    return this.inTurn(() =>
      this.enforcer!.plan(this.withAge(this.joiner.preview(declared).config)),
    );
  }

  /**
   * Waits until the estate as it is now, and all of a revision, was looked at.
   * @returns why it is not in force; undefined: it is
   */
  async settle(atLeast = 0): Promise<string | undefined> {
    if (!(await this.follower.reach(atLeast, NEWS_TIMEOUT_MS)))
      return `the store has not told of revision ${atLeast} within ${NEWS_TIMEOUT_MS / 1000} s`;
    const { contentRevision: revision, contentChanges: changes } = this.estate;
    do {
      this.lookForNews();
      // What is being put in force has its turn before.
      await this.inTurn(() => Promise.resolve());
    } while (this.looked < changes);
    const { revision: inForce, refused } = this.applied;
    return inForce >= revision ? undefined : refused?.message;
  }

  /** Why an interface of the estate is not in force here; undefined: it is. */
  whyNotInForce(id: InterfaceId): string | undefined {
    const found = this.config.interfaces.find((one) => one.id === id);
    if (this.leftOut.has(id) || found === undefined)
      return this.leftOut.get(id) ?? 'it is not there any more';
    return this.waiting().find(({ name }) => name === found.name)?.reason;
  }

  /**
   * Ends in order: nobody waits for this host any more, and others may take what it had.
   * @param close stops packets
   */
  async stop(close: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    this.stopListening?.();
    await this.previews.stop();
    this.handover?.stop();
    await this.last;
    this.fencing?.stop();
    await close();
    this.rows.want(undefined);
    // Packets wait for the next start meanwhile: not in vain.
    if (this.follower.awaySinceMs() === undefined) await this.rows.flush(TELL_TIMEOUT_MS);
    await this.rows.close();
    await this.follower.close();
  }

  /**
   * What an edit would do here, were it made. It changes nothing. Changes that are made don't wait while the
   * connections are looked at; if one was made meanwhile, we look again.
   * @throws Error why it could not be put in force, or can't be told
   */
  private async assess(
    edit: Edit,
  ): Promise<{ readonly impact: Impact; readonly admitted: readonly string[] }> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const { generation, admitted, planned } = await this.inTurn(() => {
        const config = this.withAge(this.joiner.previewEdit(this.declared, edit).config);
        return Promise.resolve({
          generation: this.generation,
          admitted: admittedAnew(this.config, config),
          planned: this.enforcer!.plan(config),
        });
      });
      const { impact } = await planned;
      if (this.generation === generation) return { impact, admitted };
    }
    throw new Error('the rules in force changed all the time');
  }

  /**
   * What of the estate is not in force here, and why: what was left out, what can't be read, and interfaces that wait
   * for their device.
   */
  private notInForce(): ReadonlyMap<string, string> {
    // Asked every second: mostly there is nothing to look for.
    const waiting = this.enforcer === undefined ? [] : this.waiting();
    const { kept } = this.follower;
    if (waiting.length === 0 && kept.size === 0) return this.leftOut;
    const found = new Map(this.leftOut);
    for (const [key, why] of kept)
      found.set(parseValueKey(key)?.id ?? key, `its former version is: ${why}`);
    const ids = new Map(this.config.interfaces.map(({ name, id }) => [name, id]));
    for (const { name, device, reason } of waiting) {
      const one = this.estate.interface(ids.get(name) ?? '');
      if (one !== undefined && one.declaredAt === undefined)
        found.set(one.id, `it waits for its device ${device}: ${reason}`);
    }
    return found;
  }

  /** For how long the store can't be reached; 0: it can. */
  private awaySec(): number {
    const sinceMs = this.follower.awaySinceMs();
    return sinceMs === undefined
      ? 0
      : Math.max(1, Math.round((performance.now() - sinceMs) / 1000));
  }

  /** Whether the store has been away for so long that nobody knows who is in a group now. */
  private get areGroupsStale(): boolean {
    const sinceMs = this.follower.awaySinceMs();
    return sinceMs !== undefined && performance.now() - sinceMs >= this.staleAfterMs;
  }

  private withAge(config: Config): Config {
    return this.areGroupsStale
      ? { ...config, model: { ...config.model, areGroupsStale: true } }
      : config;
  }

  /** Puts in force that the store is back, or has been away for too long. */
  private lookForAge(): void {
    const { areGroupsStale } = this;
    if (areGroupsStale === (this.config.model.areGroupsStale === true) || this.isAging) return;
    this.isAging = true;
    void this.inTurn(async () => {
      try {
        await this.enforce();
        this.log.warn(
          areGroupsStale
            ? 'the store has been away for too long: rules that name groups admit nothing new'
            : 'the store is back: rules that name groups count again',
        );
      } catch (error) {
        this.log.error({ err: error }, 'the age of what is known is not in force');
      }
      this.isAging = false;
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  private async enforce(declared = this.declared): Promise<Changes> {
    this.isBehind = true;
    const next = this.join(declared);
    return this.endingReleased(async (released) => {
      const { estate, releases } = this;
      const handing = await this.handover?.prepare(this.config, next, estate, {
        ...{ now: released, after: (revision) => releases.after(revision) },
      });
      const changes = await this.enforcer!.reload(next, handing);
      this.isBehind = false;
      if (handing !== undefined) await this.handover?.finish(handing, estate);
      return changes;
    });
  }

  /** Ends the flows with addresses that were released, after `work` has put the estate of now in force. */
  private async endingReleased<T>(work: (released: ReleasedAddresses) => Promise<T>): Promise<T> {
    const taken = this.releases.take();
    try {
      const done = await work(taken.addresses);
      await this.enforcer!.endReleased(taken.addresses);
      this.releases.settle(taken);
      return done;
    } catch (error) {
      this.releases.giveBack(taken);
      throw error;
    }
  }

  private lookForNews(): void {
    if (this.isWaiting || this.estate.contentChanges === this.looked) return;
    this.isWaiting = true;
    void this.inTurn(() => this.apply());
  }

  private async apply(): Promise<void> {
    this.isWaiting = false;
    const { contentRevision: revision, contentChanges: changes } = this.estate;
    if (changes === this.looked) return;
    this.looked = changes;
    try {
      // Most changes of a large estate have nothing to do with a host.
      if (this.joiner.hasNews || this.isBehind) await this.enforce();
      else await this.endingReleased(() => Promise.resolve());
      this.tell({ revision });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.log.error({ revision, err: error }, 'a revision of the store is not in force');
      this.tell({ revision: this.applied.revision, refused: { revision, message } });
    }
    this.lookForNews();
  }

  /** Tells the store if a device has come or gone since it was told last. */
  private lookForDevices(): void {
    void this.inTurn(() => Promise.resolve(this.tell(this.applied)));
  }

  /** Says what is in force, beside the file as it was read last. */
  private tell(state: AppliedState, declared?: ReadonlyMap<string, string>): void {
    if (state.revision !== this.applied.revision) this.appliedAt = new Date().toISOString();
    this.applied = state;
    const notInForce = this.notInForce();
    const leftOut = Object.fromEntries(notInForce);
    const arrivals = Object.fromEntries(this.handover?.arrivals ?? []);
    const text = encodeApplied({
      ...state,
      at: this.appliedAt,
      ...(this.fencing?.status().fence === 'lease' ? { fence: 'lease' } : {}),
      ...(notInForce.size === 0 ? {} : { leftOut }),
      ...(Object.keys(arrivals).length === 0 ? {} : { arrivals }),
    });
    this.rows.want(text, declared);
  }

  /** Says what the file declares, and what is in force, and waits until the store has it. */
  private async publish(state: AppliedState, timeoutMs = TELL_TIMEOUT_MS): Promise<void> {
    this.tell(state, declaredRows(this.declared, this.host));
    await this.rows.flush(timeoutMs);
  }
}
