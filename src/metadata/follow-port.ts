/**
 * This file notices that the platform's port has other addresses, or another namespace, than those that are served: the
 * VPC has another block, and so another DNS address.
 *
 * To open a socket there takes rights, which are given up before the first packet is read. So the program can't follow.
 * It ends where the service manager starts it again; elsewhere it goes on with what it has, and says so. Rejected: a
 * part of the program that keeps the rights.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { PlatformView } from '../queries/platform-view.ts';

const LOOK_MS = 5000;

export interface FollowOptions {
  /** Asks where the port is now. Rejects if that is not known. */
  readonly find: () => Promise<PlatformView>;
  /** Whether somebody starts the program again when it ends. */
  readonly isStartedAgain: boolean;
  readonly end: () => void;
  readonly log: Pick<Logger, 'warn' | 'debug'>;
}

/** @returns a function that ends it */
export function followPort(
  served: PlatformView,
  { find, isStartedAgain, end, log }: FollowOptions,
): () => void {
  let told = served;
  const look = async (): Promise<void> => {
    const now = await find();
    if (isDeepStrictEqual(now, told)) return;
    told = now;
    if (isDeepStrictEqual(now, served)) return;
    const todo = isStartedAgain ? 'it ends, to be started again' : 'start it again';
    log.warn(now, `the platform's port has other addresses than those that are served; ${todo}`);
    if (isStartedAgain) end();
  };
  const timer = setInterval(() => {
    // The daemon may be down for a moment, or have no such port between two configurations.
    look().catch((error: unknown) => log.debug({ err: error }, 'the port is not known now'));
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}
