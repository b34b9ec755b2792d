/**
 * Veth pairs that we make: one end is the device of an instance, the other is the host's end, in the daemon's own
 * namespace, where the packet loops have packet sockets on it.
 *
 * Theory of operation. A pair outlives the process, and its guard does too (native/guard.c): between two processes
 * nothing passes. A later process finds the pair by the name of the host's end, which follows from the place of the
 * device, and by the alias that marks it as ours. It takes the pair over if the other end is where the device is to be.
 * Else the pair is removed and made again. What another process has open is never removed: the kernel lets no two have
 * packet sockets on one interface (native/attach.c).
 *
 * With its instance's namespace a pair is gone. The kernel tells of that as of any interface (daemon/lost-devices.ts).
 */
import { whyGone, type HostEnd } from './host-side.ts';
import { PAIR_MARK } from './link-match.ts';
import { inNamespace, isProcessPath } from './namespace.ts';
import type { ListedLink, Native } from './native.ts';
import { systemError } from './system-error.ts';

/** What a pair is made by, of the spec of a device. */
interface PairSpec {
  readonly name: string;
  readonly netnsPath: string | undefined;
  readonly mtu: number;
  readonly macAddress?: Uint8Array;
  readonly configure: boolean;
  readonly hostEnd?: HostEnd;
}

type Calls = Pick<
  Native,
  | 'closeFd'
  | 'deleteLink'
  | 'linkIndex'
  | 'lookAtLink'
  | 'makePair'
  | 'namespaceId'
  | 'openDevice'
  | 'unguardDevice'
>;

/**
 * Finds the pair of a device, or makes it.
 * @param held a path of the namespace that can stand for no other; undefined: the daemon's own
 * @returns whether it was made
 * @throws NativeError
 */
export function havePair(
  native: Calls,
  spec: PairSpec,
  held: string | undefined,
  txQueueLength: number,
): boolean {
  const { name, mtu, macAddress, netnsPath } = spec;
  const { name: hostName, alias } = spec.hostEnd!;
  const there = findHostEnd(native, hostName);
  if (there !== undefined) {
    if (isAsWanted(native, spec, held, there)) return false;
    if (isProcessPath(netnsPath))
      throw new Error(
        `${netnsPath} is not where ${name} was made: the process is another's by now, and is not followed; name the instance's namespace by its path, or a process of it`,
      );
    if (isHeld(native, hostName))
      throw systemError('EBUSY', 'open', `the veth pair ${hostName} is open in another process`);
    drop(native, there);
  }
  const mac = macAddress === undefined ? {} : { macAddress };
  native.makePair(held, { name, hostName, alias, mtu, txQueueLength, ...mac });
  return true;
}

/** @throws Error if an interface that is not ours has the name */
function findHostEnd(native: Calls, hostName: string): ListedLink | undefined {
  const ifindex = native.linkIndex(undefined, hostName);
  const link = ifindex === 0 ? undefined : native.lookAtLink(undefined, ifindex);
  if (link === undefined) return undefined;
  const isOurs = link.alias === '' || link.alias.startsWith(PAIR_MARK);
  if (link.kind === 'veth' && isOurs) return link;
  throw systemError(
    'EEXIST',
    'open',
    `an interface ${hostName} is there that no secgroupd made: give it another name`,
  );
}

/** Whoever a device is made for in the daemon's own namespace moves and renames it. */
function isAsWanted(
  native: Calls,
  { name, configure }: PairSpec,
  held: string | undefined,
  hostEnd: ListedLink,
): boolean {
  if (hostEnd.alias === '') return false;
  if (held === undefined && !configure) return true;
  return leadsTo(native, hostEnd, held) && native.linkIndex(held, name) === hostEnd.link;
}

/** Whether the other end is in the namespace at this path; undefined: the daemon's own. */
export function leadsTo(
  native: Pick<Native, 'namespaceId'>,
  { linkNetnsId }: ListedLink,
  path: string | undefined,
): boolean {
  if (path === undefined || linkNetnsId < 0) return path === undefined && linkNetnsId < 0;
  return native.namespaceId(undefined, path) === linkNetnsId;
}

/**
 * Does `work` where the instance's end is, whatever it is called by now.
 * @param work gets a path of the namespace that can stand for no other (undefined: the daemon's own), and the index
 *   there
 * @throws NativeError ENODEV if it is gone, or was moved to another namespace
 */
export function atInstanceEnd(
  native: Pick<Native, 'lookAtLink' | 'namespaceId'>,
  { spec, ifindex }: { readonly spec: PairSpec; readonly ifindex: number },
  work: (netns: string | undefined, ifindex: number) => void,
): void {
  const { name, netnsPath } = spec;
  const hostEnd = native.lookAtLink(undefined, ifindex);
  const atEnd = (held: string | undefined): void => {
    if (hostEnd === undefined || !leadsTo(native, hostEnd, held))
      throw systemError('ENODEV', 'open', whyGone(name));
    work(held, hostEnd.link);
  };
  if (netnsPath === undefined) atEnd(undefined);
  else inNamespace(netnsPath, atEnd);
}

/**
 * Removes the pair of a device that is wanted no longer, and its guard after it, unless another process has it open.
 * Nothing happens if there is none.
 * @param wasOpen here until now, so that no other process can have it
 */
export function removePair(native: Calls, { hostEnd }: PairSpec, wasOpen: boolean): void {
  const link = findHostEnd(native, hostEnd!.name);
  if (link === undefined || (!wasOpen && isHeld(native, link.name))) return;
  drop(native, link);
}

/**
 * Removes pairs that an earlier process made and that are wanted no longer.
 * @param mark at the start of the aliases of that process
 * @param wanted names of host's ends that are to stay
 * @returns the aliases of those that were removed
 */
export function removeStrays(
  native: Calls & Pick<Native, 'listLinks'>,
  mark: string,
  wanted: ReadonlySet<string>,
): string[] {
  const strays = native
    .listLinks(undefined)
    .filter(
      ({ kind, alias, name }) => kind === 'veth' && alias.startsWith(mark) && !wanted.has(name),
    )
    .filter(({ name }) => !isHeld(native, name));
  for (const link of strays) drop(native, link);
  return strays.map(({ alias }) => alias);
}

function drop(native: Calls, { name, ifindex }: ListedLink): void {
  native.deleteLink(undefined, ifindex);
  native.unguardDevice(undefined, name);
}

function isHeld(native: Calls, name: string): boolean {
  try {
    native.closeFd(native.openDevice({ kind: 'veth', name, persist: false }).fd);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY';
  }
}
