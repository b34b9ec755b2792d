/** Starts the program secgroup-api with a key and a store, and says how AWS's tools reach it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start, type Running } from './process.ts';
import { runSgctl } from './sgctl.ts';

export const API_PROGRAM = fileURLToPath(new URL('../../src/api/secgroup-api.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;

export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface ApiProgram {
  readonly server: Running;
  readonly url: string;
  readonly key: Key;
  readonly store: string;
}

/**
 * Returns when it listens. Its keys (`keys.json`) and its store are in the folder; the key is alice's.
 * @param policy of the key; absent: what a key has that is made without one
 */
export async function startApiProgram(
  folder: string,
  { policy, more = [] }: { readonly policy?: 'write'; readonly more?: readonly string[] },
): Promise<ApiProgram> {
  const keys = join(folder, 'keys.json');
  const store = join(folder, 'store', 'store.db');
  const right = policy === undefined ? [] : ['--policy', policy];
  const made = runSgctl(['api', 'key', 'create', 'alice', ...right, '--keys', keys, '--json'], {});
  assert.equal(made.code, 0, made.stderr);
  const key = JSON.parse(made.stdout) as Key;
  return { ...(await startApiServer(folder, more)), key, store };
}

/** Another one with the same keys and the same store, beside the first or in its place. */
export async function startApiServer(
  folder: string,
  more: readonly string[] = [],
): Promise<Pick<ApiProgram, 'server' | 'url'>> {
  const server = await start(process.execPath, [API_PROGRAM, ...apiArguments(folder), ...more]);
  const [, url] = await server.waitFor(/"url":"(http:\/\/127\.0\.0\.1:\d+)"/, START_TIMEOUT_MS);
  return { server, url };
}

/** What it is started with: the keys and the store of the folder. */
export function apiArguments(folder: string): readonly string[] {
  const [keys, store] = [join(folder, 'keys.json'), join(folder, 'store', 'store.db')];
  return ['--listen', '127.0.0.1:0', '--keys', keys, '--store', store];
}

/** The environment of a client that asks once. */
export function clientEnvironment(
  home: string,
  region: string,
  { url, key }: Pick<ApiProgram, 'url' | 'key'>,
): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: home,
    AWS_ACCESS_KEY_ID: key.accessKeyId,
    AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
    AWS_DEFAULT_REGION: region,
    AWS_ENDPOINT_URL: url,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_MAX_ATTEMPTS: '1',
    AWS_PAGER: '',
  };
}
