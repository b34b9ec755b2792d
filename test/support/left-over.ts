/**
 * Removes what a killed run of the tests left behind. A namespace and a lab outlive their maker, and a process that
 * SIGKILL ended cleans up nothing. Names show whose they are (`uniqueName`). So a new run removes what belongs to a
 * process that is gone.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { labRoots } from '../../src/lab/state.ts';
import { ownerOf, removeNamespaceNow } from './netns.ts';
import { mustRun } from './process.ts';
import { SGCTL } from './sgctl.ts';

const NAMESPACES = '/run/netns';

/** Removes labs and namespaces whose test is gone. @returns their names */
export async function removeLeftOver(): Promise<string[]> {
  const labs = labRoots().flatMap(abandonedIn);
  // A lab's own namespaces go with it, and so do its processes.
  for (const name of labs) await mustRun(process.execPath, [SGCTL, 'lab', 'down', name]);
  const namespaces = abandonedIn(NAMESPACES);
  for (const name of namespaces) removeNamespaceNow(name);
  return [...labs, ...namespaces];
}

/** Names in a folder that a test gave whose process is no more. */
function abandonedIn(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return names.filter((name) => {
    const pid = ownerOf(name);
    return pid !== undefined && !isRunning(pid);
  });
}

/** Whether there is such a process, other than one that has ended and waits for its parent to notice. */
export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
