/**
 * Adds up what was dropped while the command of `sgctl run` ran, by where it was going and why, and says it in
 * sentences.
 *
 * The command chooses where it sends, so the number of lines that are kept is bounded. Counts of the daemon are exact
 * where records were lost or had no room: the difference is told as well.
 */
import { listWords } from '../source/suggest.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import type { DropCount } from '../queries/drops-view.ts';
import type { VerdictView } from '../queries/verdict-view.ts';
import { INTERFACE } from './plan.ts';

const LINES_KEPT = 256;
const LINES_SHOWN = 10;

interface Line {
  /** `to 203.0.113.5:443/tcp` */
  readonly where: string;
  readonly why: string;
  packets: number;
}

export class DropTally {
  private readonly groups: readonly string[];
  private readonly lines = new Map<string, Line>();
  /** All that `take` got. */
  packets = 0;

  /** @param groups of the command, as they were given */
  constructor(groups: readonly string[]) {
    this.groups = groups;
  }

  take(view: VerdictView): void {
    const packets = view.packets ?? 1;
    this.packets += packets;
    const where = whereText(view);
    const why = this.whyText(view);
    const key = `${where} ${why}`;
    const line = this.lines.get(key);
    if (line !== undefined) line.packets += packets;
    else if (this.lines.size < LINES_KEPT) this.lines.set(key, { where, why, packets });
  }

  /** @param drops what the daemon counted: all of it. @returns a line each, most first; none if nothing was dropped */
  summary(drops: readonly DropCount[]): readonly string[] {
    const shown = [...this.lines.values()]
      .sort((a, b) => b.packets - a.packets)
      .slice(0, LINES_SHOWN);
    const told = shown.reduce((sum, { packets }) => sum + packets, 0);
    const inAll = Math.max(this.packets, countDrops(drops));
    return [
      ...shown.map(({ where, why, packets }) =>
        printable(`${count(packets, 'packet')} ${where} dropped: ${why}`),
      ),
      ...(inAll > told ? [`${count(inAll - told, 'packet')} more dropped`] : []),
    ];
  }

  private whyText({ reason, meaning, direction }: VerdictView): string {
    const groups = listWords(this.groups);
    if (reason === 'egress-rules' || reason === 'ingress-rules')
      return `no ${direction} rule of ${groups} admits it`;
    return `${reason}: ${meaning}`;
  }
}

export function countDrops(drops: readonly DropCount[]): number {
  return drops.reduce((sum, { packets }) => sum + packets, 0);
}

/** An ICMP packet has no ports; what could not be decoded has not even addresses. */
function whereText({ direction, packet, interface: name }: VerdictView): string {
  if (packet === undefined) return name === INTERFACE ? 'from the command' : 'from outside';
  const { family, protocol, remoteAddress, localPort, remotePort } = packet;
  const address = family === 6 ? `[${remoteAddress}]` : remoteAddress;
  const hasPorts = protocol === 'tcp' || protocol === 'udp';
  if (direction === 'egress') return `to ${address}${hasPorts ? `:${remotePort}` : ''}/${protocol}`;
  return `from ${address}${hasPorts ? ` to :${localPort}` : ''}/${protocol}`;
}
