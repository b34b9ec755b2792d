/**
 * This file says where a store can be: in a file of this host, or in a cluster of etcd that hosts share.
 *
 * One text says it, so that whoever takes a place takes either: a path, or a URL with all that it takes to get there.
 * A password is no part of it. It would be seen in the list of processes, in logs and in the answer to `sgctl status`;
 * so the URL names a file that has it.
 */
import { isIP } from 'node:net';
import { isLoopback } from './loopback.ts';
import { isAbsolute, resolve } from 'node:path';

/** A directory of its own, which two users may enter: the daemon's, and that of the API's server. */
export const STORE_DEFAULT = '/var/lib/secgroup-store/store.db';

/** What a store is called below in etcd, unless somebody says otherwise. */
export const PREFIX_DEFAULT = '/secgroupd/v1/';
const PORT_DEFAULT = 2379;
/** A cluster has 3 or 5 members as a rule; more than 7 are advised against. */
const ENDPOINTS_MAX = 16;
const PREFIX = /^\/(?:[\x21-\x7e]{1,64}\/)+$/;

export type Place = FilePlace | EtcdPlace;

export interface FilePlace {
  readonly kind: 'file';
  /** Absolute. */
  readonly path: string;
}

export interface EtcdPlace {
  readonly kind: 'etcd';
  /** As it was given. It has no secrets. */
  readonly url: string;
  /** `host:port`, `[address]:port`; at least one. */
  readonly endpoints: readonly string[];
  /** Begins and ends with a slash. All keys are below it. */
  readonly prefix: string;
  /** Undefined: without TLS. */
  readonly tls: EtcdTls | undefined;
  /** Whom to log in as; undefined: nobody, or whom the certificate names. */
  readonly login: { readonly user: string; readonly passwordFile: string } | undefined;
}

/** Files in PEM, absolute. */
export interface EtcdTls {
  /** Undefined: the authorities that Node.js brings. */
  readonly ca: string | undefined;
  /** Of this client, with its key. */
  readonly own: { readonly cert: string; readonly key: string } | undefined;
}

/** What a URL may have behind the question mark. */
const PARAMETERS = ['ca', 'cert', 'key', 'user', 'password-file', 'plain'] as const;

/** Whether a text means a store in etcd. */
export function isEtcd(text: string): boolean {
  return /^etcds?:/.test(text);
}

/**
 * Reads where a store is.
 * @param text a path, or `etcds://HOST:PORT,HOST:PORT/PREFIX/?ca=FILE&cert=FILE&key=FILE`
 * @throws RangeError with what is wrong and how it is right
 */
export function parsePlace(text: string): Place {
  if (!isEtcd(text)) return { kind: 'file', path: resolve(text) };
  const match = /^(etcds?):\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/.exec(text);
  if (match === null)
    throw new RangeError('it is not like etcds://HOST:PORT,HOST:PORT/PREFIX/?ca=FILE');
  const [, scheme, hosts, prefix = '/', query = ''] = match;
  if (hosts.includes('@'))
    throw new RangeError('no user or password before the hosts: use ?user=NAME&password-file=FILE');
  const given = readQuery(query);
  const endpoints = readEndpoints(hosts);
  const isPlain = scheme === 'etcd';
  checkTransport(isPlain, endpoints, given);
  return {
    kind: 'etcd',
    url: text,
    endpoints,
    prefix: readPrefix(prefix),
    tls: isPlain ? undefined : { ca: given.get('ca'), own: pairOf(given) },
    login: loginOf(given),
  };
}

type Parameters = ReadonlyMap<(typeof PARAMETERS)[number], string>;

function readQuery(query: string): Parameters {
  const given = new Map<(typeof PARAMETERS)[number], string>();
  for (const [key, value] of new URLSearchParams(query)) {
    const name = PARAMETERS.find((each) => each === key);
    if (name === undefined)
      throw new RangeError(`there is no parameter '${key}'; there are ${PARAMETERS.join(', ')}`);
    if (given.has(name)) throw new RangeError(`${name} is there twice`);
    if (value === '') throw new RangeError(`${name} is empty`);
    const isFile = name !== 'user' && name !== 'plain';
    if (isFile && !isAbsolute(value))
      throw new RangeError(`${name} takes the absolute path of a file`);
    given.set(name, value);
  }
  return given;
}

function readEndpoints(hosts: string): string[] {
  const endpoints = hosts.split(',').map(readEndpoint);
  if (endpoints.length > ENDPOINTS_MAX)
    throw new RangeError(`at most ${ENDPOINTS_MAX} hosts, not ${endpoints.length}`);
  return endpoints;
}

function readEndpoint(text: string): string {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[3] ?? PORT_DEFAULT);
  const isAddress = match?.[1] === undefined || isIP(match[1]) === 6;
  if (match === null || port < 1 || port > 65_535 || !isAddress)
    throw new RangeError(`'${text}' is not like HOST:${PORT_DEFAULT} or [ADDRESS]:${PORT_DEFAULT}`);
  return `${match[1] === undefined ? match[2] : `[${match[1]}]`}:${port}`;
}

function readPrefix(text: string): string {
  if (text === '/') return PREFIX_DEFAULT;
  const prefix = text.endsWith('/') ? text : `${text}/`;
  if (!PREFIX.test(prefix))
    throw new RangeError(`'${text}' is not a prefix like ${PREFIX_DEFAULT}`);
  return prefix;
}

function checkTransport(isPlain: boolean, endpoints: readonly string[], given: Parameters): void {
  const plain = given.get('plain');
  if (plain !== undefined && plain !== 'allow') throw new RangeError('plain takes the word allow');
  if (!isPlain) return;
  const forTls = (['ca', 'cert', 'key'] as const).find((name) => given.has(name));
  if (forTls !== undefined) throw new RangeError(`${forTls} needs TLS: begin with etcds://`);
  const far = endpoints.find((one) => !isLoopback(one.slice(0, one.lastIndexOf(':'))));
  if (far !== undefined && plain === undefined)
    throw new RangeError(
      `${far} is not loopback, and without TLS all is read and written on the way: begin with etcds://, or add ?plain=allow`,
    );
}

function pairOf(given: Parameters): EtcdTls['own'] {
  const [cert, key] = [given.get('cert'), given.get('key')];
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new RangeError('cert and key go together');
  return { cert, key };
}

function loginOf(given: Parameters): EtcdPlace['login'] {
  const [user, passwordFile] = [given.get('user'), given.get('password-file')];
  if (user === undefined && passwordFile === undefined) return undefined;
  if (user === undefined || passwordFile === undefined)
    throw new RangeError('user and password-file go together');
  return { user, passwordFile };
}
