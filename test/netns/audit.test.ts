/**
 * Audit on real packets: what rules would drop passes, and each place that counts it counts the same; enforced, it is
 * dropped. By a file, and by tags of the EC2 API.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import { send } from '../api/request.ts';
import { makeFolder } from '../store/folder.ts';
import { startApiWorld } from './api-world.ts';
import { canRun, Daemon, get, makeNamespaces, serve, temporaryFile } from './world.ts';

const WORLD = '198.51.100.7';
const DB = '10.0.0.12';
/** In the first subnet of the default VPC. */
const WEB = '172.31.0.100';
/** Nothing came for that long: it was dropped. */
const SILENCE_S = 0.5;
const AUDITED = /^secgroupd_audited_packets_total/;

async function auditedPackets(daemon: Daemon): Promise<number> {
  const samples = [...(await daemon.metrics())].filter(([name]) => AUDITED.test(name));
  return samples.reduce((sum, [, value]) => sum + value, 0);
}

test('an audited group passes and counts what it would drop, and drops it when it is enforced', async (t) => {
  if (!canRun(t)) return;
  const { world, db } = await makeNamespaces(t, ['world', 'db']);
  const configuration = (audit: boolean, log: string): string => `
uplink: { tun: up0, netns: ${world.path}, addresses: [${WORLD}/24] }
securityGroups:
  db: { audit: ${audit}, ingress: [{ protocol: tcp, ports: 5432, from: '${WORLD}/32' }], egress: [] }
interfaces:
  eni-db: { device: { netns: ${db.path}, name: eth0 }, addresses: [${DB}], securityGroups: [db] }
metrics: { listen: 127.0.0.1:0 }
flowLogs:
  all:
    file: ${log}
    aggregation: 60
    format: '\${srcaddr} \${dstaddr} \${srcport} \${dstport} \${packets} \${action} \${audited} \${log-status}'
`;
  const file = temporaryFile(t, 'audit.yaml', '');
  const log = join(dirname(file), 'flow.log');
  const socket = join(dirname(file), 'control.sock');
  writeFileSync(file, configuration(true, log));
  const [daemon] = await Promise.all([
    Daemon.start(t, file, ['--control', socket]),
    serve(db, 'db'),
  ]);

  const drops = await daemon.dropsDuring(async () => {
    assert.equal(await get(world, `${DB}:5432`), 'db\n');
    assert.equal(await auditedPackets(daemon), 0, 'a rule admits it');
    assert.equal(await get(world, `${DB}:8080`), 'db\n');
  });
  assert.deepEqual(drops, {});
  const packets = await auditedPackets(daemon);
  // Three packets open a connection, two carry question and answer, and each side ends it.
  assert.ok(packets >= 7, String(packets));
  const { drops: audited } = await ask(socket, 'drops', { audit: true });
  assert.deepEqual(
    audited.map(({ interface: at, direction, reason, packets: count }) => [at, direction, reason, count]), // prettier-ignore
    [['eni-db', 'ingress', 'ingress-rules', packets]],
  );
  assert.equal(audited[0].examples.length, 1, 'the packet that opened the connection');
  const { drops: dropped } = await ask(socket, 'drops', {});
  assert.deepEqual(dropped, []);
  const metrics = await daemon.metrics();
  const by = '{interface="eni-db",direction="ingress"}';
  assert.equal(metrics.get(`secgroupd_audited_packets_total${by}`), packets);
  assert.ok(metrics.get('secgroupd_audit_rules')! > 0);

  writeFileSync(file, configuration(false, log));
  await ask(socket, 'reload', {});
  const refused = await daemon.dropsDuring(async () => {
    assert.equal(await get(world, `${DB}:8080`, SILENCE_S), '');
    assert.equal(await get(world, `${DB}:5432`), 'db\n');
  });
  assert.deepEqual(Object.keys(refused), ['eni-db ingress ingress-rules']);
  assert.equal(await auditedPackets(daemon), packets, 'nothing passes by audit any more');
  assert.equal((await daemon.metrics()).get('secgroupd_audit_rules'), 0);

  assert.equal(await daemon.stop(), 0);
  const lines = readFileSync(log, 'utf8').trim().split('\n').map((line) => line.split(' ')); // prettier-ignore
  const records = lines.filter((words) => words.at(-1) === 'OK');
  const isTo = (port: string, words: readonly string[]): boolean =>
    words.slice(2, 4).includes(port);
  const yes = records.filter((words) => words[6] === 'yes');
  assert.ok(yes.length >= 2, 'both directions');
  assert.ok(yes.every((words) => isTo('8080', words) && words[5] === 'ACCEPT'));
  assert.equal(yes.reduce((sum, words) => sum + Number(words[4]), 0), packets); // prettier-ignore
  const no = records.filter((words) => words[6] === 'no');
  assert.ok(no.some((words) => isTo('5432', words) && words[5] === 'ACCEPT'));
  assert.ok(no.some((words) => isTo('8080', words) && words[5] === 'REJECT'));
  assert.equal(yes.length + no.length, records.length);
});

test('the tag secgroupd:audit of a group, a rule and an interface is in force when CreateTags answers', async (t) => {
  if (!canRun(t)) return;
  await tryTags(t);
});

async function tryTags(t: TestContext): Promise<void> {
  const { url, key, netns, daemon } = await startApiWorld(t, ['web'], makeFolder(t), ['10.9.0.1'], 'metrics: { listen: 127.0.0.1:0 }\n'); // prettier-ignore
  const { web, out } = netns;
  const call = async (action: string, parameters: Record<string, string>) => {
    const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
    return send(Number(new URL(url).port), key, { body: body.toString() });
  };
  const must = async (tag: string, action: string, parameters: Record<string, string> = {}) => {
    const { status, body } = await call(action, parameters);
    assert.equal(status, 200, `${action}: ${body}${daemon.output}`);
    return new RegExp(`<${tag}>(.*?)<`).exec(body)?.[1] ?? '';
  };
  const tagged = (id: string, value: string): Record<string, string> => ({
    'ResourceId.1': id,
    'Tag.1.Key': 'secgroupd:audit',
    'Tag.1.Value': value,
  });
  const zone = { 'Filter.1.Name': 'availability-zone', 'Filter.1.Value.1': 'us-east-1a' };
  const SubnetId = await must('subnetId', 'DescribeSubnets', zone);
  const group = await must('groupId', 'CreateSecurityGroup', { GroupName: 'web', GroupDescription: 'd' }); // prettier-ignore
  const places = { netns: web.path, device: 'eth0' };
  const card = await must('networkInterfaceId', 'CreateNetworkInterface', {
    ...{ SubnetId, PrivateIpAddress: WEB, 'SecurityGroupId.1': group },
    'TagSpecification.1.ResourceType': 'network-interface',
    ...Object.fromEntries(
      Object.entries(places).flatMap(([name, value], i) => [
        [`TagSpecification.1.Tag.${i + 1}.Key`, `secgroupd:${name}`],
        [`TagSpecification.1.Tag.${i + 1}.Value`, value],
      ]),
    ),
  });
  await serve(web, 'web');
  const passes = async (): Promise<boolean> => (await get(out, `${WEB}:8080`, SILENCE_S)) !== '';
  const counts = async (): Promise<boolean> => {
    const before = await auditedPackets(daemon);
    assert.ok(await passes());
    return (await auditedPackets(daemon)) > before;
  };
  assert.ok(!(await passes()), 'no rule admits it');

  // In place, without a new device: the card stays as it is.
  for (const id of [group, card]) {
    await must('return', 'CreateTags', tagged(id, 'true'));
    assert.ok(await counts(), id);
    await must('return', 'CreateTags', tagged(id, 'false'));
    assert.ok(!(await passes()), id);
  }
  const rule = await must('securityGroupRuleId', 'AuthorizeSecurityGroupIngress', {
    GroupId: group,
    ...{ 'IpPermissions.1.IpProtocol': 'tcp', 'IpPermissions.1.FromPort': '8080' },
    ...{ 'IpPermissions.1.ToPort': '8080', 'IpPermissions.1.IpRanges.1.CidrIp': '10.9.0.0/24' },
  });
  assert.ok(!(await counts()), 'the rule admits it');
  await must('return', 'CreateTags', tagged(rule, 'true'));
  assert.ok(await counts(), 'the rule only audits');
  const described = await call('DescribeSecurityGroupRules', { 'SecurityGroupRuleId.1': rule });
  assert.match(described.body, /<key>secgroupd:audit<\/key><value>true<\/value>/);
  await must('return', 'DeleteTags', { 'ResourceId.1': rule, 'Tag.1.Key': 'secgroupd:audit' });
  assert.ok(!(await counts()), 'and admits again');

  const slip = await call('CreateTags', tagged(group, 'yes'));
  assert.equal(slip.code, 'InvalidParameterValue');
  assert.equal(
    slip.message,
    'Value (yes) for the tag secgroupd:audit is invalid (it is true or false)',
  );
}
