/** A world whose interfaces, groups and rules are of a store: its rules are changed by calls of the EC2 API. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { parseAddress } from '../../../src/addr/address.ts';
import type { Edit } from '../../../src/estate/edit.ts';
import { EstateClient } from '../../../src/estate/estate-client.ts';
import { addDefaultGroup, authorizeRules, createEstateGroup } from '../../../src/estate/groups.ts';
import type { Checked } from '../../../src/policy/refusals.ts';
import { ONLY_VPC_ID } from '../../../src/policy/vpcs.ts';
import { openStore } from '../../../src/store/open-store.ts';
import { context, DEFAULT_VPC, take } from '../../estate/world.ts';
import { startApiProgram, storeOf } from '../../support/api-program.ts';
import { makeNetns, type Netns } from '../../support/netns.ts';
import { call, keepAlive } from '../api/measure.ts';
import type { Bench } from '../bench.ts';
import { FIRST_PORT, LAST_PORT, makeEnds } from '../rivals/rival.ts';
import { CLIENT, SERVER, startAsked, type World } from './world.ts';

const HOST = 'here';

export async function startApiWorld(bench: Bench, name: string): Promise<World> {
  const { client, server } = await makeEnds(bench);
  const outside = await makeNetns(bench.scope);
  const folder = mkdtempSync(bench.path('api-world-'));
  const file = `${folder}/secgroupd.yaml`;
  writeFileSync(
    file,
    `offload: on
metrics: { listen: '127.0.0.1:0' }
uplink: { tun: up0, netns: ${outside.path}, addresses: [10.9.0.1/24] }
`,
  );
  const store = storeOf(folder);
  const groupId = await fill(store, client, server);
  const program = await startApiProgram(folder, { policy: 'write' });
  bench.scope.after(() => program.server.stop());
  const port = Number(new URL(program.url).port);
  const agent = keepAlive();
  bench.scope.after(() => agent.destroy());
  const at = { subject: name, port, key: program.key, agent };
  const rule = {
    GroupId: groupId,
    'IpPermissions.1.IpProtocol': 'udp',
    'IpPermissions.1.FromPort': String(FIRST_PORT),
    'IpPermissions.1.ToPort': String(LAST_PORT),
    'IpPermissions.1.IpRanges.1.CidrIp': `${CLIENT}/32`,
  };
  return {
    ...(await startAsked(bench, ['--config', file, '--store', store, '--host', HOST])),
    ...{ name, client, server, clientAddress: CLIENT, serverAddress: SERVER, refuses: true },
    change: 'API',
    prepare: (admitsUdp) => () =>
      call(at, admitsUdp ? 'AuthorizeSecurityGroupIngress' : 'RevokeSecurityGroupIngress', rule),
  };
}

/** Makes both interfaces and their groups. @returns the id of the server's group */
async function fill(store: string, client: Netns, server: Netns): Promise<string> {
  const fail = (message: string): never => {
    throw new Error(message);
  };
  const estate = await EstateClient.open({ store: await openStore(store, fail), onTrouble: fail });
  const change = async <Value>(work: (edit: Edit) => Checked<Value>): Promise<Value> =>
    take(await estate.change(work)).value;
  await change((edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
  });
  const groups: string[] = [];
  for (const name of ['client', 'server']) {
    const text = { vpcId: undefined, name, description: 'of the benchmark', tags: [] };
    const made = await change((edit) => createEstateGroup(edit, text, context));
    groups.push(made.group.id);
  }
  const [clients, servers] = groups;
  const peers = [{ kind: 'cidrIpv4' as const, text: `${CLIENT}/32` }];
  const permissions = ['tcp', 'udp'].map((protocol) => {
    return { protocol, fromPort: FIRST_PORT, toPort: LAST_PORT, peers };
  });
  await change((edit) => authorizeRules(edit, servers, 'ingress', permissions, [], context));
  await change((edit) => {
    const found = edit.read('groups', servers) ?? fail('the group is gone');
    edit.write('groups', servers, { ...found, group: { ...found.group, revocation: 'recheck' } });
    writeInterface(edit, 1, client, CLIENT, clients);
    writeInterface(edit, 2, server, SERVER, servers);
    return { ok: true, value: undefined };
  });
  await estate.close();
  return servers;
}

function writeInterface(
  edit: Edit,
  number: number,
  netns: Netns,
  text: string,
  groupId: string,
): void {
  const address = parseAddress(text);
  if (!address.ok) throw new Error(address.message);
  const id = `eni-${String(number).padStart(17, '0')}`;
  edit.write('interfaces', id, {
    id,
    vpcId: ONLY_VPC_ID,
    subnetId: undefined,
    addresses: [address.value],
    groupIds: [groupId],
    description: '',
    sourceDestCheck: true,
    connectionTracking: undefined,
    macAddress: `02:00:00:00:00:0${number}`,
    attachment: {
      id: `eni-attach-${number}`,
      host: HOST,
      instanceId: `i-${number}`,
      deviceIndex: 0,
      attachedAt: new Date().toISOString(),
      isByTags: false,
      device: {
        kind: 'veth',
        name: 'eth0',
        netns: netns.path,
        mtu: 1500,
        configure: true,
        persist: false,
      },
    },
    tags: [],
  });
}
