/**
 * The thread of a packet loop: it waits for its input from the control plane, runs the loop, and reports start and
 * stop.
 */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { restorePolicy } from '../policy/compiled.ts';
import { loadNative } from '../ports/native.ts';
import { letCompilerInline } from './compiler.ts';
import { Loop } from './loop.ts';
import type { Command, LoopInput, Report } from './messages.ts';

if (parentPort === null) throw new Error('dataplane/worker.ts runs as a worker thread only');
const port = parentPort;

/** Takes a message by hand, since the loop never returns to the event loop. */
function takeCommand(): Command | undefined {
  const received: { message: Command } | undefined = receiveMessageOnPort(port);
  const command = received?.message;
  // A structured clone keeps the arrays, but loses the classes around them.
  return command?.kind === 'assign'
    ? { ...command, policy: restorePolicy(command.policy) }
    : command;
}

function report(message: Report): void {
  port.postMessage(message);
}

/** Runs the loop until it is told to stop. takeCommand gets all messages after the input. */
function run(input: LoopInput): void {
  letCompilerInline();
  const loop = new Loop(
    loadNative(),
    { ...input, policy: restorePolicy(input.policy) },
    takeCommand,
    report,
  );
  report({ kind: 'running', adopted: loop.adopted });
  loop.run();
}

port.once('message', run);
