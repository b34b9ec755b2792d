/**
 * Calls `stop` at the first SIGTERM or SIGINT; `stop` ends the process.
 *
 * Further ones change nothing. Who ends a service or a lab may send several, one to the process and one to all of its
 * group. Were the signal left to itself after the first, the second would kill a process that still writes what it has.
 * SIGKILL ends it at once.
 */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      stop(signal);
    });
}
