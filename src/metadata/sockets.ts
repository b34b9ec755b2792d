/**
 * This file opens the sockets of the services in the namespace of the platform's port, and gives up all rights
 * afterwards: what reads the packets of strangers can do nothing but answer them.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { isIPv6, type Server } from 'node:net';
import { addressTexts, PLATFORM_SERVICES } from '../config/platform-services.ts';
import type { Native } from '../ports/native.ts';
import type { PlatformView } from '../queries/platform-view.ts';

const HTTP_PORT = 80;
const DNS_PORT = 53;
/** AWS's hop limit for tokens. */
const METADATA_HOPS = 1;
const METADATA: ReadonlySet<string> = new Set(addressTexts('instance-metadata'));
/** Addresses of services that somebody else has to answer for. DNS has some that depend on the VPC. */
const OTHERS: ReadonlySet<string> = new Set(
  PLATFORM_SERVICES.filter((one) => one !== 'dns' && one !== 'instance-metadata').flatMap(
    addressTexts,
  ),
);

/** Descriptors of bound sockets. */
export interface BoundSockets {
  readonly metadata: readonly number[];
  readonly dnsStreams: readonly number[];
  readonly dnsDatagrams: readonly { readonly fd: number; readonly isIpv6: boolean }[];
}

/** @throws NativeError if one can't be had */
export function bindSockets(native: Native, { netns, addresses }: PlatformView): BoundSockets {
  const metadata = addresses.filter((one) => METADATA.has(one));
  const dns = addresses.filter((one) => !METADATA.has(one) && !OTHERS.has(one));
  return {
    metadata: metadata.map((one) => native.bindSocket(netns, one, HTTP_PORT, true, METADATA_HOPS)),
    dnsStreams: dns.map((one) => native.bindSocket(netns, one, DNS_PORT, true, 0)),
    dnsDatagrams: dns.map((one) => ({
      fd: native.bindSocket(netns, one, DNS_PORT, false, 0),
      isIpv6: isIPv6(one),
    })),
  };
}

export async function listenWith(server: Server, fd: number): Promise<void> {
  const listening = once(server, 'listening');
  server.listen({ fd });
  await listening;
}

export async function receiveWith(fd: number, isIpv6: boolean): Promise<DatagramSocket> {
  const socket = createSocket(isIpv6 ? 'udp6' : 'udp4');
  // With a descriptor it may listen at once.
  const listening = once(socket, 'listening');
  socket.bind({ fd });
  await listening;
  return socket;
}

/**
 * Becomes a user, with the group of the socket where it asks and no other.
 * @throws Error if rights are left afterwards
 */
export function giveUpRights(user: string, socket: string): void {
  if (process.getuid!() === 0) {
    const { gid } = statSync(socket);
    if (gid === 0)
      throw new Error(
        `${socket} is for root's group, whose rights this program must not have; make its folder with another group (install -d -m 2750 -g nogroup FOLDER) and start the daemon again`,
      );
    process.setgroups!([]);
    process.setgid!(gid);
    process.setuid!(user);
  }
  const status = readFileSync('/proc/self/status', 'utf8');
  const left = /^Cap(?:Prm|Eff|Amb):\s*0*[1-9a-f]/im.exec(status);
  if (process.getuid!() === 0 || left !== null)
    throw new Error(`it would read strangers' packets with rights of root; give another --user`);
}
