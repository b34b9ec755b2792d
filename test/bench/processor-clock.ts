/**
 * Processor time that the whole machine takes from now on, whoever takes it: sender, receiver, firewall, interrupts.
 *
 * It is what the processors were not idle. The kernel measures idle time by the clock, and the rest by looking who runs
 * at each tick, which misses what ends before the next one.
 */
import { readFileSync } from 'node:fs';

/** Of /proc/stat, whatever the kernel's own tick is (USER_HZ). */
const TICKS_PER_SEC = 100;
/** Fields of a line of /proc/stat after its name. Time that the hypervisor gave to others is nobody's here. */
const IDLE = 3;
const IO_WAIT = 4;
const STOLEN = 7;

export class ProcessorClock {
  private readonly beganMs = performance.now();
  private readonly began = notTaken();

  /** Processor seconds since this clock was made. */
  seconds(): number {
    const { sec, processors } = notTaken();
    const elapsedSec = (performance.now() - this.beganMs) / 1000;
    return Math.max(0, processors * elapsedSec - (sec - this.began.sec));
  }
}

/** Seconds since the start of the machine in which its processors did nothing for it, summed. */
function notTaken(): { readonly sec: number; readonly processors: number } {
  const text = readFileSync('/proc/stat', 'utf8');
  const fields = /^cpu +(.*)$/m.exec(text)?.[1].split(' ').map(Number) ?? [];
  const ticks = fields[IDLE] + fields[IO_WAIT] + fields[STOLEN];
  return { sec: ticks / TICKS_PER_SEC, processors: text.match(/^cpu\d/gm)?.length ?? 0 };
}
