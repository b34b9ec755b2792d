/**
 * Lists the network namespaces of a host with their interfaces.
 *
 * Theory of operation. There is no list of namespaces. One exists as long as a process is in it, or a file of it is
 * mounted or open. So the namespaces of all processes are taken, and all that are mounted where this process sees it
 * (`ip netns`, Docker, CNI). One that only an open file keeps is not found; the host's end of its veth pairs is, and
 * that end is told of as leading where nobody could look.
 *
 * Where the other end of a pair is, the kernel tells by a number that means something in one namespace alone. It is
 * compared with the number of each namespace that has a fitting interface, of which there is mostly one. A stranger can
 * make many that fit; after CANDIDATES_MAX the answer is `unknown`, which never counts as guarded.
 */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { placedLinks, type PlacedLink } from '../../ports/links.ts';
import type { Native } from '../../ports/native.ts';
import { ownerText, type Owner, type SeenLink, type SeenNamespace, type Unread } from './facts.ts';
import { codeOf, type SeenProcess } from './processes.ts';

const CANDIDATES_MAX = 64;
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);

type LinkNative = Pick<Native, 'listLinks' | 'namespaceId'>;

interface Known {
  readonly inode: number;
  readonly path?: string;
  readonly owner: Owner;
  /** By which it may be entered, as long as they lead to it. */
  readonly doors: readonly string[];
}

interface Entered extends Known {
  readonly links: readonly PlacedLink[];
}

export interface SeenNamespaces {
  readonly here: number;
  readonly namespaces: readonly SeenNamespace[];
  readonly unread: readonly Unread[];
}

const OWN = '/proc/self/ns/net';

export function lookAtNamespaces(
  native: LinkNative,
  processes: readonly SeenProcess[],
): SeenNamespaces {
  const here = statSync(OWN).ino;
  const unread: Unread[] = [];
  const entered: Entered[] = [];
  for (const known of knownNamespaces(here, processes)) {
    const result = enter(native, known);
    if (result === undefined) continue;
    if ('reason' in result) unread.push(result);
    else entered.push(result);
  }
  return { here, namespaces: new Joined(native, entered, here).all(), unread };
}

function knownNamespaces(here: number, processes: readonly SeenProcess[]): Known[] {
  const mounts = mountedNamespaces(readFileSync('/proc/self/mountinfo', 'utf8'));
  const doors = new Map<number, { owner: Owner; doors: string[] }>();
  const add = (inode: number, owner: Owner, path: string): void => {
    const one = doors.get(inode);
    if (one === undefined) doors.set(inode, { owner, doors: [path] });
    else {
      one.doors.push(path);
      // Any process may be in a container's namespace; one of the container says whose it is.
      if (one.owner.kind === 'process' && owner.kind !== 'process') one.owner = owner;
    }
  };
  for (const { pid, owner, netns, threads } of processes) {
    add(netns, owner, `/proc/${pid}/ns/net`);
    for (const thread of threads) add(thread.netns, owner, thread.path);
  }
  const inodes = new Set([here, ...doors.keys(), ...mounts.keys()]);
  return [...inodes].map((inode) => {
    const [path] = mounts.get(inode) ?? [];
    const found = doors.get(inode);
    return {
      inode,
      ...(path === undefined ? {} : { path }),
      owner: inode === here ? THIS_HOST : ownerOf(inode, path, found?.owner),
      doors: [
        ...(inode === here ? [OWN] : []),
        ...(mounts.get(inode) ?? []),
        ...(found?.doors ?? []),
      ],
    };
  });
}

const THIS_HOST: Owner = { kind: 'namespace', name: 'this host' };

/** A name that somebody gave says more than the number of a process. */
function ownerOf(inode: number, path: string | undefined, owner: Owner | undefined): Owner {
  if (owner !== undefined && owner.kind !== 'process') return owner;
  if (path !== undefined) return { kind: 'namespace', name: basename(path) };
  return owner ?? { kind: 'namespace', name: `net:[${inode}]` };
}

/** Where network namespaces are mounted, by inode. @param text of /proc/self/mountinfo */
export function mountedNamespaces(text: string): ReadonlyMap<number, readonly string[]> {
  const mounts = new Map<number, string[]>();
  for (const line of text.split('\n')) {
    const [, , , root = '', path = '', ...rest] = line.split(' ');
    const inode = /^net:\[(\d+)\]$/.exec(root)?.[1];
    if (inode === undefined || rest[rest.indexOf('-') + 1] !== 'nsfs') continue;
    const plain = path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    mounts.set(Number(inode), [...(mounts.get(Number(inode)) ?? []), plain]);
  }
  return mounts;
}

/** @returns undefined if it is gone */
function enter(native: LinkNative, known: Known): Entered | Unread | undefined {
  let refused: Unread | undefined;
  for (const door of known.doors) {
    try {
      const links = through(door, known.inode, (path) => placedLinks(native, path));
      if (links !== undefined) return { ...known, links };
    } catch (error) {
      if (GONE.has(codeOf(error))) continue;
      const what = `the network namespace of ${ownerText(known.owner)}`;
      const message = error instanceof Error ? error.message : String(error);
      refused = { what, reason: message.replace(/\/proc\/self\/fd\/\d+/, door) };
      break; // By another path it is the same.
    }
  }
  return refused;
}

/**
 * Calls `use` with a path that stays with the namespace, whatever becomes of `door`. Returns undefined if that leads to
 * another one.
 */
function through<T>(
  door: string,
  inode: number,
  use: (path: string | undefined) => T,
): T | undefined {
  // Whoever is there needs no right to enter.
  if (door === OWN) return use(undefined);
  const fd = openSync(door, 'r');
  try {
    return fstatSync(fd).ino === inode ? use(`/proc/self/fd/${fd}`) : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Finds where links lead. */
class Joined {
  private readonly native: LinkNative;
  private readonly entered: readonly Entered[];
  /** Namespaces by the index of a veth and of its other end. */
  private readonly pairs = new Map<string, Entered[]>();
  /** By namespace and number. */
  private readonly found = new Map<string, number | 'unknown'>();
  private readonly here: Entered | undefined;

  constructor(native: LinkNative, entered: readonly Entered[], here: number) {
    this.native = native;
    this.entered = entered;
    this.here = entered.find(({ inode }) => inode === here);
    for (const one of entered)
      for (const { kind, ifindex, link } of one.links)
        if (kind === 'veth' && link !== undefined) {
          const key = `${ifindex} ${link}`;
          this.pairs.set(key, [...(this.pairs.get(key) ?? []), one]);
        }
  }

  all(): SeenNamespace[] {
    return this.entered.map((one) => {
      const { inode, path, owner, links } = one;
      return {
        inode,
        ...(path === undefined ? {} : { path }),
        owner,
        links: links.map((link) => this.resolve(one, link)),
      };
    });
  }

  private resolve(from: Entered, link: PlacedLink): SeenLink {
    if (link.linkNamespaceId === undefined)
      return link.link === undefined ? link : { ...link, linkedTo: from.inode };
    const key = `${from.inode} ${link.linkNamespaceId}`;
    const known = this.found.get(key) ?? this.find(from, link, link.linkNamespaceId);
    // Of a pair that does not fit, the next one may: only what was found stays.
    if (known !== 'unknown') this.found.set(key, known);
    return { ...link, linkedTo: known };
  }

  private find(from: Entered, link: PlacedLink, id: number): number | 'unknown' {
    const fitting =
      link.kind === 'veth' ? (this.pairs.get(`${link.link} ${link.ifindex}`) ?? []) : this.entered;
    const candidates = new Set([...(this.here === undefined ? [] : [this.here]), ...fitting]);
    for (const one of [...candidates].slice(0, CANDIDATES_MAX))
      if (this.isOf(from, one, id)) return one.inode;
    return 'unknown';
  }

  private isOf(from: Entered, other: Entered, id: number): boolean {
    if (other === from) return false;
    for (const door of other.doors)
      try {
        const answer = through(door, other.inode, (path) => this.idIn(from, path ?? OWN));
        if (answer !== undefined) return answer === id;
      } catch {
        // It is gone by this path, or one of the two may not be entered: then nothing is said.
      }
    return false;
  }

  private idIn(from: Entered, other: string): number | undefined {
    for (const door of from.doors)
      try {
        const answer = through(door, from.inode, (path) => this.native.namespaceId(path, other));
        if (answer !== undefined) return answer;
      } catch {
        // As above.
      }
    return undefined;
  }
}
