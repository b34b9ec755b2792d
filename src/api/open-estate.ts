/** This file opens the store for the API, with what every account has from the start. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { DEFAULT_ACCOUNT_ID } from '../cloudformation/account.ts';
import { randomId, type CallContext } from '../estate/calls.ts';
import { EstateClient } from '../estate/estate-client.ts';
import { ensureDefaultVpc } from '../estate/vpcs.ts';
import { QUOTA_DEFAULTS } from '../policy/quotas.ts';
import { openStore } from '../store/open-store.ts';
import { removeOldPreviews } from '../estate/previews.ts';
import { Managed, type Wait } from './managed.ts';
import { PREVIEW_TIMEOUT_MS, Previews } from './previews.ts';
import { zonesOf } from './zones.ts';

export interface EstateOptions {
  readonly store: string;
  readonly region: string;
  readonly wait: Wait;
  /** In seconds. */
  readonly waitLimit: number;
  readonly log: Logger;
}

/** After that no server waits for an answer of a host. */
const OLD_PREVIEW_MS = 2 * PREVIEW_TIMEOUT_MS;

export interface OpenedEstate {
  readonly managed: Managed;
  readonly close: () => Promise<void>;
}

/** @throws StoreError */
export async function openEstate({
  store: place,
  region,
  wait,
  waitLimit,
  log,
}: EstateOptions): Promise<OpenedEstate> {
  const client = await EstateClient.open({
    store: await openStore(place, (message) => log.warn(message)),
    onTrouble: (message) => log.error({ message }, 'the store'),
  });
  const context: CallContext = {
    newId: randomId,
    quotas: QUOTA_DEFAULTS,
    accountId: DEFAULT_ACCOUNT_ID,
  };
  const zones = zonesOf(region).map(({ name }) => name);
  await client.change((edit) => ({ ok: true, value: ensureDefaultVpc(edit, zones, context) }));
  const ending = new AbortController();
  const unheard = sleep(OLD_PREVIEW_MS, undefined, { signal: ending.signal, ref: false });
  removeOldPreviews(client, unheard).catch((error: unknown) => {
    if (!ending.signal.aborted) log.warn({ err: error }, 'old questions of dry runs are left');
  });
  const managed = new Managed({
    client,
    previews: new Previews({ client, newId: randomId, timeoutMs: PREVIEW_TIMEOUT_MS }),
    context,
    region,
    wait,
    enforceTimeoutMs: waitLimit * 1000,
  });
  const close = (): Promise<void> => {
    ending.abort();
    return client.close();
  };
  return { managed, close };
}
