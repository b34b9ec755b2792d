/**
 * One flow log: which traffic it takes, and the lines it writes at the end of an interval.
 *
 * Semantics are AWS's ("VPC Flow Logs"): a record for each 5-tuple, interface, direction and interval; ACCEPT
 * for what passed the interface's gate, REJECT for what did not, whatever the reason; NODATA for an
 * interface without traffic, SKIPDATA for one of which records were lost. Not logged, as in AWS: traffic to
 * and from the platform's services, and what never leaves the link (ARP, neighbour discovery, DHCP).
 */
import type { FlowLogConfig } from '../config/config.ts';
import {
  formatLine,
  type Action,
  type FlowRecord,
  type LogFormat,
  type LogInterface,
  type LogStatus,
} from './flow-log-fields.ts';
import type { NamedInterface } from './flow-log-names.ts';
import { RecordTable, type RecordKey, type RecordSum } from './flow-log-table.ts';
import type { LineWriter } from './flow-log-writer.ts';

/** What was seen at an interface, before a log decides whether it wants it. */
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
  /** What was seen and found no room among the records of its interval. */
  readonly skipped: number;
}

export class FlowLog {
  readonly config: FlowLogConfig;
  private readonly format: LogFormat;
  private readonly writer: LineWriter;
  private table = new RecordTable();
  /** What the last interval is still being added to. */
  private closing: RecordTable | undefined;
  private fromMs: number;
  private written = 0;
  private lost = 0;
  /** In intervals that are over. */
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

  /** Adds what was seen. @param isPast of the interval that `beginClosing` ended */
  add({ port, key, sum }: Sighting, isPast: boolean): void {
    const table = isPast && this.closing !== undefined ? this.closing : this.table;
    table.seen.add(port);
    if (!wants(this.config.traffic, key.action)) return;
    const { tellsRules, tellsReasons } = this.format;
    table.add(
      port,
      {
        ...key,
        ruleId: tellsRules ? key.ruleId : undefined,
        groupId: tellsRules ? key.groupId : undefined,
        dropReason: tellsReasons ? key.dropReason : undefined,
      },
      { ...sum },
    );
  }

  /** Something of these ports was not seen. */
  skip(ports: Iterable<number>): void {
    for (const port of ports) this.table.skipped.add(port);
  }

  /** From now on what is seen is of the next interval, but for what is said to be past. */
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

  /** The file is opened by its name before the next lines. */
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
