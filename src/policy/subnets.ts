/**
 * What AWS asks of a flow beside groups, where an input says it: the network ACLs of the subnets, which have no
 * memory, and the routes of the subnets. No gate here asks them: they are for judging what an account has.
 *
 * Theory of operation. A flow between two ends meets passages in order: the route of the sender's subnet, its ACL on
 * the way out, the ACL of the receiver's subnet on the way in, the receiver's route back. Each lets a set of services
 * pass for certain, and a larger one perhaps (service-set.ts). An ACL asks its entries by their numbers, and the first
 * that matches decides; an entry of which nobody knows whether it matches is read once as if it did, once as if it did
 * not. An ACL also judges the answers of TCP, which go to the sender's source port: no connection is made without
 * them. What is within one subnet meets no ACL, and what is within one VPC needs no route.
 *
 * Sources: Amazon VPC User Guide, "Network ACLs" (order, ephemeral ports), "Configure route tables" (the longest prefix
 * decides), "Enable internet access using internet gateways" (public addresses), "NAT gateways".
 */
import type { Cidr, Family } from '../addr/address.ts';
import type { Tri } from './doubt.ts';
import type { AclEntry, Direction, NetworkAcl, NetworkInterface, Route } from './model.ts';
import { PROTOCOL_TCP } from './protocols.ts';
import {
  EVERY_SERVICE,
  hasService,
  intersect,
  NO_SERVICE,
  servicesOf,
  subtract,
  unite,
  type ServiceSet,
} from './service-set.ts';

/** Where systems take source ports from, all of them together. */
export const EPHEMERAL_PORTS: PortRange = [1024, 65535];
type PortRange = readonly [first: number, last: number];

const ALL_TCP = servicesOf({ protocol: PROTOCOL_TCP, fromPort: 0, toPort: 65535 });

/** One end of a flow. */
export interface SubnetEnd {
  /** Undefined: it is outside, or nothing is known of it. */
  readonly own: NetworkInterface | undefined;
  /** Whether a block has its address. */
  readonly isIn: (block: Cidr) => Tri;
}

export interface Passage {
  readonly what: 'route' | 'network-acl';
  /** What it lets pass for certain, and what perhaps. */
  readonly sure: ServiceSet;
  readonly maybe: ServiceSet;
  /** What it is, as the subject of a sentence: `the ACL acl-1 of subnet-1, on the way out`. */
  readonly name: string;
}

/** What a flow from one end to the other meets, in order. @param answerPorts where TCP's answers go */
export function passagesBetween(
  from: SubnetEnd,
  to: SubnetEnd,
  family: Family,
  answerPorts: PortRange = EPHEMERAL_PORTS,
): readonly Passage[] {
  const [source, target] = [from.own?.subnet, to.own?.subnet];
  if (source !== undefined && source.id === target?.id) return [];
  return [
    ...routePassages(from.own, to, 'out', family),
    ...aclPassages(from, to, 'egress', answerPorts),
    ...aclPassages(to, from, 'ingress', answerPorts),
    ...routePassages(to.own, from, 'in', family),
  ];
}

/** The blocks that filters of subnets name: they tell addresses apart. */
export function* subnetBlocks(interfaces: Iterable<NetworkInterface>): Generator<Cidr> {
  const subnets = [...interfaces].flatMap(({ subnet }) => subnet ?? []);
  for (const acl of new Set(subnets.map((one) => one.acl)))
    for (const { block } of acl?.entries ?? []) if (block !== undefined) yield block;
  for (const table of new Set(subnets.map((one) => one.routes)))
    for (const { block } of table?.routes ?? []) yield block;
}

/** The ACL of an end's subnet, for flows in that direction: the flow itself, and TCP's answers the other way. */
function aclPassages(
  { own }: SubnetEnd,
  { isIn }: SubnetEnd,
  direction: Direction,
  answerPorts: PortRange,
): readonly Passage[] {
  const { id, acl } = own?.subnet ?? {};
  if (id === undefined || acl === undefined) return [];
  const [out, back] = direction === 'egress' ? ['out', 'in'] : ['in', 'out'];
  const name = `the network ACL ${acl.id} of ${id}`;
  const answers = aclServices(acl, direction === 'egress' ? 'ingress' : 'egress', isIn);
  const [first, last] = answerPorts;
  const wanted = servicesOf({ protocol: PROTOCOL_TCP, fromPort: first, toPort: last });
  const isSure = subtract(wanted, answers.sure).length === 0;
  const isPossible = intersect(wanted, answers.maybe).length > 0;
  return [
    {
      what: 'network-acl',
      ...aclServices(acl, direction, isIn),
      name: `${name}, on the way ${out}`,
    },
    {
      what: 'network-acl',
      sure: isSure ? EVERY_SERVICE : subtract(EVERY_SERVICE, ALL_TCP),
      maybe: isPossible ? EVERY_SERVICE : subtract(EVERY_SERVICE, ALL_TCP),
      name: `${name}, for answers on the way ${back} to ${portsText(answerPorts)}`,
    },
  ];
}

function portsText([first, last]: PortRange): string {
  return first === last ? `port ${first}` : `ports ${first}-${last}`;
}

/** What an ACL admits in a direction, for certain and perhaps. */
export function aclServices(
  { entries }: NetworkAcl,
  direction: Direction,
  isIn: SubnetEnd['isIn'],
): Pick<Passage, 'sure' | 'maybe'> {
  const own = entries.filter((entry) => entry.direction === direction);
  const admitted = (matches: (entry: AclEntry) => boolean): ServiceSet => {
    let open = EVERY_SERVICE;
    let admits = NO_SERVICE;
    for (const entry of own) {
      if (!matches(entry)) continue;
      const decided = intersect(open, servicesOf(entry));
      if (entry.isAllow) admits = unite([admits, decided]);
      open = subtract(open, decided);
    }
    return admits;
  };
  const answerOf = ({ block }: AclEntry): Tri => (block === undefined ? UNREAD : isIn(block));
  return {
    sure: admitted((entry) => {
      const answer = answerOf(entry);
      return answer === 'yes' || (answer !== 'no' && !entry.isAllow);
    }),
    maybe: admitted((entry) => {
      const answer = answerOf(entry);
      return answer === 'yes' || (answer !== 'no' && entry.isAllow);
    }),
  };
}

/** The first entry of an ACL that is, or may be, about a service; undefined: none is, so it refuses. */
export function entryFor(
  { entries }: NetworkAcl,
  direction: Direction,
  isIn: SubnetEnd['isIn'],
  service: number,
): AclEntry | undefined {
  return entries.find(
    (entry) =>
      entry.direction === direction &&
      (entry.block === undefined || isIn(entry.block) !== 'no') &&
      hasService(servicesOf(entry), service),
  );
}

const UNREAD: Tri = { why: 'it could not be read' };

/**
 * The route of an interface's subnet to the other end: for what it sends, or for its answers. Empty if nothing is known
 * of its routes.
 */
export function routePassages(
  own: NetworkInterface | undefined,
  other: SubnetEnd,
  way: 'out' | 'in',
  family: Family,
): readonly Passage[] {
  const { id, routes } = own?.subnet ?? {};
  if (own === undefined || id === undefined || routes === undefined) return [];
  const all = (sure: boolean, maybe: boolean, said: string): readonly Passage[] => [
    {
      what: 'route',
      sure: sure ? EVERY_SERVICE : NO_SERVICE,
      maybe: maybe ? EVERY_SERVICE : NO_SERVICE,
      name: `the route table ${routes.id} of ${id}${said}`,
    },
  ];
  const isPublic = own.hasPublicAddress !== false || family === 6;
  let mayPass = false;
  let mayFail: string | undefined;
  for (const route of routes.routes) {
    const answer = other.isIn(route.block);
    if (answer === 'no') continue;
    const refusal = refusalOf(route, way, isPublic);
    if (answer === 'yes') {
      if (refusal !== undefined) return all(false, mayPass, `: ${refusal}`);
      return mayFail === undefined ? all(true, true, '') : all(false, true, `: ${mayFail}`);
    }
    if (refusal === undefined) mayPass = true;
    else mayFail ??= refusal;
  }
  return all(false, mayPass || routes.isPartial, ', which has no route there');
}

/** Why a route leads nowhere in that direction; undefined: it may lead there. */
function refusalOf(
  { target, isBlackhole }: Route,
  way: 'out' | 'in',
  isPublic: boolean,
): string | undefined {
  if (isBlackhole) return `its route by ${target} is a black hole`;
  if (target.startsWith('igw-') && !isPublic)
    return `its route is ${target}, and the interface has no public address`;
  const isNat = target.startsWith('nat-') || target.startsWith('eigw-');
  return isNat && way === 'in' ? `its route is ${target}, which lets nobody in` : undefined;
}
