/** Which running daemon a command is about: the service, or one of the labs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { DEFAULT_SOCKET } from '../control-socket/control-client.ts';
import { LabError } from '../lab/errors.ts';
import { CONTROL_SOCKET, listStoredLabs } from '../lab/state.ts';

export interface SocketOptions {
  readonly socket?: string;
  readonly lab?: string;
}

export function addSocketOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--socket <path>',
        `control socket (default: ${DEFAULT_SOCKET}, else the only lab)`,
      ).argParser(parsePath),
    )
    .addOption(new Option('--lab <name>', 'the daemon of that lab').conflicts('socket'));
}

/**
 * The socket that is meant. Without an option: the service's if it is there, else that of the only lab.
 * @throws LabError if there is no such lab, or more than one to choose from
 */
export function findSocket({ socket, lab }: SocketOptions): string {
  if (socket !== undefined) return socket;
  const labs = listStoredLabs();
  if (lab !== undefined) {
    const found = labs.find(({ name }) => name === lab);
    if (found === undefined)
      throw new LabError(`there is no lab '${lab}'`, 'sgctl lab ls shows which there are');
    return join(found.directory, CONTROL_SOCKET);
  }
  if (existsSync(DEFAULT_SOCKET) || labs.length === 0) return DEFAULT_SOCKET;
  if (labs.length > 1) {
    const names = labs.map(({ name }) => name).join(', ');
    throw new LabError(
      `the service does not run, and there is more than one lab: ${names}`,
      'say which with --lab NAME',
    );
  }
  return join(labs[0].directory, CONTROL_SOCKET);
}

function parsePath(text: string): string {
  if (text === '') throw new InvalidArgumentError('it is empty');
  return text;
}
