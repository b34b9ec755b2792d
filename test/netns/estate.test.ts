/**
 * What calls made, on real packets: groups, rules and interfaces of a store are in force beside those of the file, and
 * whoever changed them learns when they are.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseAddress } from '../../src/addr/address.ts';
import type { Edit } from '../../src/estate/edit.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import {
  addDefaultGroup,
  authorizeRules,
  createEstateGroup,
  revokeRules,
} from '../../src/estate/groups.ts';
import { createFlowLog } from '../../src/estate/flow-logs.ts';
import { appliedKey } from '../../src/estate/keys.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { openStore } from '../../src/store/open-store.ts';
import { context, DEFAULT_VPC, take } from '../estate/world.ts';
import { storeOf } from '../support/api-program.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain } from './world.ts';

const WEB = '10.0.0.11';

class Api {
  readonly client: EstateClient;
  /** Those that have started. */
  hosts: readonly string[] = [];

  constructor(client: EstateClient) {
    this.client = client;
  }

  static async open(t: TestContext, file: string): Promise<Api> {
    const troubles: string[] = [];
    const client = await EstateClient.open({
      store: await openStore(file, (message) => troubles.push(message)),
      onTrouble: (message) => troubles.push(message),
    });
    t.after(() => client.close());
    return new Api(client);
  }

  /** Makes a change and waits until it is in force. */
  async change<T>(work: (edit: Edit) => Checked<T>): Promise<T> {
    const { value, revision } = take(await this.client.change(work));
    assert.deepEqual(await this.client.enforce(revision, GUARD_MS), { kind: 'inForce' });
    assert.deepEqual([...this.client.estate.applied().keys()], this.hosts, 'who was waited for');
    for (const { leftOut } of this.client.estate.applied().values())
      assert.deepEqual(leftOut ?? {}, {});
    return value;
  }
}

/** A daemon whose file has an uplink alone, and one group with what is declared of it. */
async function makeWorld(
  t: TestContext,
  declared = '',
  more: readonly string[] = [],
): Promise<{
  readonly daemon: Daemon;
  readonly api: Api;
  readonly web: Awaited<ReturnType<typeof makeNamespaces>>[string];
  readonly out: Awaited<ReturnType<typeof makeNamespaces>>[string];
  readonly store: string;
  readonly file: string;
}> {
  const { web, out } = await makeNamespaces(t, ['web', 'out']);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-estate-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'c.yaml');
  const store = storeOf(folder);
  writeFileSync(
    file,
    `uplink: { tun: up0, netns: ${out.path}, addresses: [10.9.0.1/24] }\n${declared}`,
  );
  const api = await Api.open(t, store);
  await api.change((edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
  });
  const daemon = await Daemon.start(t, file, ['--store', store, '--host', 'here', ...more]);
  api.hosts = ['here'];
  return { daemon, api, web, out, store, file };
}

/** Attaches an interface of the group to a device of a namespace. */
function writeInterface(edit: Edit, groupId: string, netns: string): Checked<undefined> {
  const address = parseAddress(WEB);
  assert.ok(address.ok);
  edit.write('interfaces', 'eni-00000000000000001', {
    id: 'eni-00000000000000001',
    vpcId: ONLY_VPC_ID,
    subnetId: undefined,
    addresses: [address.value],
    groupIds: [groupId],
    description: '',
    sourceDestCheck: true,
    connectionTracking: undefined,
    macAddress: '02:00:00:00:00:01',
    attachment: {
      id: 'eni-attach-1',
      host: 'here',
      instanceId: 'i-1',
      deviceIndex: 0,
      attachedAt: new Date().toISOString(),
      isByTags: false,
      device: { kind: 'tun', name: 'eth0', netns, mtu: 1500, configure: true, persist: false },
    },
    tags: [{ key: 'Name', value: 'web' }],
  });
  return { ok: true, value: undefined };
}

function ready(t: TestContext): boolean {
  return canRun(t) && requireTools(t, 'curl', 'ping');
}

test('an interface, a group and its rules come by calls, and each is in force when the call is over', async (t) => {
  if (!ready(t)) return;
  const { daemon, api, web, out } = await makeWorld(t);
  const { group } = await api.change((edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'web', description: 'd', tags: [] }, context),
  );
  await api.change((edit) => writeInterface(edit, group.id, web.path));
  assert.equal((await web.run('ip', ['link', 'show', 'eth0'])).code, 0, daemon.output);
  await pingInVain(out, WEB);
  const echo = [
    {
      protocol: 'icmp',
      fromPort: 8,
      toPort: 0,
      peers: [{ kind: 'cidrIpv4' as const, text: '10.9.0.0/24' }],
    },
  ];
  for (let round = 0; round < 3; round++) {
    const { added } = await api.change((edit) =>
      authorizeRules(edit, group.id, 'ingress', echo, [], context),
    );
    assert.equal((await ping(out, WEB)).code, 0, 'the rule is in force');
    await api.change((edit) =>
      revokeRules(edit, group.id, 'ingress', { kind: 'ids', ids: [added[0].id] }),
    );
    await pingInVain(out, WEB);
  }
  assert.equal(await daemon.stop(), 0);
  assert.equal(api.client.estate.revisionOf(appliedKey('here')), 0, 'nobody waits for it');
});

test('a flow log that a call made has records of what passed and what did not', async (t) => {
  if (!ready(t)) return;
  const logs = mkdtempSync(join(tmpdir(), 'sgt-estate-logs-'));
  t.after(() => rmSync(logs, { recursive: true, force: true }));
  // A minute is half a second.
  const { api, web, out, daemon } = await makeWorld(t, '', [
    ...['--flow-log-dir', logs, '--time-scale', '120'],
  ]);
  const { group } = await api.change((edit) =>
    createEstateGroup(edit, { vpcId: undefined, name: 'web', description: 'd', tags: [] }, context),
  );
  await api.change((edit) => writeInterface(edit, group.id, web.path));
  const { id } = await api.change((edit) =>
    createFlowLog(
      edit,
      {
        resourceId: ONLY_VPC_ID,
        traffic: 'ALL',
        format: '${interface-id} ${vpc-id} ${instance-id} ${account-id} ${srcaddr} ${action}',
        aggregationSec: 60,
        destinationType: 'cloud-watch-logs',
        destination: undefined,
        logGroupName: 'flows',
        region: 'us-east-1',
        tags: [],
      },
      context,
    ),
  );
  await pingInVain(out, WEB);
  assert.equal(await daemon.stop(), 0, daemon.output);
  const lines = readFileSync(join(logs, `${id}.log`), 'utf8').split('\n');
  const rejected = `eni-00000000000000001 ${ONLY_VPC_ID} i-1 123456789012 10.9.0.1 REJECT`;
  assert.ok(lines.includes(rejected), lines.join('\n'));
});
