/** The command line of sgctl: subcommands, help, and what exit codes mean. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addApiCommands } from './api.ts';
import { addCaptureCommand } from './capture.ts';
import { addCheckCommand } from './check.ts';
import { addCompletionCommand } from './completion.ts';
import { addDiffCommand } from './diff.ts';
import { addDoctorCommand } from './doctor.ts';
import { addDoorsCommand } from './doors.ts';
import { addDropsCommand } from './drops.ts';
import { addExplainCommand } from './explain.ts';
import { addExportCommand } from './export.ts';
import { addFlowsCommand } from './flows.ts';
import { addImportCommands } from './import.ts';
import { addInterfaceCommands } from './interface.ts';
import { addHostCommands } from './host.ts';
import { addGroupsCommand, addInterfacesCommand } from './interfaces.ts';
import { addLabCommands } from './lab.ts';
import { addReloadCommand } from './reload.ts';
import { addRolloutCommand } from './rollout.ts';
import { addRulesCommand } from './rules.ts';
import { addRunCommand } from './run.ts';
import { addStatusCommand } from './status.ts';
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, printError } from './output.ts';
import { addTestCommand } from './test.ts';
import { addTopCommand } from './top.ts';
import { addTraceCommand } from './trace.ts';

function readVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

export function buildProgram(): Command {
  const program = new Command('sgctl')
    .description('Security groups on real packets: check them, and try them out.')
    .version(readVersion(), '--version', 'print the version')
    .helpCommand('help [command]', 'show help for a command')
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help for more)')
    // For `lab exec`: options after the program's name are the program's.
    .enablePositionalOptions()
    .addHelpText(
      'after',
      `
Exit codes: 0 done; 1 it failed, or problems were found; 2 wrong usage.
\`lab exec\` and \`run\` exit as the program they ran.

Examples:
  sgctl check config/demo.yaml
  sgctl lab up config/demo.yaml
  sgctl lab exec sgd-web -- ping -c 1 10.0.0.12
  sgctl status
  sgctl flows --interface eni-web-1 --sort bytes
  sgctl trace --verdict dropped
  sgctl capture --drops-only -w drops.pcapng`,
    );
  addCheckCommand(program);
  addExplainCommand(program);
  addLabCommands(program);
  addRunCommand(program);
  addReloadCommand(program);
  addStatusCommand(program);
  addInterfacesCommand(program);
  addInterfaceCommands(program);
  addHostCommands(program);
  addRolloutCommand(program);
  addGroupsCommand(program);
  addRulesCommand(program);
  addFlowsCommand(program);
  addTopCommand(program);
  addTraceCommand(program);
  addDropsCommand(program);
  addCaptureCommand(program);
  addTestCommand(program);
  addDiffCommand(program);
  addImportCommands(program);
  addExportCommand(program);
  addApiCommands(program);
  addDoctorCommand(program);
  addDoorsCommand(program);
  addCompletionCommand(program);
  exitByThrowing(program);
  return program;
}

/** Lets errors out of commander, in every subcommand, so that one place decides about exit codes. */
function exitByThrowing(command: Command): void {
  command.exitOverride();
  command.commands.forEach(exitByThrowing);
}

/** Runs sgctl. Sets process.exitCode and never throws. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  // Whoever read us has seen enough (`| head`): no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  try {
    await buildProgram().parseAsync(argv);
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      // commander has printed it already. A bare `sgctl lab` shows its help, as an error.
      process.exitCode = thrown.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
      return;
    }
    printError(thrown);
    process.exitCode = EXIT_FAILED;
  }
}
