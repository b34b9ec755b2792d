/** Network ACLs and route tables of Terraform: what each resource says, and what nobody knows. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { plan, type Json, type Small } from './plan.ts';
import { load, verdictOf, writeFolder } from './support.ts';

const IN = 'internet -> aws_network_interface.a tcp 443';
const OUT = 'aws_network_interface.a -> internet tcp 443';
const ACROSS = 'aws_network_interface.a -> aws_network_interface.b tcp 443';

const ref = (...references: string[]): Json => ({ references });
/** `aws_vpc.main.id` and the resource, as a plan lists them. */
const idOf = (address: string): Json => ref(`${address}.id`, address);
const known = (values: Json): Json =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { constant_value: value }])); // prettier-ignore

/** A resource whose attributes of `links` are known after the plan alone. */
function made(address: string, values: Json, links: Json = {}): Small {
  const unknown = Object.fromEntries(Object.keys(links).map((name) => [name, true]));
  return { address, values, unknown, expressions: { ...known(values), ...links } };
}

const ALL = { protocol: 'tcp', from_port: 0, to_port: 65535, cidr_blocks: ['0.0.0.0/0'] };
/** Two subnets of a VPC with an interface each, whose group lets everything pass. */
const WORLD: readonly Small[] = [
  made('aws_vpc.main', { cidr_block: '10.0.0.0/16' }),
  ...(['a', 'b'] as const).flatMap((name, i) => [
    made(`aws_subnet.${name}`, { cidr_block: `10.0.${i}.0/24` }, { vpc_id: idOf('aws_vpc.main') }),
    made(
      `aws_network_interface.${name}`,
      { private_ips: [`10.0.${i}.10`] },
      { subnet_id: idOf(`aws_subnet.${name}`), security_groups: idOf('aws_security_group.all') },
    ),
  ]),
  made('aws_security_group.all', { name: 'all', ingress: [ALL], egress: [ALL] }),
];
const VPC = { vpc_id: idOf('aws_vpc.main') };
const SUBNET_A = { subnet_id: idOf('aws_subnet.a') };
const GATEWAY = made('aws_internet_gateway.gw', {}, VPC);

function planned(t: TestContext, ...more: readonly Small[]): Config {
  const folder = writeFolder(t, { 'plan.json': plan([...WORLD, ...more]) });
  const { config, problems } = load(join(folder, 'plan.json'));
  assert.deepEqual(problems, []);
  return config;
}

function verdicts(config: Config, ...questions: readonly string[]): readonly string[] {
  return questions.map((question) => verdictOf(config, question));
}

test('where nothing names a subnet, nothing is asked', (t) => {
  const other = made('aws_route_table.idle', { route: [] }, VPC);
  assert.deepEqual(verdicts(planned(t, other), IN, OUT, ACROSS), ['allowed', 'allowed', 'allowed']);
});

const entry = (rule_no: number, action: string, cidr_block: string, ports: readonly [number, number], protocol = 'tcp'): Json => ({ rule_no, action, cidr_block, protocol, from_port: ports[0], to_port: ports[1], icmp_type: 0, icmp_code: 0 }); // prettier-ignore
const EVERYTHING = entry(100, 'allow', '0.0.0.0/0', [0, 0], '-1');

test('an ACL with entries in it, of the subnets that it lists', (t) => {
  const acl = (...ingress: readonly Json[]): Small =>
    made('aws_network_acl.a', { ingress, egress: [EVERYTHING] }, { ...VPC, subnet_ids: ref('aws_subnet.a.id', 'aws_subnet.a') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, acl(EVERYTHING)), IN, OUT), ['allowed', 'allowed']);
  const denied = acl(entry(90, 'deny', '0.0.0.0/0', [443, 443]), EVERYTHING);
  assert.deepEqual(verdicts(planned(t, denied), IN, OUT), ['refused', 'allowed']);
  const late = acl(EVERYTHING, entry(110, 'deny', '0.0.0.0/0', [443, 443]));
  assert.equal(verdictOf(planned(t, late), IN), 'allowed', 'the first that matches decides');
  const narrow = acl(entry(100, 'allow', '10.0.0.0/16', [0, 65535]));
  assert.deepEqual(verdicts(planned(t, narrow), IN, OUT, ACROSS), ['refused', 'refused', 'allowed']); // prettier-ignore
  assert.equal(verdictOf(planned(t, acl()), ACROSS), 'refused', 'no answer comes back');
});

test('entries that are resources, an association that is one, and entries that the plan removes', (t) => {
  const acl = made('aws_network_acl.a', { id: 'acl-1', ingress: [], egress: [EVERYTHING] }, VPC);
  const association = made('aws_network_acl_association.a', { network_acl_id: 'acl-1' }, SUBNET_A);
  const rule = (values: Json, more: Partial<Small> = {}): Small => ({
    ...made('aws_network_acl_rule.r', {
      ...{ network_acl_id: 'acl-1', egress: false, rule_number: 100, rule_action: 'allow' },
      ...{ protocol: 'tcp', from_port: 443, to_port: 443, cidr_block: '0.0.0.0/0', ...values },
    }),
    ...more,
  });
  assert.deepEqual(verdicts(planned(t, acl, association), IN), ['refused']);
  assert.deepEqual(verdicts(planned(t, acl, association, rule({})), IN), ['allowed']);
  assert.deepEqual(verdicts(planned(t, acl, association, rule({ protocol: '6' })), IN), ['allowed']); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, acl, association, rule({ egress: true })), IN), ['refused']);
  assert.deepEqual(verdicts(planned(t, acl, association, rule({ cidr_block: '' })), IN), ['undecidable']); // prettier-ignore
  const elsewhere = rule({ network_acl_id: 'acl-2' });
  assert.deepEqual(verdicts(planned(t, acl, association, elsewhere), IN), ['refused']);

  const listed = made('aws_network_acl.a', { id: 'acl-1', ingress: [entry(100, 'allow', '0.0.0.0/0', [443, 443])], egress: [EVERYTHING] }, VPC); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, listed, association), IN), ['allowed']);
  const gone = rule({}, { actions: ['delete'], before: rule({}).values });
  assert.deepEqual(verdicts(planned(t, listed, association, gone), IN), ['refused']);
});

test('an ACL that nobody knows, and one that may be of a subnet, decide nothing', (t) => {
  const unknown = made('aws_network_acl_association.a', { network_acl_id: 'acl-elsewhere' }, SUBNET_A); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, unknown), IN, OUT), ['undecidable', 'undecidable']);
  const acl = made('aws_network_acl.a', { ingress: [EVERYTHING], egress: [EVERYTHING] }, { ...VPC, subnet_ids: ref('local.subnets') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, acl), IN), ['undecidable']);
  const rule = made('aws_network_acl_rule.r', { egress: false, rule_number: 1, rule_action: 'deny', protocol: '-1', cidr_block: '0.0.0.0/0' }, { network_acl_id: ref('local.acl') }); // prettier-ignore
  const mine = made('aws_network_acl.a', { ingress: [EVERYTHING], egress: [EVERYTHING] }, { ...VPC, subnet_ids: ref('aws_subnet.a.id', 'aws_subnet.a') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, mine, rule), IN), ['undecidable']);
});

test('the default ACL of a VPC is that of subnets which no other has', (t) => {
  const closed = made('aws_default_network_acl.d', { ingress: [], egress: [] }, { default_network_acl_id: ref('aws_vpc.main.default_network_acl_id', 'aws_vpc.main') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, closed), IN, OUT), ['refused', 'refused']);
  const own = made('aws_network_acl.a', { ingress: [EVERYTHING], egress: [EVERYTHING] }, { ...VPC, subnet_ids: ref('aws_subnet.a.id', 'aws_subnet.a') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, closed, own), IN, OUT), ['allowed', 'allowed']);
});

const TABLE = made('aws_route_table.a', {}, VPC);
const ASSOCIATION = made('aws_route_table_association.a', {}, { ...SUBNET_A, route_table_id: idOf('aws_route_table.a') }); // prettier-ignore
const route = (values: Json, links: Json): Small =>
  made('aws_route.r', values, { route_table_id: idOf('aws_route_table.a'), ...links });

test('routes that are resources: a gateway lets in, a NAT gateway out alone, and none nobody', (t) => {
  assert.deepEqual(verdicts(planned(t, TABLE, ASSOCIATION), IN, OUT, ACROSS), ['refused', 'refused', 'allowed']); // prettier-ignore
  const everywhere = { destination_cidr_block: '0.0.0.0/0' };
  const open = route(everywhere, { gateway_id: idOf('aws_internet_gateway.gw') });
  assert.deepEqual(verdicts(planned(t, TABLE, ASSOCIATION, GATEWAY, open), IN, OUT), ['allowed', 'allowed']); // prettier-ignore
  const nat = made('aws_nat_gateway.n', {}, {});
  const out = route(everywhere, { nat_gateway_id: idOf('aws_nat_gateway.n') });
  assert.deepEqual(verdicts(planned(t, TABLE, ASSOCIATION, nat, out), IN, OUT), ['refused', 'allowed']); // prettier-ignore
  const lost = route(everywhere, { gateway_id: ref('local.gateway') });
  assert.deepEqual(verdicts(planned(t, TABLE, ASSOCIATION, lost), IN, OUT), ['undecidable', 'undecidable']); // prettier-ignore
  const removed: Small = { ...route(everywhere, {}), actions: ['delete'], before: { route_table_id: 'rtb-1', ...everywhere } }; // prettier-ignore
  assert.deepEqual(verdicts(planned(t, TABLE, ASSOCIATION, removed), OUT), ['refused']);
});

test('routes in a table, of which a set tells the targets in no order', (t) => {
  const block = (cidr_block: string): Json => ({ cidr_block, gateway_id: null, nat_gateway_id: null }); // prettier-ignore
  const table: Small = {
    address: 'aws_route_table.a',
    values: { route: [block('0.0.0.0/0'), block('192.0.2.0/24')] },
    unknown: { vpc_id: true, route: [{ gateway_id: true }, { nat_gateway_id: true }] },
    expressions: {
      ...VPC,
      route: [
        { ...known({ cidr_block: '192.0.2.0/24' }), nat_gateway_id: idOf('aws_nat_gateway.n') },
        { ...known({ cidr_block: '0.0.0.0/0' }), gateway_id: idOf('aws_internet_gateway.gw') },
      ],
    },
  };
  const config = planned(t, table, ASSOCIATION, GATEWAY, made('aws_nat_gateway.n', {}, {}));
  const from = '192.0.2.9 -> aws_network_interface.a tcp 443';
  assert.deepEqual(verdicts(config, IN, OUT, from), ['allowed', 'allowed', 'refused']);
});

test('the main table of a VPC is that of subnets which no other has', (t) => {
  const main = made('aws_main_route_table_association.m', {}, { ...VPC, route_table_id: idOf('aws_route_table.a') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, TABLE, main), IN, ACROSS), ['refused', 'allowed']);
  const adopted = made('aws_default_route_table.d', { route: [] }, { default_route_table_id: ref('aws_vpc.main.default_route_table_id', 'aws_vpc.main') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, adopted), IN, ACROSS), ['refused', 'allowed']);
  const open = made('aws_route.o', { destination_cidr_block: '0.0.0.0/0' }, { route_table_id: ref('aws_vpc.main.main_route_table_id', 'aws_vpc.main'), gateway_id: idOf('aws_internet_gateway.gw') }); // prettier-ignore
  assert.deepEqual(verdicts(planned(t, adopted, GATEWAY, open), IN), ['allowed']);
});

test('of a state everything is known', (t) => {
  const resource = (type: string, name: string, values: Json): Json => ({ address: `${type}.${name}`, mode: 'managed', type, name, values }); // prettier-ignore
  const table = (gateway_id: string): Json => resource('aws_route_table', 'a', { id: 'rtb-1', vpc_id: 'vpc-1', route: [{ cidr_block: '0.0.0.0/0', gateway_id, nat_gateway_id: '' }] }); // prettier-ignore
  const state = (gateway: string): object => ({
    ...{ format_version: '1.0', terraform_version: '1.11.4' },
    values: {
      root_module: {
        resources: [
          resource('aws_vpc', 'main', { id: 'vpc-1', cidr_block: '10.0.0.0/16' }),
          resource('aws_subnet', 'a', { id: 'subnet-1', vpc_id: 'vpc-1', cidr_block: '10.0.0.0/24' }), // prettier-ignore
          resource('aws_security_group', 'all', { id: 'sg-00000000000000001', name: 'all', vpc_id: 'vpc-1', ingress: [ALL], egress: [ALL] }), // prettier-ignore
          resource('aws_network_interface', 'a', { id: 'eni-00000000000000001', subnet_id: 'subnet-1', private_ips: ['10.0.0.10'], security_groups: ['sg-00000000000000001'] }), // prettier-ignore
          table(gateway),
          resource('aws_route_table_association', 'a', { subnet_id: 'subnet-1', route_table_id: 'rtb-1' }), // prettier-ignore
        ],
      },
    },
  });
  const of = (gateway: string): Config => {
    const folder = writeFolder(t, { 'state.json': state(gateway) });
    return load(join(folder, 'state.json')).config;
  };
  assert.deepEqual(verdicts(of('igw-1'), IN, OUT), ['allowed', 'allowed']);
  assert.deepEqual(verdicts(of('nat-1'), IN, OUT), ['refused', 'allowed']);
});
