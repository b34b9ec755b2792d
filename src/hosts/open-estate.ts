/** This file opens the estate of a store that hosts share, for a command that is about several of them. */
import { EstateClient } from '../estate/estate-client.ts';
import { openStoreThere } from '../store/open-store.ts';

/** Takes what is no failure: a connection that is lost, or a row that can't be read. */
const say = (): void => undefined;

export type EstateWork<T> = (client: EstateClient) => Promise<T> | T;

/**
 * Does `work` with the estate of a store, and closes it.
 * @param place as `parsePlace` takes it
 * @throws StoreError if there is none, or it can't be read
 */
export async function withEstate<T>(place: string, work: EstateWork<T>): Promise<T> {
  const store = await openStoreThere(place, say, 'name another file');
  try {
    const client = await EstateClient.open({ store, onTrouble: say });
    try {
      return await work(client);
    } finally {
      await client.close();
    }
  } finally {
    await store.close();
  }
}
