/** One call of the CNI plugin but VERSION: from environment and input to a result, or to an error in CNI's form. */
import { ControlError } from '../../control-socket/control-client.ts';
import { parseJsonObject, readBounded, type JsonObject } from '../json-input.ts';
import { DoorError } from '../selection.ts';
import { readVerb, type Env } from './environment.ts';
import { CniError, CODES } from './failure.ts';
import { NEWEST, VERSIONS } from './versions.ts';
import { readNetworkConfig } from './network-config.ts';
import { add, check, collect, del, status } from './verbs.ts';

const TASKS = { ADD: add, DEL: del, CHECK: check, STATUS: status, GC: collect };

export interface CallResult {
  readonly code: 0 | 1;
  /** What is printed; undefined: nothing. */
  readonly answer: JsonObject | undefined;
}

/** Does what the environment says. Never rejects. */
export async function call(env: Env, stdin: AsyncIterable<unknown>): Promise<CallResult> {
  let input: Buffer = Buffer.alloc(0);
  try {
    const verb = readVerb(env);
    input = await readInput(stdin);
    return { code: 0, answer: await TASKS[verb](env, readNetworkConfig(input)) };
  } catch (error) {
    const { code, message } = toCniError(error);
    return {
      code: 1,
      answer: { cniVersion: askedVersion(input), code, msg: `secgroupd: ${message}` },
    };
  }
}

async function readInput(stdin: AsyncIterable<unknown>): Promise<Buffer> {
  try {
    return await readBounded(stdin);
  } catch (error) {
    throw new CniError(CODES.inputOutput, (error as Error).message);
  }
}

function toCniError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  if (error instanceof DoorError) return new CniError(CODES.badConfig, error.message);
  if (error instanceof ControlError)
    return new CniError(
      error.failure === 'refused' ? CODES.refused : CODES.tryAgain,
      error.message,
    );
  return new CniError(CODES.internal, error instanceof Error ? error.message : String(error));
}

/** Errors are in the version of the configuration too, as far as it could be read. */
function askedVersion(input: Buffer): string {
  try {
    const { cniVersion } = parseJsonObject(input);
    return VERSIONS.find((one) => one === cniVersion) ?? NEWEST;
  } catch {
    return NEWEST;
  }
}
