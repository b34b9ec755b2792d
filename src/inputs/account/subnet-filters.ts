/**
 * Reads the network ACLs and route tables of an account, and says which a subnet has. Sources: EC2 API Reference,
 * NetworkAcl, NetworkAclEntry, RouteTable, Route; a subnet without a route table of its own has its VPC's main one.
 */
import { parseCidr, type Cidr } from '../../addr/address.ts';
import type { AclEntry, NetworkAcl, Route, RouteTable, SubnetFilters } from '../../policy/model.ts';
import {
  isObject,
  numberOf,
  objectsOf,
  own,
  textOf,
  type JsonObject,
} from '../../source/json-values.ts';
import { readAclService, unreadEntry, type AclService } from '../acl-service.ts';
import type { DraftList } from '../draft-parts.ts';

/** What a route may lead to, by the keys of the answer. */
const TARGETS = [
  'GatewayId',
  'NatGatewayId',
  'EgressOnlyInternetGatewayId',
  'TransitGatewayId',
  'VpcPeeringConnectionId',
  'NetworkInterfaceId',
  'InstanceId',
  'LocalGatewayId',
  'CarrierGatewayId',
  'CoreNetworkArn',
] as const;

export class AccountFilters {
  /** By subnet. */
  private readonly acls = new Map<string, NetworkAcl>();
  private readonly tables = new Map<string, RouteTable>();
  /** By VPC. */
  private readonly mainTables = new Map<string, RouteTable>();
  private readonly lists: ReadonlyMap<string, DraftList>;

  /** @param lists with their entries */
  constructor(
    acls: readonly JsonObject[],
    tables: readonly JsonObject[],
    lists: ReadonlyMap<string, DraftList>,
  ) {
    this.lists = lists;
    for (const json of acls) {
      const acl = { id: idOf(json, 'NetworkAclId'), entries: entriesOf(json) };
      for (const one of objectsOf(own(json, 'Associations')))
        put(this.acls, own(one, 'SubnetId'), acl);
    }
    for (const json of tables) {
      const table = this.tableOf(json);
      for (const one of objectsOf(own(json, 'Associations'))) {
        put(this.tables, own(one, 'SubnetId'), table);
        if (own(one, 'Main') === true) put(this.mainTables, own(json, 'VpcId'), table);
      }
    }
  }

  /** Undefined: nothing is known of it. */
  of(id: string | undefined, vpcId: string | undefined): SubnetFilters | undefined {
    if (id === undefined) return undefined;
    const acl = this.acls.get(id);
    const routes = this.tables.get(id) ?? this.mainTables.get(vpcId ?? '');
    if (acl === undefined && routes === undefined) return undefined;
    return {
      id,
      ...(acl === undefined ? {} : { acl }),
      ...(routes === undefined ? {} : { routes }),
    };
  }

  private tableOf(table: JsonObject): RouteTable {
    const routes: Route[] = [];
    let isPartial = false;
    for (const one of objectsOf(own(table, 'Routes'))) {
      const target = TARGETS.map((key) => textOf(own(one, key))).find((id) => id !== undefined);
      const blocks = this.destinationsOf(one);
      if (target === undefined || blocks === undefined) isPartial = true;
      else
        for (const block of blocks)
          routes.push({ block, target, isBlackhole: own(one, 'State') === 'blackhole' });
    }
    routes.sort((a, b) => b.block.length - a.block.length);
    return { id: idOf(table, 'RouteTableId'), routes, isPartial };
  }

  /** Undefined: they are not known. */
  private destinationsOf(route: JsonObject): readonly Cidr[] | undefined {
    const block = blockOf(
      own(route, 'DestinationCidrBlock') ?? own(route, 'DestinationIpv6CidrBlock'),
    );
    if (block !== undefined) return [block];
    const list = this.lists.get(textOf(own(route, 'DestinationPrefixListId')) ?? '');
    if (list === undefined || list.gaps.length > 0) return undefined;
    const blocks = list.entries.map(({ cidr }) => blockOf(cidr));
    return blocks.every((one) => one !== undefined) ? blocks : undefined;
  }
}

function put<T>(into: Map<string, T>, key: unknown, value: T): void {
  if (typeof key === 'string') into.set(key, value);
}

function idOf(value: JsonObject, key: string): string {
  return textOf(own(value, key)) ?? `without ${key}`;
}

function entriesOf(acl: JsonObject): readonly AclEntry[] {
  const entries = objectsOf(own(acl, 'Entries')).map((one): AclEntry => {
    const service = serviceOf(one);
    const number = numberOf(own(one, 'RuleNumber'));
    const block = blockOf(own(one, 'CidrBlock') ?? own(one, 'Ipv6CidrBlock'));
    const direction = own(one, 'Egress') === true ? 'egress' : 'ingress';
    const isAllow = own(one, 'RuleAction') === 'allow';
    return service === undefined || number === undefined
      ? unreadEntry(direction, isAllow, number)
      : { direction, ...service, number, isAllow, block };
  });
  return entries.sort((a, b) => a.number - b.number);
}

function serviceOf(entry: JsonObject): AclService | undefined {
  const text = own(entry, 'Protocol');
  const protocol =
    typeof text === 'string' && /^-?[0-9]{1,3}$/.test(text) ? Number(text) : numberOf(text);
  const [range, icmp] = [own(entry, 'PortRange'), own(entry, 'IcmpTypeCode')];
  return readAclService({
    protocol,
    ...(isObject(range)
      ? { ports: [numberOf(own(range, 'From')), numberOf(own(range, 'To'))] }
      : {}),
    ...(isObject(icmp) ? { icmp: [numberOf(own(icmp, 'Type')), numberOf(own(icmp, 'Code'))] } : {}),
  });
}

function blockOf(value: unknown): Cidr | undefined {
  const text = textOf(value);
  if (text === undefined) return undefined;
  const parsed = parseCidr(text, 'mask');
  return parsed.ok ? parsed.value : undefined;
}
