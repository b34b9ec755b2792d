/** Starts the program secgroup-api with a key and a store, and says how AWS's tools reach it. */
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start, type Running } from './process.ts';
import { runSgctl } from './sgctl.ts';

export const API_PROGRAM = fileURLToPath(new URL('../../src/api/secgroup-api.js', import.meta.url));
/** Absent: the store of each folder is a file in it. Else the URL of a cluster of etcd (etcd-store.ts). */
export const STORE_VARIABLE = 'SECGROUPD_TEST_STORE';

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

/** Where the servers of a folder have their store: in the folder, or in etcd below the folder's name, which is unique. */
export function storeOf(folder: string): string {
  const cluster = process.env[STORE_VARIABLE];
  return cluster === undefined ? storeFileOf(folder) : `${cluster}/${basename(folder)}/`;
}

export function storeFileOf(folder: string): string {
  return join(folder, 'store', 'store.db');
}

/** For tests that spoil the file. */
export function requireFileStore(t: TestContext): boolean {
  if (process.env[STORE_VARIABLE] === undefined) return true;
  t.skip(`is about a store in a file, and ${STORE_VARIABLE} names another`);
  return false;
}

/**
 * Returns when it listens. Its keys (`keys.json`) are in the folder, and its store is the folder's; the key is alice's.
 * @param policy of the key; absent: what a key has that is made without one
 */
export async function startApiProgram(
  folder: string,
  { policy, more = [] }: { readonly policy?: 'write'; readonly more?: readonly string[] },
): Promise<ApiProgram> {
  const keys = join(folder, 'keys.json');
  const store = storeOf(folder);
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
  const [, url] = await server.waitFor(/"url":"(https?:\/\/127\.0\.0\.1:\d+)"/);
  return { server, url };
}

/** What it is started with: the keys and the store of the folder. */
export function apiArguments(folder: string, store = storeOf(folder)): readonly string[] {
  const keys = join(folder, 'keys.json');
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
