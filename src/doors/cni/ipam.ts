/** Calls the plugin that gives out addresses, with the same input and environment, as the CNI specification says. */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { parseJsonObject, readBounded, type JsonObject } from '../json-input.ts';
import { DoorError } from '../selection.ts';
import { readPath, type Env, type Verb } from './environment.ts';
import { CniError, CODES } from './failure.ts';
import { badConfig, type NetworkConfig } from './network-config.ts';

/** A DHCP server may take its time. */
const TIMEOUT_MS = 60_000;

/**
 * @returns its result, empty where the verb has none
 * @throws CniError with its code and words, if it fails
 */
export async function callIpam(
  verb: Verb,
  { ipamType = '', bytes }: NetworkConfig,
  env: Env,
): Promise<JsonObject> {
  const program = findPlugin(ipamType, readPath(env));
  const { code, stdout } = await execute(program, bytes, { ...env, CNI_COMMAND: verb });
  const text = stdout.toString('utf8').trim();
  if (code === 0) return text === '' ? {} : parse(ipamType, stdout);
  const failure = parse(ipamType, stdout);
  const { code: theirs, msg, details } = failure;
  const words = [msg, details].filter((one) => typeof one === 'string' && one !== '').join(': ');
  throw new CniError(
    typeof theirs === 'number' ? theirs : CODES.inputOutput,
    `${ipamType}: ${words}`,
  );
}

function parse(type: string, stdout: Buffer): JsonObject {
  try {
    return parseJsonObject(stdout);
  } catch (error) {
    if (!(error instanceof DoorError)) throw error;
    throw new CniError(CODES.inputOutput, `${type} failed, and printed no JSON`);
  }
}

function findPlugin(type: string, folders: readonly string[]): string {
  if (!/^[\w.-]+$/.test(type) || type.startsWith('.'))
    throw badConfig('ipam.type is the name of a program');
  const found = folders.map((folder) => join(folder, type)).find(isExecutable);
  if (found !== undefined) return found;
  throw badConfig(`ipam.type ${type} is not in CNI_PATH (${folders.join(':')})`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function execute(
  program: string,
  input: Buffer,
  env: Env,
): Promise<{ readonly code: number | null; readonly stdout: Buffer }> {
  const child = spawn(program, [], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: TIMEOUT_MS,
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) =>
      reject(new CniError(CODES.inputOutput, `${program} can't be started: ${error.message}`)),
    );
    child.once('close', resolve);
  });
  // It may end without reading.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code, stdout] = await Promise.all([ended, readBounded(child.stdout)]);
  return { code, stdout };
}
