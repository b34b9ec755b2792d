/** This file reads the settings of the daemon itself: `workers`, `busyPollUs`, `offload` and `metrics`. */
import { parseAddress, refuse, type Parsed, type Refused } from '../addr/address.ts';
import { get, type Node } from '../source/yaml.ts';
import { readInteger, readTextOrNumber, readWord, take, type Reader } from './config-reader.ts';
import type { Config } from './config.ts';
import { BUSY_POLL_LIMITS, WORKERS_LIMITS } from './limits.ts';

const WORKERS = { ...WORKERS_LIMITS, code: 'bad-workers', what: 'workers' };
const BUSY_POLL = { ...BUSY_POLL_LIMITS, code: 'bad-busy-poll', what: 'busyPollUs' };
const PORT_MAX = 65535;
const LISTEN_HOST_DEFAULT = '127.0.0.1';

export function readWorkers(reader: Reader, root: Node): number {
  return readInteger(reader, root, 'workers', WORKERS) ?? WORKERS.otherwise;
}

export function readBusyPoll(reader: Reader, root: Node): number {
  return readInteger(reader, root, 'busyPollUs', BUSY_POLL) ?? BUSY_POLL.otherwise;
}

export function readOffload(reader: Reader, root: Node): Config['offload'] {
  return readWord(reader, root, 'offload', ['off', 'auto', 'on'], 'off');
}

export function readMetrics(reader: Reader, section: Node | undefined): Config['metrics'] {
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  const node = get(section, 'listen');
  const text = readTextOrNumber(reader, node);
  return text === undefined ? undefined : take(reader, node!, 'bad-listen', parseListen(text));
}

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT` or a port alone. The host is an address or a name. Port 0 means any free port. The
 * default host is 127.0.0.1, so that other addresses must be asked for.
 */
export function parseListen(
  text: string,
): Parsed<{ readonly host: string; readonly port: number }> {
  const match = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(0|[1-9]\d{0,4})$/.exec(text);
  if (match === null || Number(match[3]) > PORT_MAX) {
    const bare6 = /^([0-9a-fA-F:]*:[0-9a-fA-F:]*):(\d+)$/.exec(text);
    const hint =
      bare6 === null
        ? `write HOST:PORT, as ${LISTEN_HOST_DEFAULT}:9469; a port goes up to ${PORT_MAX}`
        : `write an IPv6 address in brackets: [${bare6[1]}]:${bare6[2]}`;
    return refuseListen(text, hint);
  }
  const port = Number(match[3]);
  const [, host6, host] = match;
  if (host6 !== undefined) {
    const address = parseAddress(host6);
    return address.ok && address.value.family === 6
      ? { ok: true, value: { host: host6, port } }
      : refuseListen(text, 'in brackets stands an IPv6 address, as [::1]:9469');
  }
  if (host === undefined) return { ok: true, value: { host: LISTEN_HOST_DEFAULT, port } };
  if (host === '')
    return refuseListen(
      text,
      `write ${LISTEN_HOST_DEFAULT}:${port}, or 0.0.0.0:${port} to be reached from everywhere`,
    );
  if (/^[\d.]+$/.test(host)) {
    const address = parseAddress(host);
    return address.ok ? { ok: true, value: { host, port } } : refuseListen(text, address.hint);
  }
  return /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host)
    ? { ok: true, value: { host, port } }
    : refuseListen(text, `'${host}' is not a host name`);
}

function refuseListen(text: string, hint: string): Refused {
  return refuse(`'${text}' is not an address to listen on`, hint);
}
