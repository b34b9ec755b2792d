/**
 * Reads the network ACLs and route tables of a plan or state, and says which a subnet has.
 *
 * A subnet has what names it, else what the plan says of its VPC's default ACL and main route table. Of a subnet that
 * nothing names, nothing is asked: what was there before, and what AWS makes with a VPC, is not in the plan. Where
 * something may or may not be a subnet's, nobody knows what passes: verdicts that depend on it are not decidable.
 * Sources: the pages of the types in the documentation of the AWS provider; policy/subnets.ts for what they decide.
 */
import type { Direction, SubnetFilters } from '../../policy/model.ts';
import { own, textOf } from '../../source/json-values.ts';
import { inlineEntries, ruleEntry, ruleKeyOf, TerraformAcl } from './network-acls.ts';
import type { Instance } from './resource.ts';
import { idOf, isUnknown, type Link, type LinkKind } from './links.ts';
import type { Reading } from './reading.ts';
import { inlineRoutes, readRoute, routeKeyOf, TerraformRoutes } from './route-tables.ts';

type Reader = (filters: Filters, one: Instance) => void;

/** In the order of reading. */
const PASSES: readonly Readonly<Record<string, Reader>>[] = [
  {
    aws_network_acl: (filters, one) => filters.enterAcl(one, idOf(one, 'acl')),
    aws_default_network_acl: (filters, one) => filters.enterAcl(one, filters.defaultAclId(one)),
    aws_route_table: (filters, one) => filters.enterTable(one, idOf(one, 'routes')),
    aws_default_route_table: (filters, one) => filters.enterTable(one, filters.mainTableId(one)),
  },
  {
    aws_network_acl: (filters, one) =>
      filters.associate('acl', one, 'subnet_ids', idOf(one, 'acl')),
    aws_default_network_acl: (filters, one) =>
      filters.associate('acl', one, 'subnet_ids', filters.defaultAclId(one)),
    aws_network_acl_rule: (filters, one) => filters.addEntry(one),
    aws_network_acl_association: (filters, one) => filters.follow('acl', one, 'network_acl_id'),
    aws_route: (filters, one) => filters.addRoute(one),
    aws_route_table_association: (filters, one) => filters.follow('routes', one, 'route_table_id'),
    aws_main_route_table_association: (filters, one) => filters.followMain(one),
  },
];

/** The types that are read here. */
export const FILTER_TYPES: ReadonlySet<string> = new Set(PASSES.flatMap(Object.keys));

/** Gives the interfaces of a draft what their subnets have. To be called when all else has been read. */
export function readSubnetFilters(reading: Reading): void {
  const { draft, world } = reading;
  const filters = new Filters(reading);
  for (const pass of PASSES)
    for (const one of world.instances)
      if (!one.isData && Object.hasOwn(pass, one.type)) pass[one.type](filters, one);
  for (const [id, one] of draft.interfaces) {
    const subnet = filters.of(one.subnetId, one.vpcId);
    if (subnet !== undefined) draft.interfaces.set(id, { ...one, filters: { subnet } });
  }
}

type Held = 'acl' | 'routes';
/** What nobody knows: it may refuse, and it may not. */
const UNKNOWN = Symbol('unknown');

class Filters {
  private readonly reading: Reading;
  private readonly acls = new Map<string, TerraformAcl>();
  private readonly tables = new Map<string, TerraformRoutes>();
  /** By subnet: the id of what it has. */
  private readonly ofSubnet: Readonly<Record<Held, Map<string, string | typeof UNKNOWN>>> = {
    acl: new Map(),
    routes: new Map(),
  };
  /** By VPC: that of subnets which nothing names. */
  private readonly ofVpc: Readonly<Record<Held, Map<string, string | typeof UNKNOWN>>> = {
    acl: new Map(),
    routes: new Map(),
  };
  private readonly names: ReadonlyMap<string, string>;

  constructor(reading: Reading) {
    this.reading = reading;
    this.names = new Map(
      reading.world.instances
        .filter(({ type }) => /^aws_(?:default_)?subnet$/.test(type))
        .map((one) => [idOf(one, 'subnet'), one.address]),
    );
  }

  /** The default ACL of a VPC is reached by the VPC, and by the resource that takes it over. */
  defaultAclId(one: Instance): string {
    return this.adopted(one, 'default_network_acl_id', 'acl');
  }

  mainTableId(one: Instance): string {
    return this.adopted(one, 'default_route_table_id', 'routes');
  }

  private adopted(one: Instance, attribute: string, kind: Held): string {
    const link = this.reading.links.of(one, attribute, kind);
    const own = idOf(one, kind);
    const id = this.reading.one(link) ?? own;
    this.reading.aliases.set(own, id);
    // The VPC may have it under a second attribute.
    if (kind === 'routes')
      for (const vpc of this.vpcsOf(one))
        for (const name of ['main_route_table_id', 'default_route_table_id'])
          this.reading.aliases.set(idOf(vpc, 'routes', name), id);
    return id;
  }

  private vpcsOf(one: Instance): readonly Instance[] {
    const id = this.vpcIdOf(one);
    return this.reading.world.instances.filter(
      (vpc) => /^aws_(?:default_)?vpc$/.test(vpc.type) && idOf(vpc, 'vpc') === id,
    );
  }

  /** The VPC that a resource names, or whose default it takes over. */
  private vpcIdOf(one: Instance): string | undefined {
    const { links, world } = this.reading;
    const named = this.reading.one(links.of(one, 'vpc_id', 'vpc'));
    if (named !== undefined) return named;
    for (const attribute of ['default_network_acl_id', 'default_route_table_id']) {
      const found = links
        .follow(one, own(links.expressionsOf(one), attribute))
        .filter(({ instance }) => /^aws_(?:default_)?vpc$/.test(instance.type));
      if (found.length === 1) return idOf(found[0].instance, 'vpc');
      const known = textOf(own(one.values, attribute));
      const vpc = world.instances.find(
        ({ type, values }) =>
          known !== undefined && type === 'aws_vpc' && own(values, attribute) === known,
      );
      if (vpc !== undefined) return idOf(vpc, 'vpc');
    }
    return undefined;
  }

  enterAcl(one: Instance, id: string): void {
    const removed = this.removed('aws_network_acl_rule', 'network_acl_id', id, ruleKeyOf);
    this.acls.set(id, new TerraformAcl(one.address, inlineEntries(this.reading, one, removed)));
    const vpcId = one.type === 'aws_default_network_acl' ? this.vpcIdOf(one) : undefined;
    if (vpcId !== undefined) this.ofVpc.acl.set(vpcId, id);
  }

  enterTable(one: Instance, id: string): void {
    const removed = this.removed('aws_route', 'route_table_id', id, routeKeyOf);
    const vpcId = this.vpcIdOf(one);
    const blocks = vpcId === undefined ? [] : (this.reading.draft.vpcs.get(vpcId)?.blocks ?? []);
    const lacksIpv6 = this.vpcsOf(one).some((vpc) => isUnknown(own(vpc.unknown, 'ipv6_cidr_block')) && isIpv6Asked(vpc)); // prettier-ignore
    const table = new TerraformRoutes(one.address, blocks, lacksIpv6);
    for (const route of inlineRoutes(this.reading, one, removed)) table.add(route);
    this.tables.set(id, table);
    if (one.type === 'aws_default_route_table' && vpcId !== undefined)
      this.ofVpc.routes.set(vpcId, id);
  }

  /** What a plan removes may still be listed in what it was in. */
  private removed(
    type: string,
    holder: string,
    id: string,
    keyOf: (before: Instance['values']) => string,
  ): ReadonlySet<string> {
    return new Set(
      this.reading.world.changes
        .filter(
          (one) => one.action !== 'add' && one.type === type && own(one.before, holder) === id,
        )
        .map(({ before }) => keyOf(before)),
    );
  }

  addEntry(one: Instance): void {
    const link = this.reading.links.of(one, 'network_acl_id', 'acl');
    const direction: Direction = own(one.values, 'egress') === true ? 'egress' : 'ingress';
    for (const id of link.ids) this.aclOf(this.reading.real(id)).add(ruleEntry(one, direction));
    const isAny = link.opaque.length > 0;
    const perhaps = isAny ? [...this.acls.keys()] : link.candidates;
    for (const id of perhaps) this.aclOf(this.reading.real(id)).doubt(direction);
  }

  addRoute(one: Instance): void {
    const link = this.reading.links.of(one, 'route_table_id', 'routes');
    for (const id of link.ids)
      this.tableOf(this.reading.real(id)).add(readRoute(this.reading, one));
    const isAny = link.opaque.length > 0;
    const perhaps = isAny ? [...this.tables.keys()] : link.candidates;
    for (const id of perhaps) this.tableOf(this.reading.real(id)).add(undefined);
  }

  /** One that is not in the plan: of its other entries nothing is known. */
  private aclOf(id: string): TerraformAcl {
    const known = this.acls.get(id);
    if (known !== undefined) return known;
    const made = new TerraformAcl(id, []);
    made.doubt('ingress');
    made.doubt('egress');
    this.acls.set(id, made);
    return made;
  }

  private tableOf(id: string): TerraformRoutes {
    const known = this.tables.get(id);
    if (known !== undefined) return known;
    const made = new TerraformRoutes(id, []);
    this.tables.set(id, made);
    return made;
  }

  /** Notes that subnets have something. */
  associate(held: Held, one: Instance, attribute: string, id: string): void {
    this.give(held, this.reading.links.of(one, attribute, 'subnet'), id);
  }

  /** Notes what a resource of its own says of a subnet. */
  follow(held: Held, one: Instance, attribute: string): void {
    const subnets = this.reading.links.of(one, 'subnet_id', 'subnet');
    if (!subnets.isGiven) return;
    this.give(held, subnets, this.named(one, attribute, held));
  }

  followMain(one: Instance): void {
    const vpcs = this.reading.links.of(one, 'vpc_id', 'vpc');
    const id = this.named(one, 'route_table_id', 'routes');
    const { routes } = this.ofVpc;
    for (const vpc of vpcs.ids) routes.set(vpc, id);
    const isAny = vpcs.opaque.length > 0;
    for (const vpc of isAny ? this.reading.draft.vpcs.keys() : vpcs.candidates)
      routes.set(vpc, UNKNOWN);
  }

  private named(one: Instance, attribute: string, kind: LinkKind): string | typeof UNKNOWN {
    return this.reading.one(this.reading.links.of(one, attribute, kind)) ?? UNKNOWN;
  }

  private give(held: Held, subnets: Link, id: string | typeof UNKNOWN): void {
    const of = this.ofSubnet[held];
    for (const subnet of subnets.ids) of.set(subnet, id);
    const isAny = subnets.opaque.length > 0;
    const perhaps = isAny ? this.reading.draft.subnets.keys() : subnets.candidates;
    for (const subnet of perhaps) if (!of.has(subnet)) of.set(subnet, UNKNOWN);
  }

  /** Undefined: nothing is asked. */
  of(subnet: string | undefined, vpc: string | undefined): SubnetFilters | undefined {
    if (subnet === undefined) return undefined;
    const acl = this.ofSubnet.acl.get(subnet) ?? this.ofVpc.acl.get(vpc ?? '');
    const routes = this.ofSubnet.routes.get(subnet) ?? this.ofVpc.routes.get(vpc ?? '');
    if (acl === undefined && routes === undefined) return undefined;
    return {
      id: this.names.get(subnet) ?? subnet,
      ...(acl === undefined ? {} : { acl: this.findAcl(acl).finish() }),
      ...(routes === undefined
        ? {}
        : { routes: this.findTable(routes).finish(this.reading.draft.lists) }),
    };
  }

  private findAcl(id: string | typeof UNKNOWN): TerraformAcl {
    return this.aclOf(typeof id === 'string' ? id : 'that is not known');
  }

  private findTable(id: string | typeof UNKNOWN): TerraformRoutes {
    return this.tableOf(typeof id === 'string' ? id : 'that is not known');
  }
}

/** Whether a VPC gets a block of IPv6. */
function isIpv6Asked({ values }: Instance): boolean {
  const asked = ['assign_generated_ipv6_cidr_block', 'ipv6_ipam_pool_id', 'ipv6_netmask_length'];
  return asked.some((name) => {
    const value = own(values, name);
    return value !== undefined && value !== null && value !== false && value !== '';
  });
}
