/** A TableWarning logs when the flow table comes near its limit, and when it has room again. */
import type { Logger } from 'pino';

const SHARES = ['', '80 %', '95 %'] as const;

/** How close the table is to full: 0, 1 from 80 %, 2 from 95 %. */
export function warningLevel(flows: number, maxFlows: number): 0 | 1 | 2 {
  if (flows >= 0.95 * maxFlows) return 2;
  return flows >= 0.8 * maxFlows ? 1 : 0;
}

export class TableWarning {
  private readonly log: Logger;
  private level = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  /** Compares the number of flows with the limit. Call it from time to time. */
  look(flows: number, maxFlows: number): void {
    const level = warningLevel(flows, maxFlows);
    if (level > this.level) {
      this.log.warn(
        { flows, maxFlows },
        `the flow table is ${SHARES[level]} full: new flows will be refused when it is full`,
      );
    } else if (level < this.level)
      this.log.info({ flows, maxFlows }, 'the flow table has room again');
    this.level = level;
  }
}
