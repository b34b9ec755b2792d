/** What `sgctl run` makes of a configuration file. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { planRun, resolvConfOf, type RunWish } from '../../src/run/plan.ts';

const BOTH = { has4: true, has6: true };
const ONLY4 = { has4: true, has6: false };

function planOf(
  t: TestContext,
  text: string,
  wish: Partial<RunWish> = {},
): ReturnType<typeof planRun> {
  const directory = mkdtempSync(join(tmpdir(), 'sgt-plan-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'groups.yaml');
  writeFileSync(file, text);
  writeFileSync(
    join(directory, 'stack.yaml'),
    'Resources:\n  Web: { Type: "AWS::EC2::SecurityGroup", Properties: { GroupDescription: web } }\n',
  );
  const usual = { groups: ['web'], addresses: [], families: BOTH, hostResolvConf: '' };
  return planRun({ file, ...usual, ...wish });
}

function configOf(planned: ReturnType<typeof planRun>): Record<string, unknown> {
  assert.ok('plan' in planned, JSON.stringify(planned));
  return JSON.parse(planned.plan.config) as Record<string, unknown>;
}

const WEB = 'securityGroups: { web: { description: web, egress: [] } }\n';

test('of the file only what says who may reach whom is kept', (t) => {
  const text = `${WEB}prefixLists: { p: { entries: [{ cidr: 10.0.0.0/8 }] } }
metrics: { listen: 9100 }
workers: 2
uplink: { tun: up, addresses: [192.0.2.1/24] }
interfaces: { eni-1: { device: { netns: n, name: eth0 }, addresses: [192.0.2.7] } }
`;
  const config = configOf(planOf(t, text));
  assert.deepEqual(Object.keys(config).sort(), [
    ...['interfaces', 'platformServices', 'prefixLists', 'securityGroups', 'uplink'],
  ]);
  assert.deepEqual(Object.keys(config['interfaces'] as object), ['run']);
});

test('an address for each family with a way out, or those that were given', (t) => {
  const addressesOf = (wish: Partial<RunWish>): unknown =>
    (configOf(planOf(t, WEB, wish))['interfaces'] as { run: { addresses: unknown } }).run.addresses;
  assert.deepEqual(addressesOf({}), ['10.0.2.100', 'fd00:2::100']);
  assert.deepEqual(addressesOf({ families: ONLY4 }), ['10.0.2.100']);
  assert.deepEqual(addressesOf({ addresses: ['10.1.2.3'] }), ['10.1.2.3']);
});

test('templates are found from any directory, and their groups can be given', (t) => {
  for (const item of ['stack.yaml', '{ file: stack.yaml, stackName: stack }']) {
    const planned = planOf(t, `templates: [${item}]\n`, { groups: ['stack/Web'] });
    assert.ok('plan' in planned, JSON.stringify(planned));
  }
});

test('names are resolved unless the file says which services there are, and not this one', (t) => {
  const services = (text: string): unknown => configOf(planOf(t, WEB + text))['platformServices'];
  assert.deepEqual(services(''), ['dns']);
  assert.deepEqual(services('platformServices: []\n'), []);
  // The metadata service would be the host's.
  assert.deepEqual(services('platformServices: [dns, instance-metadata]\nuplink: { tun: u }\n'), [
    'dns',
  ]);
});

test('the resolver is named in the families in which the host has one', () => {
  const host =
    'domain test\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions ndots:2\n# x\n';
  const rest = 'domain test\noptions ndots:2\n';
  const both = 'nameserver 169.254.169.253\nnameserver fd00:ec2::253\n';
  assert.equal(resolvConfOf(host, true, BOTH), both + rest);
  assert.equal(resolvConfOf(host, true, ONLY4), `nameserver 169.254.169.253\n${rest}`);
  assert.equal(resolvConfOf('nameserver ::1\n', true, BOTH), 'nameserver fd00:ec2::253\n');
  assert.equal(resolvConfOf(host, false, BOTH), rest);
  assert.equal(resolvConfOf('', true, BOTH), '');
});

test('an unknown group, a wrong address and too many groups are problems', (t) => {
  const messageOf = (wish: Partial<RunWish>): string => {
    const planned = planOf(t, WEB, wish);
    assert.ok('problems' in planned);
    return planned.problems.map(({ message }) => message).join('\n');
  };
  assert.match(messageOf({ groups: ['wbe'] }), /no security group 'wbe'; did you mean 'web'/);
  assert.match(messageOf({ addresses: ['10.0.0'] }), /'10\.0\.0' is not an IP address/);
  assert.match(messageOf({ addresses: ['127.0.0.1'] }), /127\.0\.0\.1/);
});
