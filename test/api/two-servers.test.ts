/**
 * Two servers of one store, with clients that are spread over them: whatever one has answered is true at the other, and
 * when one is killed the other goes on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Spreader } from '../support/spreader.ts';
import { Servers, subnetOf, valuesOf, type Parameters } from './servers.ts';

/** Clients at once, and what each does. */
const CLIENTS = 4;
const ROUNDS = 10;
const AT_ONCE = 40;
/** Source: Amazon VPC User Guide, "Amazon VPC quotas": rules of a security group, each way. */
const RULES_MAX = 60;
const NO_GROUP = 'InvalidGroup.NotFound';
const NO_INTERFACE = 'InvalidNetworkInterfaceID.NotFound';

function rule(GroupId: string, port: number): Parameters {
  const one = 'IpPermissions.1';
  return {
    GroupId,
    [`${one}.IpProtocol`]: 'tcp',
    [`${one}.FromPort`]: String(port),
    [`${one}.ToPort`]: String(port),
    [`${one}.IpRanges.1.CidrIp`]: '10.0.0.0/8',
  };
}

/** Makes, changes and deletes, each at the server that the call before did not go to. */
async function liveALife(servers: Servers, name: string, SubnetId: string): Promise<void> {
  const both = async (action: string, parameters: Parameters, code = 'ok'): Promise<void> =>
    assert.deepEqual(await servers.codes(action, parameters), [code, code], action);
  const GroupId = await servers.must(
    'CreateSecurityGroup',
    { GroupName: name, GroupDescription: 'd' },
    'groupId',
  );
  await both('DescribeSecurityGroups', { 'GroupId.1': GroupId });
  await both(
    'CreateSecurityGroup',
    { GroupName: name, GroupDescription: 'd' },
    'InvalidGroup.Duplicate',
  );
  await servers.must('AuthorizeSecurityGroupIngress', rule(GroupId, 443));
  await both('AuthorizeSecurityGroupIngress', rule(GroupId, 443), 'InvalidPermission.Duplicate');
  const NetworkInterfaceId = await servers.must(
    'CreateNetworkInterface',
    { SubnetId, 'SecurityGroupId.1': GroupId },
    'networkInterfaceId',
  );
  await both('DescribeNetworkInterfaces', { 'NetworkInterfaceId.1': NetworkInterfaceId });
  await both('DeleteSecurityGroup', { GroupId }, 'DependencyViolation');
  await servers.must('RevokeSecurityGroupIngress', rule(GroupId, 443));
  for (const url of servers.urls) {
    const filter = { 'Filter.1.Name': 'group-id', 'Filter.1.Value.1': GroupId };
    const { body } = await servers.call(url, 'DescribeSecurityGroupRules', filter);
    assert.deepEqual(valuesOf(body, 'isEgress'), ['true'], 'the rule is gone everywhere');
  }
  await servers.must('DeleteNetworkInterface', { NetworkInterfaceId });
  await both(
    'DescribeNetworkInterfaces',
    { 'NetworkInterfaceId.1': NetworkInterfaceId },
    NO_INTERFACE,
  );
  await servers.must('DeleteSecurityGroup', { GroupId });
  await both('DescribeSecurityGroups', { 'GroupId.1': GroupId }, NO_GROUP);
}

test('what one server has answered is true at the other, for many clients at once', async (t) => {
  const servers = await Servers.start(t);
  const subnet = await subnetOf(servers);
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      for (let round = 0; round < ROUNDS; round++)
        await liveALife(servers, `group-${client}-${round}`, subnet);
    }),
  );
});

test('at two servers at once', async (t) => {
  const servers = await Servers.start(t);
  const SubnetId = await subnetOf(servers);
  const atOnce = (count: number, action: string, parameters: (i: number) => Parameters) =>
    Promise.all(
      Array.from({ length: count }, (_, i) =>
        servers.call(servers.urls[i % 2], action, parameters(i)),
      ),
    );

  await t.test('one client token makes one interface', async () => {
    const made = await atOnce(AT_ONCE, 'CreateNetworkInterface', () => ({
      SubnetId,
      ClientToken: 'one',
    }));
    const ids = made.map(({ status, body }) => {
      assert.equal(status, 200, body);
      return valuesOf(body, 'networkInterfaceId')[0];
    });
    assert.equal(new Set(ids).size, 1);
    const { body } = await servers.call(servers.urls[1], 'DescribeNetworkInterfaces', {});
    assert.deepEqual(valuesOf(body, 'networkInterfaceId'), [ids[0]]);
  });

  await t.test('interfaces get ids and addresses of their own', async () => {
    const made = await atOnce(AT_ONCE, 'CreateNetworkInterface', () => ({ SubnetId }));
    for (const element of ['networkInterfaceId', 'privateIpAddress'])
      assert.equal(
        new Set(made.map(({ body }) => valuesOf(body, element)[0])).size,
        AT_ONCE,
        element,
      );
  });

  await t.test('a group has as many rules as it may, each once', async () => {
    const name = { GroupName: 'full', GroupDescription: 'd' };
    const GroupId = await servers.must('CreateSecurityGroup', name, 'groupId');
    const more = 10;
    const done = await atOnce(RULES_MAX + more, 'AuthorizeSecurityGroupIngress', (i) =>
      rule(GroupId, 1 + i),
    );
    const codes = done.map(({ code }) => code ?? 'ok').sort();
    assert.deepEqual(codes, [
      ...Array<string>(more).fill('RulesPerSecurityGroupLimitExceeded'),
      ...Array<string>(RULES_MAX).fill('ok'),
    ]);
    const admitted = done.flatMap(({ code }, i) => (code === undefined ? [1 + i] : []));
    for (const url of servers.urls) {
      const { body } = await servers.call(url, 'DescribeSecurityGroups', { 'GroupId.1': GroupId });
      const ports = valuesOf(body, 'fromPort')
        .map(Number)
        .sort((a, b) => a - b);
      assert.deepEqual(ports, admitted);
    }
  });

  await t.test('of two groups with one name one is made', async () => {
    const made = await atOnce(2, 'CreateSecurityGroup', () => ({
      GroupName: 'one',
      GroupDescription: 'd',
    }));
    assert.deepEqual(made.map(({ code }) => code ?? 'ok').sort(), ['InvalidGroup.Duplicate', 'ok']);
  });
});

test('one server is killed, and the other goes on with all that was answered', async (t) => {
  const servers = await Servers.start(t);
  const spreader = await Spreader.over(t, servers.urls);
  const [first] = servers.running;
  const created = new Map<string, string>();
  const unanswered: string[] = [];
  let answered = 0;
  const half = (CLIENTS * ROUNDS) / 2;
  let killed: Promise<unknown> | undefined;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      for (let round = 0; round < ROUNDS; round++) {
        const name = `group-${client}-${round}`;
        try {
          const got = await servers.call(spreader.url, 'CreateSecurityGroup', {
            GroupName: name,
            GroupDescription: 'd',
          });
          assert.equal(got.status, 200, got.body);
          created.set(name, valuesOf(got.body, 'groupId')[0]);
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET');
          unanswered.push(name);
        }
        if (++answered === half) killed = first.stop('SIGKILL');
      }
    }),
  );
  await killed;
  const { body } = await servers.call(spreader.url, 'DescribeSecurityGroups', {});
  const found = new Set(valuesOf(body, 'groupId'));
  for (const [name, id] of created) assert.ok(found.has(id), `${name} is there`);
  assert.equal(created.size + unanswered.length, CLIENTS * ROUNDS);
  assert.ok(created.size > half, 'calls went on being answered');
  for (const GroupName of unanswered) {
    const again = await servers.call(spreader.url, 'CreateSecurityGroup', { GroupName, GroupDescription: 'd' }); // prettier-ignore
    assert.ok([undefined, 'InvalidGroup.Duplicate'].includes(again.code), again.body);
  }
});
