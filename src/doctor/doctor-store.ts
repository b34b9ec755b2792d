/** This check of `secgroupd doctor` says whether the service that runs knows what is new in its store. */
import { ask, ControlError, DEFAULT_SOCKET } from '../control-socket/control-client.ts';
import type { Methods } from '../control-socket/protocol.ts';
import { printable } from '../source/excerpt.ts';
import type { Check } from './doctor-check.ts';

const ANSWER_MS = 5000;
const NAME = 'store';

/** @returns no check where no service runs, or it has no store */
export async function checkStore(socket = DEFAULT_SOCKET): Promise<readonly Check[]> {
  try {
    return storeCheck(await ask(socket, 'status', {}, ANSWER_MS));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    // Who may not ask, or where nobody listens, learns of it by the check of doors.
    return [];
  }
}

type Status = Pick<Methods['status']['result'], 'store'>;

export function storeCheck({ store }: Status): readonly Check[] {
  if (store === undefined) return [];
  const { file, host, revision, refused, awaySec, areGroupsStale, fenced, notInForce } = store;
  const [first] = notInForce;
  if (fenced !== undefined)
    return warn(
      `${host} is fenced: ${fenced}`,
      'packets of interfaces that the store gave it are dropped; those of its file go on',
      "see why in the daemon's log, and whether the members of the store run: etcdctl endpoint health",
    );
  if (awaySec !== undefined)
    return warn(
      `${file} has not been reached for ${awaySec} s`,
      areGroupsStale === true
        ? 'rules that name groups admit nothing new (--stale deny-new-after)'
        : `revision ${revision} stays in force; what was changed since is not known here`,
      "see why in the daemon's log, and whether its members run: etcdctl endpoint health",
    );
  if (refused !== undefined)
    return warn(
      `revision ${refused.revision} was refused: ${refused.message}`,
      `revision ${revision} stays in force`,
      'change what is named, or make room for it',
    );
  if (first !== undefined)
    return warn(
      `${notInForce.length} not in force; ${first.id}: ${first.reason}`,
      'they are closed',
      'sgctl status names all of them',
    );
  const found = printable(`revision ${revision} of ${file} is in force on ${host}`);
  return [{ name: NAME, status: 'ok', found }];
}

function warn(found: string, means: string, mend: string): readonly Check[] {
  return [{ name: NAME, status: 'warn', found: printable(found), means, mend }];
}
