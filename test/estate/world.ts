/** An estate in memory for tests: a default VPC, and clients that share its store. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { randomId, type CallContext } from '../../src/estate/calls.ts';
import type { Edit } from '../../src/estate/edit.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { addDefaultGroup } from '../../src/estate/groups.ts';
import { aliveKey, appliedKey } from '../../src/estate/keys.ts';
import type { AliveState, AppliedState, EstateVpc } from '../../src/estate/model.ts';
import { encodeAlive, encodeApplied } from '../../src/estate/rows.ts';
import { QUOTA_DEFAULTS } from '../../src/policy/quotas.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import type { Store } from '../../src/store/store.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';

export const context: CallContext = {
  newId: randomId,
  quotas: QUOTA_DEFAULTS,
  accountId: '123456789012',
};

export const DEFAULT_VPC: EstateVpc = {
  id: ONLY_VPC_ID,
  blocks: [],
  isDefault: true,
  enableDnsHostnames: true,
  enableDnsSupport: true,
  enableNetworkAddressUsageMetrics: false,
  tags: [],
};

/** What a host says that lives. */
export const ALIVE: AliveState = {
  startId: 's-1',
  version: '1.2.3',
  since: '2026-11-30T12:00:00Z',
  holds: 'all',
};

/** Puts the rows of a host that lives and has something in force. */
export function putHost(edit: Edit, host: string, state: AppliedState): void {
  edit.put(aliveKey(host), encodeAlive(ALIVE));
  edit.put(appliedKey(host), encodeApplied(state));
}

/** The value of what must not be refused. */
export function take<T>(checked: Checked<T>): T {
  assert.ok(checked.ok, checked.ok ? '' : JSON.stringify(checked.refusals));
  return checked.value;
}

/** `CODE: sentence` of the first refusal. */
export function refusalOf(checked: Checked<unknown>): string {
  assert.ok(!checked.ok, 'it was not refused');
  const [{ code, message }] = checked.refusals;
  return `${code}: ${message}`;
}

/** Clients of one store, in memory unless `openStore` says otherwise; the first one has made the default VPC. */
export async function makeClients(
  t: TestContext,
  count = 1,
  openStore?: () => Promise<Store>,
): Promise<readonly EstateClient[]> {
  const memory = new Memory();
  const clients: EstateClient[] = [];
  for (let i = 0; i < count; i++) {
    const client = await EstateClient.open({
      store: (await openStore?.()) ?? new MemoryStore(memory),
      onTrouble: (message) => assert.fail(message),
    });
    t.after(() => client.close());
    clients.push(client);
  }
  await change(clients[0], (edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
  });
  const { revision } = clients[0].estate;
  for (const client of clients) assert.ok(await client.reach(revision, GUARD_MS));
  return clients;
}

/** Makes a change that must go through. */
export async function change<T>(
  client: EstateClient,
  work: (edit: Edit) => Checked<T>,
): Promise<T> {
  return take(await client.change(work)).value;
}
