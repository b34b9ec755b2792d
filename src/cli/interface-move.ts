/** `sgctl interface move`: an interface on another host of the store. */
import { Option, type Command } from 'commander';
import type { MoveResult } from '../hosts/move-interface.ts';
import { count } from '../source/count.ts';
import { printable } from '../source/excerpt.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { waitWithin } from './filter-options.ts';
import { paint } from './output.ts';
import { addStoreOptions, inStore, type StoreOptions } from './shared-store.ts';
import { printJson } from './traffic-text.ts';

const WAIT = { min: 1, max: 600, otherwise: 10 };
/** The host before has not said that it gave the interface up. */
const EXIT_TWO_OWNERS = 3;

interface Options extends StoreOptions {
  readonly device?: string;
  readonly netns?: string;
  readonly wait: number;
  readonly json?: true;
}

export function addMove(parent: Command): void {
  const command = parent
    .command('move')
    .summary('move an interface to another host')
    .description(
      'Moves an interface that a call of the EC2 API made to another host of the store. The host that has it closes its device, and acknowledges that; then the other one opens it, with the same addresses, groups and tags. A host that does not answer and fences (secgroupd --fence lease) is waited for until its lease is over; of another one nobody can tell, which is said. What can not be put in force there is given back. The same command again goes on with a move that was interrupted.',
    )
    .argument('<id>', 'its id, eni-…')
    .argument('<host>', 'the name of the other host')
    .option('--device <name>', 'name of its device there (default: as here)')
    .option('--netns <namespace>', 'name of its namespace there, or a path (default: as here)')
    .addOption(
      new Option('--wait <seconds>', 'how long to wait for each of the two hosts, as 10 or 10s')
        .argParser(waitWithin(WAIT.min, WAIT.max))
        .default(WAIT.otherwise),
    )
    .option('--json', 'print what was done as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interface move')}

Examples:
  sgctl interface move eni-0fb41d5b9a3f5e1c2 rack-4
  sgctl interface move eni-0fb41d5b9a3f5e1c2 rack-4 --netns web-7 \\
    --store 'etcds://10.0.0.1,10.0.0.2/?cert=/etc/admin.pem&key=/etc/admin.key'`,
    );
  addStoreOptions(command).action(async (id: string, host: string, options: Options) => {
    const { device, netns, wait } = options;
    const { moveInterface } = await import('../hosts/move-interface.ts');
    const wish = { interfaceId: id, host, device, netns, waitMs: 1000 * wait };
    const result = await inStore(options, (client) => moveInterface(client, wish));
    if (options.json === true) printJson(result);
    else console.log(printable(resultText(result)));
    if (result.isGivenUp) return;
    console.error(paint(printable(twoOwners(result, wait)), 'red', process.stderr));
    process.exitCode = EXIT_TWO_OWNERS;
  });
}

function resultText(result: MoveResult): string {
  const fenced = `. ${result.from} has not given it up, and its lease is over: it is fenced`;
  const place = `${result.id} is on ${result.to}, as ${deviceText(result)}${result.isFenced === true ? fenced : ''}`;
  const { connections } = result;
  if (connections === undefined) return `${place}.`;
  const { flows, refused, why } = connections;
  if (why !== undefined) return `${place}. Its connections do not go with it: ${why}`;
  const others = refused === 0 ? '' : `, ${refused} are not admitted there or have ended`;
  return `${place}, with ${count(flows, 'tracked flow')}${others}.`;
}

function deviceText({ device: { name, netns } }: MoveResult): string {
  return netns === undefined ? name : `${name} in ${netns}`;
}

function twoOwners({ id, from }: MoveResult, waitSec: number): string {
  return (
    `WARNING: two hosts may have ${id}: ${from} has not said within ${waitSec} s that it gave it up (fence: none). ` +
    `If ${from} runs, both answer for its addresses until it is back. Make sure that it does not, or that no packets reach it.`
  );
}
