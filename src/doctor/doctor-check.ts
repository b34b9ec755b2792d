/** This file defines what a check of `secgroupd doctor` is, and how checks read the system. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';

/** `fail`: the daemon can't run, or not with this configuration. `warn`: it can, with the limits that `means` names. */
export type CheckStatus = 'ok' | 'warn' | 'fail';

export interface Check {
  /** One word for what was checked. */
  readonly name: string;
  readonly status: CheckStatus;
  readonly found: string;
  /** The consequence, unless all is well. */
  readonly means?: string;
  readonly mend?: string;
}

/** User, capabilities and limits of the service, by its unit. */
export interface ServiceView {
  readonly user: string;
  /** Names in capitals, such as `CAP_NET_ADMIN`. Undefined: all capabilities. */
  readonly capabilities: ReadonlySet<string> | undefined;
  /** Undefined: systemd's default. */
  readonly openFiles: string | undefined;
}

/** All that checks read of the system. A test can replace it with an invented machine. */
export interface Reader {
  /** Reads a file of /proc or /sys, without the last line break. Undefined if it can't be read. */
  readonly read: (path: string) => string | undefined;
  /** The output of uname -r. */
  readonly kernel: string;
  /** process.version. */
  readonly node: string;
  /** The service to judge by. Undefined: judge by the user who runs the doctor. */
  readonly service?: ServiceView | undefined;
}

export function systemReader(): Reader {
  return {
    read: (path) => {
      try {
        return readFileSync(path, 'utf8').trimEnd();
      } catch {
        return undefined;
      }
    },
    kernel: release(),
    node: process.version,
  };
}

/** Formats a number of bytes for people. */
export function bytesText(bytes: number): string {
  const MEBIBYTE = 2 ** 20;
  return bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : `${Math.ceil(bytes / MEBIBYTE)} MiB`;
}
