/** What a call with DryRun is told, whatever the hosts answer, or if they don't. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ruleActions } from '../../src/api/actions/rules.ts';
import { Managed } from '../../src/api/managed.ts';
import { describeImpact, Previews } from '../../src/api/previews.ts';
import { randomId } from '../../src/estate/calls.ts';
import { createEstateGroup } from '../../src/estate/groups.ts';
import { isPreviewKey } from '../../src/estate/keys.ts';
import type { HostImpact } from '../../src/estate/previews.ts';
import { change, context, makeClients, putHost } from '../estate/world.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { send } from './request.ts';
import { startService, WRITER } from './service.ts';

const NONE: HostImpact = {
  kept: 0,
  cut: 0,
  refusedAnew: 0,
  cutBy: [],
  cutConnections: [],
  refusedConnections: [],
  admits: 0,
  admitted: [],
};
const QUIET = 'On a it would cut 0 of 0 connections. It would newly admit nothing.';

test('answers are put together in the order of the hosts', () => {
  const busy: HostImpact = {
    ...NONE,
    kept: 2,
    cut: 7,
    cutBy: ['7 by web ingress: tcp 80 from 0.0.0.0/0'],
    cutConnections: ['tcp 1', 'tcp 2', 'tcp 3', 'tcp 4', 'tcp 5'],
    admits: 1,
    admitted: ['r at web'],
  };
  assert.deepEqual(
    describeImpact(
      [
        ['a', { impact: NONE }],
        ['b', { impact: busy }],
        ['c', { impact: undefined, why: 'no room' }],
        ['d', undefined],
      ],
      5000,
    ),
    {
      message: [
        QUIET,
        'On b it would cut 7 of 9 connections (7 by web ingress: tcp 80 from 0.0.0.0/0): tcp 1; tcp 2; tcp 3; tcp 4; tcp 5 and 2 more.',
        'It would newly admit r at web.',
        "Host c can't tell what it would do: no room.",
        'Host d did not answer within 5 s: what it would cut is not known.',
      ].join(' '),
      header:
        'hosts=4; unknown=2; kept=2; cut=7; not-again=0; admits=1; cut: tcp 1; cut: tcp 2; cut: tcp 3',
    },
  );
});

test('message and header are bounded, and the header is ASCII', () => {
  const long = { ...NONE, cut: 3, cutConnections: ['ü\n'.repeat(200), 'x'.repeat(300), 'y'] };
  const hosts = Array.from({ length: 100 }, (_, i) => [`h${i}`, { impact: long }] as const);
  const { message, header } = describeImpact(hosts, 5000);
  assert.equal(message.length, 4000);
  assert.equal(header.length, 500);
  assert.match(header, /^[\x20-\x7e]+$/);
});

test('a host that does not answer is named, and nothing is left of the question', async (t) => {
  const [client, other] = await makeClients(t, 2);
  const previews = new Previews({ client, newId: randomId, timeoutMs: 50 });
  const options = { client, previews, context, region: 'us-east-1', enforceTimeoutMs: 1000 };
  const managed = new Managed({ ...options, wait: 'none' });
  const { group } = await change(client, (edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'web', description: 'd', tags: [] }, context),
  );
  const { port } = await startService(t, { actions: ruleActions(managed) });
  const body = `Action=AuthorizeSecurityGroupIngress&GroupId=${group.id}&IpProtocol=tcp&FromPort=1&ToPort=1&CidrIp=10.0.0.0/8&DryRun=true`;
  const dry = 'Request would have succeeded, but DryRun flag is set.';
  const nobody = await send(port, WRITER, { body });
  assert.deepEqual(
    [nobody.status, nobody.code, nobody.message, nobody.headers['x-secgroupd-impact']],
    [
      412,
      'DryRunOperation',
      `${dry} No host follows the store, so it concerns no connection.`,
      'hosts=0',
    ],
  );
  await change(client, (edit) => {
    putHost(edit, 'far', { revision: 1 });
    return { ok: true, value: undefined };
  });
  const { contentRevision } = client.estate;
  const silent = await send(port, WRITER, { body });
  assert.deepEqual(
    [silent.message, silent.headers['x-secgroupd-impact']],
    [
      `${dry} Host far did not answer within 0.05 s: what it would cut is not known.`,
      'hosts=1; unknown=1; kept=0; cut=0; not-again=0; admits=0',
    ],
  );
  assert.equal(client.estate.group(group.id)?.group.ingress.length, 0);
  assert.equal(client.estate.contentRevision, contentRevision);
  assert.ok(await other.reach(client.estate.revision, GUARD_MS));
  assert.deepEqual(other.estate.keys().filter(isPreviewKey), []);
});

test('of many dry runs at once some are told to come again', async (t) => {
  const [client] = await makeClients(t);
  const previews = new Previews({ client, newId: randomId, timeoutMs: 50 });
  const options = { client, previews, context, region: 'us-east-1', enforceTimeoutMs: 1000 };
  const managed = new Managed({ ...options, wait: 'none' });
  const { group } = await change(client, (edit) => {
    putHost(edit, 'far', { revision: 1 });
    return createEstateGroup(
      edit,
      { vpcId: undefined, name: 'web', description: 'd', tags: [] },
      context,
    );
  });
  const [authorize] = ruleActions(managed);
  const calls = Array.from({ length: 20 }, (_, i) => {
    const port = 1 + i;
    const params = {
      GroupId: group.id,
      IpProtocol: 'tcp',
      FromPort: port,
      ToPort: port,
      CidrIp: '10.0.0.0/8',
      DryRun: true,
    };
    const caller = { ...WRITER, arn: '', host: '' };
    return authorize.run(params, caller).then(
      () => '',
      (error: Error) => error.message,
    );
  });
  const told = await Promise.all(calls);
  assert.equal(told.filter((one) => one.includes('Host far did not answer')).length, 16);
  assert.equal(
    told.filter((one) =>
      one.endsWith('What it would do is not known: 16 other dry runs are looked at; call again.'),
    ).length,
    4,
  );
});
