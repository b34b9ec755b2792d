/** The packet loop's thread: waits for its input from the control plane, runs the loop, says when it starts and stops. */
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { restorePolicy } from '../policy/compiled.ts';
import { loadNative } from '../ports/native.ts';
import { letCompilerInline } from './compiler.ts';
import { Loop } from './loop.ts';
import type { Command, LoopInput, Report } from './messages.ts';

if (parentPort === null) throw new Error('dataplane/worker.ts runs as a worker thread only');
const port = parentPort;

/** The loop never returns to the event loop, so messages are taken by hand. */
function takeCommand(): Command | undefined {
  const received = receiveMessageOnPort(port) as { message: Command } | undefined;
  const command = received?.message;
  // A structured clone keeps the arrays and strips the classes around them.
  return command?.kind === 'assign'
    ? { ...command, policy: restorePolicy(command.policy) }
    : command;
}

function report(message: Report): void {
  port.postMessage(message);
}

/** Until the loop is told to stop: what is sent after its input is for takeCommand. */
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
  report({ kind: 'stopped' });
}

port.once('message', run);
