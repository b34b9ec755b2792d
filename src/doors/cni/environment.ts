/** Reads the environment variables by which a runtime calls a CNI plugin. */
import { CniError, CODES } from './failure.ts';

export const VERBS = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC'] as const;
export type Verb = (typeof VERBS)[number];
export type Env = Readonly<Record<string, string | undefined>>;

/** What one call is about: an interface of a container. */
export interface Attachment {
  readonly containerId: string;
  readonly ifName: string;
  /** Undefined: it may be gone at DEL. */
  readonly netns: string | undefined;
}

/** IFNAMSIZ of linux/if.h, without the NUL. */
const IF_NAME_BYTES_MAX = 15;
/** PATH_MAX of Linux, without the NUL. */
const PATH_LENGTH_MAX = 4095;
const CONTAINER_ID = /^[A-Za-z0-9][\w.-]*$/;
/** What CNI_ARGS may have: our own, and the address that IPAM plugins read. */
const OWN_ARGS = new Set(['IgnoreUnknown', 'SG', 'ENI', 'IP', 'GATEWAY']);

/** The verbs but VERSION, which is answered without anything else. @throws CniError */
export function readVerb(env: Env): Verb {
  const text = env['CNI_COMMAND'] ?? '';
  const verb = VERBS.find((one) => one === text);
  if (verb !== undefined) return verb;
  throw bad(
    `CNI_COMMAND is one of ${VERBS.join(', ')}, VERSION: a container runtime sets it and starts this`,
  );
}

/** @throws CniError */
export function readAttachment(env: Env, verb: 'ADD' | 'DEL' | 'CHECK'): Attachment {
  const { CNI_CONTAINERID: containerId = '', CNI_IFNAME: ifName = '', CNI_NETNS: netns = '' } = env;
  if (!CONTAINER_ID.test(containerId) || containerId.length > PATH_LENGTH_MAX)
    throw bad('CNI_CONTAINERID is letters, digits, _ . -, and begins with a letter or digit');
  const isName = /^[^\s/:]+$/.test(ifName) && ifName !== '.' && ifName !== '..';
  if (!isName || Buffer.byteLength(ifName) > IF_NAME_BYTES_MAX)
    throw bad(`CNI_IFNAME is a name of at most ${IF_NAME_BYTES_MAX} bytes, without / : and blanks`);
  if (netns === '' && verb === 'DEL') return { containerId, ifName, netns: undefined };
  if (!netns.startsWith('/') || netns.length > PATH_LENGTH_MAX)
    throw bad('CNI_NETNS is the absolute path of a network namespace');
  return { containerId, ifName, netns };
}

/**
 * Reads CNI_ARGS: `K=V;K=V`.
 * @throws CniError if a key is unknown and IgnoreUnknown does not say that this is as well
 */
export function readArgs(env: Env): ReadonlyMap<string, string> {
  const args = new Map<string, string>();
  for (const part of (env['CNI_ARGS'] ?? '').split(';')) {
    if (part === '') continue;
    const at = part.indexOf('=');
    if (at < 1) throw bad('CNI_ARGS is KEY=VALUE;KEY=VALUE');
    const key = part.slice(0, at);
    if (args.has(key)) throw bad(`CNI_ARGS has ${key} twice`);
    args.set(key, part.slice(at + 1));
  }
  if (/^(1|t|true)$/i.test(args.get('IgnoreUnknown') ?? '')) return args;
  const unknown = [...args.keys()].find((key) => !OWN_ARGS.has(key));
  if (unknown === undefined) return args;
  throw bad(`CNI_ARGS has ${unknown}, which is unknown, and no IgnoreUnknown=1`);
}

/** The folders where plugins are. */
export function readPath(env: Env): readonly string[] {
  return (env['CNI_PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/'));
}

function bad(message: string): CniError {
  return new CniError(CODES.badEnvironment, message);
}
