/** This file opens the estate of a store that hosts share, for a command that is about several of them. */
import { existsSync } from 'node:fs';
import { EstateClient } from '../estate/estate-client.ts';
import { openStore } from '../store/open-store.ts';
import { parsePlace } from '../store/place.ts';
import { StoreError } from '../store/store.ts';

/**
 * @param place as `parsePlace` takes it
 * @param say takes what is no failure: a connection that is lost, or a row that can't be read
 * @throws StoreError if there is none, or it can't be read
 */
export async function openEstate(
  place: string,
  say: (message: string) => void,
): Promise<EstateClient> {
  const parsed = parsePlace(place);
  // To open a file that is not there makes it, and its name was a slip here.
  if (parsed.kind === 'file' && !existsSync(parsed.path))
    throw new StoreError('absent', `the store ${parsed.path}: there is none; name another file`);
  const store = await openStore(place, say);
  try {
    return await EstateClient.open({ store, onTrouble: say });
  } catch (error) {
    await store.close();
    throw error;
  }
}
