/** `sgctl lab exec NAMESPACE -- CMD`: a program inside a lab's namespace, as if it had been started directly. */
import { spawn } from 'node:child_process';
import type { Command } from 'commander';
import { LabError } from '../lab/errors.ts';
import { exitCodeOf } from '../lab/exit-code.ts';
import { enterCommand } from '../lab/labs.ts';
import type { EnterCommand } from '../lab/labs.ts';
import { passSignals } from './pass-signals.ts';
import { exitCodeHelp } from './exit-codes.ts';

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
    const stopPassing = passSignals((signal) => child.kill(signal));
    const child = spawn(command, args, { stdio: 'inherit' });
    child.on('error', (error) => reject(new LabError(`cannot run ${command}: ${error.message}`)));
    child.on('exit', (code, signal) => {
      stopPassing();
      resolve(exitCodeOf(code, signal));
    });
  });
}
