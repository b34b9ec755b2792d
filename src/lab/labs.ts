/** Lists labs with their condition, and builds the command that enters their namespaces. */
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from './errors.ts';
import { namespaceDirectory, namespaceExists } from './namespaces.ts';
import { isRunning } from './processes.ts';
import { listStoredLabs, readBootId } from './state.ts';
import type { LabState, StoredLab } from './state.ts';

/**
 * The condition of a lab:
 * - `up`: it is made, and its daemon runs
 * - `making`: `up` is making it
 * - `daemon-gone`: it is made, but its daemon has ended: no packet passes
 * - `half-made`: `up` was killed before it was done
 * - `stale`: it is from an earlier boot, and only its files are left
 */
export type LabCondition = 'up' | 'making' | 'daemon-gone' | 'half-made' | 'stale';

export function conditionOf(state: LabState | undefined): LabCondition {
  if (state === undefined) return 'half-made';
  if (state.bootId !== readBootId()) return 'stale';
  if (state.phase === 'making') return isRunning(state.maker) ? 'making' : 'half-made';
  return state.daemon !== undefined && isRunning(state.daemon) ? 'up' : 'daemon-gone';
}

export interface EnterCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * Builds the command that runs `argv` inside a lab's namespace. Throws LabError if no lab has the namespace.
 * @param labName which lab, if several have a namespace of that name
 */
export function enterCommand(
  namespace: string,
  argv: readonly string[],
  labName: string | undefined,
): EnterCommand {
  const labs = listStoredLabs().filter(({ name }) => labName === undefined || name === labName);
  if (labName !== undefined && labs.length === 0) {
    throw new LabError(`there is no lab called ${labName}`, 'see: sgctl lab ls');
  }
  const having = labs.filter(({ state }) =>
    state?.namespaces.some(({ name, id }) => name === namespace && id !== undefined),
  );
  const [lab, second] = having;
  if (lab?.state === undefined) throw new LabError(...noSuchNamespace(namespace, labs));
  if (second !== undefined) {
    const names = having.map(({ name }) => name).join(', ');
    throw new LabError(
      `several labs have a namespace ${namespace}: ${names}`,
      `say which one: sgctl lab exec --lab ${lab.name} ${namespace} -- …`,
    );
  }
  const path = join(namespaceDirectory(lab.state.mode, lab.directory), namespace);
  const { holder } = lab.state.namespaces.find(({ name }) => name === namespace)!;
  const isThere = holder === undefined ? namespaceExists(path) : isRunning(holder);
  if (!isThere) {
    throw new LabError(
      `the namespace ${namespace} of the lab ${lab.name} is gone`,
      `clean up with: sgctl lab down ${lab.name}`,
    );
  }
  const user = holder === undefined ? [] : enterUser(holder.pid);
  return { command: 'nsenter', args: [...user, `--net=${path}`, '--', ...argv] };
}

/** A held namespace belongs to the user namespace that its lab was made in. From outside, enter that one first. */
function enterUser(pid: number): readonly string[] {
  const theirs = `/proc/${pid}/ns/user`;
  return readlinkSync(theirs) === readlinkSync('/proc/self/ns/user')
    ? []
    : [`--user=${theirs}`, '--preserve-credentials'];
}

function noSuchNamespace(namespace: string, labs: readonly StoredLab[]): [string, string] {
  const message = `no lab has a namespace called ${namespace}`;
  const known = labs.flatMap(({ state }) => state?.namespaces.map(({ name }) => name) ?? []);
  return known.length === 0
    ? [message, 'no lab is up; make one with: sgctl lab up FILE']
    : [message, `there are: ${known.join(', ')}`];
}
