/** This file reads what instances are told by DHCP: the section `dhcpOptions`, and whether a device is served. */
import { parseAddress } from '../addr/address.ts';
import { portKind } from '../ports/port-kind.ts';
import { get, type Node } from '../source/yaml.ts';
import type { DeviceConfig, DhcpOptions } from './config.ts';
import { fail, readBoolean, readItems, readText, take, type Reader } from './config-reader.ts';
import { DNS_SERVERS_MAX } from './limits.ts';

type ServedDevice = Pick<DeviceConfig, 'kind' | 'configure' | 'netns'>;

/**
 * Whether a device is served where nothing says it: there is an instance on its link, which nothing here configures. A
 * TAP in the daemon's own namespace is an interface of the host, which would take the advertised router for its own.
 */
export function isServedByDefault({ kind, configure, netns }: ServedDevice): boolean {
  const { hasEthernet, leadsToGuest } = portKind(kind);
  return hasEthernet && !configure && (leadsToGuest || netns !== undefined);
}

/** Reads `dhcp` of an interface's device. */
export function readServed(reader: Reader, device: Node, served: ServedDevice): boolean {
  const { kind } = served;
  const isServed = readBoolean(reader, device, 'dhcp', isServedByDefault(served));
  if (!isServed || portKind(kind).hasEthernet) return isServed;
  const message = `a ${kind} carries no Ethernet, so nobody can ask for an address there`;
  fail(reader, get(device, 'dhcp')!, 'dhcp-without-link', message, 'leave dhcp out');
  return false;
}

export function readDhcpOptions(reader: Reader, section: Node | undefined): DhcpOptions {
  if (section !== undefined && section.kind !== 'mapping')
    reader.misses.push({ node: section, expected: 'a mapping' });
  const list = get(section, 'domainNameServers');
  if (list === undefined) return { domainNameServers: undefined };
  const counts = { 4: 0, 6: 0 };
  const domainNameServers = readItems(reader, list).flatMap((node) => {
    const text = readText(reader, node);
    const address =
      text === undefined ? undefined : take(reader, node, 'bad-address', parseAddress(text));
    if (address === undefined) return [];
    if (++counts[address.family] <= DNS_SERVERS_MAX) return [address];
    const message = `there are more than ${DNS_SERVERS_MAX} DNS servers of IPv${address.family}`;
    fail(reader, node, 'too-many-dns-servers', message, 'AWS has at most 4 in a set; leave it out');
    return [];
  });
  return { domainNameServers };
}
