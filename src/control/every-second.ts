/** What is done once a second: all of it at one wake-up, since each costs an idle machine more than the work does. */

const INTERVAL_MS = 1000;

const works = new Set<() => void>();
let timer: NodeJS.Timeout | undefined;

/** Does `work` once a second, the first time within one. @returns what ends it */
export function everySecond(work: () => void): () => void {
  works.add(work);
  timer ??= setInterval(() => {
    for (const each of works) each();
  }, INTERVAL_MS).unref();
  return () => {
    works.delete(work);
    if (works.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}
