/** Runs tests of devices a second time, with the kernel's fast path. */
import { test } from 'node:test';
import { requireOffload } from '../offload/kernel-rig.ts';

let isOn = false;

/** The key of a configuration that asks for the fast path, where it is to be tested; else nothing. */
export function offloadKey(): string {
  return isOn ? 'offload: on' : '';
}

/** Runs the tests of a file with the fast path, or skips them with the reason. */
export async function withOffload(load: () => Promise<unknown>): Promise<void> {
  let isThere = false;
  await test('there is a fast path', (t) => {
    isThere = requireOffload(t) !== undefined;
  });
  if (!isThere) return;
  isOn = true;
  await load();
}
