/** What the tests against the kernel need: the machine, and two routers in namespaces. */
import type { TestContext } from 'node:test';
import { requireRoot, requireTools, requireTun } from '../support/netns.ts';
import { Oracle } from './compare.ts';
import { KernelRouter } from './kernel-router.ts';

/** Whether there can be an oracle; if not, the test is skipped and says why. */
export function requireOracle(t: TestContext): boolean {
  return requireRoot(t) && requireTun(t) && requireTools(t, 'ip', 'nft');
}

/** Goes with the test. */
export async function makeOracle(t: TestContext): Promise<Oracle> {
  const strict = await KernelRouter.make(t, { midstream: false });
  return new Oracle(strict, await KernelRouter.make(t, { midstream: true }));
}
