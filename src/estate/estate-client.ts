/**
 * An EstateClient makes changes to the estate of a store, as a server of the API does.
 *
 * Theory of operation. It holds all rows, and follows the store (estate-follower.ts). Changes of this process run one
 * after the other, so they collide only with those of other processes; then the change is made again on the newer
 * estate. A commit of ours is taken into the estate at once, if no other came between: it need not wait for the watch
 * to say what we know.
 *
 * Other servers make changes, too. `catchUp` sees to it that what they have answered is known here (last-call.ts).
 *
 * A change is in force when every host that it concerns and that lives has said so (concerned.ts, rollout.ts). If a
 * host can't put it in force, or does not answer in time, the change is taken back: every row it wrote is restored,
 * unless somebody has built on it meanwhile.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StoreError, type Commit, type Store } from '../store/store.ts';
import type { Checked } from '../policy/refusals.ts';
import { bothConcerned, concernedHosts, type Concerned } from './concerned.ts';
import { Edit, type EditCommit } from './edit.ts';
import { EstateFollower } from './estate-follower.ts';
import { isForHosts } from './keys.ts';
import { LastCall } from './last-call.ts';
import { hostsBehind } from './released.ts';
import { judgeRollout, rolloutOf, type Rollout, type WaitFor } from './rollout.ts';
import { upgradeLayout } from './upgrade.ts';

/** So often a change is made again because others changed what it read. */
const ATTEMPTS_MAX = 50;
/** How long to wait for the change of another process that we collided with. */
const NEWS_TIMEOUT_MS = 1000;
/** How long a call waits for hosts to acknowledge that an address which it asks for was released (released.ts). */
const ACKNOWLEDGED_MS = 10_000;
/** How long what is in the store may take to be told here, or a call is not answered. */
const CATCH_UP_MS = 5000;

export interface EstateClientOptions {
  readonly store: Store;
  /** The store fails, or a row can't be read. */
  readonly onTrouble: (message: string) => void;
}

/** A change that was committed, with its answer. */
export interface Changed<T> {
  readonly value: T;
  /** Of the commit; that of the estate if nothing had to change. */
  readonly revision: number;
  /** What takes it back; undefined: nothing had to change. */
  readonly edit: Edit | undefined;
  /** The hosts that have to put it in force. */
  readonly concerned: Concerned;
}

/** A call that was tried. */
interface Attempt<T> {
  readonly done: Checked<Changed<T>>;
  /** See Edit. */
  readonly awaitedRevision: number;
}

function attempted<T>(value: Changed<T>): Attempt<T> {
  return { done: { ok: true, value }, awaitedRevision: 0 };
}

/** How a change got into force. Lists that would be empty are absent. */
export type Enforcement =
  | {
      readonly kind: 'inForce';
      /** Hosts that it concerns and that don't live: nobody waited for them. */
      readonly away?: readonly string[];
      /** Hosts that live and don't have it in force, where a quorum is waited for. */
      readonly behind?: readonly string[];
    }
  | { readonly kind: 'refused'; readonly host: string; readonly message: string }
  /** These hosts have not answered in time. */
  | { readonly kind: 'late'; readonly hosts: readonly string[] };

export interface EnforceOptions {
  /** Default: all hosts. */
  readonly concerned?: Concerned;
  /** Default: all of those. */
  readonly waitFor?: WaitFor;
}

export class EstateClient extends EstateFollower {
  private lastChange: Promise<unknown> = Promise.resolve();
  private readonly lastCall: LastCall;

  private constructor(options: EstateClientOptions) {
    super(options);
    this.lastCall = new LastCall(options.store);
  }

  /** @throws StoreError if the store can't be read */
  static async open(options: EstateClientOptions): Promise<EstateClient> {
    const client = new EstateClient(options);
    await client.open();
    await upgradeLayout(client);
    return client;
  }

  /**
   * Waits until the estate has every change that any server had answered before this was called.
   * @throws StoreError if the store can't be asked, or does not tell of it
   */
  async catchUp(timeoutMs = CATCH_UP_MS): Promise<void> {
    const revision = await this.lastCall.revision();
    if (await this.reach(revision, timeoutMs)) return;
    throw new StoreError(
      'failed',
      `the store has revision ${revision}, and has not told of it within ${timeoutMs / 1000} s: only ${this.estate.revision} is known here`,
    );
  }

  /**
   * Makes a change and commits it. `work` is called again if somebody changed what it read.
   * @param mayBeLost see Commit
   * @throws Error if the store fails, or others change the same things all the time
   */
  change<T>(
    work: (edit: Edit) => Checked<T>,
    { mayBeLost }: Pick<Commit, 'mayBeLost'> = {},
  ): Promise<Checked<Changed<T>>> {
    return this.changeInTime(work, mayBeLost, performance.now() + ACKNOWLEDGED_MS);
  }

  /** Others make their changes while this one waits for hosts to acknowledge what it needs. */
  private async changeInTime<T>(
    work: (edit: Edit) => Checked<T>,
    mayBeLost: boolean | undefined,
    deadlineMs: number,
  ): Promise<Checked<Changed<T>>> {
    for (;;) {
      const attempt = this.lastChange.then(() => this.changeNow(work, mayBeLost));
      this.lastChange = attempt.catch(() => undefined);
      const { done, awaitedRevision } = await attempt;
      if (done.ok || awaitedRevision === 0) return done;
      const isAcknowledged = (): boolean => hostsBehind(this.estate, awaitedRevision).length === 0;
      if (!(await this.until(isAcknowledged, deadlineMs - performance.now()))) return done;
    }
  }

  /**
   * Takes back a change that was committed at `revision`.
   * @param since of several changes that are taken back one after the other, the last one first: what was changed by
   *   that, which this call adds to
   * @returns whether that was possible
   */
  async takeBack(
    edit: Edit,
    revision: number,
    since: Map<string, number> = new Map(),
  ): Promise<boolean> {
    const reversal = edit.reversal(revision, since);
    const outcome = await this.store.commit(reversal);
    if (outcome.kind === 'conflict') return false;
    this.takeOwn(reversal, outcome.revision);
    for (const { key } of reversal.puts) since.set(key, outcome.revision);
    for (const key of reversal.deletes) since.set(key, 0);
    return true;
  }

  /**
   * Waits until hosts have put `revision` in force.
   * @param timeoutMs a quorum that has not come by then is not waited for any more
   */
  async enforce(
    revision: number,
    timeoutMs: number,
    { concerned = 'all', waitFor = 'all' }: EnforceOptions = {},
  ): Promise<Enforcement> {
    const deadline = performance.now() + timeoutMs;
    const isTold = await this.reach(revision, timeoutMs);
    // It changed nothing that hosts enforce, so none of them will say anything.
    if (isTold && this.estate.contentRevision < revision) return { kind: 'inForce' };
    for (;;) {
      const rollout = rolloutOf(this.estate, revision, concerned);
      const verdict = judgeRollout(rollout, waitFor);
      // What hosts say of a revision that was not told here yet is not known either.
      if (verdict === 'inForce' && isTold) return enforced(rollout);
      if (verdict === 'refused') return { kind: 'refused', ...rollout.refused[0] };
      const leftMs = deadline - performance.now();
      if (leftMs <= 0)
        return waitFor === 'quorum' ? enforced(rollout) : { kind: 'late', hosts: rollout.behind };
      await this.news(leftMs);
      // A thousand hosts answer at about the same time: all that has come is looked at together.
      await nextTurn();
    }
  }

  /** Why an interface that an edit attached is not in force, though the edit is; undefined: all of them are. */
  whyNotAttached({ attached }: Edit): string | undefined {
    for (const [id, host] of attached) {
      const why = this.estate.applied().get(host)?.leftOut?.[id];
      if (why !== undefined) return `${id} is not in force on ${host}: ${why}`;
    }
    return undefined;
  }

  private async changeNow<T>(
    work: (edit: Edit) => Checked<T>,
    mayBeLost = false,
  ): Promise<Attempt<T>> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const edit = new Edit(this.estate);
      const done = work(edit);
      const { awaitedRevision } = edit;
      if (!done.ok) return { done, awaitedRevision };
      const { value } = done;
      const before = this.estate.revision;
      if (edit.isEmpty) {
        const nothing = { revision: before, edit: undefined, concerned: new Set<string>() };
        return attempted({ value, ...nothing });
      }
      const commit = edit.commit();
      const keys = [...commit.puts.map(({ key }) => key), ...commit.deletes];
      const expected = concernedHosts(keys, edit.view);
      const outcome = await this.store.commit({ ...commit, mayBeLost });
      if (outcome.kind === 'committed') {
        const { revision } = outcome;
        this.takeOwn(commit, revision);
        await this.reach(revision, NEWS_TIMEOUT_MS);
        // Others may have made it concern more hosts, just before the commit.
        const concerned = bothConcerned(expected, concernedHosts(keys, this.estate));
        return attempted({ value, revision, edit, concerned });
      }
      // The store may be ahead of what it tells: the same attempt again would be in vain.
      const read = new Map(commit.conditions.map(({ key, revision }) => [key, revision]));
      const isTold = (key: string): boolean => this.estate.revisionOf(key) !== read.get(key);
      await this.until(() => outcome.keys.every(isTold), NEWS_TIMEOUT_MS);
    }
    throw new Error('others change the same things all the time; try again');
  }

  /** Takes in a commit of ours, unless a revision before it has not come yet: then the watch brings both. */
  private takeOwn({ puts, deletes }: EditCommit, revision: number): void {
    if (this.estate.revision !== revision - 1) return;
    const held = puts.filter(({ key }) => !isForHosts(key));
    this.take({ revision, puts: held.map((row) => ({ ...row, revision })), deletes });
  }
}

function enforced({ away, behind, refused }: Rollout): Enforcement {
  const late = [...behind, ...refused.map(({ host }) => host)];
  return {
    kind: 'inForce',
    ...(away.length === 0 ? {} : { away }),
    ...(late.length === 0 ? {} : { behind: late }),
  };
}
