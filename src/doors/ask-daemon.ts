/** Asks the daemon for a door, and again while too many others ask: runtimes start containers by the hundred. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, ControlError } from '../control-socket/control-client.ts';
import type { MethodName, Methods } from '../control-socket/protocol.ts';
import { attachmentId } from '../policy/ids.ts';
import type { DeviceQuestion, OwnedInterfaceView } from '../queries/owned-interfaces.ts';
import type { Selection } from './selection.ts';

export interface Patience {
  /** How long the daemon may take for an answer. With thousands of interfaces it opens a device in well below that. */
  readonly answerMs: number;
  /** How long others may have all places of the control socket. */
  readonly busyMs: number;
}

const PATIENCE: Patience = { answerMs: 60_000, busyMs: 30_000 };
const PAUSE_MS = 20;

/**
 * Asks what may be asked twice, as may all requests on interfaces.
 * @throws ControlError if there is no daemon, or if it refuses
 */
export async function askDaemon<Name extends MethodName>(
  socket: string,
  method: Name,
  params: Methods[Name]['params'],
  { answerMs, busyMs }: Patience = PATIENCE,
): Promise<Methods[Name]['result']> {
  const deadline = Date.now() + busyMs;
  for (;;) {
    try {
      return await ask(socket, method, params, answerMs);
    } catch (error) {
      const isOver = !(error instanceof ControlError) || !/^(busy|cut)$/.test(error.failure);
      if (isOver || Date.now() > deadline) throw forRuntimes(error, socket);
    }
    // Not all at the same time again.
    await sleep(PAUSE_MS * (1 + Math.random()));
  }
}

/** The advice that goes with it is for those who type sgctl. */
function forRuntimes(error: unknown, socket: string): unknown {
  if (!(error instanceof ControlError) || error.failure !== 'absent') return error;
  return new ControlError(
    `no daemon listens at ${socket}; is the service secgroupd running?`,
    'absent',
  );
}

/** An interface for an instance: one of its own, or one that a call of the EC2 API made. */
export interface DoorQuestion {
  /** Of the interface of its own. That of the attachment follows from it in either case. */
  readonly id: string;
  readonly owner: string;
  readonly selection: Selection;
  readonly device: DeviceQuestion;
  /** What the runtime gives the instance; undefined: all that an interface has which a call made. */
  readonly addresses: readonly string[] | undefined;
  /** Whether the addresses of an interface of its own were leased. */
  readonly leased?: boolean;
  /** For an interface of its own. */
  readonly tags?: Readonly<Record<string, string>>;
}

/** The interface of an instance, which has this id if it is one of its own; undefined: it has none. */
export async function findInterface(
  socket: string,
  { id, owner }: Pick<DoorQuestion, 'id' | 'owner'>,
): Promise<OwnedInterfaceView | undefined> {
  const all = await askDaemon(socket, 'listInterfaces', { owner });
  return all.find((one) => one.id === id || one.attachment === attachmentId(id));
}

/** Asks for an interface. What the daemon refuses it takes back itself. @throws ControlError */
export function requestInterface(
  socket: string,
  { id, owner, selection, device, addresses, leased = false, tags }: DoorQuestion,
  patience?: Patience,
): Promise<OwnedInterfaceView> {
  const common = { owner, device, ...(addresses === undefined ? {} : { addresses }) };
  if (selection.kind === 'interface') {
    const question = { ...common, id: selection.id, attachment: attachmentId(id) };
    return askDaemon(socket, 'attachInterface', question, patience);
  }
  const { securityGroups } = selection;
  const question = {
    ...{ addresses: [], ...common, id, securityGroups },
    ...(leased ? { leased } : {}),
    ...(tags === undefined ? {} : { tags }),
  };
  return askDaemon(socket, 'addInterface', question, patience);
}

/** Asks for an interface; if no answer comes, what may have been made is removed. @throws ControlError */
export async function addInterface(
  socket: string,
  question: DoorQuestion,
): Promise<OwnedInterfaceView> {
  try {
    return await requestInterface(socket, question);
  } catch (error) {
    if (!(error instanceof ControlError) || error.failure !== 'refused')
      await releaseInterface(socket, question.id).catch(() => undefined);
    throw error;
  }
}

/**
 * Takes an instance's interface away: removes one of its own, and detaches one that a call made.
 * @returns which it was; undefined: there was none
 */
export async function releaseInterface(
  socket: string,
  id: string,
  patience?: Patience,
): Promise<'removed' | 'detached' | undefined> {
  if ((await askDaemon(socket, 'removeInterface', { id }, patience)).removed) return 'removed';
  const attachment = attachmentId(id);
  const { detached } = await askDaemon(socket, 'detachInterface', { attachment }, patience);
  return detached ? 'detached' : undefined;
}
