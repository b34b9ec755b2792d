/** This file defines the daemon's command line. */
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { version } from './version.ts';
import { daemonExitCodeHelp } from './exit-codes.ts';
import { MADE_KIND_NAMES, NO_KIND, type PortKindName } from '../ports/port-kind.ts';
import { STORE_DEFAULT } from '../store/place.ts';
import { apiPlaceOf, parseApiUrls, type ApiArguments, type ApiPlace } from './api-option.ts';
import { fromOneTo } from './whole-number.ts';
import { parseFence, parseStale, parseStorePlace } from './store-option.ts';

export const CONFIG_DEFAULT = '/etc/secgroupd/secgroupd.yaml';
const NETNS_DIRECTORY = '/run/netns';
const FLOW_LOG_DIRECTORY = '/var/log/secgroupd';

export interface RunArguments {
  readonly config: string;
  readonly netnsDir: string;
  /** Of devices of which the configuration says none. */
  readonly deviceKind: PortKindName;
  readonly control?: string;
  /** A socket that answers whose an address is, and where the platform's port is. */
  readonly instances?: string;
  readonly stateDir?: string;
  /** The store of what API calls make; absent: there is none. */
  readonly store?: string;
  /** The name of this host in the store. */
  readonly host: string;
  /** Servers of the API that change a store which hosts share; absent: nobody does for this host. */
  readonly apiPlace?: ApiPlace;
  /** After so many ms without the store, rules that name groups admit nothing new. */
  readonly stale: number;
  /** Whether packets of what the store gave flow only while this host's lease of it lives. */
  readonly fence: 'none' | 'lease';
  readonly flowLogDir: string;
  readonly watch: boolean;
  readonly timeScale: number;
}

export interface DoctorArguments {
  readonly config?: string;
  readonly netnsDir: string;
  readonly deviceKind?: PortKindName;
  readonly stateDir?: string;
  readonly json: boolean;
}

export type StoreArguments = { readonly json: boolean } & (
  | { readonly action: 'backup' | 'restore'; readonly store: string; readonly backup: string }
  | { readonly action: 'check'; readonly store: string }
  | { readonly action: 'copy'; readonly from: string; readonly to: string }
);

/** What the process is to do, with its arguments. */
export type Task =
  | { readonly kind: 'run'; readonly args: RunArguments }
  | { readonly kind: 'doctor'; readonly args: DoctorArguments }
  | { readonly kind: 'store'; readonly args: StoreArguments };

/**
 * Ages are int32 milliseconds and overflow after 24 days. At 10,000 times real time a flow reaches that age after three
 * and a half minutes of silence.
 */
const TIME_SCALE_MAX = 10_000;

/** Defines the daemon's command. `take` is called with the task. */
export function daemonCommand(take: (task: Task) => void): Command {
  const command = addSharingOptions(new Command('secgroupd'))
    .description('AWS-style security groups on real packets: the daemon')
    .version(version)
    .option('-c, --config <file>', 'configuration file', CONFIG_DEFAULT)
    .option('--netns-dir <directory>', 'where named network namespaces are', NETNS_DIRECTORY)
    .addOption(deviceKindOption())
    .option('--control <socket>', 'unix socket to take requests of sgctl at (default: none)')
    .option(
      '--instances <socket>',
      'unix socket to tell secgroup-metadata whose an address is, and nothing else (default: none)',
    )
    .option(
      '--state-dir <directory>',
      "keep connections over a restart there (default: systemd's STATE_DIRECTORY, else none)",
    )
    .option(
      '--store <place>',
      'put in force what API calls make, too: the store they write to, a file or etcds://HOST:PORT,…',
      parseStorePlace,
    )
    .option('--host <name>', 'the name of this host in the store', hostname())
    .option(
      '--flow-log-dir <directory>',
      'flow logs that API calls make are written there',
      FLOW_LOG_DIRECTORY,
    )
    .option(
      '--time-scale <factor>',
      'let flows age so many times faster, to meet a time-out in a test',
      fromOneTo(TIME_SCALE_MAX),
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
    .action(({ api, apiKey, apiCa, ...args }: RunArguments & ApiArguments) => {
      try {
        const apiPlace = apiPlaceOf({ api, apiKey, apiCa }, args.store);
        take({ kind: 'run', args: { ...args, ...(apiPlace === undefined ? {} : { apiPlace }) } });
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        command.error(`error: ${error.message}`);
      }
    });
  command
    .command('doctor')
    .description('checks whether this machine has what the daemon needs, and says how to mend it')
    .option(
      '-c, --config <file>',
      `configuration file (default: ${CONFIG_DEFAULT}, if it is there)`,
    )
    .option('--netns-dir <directory>', 'where named network namespaces are', NETNS_DIRECTORY)
    .addOption(deviceKindOption())
    .option('--state-dir <directory>', 'where connections are kept over a restart')
    .option('--json', 'the checks as JSON', false)
    .addHelpText('after', `\n${daemonExitCodeHelp('secgroupd doctor')}`)
    .allowExcessArguments(false)
    .action((args: DoctorArguments) => take({ kind: 'doctor', args }));
  addStoreCommands(command, (args) => take({ kind: 'store', args }));
  return command;
}

function deviceKindOption(): Option {
  return new Option(
    '--device-kind <kind>',
    'the kind of the devices of interfaces of which the configuration says none',
  )
    .choices(MADE_KIND_NAMES)
    .default(NO_KIND);
}

/** For hosts that share a store. */
function addSharingOptions(command: Command): Command {
  return command
    .option(
      '--stale <policy>',
      'while a store that hosts share is away: keep, or deny-new-after:10m, after which rules that name groups admit no new connections',
      parseStale,
      Infinity,
    )
    .option(
      '--fence <policy>',
      'of interfaces that a store which hosts share gave this one: none, or lease, which drops their packets unless the store surely says that this host lives',
      parseFence,
      'none',
    )
    .option(
      '--api <urls>',
      'servers of the API, as https://HOST:PORT,…: they make interfaces for containers here if hosts share the store',
      parseApiUrls,
    )
    .option(
      '--api-key <file>',
      "this host's key for them (sgctl api key create HOST --policy host --json)",
    )
    .option('--api-ca <file>', 'who signed their certificates (PEM)');
}

function addStoreCommands(daemon: Command, take: (args: StoreArguments) => void): void {
  const store = daemon
    .command('store')
    .description('backs up, restores, checks and copies the store of what the API made');
  const add = (name: StoreArguments['action'], description: string): Command =>
    store
      .command(name)
      .description(description)
      .option('--json', 'the result as JSON', false)
      .addHelpText('after', `\n${daemonExitCodeHelp(`secgroupd store ${name}`)}`)
      .allowExcessArguments(false);
  const addOfOne = (name: 'backup' | 'restore' | 'check', description: string): Command =>
    add(name, description).option('--store <file>', 'the store', parseStorePlace, STORE_DEFAULT);
  interface Options {
    readonly store: string;
    readonly json: boolean;
  }
  addOfOne('backup', 'writes the store, also one in use, to a file that is not there yet')
    .argument('<file>', 'the backup')
    .action((backup: string, options: Options) => take({ action: 'backup', backup, ...options }));
  addOfOne('restore', 'puts a backup in place of the store, which nobody may have open')
    .argument('<file>', 'the backup')
    .action((backup: string, options: Options) => take({ action: 'restore', backup, ...options }));
  addOfOne('check', 'says what is wrong with the store').action((options: Options) =>
    take({ action: 'check', ...options }),
  );
  add('copy', 'copies a store to another one that is empty: from a file to etcd, or back')
    .argument('<from>', 'a file, or etcds://HOST:PORT,…', parseStorePlace)
    .argument('<to>', 'the same', parseStorePlace)
    .action((from: string, to: string, { json }: Options) =>
      take({ action: 'copy', from, to, json }),
    );
}

/** Reads the command line. Wrong arguments end the process with exit code 2. */
export function readTask(): Task {
  let task: Task | undefined;
  const command = daemonCommand((chosen) => {
    task = chosen;
  });
  for (const each of withSubcommands(command))
    each.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  command.parse();
  return task!;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}
