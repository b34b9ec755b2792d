/** Reads the routes of route tables of a plan or state: blocks in the table, and resources of their own. */
import { parseCidr, type Cidr } from '../../addr/address.ts';
import type { Route, RouteTable } from '../../policy/model.ts';
import { objectsOf, own, textOf, textsOf, type JsonObject } from '../../source/json-values.ts';
import type { DraftList } from '../draft-parts.ts';
import { isUnknown } from './links.ts';
import type { Reading } from './reading.ts';
import type { Instance } from './resource.ts';

/** What a route may lead to: the attribute, and how ids of that begin; none: several kinds do. */
const TARGETS: readonly (readonly [attribute: string, prefix: string | undefined])[] = [
  ['gateway_id', undefined],
  ['nat_gateway_id', 'nat-'],
  ['egress_only_gateway_id', 'eigw-'],
  ['transit_gateway_id', 'tgw-'],
  ['vpc_peering_connection_id', 'pcx-'],
  ['network_interface_id', 'eni-'],
  ['instance_id', 'i-'],
  ['local_gateway_id', 'lgw-'],
  ['carrier_gateway_id', 'cagw-'],
  ['vpc_endpoint_id', 'vpce-'],
  ['core_network_arn', 'arn:'],
];
/** What `gateway_id` may name. */
const GATEWAYS: ReadonlyMap<string, string> = new Map([
  ['aws_internet_gateway', 'igw-'],
  ['aws_vpn_gateway', 'vgw-'],
  ['aws_vpc_endpoint', 'vpce-'],
]);
const IPV4 = ['cidr_block', 'destination_cidr_block'];
const IPV6 = ['ipv6_cidr_block', 'destination_ipv6_cidr_block'];

interface ReadRoute {
  readonly destination: string | { readonly list: string };
  readonly target: string;
}

export class TerraformRoutes {
  private readonly id: string;
  private readonly routes: ReadRoute[];
  private isPartial: boolean;
  private made: RouteTable | undefined;

  private readonly lacksIpv6: boolean;

  /**
   * @param blocks of its VPC, which each table has a route to; none: they are not known
   * @param lacksIpv6 the VPC gets a block of IPv6 that is not known yet: what other routes are for is not known then
   */
  constructor(id: string, blocks: readonly string[], lacksIpv6 = false) {
    this.id = id;
    this.lacksIpv6 = lacksIpv6;
    this.routes = blocks.map((destination) => ({ destination, target: 'local' }));
    this.isPartial = blocks.length === 0;
  }

  /** @param route undefined: one that can't be read */
  add(route: ReadRoute | undefined): void {
    if (route === undefined) this.isPartial = true;
    else this.routes.push(route);
  }

  finish(lists: ReadonlyMap<string, DraftList>): RouteTable {
    if (this.made !== undefined) return this.made;
    const routes: Route[] = [];
    for (const { destination, target } of this.routes) {
      const blocks = blocksOf(destination, lists);
      const isIpv6 = blocks?.some(({ family }) => family === 6) === true;
      if (blocks === undefined || (isIpv6 && this.lacksIpv6)) this.isPartial = true;
      else for (const block of blocks) routes.push({ block, target, isBlackhole: false });
    }
    routes.sort((a, b) => b.block.length - a.block.length);
    this.made = { id: this.id, routes, isPartial: this.isPartial };
    return this.made;
  }
}

/** Undefined: they are not known. */
function blocksOf(
  destination: ReadRoute['destination'],
  lists: ReadonlyMap<string, DraftList>,
): readonly Cidr[] | undefined {
  if (typeof destination === 'string') {
    const parsed = parseCidr(destination, 'mask');
    return parsed.ok ? [parsed.value] : undefined;
  }
  const list = lists.get(destination.list);
  if (list === undefined || list.gaps.length > 0) return undefined;
  const blocks = list.entries.map(({ cidr }) => parseCidr(cidr, 'mask'));
  return blocks.every((one) => one.ok) ? blocks.map((one) => one.value) : undefined;
}

/** A route that is a resource of its own. */
export function readRoute(reading: Reading, one: Instance): ReadRoute | undefined {
  const { values, unknown } = one;
  const expressions = reading.links.expressionsOf(one);
  return routeOf(reading, one, { values, unknown, expressionOf: (name) => own(expressions, name) });
}

/** By what such a resource is known in its table. */
export function routeKeyOf(values: JsonObject): string {
  return [...IPV4, ...IPV6].flatMap((name) => textOf(own(values, name)) ?? []).join();
}

/** The routes that a table has in blocks. @param removed those that resources had and a plan removes (routeKeyOf) */
export function inlineRoutes(
  reading: Reading,
  one: Instance,
  removed: ReadonlySet<string>,
): readonly (ReadRoute | undefined)[] {
  const unknown = own(one.unknown, 'route');
  const written = own(reading.links.expressionsOf(one), 'route');
  const routes = objectsOf(own(one.values, 'route')).flatMap((values, i) => {
    if (removed.has(routeKeyOf(values))) return [];
    const own_ = Array.isArray(unknown) ? (unknown[i] as unknown) : undefined;
    // A set has another order than what is written: all blocks together say what such a target may be.
    const expressionOf = (name: string): unknown =>
      Array.isArray(written) ? written.map((block) => own(block, name)) : written;
    return [routeOf(reading, one, { values, unknown: own_, expressionOf })];
  });
  const isOpen = unknown === true && reading.isWritten(one, 'route');
  // What a VPN gateway propagates is in no plan.
  const isPropagated = textsOf(own(one.values, 'propagating_vgws')).length > 0;
  return isOpen || isPropagated ? [...routes, undefined] : routes;
}

interface RoutePart {
  readonly values: JsonObject;
  readonly unknown: unknown;
  readonly expressionOf: (name: string) => unknown;
}

function routeOf(reading: Reading, one: Instance, part: RoutePart): ReadRoute | undefined {
  const { values } = part;
  const target = TARGETS.map(([name, prefix]) => targetOf(reading, one, part, name, prefix)).find(
    (found) => found !== undefined,
  );
  if (target === undefined) return undefined;
  const [block] = [...IPV4, ...IPV6].flatMap((name) => textOf(own(values, name)) ?? []);
  if (block !== undefined && block !== '') return { destination: block, target };
  const expression = part.expressionOf('destination_prefix_list_id');
  const value = own(values, 'destination_prefix_list_id');
  const unknown = own(part.unknown, 'destination_prefix_list_id');
  const list = reading.one(reading.links.at(one, { value, unknown, expression }, 'list'));
  return list === undefined ? undefined : { destination: { list }, target };
}

/** What a route leads to by one attribute: an id, or what begins as such ids do; undefined: nothing that is known. */
function targetOf(
  reading: Reading,
  one: Instance,
  { values, unknown, expressionOf }: RoutePart,
  name: string,
  prefix: string | undefined,
): string | undefined {
  const known = textOf(own(values, name));
  if (known !== undefined && known !== '') return known;
  if (!isUnknown(own(unknown, name))) return undefined;
  const found = reading.links.follow(one, expressionOf(name)).map(({ instance }) => instance);
  const kinds = new Set(found.map(({ type }) => prefix ?? GATEWAYS.get(type)));
  const [kind] = kinds;
  if (kinds.size !== 1 || kind === undefined)
    return prefix === undefined ? undefined : `${prefix}…`;
  return found.length === 1 ? `${kind}${found[0].address}` : `${kind}…`;
}
