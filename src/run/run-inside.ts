/**
 * This program makes the network of `sgctl run` and runs the command in it. It is root in a user namespace of its own,
 * and second in a process namespace (start.ts); when it ends, everything in there ends.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, follow } from '../control-socket/control-client.ts';
import { readLogTail } from '../lab/daemon.ts';
import { LabError, LabInterrupted, messageOf } from '../lab/errors.ts';
import { exitCodeOf } from '../lab/exit-code.ts';
import { CHATTER, REASON_NAMES } from '../queries/verdict-view.ts';
import { startCommand } from './command.ts';
import { countDrops, DropTally } from './drop-tally.ts';
import { EXIT_NO_NETWORK, type RunMessage, type RunStart } from './messages.ts';
import { makeNetwork, type RunNetwork } from './network.ts';
import { say } from './say.ts';

/** Long enough for records of the last packets on a busy machine; usually they are there at once. */
const LAST_RECORDS_MS = 2000;
const LOOK_MS = 20;
const REASONS = REASON_NAMES.filter((name) => name !== CHATTER);
/** The terminal sends these to everybody in its foreground; the caller passes the others on. */
const FOR_THE_COMMAND: readonly NodeJS.Signals[] = [
  'SIGINT',
  'SIGQUIT',
  'SIGWINCH',
  'SIGTERM',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
];

/** What came for the command before it was there. */
let early: NodeJS.Signals | undefined;
let command: ChildProcess | undefined;
const interrupt = new AbortController();

FOR_THE_COMMAND.forEach((name) => process.on(name, () => undefined));
// Whoever started us is gone.
process.on('disconnect', () => process.exit(EXIT_NO_NETWORK));
process.on('message', (message: RunMessage) => {
  if (message.kind === 'start') void run(message.start);
  else if (command !== undefined) command.kill(message.signal);
  else {
    early = message.signal;
    interrupt.abort();
  }
});

async function run(start: RunStart): Promise<void> {
  process.exit(await runCommand(start));
}

/** @returns the exit code */
async function runCommand(start: RunStart): Promise<number> {
  const tally = new DropTally(start.plan.groups);
  try {
    const network = await makeNetwork(start.plan, start.uid, interrupt.signal);
    await followDrops(network, tally);
    if (interrupt.signal.aborted) throw new LabInterrupted();
    command = await startCommand(start, network);
    if (early !== undefined) command.kill(early);
    const code = await waitFor(command);
    if (start.tellsDrops) await tellDrops(network, tally);
    return code;
  } catch (thrown) {
    if (early !== undefined) return exitCodeOf(null, early);
    say(messageOf(thrown));
    return EXIT_NO_NETWORK;
  }
}

function waitFor(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', ({ message }) => reject(new LabError(`cannot run the command: ${message}`)));
    child.on('exit', (code, signal) => resolve(exitCodeOf(code, signal)));
  });
}

/** Returns when nothing is overlooked any more. Says so if the daemon ends later. */
function followDrops({ controlSocket, daemonLog }: RunNetwork, tally: DropTally): Promise<void> {
  return new Promise((resolve, reject) => {
    let hasBegun = false;
    follow(
      controlSocket,
      'trace',
      { verdict: 'dropped', reasons: REASONS },
      {
        signal: new AbortController().signal,
        begin: () => {
          hasBegun = true;
          resolve();
        },
        take: ({ verdicts }) => verdicts.forEach((view) => tally.take(view)),
      },
    ).catch((thrown: unknown) => {
      if (!hasBegun) return reject(new LabError(messageOf(thrown)));
      const log = readLogTail(daemonLog);
      say(`the daemon has ended: the command has no network any more. It said:\n${log}`);
    });
  });
}

/** Says on standard error what was dropped. Silent if nothing was, or if the daemon is gone, which has been told. */
async function tellDrops({ controlSocket }: RunNetwork, tally: DropTally): Promise<void> {
  try {
    const deadlineMs = performance.now() + LAST_RECORDS_MS;
    let { drops } = await ask(controlSocket, 'drops', { reasons: REASONS });
    while (tally.packets < countDrops(drops) && performance.now() < deadlineMs) {
      await sleep(LOOK_MS);
      ({ drops } = await ask(controlSocket, 'drops', { reasons: REASONS }));
    }
    tally.summary(drops).forEach(say);
  } catch {
    // Nothing can be said of a daemon that has ended.
  }
}
