/** What a check of `secgroupd doctor` is, and how checks look at the system. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';

/** `fail`: the daemon can't run, or not with this configuration. `warn`: it can, with what `means` says. */
export type CheckStatus = 'ok' | 'warn' | 'fail';

export interface Check {
  /** One word: what was looked at. */
  readonly name: string;
  readonly status: CheckStatus;
  readonly found: string;
  /** What follows from it, unless all is well. */
  readonly means?: string;
  readonly mend?: string;
}

/** Who the service is, by its unit. */
export interface ServiceView {
  readonly user: string;
  /** In capitals, as `CAP_NET_ADMIN`; undefined: all there are. */
  readonly capabilities: ReadonlySet<string> | undefined;
  /** Undefined: systemd's default. */
  readonly openFiles: string | undefined;
}

/** What checks read of the system: one place, so that a test can make up a machine. */
export interface Reader {
  /** Contents of a file of /proc or /sys without the last line break; undefined if it can't be read. */
  readonly read: (path: string) => string | undefined;
  /** As uname -r tells it. */
  readonly kernel: string;
  /** As process.version tells it. */
  readonly node: string;
  /** By which it is judged; undefined: by who asks. */
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

/** A number of bytes for people. */
export function bytesText(bytes: number): string {
  const MEBIBYTE = 2 ** 20;
  return bytes >= 2 ** 30
    ? `${(bytes / 2 ** 30).toFixed(1)} GiB`
    : `${Math.ceil(bytes / MEBIBYTE)} MiB`;
}
