/**
 * This file makes the changes of the estate that a host's instances need (estate/door-calls.ts): in the host's own
 * store, or by a server of the API where hosts share a store.
 */
import { randomId, type CallContext } from '../estate/calls.ts';
import {
  makeDoorCall,
  mayBeLost,
  type DoorCall,
  type DoorCallName,
  type DoorCalls,
} from '../estate/door-calls.ts';
import type { EstateClient } from '../estate/estate-client.ts';
import { QUOTA_DEFAULTS } from '../policy/quotas.ts';
import { refusalText } from '../policy/refusals.ts';
import { RequestError } from '../queries/traffic-filter.ts';

/** A call that was answered. */
export interface DoorChange<Name extends DoorCallName = DoorCallName> {
  readonly value: DoorCalls[Name]['result'];
  /** In which all that hosts enforce of the answer is there. */
  readonly revision: number;
  readonly hasChanged: boolean;
}

export interface DoorChanges {
  /** @throws RequestError why it can't be made; what has become of it is in the message where nobody knows */
  make<Name extends DoorCallName>(call: DoorCall<Name>): Promise<DoorChange<Name>>;
}

/** A daemon has no account; sentences of AWS that name one have this. */
const NO_ACCOUNT = '000000000000';
const CONTEXT: CallContext = {
  newId: randomId,
  quotas: QUOTA_DEFAULTS,
  accountId: NO_ACCOUNT,
};

/** Changes of a host whose store is its own. */
export class OwnDoorChanges implements DoorChanges {
  private readonly client: EstateClient;
  private readonly host: string;

  constructor(client: EstateClient, host: string) {
    this.client = client;
    this.host = host;
  }

  async make<Name extends DoorCallName>(call: DoorCall<Name>): Promise<DoorChange<Name>> {
    const done = await this.client.change((edit) => makeDoorCall(edit, call, this.host, CONTEXT), {
      mayBeLost: mayBeLost(call.name),
    });
    if (!done.ok) throw new RequestError(refusalText(done.refusals));
    const { value, revision, edit } = done.value;
    return {
      value: value as DoorCalls[Name]['result'],
      revision: edit === undefined ? this.client.estate.contentRevision : revision,
      hasChanged: edit !== undefined,
    };
  }
}
