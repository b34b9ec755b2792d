/** What only the fast path has: how soon the kernel has a flow, gives it back, and finds it among many. */
import { fileURLToPath } from 'node:url';
import { requireOffload } from '../../offload/kernel-rig.ts';
import type { Bench } from '../bench.ts';
import { measureInProcess } from '../decision/parent.ts';
import { requireNothingMissing } from '../needs.ts';
import { checkRival } from '../rivals/rival.ts';
import { startApiWorld } from './api-world.ts';
import { measureHandOver } from './hand-over.ts';
import { measureRevocation, useFirst } from './revocation.ts';
import { PLAIN, startWorld } from './world.ts';

const LOOK_UP = fileURLToPath(new URL('./look-up.js', import.meta.url));
const NAME = 'fast-path';

/** Whether the machine has a fast path; if not, a note says why this is left out. */
export function canOffload(bench: Bench, benchmark: string): boolean {
  try {
    requireOffload(bench.scope);
    return true;
  } catch (error) {
    const note = `${benchmark}: skipped, ${(error as Error).message}`;
    bench.say(note);
    bench.collector.note(note);
    return false;
  }
}

export const HAND_OVER = 'hand-over';
export const REVOCATION = 'revocation';
export const KERNEL_FLOWS = 'kernel-flows';

export async function measureHandOvers(bench: Bench, asked: number | undefined): Promise<void> {
  if (!(await prepare(bench, HAND_OVER))) return;
  const world = await startWorld(bench, PLAIN, { name: NAME });
  await checkRival(bench, world);
  for (let round = 0; round < (asked ?? bench.pick(5, 1)); round++)
    await measureHandOver(bench, world);
  await bench.end();
}

/** By a reload and by a call; by a reload without the fast path as well, for comparison. */
export async function measureRevocations(bench: Bench, asked: number | undefined): Promise<void> {
  if (!(await prepare(bench, REVOCATION))) return;
  const worlds = [
    await startWorld(bench, { ...PLAIN, isOffloaded: false }, { name: 'secgroupd' }),
    await startWorld(bench, PLAIN, { name: NAME }),
    await startApiWorld(bench, NAME),
  ];
  for (const world of worlds) {
    await checkRival(bench, world);
    await useFirst(bench, world);
  }
  for (let round = 0; round < (asked ?? bench.pick(7, 1)); round++)
    for (const world of worlds) await measureRevocation(bench, world);
  await bench.end();
}

export async function measureKernelFlows(bench: Bench, asked: number | undefined): Promise<void> {
  if (!canOffload(bench, KERNEL_FLOWS)) return;
  await measureInProcess(bench, KERNEL_FLOWS, LOOK_UP, asked ?? bench.pick(5, 2));
}

async function prepare(bench: Bench, benchmark: string): Promise<boolean> {
  requireNothingMissing(false);
  if (!canOffload(bench, benchmark)) return false;
  await bench.buildTools();
  bench.say(`setting up ${benchmark}`);
  return true;
}
