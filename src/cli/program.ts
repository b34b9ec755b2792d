/**
 * The command line of sgctl: subcommands, help, and what exit codes mean. Only the subcommand that is typed is
 * loaded: all of them took longer than the rest of a start. Help, and a word that is none of them, need all.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, printError } from './output.ts';

/** The subcommands by name, in the order of the help, and what adds them. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  check: async () => (await import('./check.ts')).addCheckCommand,
  explain: async () => (await import('./explain.ts')).addExplainCommand,
  lab: async () => (await import('./lab.ts')).addLabCommands,
  run: async () => (await import('./run.ts')).addRunCommand,
  reload: async () => (await import('./reload.ts')).addReloadCommand,
  status: async () => (await import('./status.ts')).addStatusCommand,
  interfaces: async () => (await import('./interfaces.ts')).addInterfacesCommand,
  interface: async () => (await import('./interface.ts')).addInterfaceCommands,
  host: async () => (await import('./host.ts')).addHostCommands,
  rollout: async () => (await import('./rollout.ts')).addRolloutCommand,
  groups: async () => (await import('./interfaces.ts')).addGroupsCommand,
  rules: async () => (await import('./rules.ts')).addRulesCommand,
  names: async () => (await import('./names.ts')).addNamesCommand,
  flows: async () => (await import('./flows.ts')).addFlowsCommand,
  top: async () => (await import('./top.ts')).addTopCommand,
  trace: async () => (await import('./trace.ts')).addTraceCommand,
  drops: async () => (await import('./drops.ts')).addDropsCommand,
  capture: async () => (await import('./capture.ts')).addCaptureCommand,
  console: async () => (await import('./console.ts')).addConsoleCommand,
  test: async () => (await import('./test.ts')).addTestCommand,
  diff: async () => (await import('./diff.ts')).addDiffCommand,
  replay: async () => (await import('./replay.ts')).addReplayCommand,
  learn: async () => (await import('./learn.ts')).addLearnCommand,
  import: async () => (await import('./import.ts')).addImportCommands,
  export: async () => (await import('./export.ts')).addExportCommand,
  api: async () => (await import('./api.ts')).addApiCommands,
  doctor: async () => (await import('./doctor.ts')).addDoctorCommand,
  doors: async () => (await import('./doors.ts')).addDoorsCommand,
  completion: async () => (await import('./completion.ts')).addCompletionCommand,
};

/** It describes the others. */
const TELLS_OF_ALL = 'completion';

function readVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** The program with all subcommands, or with `only` one. */
export async function buildProgram(only?: string): Promise<Command> {
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
  for (const [name, load] of Object.entries(COMMANDS))
    if (only === undefined || only === name) (await load())(program);
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
    const [, , first] = argv;
    const isEnough = Object.hasOwn(COMMANDS, first) && first !== TELLS_OF_ALL;
    const program = await buildProgram(isEnough ? first : undefined);
    await program.parseAsync(argv);
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
