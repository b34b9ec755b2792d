/** `sgctl lab exec NAMESPACE -- CMD`: a program inside a lab's namespace, as if it had been started directly. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import { LabError } from '../lab/errors.ts';
import { enterCommand } from '../lab/labs.ts';
import type { EnterCommand } from '../lab/labs.ts';
import { EXIT_SIGNAL_BASE } from './output.ts';
import { exitCodeHelp } from './exit-codes.ts';

const FORWARDED: readonly NodeJS.Signals[] = [
  'SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH',
]; // prettier-ignore
/** The kernel sends these to everything in the terminal's foreground, so the program has them already. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGWINCH']);

export function addLabExecCommand(lab: Command): void {
  lab
    .command('exec')
    .summary("run a program in a lab's namespace")
    .description(
      'Runs a program inside a namespace of a lab, with this terminal, and exits as it does.',
    )
    .argument('<namespace>', 'as the configuration names it')
    .argument('<command...>', 'the program and its arguments, after --')
    .option('--lab <name>', 'which lab, where several have a namespace of that name')
    .passThroughOptions()
    .usage('[--lab <name>] <namespace> -- <command> [args...]')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl lab exec')}

Examples:
  sgctl lab exec sgd-web -- curl -m 2 http://10.0.0.12:8080/
  sgctl lab exec sgd-db -- sh`,
    )
    .action(
      async (namespace: string, argv: string[], options: { lab?: string }, command: Command) => {
        // Passing options through passes the separator through as well.
        const program = argv[0] === '--' ? argv.slice(1) : argv;
        if (program.length === 0) command.error("error: missing required argument 'command'");
        process.exitCode = await runInside(enterCommand(namespace, program, options.lab));
      },
    );
}

function runInside({ command, args }: EnterCommand): Promise<number> {
  return new Promise((resolve, reject) => {
    const hasTerminal = [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY);
    const forward = (signal: NodeJS.Signals): void => {
      if (!hasTerminal || !FROM_TERMINAL.has(signal)) child.kill(signal);
    };
    // Before the program starts: a signal in between would end only this process.
    FORWARDED.forEach((signal) => process.on(signal, forward));
    const child = spawn(command, args, { stdio: 'inherit' });
    child.on('error', (error) => reject(new LabError(`cannot run ${command}: ${error.message}`)));
    child.on('exit', (code, signal) => {
      FORWARDED.forEach((name) => process.off(name, forward));
      resolve(code ?? EXIT_SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
