/** Which store a command is about that opens it itself: one that is named, or that of the daemon here. */
import { Option, type Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import { LabError } from '../lab/errors.ts';
import type { EstateWork } from '../hosts/open-estate.ts';
import { parseStorePlace } from '../service/store-option.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';

export interface StoreOptions extends SocketOptions {
  readonly store?: string;
}

export function addStoreOptions(command: Command): Command {
  return addSocketOptions(
    command.addOption(
      new Option('--store <place>', 'the store (default: that of the daemon here)')
        .argParser(parseStorePlace)
        .conflicts(['socket', 'lab']),
    ),
  );
}

/**
 * Does `work` with the estate of the store that is meant.
 * @throws LabError, StoreError; Error if the daemon does not answer
 */
export async function inStore<T>(options: StoreOptions, work: EstateWork<T>): Promise<T> {
  const place = await findStore(options);
  // Most commands of sgctl open no store.
  const { withEstate } = await import('../hosts/open-estate.ts');
  return withEstate(place, work);
}

/** The place of the store that is meant. @throws LabError if the daemon has none; Error if it does not answer */
async function findStore(options: StoreOptions): Promise<string> {
  if (options.store !== undefined) return options.store;
  const { store } = await ask(findSocket(options), 'status', {});
  if (store !== undefined) return store.file;
  throw new LabError('the daemon here has no store', 'name one with --store');
}
