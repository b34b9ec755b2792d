/** `sgctl lab up|exec|ls|down`: a configuration tried out in network namespaces. */
import { Option, InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { checkNotBeingMade, removeLab } from '../lab/down.ts';
import { LabError, LabInterrupted } from '../lab/errors.ts';
import { conditionOf } from '../lab/labs.ts';
import type { Progress } from '../lab/progress.ts';
import { listStoredLabs } from '../lab/state.ts';
import type { LabInstance, LabState, StoredLab } from '../lab/state.ts';
import { labNameOf, upLab } from '../lab/up.ts';
import { printable } from '../source/excerpt.ts';
import { addAddressOption } from './address-option.ts';
import { loadOrPrint, NETNS_DIRECTORY } from './check.ts';
import { INPUT_ARGUMENT } from './input-words.ts';
import { addLabEnvCommand } from './lab-env.ts';
import { addLabExecCommand } from './lab-exec.ts';
import { EXIT_FAILED, EXIT_SIGNAL_BASE, paint, printError, programName } from './output.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { MADE_KIND_NAMES } from '../ports/port-kind.ts';
import { formatFitted } from './fit-table.ts';
import { printJson } from './traffic-text.ts';

const DEFAULT_TIMEOUT_S = 15;
const QUIET_MS = 2000;
/** Of many instances, this many are shown. */
const INSTANCES_SHOWN = 20;
const NAMESPACES_SHOWN = 8;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

export function addLabCommands(program: Command): void {
  const lab = program
    .command('lab')
    .summary('try a configuration out in network namespaces')
    .description(
      'Makes the network namespaces that a configuration names, runs the daemon on them, and takes everything away again. Runs as root, or without root inside `unshare -Urn`.',
    )
    .addHelpText(
      'after',
      `
Example:
  sgctl lab up config/demo.yaml
  sgctl lab exec sgd-web -- ping -c 1 10.0.0.12
  sgctl lab down demo`,
    );
  addUpCommand(lab);
  addLabExecCommand(lab);
  addLabEnvCommand(lab);
  addListCommand(lab);
  addDownCommand(lab);
}

function addUpCommand(lab: Command): void {
  const command = lab.command('up');
  addAddressOption(command)
    .summary('make a lab')
    .description(
      'Makes the namespaces the configuration names, starts the daemon on them and returns once packets flow. If anything fails, or at Ctrl-C, everything is taken away again.',
    )
    .argument('<file>', INPUT_ARGUMENT)
    .option('--name <name>', "the lab's name (default: the file's base name)")
    .option('--api', "give it a server of EC2's API, for the aws CLI, Terraform and the like")
    .option('--json', 'print the lab as JSON, as `sgctl lab ls` does')
    .addOption(
      new Option(
        '--device-kind <kind>',
        'the kind of the devices of which the configuration says none (default: tun)',
      ).choices(MADE_KIND_NAMES),
    )
    .addOption(
      new Option(
        '--time-scale <factor>',
        'let connections age so many times faster: at 1000, five days are seven minutes',
      )
        .default(1)
        .argParser(parseScale),
    )
    .addOption(
      new Option('--timeout <seconds>', 'how long the daemon may take to be ready')
        .default(DEFAULT_TIMEOUT_S)
        .argParser(parseSeconds),
    )
    .addHelpText(
      'after',
      `
Namespaces that exist already are never touched: the lab refuses to start.
Namespaces given as a path or a pid are used as they are, and left.

Of a plan, a template or an account, each interface gets a namespace, and an
address if the input knows none. Groups that are not known admit nothing.

${exitCodeHelp('sgctl lab up')}

Examples:
  sgctl lab up config/demo.yaml
  sgctl lab up config/demo.yaml --name second
  sgctl lab up config/demo.yaml --device-kind veth
  sgctl lab up config/demo.yaml --api`,
    )
    .action(runUp);
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw new InvalidArgumentError('Give a number of seconds from 1 to 3600.');
  }
  return seconds;
}

/** As the daemon's --time-scale. */
function parseScale(text: string): number {
  const scale = Number(text);
  if (!Number.isInteger(scale) || scale < 1 || scale > 10_000) {
    throw new InvalidArgumentError('Give a whole number from 1 to 10000.');
  }
  return scale;
}

async function runUp(
  file: string,
  options: {
    readonly name?: string;
    readonly timeout: number;
    readonly timeScale: number;
    readonly deviceKind?: string;
    readonly api?: true;
    readonly json?: true;
    readonly address?: ReadonlyMap<string, string>;
  },
): Promise<void> {
  const addresses = options.address ?? new Map<string, string>();
  const loaded = await loadOrPrint(file, { needsInterfaces: true, addresses });
  if (loaded === undefined) {
    process.exitCode = EXIT_FAILED;
    return;
  }
  const { labConfiguration } = await import('../outputs/lab-configuration.ts');
  const { config, text, losses } = labConfiguration(loaded, NETNS_DIRECTORY);
  for (const loss of losses)
    console.error(`${paint('warning:', 'yellow', process.stderr)} ${printable(loss)}`);
  const interrupt = new AbortController();
  let caught: keyof typeof SIGNAL_NUMBERS = 'SIGINT';
  const onSignal = (signal: keyof typeof SIGNAL_NUMBERS): void => {
    caught = signal;
    if (!interrupt.signal.aborted) console.error('sgctl: stopping, and undoing what was made…');
    interrupt.abort();
  };
  const signals = Object.keys(SIGNAL_NUMBERS) as (keyof typeof SIGNAL_NUMBERS)[];
  signals.forEach((signal) => process.on(signal, onSignal));
  try {
    const stored = await upLab({
      config,
      file,
      ...(text === undefined ? {} : { text }),
      name: options.name ?? labNameOf(file),
      timeoutMs: options.timeout * 1000,
      timeScale: options.timeScale,
      ...(options.deviceKind === undefined ? {} : { deviceKind: options.deviceKind }),
      hasApi: options.api === true,
      signal: interrupt.signal,
      waiting: showWaiting,
      progress: startProgress(),
    });
    if (options.json === true) printJson(describeLab(stored));
    else printUp(stored);
  } catch (thrown) {
    printError(thrown);
    process.exitCode =
      thrown instanceof LabInterrupted ? EXIT_SIGNAL_BASE + SIGNAL_NUMBERS[caught] : EXIT_FAILED;
  } finally {
    signals.forEach((signal) => process.off(signal, onSignal));
  }
}

/** Nobody needs to be told about a wait of a second or two. */
export function showWaiting(elapsedMs: number): void {
  if (elapsedMs < QUIET_MS) return;
  console.error(`waiting for the daemon to be ready… ${Math.round(elapsedMs / 1000)} s`);
}

/** Says how far it has come, not at once and then every two seconds. */
function startProgress(): Progress {
  let shownMs = performance.now();
  return (text) => {
    if (performance.now() - shownMs < QUIET_MS) return;
    shownMs = performance.now();
    console.error(`${text}…`);
  };
}

function printUp({ name, state }: StoredLab): void {
  if (state === undefined) return;
  console.log(`lab ${paint(name, 'bold')} is up (daemon: pid ${state.daemon?.pid})\n`);
  console.log(formatInstances(state.instances));
  const program = programName();
  const first = state.namespaces[0]?.name;
  if (state.api !== undefined) console.log(`\nEC2's API is at ${state.api.url}.`);
  console.log('\nGo on with:');
  if (state.api !== undefined) console.log(`  eval "$(${program} lab env ${name})"`);
  if (first !== undefined) console.log(`  ${program} lab exec ${first} -- ip address`);
  console.log(`  ${program} lab down ${name}`);
}

export function formatInstances(instances: readonly LabInstance[]): string {
  const shown = instances.slice(0, INSTANCES_SHOWN);
  const isSeveral = instances.some(({ vpc }) => vpc !== undefined);
  const table = formatFitted(
    [
      { title: 'NAMESPACE', min: 12 },
      { title: 'DEVICE', leaves: 1 },
      { title: 'INTERFACE', min: 12 },
      ...(isSeveral ? [{ title: 'VPC', min: 8 }] : []),
      { title: 'ADDRESSES', min: 15 },
      { title: 'GROUPS', min: 10 },
    ],
    shown.map(({ netns, device, name, vpc, addresses, groups }) => [
      netns ?? "(the daemon's)",
      device,
      name,
      ...(isSeveral ? [vpc ?? '-'] : []),
      addresses.join(' '),
      groups.join(' ') || '-',
    ]),
  );
  const more = instances.length - shown.length;
  return more > 0 ? `${table}\n… and ${more} more (sgctl lab ls --json has all)` : table;
}

function addListCommand(lab: Command): void {
  lab
    .command('ls')
    .summary('list the labs')
    .description('Lists your labs and how they are.')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
States:
  up           its daemon runs
  making       \`sgctl lab up\` is at work on it
  daemon-gone  its daemon has ended: nothing passes any more
  half-made    \`sgctl lab up\` was killed
  stale        from before the last reboot; only its files are left
All but the first two want \`sgctl lab down\`.

${exitCodeHelp('sgctl lab ls')}

Examples:
  sgctl lab ls
  sgctl lab ls --json | jq -r '.[].name'`,
    )
    .action((options: { json?: boolean }) => {
      const labs = listStoredLabs();
      if (options.json) printJson(labs.map(describeLab));
      else if (labs.length === 0) console.log('no labs');
      else console.log(formatLabs(labs));
    });
}

function describeLab({ name, directory, state }: StoredLab): Record<string, unknown> {
  return {
    name,
    state: conditionOf(state),
    file: state?.configFile,
    mode: state?.mode,
    createdMs: state === undefined ? undefined : Date.parse(state.createdAt),
    daemonPid: state?.daemon?.pid,
    apiUrl: state?.api?.url,
    namespaces: state?.namespaces.map((one) => one.name) ?? [],
    instances: state?.instances ?? [],
    directory,
  };
}

/** A namespace with the VPCs of the instances in it, where there are several. */
function namespaceText(name: string, instances: readonly LabInstance[]): string {
  const here = instances.filter(({ netns }) => netns === name);
  const vpcs = [...new Set(here.flatMap(({ vpc }) => vpc ?? []))];
  return vpcs.length === 0 ? name : `${name} (${vpcs.join(', ')})`;
}

export function formatLabs(labs: readonly StoredLab[]): string {
  const namesOf = (state: LabState | undefined): string => {
    const names = state?.namespaces.map((one) => one.name) ?? [];
    const shown = names
      .slice(0, NAMESPACES_SHOWN)
      .map((name) => namespaceText(name, state?.instances ?? []));
    const more = names.length - NAMESPACES_SHOWN;
    return [...shown, ...(more > 0 ? [`… ${more} more`] : [])].join(' ');
  };
  return formatFitted(
    [
      { title: 'NAME', min: 12 },
      { title: 'STATE' },
      { title: 'NAMESPACES', min: 20 },
      { title: 'FILE', min: 20 },
    ],
    labs.map(({ name, state }) => [
      name,
      conditionOf(state),
      namesOf(state) || '-',
      state?.configFile ?? '-',
    ]),
  );
}

function addDownCommand(lab: Command): void {
  lab
    .command('down')
    .summary('remove a lab')
    .description(
      "Removes a lab: the daemon, the namespaces with everything that runs in them, the files. Also what a killed daemon or a killed `sgctl lab up` has left. Removing a lab that isn't there is fine.",
    )
    .argument('[name]', "the lab's name; may be left out if there is only one")
    .option('--all', 'remove all your labs')
    .option('--json', 'print what became of each as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl lab down')}

Examples:
  sgctl lab down demo
  sgctl lab down --all`,
    )
    .action(async (name: string | undefined, options: DownOptions, command: Command) => {
      if (name !== undefined && options.all) command.error('error: give a name or --all, not both');
      const labs = listStoredLabs();
      const chosen = name === undefined ? labs : labs.filter((one) => one.name === name);
      if (name === undefined && !options.all && labs.length > 1) {
        const names = labs.map((one) => one.name).join(', ');
        command.error(`error: there are several labs (${names}); name one, or give --all`);
      }
      const tell = (text: string): void => {
        if (options.json !== true) console.log(text);
      };
      if (chosen.length === 0) tell(name === undefined ? 'no labs' : `no lab called ${name}`);
      const ends: { readonly name: string; readonly isGone: boolean }[] = [];
      for (const one of chosen) {
        const isGone = await takeDown(one);
        if (isGone) tell(`lab ${one.name} is gone`);
        ends.push({ name: one.name, isGone });
      }
      if (options.json === true) printJson(ends);
    });
}

interface DownOptions {
  readonly all?: true;
  readonly json?: true;
}

/** @returns whether nothing is left of it; what is, has been told */
async function takeDown(stored: StoredLab): Promise<boolean> {
  try {
    checkNotBeingMade(stored);
    const left = await removeLab(stored, startProgress());
    if (left.length > 0) throw new LabError(`lab ${stored.name}: ${left.join('; ')}`);
    return true;
  } catch (thrown) {
    printError(thrown);
    process.exitCode = EXIT_FAILED;
    return false;
  }
}
