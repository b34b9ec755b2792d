/**
 * This file keeps the fence of the packet loops (engine/fence.ts) by the lease that a host has in the store.
 *
 * Theory of operation. With `--fence lease` what the store gave this host is this host's only while the store surely
 * says that it lives. The lease says up to when that is; the loops get that moment, a little earlier. Nobody has to act
 * when it passes.
 *
 * A lease that ran out, or was never had, is granted anew when the store is there, and its row is put at a revision.
 * Whoever saw the row gone may have taken interfaces from this host before that revision. So packets flow again only
 * when what the store has was read after it, and is in force. Others rely on that: see `endOf` of
 * hosts/move-interface.ts and `hostsBehind` of estate/released.ts. A start is the same: the copy on the disk may be
 * old.
 *
 * What a host has told the store is what others go by. So one that fenced before and does not want to any more goes on
 * to do so until the store has been told.
 *
 * Clocks. The lease is counted from before its renewal was sent, by CLOCK_BOOTTIME, and etcd counts from later on. So
 * when etcd removes the row the moment has passed here, as long as this clock is not slower than etcd's by more than
 * EARLY_MS in a lease. A machine whose clock stands still with it (a virtual machine that is paused and goes on) can't
 * know that it was away: it forwards until it has looked at the store again.
 */
import type { Logger } from 'pino';
import { AGAIN_MS } from '../estate/host-rows.ts';

export type FenceSetting = 'none' | 'lease';

/**
 * So much earlier than the lease ends packets stop. It is for clocks that don't run alike (a hundredth of a lease is
 * far more than clocks of computers differ), and for packets that are on their way.
 */
export const EARLY_MS = 500;
const RAN_OUT = 'its lease of the store ran out';
/** How often to look at the lease: while packets flow, and while they are stopped. */
const LOOK_MS = 1000;
const LOOK_FENCED_MS = 50;

/** What this host has said to the store (HostRows). */
export interface SaidRows {
  readonly isTold: boolean;
  readonly alive: { readonly untilMs: number; readonly sinceRevision: number };
}

export interface FencingOptions {
  readonly setting: FenceSetting;
  /** The store was told, before this start, that this host fences; or nobody knows. */
  readonly wasFencing: boolean;
  readonly rows: SaidRows;
  /**
   * Puts in force what the store has now, as read after the call.
   * @returns why it is not in force; undefined: it is. @throws Error if the store can't be read
   */
  readonly catchUp: () => Promise<string | undefined>;
  /** The store knows that this host does not fence. */
  readonly onToldNone?: () => void;
  /** CLOCK_BOOTTIME, which also the lease goes by. */
  readonly clockMs: () => number;
  readonly log: Logger;
  /** Calls later. Default: by a timer that keeps no process alive. */
  readonly later?: (work: () => void, ms: number) => NodeJS.Timeout | undefined;
}

export interface FenceStatus {
  readonly fence: FenceSetting;
  /** Packets of what the store gave are dropped, and why. */
  readonly fenced?: string;
}

function afterTimer(work: () => void, ms: number): NodeJS.Timeout {
  return setTimeout(work, ms).unref();
}

export class Fencing {
  private readonly options: FencingOptions;
  private setFence: (bootMs: number) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;
  /** Up to when packets flow, as the loops know it. */
  private untilMs: number;
  /** Of the lease that packets flow by; 0: of none. */
  private revision = 0;
  private isCatchingUp = false;
  private catchUpAgainMs = 0;
  private why = 'its lease of the store is not there yet';
  /** As was logged last. */
  private wasFenced: boolean;

  constructor(options: FencingOptions) {
    this.options = options;
    const isOpen = options.setting === 'none' && !options.wasFencing;
    this.untilMs = isOpen ? Infinity : 0;
    this.wasFenced = !isOpen;
  }

  /** Whether packets of what the store gave are stopped now. */
  get isFenced(): boolean {
    return this.options.clockMs() >= this.untilMs;
  }

  status(): FenceStatus {
    const { setting: fence } = this.options;
    return this.isFenced ? { fence, fenced: this.why } : { fence };
  }

  /** @param setFence tells the packet loops; they are closed until then, unless there is no fence */
  start(setFence: (bootMs: number) => void): void {
    this.setFence = setFence;
    this.look();
  }

  /** Lets the packet loops alone: the moment that they know is not moved on. */
  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  /** Looks at the lease, and does so again and again. */
  look(): void {
    if (this.untilMs === Infinity || this.isStopped) return;
    if (this.options.setting === 'none') this.lookWhetherTold();
    else this.lookAtLease();
    this.tell();
    const { later = afterTimer } = this.options;
    this.timer = later(() => this.look(), this.isFenced ? LOOK_FENCED_MS : LOOK_MS);
  }

  private lookWhetherTold(): void {
    const { rows, onToldNone } = this.options;
    this.why = 'the store may hold that this host fences, and was not told otherwise yet';
    if (!rows.isTold) return;
    onToldNone?.();
    this.set(Infinity);
  }

  private lookAtLease(): void {
    const { rows, clockMs } = this.options;
    const { untilMs, sinceRevision } = rows.alive;
    // Somebody removed the row: who sees that does not wait for this host.
    if (sinceRevision === 0) this.set(0);
    // It was put anew: what is in force may be older than that.
    else if (sinceRevision !== this.revision) void this.catchUp(sinceRevision);
    // While a renewal fails, the last promise stands. 0: the store has said that the lease is over, whatever the clock
    // has seen of the time.
    else this.set(Math.max(0, untilMs - EARLY_MS));
    if (this.revision > 0 && this.isFenced && untilMs <= clockMs()) this.why = RAN_OUT;
  }

  /** Puts in force what the store has had since it says again that this host lives. */
  private async catchUp(revision: number): Promise<void> {
    const { catchUp, clockMs } = this.options;
    if (this.isCatchingUp || clockMs() < this.catchUpAgainMs) return;
    this.isCatchingUp = true;
    try {
      const why = await catchUp();
      if (why === undefined) this.revision = revision;
      else this.why = `what the store has is not in force: ${why}`;
    } catch (error) {
      this.why = `the store can't be read: ${error instanceof Error ? error.message : String(error)}`;
    }
    this.isCatchingUp = false;
    if (this.revision !== revision) this.catchUpAgainMs = clockMs() + AGAIN_MS;
  }

  private set(untilMs: number): void {
    if (untilMs === this.untilMs) return;
    this.untilMs = untilMs;
    this.setFence(untilMs);
  }

  private tell(): void {
    const { isFenced } = this;
    const { log } = this.options;
    if (isFenced === this.wasFenced) return;
    this.wasFenced = isFenced;
    if (isFenced)
      log.error({ why: this.why }, 'fenced: packets of what the store gave this host are dropped');
    else log.info('the fence is open: packets of what the store gave this host flow');
  }
}
