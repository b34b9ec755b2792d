/**
 * Random calls on the rules of an interface, in a real daemon: after each, real TCP and UDP packets of both families
 * pass, in and out, exactly as a plain twin says, and the server describes what the twin has.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { callOf, described, newIdOf, rulesOf, steps, type Step } from '../api/model-steps.ts';
import { Twin, type Parameters } from '../api/model-twin.ts';
import { send } from '../api/request.ts';
import { requireSdk, sdkClient, type SdkClient } from '../api/sdk.ts';
import type { Netns } from '../support/netns.ts';
import { startApiWorld, type ApiWorld } from './api-world.ts';
import { canRun } from './world.ts';

const PROBER = fileURLToPath(new URL('./prober.js', import.meta.url));
const SEED = Number(process.env['PROPERTY_SEED'] ?? Date.now() & 0x7fffffff);
const STEPS = Number(process.env['PROPERTY_RUNS'] ?? 10);
const OUT = ['10.9.0.1', 'fd00:9::1'] as const;
const WEB4 = '172.31.0.100';
const PORTS = [80, 81, 82];
const SENTINEL = 9;
/** Below the ports that the kernel gives, so that no flow is an old one's. */
const FIRST_PORT = 10_000;
const PORTS_A_STEP = 8;
const CIDRS = [
  '10.9.0.0/24',
  '10.9.0.1/32',
  '10.8.0.0/16',
  '0.0.0.0/0',
  'fd00:9::/64',
  '::/0',
  'fd00:8::/64',
];
const KINDS = [
  'authorize',
  'revoke',
  'revoke id',
  'modify',
  'list',
  'add entry',
  'remove entry',
  'no list',
  'name list',
];
/** First of all, so that each run has rules of IPv6 and a list that let something through. */
const IPV6_RULE = { protocol: 'tcp', from: 80, to: 81, cidr: 'fd00:9::/64', description: '' };
const PRELUDE: readonly Step[] = [
  { kind: 'authorize', isEgress: false, rule: IPV6_RULE },
  { kind: 'list', rule: IPV6_RULE },
  { kind: 'name list', isEgress: true, at: 0 },
];

class Calls {
  private readonly world: ApiWorld<'web'>;

  constructor(world: ApiWorld<'web'>) {
    this.world = world;
  }

  async make(action: string, parameters: Parameters = {}) {
    const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
    const port = Number(new URL(this.world.url).port);
    return send(port, this.world.key, { body: body.toString() });
  }

  /** @returns what a tag of the answer holds */
  async must(tag: string, action: string, parameters: Parameters = {}): Promise<string> {
    const { status, body } = await this.make(action, parameters);
    assert.equal(status, 200, `${action}: ${body}`);
    return new RegExp(`<${tag}>(.*?)<`).exec(body)?.[1] ?? '';
  }
}

/** A group that lets the sentinel through, whatever becomes of the other one. */
async function makeSentinel(calls: Calls): Promise<string> {
  const id = await calls.must('groupId', 'CreateSecurityGroup', {
    GroupName: 'sentinel',
    GroupDescription: 'd',
  });
  const permission = {
    GroupId: id,
    'IpPermissions.1.IpProtocol': 'udp',
    'IpPermissions.1.FromPort': String(SENTINEL),
    'IpPermissions.1.ToPort': String(SENTINEL),
  };
  const all = { GroupId: id, 'IpPermissions.1.IpProtocol': '-1' };
  const block = { 'IpPermissions.1.IpRanges.1.CidrIp': '0.0.0.0/0' };
  const block6 = { 'IpPermissions.1.Ipv6Ranges.1.CidrIpv6': '::/0' };
  await calls.must('return', 'RevokeSecurityGroupEgress', { ...all, ...block });
  await calls.must('return', 'RevokeSecurityGroupEgress', { ...all, ...block6 });
  for (const direction of ['Ingress', 'Egress'])
    await calls.must('return', `AuthorizeSecurityGroup${direction}`, { ...permission, ...block });
  return id;
}

/** An interface with an address of each family, in both groups. @returns its IPv6 address */
async function attach(calls: Calls, netns: Netns, groups: readonly string[]): Promise<string> {
  const zone = { 'Filter.1.Name': 'availability-zone', 'Filter.1.Value.1': 'us-east-1a' };
  const SubnetId = await calls.must('subnetId', 'DescribeSubnets', zone);
  const vpc = await calls.must('vpcId', 'DescribeVpcs');
  await calls.must('return', 'AssociateVpcCidrBlock', {
    VpcId: vpc,
    AmazonProvidedIpv6CidrBlock: 'true',
  });
  const block = await calls.must('ipv6CidrBlock', 'DescribeVpcs');
  await calls.must('subnetId', 'AssociateSubnetCidrBlock', {
    SubnetId,
    Ipv6CidrBlock: block.replace('/56', '/64'),
  });
  const tags = { host: 'here', device: 'eth0', netns: netns.path };
  return calls.must('ipv6Address', 'CreateNetworkInterface', {
    SubnetId,
    PrivateIpAddress: WEB4,
    Ipv6AddressCount: '1',
    ...Object.fromEntries(groups.map((id, i) => [`SecurityGroupId.${i + 1}`, id])),
    'TagSpecification.1.ResourceType': 'network-interface',
    ...Object.fromEntries(
      Object.entries(tags).flatMap(([key, value], i) => [
        [`TagSpecification.1.Tag.${i + 1}.Key`, `secgroupd:${key}`],
        [`TagSpecification.1.Tag.${i + 1}.Value`, value],
      ]),
    ),
  });
}

async function probe(
  netns: Netns,
  base: number,
  addresses: readonly string[],
): Promise<readonly string[]> {
  const args = [PROBER, 'ask', base, SENTINEL, ...addresses, '--', ...PORTS].map(String);
  const { stdout, stderr, code } = await netns.run(process.execPath, args);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as readonly string[];
}

/** What is answered as the twin has it. */
function expected(
  twin: Twin,
  id: string,
  isEgress: boolean,
  pairs: readonly (readonly [local: string, remote: string])[],
): readonly string[] {
  return ['tcp', 'udp']
    .flatMap((protocol) =>
      pairs.flatMap(([asked, remote]) =>
        PORTS.filter((port) => twin.admits(id, isEgress, protocol, port, remote)).map(
          (port) => `${protocol} ${asked} ${port}`,
        ),
      ),
    )
    .sort();
}

test('real packets pass as a plain twin says, whatever is called', async (t) => {
  if (!canRun(t) || !requireSdk(t)) return;
  t.diagnostic(`PROPERTY_SEED=${SEED}`);
  const world = await startApiWorld(t, ['web'], undefined, OUT);
  const { web, out } = world.netns;
  const calls = new Calls(world);
  const sdk: SdkClient = await sdkClient('ec2', { endpoint: world.url, credentials: world.key });
  const sentinel = await makeSentinel(calls);
  const group = await calls.must('groupId', 'CreateSecurityGroup', {
    GroupName: 'a',
    GroupDescription: 'd',
  });
  const web6 = await attach(calls, web, [sentinel, group]);
  for (const netns of [web, out]) {
    const server = await netns.start(process.execPath, [
      PROBER,
      'serve',
      ...[...PORTS, SENTINEL].map(String),
    ]);
    t.after(() => server.stop());
    await server.waitFor(/^ready$/m);
  }
  const twin = new Twin(group, await rulesOf(sdk, group), 'a');
  const isOther = (line: string): boolean => /^sg-/.test(line) && !line.startsWith(group);
  const [made] = fc.sample(fc.array(steps(CIDRS, KINDS), { minLength: STEPS, maxLength: STEPS }), {
    numRuns: 1,
    seed: SEED,
  });
  const history: string[] = [];
  const check = async (base: number): Promise<void> => {
    const said = history.join('\n');
    const lines = (await described(sdk)).filter((line) => !isOther(line));
    assert.deepEqual(lines, twin.lines(), said);
    const [into, outOf] = await Promise.all([
      probe(out, base, [WEB4, web6]),
      probe(web, base, OUT),
    ]);
    assert.deepEqual(into, expected(twin, group, false, [[WEB4, OUT[0]], [web6, OUT[1]]]), said); // prettier-ignore
    assert.deepEqual(outOf, expected(twin, group, true, [[OUT[0], OUT[0]], [OUT[1], OUT[1]]]), said); // prettier-ignore
  };
  await check(FIRST_PORT);
  for (const [i, one] of [...PRELUDE, ...made].entries()) {
    await makeCall(calls, twin, one, history);
    await check(FIRST_PORT + (i + 1) * PORTS_A_STEP);
  }
  assert.equal(await world.daemon.stop(), 0, world.daemon.output);
});

async function makeCall(calls: Calls, twin: Twin, one: Step, history: string[]): Promise<void> {
  const [action, parameters] = callOf(one, twin);
  const { body, code = 'ok' } = await calls.make(action, parameters);
  history.push(`${action} ${JSON.stringify(parameters)}: ${code}`);
  assert.equal(code, twin.call(action, parameters, newIdOf(action, body)), history.join('\n'));
}
