/** Reachability Analyzer's calls: the answer is that of the rules, and a refusal says what would have passed. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { groupActions } from '../../src/api/actions/groups.ts';
import { insightsActions } from '../../src/api/actions/insights.ts';
import { ruleActions } from '../../src/api/actions/rules.ts';
import { writeDetached } from '../estate/write-interface.ts';
import { makeActions, type Actions } from './actions.ts';

const WEB = 'eni-00000000000000001';
const DB = 'eni-00000000000000002';

interface World extends Actions {
  readonly web: string;
  readonly db: string;
  readonly analyse: (path: Record<string, string | number>) => Promise<Record<string, unknown>>;
}

/** Two interfaces with a group each; that of `db` lets `web` in to 5432. */
async function makeWorld(t: TestContext): Promise<World> {
  const actions = await makeActions(t, (managed) => [
    ...groupActions(managed),
    ...ruleActions(managed),
    ...insightsActions(managed),
  ]);
  const { call, client } = actions;
  const make = async (name: string): Promise<string> => {
    const made = await call('CreateSecurityGroup', { GroupName: name, Description: name });
    return made['GroupId'] as string;
  };
  const [web, db] = [await make('web'), await make('db')];
  await call('AuthorizeSecurityGroupIngress', {
    GroupId: db,
    IpPermissions: [
      { IpProtocol: 'tcp', FromPort: 5432, ToPort: 5433, UserIdGroupPairs: [{ GroupId: web }] },
    ],
  });
  await client.change((edit) => {
    writeDetached(edit, WEB, { address: '10.0.0.1', groupIds: [web] });
    writeDetached(edit, DB, { address: '10.0.0.2', groupIds: [db] });
    return { ok: true, value: undefined };
  });
  const analyse: World['analyse'] = async (path) => {
    const made = await call('CreateNetworkInsightsPath', path);
    const { NetworkInsightsPathId: id } = made['NetworkInsightsPath'] as Record<string, string>;
    const started = await call('StartNetworkInsightsAnalysis', { NetworkInsightsPathId: id });
    return started['NetworkInsightsAnalysis'] as Record<string, unknown>;
  };
  return { ...actions, web, db, analyse };
}

test('a path that the rules admit is found, with the rules on it', async (t) => {
  const { analyse, web, db } = await makeWorld(t);
  const found = await analyse({
    Source: WEB,
    Destination: `arn:aws:ec2:us-east-1:123456789012:network-interface/${DB}`,
    Protocol: 'tcp',
    DestinationPort: 5432,
  });
  assert.equal(found['Status'], 'succeeded');
  assert.equal(found['NetworkPathFound'], true);
  const forward = found['ForwardPathComponents'] as Record<string, Record<string, unknown>>[];
  assert.deepEqual(
    forward.map((one) => [one['SequenceNumber'], one['Component']['Id']]),
    [
      [1, WEB],
      [2, web],
      [3, db],
      [4, DB],
    ],
  );
  assert.deepEqual(forward[2]['SecurityGroupRule'], {
    SecurityGroupId: db,
    Direction: 'ingress',
    Protocol: 'tcp',
    PortRange: { From: 5432, To: 5433 },
  });
  const back = found['ReturnPathComponents'] as Record<string, Record<string, unknown>>[];
  assert.deepEqual(
    back.map((one) => one['Component']['Id']),
    [DB, db, web, WEB],
  );
});

test('any port is asked where none is named', async (t) => {
  const { analyse } = await makeWorld(t);
  const found = await analyse({ Source: WEB, Destination: DB, Protocol: 'tcp' });
  assert.equal(found['NetworkPathFound'], true);
  const back = await analyse({ Source: DB, Destination: WEB, Protocol: 'tcp' });
  assert.equal(back['NetworkPathFound'], false);
});

test('a path that is refused says at which gate, and what nearly matched', async (t) => {
  const { analyse, db } = await makeWorld(t);
  const found = await analyse({
    Source: WEB,
    Destination: DB,
    Protocol: 'tcp',
    DestinationPort: 5434,
  });
  assert.equal(found['NetworkPathFound'], false);
  const [gate, miss, ...more] = found['Explanations'] as Record<string, unknown>[];
  assert.equal(more.length, 0);
  assert.equal(gate['ExplanationCode'], 'ENI_SG_RULES_MISMATCH');
  assert.equal(gate['Direction'], 'ingress');
  assert.deepEqual((gate['NetworkInterface'] as Record<string, unknown>)['Id'], DB);
  assert.equal(miss['ExplanationCode'], 'SECGROUPD_NEAR_MISS');
  assert.equal((miss['SecurityGroup'] as Record<string, unknown>)['Id'], db);
  assert.match(
    miss['MissingComponent'] as string,
    /^sgr-[0-9a-f]{17} would match if the port were in 5432-5433, not 5434$/,
  );
});

test('an address outside is behind a gateway, or behind nothing', async (t) => {
  const { analyse, call, db } = await makeWorld(t);
  const out = { Destination: DB, Protocol: 'tcp', DestinationPort: 443 };
  const before = await analyse({ ...out, Source: 'igw-1', SourceIp: '203.0.113.7' });
  assert.equal(before['NetworkPathFound'], false);
  await call('AuthorizeSecurityGroupIngress', {
    GroupId: db,
    IpProtocol: 'tcp',
    FromPort: 443,
    ToPort: 443,
    CidrIp: '203.0.113.0/24',
  });
  const after = await analyse({ ...out, Source: 'igw-1', SourceIp: '203.0.113.7' });
  assert.equal(after['NetworkPathFound'], true);
  const away = { Source: DB, DestinationIp: '198.51.100.1', Protocol: 'udp', DestinationPort: 53 };
  assert.equal((await analyse(away))['NetworkPathFound'], true);
});

test('what is not there, or not right, is refused', async (t) => {
  const { call, analyse } = await makeWorld(t);
  const path = { Source: WEB, Destination: DB, Protocol: 'tcp' };
  const cases: readonly [string, Record<string, string>, string][] = [
    ['CreateNetworkInsightsPath', { ...path, Protocol: 'icmp' }, 'InvalidParameterValue'],
    ['CreateNetworkInsightsPath', { Source: WEB, Protocol: 'tcp' }, 'MissingParameter'],
    ['CreateNetworkInsightsPath', { Destination: DB, Protocol: 'tcp' }, 'MissingParameter'],
    ['StartNetworkInsightsAnalysis', {}, 'MissingParameter'],
    [
      'StartNetworkInsightsAnalysis',
      { NetworkInsightsPathId: 'nip-1' },
      'InvalidNetworkInsightsPathId.NotFound',
    ],
    [
      'DeleteNetworkInsightsAnalysis',
      { NetworkInsightsAnalysisId: 'nia-1' },
      'InvalidNetworkInsightsAnalysisId.NotFound',
    ],
  ];
  for (const [name, params, code] of cases)
    await assert.rejects(call(name, params), { code }, `${name} ${JSON.stringify(params)}`);
  await assert.rejects(analyse({ ...path, Source: 'eni-0123' }), { code: 'InvalidParameterValue' });
});

test('paths and analyses are kept, described by filters, and deleted in order', async (t) => {
  const { call, analyse, client } = await makeWorld(t);
  const { contentRevision } = client.estate;
  const path = { Source: WEB, Destination: DB, Protocol: 'tcp', ClientToken: 'once' };
  const one = await analyse({ ...path, DestinationPort: 5432 });
  const pathId = one['NetworkInsightsPathId'] as string;
  const again = await call('CreateNetworkInsightsPath', { ...path, DestinationPort: 5432 });
  assert.equal(
    (again['NetworkInsightsPath'] as Record<string, unknown>)['NetworkInsightsPathId'],
    pathId,
    'one client token makes one path',
  );
  await assert.rejects(call('CreateNetworkInsightsPath', { ...path, DestinationPort: 1 }), {
    code: 'IdempotentParameterMismatch',
  });
  const filter = (value: string): Record<string, unknown> => ({
    Filters: [{ Name: 'path-found', Values: [value] }],
  });
  const describe = async (params: Record<string, unknown>): Promise<unknown[]> =>
    (await call('DescribeNetworkInsightsAnalyses', params as never))[
      'NetworkInsightsAnalyses'
    ] as unknown[];
  assert.deepEqual(await describe(filter('true')), [one]);
  assert.deepEqual(await describe(filter('false')), []);
  await assert.rejects(call('DeleteNetworkInsightsPath', { NetworkInsightsPathId: pathId }), {
    code: 'DependencyViolation',
  });
  await call('DeleteNetworkInsightsAnalysis', {
    NetworkInsightsAnalysisId: one['NetworkInsightsAnalysisId'] as string,
  });
  await call('DeleteNetworkInsightsPath', { NetworkInsightsPathId: pathId });
  assert.deepEqual((await call('DescribeNetworkInsightsPaths', {}))['NetworkInsightsPaths'], []);
  assert.equal(client.estate.contentRevision, contentRevision, 'no host has anything to do');
});
