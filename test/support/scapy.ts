/** Finds a Python with Scapy, for the tests that compare packets with it. */
import type { TestContext } from 'node:test';
import { run } from './process.ts';
import { findTool } from './require.ts';

/**
 * A Python that has Scapy: the distribution's package belongs to the distribution's Python, which may not be the
 * first one. Undefined if there is none, and then the test has been skipped.
 */
export async function requireScapy(t: TestContext): Promise<string | undefined> {
  for (const python of [findTool('python3'), '/usr/bin/python3']) {
    if (python === undefined) continue;
    const found = await run(python, ['-c', 'import scapy']).catch(() => undefined);
    if (found?.code === 0) return python;
  }
  t.skip('needs Scapy for Python (python3-scapy)');
  return undefined;
}
