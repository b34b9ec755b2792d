/** `sgctl replay` with the network ACLs of inputs: an account in a folder, and a plan of Terraform. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { plan, type Json, type Small } from '../inputs/plan.ts';
import { writeFolder } from '../inputs/support.ts';
import { tcp4 } from '../packets/build.ts';
import { captureOf } from '../replay/support.ts';
import { runSgctl } from '../support/sgctl.ts';

const WEB = '10.0.0.10';
/** The entry denies what this one sends, and the group lets both in. */
const DENIED = '203.0.113.9';
const OTHER = '198.51.100.9';
const BLOCK = '203.0.113.0/24';
const EVERYWHERE = '0.0.0.0/0';

const GROUP = 'sg-00000000000000001';
const VPC = 'vpc-00000000000000001';

/** What `describe-…` of the aws CLI answers. @param number of the entry that denies */
function accountOf(t: TestContext, number: number): string {
  const entry = (
    RuleNumber: number,
    RuleAction: string,
    Egress: boolean,
    CidrBlock: string,
  ): object => ({ ...{ RuleNumber, RuleAction, Egress, CidrBlock }, Protocol: '-1' });
  const everything = { IpProtocol: '-1', IpRanges: [{ CidrIp: EVERYWHERE }] };
  return writeFolder(t, {
    'groups.json': {
      SecurityGroups: [
        {
          ...{ GroupId: GROUP, GroupName: 'web', Description: 'web', VpcId: VPC },
          ...{ IpPermissions: [everything], IpPermissionsEgress: [everything] },
        },
      ],
    },
    'interfaces.json': {
      NetworkInterfaces: [
        {
          ...{ NetworkInterfaceId: 'eni-00000000000000001', VpcId: VPC, SubnetId: 'subnet-a' },
          ...{
            Association: { PublicIp: '192.0.2.10' },
            PrivateIpAddress: WEB,
            PrivateIpAddresses: [{ PrivateIpAddress: WEB }],
          },
          ...{ Groups: [{ GroupId: GROUP }], TagSet: [{ Key: 'Name', Value: 'web' }] },
        },
      ],
    },
    'acls.json': {
      NetworkAcls: [
        {
          ...{ NetworkAclId: 'acl-a', Associations: [{ SubnetId: 'subnet-a' }] },
          Entries: [
            entry(number, 'deny', false, BLOCK),
            entry(100, 'allow', false, EVERYWHERE),
            entry(100, 'allow', true, EVERYWHERE),
          ],
        },
      ],
    },
    'routes.json': {
      RouteTables: [
        {
          ...{ RouteTableId: 'rtb-a', VpcId: VPC, Associations: [{ SubnetId: 'subnet-a' }] },
          Routes: [{ DestinationCidrBlock: EVERYWHERE, GatewayId: 'igw-1', State: 'active' }],
        },
      ],
    },
  });
}

/** A plan of the same. */
function planOf(t: TestContext, number: number): string {
  const idOf = (address: string): Json => ({ references: [`${address}.id`, address] });
  const made = (address: string, values: Json, links: Json = {}): Small => ({
    ...{ address, values, expressions: links },
    unknown: Object.fromEntries(Object.keys(links).map((name) => [name, true])),
  });
  const entry = (rule_no: number, action: string, cidr_block: string): Json => ({
    ...{ rule_no, action, cidr_block, protocol: '-1' },
    ...{ from_port: 0, to_port: 0, icmp_type: 0, icmp_code: 0 },
  });
  const everything = { protocol: '-1', from_port: 0, to_port: 0, cidr_blocks: [EVERYWHERE] };
  const vpc = { vpc_id: idOf('aws_vpc.main') };
  const folder = writeFolder(t, {
    'plan.json': plan([
      made('aws_vpc.main', { cidr_block: '10.0.0.0/16' }),
      made('aws_subnet.a', { cidr_block: '10.0.0.0/24' }, vpc),
      made('aws_security_group.web', { name: 'web', ingress: [everything], egress: [everything] }),
      made(
        'aws_network_interface.web',
        { private_ips: [WEB] },
        { subnet_id: idOf('aws_subnet.a'), security_groups: idOf('aws_security_group.web') },
      ),
      made(
        'aws_network_acl.a',
        {
          ingress: [entry(number, 'deny', BLOCK), entry(100, 'allow', EVERYWHERE)],
          egress: [entry(100, 'allow', EVERYWHERE)],
        },
        { ...vpc, subnet_ids: idOf('aws_subnet.a') },
      ),
    ]),
  });
  return join(folder, 'plan.json');
}

function capture(t: TestContext): string {
  const syn = (from: string): Uint8Array =>
    tcp4(from, WEB, { srcPort: 40_000, dstPort: 443, flags: 'S', seq: 100 });
  return captureOf(t, [
    [0, syn(DENIED)],
    [1, syn(OTHER)],
  ]);
}

interface Told {
  readonly refused: boolean;
  readonly counts: { readonly passed: number; readonly dropped: number };
  readonly findings: readonly {
    readonly interface: string;
    readonly direction: string;
    readonly reason: string;
    readonly meaning: string;
    readonly address: string;
    readonly packets: number;
  }[];
}

for (const [what, inputOf, name, refusal] of [
  [
    'an account',
    accountOf,
    'web',
    'the network ACL acl-a of subnet-a, on the way in: entry 90 denies all from 203.0.113.0/24',
  ],
  [
    'a plan',
    planOf,
    'aws_network_interface.web',
    'the network ACL aws_network_acl.a of aws_subnet.a, on the way in: entry 90 denies all from 203.0.113.0/24',
  ],
] as const) {
  test(`of ${what}, the entry that refuses is named, in text and as JSON`, (t) => {
    const file = capture(t);
    const input = inputOf(t, 90);
    const text = runSgctl(['replay', file, '--config', input]);
    assert.equal(text.code, 1, text.stderr);
    const words = text.stdout.replaceAll(/\s+/g, ' ');
    assert.ok(words.includes(`${name} ingress: tcp 443 from ${DENIED} 1 packet, `), words);
    assert.ok(
      words.includes(`network-acl: ${refusal} 1 packet would pass, 1 would be dropped`),
      words,
    );
    const json = runSgctl(['replay', file, '--config', input, '--json']);
    assert.equal(json.code, 1, json.stderr);
    const { refused, counts, findings } = JSON.parse(json.stdout) as Told;
    assert.deepEqual([refused, counts.passed, counts.dropped], [true, 1, 1]);
    assert.deepEqual(
      findings.map((one) => [
        one.interface,
        one.direction,
        one.reason,
        one.meaning,
        one.address,
        one.packets,
      ]),
      [[name, 'ingress', 'network-acl', refusal, DENIED, 1]],
    );
  });

  test(`of ${what}, an entry behind the one that allows refuses nothing`, (t) => {
    const { code, stdout } = runSgctl(['replay', capture(t), '--config', inputOf(t, 110)]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^2 packets would pass, 0 would be dropped$/m);
  });
}
