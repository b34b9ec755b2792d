/** Labs of what is no configuration: an account's interfaces send real packets, and a plan's get addresses. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { PLAN, writeFolder } from '../inputs/support.ts';
import { uniqueName } from '../support/netns.ts';
import { runSgctl } from '../support/sgctl.ts';
import { whyNoLab } from './lab-support.ts';

const skip = whyNoLab() ?? false;

test('expectations about an account hold with real packets', { skip }, (t) => {
  const group = (id: string, name: string, more: object): object => ({
    GroupId: id,
    GroupName: name,
    ...more,
  });
  const out = [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }];
  const tcp = (port: number, peers: object): object => ({
    IpProtocol: 'tcp',
    FromPort: port,
    ToPort: port,
    ...peers,
  });
  const eni = (id: string, name: string, address: string, sg: string): object => ({
    ...{ NetworkInterfaceId: id, PrivateIpAddress: address, Groups: [{ GroupId: sg }] },
    TagSet: [{ Key: 'Name', Value: name }],
  });
  const [web, db] = ['sg-00000000000000001', 'sg-00000000000000002'];
  const [front, store] = [uniqueName(), uniqueName()];
  const account = {
    SecurityGroups: [
      group(web, 'web', {
        IpPermissions: [tcp(443, { IpRanges: [{ CidrIp: '0.0.0.0/0' }] })],
        IpPermissionsEgress: out,
      }),
      group(db, 'db', {
        IpPermissions: [tcp(5432, { UserIdGroupPairs: [{ GroupId: web }] })],
        IpPermissionsEgress: [],
      }),
    ],
    NetworkInterfaces: [
      eni('eni-00000000000000001', front, '10.77.0.10', web),
      eni('eni-00000000000000002', store, '10.77.0.20', db),
    ],
  };
  const expectations = `config: account.json
expect:
  - { from: ${front}, to: ${store}, tcp: 5432, is: allowed }
  - { from: ${front}, to: ${store}, tcp: 5433, is: denied }
  - { from: ${store}, to: ${front}, tcp: 443, is: denied }
  - { from: internet, to: ${front}, tcp: 443, family: 4, is: allowed }
  - { from: internet, to: ${store}, tcp: 5432, family: 4, is: denied }
`;
  const cwd = writeFolder(t, { 'account.json': account, 'e.yaml': expectations });
  const { code, stdout, stderr } = runSgctl(['test', 'e.yaml', '--live', '--json'], {
    cwd,
  });
  assert.equal(code, 0, `${stdout}${stderr}`);
  const { counts, checks } = JSON.parse(stdout) as {
    counts: object;
    checks: { cases: { live: { verdict: string } }[] }[];
  };
  assert.deepEqual(counts, { passed: 5, failed: 0, skipped: 0 });
  assert.deepEqual(
    checks.flatMap(({ cases }) => cases.map(({ live }) => live.verdict)),
    ['allowed', 'denied', 'denied', 'allowed', 'denied'],
  );
});

test('a plan in a lab: addresses as given, or planned in the subnets', { skip }, (t) => {
  const name = uniqueName();
  t.after(() => runSgctl(['lab', 'down', name]));
  const given = [
    '--address',
    'aws_instance.app[0]=10.30.0.99',
    '--address',
    'aws_lb.front=10.30.1.99',
  ];
  const { code, stdout, stderr } = runSgctl([
    'lab',
    'up',
    PLAN,
    '--name',
    name,
    '--json',
    ...given,
  ]);
  assert.equal(code, 0, stderr);
  const { instances } = JSON.parse(stdout) as {
    instances: { name: string; addresses: string[]; groups: string[] }[];
  };
  const of = (wanted: string): unknown => {
    const found = instances.find((one) => one.name === wanted);
    return found === undefined ? undefined : [found.addresses, found.groups];
  };
  assert.deepEqual(of('app-0'), [['10.30.0.99'], ['app']]);
  assert.deepEqual(of('app-1'), [['10.30.1.4'], ['app']]);
  assert.deepEqual(of('front'), [['10.30.1.99'], ['web']]);
  // Nobody knows which groups it has: it gets none of them, and admits nothing.
  assert.deepEqual(of('lt'), [['10.30.0.4'], ['nothing-known']]);
  assert.match(
    stderr,
    /not all groups of aws_instance\.lt are known: those that are not admit nothing/,
  );
});

test('an address for nobody, or no address, is refused', (t) => {
  const cwd = writeFolder(t, {});
  const refused = runSgctl(['lab', 'up', PLAN, '--address', 'aws_instance.none=10.0.0.1'], { cwd });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /there is no interface 'aws_instance\.none' to give an address to/);
  assert.equal(runSgctl(['lab', 'up', join(cwd, 'x'), '--address', 'a=b'], { cwd }).code, 2);
});
