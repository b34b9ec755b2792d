/** Calls actions without a wire, on an estate in memory. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Action, Caller, Struct } from '../../src/api/action.ts';
import { Managed } from '../../src/api/managed.ts';
import { Previews } from '../../src/api/previews.ts';
import { randomId } from '../../src/estate/calls.ts';
import { makeClients, context } from '../estate/world.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';

const CALLER: Caller = {
  accessKeyId: 'AKIATEST',
  name: 'alice',
  accountId: context.accountId,
  policy: 'write',
  arn: 'arn:aws:iam::123456789012:user/alice',
  host: 'localhost:8773',
};

export interface Actions {
  readonly client: EstateClient;
  /** @throws ApiError as the client would be told */
  readonly call: (name: string, params: Struct) => Promise<Record<string, unknown>>;
}

/** An estate in memory, as actions see it. */
export async function makeManaged(
  t: TestContext,
): Promise<{ readonly client: EstateClient; readonly managed: Managed }> {
  const [client] = await makeClients(t);
  const managed = new Managed({
    client,
    previews: new Previews({ client, newId: randomId, timeoutMs: 1000 }),
    context,
    region: 'us-east-1',
    wait: 'all',
    enforceTimeoutMs: 1000,
  });
  return { client, managed };
}

/** @param make the actions that are tried */
export async function makeActions(
  t: TestContext,
  make: (managed: Managed) => readonly Action[],
): Promise<Actions> {
  const { client, managed } = await makeManaged(t);
  const actions = make(managed);
  return {
    client,
    call: async (name, params) => {
      const action = actions.find((one) => one.name === name);
      assert.ok(action, `there is no ${name}`);
      const { output } = await action.run(params, CALLER);
      return output as Record<string, unknown>;
    },
  };
}
