/** `sgctl interfaces` and `sgctl groups`: what is guarded, and by what. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { ask } from '../control/socket/control-client.ts';
import type { InterfaceView, Traffic } from '../control/views/interfaces-view.ts';
import type { GroupUse } from '../control/views/rules-view.ts';
import { formatFitted } from './fit-table.ts';
import { addSocketOptions, findSocket, type SocketOptions } from './socket.ts';
import { placeText, printJson } from './traffic-text.ts';
import { formatAgo, formatBytes, formatCount } from './units.ts';
import { exitCodeHelp } from './exit-codes.ts';

type Options = SocketOptions & { readonly json?: true };

export function addInterfacesCommand(program: Command): void {
  const command = program
    .command('interfaces')
    .summary('interfaces with their devices, groups and traffic')
    .description(
      'Lists the interfaces of the running daemon: device and namespace, addresses, groups, what was passed and dropped each way, and tracked flows. In is towards the instance; of the uplink, what came in through it.',
    )
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl interfaces')}

Examples:
  sgctl interfaces
  sgctl interfaces --json | jq '.[] | select(.ingress.droppedPackets > 0) | .name'`,
    );
  addSocketOptions(command).action(async (options: Options) => {
    const interfaces = await ask(findSocket(options), 'interfaces', {});
    if (options.json === true) printJson(interfaces);
    else console.log(formatInterfaces(interfaces));
  });
}

export function addGroupsCommand(program: Command): void {
  const command = program
    .command('groups')
    .summary('security groups with their interfaces and hits')
    .description(
      'Lists the security groups in force: how many rules each has, which interfaces have it, how many flows its rules have admitted since the daemon started, and how many of those are tracked now.',
    )
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl groups')}

Examples:
  sgctl groups
  sgctl groups --json | jq '.[] | select(.interfaces == []) | .name'`,
    );
  addSocketOptions(command).action(async (options: Options) => {
    const groups = await ask(findSocket(options), 'groups', {});
    if (options.json === true) printJson(groups);
    else console.log(formatGroups(groups));
  });
}

export function formatInterfaces(interfaces: readonly InterfaceView[]): string {
  const rows = interfaces.map((one) => [
    one.name,
    one.netns === undefined ? one.device : `${one.device} in ${basename(one.netns)}`,
    one.addresses.join(' '),
    one.groups.join(' '),
    trafficText(one.ingress),
    trafficText(one.egress),
    formatCount(one.ingress.droppedPackets),
    formatCount(one.egress.droppedPackets),
    one.maxFlows === undefined
      ? formatCount(one.flows)
      : `${formatCount(one.flows)} of ${formatCount(one.maxFlows)}`,
  ]);
  return formatFitted(
    [
      { title: 'interface' },
      { title: 'device', min: 8 },
      { title: 'addresses', min: 15 },
      { title: 'groups', min: 6 },
      { title: 'passed in', align: 'right' },
      { title: 'passed out', align: 'right' },
      { title: 'dropped in', align: 'right' },
      { title: 'dropped out', align: 'right' },
      { title: 'flows', align: 'right' },
    ],
    rows,
  );
}

export function formatGroups(groups: readonly GroupUse[]): string {
  const rows = groups.map((group) => [
    group.name,
    group.id,
    `${group.ingress} in, ${group.egress} out`,
    group.interfaces.join(' '),
    formatCount(group.hits),
    formatAgo(group.lastHitMs),
    formatCount(group.flows),
    placeText(group.origin),
  ]);
  return formatFitted(
    [
      { title: 'group' },
      { title: 'id' },
      { title: 'rules' },
      { title: 'interfaces', min: 10 },
      { title: 'hits', align: 'right' },
      { title: 'last hit', align: 'right' },
      { title: 'flows', align: 'right' },
      { title: 'from', min: 10 },
    ],
    rows,
  );
}

function trafficText({ passedPackets, passedBytes }: Traffic): string {
  return `${formatCount(passedPackets)} (${formatBytes(passedBytes)})`;
}
