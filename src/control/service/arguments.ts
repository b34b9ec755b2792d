/** The daemon's command line. */
import { Command, InvalidArgumentError } from 'commander';
import { version } from '../version.ts';
import { daemonExitCodeHelp } from '../exit-codes.ts';

export const CONFIG_DEFAULT = '/etc/secgroupd/secgroupd.yaml';
const NETNS_DIRECTORY = '/run/netns';

export interface RunArguments {
  readonly config: string;
  readonly netnsDir: string;
  readonly control?: string;
  readonly stateDir?: string;
  readonly watch: boolean;
  readonly timeScale: number;
}

export interface DoctorArguments {
  readonly config?: string;
  readonly netnsDir: string;
  readonly stateDir?: string;
  readonly json: boolean;
}

/** What to do, and with which arguments. */
export type Task =
  | { readonly kind: 'run'; readonly args: RunArguments }
  | { readonly kind: 'doctor'; readonly args: DoctorArguments };

/** Ages are int32 milliseconds: at 10,000 times real time they still tell 24 days from 48 within three minutes of silence. */
const TIME_SCALE_MAX = 10_000;

function parseScale(text: string): number {
  const scale = Number(text);
  if (!Number.isInteger(scale) || scale < 1 || scale > TIME_SCALE_MAX) {
    throw new InvalidArgumentError(`it goes from 1 to ${TIME_SCALE_MAX}`);
  }
  return scale;
}

/** The daemon's command; `take` is called with what it is to do. */
export function daemonCommand(take: (task: Task) => void): Command {
  const command = new Command('secgroupd')
    .description('AWS-style security groups on real packets: the daemon')
    .version(version)
    .option('-c, --config <file>', 'configuration file', CONFIG_DEFAULT)
    .option('--netns-dir <directory>', 'where named network namespaces are', NETNS_DIRECTORY)
    .option('--control <socket>', 'unix socket to take requests of sgctl at (default: none)')
    .option(
      '--state-dir <directory>',
      "keep connections over a restart there (default: systemd's STATE_DIRECTORY, else none)",
    )
    .option(
      '--time-scale <factor>',
      'let flows age so many times faster, to meet a time-out in a test',
      parseScale,
      1,
    )
    .option('--watch', 'reload when the configuration or a template changes', false)
    .addHelpText(
      'after',
      `
SIGHUP reloads the configuration; a bad one is refused and what ran keeps running.

${daemonExitCodeHelp('secgroupd')}`,
    )
    .allowExcessArguments(false)
    .enablePositionalOptions()
    .action((args: RunArguments) => take({ kind: 'run', args }));
  command
    .command('doctor')
    .description('checks whether this machine has what the daemon needs, and says how to mend it')
    .option(
      '-c, --config <file>',
      `configuration file (default: ${CONFIG_DEFAULT}, if it is there)`,
    )
    .option('--netns-dir <directory>', 'where named network namespaces are', NETNS_DIRECTORY)
    .option('--state-dir <directory>', 'where connections are kept over a restart')
    .option('--json', 'the checks as JSON', false)
    .addHelpText('after', `\n${daemonExitCodeHelp('secgroupd doctor')}`)
    .allowExcessArguments(false)
    .action((args: DoctorArguments) => take({ kind: 'doctor', args }));
  return command;
}

/** Reads the command line; wrong arguments end the process with 2. */
export function readTask(): Task {
  let task: Task | undefined;
  const command = daemonCommand((chosen) => {
    task = chosen;
  });
  for (const each of [command, ...command.commands])
    each.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  command.parse();
  return task!;
}
