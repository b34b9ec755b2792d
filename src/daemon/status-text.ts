/**
 * This file makes the one line that `systemctl status` shows of the daemon: what is in force, and why a reload was
 * refused.
 *
 * `systemctl reload` can't show what the reloading program has printed. It only says that the job failed, and names
 * `systemctl status`. So the reason stands there until a reload succeeds, whoever asked for it.
 */
import type { Daemon } from './daemon.ts';
import type { ReloadResult } from '../queries/reload-result.ts';
import { formatProblem, type Problem } from '../source/problem.ts';
import { count } from '../source/count.ts';

/** People still read a line of this length. The rest is in the journal. */
const LINE_MAX = 600;

/** Describes interfaces, groups, generation, and interfaces that wait for a device. */
export function describeDaemon(daemon: Pick<Daemon, 'status'>): string {
  const { interfaces, waiting, groups, generation } = daemon.status();
  const missing =
    waiting.length === 0
      ? ''
      : `; waiting for a device: ${waiting.map(({ name }) => name).join(' ')}`;
  return `packets flow: ${count(interfaces.length, 'interface')}, ${count(groups, 'group')}, policy generation ${generation}${missing}`;
}

/** The same after a reload. If it was refused, the line begins with the first error and its place. */
export function describeReload(daemon: Pick<Daemon, 'status'>, result: ReloadResult): string {
  const inForce = describeDaemon(daemon);
  if (result.outcome !== 'refused') return inForce;
  const errors = result.problems.filter(({ severity }) => severity === 'error');
  return `reload refused, nothing changed: ${errorText(errors)}; ${inForce}`;
}

function errorText([first, ...others]: readonly Problem[]): string {
  if (first === undefined) return 'see the log';
  const text = formatProblem(first).replace(/\s*\n\s*/g, '; ');
  const cut = text.length > LINE_MAX ? `${text.slice(0, LINE_MAX)}…` : text;
  if (others.length === 0) return cut;
  return `${cut}; and ${count(others.length, 'more error')}, in the journal`;
}
