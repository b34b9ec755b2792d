/** This file defines the command line of secgroupd-docker. */
import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../control-socket/control-client.ts';
import { daemonExitCodeHelp } from '../../service/exit-codes.ts';
import { version } from '../../service/version.ts';

const PLUGIN_SOCKET = '/run/docker/plugins/secgroupd.sock';
const STATE_DIRECTORY = '/var/lib/secgroupd-docker';

export interface DockerOptions {
  readonly socket: string;
  readonly control: string;
  readonly state: string;
  /** The configuration of a daemon that runs as long as the driver; undefined: one that runs already is asked. */
  readonly withDaemon?: string;
}

/** Defines the command. `run` is called with its options. */
export function dockerCommand(run: (options: DockerOptions) => void): Command {
  return new Command('secgroupd-docker')
    .description(
      "AWS-style security groups on real packets: Docker's network driver and IPAM driver",
    )
    .version(version)
    .option(
      '--socket <path>',
      "where Docker finds it: the file's name is the driver's; systemd may hand over another",
      PLUGIN_SOCKET,
    )
    .option('--control <path>', "the daemon's control socket", DEFAULT_SOCKET)
    .option('--state <directory>', 'where networks and endpoints are written down', STATE_DIRECTORY)
    .option(
      '--with-daemon <file>',
      'start a daemon with this configuration and a store in the directory of --state',
    )
    .addHelpText('after', `\n${daemonExitCodeHelp('secgroupd-docker')}`)
    .allowExcessArguments(false)
    .action(run);
}
