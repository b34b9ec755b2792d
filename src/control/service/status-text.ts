/**
 * What `systemctl status` shows of the daemon in one line: what is in force, and what a reload was refused for.
 *
 * `systemctl reload` has no way to show what the program that reloads has printed: it says that the job failed, and names
 * `systemctl status`. So the service's own words stand there until a reload succeeds, whoever asked for it.
 */
import type { Daemon } from '../daemon.ts';
import type { ReloadResult } from '../socket/protocol.ts';
import { formatProblem, type Problem } from '../../source/problem.ts';

/** A line that people still read; the rest is in the journal. */
const LINE_MAX = 600;

/** Interfaces, groups, generation, and who waits for a device. */
export function describeDaemon(daemon: Pick<Daemon, 'status'>): string {
  const { interfaces, waiting, groups, generation } = daemon.status();
  const missing =
    waiting.length === 0
      ? ''
      : `; waiting for a device: ${waiting.map(({ name }) => name).join(' ')}`;
  return `packets flow: ${interfaces.length} interfaces, ${groups} groups, policy generation ${generation}${missing}`;
}

/** The same after a reload. Of one that was refused the first error is told first, with its place: that is what to mend. */
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
  const more = others.length === 1 ? '1 more error' : `${others.length} more errors`;
  return `${cut}; and ${more}, in the journal`;
}
