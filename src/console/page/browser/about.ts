/** This file keeps what the console looks at: whether that is a daemon, and what may be done with it. */
import type { About } from '../../contract.ts';
import { ask, asAskError, type AskError } from './api.ts';
import { link, source } from './live.ts';
import { token } from './session.ts';
import { Store } from './store.ts';

export const about = new Store<About | undefined>(undefined);
/** Why it is not known. */
export const aboutFailure = new Store<AskError | undefined>(undefined);

/** Asks now, and again when the daemon or the console comes back: it may be another version. */
export function openAbout(): void {
  token.listen(askAbout);
  source.listen(askAbout);
  link.listen(() => {
    if (link.get().state === 'open') askAbout();
  });
  askAbout();
}

/** Asks again. */
export function askAbout(): void {
  if (token.get() === '') return;
  ask<About>('about').then(
    (answer) => {
      about.set(answer);
      aboutFailure.set(undefined);
    },
    (error: unknown) => {
      aboutFailure.set(asAskError(error));
    },
  );
}
