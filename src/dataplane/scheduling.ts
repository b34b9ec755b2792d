/**
 * Decides whether the loop's thread may preempt the thread on its processor when a packet comes.
 *
 * Theory of operation
 *
 * Problem. The write of a packet into a TUN wakes the loop. The scheduler then lets the loop preempt the sender,
 * which was about to wait for its answer anyway. Now two threads want this processor, so the receiver that the loop
 * wakes is sent to another, idle one. To wake that one takes 13 µs on a virtual machine, 10 of which the loop pays,
 * and the answer costs the same. If the loop lets the sender go to sleep first, it has its processor to itself, and
 * the receiver stays there: the scheduler does not move a thread that is woken by a thread that is alone. SCHED_BATCH
 * does that: a thread with it gets its turns like any other, but preempts nobody.
 *
 * Limit. Where other threads compute, a loop that does not preempt waits for the end of their slice: 4 ms a packet.
 * So the loop reads how long it waited for its turns (schedstat). If that was long, it goes back to preempting. Later
 * it tries SCHED_BATCH again, less and less often while that fails. A try ends after one look, 50 ms.
 *
 * A policy that somebody else gave the thread (`chrt -f`, systemd's CPUSchedulingPolicy) is left alone.
 *
 * Rejected: spinning instead of sleeping (it takes a core while packets come). Rejected: a shorter slice or a higher
 * priority (it preempts more). Rejected: a longer slice (it preempts as before: the sender has used up its share when
 * it sends).
 */
import { openSync, readSync } from 'node:fs';
import type { Native } from '../ports/native.ts';

/**
 * Longest mean wait for a turn. Seen: 2–7 µs with an idle processor, 26 with many TCP streams, over 100 beside
 * threads that compute.
 */
const WAIT_MAX_NS = 50_000;
/** Time from giving up to the next try. It doubles with each try that fails. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 64_000;

/** What the kernel counts for a thread, since its start. */
export interface Waits {
  /** Time in which it was ready to run and did not run. */
  waitedNs: number;
  /** How often it got the processor. */
  turns: number;
}

/** Switches the calling thread between SCHED_BATCH and the usual policy. */
export class Scheduling {
  private readonly native: Pick<Native, 'setBatchScheduling'>;
  private readonly readWaits: ((waits: Waits) => void) | null;
  private readonly waits: Waits = { waitedNs: 0, turns: 0 };
  private isBatch = false;
  private isLeftAlone = false;
  private changeMs = -Infinity;
  private retryMs = RETRY_MIN_MS / 2;

  /**
   * @param readWaits reads the waits of the calling thread; null if the kernel has none, and then nothing is changed
   */
  constructor(native: Pick<Native, 'setBatchScheduling'>, readWaits = openWaits()) {
    this.native = native;
    this.readWaits = readWaits;
  }

  /** Looks at the waits and may switch. Call it every now and then while packets come. */
  review(nowMs: number): void {
    const { readWaits, waits } = this;
    if (readWaits === null || this.isLeftAlone) return;
    const { waitedNs, turns } = waits;
    readWaits(waits);
    const sinceMs = nowMs - this.changeMs;
    if (!this.isBatch) {
      if (sinceMs >= this.retryMs) this.change(true, nowMs);
      return;
    }
    if (waits.waitedNs - waitedNs > WAIT_MAX_NS * (waits.turns - turns)) {
      this.change(false, nowMs);
      const isLasting = sinceMs > this.retryMs;
      this.retryMs = isLasting ? RETRY_MIN_MS : Math.min(2 * this.retryMs, RETRY_MAX_MS);
    }
  }

  private change(isBatch: boolean, nowMs: number): void {
    this.changeMs = nowMs;
    try {
      this.isLeftAlone = !this.native.setBatchScheduling(isBatch);
      this.isBatch = isBatch;
    } catch {
      // Not permitted (by a seccomp filter): the thread preempts, as before.
      this.isLeftAlone = true;
    }
  }
}

/** @returns a reader of the calling thread's schedstat, or null if the kernel has none */
function openWaits(): ((waits: Waits) => void) | null {
  let fd: number;
  try {
    fd = openSync('/proc/thread-self/schedstat', 'r');
  } catch {
    return null;
  }
  const bytes = Buffer.alloc(80);
  return (waits) => {
    const length = readSync(fd, bytes, 0, bytes.length, 0);
    // The fields are time run, time waited, turns.
    const [, waited, turns] = bytes.toString('latin1', 0, length).split(' ');
    waits.waitedNs = Number(waited);
    waits.turns = Number(turns);
  };
}
