/** Calls on flow logs: made for what is there, described, and deleted. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { flowLogActions } from '../../src/api/actions/flow-logs.ts';
import type { Struct } from '../../src/api/action.ts';
import { DEFAULT_FORMAT } from '../../src/config/flow-log-format.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import { makeActions, type Actions } from './actions.ts';

const GOOD = {
  ResourceIds: [ONLY_VPC_ID],
  ResourceType: 'VPC',
  TrafficType: 'ALL',
  LogGroupName: 'flows',
  MaxAggregationInterval: 60,
};

interface World extends Actions {
  readonly create: (params: Struct) => Promise<string>;
  readonly describe: (params?: Struct) => Promise<readonly Record<string, unknown>[]>;
}

async function makeWorld(t: TestContext): Promise<World> {
  const actions = await makeActions(t, flowLogActions);
  const { call } = actions;
  return {
    ...actions,
    create: async (params) => {
      const [id] = (await call('CreateFlowLogs', params))['FlowLogIds'] as string[];
      return id;
    },
    describe: async (params = {}) =>
      (await call('DescribeFlowLogs', params))['FlowLogs'] as Record<string, unknown>[],
  };
}

test('a flow log of a VPC is made, described by filters, and deleted', async (t) => {
  const { create, describe, call } = await makeWorld(t);
  const id = await create(GOOD);
  assert.match(id, /^fl-[0-9a-f]{17}$/);
  const [{ CreationTime: made, ...log }, ...others] = await describe();
  assert.equal(others.length, 0);
  assert.ok(made instanceof Date);
  assert.deepEqual(log, {
    FlowLogId: id,
    FlowLogStatus: 'ACTIVE',
    DeliverLogsStatus: 'SUCCESS',
    ResourceId: ONLY_VPC_ID,
    TrafficType: 'ALL',
    LogDestinationType: 'cloud-watch-logs',
    LogDestination: undefined,
    LogGroupName: 'flows',
    LogFormat: DEFAULT_FORMAT,
    MaxAggregationInterval: 60,
    Tags: [],
  });
  const filter = (Name: string, value: string): Struct => ({ Filter: [{ Name, Values: [value] }] });
  assert.equal((await describe(filter('resource-id', ONLY_VPC_ID))).length, 1);
  assert.equal((await describe(filter('traffic-type', 'REJECT'))).length, 0);
  await call('DeleteFlowLogs', { FlowLogIds: [id] });
  assert.deepEqual(await describe(), []);
});

test('a call that is not right makes nothing, and says why', async (t) => {
  const { create, describe, call } = await makeWorld(t);
  await create(GOOD);
  const cases: readonly [params: Struct, code: string, message: RegExp][] = [
    [GOOD, 'FlowLogAlreadyExists', /existing Flow Log .*: fl-/],
    [{ ...GOOD, ResourceIds: ['vpc-00000000000000000'] }, 'InvalidVpcID.NotFound', /vpc-0{17}/],
    [{ ...GOOD, ResourceType: 'Subnet' }, 'InvalidParameterValue', /Unknown ResourceId/],
    [{ ...GOOD, ResourceType: 'TransitGateway' }, 'InvalidParameterValue', /VPC, Subnet/],
    [{ ...GOOD, TrafficType: 'SOME' }, 'InvalidParameterValue', /ALL, ACCEPT, REJECT/],
    [{ ...GOOD, TrafficType: undefined }, 'MissingParameter', /TrafficType/],
    [{ ...GOOD, MaxAggregationInterval: 5 }, 'InvalidParameterValue', /60 or 600/],
    [{ ...GOOD, LogGroupName: 'x', LogFormat: '${colour}' }, 'InvalidParameterValue', /colour/],
    [{ ...GOOD, ResourceIds: undefined }, 'MissingParameter', /ResourceId/],
  ];
  for (const [params, code, message] of cases)
    await assert.rejects(create(params), { code, message }, JSON.stringify(params));
  await assert.rejects(call('DeleteFlowLogs', { FlowLogIds: ['fl-00000000000000000'] }), {
    code: 'InvalidFlowLogId.NotFound',
  });
  assert.equal((await describe()).length, 1);
});

test('one client token makes one flow log', async (t) => {
  const { create, describe } = await makeWorld(t);
  const once = { ...GOOD, ClientToken: 'once' };
  assert.equal(await create(once), await create(once));
  assert.equal((await describe()).length, 1);
});
