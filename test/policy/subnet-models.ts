/** Draws what subnets ask: network ACLs, route tables, and ends of flows in subnets that have them. */
import fc from 'fast-check';
import { cidrContains, formatCidr, type Address } from '../../src/addr/address.ts';
import { DEFAULT_CONNECTION_TRACKING } from '../../src/policy/idle-timeouts.ts';
import type { AclEntry, NetworkAcl, NetworkInterface, RouteTable } from '../../src/policy/model.ts';
import type { SubnetEnd } from '../../src/policy/subnets.ts';
import { ADDRESSES, BLOCKS } from './doubt-models.ts';

export const PORTS = [0, 80, 443, 1023, 1024, 40000, 65535];
const TARGETS = ['local', 'igw-1', 'nat-1', 'eigw-1', 'tgw-1'];

const ports = fc
  .tuple(fc.constantFrom(...PORTS), fc.constantFrom(...PORTS))
  .map(([a, b]) => ({ fromPort: Math.min(a, b), toPort: Math.max(a, b) }));
const services = fc.oneof(
  fc.tuple(fc.constantFrom(6, 17), ports).map(([protocol, range]) => ({ protocol, ...range })),
  fc.constant({ protocol: -1, fromPort: -1, toPort: -1 }),
);
const entries: fc.Arbitrary<AclEntry> = fc
  .record({
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    number: fc.constantFrom(100, 200, 300, 32767),
    isAllow: fc.boolean(),
    block: fc.option(fc.constantFrom(...BLOCKS), { nil: undefined, freq: 8 }),
    service: services,
  })
  .map(({ service, ...rest }) => ({ ...rest, ...service }));
const acls: fc.Arbitrary<NetworkAcl> = fc
  .uniqueArray(entries, {
    maxLength: 6,
    selector: ({ direction, number }) => `${direction}${number}`,
  })
  .map((all) => ({ id: 'acl-1', entries: all.sort((a, b) => a.number - b.number) }));
const tables: fc.Arbitrary<RouteTable> = fc.record({
  id: fc.constant('rtb-1'),
  routes: fc
    .uniqueArray(
      fc.record({
        block: fc.constantFrom(...BLOCKS),
        target: fc.constantFrom(...TARGETS),
        isBlackhole: fc.boolean(),
      }),
      { maxLength: 4, selector: ({ block }) => formatCidr(block) },
    )
    .map((all) => all.sort((a, b) => b.block.length - a.block.length)),
  isPartial: fc.boolean(),
});
export const ends: fc.Arbitrary<Place> = fc.record({
  address: fc.constantFrom(...ADDRESSES),
  own: fc.option(
    fc.record({
      subnetId: fc.constantFrom('subnet-1', 'subnet-2'),
      acl: fc.option(acls, { nil: undefined }),
      routes: fc.option(tables, { nil: undefined }),
      hasPublicAddress: fc.boolean(),
    }),
    { nil: undefined, freq: 4 },
  ),
});

export interface Place {
  readonly address: Address;
  readonly own:
    | {
        readonly subnetId: string;
        readonly acl: NetworkAcl | undefined;
        readonly routes: RouteTable | undefined;
        readonly hasPublicAddress: boolean;
      }
    | undefined;
}

export function endOf({ address, own }: Place): SubnetEnd {
  const isIn: SubnetEnd['isIn'] = (block) => (cidrContains(block, address) ? 'yes' : 'no');
  if (own === undefined) return { own: undefined, isIn };
  const { subnetId, acl, routes, hasPublicAddress } = own;
  const network: NetworkInterface = {
    ...{ id: subnetId, name: subnetId, addresses: [address], groupIds: [], sourceDestCheck: true },
    connectionTracking: DEFAULT_CONNECTION_TRACKING,
    hasPublicAddress,
    subnet: {
      id: subnetId,
      ...(acl === undefined ? {} : { acl }),
      ...(routes === undefined ? {} : { routes }),
    },
    origin: { file: 'x', line: 1, column: 1, path: '' },
  };
  return { own: network, isIn };
}
