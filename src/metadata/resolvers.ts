/** Resolvers finds whom the DNS forwarder asks: those of the command line, or of the host's resolv.conf(5). */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

export interface Resolver {
  readonly address: string;
  readonly port: number;
}

const DNS_PORT = 53;
/** MAXNS of resolv.h. */
const RESOLVERS_MAX = 3;
/** A resolv.conf has some hundred bytes. */
const FILE_BYTES_MAX = 64 * 1024;
const LOOK_AGAIN_MS = 5000;

/** `127.0.0.53`, `127.0.0.1:5353`, `fd00::1`, `[fd00::1]:5353`; undefined: none of these. */
export function parseResolver(text: string): Resolver | undefined {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const match = /^(?:\[(?<six>[^\]]+)\]|(?<four>[^:]+)):(?<port>\d{1,5})$/.exec(text);
  const { six, four, port } = match?.groups ?? {};
  const address = six ?? four ?? '';
  if (isIP(address) !== (six === undefined ? 4 : 6)) return undefined;
  const number = Number(port);
  return number < 1 || number > 0xffff ? undefined : { address, port: number };
}

/** The name servers of a resolv.conf, the first three as the C library has it; none: this host. */
export function readResolvers(text: string): readonly Resolver[] {
  const found = text.split('\n').flatMap((line) => {
    const [, address = ''] = /^\s*nameserver\s+(\S+)/.exec(line) ?? [];
    return isIP(address) === 0 ? [] : [{ address, port: DNS_PORT }];
  });
  return found.length === 0
    ? [{ address: '127.0.0.1', port: DNS_PORT }]
    : found.slice(0, RESOLVERS_MAX);
}

/** Reads the file again when it has changed, and looks every few seconds at most. */
export class Resolvers {
  private readonly file: string;
  private readonly fixed: readonly Resolver[];
  private found: readonly Resolver[] = readResolvers('');
  private version = '';
  private lookAtMs = -Infinity;

  /** @param fixed those of the command line; none: those of the file */
  constructor(file: string, fixed: readonly Resolver[]) {
    this.file = file;
    this.fixed = fixed;
  }

  now(nowMs: number): readonly Resolver[] {
    if (this.fixed.length > 0) return this.fixed;
    if (nowMs < this.lookAtMs) return this.found;
    this.lookAtMs = nowMs + LOOK_AGAIN_MS;
    try {
      const { mtimeMs, ino, size } = statSync(this.file);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (version !== this.version && size <= FILE_BYTES_MAX) {
        this.found = readResolvers(readFileSync(this.file, 'utf8'));
        this.version = version;
      }
    } catch {
      // It is being replaced, or is not there: what was known goes on.
    }
    return this.found;
  }
}
