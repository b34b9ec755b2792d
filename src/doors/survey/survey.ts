/** Collects the facts about a host, and asks the daemons what they guard. */
import { readFileSync } from 'node:fs';
import { ask, ControlError } from '../../control-socket/control-client.ts';
import type { Native } from '../../ports/native.ts';
import { portKind } from '../../ports/port-kind.ts';
import type { InterfaceView } from '../../queries/interfaces-view.ts';
import { UPLINK_NAME } from '../../queries/traffic-filter.ts';
import { ownerText, type AskedDaemon, type Facts, type Guard, type Owner } from './facts.ts';
import { findMachines } from './machines.ts';
import { lookAtNamespaces } from './namespaces.ts';
import { containerOf } from './owner.ts';
import { findHolders, lookAtProcesses, type SeenProcess } from './processes.ts';

/** @param sockets of the daemons that count. What another says of itself is not believed. */
export async function survey(
  native: Pick<Native, 'listLinks' | 'namespaceId'>,
  sockets: readonly string[],
): Promise<Facts> {
  const answers = await Promise.all(sockets.map(askOne));
  const { processes, unread } = lookAtProcesses();
  const seen = lookAtNamespaces(native, processes);
  const hasTun = seen.namespaces.some(({ links }) => links.some(({ kind }) => kind === 'tun'));
  return {
    here: seen.here,
    namespaces: seen.namespaces,
    daemons: answers.map(({ daemon }) => daemon),
    guards: answers.flatMap(({ guards }) => guards),
    // Every descriptor of every process is looked at for it.
    holders: hasTun ? findHolders(processes) : [],
    onHost: containersOnHost(processes, seen.here, sockets),
    machines: findMachines(processes),
    unread: [...unread, ...seen.unread],
  };
}

interface Answer {
  readonly daemon: AskedDaemon;
  readonly guards: readonly Guard[];
}

async function askOne(socket: string): Promise<Answer> {
  try {
    return guardsOf(socket, await ask(socket, 'interfaces', {}));
  } catch (error) {
    const isAbsent = error instanceof ControlError && error.failure === 'absent';
    const reason = error instanceof Error ? error.message : String(error);
    const state = isAbsent ? 'absent' : 'unknown';
    return { daemon: { socket, state, reason }, guards: [] };
  }
}

/** An interface that waits for its device guards nothing yet. */
export function guardsOf(socket: string, interfaces: readonly InterfaceView[]): Answer {
  const open = interfaces.filter(({ waiting }) => waiting === undefined);
  const guards = open.flatMap((one): Guard[] => {
    const { name, id, kind } = one;
    const { isStream, isSocket } = portKind(kind);
    const { device, netnsInode } = guardedEnd(one);
    if (netnsInode === undefined && !isStream) return [];
    const isUplink = id === undefined && name === UPLINK_NAME;
    const place = netnsInode === undefined ? {} : { netnsInode };
    return [{ name, isUplink, device, isStream, isHostEnd: isSocket, ...place, daemon: socket }];
  });
  const isTold = open.every(
    (one) => guardedEnd(one).netnsInode !== undefined || portKind(one.kind).isStream,
  );
  if (isTold) return { daemon: { socket, state: 'answered' }, guards };
  const reason =
    'it does not tell in which namespace each device is: restart it, to be of this version';
  return { daemon: { socket, state: 'unknown', reason }, guards };
}

/** Of a pair the daemon has the host's end, wherever the other one is by now. */
function guardedEnd({
  device,
  netnsInode,
  hostEnd,
}: InterfaceView): Pick<InterfaceView, 'device' | 'netnsInode'> {
  return hostEnd ?? { device, ...(netnsInode === undefined ? {} : { netnsInode }) };
}

/**
 * Containers without a network of their own, but for those of who asks and of who was asked: Docker's managed plugin is
 * in the host's namespace, and its socket is reached by `/proc/PID/root`.
 */
export function containersOnHost(
  processes: readonly SeenProcess[],
  here: number,
  sockets: readonly string[],
): readonly Owner[] {
  const asked = new Set(sockets.map((path) => Number(/^\/proc\/(\d+)\/root\//.exec(path)?.[1])));
  const spared = new Set([
    containerOf(readFileSync('/proc/self/cgroup', 'utf8'))?.name,
    ...processes.flatMap(({ pid, owner }) => (asked.has(pid) ? [owner.name] : [])),
  ]);
  const found = new Map<string, Owner>();
  for (const { owner, netns } of processes) {
    const isContainer = owner.kind !== 'process' && owner.kind !== 'libvirt';
    if (netns === here && isContainer && !spared.has(owner.name))
      found.set(ownerText(owner), owner);
  }
  return [...found.values()];
}
