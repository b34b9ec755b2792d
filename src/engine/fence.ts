/**
 * The fence of a packet loop: packets of some interfaces pass up to a moment, and are dropped from then on.
 *
 * Theory of operation. A host that shares a store may lose it, and an interface that the store gave it may be another
 * host's meanwhile. With `--fence lease` it has such interfaces only for as long as the store surely says that it
 * lives. The control plane writes that moment into memory that all loops share, and moves it on with each renewal. A
 * loop compares it with the clock itself. So nothing has to be told when the time is over: the fence closes also if the
 * control plane hangs, or if the whole machine slept.
 *
 * The clock is CLOCK_BOOTTIME, which goes on while a machine sleeps. It is read at the start of a round, and again when
 * a batch has been judged, right before it is written. What remains is a loop that is stopped between that look and the
 * end of the write: one batch, of at most 256 reads, which was read before the stop.
 *
 * The moment is an int32, which no reader can see half written, in ticks of FENCE_TICK_MS since the machine started.
 * That is enough for six years; later moments are cut to the last one, so that such a machine is closed, and not open.
 */

/** There is no moment at which packets stop. */
export const FENCE_NEVER = 0x7fffffff;
export const FENCE_TICK_MS = 100;

/** Creates the memory of the moment, which says that all is closed. */
export function createFenceMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(4);
}

/** Sets the moment, for who writes it. @param bootMs by CLOCK_BOOTTIME; Infinity: never */
export function setFence(until: Int32Array, bootMs: number): void {
  const tick = Math.min(Math.floor(bootMs / FENCE_TICK_MS), FENCE_NEVER - 1);
  Atomics.store(until, 0, bootMs === Infinity ? FENCE_NEVER : Math.max(0, tick));
}

export class Fence {
  /** By port: 1 if it is behind the fence. */
  readonly ports: Uint8Array;
  /** Whether what is behind it is closed now, as of the last `look`. */
  isClosed = true;
  private readonly until: Int32Array;
  private readonly clockMs: () => number;

  /**
   * @param memory of createFenceMemory
   * @param ports number of ports
   * @param clockMs CLOCK_BOOTTIME
   */
  constructor(memory: SharedArrayBuffer, ports: number, clockMs: () => number) {
    this.until = new Int32Array(memory);
    this.ports = new Uint8Array(ports);
    this.clockMs = clockMs;
  }

  /** Looks at the clock. @returns whether it has closed since the last look */
  look(): boolean {
    const until = Atomics.load(this.until, 0);
    const wasClosed = this.isClosed;
    this.isClosed = until !== FENCE_NEVER && this.clockMs() >= until * FENCE_TICK_MS;
    return this.isClosed && !wasClosed;
  }

  /**
   * From when on what is behind it is closed, in ms of CLOCK_BOOTTIME modulo 2^32; 0: never. A moment that has passed
   * is told as one that just has: as a wrapped difference, one of 25 days ago would be yet to come.
   */
  get closesAtMs(): number {
    const until = Atomics.load(this.until, 0);
    if (until === FENCE_NEVER) return 0;
    const atMs = until * FENCE_TICK_MS;
    const nowMs = this.clockMs();
    return (nowMs >= atMs ? nowMs - 2 : atMs) | 1;
  }

  /** Whether packets of a port stop now. */
  holds(port: number): boolean {
    return this.isClosed && this.ports[port] === 1;
  }
}

/** A fence with nothing behind it. */
export function createOpenFence(): Fence {
  const memory = createFenceMemory();
  setFence(new Int32Array(memory), Infinity);
  const fence = new Fence(memory, 0, () => 0);
  fence.look();
  return fence;
}
