/** This file defines the command line of secgroup-metadata. */
import { Command, InvalidArgumentError } from 'commander';
import { isLoopback, parseEndpoint, type Endpoint } from '../api/options.ts';
import { INSTANCES_SOCKET } from '../control-socket/control-client.ts';
import { daemonExitCodeHelp } from '../service/exit-codes.ts';
import { version } from '../service/version.ts';
import { parseResolver, type Resolver } from './resolvers.ts';

export interface MetadataCommandOptions {
  /** The socket where the daemon answers whose an address is. */
  readonly instances: string;
  readonly user: string;
  /** Absent: those of resolv.conf. */
  readonly resolver?: readonly Resolver[];
  readonly tags: boolean;
  /** Where metrics are told; absent: nowhere. */
  readonly metrics?: Endpoint;
}

/** Defines the command. `run` is called with its options. */
export function metadataCommand(run: (options: MetadataCommandOptions) => void): Command {
  return new Command('secgroup-metadata')
    .description(
      "AWS-style security groups on real packets: DNS and instance metadata at the platform's port",
    )
    .version(version)
    .option(
      '--instances <socket>',
      'where the daemon answers whose an address is: its --instances',
      INSTANCES_SOCKET,
    )
    .option('--user <name>', 'who it is once its sockets are open', 'nobody')
    .option(
      '--resolver <address>',
      'whom to ask for DNS, as 127.0.0.53 or 192.0.2.1:5353; may be repeated (default: /etc/resolv.conf)',
      addResolver,
    )
    .option('--tags', 'tell instances their tags, at tags/instance/', false)
    .option(
      '--metrics <address:port>',
      'tell metrics there at /metrics, on loopback alone; without it nowhere',
      parseLoopback,
    )
    .addHelpText('after', `\n${daemonExitCodeHelp('secgroup-metadata')}`)
    .allowExcessArguments(false)
    .action(run);
}

function addResolver(text: string, before: readonly Resolver[] | undefined): readonly Resolver[] {
  const resolver = parseResolver(text);
  if (resolver === undefined)
    throw new InvalidArgumentError('Write an IP address, with a port or without: 192.0.2.1:5353');
  return [...(before ?? []), resolver];
}

function parseLoopback(text: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (!isLoopback(endpoint.host))
    throw new InvalidArgumentError('metrics are told without a key, so only on loopback');
  return endpoint;
}
