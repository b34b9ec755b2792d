/** This file opens the estate of a store that hosts share, for a command that is about several of them. */
import { EstateClient } from '../estate/estate-client.ts';
import { openStore } from '../store/open-store.ts';

/**
 * @param place as `parsePlace` takes it
 * @param say takes what is no failure: a connection that is lost, or a row that can't be read
 * @throws StoreError if it can't be read
 */
export async function openEstate(
  place: string,
  say: (message: string) => void,
): Promise<EstateClient> {
  const store = await openStore(place, say);
  try {
    return await EstateClient.open({ store, onTrouble: say });
  } catch (error) {
    await store.close();
    throw error;
  }
}
