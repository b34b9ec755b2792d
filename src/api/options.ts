/** This file defines the command line of secgroup-api, and decides where it may listen. */
import { isIP } from 'node:net';
import { Command, InvalidArgumentError, Option } from 'commander';
import { daemonExitCodeHelp } from '../service/exit-codes.ts';
import { version } from '../service/version.ts';
import { fromOneTo } from '../service/whole-number.ts';
import { parseStorePlace } from '../service/store-option.ts';
import { isLoopback } from '../store/loopback.ts';
import { STORE_DEFAULT } from '../store/place.ts';
import { KEYS_FILE_DEFAULT } from './keys.ts';
import { WAITS, type Wait } from './managed.ts';

export { isLoopback };

/** The port of earlier servers with EC2's API. */
const PORT_DEFAULT = 8773;
const PORT_MAX = 65_535;
const REGION_DEFAULT = 'us-east-1';
const REGION = /^[a-z]{2}(-[a-z]{1,16}){1,3}-\d{1,2}$/;
/** By key. Beyond what one server can answer: a client in a loop is stopped, an honest one is not. */
const RATE_DEFAULT = 1000;
const RATE_MAX = 1_000_000;
/** Most changes take milliseconds. A host that dies meanwhile is missed before this is over (ALIVE_TTL_SEC). */
const WAIT_LIMIT_DEFAULT_SEC = 15;
const WAIT_LIMIT_MAX_SEC = 300;

export interface ApiOptions {
  readonly listen: Endpoint;
  readonly keys: string;
  readonly region: string;
  /** Where the store is that it reads and writes. */
  readonly store: string;
  /** Whom a call that changes something waits for. */
  readonly wait: Wait;
  /** For so many seconds at most. */
  readonly waitLimit: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly requestsPerSecond: number;
  /** Where metrics are told; undefined: nowhere. */
  readonly metrics?: Endpoint;
  /** Where the console is served; undefined: nowhere. */
  readonly console?: Endpoint;
  /** The control socket of a daemon of this host, whose live figures the console shows; undefined: none are shown. */
  readonly consoleDaemon?: string;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Defines the command. `run` is called with its options. */
export function apiCommand(run: (options: ApiOptions) => void): Command {
  return new Command('secgroup-api')
    .description("AWS-style security groups on real packets: the server of EC2's API")
    .version(version)
    .option(
      '--listen <address:port>',
      'where to listen; other than loopback takes --tls-cert, --tls-key and at least one key',
      parseEndpoint,
      { host: '127.0.0.1', port: PORT_DEFAULT },
    )
    .option('--keys <file>', 'keys that may sign requests (sgctl api key)', KEYS_FILE_DEFAULT)
    .option('--region <name>', 'the region that it answers for', parseRegion, REGION_DEFAULT)
    .option(
      '--store <place>',
      'what calls make is kept there, and daemons read it: a file, or etcds://HOST:PORT,…',
      parseStorePlace,
      STORE_DEFAULT,
    )
    .addOption(
      new Option(
        '--wait <whom>',
        'answer a change when all live hosts that it concerns have it in force, when more than half have, or as soon as it is kept',
      )
        .choices(WAITS)
        .default('all'),
    )
    .option(
      '--wait-limit <seconds>',
      'how long hosts may take; then all: the change is taken back, quorum: the answer names who lacks it',
      fromOneTo(WAIT_LIMIT_MAX_SEC),
      WAIT_LIMIT_DEFAULT_SEC,
    )
    .option('--tls-cert <file>', 'certificate with its chain (PEM)')
    .option('--tls-key <file>', "the certificate's private key (PEM)")
    .option(
      '--requests-per-second <number>',
      'of one key; twice as many may come at once',
      fromOneTo(RATE_MAX),
      RATE_DEFAULT,
    )
    .option(
      '--metrics <address:port>',
      'tell metrics there at /metrics, on loopback alone; without it nowhere',
      parseEndpoint,
    )
    .option(
      '--console <address:port>',
      'serve the console there, a page in a browser: keys sign in; without it nowhere',
      parseEndpoint,
    )
    .option(
      '--console-daemon <socket>',
      'the control socket of the daemon of this host, for live figures in the console',
    )
    .addHelpText(
      'after',
      `
Standard output has a JSON line for each request, standard error the log.

${daemonExitCodeHelp('secgroup-api')}`,
    )
    .allowExcessArguments(false)
    .action(run);
}

/** `127.0.0.1:8773`, `[::1]:8773`, `localhost:8773` or a port. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? NaN);
  const named = match?.[1] ?? match?.[2] ?? '127.0.0.1';
  const host = named === 'localhost' ? '127.0.0.1' : named;
  if (match === null || port > PORT_MAX || isIP(host) === 0)
    throw new InvalidArgumentError('it is not like 127.0.0.1:8773 or [::1]:8773');
  return { host, port };
}

function parseRegion(text: string): string {
  if (!REGION.test(text)) throw new InvalidArgumentError('it is not like us-east-1');
  return text;
}

/**
 * Why the server must not listen so; undefined if it may. Without TLS whoever is on the way reads what is answered and
 * can send a signed request again; without keys nobody could use it, and it would be found open by the next mistake.
 */
export function endpointFault(
  {
    listen: { host },
    tlsCert,
    tlsKey,
    keys,
    metrics,
    console: page,
    consoleDaemon,
  }: Pick<
    ApiOptions,
    'listen' | 'tlsCert' | 'tlsKey' | 'keys' | 'metrics' | 'console' | 'consoleDaemon'
  >,
  keyCount: number,
): string | undefined {
  if (metrics !== undefined && !isLoopback(metrics.host))
    return `metrics are told without a key and without TLS: ${metrics.host} is not loopback`;
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    return '--tls-cert and --tls-key go together';
  if (page === undefined && consoleDaemon !== undefined)
    return '--console-daemon is for the console: give --console, too';
  const open = [host, ...(page === undefined ? [] : [page.host])].find((one) => !isLoopback(one));
  if (open === undefined) return undefined;
  if (tlsCert === undefined)
    return `${open} is not loopback, so it takes --tls-cert and --tls-key: requests would be read on the way`;
  if (keyCount === 0)
    return `${open} is not loopback, and ${keys} has no key: make one with sgctl api key create`;
  return undefined;
}
