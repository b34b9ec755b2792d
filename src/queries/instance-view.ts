/** This file says of whom an address is, for what answers an instance's questions about itself. */
import { formatAddress, formatCidr, parseAddress, type Address } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import { macAddressText } from '../config/device-specs.ts';
import type { InterfaceId } from '../policy/model.ts';
import { RequestError } from './traffic-filter.ts';

export interface InstanceView {
  readonly id: string;
  readonly name: string;
  readonly macAddress: string;
  /** The primary one of each family is in front of the others. */
  readonly addresses: readonly string[];
  readonly groups: readonly { readonly id: string; readonly name: string }[];
  /** Blocks of the subnets that its addresses are in, as far as they are known. */
  readonly subnets: readonly string[];
  /** Absent: nothing has said that there is one. */
  readonly vpc?: { readonly id: string; readonly cidrBlocks: readonly string[] };
  readonly tags: Readonly<Record<string, string>>;
  /** `i-…`, as calls of the EC2 API call it; absent: they say nothing of an instance. */
  readonly instanceId?: string;
  readonly deviceIndex?: number;
  /** `subnet-…`, and the availability zone that it is in. Absent: no call has made it. */
  readonly subnetId?: string;
  readonly zone?: string;
}

/** What calls of the EC2 API have said of an interface. */
export type ToldOfInterface = Pick<
  InstanceView,
  'tags' | 'instanceId' | 'deviceIndex' | 'subnetId' | 'zone'
>;

/** For each configuration, the interfaces by address. */
const byAddress = new WeakMap<Config, ReadonlyMap<string, InterfaceId>>();

type ToldOf = (id: InterfaceId) => ToldOfInterface;

/**
 * @throws RequestError if it is no address
 */
export function findInstance(
  config: Config,
  address: string,
  toldOf: ToldOf,
): { readonly instance?: InstanceView } {
  const parsed = parseAddress(address);
  if (!parsed.ok) throw new RequestError(parsed.message);
  const instance = describeInstance(config, parsed.value, toldOf);
  return instance === undefined ? {} : { instance };
}

function describeInstance(
  config: Config,
  address: Address,
  toldOf: ToldOf,
): InstanceView | undefined {
  const id = addressesOf(config).get(formatAddress(address));
  const entry = config.interfaces.find((one) => one.id === id);
  if (id === undefined || entry === undefined) return undefined;
  const { groups, interfaces, vpcs } = config.model;
  const { name, addresses, groupIds, vpc: ref } = interfaces.get(id)!;
  const [only] = vpcs?.values() ?? [];
  const vpc = ref === undefined ? only : vpcs?.get(ref.id);
  return {
    id,
    name,
    macAddress: entry.device.mac ?? macAddressText(id),
    addresses: addresses.map(formatAddress),
    groups: groupIds.map((group) => ({ id: group, name: groups.get(group)?.name ?? group })),
    subnets: entry.subnets.map(formatCidr),
    ...(vpc === undefined
      ? {}
      : { vpc: { id: vpc.id, cidrBlocks: vpc.cidrBlocks.map(formatCidr) } }),
    ...toldOf(id),
  };
}

function addressesOf(config: Config): ReadonlyMap<string, InterfaceId> {
  let found = byAddress.get(config);
  if (found === undefined) {
    found = new Map(
      [...config.model.interfaces.values()].flatMap(({ id, addresses, isPlatform }) =>
        isPlatform === true ? [] : addresses.map((one) => [formatAddress(one), id] as const),
      ),
    );
    byAddress.set(config, found);
  }
  return found;
}
