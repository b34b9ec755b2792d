/** This timer runs all once-a-second tasks at one wake-up: each wake-up costs an idle machine more than the task. */

const INTERVAL_MS = 1000;

const tasks = new Set<() => void>();
let timer: NodeJS.Timeout | undefined;

/** Runs `task` once a second, for the first time within a second. @returns a function that stops it */
export function everySecond(task: () => void): () => void {
  tasks.add(task);
  timer ??= setInterval(() => {
    for (const each of tasks) each();
  }, INTERVAL_MS).unref();
  return () => {
    tasks.delete(task);
    if (tasks.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
