/** Says when the flow table comes near its limit, and when it has room again. */
import type { Logger } from 'pino';
import { warningLevel } from '../metrics/metrics-conntrack.ts';

const SHARES = ['', '80 %', '95 %'] as const;

export class TableWarning {
  private readonly log: Logger;
  private level = 0;

  constructor(log: Logger) {
    this.log = log;
  }

  /** Looks at the table; called once in a while. */
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
