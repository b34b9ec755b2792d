/** Asks the daemon for a door, and again while too many others ask: runtimes start containers by the hundred. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, ControlError } from '../control-socket/control-client.ts';
import type { MethodName, Methods } from '../control-socket/protocol.ts';
import type { InterfaceQuestion, OwnedInterfaceView } from '../queries/owned-interfaces.ts';

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

/** An interface that somebody asked the daemon for; undefined: there is none of this id. */
export async function findInterface(
  socket: string,
  { id, owner }: Pick<InterfaceQuestion, 'id' | 'owner'>,
): Promise<OwnedInterfaceView | undefined> {
  const all = await askDaemon(socket, 'listInterfaces', { owner });
  return all.find((one) => one.id === id);
}

/** Adds an interface; if no answer comes, what may have been made is removed. @throws ControlError */
export async function addInterface(
  socket: string,
  question: InterfaceQuestion,
): Promise<OwnedInterfaceView> {
  try {
    return await askDaemon(socket, 'addInterface', question);
  } catch (error) {
    // What it refuses it takes back itself.
    if (!(error instanceof ControlError) || error.failure !== 'refused')
      await askDaemon(socket, 'removeInterface', { id: question.id }).catch(() => undefined);
    throw error;
  }
}
