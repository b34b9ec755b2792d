/**
 * Random calls against two servers of one store, over HTTP: after each, both describe what a plain twin has, errors have
 * the twin's codes, and the policy that hosts make of the store gives packets the twin's verdicts.
 */
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { groupActions } from '../../src/api/actions/groups.ts';
import { prefixListActions } from '../../src/api/actions/prefix-lists.ts';
import { ruleActions } from '../../src/api/actions/rules.ts';
import { tagActions } from '../../src/api/actions/tags.ts';
import { Managed } from '../../src/api/managed.ts';
import { Previews } from '../../src/api/previews.ts';
import type { Config } from '../../src/config/config.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { Joiner } from '../../src/estate/join.ts';
import { DEFAULT_TRACKING } from '../../src/estate/join-interfaces.ts';
import { estateOrigin } from '../../src/estate/rows.ts';
import type { NetworkInterface } from '../../src/policy/model.ts';
import { matchingRules } from '../../src/policy/reference.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { loadText } from '../config/config-text.ts';
import { context, makeClients } from '../estate/world.ts';
import { makeFolder } from '../store/folder.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { mustAddress } from '../support/policy.ts';
import { callOf, described, newIdOf, rulesOf, steps, type Step } from './model-steps.ts';
import { Twin, type Parameters } from './model-twin.ts';
import { send, type Got } from './request.ts';
import { requireSdk, sdkClient, type SdkClient } from './sdk.ts';
import { startService, WRITER } from './service.ts';

const SEED = Number(process.env['PROPERTY_SEED'] ?? Date.now() & 0x7fffffff);
const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 10);
const STEPS = { minLength: 15, maxLength: 25 };
const CIDRS = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '0.0.0.0/0',
  '2001:db8::/32',
  '2001:db8:1::/48',
  '::/0',
];
const PROTOCOLS = [
  ['tcp', 6],
  ['udp', 17],
] as const;
const PROBES = [
  ...['9.255.255.255', '10.0.0.0', '10.1.255.255', '10.255.255.255', '11.0.0.0'],
  ...['2001:db7:ffff::1', '2001:db8::', '2001:db8:1:ffff::1', '2001:db8:2::', '2001:db9::1'],
];
const JOIN = { host: 'here', netnsDirectory: '/run/netns', flowLogDirectory: '/var/log' };
const TEMPLATE: Omit<NetworkInterface, 'groupIds'> = {
  id: 'eni-00000000000000001',
  name: 'probe',
  addresses: [],
  sourceDestCheck: true,
  connectionTracking: DEFAULT_TRACKING,
  origin: estateOrigin('probe'),
};

interface Server {
  readonly port: number;
  readonly sdk: SdkClient;
  readonly stop: () => Promise<void>;
  readonly client: EstateClient;
}

async function startServers(
  t: TestContext,
  open?: () => Promise<Store>,
): Promise<readonly Server[]> {
  const clients = await makeClients(t, 2, open);
  return Promise.all(
    clients.map(async (client) => {
      const options = { client, context, region: 'us-east-1', enforceTimeoutMs: GUARD_MS };
      const previews = new Previews({ client, newId: context.newId, timeoutMs: GUARD_MS });
      const managed = new Managed({ ...options, previews, wait: 'all' });
      const actions = [
        ...groupActions(managed),
        ...ruleActions(managed),
        ...tagActions(managed),
        ...prefixListActions(managed),
      ];
      const { url, port, stop } = await startService(t, { actions });
      const sdk = await sdkClient('ec2', { endpoint: url, credentials: WRITER });
      return { port, sdk, stop, client };
    }),
  );
}

function call({ port }: Server, action: string, parameters: Parameters): Promise<Got> {
  const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
  return send(port, WRITER, { body: body.toString() });
}

/** Packets from the edges of the rules, by the policy that a host joins of the store. */
function checkVerdicts(config: Config, twin: Twin): void {
  for (const { id } of twin.groups) {
    const one = { ...TEMPLATE, groupIds: [id] };
    const model = { ...config.model, interfaces: new Map([[one.id, one]]) };
    for (const [protocol, number] of PROTOCOLS)
      for (const port of [79, 80, 81, 82])
        for (const text of PROBES) {
          const remote = mustAddress(text);
          const probe = { protocol: number, port, icmpType: 0, icmpCode: 0, remote };
          for (const direction of ['ingress', 'egress'] as const) {
            const found = matchingRules(model, one.id, direction, probe).length > 0;
            const wanted = twin.admits(id, direction === 'egress', protocol, port, text);
            assert.equal(found, wanted, `${id} ${direction} ${protocol} ${port} ${text}`);
          }
        }
  }
}

/** Makes a call at one server. The twin learns of it, unless it is a dry run. */
async function makeCall(server: Server, twin: Twin, one: Step, isDry: boolean): Promise<void> {
  const [action, parameters] = callOf(one, twin);
  const got = await call(server, action, { ...parameters, ...(isDry ? { DryRun: 'true' } : {}) });
  const newId = newIdOf(action, got.body);
  const wanted = (isDry ? twin.copy() : twin).call(action, parameters, newId);
  const code = isDry && wanted === 'ok' ? 'DryRunOperation' : wanted;
  assert.equal(got.code ?? 'ok', code, `${action} ${JSON.stringify(parameters)} ${got.body}`);
  if (action !== 'CreateSecurityGroup' || got.code !== undefined) return;
  const own = await rulesOf(server.sdk, newId);
  assert.equal(own.length, 1);
  const anywhere = { protocol: '-1', from: -1, to: -1, cidr: '0.0.0.0/0' };
  const [{ id }] = own;
  twin.group(newId).rules = [{ ...anywhere, id, isEgress: true, peer: '', description: '' }];
}

/** It ends after those who use it. */
let etcd: Etcd | undefined;
after(() => etcd?.end());

const plan = fc.array(fc.tuple(steps(CIDRS), fc.nat({ max: 1 }), fc.nat({ max: 5 })), STEPS);

for (const [place, runs] of [
  ['in memory', RUNS],
  ['in a file', Math.ceil(RUNS / 3)],
  ['in etcd', Math.ceil(RUNS / 3)],
] as const)
  test(`two servers of one store ${place} are what a plain twin says`, async (t) => {
    if (!requireSdk(t)) return;
    if (place === 'in etcd' && !requireEtcd(t)) return;
    if (place === 'in etcd') etcd = await Etcd.start();
    t.diagnostic(`PROPERTY_SEED=${SEED}`);
    const { config } = loadText('securityGroups: { other: {} }\n');
    assert.ok(config !== undefined);
    await fc.assert(
      fc.asyncProperty(plan, async (made) => {
        const folder = makeFolder(t);
        const file = join(folder, 'store.db');
        const at = etcd === undefined ? file : `etcd://${etcd.hosts}/${basename(folder)}`;
        const open = (): Promise<Store> => openStore(at, assert.fail);
        const servers = await startServers(t, place === 'in memory' ? undefined : open);
        const [{ client, sdk }] = servers;
        const joiner = new Joiner(servers[1].client.estate, JOIN);
        const { id } = client.estate.list('groups')[0].group;
        const twin = new Twin(id, await rulesOf(sdk, id));
        for (const [one, at, dry] of made) {
          await makeCall(servers[at], twin, one, dry === 0);
          const { revision } = servers[at].client.estate;
          for (const server of servers) {
            assert.ok(await server.client.reach(revision, GUARD_MS));
            assert.deepEqual(await described(server.sdk), twin.lines());
          }
          const joined = joiner.join(config);
          assert.deepEqual([...joined.leftOut], []);
          checkVerdicts(joined.config, twin);
        }
        for (const server of servers) await server.stop();
      }),
      { numRuns: runs, seed: SEED },
    );
  });
