/** Stacks by calls: what a template makes of the estate, what a second one changes, and what is left after a failure. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeProgress, type Stack } from '../../src/api/stacks/stack-rows.ts';
import { change, putHost } from '../estate/world.ts';
import { attribute, group, rejects, Stacks, tcp, textOf } from './stack-world.ts';

test('a stack makes groups that name each other, and its outputs have their ids', async (t) => {
  const stacks = await Stacks.open(t);
  await stacks.create('shop', {
    Resources: {
      Web: group({ SecurityGroupIngress: [tcp(443)] }),
      Db: group({ GroupName: 'db', SecurityGroupEgress: [tcp(53)] }),
      WebToDb: {
        Type: 'AWS::EC2::SecurityGroupIngress',
        Properties: {
          GroupId: attribute('Db'),
          ...tcp(5432, { SourceSecurityGroupId: attribute('Web') }),
        },
      },
      DbToWeb: {
        Type: 'AWS::EC2::SecurityGroupIngress',
        Properties: {
          GroupId: attribute('Web'),
          ...tcp(80, { SourceSecurityGroupId: attribute('Db') }),
        },
      },
      Bucket: { Type: 'AWS::S3::Bucket' },
    },
    Outputs: { Web: { Value: attribute('Web') } },
  });
  assert.equal(await stacks.status('shop'), 'CREATE_COMPLETE');
  const ids = await stacks.ids('shop');
  assert.match(ids['Web'], /^sg-[0-9a-f]{17}$/);
  assert.match(ids['WebToDb'], /^sgr-[0-9a-f]{17}$/);
  assert.match(ids['Bucket'], /^shop-Bucket-[A-Z0-9]{12}$/);
  assert.deepEqual(stacks.rules(ids['Web']), [
    'all to 0.0.0.0/0',
    'tcp 443 from 10.0.0.0/8',
    `tcp 80 from sg:${ids['Db']}`,
  ]);
  assert.deepEqual(
    (await stacks.show('shop')).Outputs.map((one) => one.OutputValue),
    [ids['Web']],
  );
  const { group: web, tags } = stacks.api.client.estate.group(ids['Web'])!;
  assert.match(web.name, /^shop-Web-[A-Z0-9]{12}$/);
  assert.deepEqual(
    tags.slice(0, 2).map(({ key, value }) => `${key}=${value}`),
    ['aws:cloudformation:stack-name=shop', 'aws:cloudformation:logical-id=Web'],
  );
  assert.ok(
    (await stacks.events('shop')).includes(
      'Bucket CREATE_COMPLETE nothing is made of AWS::S3::Bucket here',
    ),
  );
});

test('an update changes what differs, and an equal one nothing', async (t) => {
  const stacks = await Stacks.open(t);
  const template = (port: number, name: string): object => ({
    Parameters: { Office: { Type: 'String', Default: '10.0.0.0/8', NoEcho: true } },
    Resources: {
      Web: group({ SecurityGroupIngress: [tcp(port, { CidrIp: { Ref: 'Office' } })] }),
      Db: group({
        GroupName: name,
        SecurityGroupIngress: [tcp(1, { SourceSecurityGroupId: attribute('Web') })],
      }),
    },
  });
  await stacks.create('shop', template(443, 'db'));
  const before = await stacks.ids('shop');
  await rejects(stacks.update('shop', template(443, 'db')), 'No updates are to be performed.');
  await stacks.update('shop', template(80, 'db'));
  assert.deepEqual(await stacks.ids('shop'), before);
  assert.deepEqual(stacks.rules(before['Web']).slice(1), ['tcp 80 from 10.0.0.0/8']);
  const office = [{ ParameterKey: 'Office', ParameterValue: '192.0.2.0/24' }];
  await stacks.update('shop', template(80, 'db'), { Parameters: office });
  assert.deepEqual(stacks.rules(before['Web']).slice(1), ['tcp 80 from 192.0.2.0/24']);
  assert.deepEqual((await stacks.show('shop')).Parameters, [
    { ParameterKey: 'Office', ParameterValue: '****' },
  ]);
  // Another name is another group; who names nothing of it stays.
  await stacks.update('shop', template(80, 'db2'), {
    Parameters: [{ ParameterKey: 'Office', UsePreviousValue: true }],
  });
  const after = await stacks.ids('shop');
  assert.equal(after['Web'], before['Web']);
  assert.notEqual(after['Db'], before['Db']);
  assert.equal(stacks.api.client.estate.group(before['Db']), undefined);
  assert.equal(stacks.api.client.estate.group(after['Db'])!.group.name, 'db2');
  await stacks.update('shop', { Resources: { Web: group() } });
  assert.deepEqual(await stacks.ids('shop'), { Web: before['Web'] });
  assert.equal(stacks.groupCount(), 2);
  await stacks.api.call('DeleteStack', { StackName: 'shop' });
  assert.equal(stacks.groupCount(), 1);
  await rejects(stacks.show('shop'), 'Stack with id shop does not exist');
  await rejects(stacks.events('shop'), 'Stack [shop] does not exist');
});

test('what is refused is taken back as a whole, and told at its resource', async (t) => {
  const stacks = await Stacks.open(t);
  await stacks.api.call('CreateSecurityGroup', { GroupName: 'taken', Description: 'd' });
  const good = { A: group({ SecurityGroupIngress: [tcp(1)] }) };
  const bad = {
    A: group({ SecurityGroupIngress: [tcp(2)] }),
    B: group({ GroupName: 'Taken' }),
  };
  await stacks.create('one', { Resources: bad });
  assert.equal(await stacks.status('one'), 'ROLLBACK_COMPLETE');
  assert.equal(stacks.groupCount(), 2);
  const events = await stacks.events('one');
  const failed = events.find((text) => text.startsWith('B CREATE_FAILED'));
  assert.match(failed ?? '', /^B CREATE_FAILED The security group 'Taken' already exists for VPC/);
  assert.ok(events.includes('A CREATE_FAILED Resource creation cancelled'));
  await rejects(stacks.update('one', { Resources: good }), /is in ROLLBACK_COMPLETE state/);
  await stacks.api.call('DeleteStack', { StackName: 'one' });

  await stacks.create('two', { Resources: good });
  const { A: id } = await stacks.ids('two');
  await stacks.update('two', { Resources: bad });
  assert.equal(await stacks.status('two'), 'UPDATE_ROLLBACK_COMPLETE');
  assert.deepEqual(stacks.rules(id).slice(1), ['tcp 1 from 10.0.0.0/8']);
  // It can be mended.
  await stacks.update('two', { Resources: { ...good, B: group({ GroupName: 'free' }) } });
  assert.equal(await stacks.status('two'), 'UPDATE_COMPLETE');

  await stacks.create('three', { Resources: bad }, { OnFailure: 'DELETE' });
  await rejects(stacks.show('three'), 'Stack with id three does not exist');
});

test('what a host does not put in force is taken back', async (t) => {
  const stacks = await Stacks.open(t);
  await change(stacks.api.client, (edit) => {
    putHost(edit, 'asleep', { revision: 0 });
    return { ok: true, value: undefined };
  });
  await stacks.create('shop', { Resources: { A: group() } });
  const { StackStatus: status, StackStatusReason: reason = '' } = await stacks.show('shop');
  assert.equal(status, 'ROLLBACK_COMPLETE');
  assert.match(reason, /^asleep did not put it in force within 1 s/);
  assert.equal(stacks.groupCount(), 1);
});

test('a template that no stack can be made of is refused before anything happens', async (t) => {
  const stacks = await Stacks.open(t);
  const cases: readonly (readonly [template: object | string, message: RegExp])[] = [
    ['Resources: [', /^Template format error: /],
    [{ Resources: { A: group({ GroupNme: 'x' }) } }, /unknown property 'GroupNme'.*GroupName/],
    [{ Resources: { A: group({ GroupName: { Ref: 'Nobody' } }) } }, /Nobody/],
    [
      { Parameters: { P: { Type: 'String' } }, Resources: { A: group() } },
      /^Parameters: \[P\] must have values$/,
    ],
    [
      { Transform: 'AWS::Serverless-2016-10-31', Resources: { A: group() } },
      /^Transforms are not run here: \[AWS::Serverless-2016-10-31\]/,
    ],
    [
      {
        Resources: { A: { Type: 'AWS::CloudFormation::Stack', Properties: { TemplateURL: 'x' } } },
      },
      /^Nested stacks are not served here/,
    ],
    [
      { Resources: { A: group({ GroupName: { 'Fn::ImportValue': 'nobodys' } }) } },
      /^No export named nobodys found$/,
    ],
    ['x'.repeat(51_201), /less than or equal to 51200/],
  ];
  for (const [template, message] of cases) await rejects(stacks.create('shop', template), message);
  await rejects(stacks.create('9', { Resources: { A: group() } }), /at 'stackName'/);
  assert.equal(stacks.groupCount(), 1);
  assert.deepEqual(await stacks.api.call('DescribeStacks', {}), {
    Stacks: [],
    NextToken: undefined,
  });
});

test('what a call changed since stays changed, until the template says something else of it', async (t) => {
  const stacks = await Stacks.open(t);
  const template = (port: number): object => ({
    Resources: {
      A: group({ SecurityGroupIngress: [tcp(1), tcp(port)] }),
    },
  });
  await stacks.create('shop', template(2));
  const { A: id } = await stacks.ids('shop');
  const rule = (port: number): object => ({
    GroupId: id,
    IpPermissions: [
      { IpProtocol: 'tcp', FromPort: port, ToPort: port, IpRanges: [{ CidrIp: '10.0.0.0/8' }] },
    ],
  });
  await stacks.api.call('RevokeSecurityGroupIngress', { ...rule(1) });
  await stacks.api.call('AuthorizeSecurityGroupIngress', { ...rule(9) });
  await stacks.update('shop', template(3));
  assert.deepEqual(stacks.rules(id).slice(1), ['tcp 3 from 10.0.0.0/8', 'tcp 9 from 10.0.0.0/8']);
  await stacks.api.call('DeleteSecurityGroup', { GroupId: id });
  await stacks.api.call('DeleteStack', { StackName: 'shop' });
  assert.equal(stacks.groupCount(), 1);
});

test('rules of a group that another one made come and go with the stack', async (t) => {
  const stacks = await Stacks.open(t);
  const made = await stacks.api.call('CreateSecurityGroup', { GroupName: 'x', Description: 'd' });
  const id = String(made['GroupId']);
  await stacks.create('shop', {
    Resources: {
      In: { Type: 'AWS::EC2::SecurityGroupIngress', Properties: { GroupId: id, ...tcp(1) } },
      Out: { Type: 'AWS::EC2::SecurityGroupEgress', Properties: { GroupId: id, ...tcp(2) } },
    },
  });
  assert.deepEqual(stacks.rules(id), ['tcp 1 from 10.0.0.0/8', 'tcp 2 to 10.0.0.0/8']);
  await stacks.api.call('DeleteStack', { StackName: 'shop' });
  assert.deepEqual(stacks.rules(id), []);
});

test('a stack of 30 groups is one commit', async (t) => {
  const stacks = await Stacks.open(t);
  const groups = Array.from({ length: 30 }, (_, i) => [
    `G${i}`,
    group({ SecurityGroupIngress: [tcp(80, { SourceSecurityGroupId: attribute(`G${29 - i}`) })] }),
  ]);
  const { revision } = stacks.api.client.estate;
  await stacks.create('thirty', { Resources: Object.fromEntries(groups) as object });
  assert.equal(await stacks.status('thirty'), 'CREATE_COMPLETE');
  assert.equal(stacks.api.client.estate.revision, revision + 1);
});

test('a stack that needs several commits is all there, or not at all', async (t) => {
  const stacks = await Stacks.open(t);
  const many = Object.fromEntries(
    Array.from({ length: 150 }, (_, i) => [
      `G${i}`,
      group({
        SecurityGroupIngress: [tcp(80, { SourceSecurityGroupId: attribute(`G${(i + 1) % 150}`) })],
      }),
    ]),
  );
  const { revision } = stacks.api.client.estate;
  await stacks.create('many', { Resources: many });
  assert.equal(await stacks.status('many'), 'CREATE_COMPLETE');
  assert.equal(stacks.groupCount(), 151);
  assert.ok(stacks.api.client.estate.revision > revision + 3);
  const names = Object.values(await stacks.ids('many'));
  assert.ok(names.every((id) => stacks.rules(id).length === 2));
  await stacks.api.call('DeleteStack', { StackName: 'many' });
  assert.equal(stacks.groupCount(), 1);

  // The last step is refused: the default VPC has no subnet of that name.
  const late = { Type: 'AWS::EC2::NetworkInterface', Properties: { SubnetId: 'subnet-nobody' } };
  await stacks.create('none', { Resources: { ...many, Late: late } });
  assert.equal(await stacks.status('none'), 'ROLLBACK_COMPLETE');
  assert.equal(stacks.groupCount(), 1);
  assert.ok((await stacks.events('none')).some((text) => text.startsWith('Late CREATE_FAILED ')));
});

test('exports reach other stacks, and stay as long as one uses them', async (t) => {
  const stacks = await Stacks.open(t);
  const exporter = (port: number): object => ({
    Resources: { Web: group({ SecurityGroupIngress: [tcp(port)] }) },
    Outputs: { Web: { Value: attribute('Web'), Export: { Name: 'web' } } },
  });
  await stacks.create('net', exporter(1));
  const { Web: web } = await stacks.ids('net');
  await stacks.create('app', {
    Resources: {
      App: group({
        SecurityGroupIngress: [tcp(2, { SourceSecurityGroupId: { 'Fn::ImportValue': 'web' } })],
      }),
    },
  });
  const { App: app } = await stacks.ids('app');
  assert.deepEqual(stacks.rules(app).slice(1), [`tcp 2 from sg:${web}`]);
  assert.deepEqual((await stacks.api.call('ListImports', { ExportName: 'web' }))['Imports'], [
    'app',
  ]);
  await rejects(
    stacks.update('net', { Resources: { Web: group() } }),
    'Export web cannot be deleted as it is in use by app',
  );
  await stacks.api.call('DeleteStack', { StackName: 'net' });
  assert.equal(await stacks.status('net'), 'DELETE_FAILED');
  await stacks.api.call('DeleteStack', { StackName: 'app' });
  await stacks.api.call('DeleteStack', { StackName: 'net' });
  assert.equal(stacks.groupCount(), 1);
});

test('a VPC, its subnets, its groups and their interfaces are made and go together', async (t) => {
  const stacks = await Stacks.open(t);
  await stacks.create('net', {
    Resources: {
      Vpc: { Type: 'AWS::EC2::VPC', Properties: { CidrBlock: '10.1.0.0/16' } },
      Six: {
        Type: 'AWS::EC2::VPCCidrBlock',
        Properties: { VpcId: { Ref: 'Vpc' }, AmazonProvidedIpv6CidrBlock: true },
      },
      Subnet: {
        Type: 'AWS::EC2::Subnet',
        Properties: {
          VpcId: { Ref: 'Vpc' },
          CidrBlock: '10.1.0.0/24',
          AvailabilityZone: { 'Fn::Select': [1, { 'Fn::GetAZs': '' }] },
        },
      },
      Web: group({ VpcId: { Ref: 'Vpc' } }),
      Card: {
        Type: 'AWS::EC2::NetworkInterface',
        Properties: {
          SubnetId: { Ref: 'Subnet' },
          PrivateIpAddress: '10.1.0.10',
          GroupSet: [attribute('Web')],
        },
      },
      NoDefault: {
        Type: 'Custom::VpcRestrictDefaultSG',
        Properties: {
          ServiceToken: 'x',
          DefaultSecurityGroupId: { 'Fn::GetAtt': ['Vpc', 'DefaultSecurityGroup'] },
        },
      },
    },
    Outputs: { Default: { Value: { 'Fn::GetAtt': ['Vpc', 'DefaultSecurityGroup'] } } },
  });
  const {
    StackStatusReason: why,
    StackStatus: status,
    Outputs: outputs,
  } = await stacks.show('net');
  assert.equal(status, 'CREATE_COMPLETE', why);
  const ids = await stacks.ids('net');
  const { estate } = stacks.api.client;
  assert.equal(estate.vpc(ids['Vpc'])?.blocks.length, 2);
  assert.equal(estate.subnet(ids['Subnet'])?.zone, 'us-east-1b');
  assert.deepEqual(estate.interface(ids['Card'])?.groupIds, [ids['Web']]);
  assert.deepEqual(stacks.rules(ids['Web']), ['all to 0.0.0.0/0', 'all to ::/0']);
  const fallback = estate.groupByName(ids['Vpc'], 'default')!.group;
  assert.deepEqual(
    outputs,
    [{ OutputKey: 'Default', OutputValue: fallback.id }].map((one) => ({
      ...one,
      Description: undefined,
      ExportName: undefined,
    })),
  );
  assert.deepEqual([fallback.ingress, fallback.egress], [[], []]);
  await stacks.api.call('DeleteStack', { StackName: 'net' });
  await rejects(stacks.show('net'), 'Stack with id net does not exist');
  assert.equal(estate.list('vpcs').length, 1);
  assert.equal(estate.list('interfaces').length, 0);
  assert.equal(estate.list('subnets').length, 0);
});

test('a change set says what a deploy would do, and does it', async (t) => {
  const stacks = await Stacks.open(t);
  const { api } = stacks;
  const body = (name: string): string =>
    textOf({ Resources: { A: group({ GroupName: name }), B: group() } });
  const set = async (name: string, type: string, template: string): Promise<string> => {
    await api.call('CreateChangeSet', {
      StackName: 'shop',
      ChangeSetName: name,
      ChangeSetType: type,
      TemplateBody: template,
    });
    const shown = await api.call('DescribeChangeSet', { StackName: 'shop', ChangeSetName: name });
    const changes = shown['Changes'] as readonly { ResourceChange: Record<string, string> }[];
    return [
      shown['Status'],
      ...changes.map(({ ResourceChange: one }) =>
        [one['Action'], one['LogicalResourceId'], one['Replacement'] ?? ''].join(' ').trim(),
      ),
    ].join(', ');
  };
  assert.equal(await set('first', 'CREATE', body('x')), 'CREATE_COMPLETE, Add A, Add B');
  assert.equal(await stacks.status('shop'), 'REVIEW_IN_PROGRESS');
  assert.equal(stacks.groupCount(), 1);
  await api.call('ExecuteChangeSet', { StackName: 'shop', ChangeSetName: 'first' });
  assert.equal(await stacks.status('shop'), 'CREATE_COMPLETE');
  await assert.rejects(
    api.call('ExecuteChangeSet', { StackName: 'shop', ChangeSetName: 'first' }),
    { code: 'InvalidChangeSetStatus' },
  );
  assert.equal(await set('same', 'UPDATE', body('x')), 'FAILED');
  assert.equal(await set('other', 'UPDATE', body('y')), 'CREATE_COMPLETE, Modify A True');
  await api.call('DeleteChangeSet', { StackName: 'shop', ChangeSetName: 'other' });
  await assert.rejects(
    api.call('ExecuteChangeSet', { StackName: 'shop', ChangeSetName: 'other' }),
    { code: 'ChangeSetNotFound' },
  );
});

test('of several commits that a host puts in force until it stops, all are taken back', async (t) => {
  const stacks = await Stacks.open(t);
  const { client } = stacks.api;
  const acknowledge = (revision: number): Promise<unknown> =>
    change(client, (edit) => {
      putHost(edit, 'tired', { revision });
      return { ok: true, value: undefined };
    });
  await acknowledge(0);
  let last = client.estate.contentRevision;
  let left = 3;
  client.listen(() => {
    const { contentRevision } = client.estate;
    if (contentRevision <= last || left === 0) return;
    last = contentRevision;
    left--;
    void acknowledge(contentRevision);
  });
  const many = Array.from({ length: 120 }, (_, i) => [
    `G${i}`,
    group({ SecurityGroupIngress: [tcp(80, { SourceSecurityGroupId: attribute('G0') })] }),
  ]);
  await stacks.create('tired', { Resources: Object.fromEntries(many) as object });
  assert.equal(left, 0);
  const { StackStatus: status, StackStatusReason: reason = '' } = await stacks.show('tired');
  assert.equal(status, 'ROLLBACK_COMPLETE', reason);
  assert.match(reason, /tired did not put it in force within 1 s/);
  assert.equal(stacks.groupCount(), 1);
});

test('a stack that a server left in the middle counts as failed, and can be updated', async (t) => {
  const stacks = await Stacks.open(t);
  const template = { Resources: { A: group() } };
  await stacks.create('left', template);
  const { client } = stacks.api;
  const leave = (busyUntil: Date): Promise<unknown> =>
    change(client, (edit) => {
      const row = JSON.parse(edit.text('stacks/left')!) as Stack;
      writeProgress(edit, { ...row, status: 'UPDATE_IN_PROGRESS' }, busyUntil);
      return { ok: true, value: undefined };
    });
  // Another server is at work on it, and may be for another hour.
  await leave(new Date(Date.now() + 3_600_000));
  assert.equal(await stacks.status('left'), 'UPDATE_IN_PROGRESS');
  await assert.rejects(
    stacks.update('left', { Resources: {} }),
    /is in UPDATE_IN_PROGRESS state and can not be updated/,
  );
  await leave(new Date(Date.now() - 1));
  const { StackStatus: status, StackStatusReason: reason } = await stacks.show('left');
  assert.deepEqual(
    [status, reason],
    ['UPDATE_FAILED', 'The server ended before the operation did; update or delete the stack'],
  );
  await stacks.update('left', { Resources: { A: group({ SecurityGroupIngress: [tcp(1)] }) } });
  assert.equal(await stacks.status('left'), 'UPDATE_COMPLETE');
  assert.doesNotMatch(client.estate.textOf('stacks/left')!, /busyUntil/);
});
