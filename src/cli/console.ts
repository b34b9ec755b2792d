/** `sgctl console`: one page in a browser about a running daemon, or about an input in files. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { addAddressOption } from './address-option.ts';
import type { ConsoleOptions } from './console-options.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { EXIT_FAILED } from './output.ts';
import { addSocketOptions } from './socket.ts';
import { addTemplateOptions } from './template-options.ts';

export const CONSOLE_PORT = 7480;
const PORT_MAX = 65_535;

export function addConsoleCommand(program: Command): void {
  const command = program
    .command('console')
    .summary('a page in a browser: map, questions, live traffic, drafts')
    .description(
      'Serves a page on loopback, about the running daemon or an input in files: who can reach whom, and by which rules; why a packet passes or not; what flows and what is dropped, live; and what other rules of a group would change, before anything is changed. Prints the address, which has a token in it; whoever has the token may ask what you may. Goes on until Ctrl-C, and changes nothing.',
    )
    .argument('[input]', `${INPUT_ARGUMENT}; left out for the running daemon`)
    .addOption(
      new Option('--port <number>', 'the port on 127.0.0.1; 0: any')
        .default(CONSOLE_PORT)
        .argParser(parsePort),
    )
    .option('--json', 'print the address as JSON, with its port and token')
    .addHelpText(
      'after',
      `
The daemon is asked by its control socket, as by all other commands: the console
has the rights of who started it, and no others.

${exitCodeHelp('sgctl console')}

Examples:
  sgctl console
  sgctl console --lab demo --port 0
  sgctl console config/demo.yaml
  sgctl console plan.json
  ssh -L 7480:127.0.0.1:7480 host sgctl console`,
    );
  addAddressOption(addTemplateOptions(addSocketOptions(command))).action(
    async (input: string | undefined, options: ConsoleOptions, own: Command) => {
      if (input !== undefined && (options.socket ?? options.lab) !== undefined)
        own.error('error: an input in files has no daemon: leave out --socket and --lab');
      const { runConsole } = await import('./run-console.ts');
      if (!(await runConsole(input, options, own))) process.exitCode = EXIT_FAILED;
    },
  );
}

function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= PORT_MAX) return Number(text);
  throw new InvalidArgumentError(`It goes from 0 to ${PORT_MAX}.`);
}
