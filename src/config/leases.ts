/**
 * This file says what DHCP tells an instance about its interface.
 *
 * Address: the primary one of each family. Mask and router: those of the subnet that the address is in, as in AWS;
 * without a subnet, those of an address of the uplink whose prefix has it; otherwise the address is alone in its prefix
 * (/32), and the router is on the link by a route of its own. Which address the router has matters little: every
 * address that the instance asks for is the gateway's.
 */
import { addressBits, cidrContains, maskWords, type Address, type Cidr } from '../addr/address.ts';
import type { NetworkInterface } from '../policy/model.ts';
import { PROTOCOL_UDP } from '../policy/protocols.ts';
import type { DeviceSpec } from '../ports/device.ts';
import type { Config, InterfaceConfig } from './config.ts';
import { routerOf } from './config-vpcs.ts';

type Lease = NonNullable<DeviceSpec['lease']>;
type Lease4 = NonNullable<Lease['ipv4']>;

const DNS_PORT = 53;
/** The router where nothing gives it an address: one that no packet is for (RFC 3927). */
const ROUTER_ALONE = 0xa9fe0001 | 0;

/** The lease of an interface; undefined if it is not served. */
export function leaseOf(config: Config, entry: InterfaceConfig): Lease | undefined {
  if (!entry.device.dhcp) return undefined;
  const member = config.model.interfaces.get(entry.id)!;
  const [address4] = member.addresses.filter(({ family }) => family === 4);
  const [address6] = member.addresses.filter(({ family }) => family === 6);
  return {
    ipv4: address4 === undefined ? undefined : lease4(config, entry, member, address4),
    ipv6:
      address6 === undefined
        ? undefined
        : {
            address: address6.words,
            dns: dnsServers(config, member, 6).flatMap(({ words }) => words),
          },
  };
}

function lease4(
  config: Config,
  entry: InterfaceConfig,
  member: NetworkInterface,
  address: Address,
): Lease4 {
  const dns = dnsServers(config, member, 4).map(({ words }) => words[0]);
  return { address: address.words[0], ...linkOf(config, entry, address), dns };
}

function linkOf(
  { uplink }: Config,
  { subnets }: InterfaceConfig,
  address: Address,
): Pick<Lease4, 'prefixLength' | 'router'> {
  const bits = addressBits(4);
  const [subnet] = subnets
    .filter((one) => one.family === 4 && cidrContains(one, address))
    .sort((a, b) => b.length - a.length);
  if (subnet !== undefined) return { prefixLength: subnet.length, router: routerOf(subnet).words[0] }; // prettier-ignore
  const own = (uplink?.addresses ?? []).filter((one) => one.address.family === 4);
  const beside = own.find(
    ({ address: { words }, length }) =>
      length < bits &&
      cidrContains({ family: 4, words: maskWords(words, length), length }, address),
  );
  if (beside !== undefined) return { prefixLength: beside.length, router: beside.address.words[0] };
  return { prefixLength: bits, router: own[0]?.address.words[0] ?? ROUTER_ALONE };
}

/** The DNS servers that `dhcpOptions` names; otherwise that of the platform, if something provides it. */
function dnsServers(
  { dhcpOptions, special, model }: Config,
  { vpc }: NetworkInterface,
  family: Address['family'],
): readonly Address[] {
  const { domainNameServers } = dhcpOptions;
  if (domainNameServers !== undefined)
    return domainNameServers.filter((one) => one.family === family);
  const provided = special.exempt.flatMap(({ address, protocol, port }) =>
    protocol === PROTOCOL_UDP && port === DNS_PORT && address.family === family ? [address] : [],
  );
  // Base + 2 of the VPC. Where that isn't known, any that is in no other VPC: the same for all.
  const all = [...(model.vpcs?.values() ?? [])];
  const blocks = (some: typeof all): readonly Cidr[] => some.flatMap((one) => one.cidrBlocks);
  const own = blocks(vpc === undefined ? all : all.filter(({ id }) => id === vpc.id));
  const isIn = (list: readonly Cidr[], one: Address): boolean =>
    list.some((cidr) => cidrContains(cidr, one));
  const nearest =
    provided.find((one) => isIn(own, one)) ?? provided.find((one) => !isIn(blocks(all), one));
  return nearest === undefined ? [] : [nearest];
}
