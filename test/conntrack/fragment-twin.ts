/** The fragment table written plainly: a Map of datagrams, a list of ranges each. What it answers is what the real one must. */

export interface Fragment {
  readonly gate: number;
  readonly sender: number;
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly id: number;
  readonly source: number;
  readonly start: number;
  readonly end: number;
  readonly more: boolean;
  /** What the gate says of it, should it be asked: only of a first fragment. */
  readonly passes: boolean;
}

export type Answer = 'passes' | 'judge' | 'early' | 'dropped' | 'overlap' | 'copy' | 'limit';

type Range = Pick<Fragment, 'start' | 'end' | 'more'>;

interface Datagram {
  readonly key: string;
  /** Its sender, or REFUSED. */
  readonly owner: number;
  readonly begunMs: number;
  state: 'admitted' | 'refused' | 'spoilt';
  readonly ranges: Range[];
}

export const TIMEOUT_MS = 30_000;
export const FRAGMENTS_MAX = 128;

/** Whose datagrams those are that were refused. */
export const REFUSED = -1;

export class FragmentTwin {
  /** By owner, from the oldest on. */
  readonly lines = new Map<number, Datagram[]>();
  private readonly datagrams = new Map<string, Datagram>();
  private readonly capacity: number;

  constructor(capacity = Infinity) {
    this.capacity = capacity;
  }

  offer(fragment: Fragment, nowMs: number): Answer {
    const key = keyOf(fragment);
    const known = this.datagrams.get(key);
    if (known !== undefined && nowMs - known.begunMs > TIMEOUT_MS) this.forget(known);
    const datagram = this.datagrams.get(key);
    if (fragment.start > 0) {
      if (datagram === undefined) return 'early';
      return datagram.state === 'admitted' ? this.add(datagram, fragment) : 'dropped';
    }
    if (datagram?.state === 'spoilt') return 'dropped';
    if (datagram?.state === 'admitted') return this.add(datagram, fragment);
    if (datagram !== undefined) this.forget(datagram);
    this.begin(key, fragment, nowMs);
    return 'judge';
  }

  private add(datagram: Datagram, { start, end, more }: Fragment): Answer {
    const { ranges } = datagram;
    if (ranges.some((r) => r.start === start && r.end === end && r.more === more)) return 'copy';
    const touches = ranges.some((r) => start < r.end && r.start < end);
    const ends = ranges.filter((r) => !r.more).map((r) => r.end);
    const contradicts = more
      ? ends.some((last) => end > last)
      : ends.length > 0 || ranges.some((r) => r.end > end);
    if (touches || contradicts) {
      datagram.state = 'spoilt';
      return 'overlap';
    }
    if (ranges.length === FRAGMENTS_MAX) {
      datagram.state = 'spoilt';
      return 'limit';
    }
    ranges.push({ start, end, more });
    if (isComplete(ranges)) this.forget(datagram);
    return 'passes';
  }

  private begin(key: string, fragment: Fragment, nowMs: number): void {
    const { sender, start, end, more, passes } = fragment;
    if (this.datagrams.size === this.capacity) {
      const refused = this.lines.get(REFUSED) ?? [];
      if (refused.length > 0) this.forget(refused[0]);
      else if (passes) this.forget(this.lines.get(this.largestFor(sender))![0]);
      else return;
    }
    const owner = passes ? sender : REFUSED;
    const state = passes ? 'admitted' : 'refused';
    const datagram: Datagram = {
      key,
      owner,
      begunMs: nowMs,
      state,
      ranges: [{ start, end, more }],
    };
    this.datagrams.set(key, datagram);
    this.lines.set(owner, [...(this.lines.get(owner) ?? []), datagram]);
  }

  private forget(datagram: Datagram): void {
    const { key, owner } = datagram;
    this.datagrams.delete(key);
    this.lines.set(
      owner,
      this.lines.get(owner)!.filter((other) => other !== datagram),
    );
  }

  /** Whose datagrams are the most: those of who asks, if nobody has more; of several the first. */
  private largestFor(asking: number): number {
    const numberOf = (sender: number): number => this.lines.get(sender)?.length ?? 0;
    const senders = [...this.lines.keys()].filter((owner) => owner !== REFUSED);
    const most = Math.max(...senders.map(numberOf));
    if (numberOf(asking) === most) return asking;
    return Math.min(...senders.filter((sender) => numberOf(sender) === most));
  }
}

export function keyOf({ gate, family, protocol, id, source }: Fragment): string {
  return [gate, family, family === 4 ? protocol : '', id, source].join();
}

/** Whether the ranges leave no hole up to the last one's end. */
function isComplete(ranges: readonly Range[]): boolean {
  let at = 0;
  for (const { start, end, more } of [...ranges].sort((a, b) => a.start - b.start)) {
    if (start !== at) return false;
    if (!more) return true;
    at = end;
  }
  return false;
}
