/** Two namespaces, and a firewall between them that lets the client reach a few ports of the server. */
import type { Netns } from '../../support/netns.ts';
import { makeNetns } from '../../support/netns.ts';
import type { Bench } from '../bench.ts';

/** The policy of every rival: the client may open these TCP and UDP ports of the server, and nothing else passes but answers. */
export const FIRST_PORT = 5201;
export const LAST_PORT = 5204;
export const STREAM_PORT = 5201;
export const LOAD_PORT = 5202;
export const CONNECT_PORT = 5203;
export const ECHO_PORT = 5204;
export const REFUSED_PORT = 5300;

export interface Rival {
  /** A `RivalName`, or what is native to a door. */
  readonly name: string;
  /** Set at a door's: its figures are the door's, not those of the load by itself. */
  readonly door?: string;
  readonly client: Netns;
  readonly server: Netns;
  readonly clientAddress: string;
  /** As the client asks for it. */
  readonly serverAddress: string;
  /** The server's own, where the client asks for a published port of another. */
  readonly ownAddress?: string;
  /** Whether it has a policy to hold it to; the relay has none. */
  readonly refuses: boolean;
  /** Of the process that forwards; the kernel has none. */
  readonly pid?: number;
}

const SYSCTLS = [
  // Or the kernel's router solicitations and neighbour discovery would be traffic too.
  'net.ipv6.conf.all.disable_ipv6=1',
  'net.ipv6.conf.default.disable_ipv6=1',
  // Source ports of connections that ended a second ago, and fewer of them than there is room for anywhere.
  'net.ipv4.tcp_tw_reuse=1',
  'net.ipv4.ip_local_port_range=20000 52767',
  'net.core.somaxconn=4096',
];

/** The client's and the server's namespace, the same for all rivals. */
export async function makeEnds(bench: Bench): Promise<{ client: Netns; server: Netns }> {
  const [client, server] = await Promise.all([makeNetns(bench.scope), makeNetns(bench.scope)]);
  for (const end of [client, server]) await end.mustRun('sysctl', ['-q', '-w', ...SYSCTLS]);
  return { client, server };
}

/** Address and port of a server, for its command line. */
export function listenAt({ serverAddress, ownAddress }: Rival, port: number): [string, string] {
  return [ownAddress ?? serverAddress, String(port)];
}

/** For progress and notes. */
export function titleOf({ door, name }: Rival): string {
  return door === undefined ? name : `${name}, ${door}`;
}

/** Proves that what should pass does, and that what should not does not: else nothing measured would mean anything. */
export async function checkRival(bench: Bench, rival: Rival): Promise<void> {
  const answersAt = async (port: number): Promise<boolean> => {
    const roundTrip = bench.tool('round-trip');
    const echo = await rival.server.start(roundTrip, ['echo', ...listenAt(rival, port)]);
    await echo.waitFor(/ready/);
    const ask = ['ask', rival.serverAddress, String(port), '10000', '0.5'];
    const { samples } = JSON.parse(await rival.client.mustRun(roundTrip, ask)) as {
      samples: number;
    };
    await echo.stop();
    return samples > 0;
  };
  if (!(await answersAt(ECHO_PORT)))
    throw new Error(
      `${titleOf(rival)}: port ${ECHO_PORT} does not answer, though its policy admits it`,
    );
  if (rival.refuses && (await answersAt(REFUSED_PORT)))
    throw new Error(
      `${titleOf(rival)}: port ${REFUSED_PORT} answers, though its policy refuses it`,
    );
}
