/** This file runs the flow logs of the configuration in force. It replaces them when a reload changes them. */
import type { Logger } from 'pino';
import type { FlowLogConfig } from '../config/config.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { FlowLogCounts } from './flow-log.ts';
import { FlowLogs } from './flow-logs.ts';

export class FlowLogsInForce {
  private readonly observatory: Observatory;
  private readonly log: Logger;
  private current: FlowLogs | undefined;
  /** The configuration of the running flow logs, as JSON. */
  private text = '[]';

  constructor(observatory: Observatory, log: Logger) {
    this.observatory = observatory;
    this.log = log;
  }

  get counts(): readonly FlowLogCounts[] {
    return this.current?.counts ?? [];
  }

  /** Starts, ends or replaces the flow logs if their configuration has changed. */
  apply(configs: readonly FlowLogConfig[]): void {
    const text = JSON.stringify(configs, (_key, value: unknown) =>
      value instanceof Map ? [...(value as Map<unknown, unknown>)] : value,
    );
    if (text === this.text) return;
    this.text = text;
    const before = this.current;
    this.current = undefined;
    const start = (): void => {
      if (configs.length === 0 || this.text !== text) return;
      this.current = new FlowLogs({
        observatory: this.observatory,
        configs,
        onTrouble: (name, message) => this.log.warn({ flowLog: name }, `flow log: ${message}`),
        stdout: process.stdout,
      });
    };
    // New flow logs may use the same files, so the old ones are closed first.
    if (before === undefined) start();
    else void before.stop().then(start);
  }

  /** Opens the files by their names again, as after a log rotation. */
  reopen(): void {
    this.current?.reopen();
  }

  /** Writes the records so far and closes the files. */
  async stop(): Promise<void> {
    await this.current?.stop();
  }
}
