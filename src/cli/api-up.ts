/** `sgctl api up|down|status`: the server of EC2's API on this host, without the service manager. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { KEYS_FILE_DEFAULT } from '../api/keys.ts';
import { endpointFault, parseEndpoint } from '../api/options.ts';
import { ask, ControlError } from '../control-socket/control-client.ts';
import { LabError } from '../lab/errors.ts';
import {
  chooseUser,
  downOwnApi,
  findOwnApi,
  ownApiDirectory,
  ownApiEnvironment,
  upOwnApi,
  type OwnApi,
  type RunningApi,
} from '../lab/own-api.ts';
import { isHostRoot } from '../lab/state.ts';
import { parseStorePlace } from '../service/store-option.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { formatFitted } from './fit-table.ts';
import { printEnvironment } from './lab-env.ts';
import { EXIT_FAILED, programName } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { printJson } from './traffic-text.ts';
import { formatDuration } from './units.ts';

const LISTEN_DEFAULT = '127.0.0.1:8773';
const UNIT = 'secgroup-api.service';
const SYSTEMCTL_TIMEOUT_MS = 5000;

interface JsonOption {
  readonly json?: true;
}

interface UpOptions extends JsonOption, SocketOptions {
  readonly store?: string;
  readonly keys?: string;
  readonly listen: string;
  readonly user?: string;
}

export function addApiUpCommands(api: Command): void {
  addUpCommand(api);
  addDownCommand(api);
  addStatusCommand(api);
}

function addUpCommand(api: Command): void {
  const command = api
    .command('up')
    .summary('start the server on this host, and print how to reach it')
    .description(
      "Starts secgroup-api in the background, for the store of the daemon that runs here, and returns when it answers. Prints the environment variables by which AWS's tools reach it, as lines for a shell. They hold a key that may write, which is made if there is none. If it runs already, they are printed again.",
    )
    .option('--store <place>', "the store (default: the running daemon's)", parseStorePlace)
    .option('--keys <file>', `the file with the keys (default: ${KEYS_FILE_DEFAULT})`)
    .addOption(
      new Option('--listen <address:port>', 'where to listen, on loopback')
        .default(LISTEN_DEFAULT)
        .argParser(parseListen),
    )
    .option('--user <name>', 'as whom it runs, if root starts it (default: secgroup-api, if there)')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
Where the service is installed, use that: systemctl enable --now secgroup-api

${exitCodeHelp('sgctl api up')}

Examples:
  eval "$(sgctl api up)"
  eval "$(sgctl api up --keys ./keys.json --store ./store/store.db)"
  aws ec2 describe-security-groups`,
    );
  addSocketOptions(command).action(runUp);
}

async function runUp(options: UpOptions): Promise<void> {
  const running = findOwnApi();
  if (running !== undefined) checkSame(options, running);
  const up = running ?? (await start(options));
  console.error(`secgroup-api is at ${up.api.url}, as ${up.user}, pid ${up.api.process.pid}.`);
  console.error(`It uses the store ${up.store}. End it with: ${programName()} api down`);
  printEnvironment(ownApiEnvironment(up), options.json === true);
}

/** @throws LabError if one runs already, and another one is asked for */
function checkSame(wanted: UpOptions, running: OwnApi): void {
  for (const what of ['store', 'keys'] as const) {
    const file = wanted[what];
    if (file === undefined || (what === 'store' ? file : resolve(file)) === running[what]) continue;
    const message = `one runs already, with the ${what} ${running[what]}`;
    throw new LabError(message, 'end it: sgctl api down');
  }
}

async function start(options: UpOptions): Promise<RunningApi> {
  const { listen, user: wanted } = options;
  const keys = resolve(options.keys ?? KEYS_FILE_DEFAULT);
  if (keys === KEYS_FILE_DEFAULT && readUnit() !== undefined)
    throw new LabError(
      `the service ${UNIT} is installed here`,
      'start it: systemctl enable --now secgroup-api; make a key: sgctl api key create NAME --policy write',
    );
  const store = await chooseStore(options);
  const user = chooseUser(wanted);
  if (user === undefined && wanted === undefined && isHostRoot())
    console.error('There is no user secgroup-api here, so it runs as root.');
  return upOwnApi({ keys, store, listen, user });
}

/** The store of the daemon that runs: there alone packets obey. */
async function chooseStore({ store: named, ...which }: UpOptions): Promise<string> {
  const daemon = await askStore(findSocket(which));
  if (daemon instanceof ControlError) {
    if (named === undefined)
      throw new LabError(
        daemon.message,
        'start secgroupd with --store FILE, or say which: sgctl api up --store FILE',
      );
    console.error(`${daemon.message}. Calls are kept, and no packet obeys them yet.`);
    return named;
  }
  if (daemon === undefined)
    throw new LabError(
      'the daemon that runs here has no store, so no packet would obey',
      'start it with --store FILE; as a service: docs/ec2-api.md, "Start it"',
    );
  if (named !== undefined && named !== daemon)
    throw new LabError(`the daemon that runs here has another store: ${daemon}`);
  return daemon;
}

async function askStore(socket: string): Promise<string | ControlError | undefined> {
  try {
    const { store } = await ask(socket, 'status', {});
    return store?.file;
  } catch (error) {
    if (error instanceof ControlError) return error;
    throw error;
  }
}

function addDownCommand(api: Command): void {
  api
    .command('down')
    .summary('end what `api up` started')
    .description('Ends the server that `sgctl api up` started. Its keys and the store stay.')
    .option('--json', 'print whether there was one as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl api down')}

Example:
  sgctl api down`,
    )
    .action(async (options: JsonOption) => {
      const wasRunning = await downOwnApi();
      if (options.json === true) printJson({ wasRunning });
      else if (wasRunning) console.log('secgroup-api has ended.');
      else {
        console.log('None runs that `sgctl api up` started.');
        if (readUnit()?.isActive === true)
          console.log('The service runs; end it: systemctl stop secgroup-api');
      }
    });
}

function addStatusCommand(api: Command): void {
  api
    .command('status')
    .summary('whether the server runs here, where, and as whom')
    .description(
      'Says whether secgroup-api runs on this host, where it listens, as whom it runs, and which store and keys it uses.',
    )
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl api status')}

Example:
  sgctl api status`,
    )
    .action((options: JsonOption) => {
      const running = findOwnApi();
      const unit = readUnit();
      if (running === undefined && unit?.isActive !== true) process.exitCode = EXIT_FAILED;
      const shown = {
        isRunning: running !== undefined,
        url: running?.api.url,
        pid: running?.api.process.pid,
        user: running?.user,
        startedMs: running?.startedMs,
        store: running?.store,
        keys: running?.keys,
        logs: running === undefined ? undefined : ownApiDirectory(),
        service: unit,
      };
      if (options.json === true) printJson(shown);
      else printStatus(shown);
    });
}

function printStatus({
  url,
  pid,
  user,
  startedMs,
  store,
  keys,
  logs,
  service,
}: {
  readonly url: string | undefined;
  readonly pid: number | undefined;
  readonly user: string | undefined;
  readonly startedMs: number | undefined;
  readonly store: string | undefined;
  readonly keys: string | undefined;
  readonly logs: string | undefined;
  readonly service: Unit | undefined;
}): void {
  const rows = [
    ['url', url],
    ['pid', pid === undefined ? undefined : String(pid)],
    ['user', user],
    ['up', startedMs === undefined ? undefined : formatDuration(Date.now() - startedMs)],
    ['store', store],
    ['keys', keys],
    ['logs', logs],
    ['service', service === undefined ? undefined : unitText(service)],
  ].flatMap(([what, value]) => (what === undefined || value === undefined ? [] : [[what, value]]));
  if (url === undefined) console.log('None runs that `sgctl api up` started.');
  if (rows.length > 0)
    console.log(formatFitted([{ title: 'what' }, { title: 'value', min: 20 }], rows));
}

interface Unit {
  readonly isActive: boolean;
  /** 0: none. */
  readonly pid: number;
}

function unitText({ isActive, pid }: Unit): string {
  return isActive ? `${UNIT} runs, pid ${pid}` : `${UNIT} is installed, and does not run`;
}

/** The service, if the service manager that runs here has it. */
function readUnit(): Unit | undefined {
  const properties = '--property=LoadState,ActiveState,MainPID';
  const { status, stdout } = spawnSync('systemctl', ['show', UNIT, properties], {
    encoding: 'utf8',
    timeout: SYSTEMCTL_TIMEOUT_MS,
  });
  if (status !== 0) return undefined;
  const values = new Map(
    stdout.split('\n').map((line) => {
      const [name = '', value = ''] = line.split('=');
      return [name, value] as const;
    }),
  );
  if (values.get('LoadState') !== 'loaded') return undefined;
  return { isActive: values.get('ActiveState') === 'active', pid: Number(values.get('MainPID')) };
}

function parseListen(text: string): string {
  const listen = parseEndpoint(text);
  if (endpointFault({ listen, keys: '' }, 1) !== undefined)
    throw new InvalidArgumentError(
      'It is not loopback: secgroup-api itself listens elsewhere, with a certificate.',
    );
  return text;
}
