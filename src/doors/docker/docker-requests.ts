/**
 * This file reads the requests of Docker's network driver protocol into what the driver acts on. Whatever the driver
 * can't do is refused here, with a sentence that `docker` shows its user.
 */
import {
  formatAddress,
  parseAddress,
  parseCidr,
  formatCidr,
  type Parsed,
} from '../../addr/address.ts';
import { printable } from '../../source/excerpt.ts';
import { listWords } from '../../source/suggest.ts';
import { NO_KIND } from '../../ports/port-kind.ts';
import { readKind } from '../device-kind.ts';
import { isIpv6 } from '../names.ts';
import { DoorError, readGroupList, readSelection, type Selection } from '../selection.ts';
import type { Members } from './members.ts';
import type { Network, PublishedPort } from './state.ts';

/** The address space of our IPAM driver: a network that has addresses of it has that driver. */
export const ADDRESS_SPACE = 'secgroupd';
/** Docker's ids have 64 hexadecimal digits. */
const ID = /^[0-9a-f]{1,128}$/;
/** Keys of Docker's own among the options of an endpoint. All others are the user's. */
const OWN_PREFIX = 'com.docker.';
const NETWORK_KEYS = ['sg', 'masquerade', 'kind'];
const PROTOCOLS: Readonly<Record<number, PublishedPort['protocol']>> = {
  6: 'tcp',
  17: 'udp',
  132: 'sctp',
};
const PORT_MAX = 65_535;

export interface EndpointRequest {
  readonly networkId: string;
  readonly endpointId: string;
  readonly addresses: readonly string[];
  readonly selection: Selection;
  readonly ports: readonly PublishedPort[];
}

export function readId(request: Members, name: 'NetworkID' | 'EndpointID'): string {
  const id = request.text(name);
  if (ID.test(id)) return id;
  throw new DoorError(`${name} '${printable(id.slice(0, 64))}' is no id`);
}

/** CreateNetwork. @throws DoorError if the network is to be what it can't be */
export function readNetwork(request: Members): Network {
  const options = request.object('Options');
  if (options.flag('com.docker.network.internal'))
    throw new DoorError(
      'a network of secgroupd is never --internal: the egress rules of the groups say what its containers reach',
    );
  const given = options.object('com.docker.network.generic');
  const unknown = given.names.filter((name) => !NETWORK_KEYS.includes(name));
  if (unknown.length > 0)
    throw new DoorError(
      `${listWords(unknown.map((name) => printable(name.slice(0, 64))))} is no option of a network of secgroupd: there are sg=web,db, masquerade=false and kind=veth`,
    );
  const data = [...request.objects('IPv4Data'), ...request.objects('IPv6Data')];
  const subnets = data.map((one) => {
    const pool = must(parseCidr(one.text('Pool'), 'mask'), 'the subnet');
    const gateway = one.text('Gateway').replace(/\/\d+$/, '');
    return {
      cidr: formatCidr(pool),
      ...(gateway === '' ? {} : { gateway: addressText(gateway, 'the gateway') }),
    };
  });
  const isLeased = data.some((one) => one.text('AddressSpace') === ADDRESS_SPACE);
  if (isLeased && data.some((one) => one.object('AuxAddresses').names.length > 0))
    throw new DoorError(
      '--aux-address is not for a network with the IPAM driver secgroupd: make an interface by a call of the EC2 API for each address that something else has',
    );
  const sg = given.text('sg');
  const masquerade = given.text('masquerade');
  if (!['', 'true', 'false'].includes(masquerade))
    throw new DoorError(`masquerade=${printable(masquerade.slice(0, 64))} is not true or false`);
  const kind = readKind(given.text('kind'));
  return {
    subnets,
    masquerade: masquerade !== 'false',
    ...(kind === NO_KIND ? {} : { kind }),
    ...(isLeased ? { isLeased } : {}),
    ...(sg === '' ? {} : { securityGroups: readGroupList(sg) }),
  };
}

/** CreateEndpoint. @throws DoorError if no group is named, or something is asked for that can't be had */
export function readEndpoint(request: Members, network: Network): EndpointRequest {
  const device = request.object('Interface');
  const options = request.object('Options');
  if (device.text('MacAddress') !== '')
    throw new DoorError(
      'a container of a secgroupd network has no MAC address to choose (a TUN has none, and any other device the one that follows from its interface): leave --mac-address out',
    );
  const addresses = ['Address', 'AddressIPv6']
    .map((name) => device.text(name).replace(/\/\d+$/, ''))
    .filter((text) => text !== '')
    .map((text) => addressText(text, 'the address'));
  return {
    networkId: readId(request, 'NetworkID'),
    endpointId: readId(request, 'EndpointID'),
    addresses,
    selection: chooseSelection(options, network),
    ports: options
      .objects('com.docker.network.portmap')
      .flatMap((binding) => readPort(binding, addresses)),
  };
}

function chooseSelection(options: Members, { securityGroups }: Network): Selection {
  const own = options.names.filter((name) => !name.startsWith(OWN_PREFIX));
  if (own.length === 0 && securityGroups !== undefined) return { kind: 'groups', securityGroups };
  return readSelection(new Map(own.map((name) => [name, options.text(name)])));
}

/** A binding as one port for each family that it is for. */
function readPort(binding: Members, addresses: readonly string[]): PublishedPort[] {
  const protocol = PROTOCOLS[binding.count('Proto')];
  const port = binding.count('Port');
  const hostPort = binding.count('HostPort');
  const hostPortEnd = binding.count('HostPortEnd');
  if (protocol === undefined) throw new DoorError('only ports of tcp, udp and sctp are published');
  if (hostPort === 0 || (hostPortEnd !== 0 && hostPortEnd !== hostPort))
    throw new DoorError(
      `port ${port} is published without a port of the host, which Docker has no way to be told: write -p 8080:${port}`,
    );
  if (port === 0 || port > PORT_MAX || hostPort > PORT_MAX)
    throw new DoorError(`ports go from 1 to ${PORT_MAX}`);
  const given = binding.text('HostIP');
  const hostAddress = given === '' ? '' : addressText(given, 'the address of the host');
  if (hostAddress.startsWith('127.') || hostAddress === '::1')
    throw new DoorError(
      `port ${hostPort} is published at ${hostAddress}, from where no packet can reach a container: publish it at an address of the host, and say in a group who may come in`,
    );
  return addresses
    .filter((address) => hostAddress === '' || isIpv6(hostAddress) === isIpv6(address))
    .map((address) => ({
      ...{ protocol, hostPort, address, port },
      hostAddress: ['0.0.0.0', '::'].includes(hostAddress) ? '' : hostAddress,
    }));
}

function addressText(text: string, what: string): string {
  return formatAddress(must(parseAddress(text), what));
}

function must<T>(parsed: Parsed<T>, what: string): T {
  if (parsed.ok) return parsed.value;
  throw new DoorError(`${what}: ${printable(parsed.message.slice(0, 200))}`);
}
