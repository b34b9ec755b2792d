/**
 * What daemons of hosts that share a store ask for in the name of their instances (estate/door-calls.ts). The host is
 * the one that the key is named after, whatever the call says, so a host that is taken over changes what is its own. It
 * is answered as soon as the change is kept: the daemon waits itself until it is in force there.
 */
import {
  DOOR_CALL_NAMES,
  makeDoorCall,
  mayBeLost,
  readDoorCall,
  type DoorCall,
  type DoorCallName,
} from '../../estate/door-calls.ts';
import { RowError } from '../../estate/row-reader.ts';
import { refusalText } from '../../policy/refusals.ts';
import { ApiError, type Action, type Struct } from '../action.ts';
import { managedAction, type Managed } from '../managed.ts';

export function doorActions(managed: Managed): readonly Action[] {
  return DOOR_CALL_NAMES.map((name) =>
    managedAction<Struct>(
      managed,
      name,
      'host',
      async (there, params, { name: host }) => {
        const call = read(name, params);
        const done = await there.keep((edit) => makeDoorCall(edit, call, host, there.context), {
          mayBeLost: mayBeLost(name),
        });
        if (!done.ok) throw new ApiError(done.refusals[0].code, refusalText(done.refusals));
        const { value, revision, edit } = done.value;
        const hasChanged = edit !== undefined;
        return {
          output: {
            value: value ?? {},
            // Of what hosts are told: a host never hears of others.
            revision: hasChanged ? revision : there.estate.contentRevision,
            hasChanged,
          },
          ...(hasChanged ? { revision } : {}),
        };
      },
      'secgroupd',
    ),
  );
}

function read(name: DoorCallName, params: Struct): DoorCall {
  try {
    return readDoorCall(name, params);
  } catch (error) {
    if (error instanceof RowError) throw new ApiError('ValidationException', error.message);
    throw error;
  }
}
