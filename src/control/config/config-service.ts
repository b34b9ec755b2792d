/** What is about the daemon itself: `workers`, `conntrack` and `metrics`. */
import { parseAddress, type Parsed } from '../../addr/address.ts';
import { QUEUES_MAX } from '../../ports/native.ts';
import { get, type Node } from '../../source/yaml.ts';
import { readInteger, readTextOrNumber, readWord, take, type Reader } from './config-reader.ts';
import type { Config, ConntrackConfig, ExceptionPolicy } from './config.ts';

const WORKERS = { min: 1, max: QUEUES_MAX, code: 'bad-workers', what: 'workers' };
const MAX_FLOWS = { min: 16, max: 16_000_000, code: 'bad-max-flows', what: 'maxFlows' };
const MAX_FLOWS_DEFAULT = 262_144;
/** Half-open flows have a quarter of the table, if nothing else is said. */
const HALF_OPEN_SHARE = 4;
const PORT_MAX = 65535;
const LISTEN_HOST_DEFAULT = '127.0.0.1';

export function readWorkers(reader: Reader, root: Node): number {
  return readInteger(reader, root, 'workers', WORKERS) ?? 1;
}

export function readConntrack(reader: Reader, section: Node | undefined): ConntrackConfig {
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  const maxFlows = readInteger(reader, section, 'maxFlows', MAX_FLOWS) ?? MAX_FLOWS_DEFAULT;
  const exceptions = get(section, 'exceptions');
  const policy = (key: string, usual: ExceptionPolicy): ExceptionPolicy =>
    readWord(reader, exceptions, key, ['drop', 'pass'], usual);
  return {
    maxFlows,
    maxHalfOpen:
      readInteger(reader, section, 'maxHalfOpen', MAX_FLOWS) ??
      Math.max(MAX_FLOWS.min, Math.floor(maxFlows / HALF_OPEN_SHARE)),
    midstream: readWord(reader, section, 'midstream', ['accept', 'drop'], 'accept'),
    accounting: readWord(reader, section, 'accounting', ['on', 'off'], 'on') === 'on',
    tcpWindow: readWord(reader, section, 'tcpWindow', ['check', 'ignore'], 'check'),
    exceptions: {
      tableFull: policy('tableFull', 'drop'),
      invalid: policy('invalid', 'drop'),
      fragment: policy('fragment', 'drop'),
      eventsFull: policy('eventsFull', 'pass'),
    },
  };
}

export function readMetrics(reader: Reader, section: Node | undefined): Config['metrics'] {
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  const node = get(section, 'listen');
  const text = readTextOrNumber(reader, node);
  return text === undefined ? undefined : take(reader, node!, 'bad-listen', parseListen(text));
}

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT` or a port alone. The host is an address or a name; port 0 means any
 * free one. An address other than loopback has to be asked for: without a host it is 127.0.0.1.
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
    return refuse(text, hint);
  }
  const port = Number(match[3]);
  const [, host6, host] = match;
  if (host6 !== undefined) {
    const address = parseAddress(host6);
    return address.ok && address.value.family === 6
      ? { ok: true, value: { host: host6, port } }
      : refuse(text, 'in brackets stands an IPv6 address, as [::1]:9469');
  }
  if (host === undefined) return { ok: true, value: { host: LISTEN_HOST_DEFAULT, port } };
  if (host === '')
    return refuse(
      text,
      `write ${LISTEN_HOST_DEFAULT}:${port}, or 0.0.0.0:${port} to be reached from everywhere`,
    );
  if (/^[\d.]+$/.test(host)) {
    const address = parseAddress(host);
    return address.ok ? { ok: true, value: { host, port } } : refuse(text, address.hint);
  }
  return /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host)
    ? { ok: true, value: { host, port } }
    : refuse(text, `'${host}' is not a host name`);
}

function refuse(text: string, hint: string): { ok: false; message: string; hint: string } {
  return { ok: false, message: `'${text}' is not an address to listen on`, hint };
}
