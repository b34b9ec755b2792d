/**
 * Whether the loop's thread may interrupt whoever runs on its processor when a packet comes.
 *
 * Theory of operation
 *
 * Problem. The write of a packet into a TUN wakes the loop, and the scheduler lets it run at once, in place
 * of the sender, which was about to wait for its answer anyway. Now two threads want this processor, so the
 * receiver that the loop wakes is sent to another, idle one. Waking that takes 13 µs on a virtual machine,
 * 10 of which the loop pays; the answer takes the same way. A loop that lets the sender go to sleep first
 * finds its processor to itself, and the receiver stays: the scheduler keeps whoever is woken by a thread
 * that is alone. That is SCHED_BATCH: a thread of it takes turns like any other, but interrupts nobody.
 *
 * Limit. Where others compute, not interrupting means to wait for the end of their slice: 4 ms a packet. So the
 * loop looks at what it has waited for its turns (schedstat), and goes back to interrupting if that was long;
 * later it tries again, less and less often while it fails. A try is over after one look, 50 ms.
 *
 * A policy that somebody else gave the thread (`chrt -f`, systemd's CPUSchedulingPolicy) is left alone.
 *
 * Rejected: spinning instead of sleeping (a core while packets come); a shorter slice or a higher priority
 * (interrupts more); a longer slice (interrupts as before: the sender has used up its share when it sends).
 */
import { openSync, readSync } from 'node:fs';
import type { Native } from '../ports/native.ts';

/** A turn's mean wait: 2–7 µs with a processor to spare, 26 with many TCP streams; more than 100 beside others that compute. */
const WAIT_MAX_NS = 50_000;
/** From giving up to the next try: doubled with each that fails. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 64_000;

/** What the kernel counts of a thread, since its start. */
export interface Waits {
  /** Time for which it could have run and did not. */
  waitedNs: number;
  /** How often it got the processor. */
  turns: number;
}

export class Turns {
  private readonly native: Pick<Native, 'setBatchScheduling'>;
  private readonly readWaits: ((waits: Waits) => void) | null;
  private readonly waits: Waits = { waitedNs: 0, turns: 0 };
  private isBatch = false;
  private isLeftAlone = false;
  private changeMs = -Infinity;
  private retryMs = RETRY_MIN_MS / 2;

  /** @param readWaits of the calling thread, as all else here; null where the kernel does not tell: nothing is changed then */
  constructor(native: Pick<Native, 'setBatchScheduling'>, readWaits = openWaits()) {
    this.native = native;
    this.readWaits = readWaits;
  }

  /** To be called every now and then while packets come. */
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
      // Not permitted here (a seccomp filter): it interrupts, as ever.
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
    // Time run, time waited, turns.
    const [, waited, turns] = bytes.toString('latin1', 0, length).split(' ');
    waits.waitedNs = Number(waited);
    waits.turns = Number(turns);
  };
}
