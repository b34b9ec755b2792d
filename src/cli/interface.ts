/** `sgctl interface add|rm|set-groups|move|ls`: interfaces that come and go while the daemon runs. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { ask } from '../control-socket/control-client.ts';
import { MTU_LIMITS } from '../config/limits.ts';
import { stableId } from '../policy/ids.ts';
import { PORT_KIND_NAMES, type PortKindName } from '../ports/port-kind.ts';
import type { OwnedInterfaceView } from '../queries/owned-interfaces.ts';
import { printable } from '../source/excerpt.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { addMove } from './interface-move.ts';
import type { Column } from './fit-table.ts';
import { paint } from './output.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { addTableOptions, formatList, titlesOf, type TableOptions } from './table-options.ts';
import { printJson } from './traffic-text.ts';

/** A daemon with thousands of interfaces opens a device in well below that. */
const TIMEOUT_MS = 60_000;
const OWNER = 'sgctl';
const DEVICE = 'eth0';

type Options = SocketOptions & { readonly json?: true };

interface AddOptions extends Options {
  readonly id?: string;
  readonly netns?: string;
  readonly device?: string;
  readonly kind?: PortKindName;
  readonly mtu?: number;
  readonly configure: boolean;
  readonly persist?: true;
  readonly address: readonly string[];
  readonly group: readonly string[];
  readonly owner: string;
  readonly tag?: Readonly<Record<string, string>>;
}

export function addInterfaceCommands(program: Command): void {
  const command = program
    .command('interface')
    .summary('add, remove and move interfaces, and give them other groups')
    .description(
      'Adds, removes and moves interfaces while the daemon runs, beside those of its configuration. They are in its store (secgroupd --store), so they are there after a restart.',
    )
    .addHelpText('after', '\nExample:\n  sgctl interface ls');
  addAdd(command);
  addRemove(command);
  addSetGroups(command);
  addMove(command);
  addList(command);
}

function addAdd(parent: Command): void {
  const command = parent
    .command('add')
    .summary('add an interface')
    .description(
      'Makes a device in a network namespace, or attaches one that is there, and guards it by the rules of its groups. Prints the id when the rules hold. The same command again does nothing more. What can not be put in force is taken back.',
    )
    .requiredOption('--address <address...>', 'its addresses')
    .requiredOption('--group <group...>', 'its security groups, by name or id')
    .option('--netns <namespace>', "name of its namespace or a path (default: the daemon's own)")
    .option(
      '--device <name>',
      `name of its device (default: "${DEVICE}"; none for attach), or the path of a stream's socket`,
    )
    .addOption(new Option('--kind <kind>', 'kind of its device').choices(PORT_KIND_NAMES))
    .addOption(new Option('--mtu <bytes>', 'MTU of its device').argParser(parseMtu))
    .option('--no-configure', 'leave addresses and routes of the device to others')
    .option('--persist', 'the device stays when the daemon ends')
    .option('--id <id>', 'eni-… (default: made of owner, namespace and device)')
    .option('--owner <name>', 'whose it is', OWNER)
    .addOption(
      new Option('--tag <key=value>', 'a tag, as often as needed').argParser(
        (text: string, before?: Readonly<Record<string, string>>) => parseTag(text, before),
      ),
    )
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interface add')}

Examples:
  sgctl interface add --netns web --address 10.0.0.11 --group web
  sgctl interface add --netns vm7 --kind tap --no-configure \\
    --address 10.0.0.17 fd00:10::17 --group web ssh
  sgctl interface add --kind attach --device vnet3 \\
    --address 10.0.0.18 --group web
  sgctl interface add --kind stream --device /run/secgroupd/vm8.sock \\
    --address 10.0.0.19 --group web`,
    );
  addSocketOptions(command).action(async (options: AddOptions) => {
    const { netns, kind, mtu, persist, owner, device: name, tag } = options;
    const added = await ask(
      findSocket(options),
      'addInterface',
      {
        id: options.id ?? stableId('eni', owner, netns ?? '', name ?? DEVICE),
        owner,
        device: {
          ...(name === undefined ? {} : { name }),
          ...(netns === undefined ? {} : { netns }),
          ...(kind === undefined ? {} : { kind }),
          ...(mtu === undefined ? {} : { mtu }),
          ...(options.configure ? {} : { configure: false }),
          ...(persist === undefined ? {} : { persist }),
        },
        addresses: options.address,
        securityGroups: options.group,
        ...(tag === undefined ? {} : { tags: tag }),
      },
      TIMEOUT_MS,
    );
    if (options.json === true) printJson(added);
    else console.log(added.id);
  });
}

function addRemove(parent: Command): void {
  const command = parent
    .command('rm')
    .summary('remove an interface')
    .description(
      'Removes an interface that was added with sgctl interface add, or by a container runtime, and its device. One that is not there is no failure.',
    )
    .argument('<id>', 'its id, as sgctl interface ls has it')
    .option('--json', 'print as JSON whether there was one')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interface rm')}

Example:
  sgctl interface rm eni-0fb41d5b9a3f5e1c2`,
    );
  addSocketOptions(command).action(async (id: string, options: Options) => {
    const done = await ask(findSocket(options), 'removeInterface', { id }, TIMEOUT_MS);
    if (options.json === true) printJson(done);
    else console.log(done.removed ? `Removed ${printable(id)}.` : 'There is none.');
  });
}

function addSetGroups(parent: Command): void {
  const command = parent
    .command('set-groups')
    .summary('give an interface other groups')
    .description('Gives an interface these security groups in place of those that it has.')
    .argument('<id>', 'its id, as sgctl interface ls has it')
    .argument('<group...>', 'names or ids of groups')
    .option('--json', 'print the interface as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interface set-groups')}

Example:
  sgctl interface set-groups eni-0fb41d5b9a3f5e1c2 web ssh`,
    );
  addSocketOptions(command).action(
    async (id: string, securityGroups: readonly string[], options: Options) => {
      const params = { id, securityGroups };
      const done = await ask(findSocket(options), 'setInterfaceGroups', params, TIMEOUT_MS);
      if (options.json === true) printJson(done);
      else console.log(printable(`${id} has ${groupText(done)}.`));
    },
  );
}

const COLUMNS: readonly Column[] = [
  { title: 'id', min: 21 },
  { title: 'groups', min: 10 },
  { title: 'addresses', min: 15 },
  { title: 'owner', min: 5, leaves: 1 },
  { title: 'device', min: 12, leaves: 2 },
  { title: 'mac', leaves: 3 },
];

function addList(parent: Command): void {
  const command = parent
    .command('ls')
    .summary('list them')
    .description(
      'Lists the interfaces that were added while a daemon ran; below, which the rules do not hold for, and why. sgctl interfaces lists all that are guarded, with their traffic.',
    )
    .option('--owner <name>', 'those of one owner')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interface ls')}

Example:
  sgctl interface ls --owner docker`,
    );
  addTableOptions(command, titlesOf(COLUMNS));
  addSocketOptions(command).action(
    async ({ owner, ...options }: Options & TableOptions & { readonly owner?: string }) => {
      const params = owner === undefined ? {} : { owner };
      const found = await ask(findSocket(options), 'listInterfaces', params);
      if (options.json === true) printJson(found);
      else if (found.length === 0) console.log('There are none.');
      else console.log(formatOwned(found, options));
    },
  );
}

/** @param width of the terminal, where it is not that of stdout */
export function formatOwned(
  found: readonly OwnedInterfaceView[],
  options: TableOptions,
  width?: number,
): string {
  const rows = found.map((one) => [
    one.id,
    groupText(one),
    one.addresses.join(' '),
    one.owner,
    one.device.netns === undefined
      ? one.device.name
      : `${one.device.name} in ${one.device.netns.replace(/^.*\/(?=.)/, '')}`,
    one.macAddress,
  ]);
  const notes = found.flatMap(({ id, notInForce }) =>
    notInForce === undefined
      ? []
      : [paint(printable(`${id} is not in force: ${notInForce}`), 'yellow')],
  );
  return [formatList(COLUMNS, rows, options, width), ...notes].join('\n');
}

function groupText({ securityGroups }: OwnedInterfaceView): string {
  return securityGroups.map(({ name }) => name).join(' ');
}

function parseMtu(text: string): number {
  const mtu = /^\d{1,6}$/.test(text) ? Number(text) : -1;
  if (mtu >= MTU_LIMITS.min && mtu <= MTU_LIMITS.max) return mtu;
  throw new InvalidArgumentError(`It is from ${MTU_LIMITS.min} to ${MTU_LIMITS.max}.`);
}

function parseTag(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It is not KEY=VALUE.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
