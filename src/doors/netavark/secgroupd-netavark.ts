#!/usr/bin/env node
/**
 * secgroupd-netavark: the plugin for the network driver `secgroupd` of Podman 4.5 and later. Podman and netavark start
 * it with a subcommand and JSON on standard input. It asks the daemon, and holds no right of its own.
 */
import { addInterface, findInterface, releaseInterface } from '../ask-daemon.ts';
import { parseJsonObject, readBounded, type JsonObject } from '../json-input.ts';
import { hostPrefix, interfaceId } from '../names.ts';
import { DoorError } from '../selection.ts';
import { version } from '../../service/version.ts';
import { readJoining, readMember, readNetwork, type Joining } from './network.ts';

const RUNTIME = 'netavark';
/** The contract of netavark's plugins that this keeps. */
const API_VERSION = '1.0.0';

try {
  const result = await answer(process.argv.slice(2));
  if (result !== undefined) process.stdout.write(`${JSON.stringify(result)}\n`);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  process.stdout.write(`${JSON.stringify({ error: `secgroupd: ${message}` })}\n`);
  process.exitCode = 1;
}

async function answer(args: readonly string[]): Promise<JsonObject | undefined> {
  const [command, netns] = args;
  switch (command) {
    case 'info':
      return { version, api_version: API_VERSION };
    case 'create': {
      const network = parseJsonObject(await readBounded(process.stdin));
      readNetwork(network);
      return network;
    }
    case 'setup':
      return setUp(parseJsonObject(await readBounded(process.stdin)), netns);
    case 'teardown':
      await tearDown(parseJsonObject(await readBounded(process.stdin)));
      return undefined;
    default:
      throw new DoorError('a subcommand is one of info, create, setup, teardown: Podman gives it');
  }
}

async function setUp(object: JsonObject, netns: string | undefined): Promise<JsonObject> {
  if (netns?.startsWith('/') !== true)
    throw new DoorError('setup takes the absolute path of a network namespace');
  const joining = readJoining(object);
  const { network, containerId, containerName, interfaceName, selection } = joining;
  const id = idOf(joining);
  const owner = `${RUNTIME}.${network.name}`;
  const before = await findInterface(network.socket, { id, owner });
  // A teardown did not come, or found no daemon.
  if (before !== undefined && before.device.netns !== netns)
    await releaseInterface(network.socket, id);
  const added = await addInterface(network.socket, {
    id,
    owner,
    device: {
      kind: network.kind,
      name: interfaceName,
      netns,
      ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
      configure: true,
      persist: true,
    },
    addresses: joining.addresses,
    selection,
    tags: { Name: containerName === '' ? containerId.slice(0, 12) : containerName },
  });
  return {
    interfaces: {
      [interfaceName]: {
        mac_address: added.macAddress,
        subnets: added.addresses.map((address) => ({ ipnet: hostPrefix(address) })),
      },
    },
    dns_server_ips: [],
    dns_search_domains: [],
  };
}

async function tearDown(object: JsonObject): Promise<void> {
  const member = readMember(object);
  await releaseInterface(member.network.socket, idOf(member));
}

function idOf({
  network,
  containerId,
  interfaceName,
}: Pick<Joining, 'network' | 'containerId' | 'interfaceName'>): string {
  return interfaceId(RUNTIME, network.id, containerId, interfaceName);
}
