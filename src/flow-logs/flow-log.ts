/**
 * A FlowLog selects the traffic for one flow log and writes its lines at the end of an interval.
 *
 * The semantics are AWS's ("VPC Flow Logs"). There is one record for each 5-tuple, interface, direction and interval.
 * ACCEPT means that the traffic passed the interface's gate, REJECT that it was dropped for any reason. NODATA stands
 * for an interface without traffic, SKIPDATA for one that lost records. As in AWS, some traffic is not logged:
 * traffic of the platform's services, and traffic that never leaves the link (ARP, neighbour discovery, DHCP).
 */
import type { FlowLogConfig } from '../config/config.ts';
import {
  formatLine,
  type Action,
  type FlowRecord,
  type LogInterface,
  type LogStatus,
} from './flow-log-fields.ts';
import type { LogFormat } from '../config/flow-log-format.ts';
import type { NamedInterface } from './flow-log-names.ts';
import { RecordTable, type RecordKey, type RecordSum } from './flow-log-table.ts';
import type { LineWriter } from './flow-log-writer.ts';

/** Traffic seen at an interface. Each log decides whether it wants it. */
export interface Sighting {
  readonly port: number;
  readonly key: RecordKey;
  readonly sum: RecordSum;
}

export interface FlowLogCounts {
  readonly name: string;
  /** Lines. */
  readonly written: number;
  readonly lost: number;
  /** Sightings for which the interval had no room. */
  readonly skipped: number;
}

export class FlowLog {
  readonly config: FlowLogConfig;
  private readonly format: LogFormat;
  private readonly writer: LineWriter;
  private table = new RecordTable();
  /** The table of the last interval while records are still added to it. */
  private closing: RecordTable | undefined;
  private fromMs: number;
  private written = 0;
  private lost = 0;
  /** Skipped in intervals that are over. */
  private skipped = 0;
  private hasLostLines = false;

  constructor(config: FlowLogConfig, writer: LineWriter, nowMs: number) {
    this.config = config;
    this.format = config.format;
    this.writer = writer;
    this.fromMs = nowMs;
  }

  get counts(): FlowLogCounts {
    const { written, lost } = this;
    const skipped = this.skipped + this.table.refused + (this.closing?.refused ?? 0);
    return { name: this.config.name, written, lost, skipped };
  }

  /** Adds a sighting. @param isPast whether it belongs to the interval that `beginClosing` ended */
  add({ port, key, sum }: Sighting, isPast: boolean): void {
    const table = isPast && this.closing !== undefined ? this.closing : this.table;
    table.seen.add(port);
    if (!wants(this.config.traffic, key.action)) return;
    const { tellsRules, tellsReasons, tellsAudit } = this.format;
    table.add(
      port,
      {
        ...key,
        ruleId: tellsRules ? key.ruleId : undefined,
        groupId: tellsRules ? key.groupId : undefined,
        dropReason: tellsReasons ? key.dropReason : undefined,
        isAudited: tellsAudit ? key.isAudited : undefined,
      },
      { ...sum },
    );
  }

  /** Records that traffic at these ports was missed. */
  skip(ports: Iterable<number>): void {
    for (const port of ports) this.table.skipped.add(port);
  }

  /** Begins the next interval. Only sightings with `isPast` still belong to the last one. */
  beginClosing(): void {
    this.closing = this.table;
    this.table = new RecordTable();
  }

  /** Writes the lines of the interval that `beginClosing` ended. @param interfaces by port */
  close(interfaces: ReadonlyMap<number, NamedInterface>, toMs: number): void {
    const table = this.closing ?? new RecordTable();
    this.closing = undefined;
    this.skipped += table.refused;
    const wanted = [...interfaces]
      .filter(([, { name }]) => this.isAbout(name))
      .map(([port, named]): [number, LogInterface] => [port, this.withValues(named)]);
    const byPort = new Map(wanted);
    const { fromMs } = this;
    const lines: string[] = [];
    const add = (about: LogInterface, record: FlowRecord | undefined, status: LogStatus): void => {
      lines.push(formatLine(this.format, { about, record, status, fromMs, toMs }));
    };
    for (const { port, record } of table.entries()) {
      const about = byPort.get(port);
      if (about !== undefined) add(about, record, 'OK');
    }
    for (const [port, about] of wanted) {
      if (this.hasLostLines || table.skipped.has(port)) add(about, undefined, 'SKIPDATA');
      else if (!table.seen.has(port)) add(about, undefined, 'NODATA');
    }
    this.fromMs = toMs;
    this.write(lines);
  }

  end(): Promise<void> {
    return this.writer.close();
  }

  /** Opens the file by its name again before the next lines. */
  reopen(): void {
    this.writer.reopen();
  }

  isAbout(name: string): boolean {
    const { interfaces } = this.config;
    return interfaces === undefined || interfaces.includes(name);
  }

  private withValues(named: NamedInterface): LogInterface {
    const { values, interfaceValues } = this.config;
    return {
      ...named,
      values: new Map([...values, ...(interfaceValues.get(named.name) ?? [])]),
    };
  }

  private write(lines: readonly string[]): void {
    this.hasLostLines = false;
    if (lines.length === 0) return;
    this.writer.write(lines, (written) => {
      const lost = lines.length - written;
      this.written += written;
      this.lost += lost;
      if (lost > 0) this.hasLostLines = true;
    });
  }
}

function wants(traffic: FlowLogConfig['traffic'], action: Action): boolean {
  return traffic === 'all' || traffic === action.toLowerCase();
}
