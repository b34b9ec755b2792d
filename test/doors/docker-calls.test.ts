/** The Docker door without Docker: what it answers, what it writes down, and what it has nft do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { HostNat, natRules } from '../../src/doors/docker/host-nat.ts';
import { Members } from '../../src/doors/docker/members.ts';
import { NetworkDriver } from '../../src/doors/docker/network-driver.ts';
import { PluginServer } from '../../src/doors/docker/plugin-server.ts';
import { DockerState } from '../../src/doors/docker/state.ts';
import type { Selection } from '../../src/doors/selection.ts';
import { until } from '../support/until.ts';

const NETWORK = 'ab'.repeat(32);
const CREATE_NETWORK = {
  NetworkID: NETWORK,
  Options: { 'com.docker.network.generic': { sg: 'web' } },
  IPv4Data: [{ Pool: '10.77.0.0/24', Gateway: '10.77.0.1/24' }],
  IPv6Data: [{ Pool: 'fd00::/64', Gateway: 'fd00::1/64' }],
};

function endpoint(digit: string, last: number, ports: readonly object[] = []): object {
  return {
    NetworkID: NETWORK,
    EndpointID: digit.repeat(64),
    Interface: { Address: `10.77.0.${last}/24`, AddressIPv6: `fd00::${last}/64` },
    Options: { 'com.docker.network.portmap': ports },
  };
}

const PORT = { Proto: 6, Port: 80, HostPort: 8080, HostPortEnd: 8080 };

interface World {
  readonly folder: string;
  readonly state: DockerState;
  /** What was asked of the daemon and of nft. */
  readonly asked: string[];
  readonly moved: Set<string>;
  /** What the daemon says to a removal, as long as there is something. */
  readonly refusals: Error[];
  readonly driver: NetworkDriver;
  readonly call: (method: string, body: object) => Promise<unknown>;
}

function makeWorld(t: TestContext, before?: World): World {
  const folder = before?.folder ?? mkdtempSync(join(tmpdir(), 'sgt-door-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const state = new DockerState(folder);
  const asked: string[] = [];
  const moved = new Set<string>();
  const refusals: Error[] = [];
  const interfaces = {
    add: ({
      id,
      kind,
      selection,
    }: {
      readonly id: string;
      readonly kind: string;
      readonly selection: Selection;
    }) => {
      const what =
        selection.kind === 'groups' ? selection.securityGroups.join(' ') : `as ${selection.id}`;
      if (what === 'wrong') return Promise.reject(new Error('no'));
      asked.push(`add ${id} ${what}${kind === 'tun' ? '' : ` ${kind}`}`);
      return Promise.resolve();
    },
    remove: (id: string) => {
      asked.push(`remove ${id}`);
      const refusal = refusals.shift();
      return refusal === undefined ? Promise.resolve() : Promise.reject(refusal);
    },
    moved: () => Promise.resolve(moved),
  };
  const nat = { apply: () => Promise.resolve(void asked.push('nat')) };
  const driver = new NetworkDriver({ state, nat, interfaces, leftOverMs: 100, againMs: 10 });
  const call = async (method: string, body: object): Promise<unknown> =>
    driver.methods.get(method)!(new Members(body));
  return { folder, state, asked, moved, refusals, driver, call };
}

test('each call again does no harm, and what was told outlives the driver', async (t) => {
  const first = makeWorld(t);
  await first.call('CreateNetwork', CREATE_NETWORK);
  const body = endpoint('1', 2, [PORT]);
  assert.deepEqual(await first.call('CreateEndpoint', body), { Interface: {} });
  await first.call('CreateEndpoint', body);
  const [, added, , again] = first.asked;
  assert.match(added, /^add eni-[0-9a-f]{17} web$/);
  assert.equal(again, added);
  const second = makeWorld(t, first);
  assert.deepEqual(await second.call('Join', body), {
    InterfaceName: {
      SrcName: ((await first.call('Join', body)) as { InterfaceName: { SrcName: string } })
        .InterfaceName.SrcName,
      DstPrefix: 'eth',
    },
    Gateway: '10.77.0.1',
    GatewayIPv6: 'fd00::1',
    DisableGatewayService: true,
  });
  for (let i = 0; i < 2; i++) {
    await second.call('Leave', body);
    await second.call('DeleteEndpoint', body);
  }
  await second.call('DeleteNetwork', { NetworkID: NETWORK });
  await second.call('DeleteNetwork', { NetworkID: NETWORK });
  const id = added.split(' ')[1];
  assert.deepEqual(second.asked, ['nat', `remove ${id}`, `remove ${id}`, 'nat']);
  assert.deepEqual([second.state.networks.size, second.state.endpoints.size], [0, 0]);
});

test('a network says of which kind its devices are, also after a restart', async (t) => {
  const first = makeWorld(t);
  const network = (kind: string): object => ({
    ...CREATE_NETWORK,
    Options: { 'com.docker.network.generic': { sg: 'web', kind } },
  });
  await assert.rejects(first.call('CreateNetwork', network('stream')), {
    message: 'kind is one of tun, tap, veth, and not stream',
  });
  await first.call('CreateNetwork', network('veth'));
  const second = makeWorld(t, first);
  await second.call('CreateEndpoint', endpoint('1', 2));
  assert.match(second.asked[0], /^add eni-[0-9a-f]{17} web veth$/);
});

test('what a dockerd that was killed has left over makes way, and what runs does not', async (t) => {
  const { state, asked, moved, driver, call } = makeWorld(t);
  await call('CreateNetwork', CREATE_NETWORK);
  await call('CreateEndpoint', endpoint('1', 2, [PORT]));
  const taken = /another container has 8080\/tcp of the host/;
  await assert.rejects(call('CreateEndpoint', endpoint('2', 3, [PORT])), taken);
  const id = asked[1].split(' ')[1];
  // Docker gives an address again: it has forgotten the endpoint.
  await call('CreateEndpoint', endpoint('3', 2));
  assert.deepEqual([...state.endpoints.keys()], ['3'.repeat(64)]);
  assert.ok(asked.includes(`remove ${id}`));
  // Another port of the same number, of a container that dockerd had before it was started again.
  await call('CreateEndpoint', endpoint('4', 4, [PORT]));
  driver.activate();
  const waiting = call('CreateEndpoint', endpoint('5', 5, [PORT]));
  await waiting;
  assert.deepEqual([...state.endpoints.keys()], ['3'.repeat(64), '5'.repeat(64)]);
  // One that is in a container runs.
  moved.add(asked.findLast((line) => line.startsWith('add '))!.split(' ')[1]);
  driver.activate();
  await assert.rejects(call('CreateEndpoint', endpoint('6', 6, [PORT])), taken);
});

test('an interface that a call made is attached, and looked for by its own id', async (t) => {
  const first = makeWorld(t);
  await first.call('CreateNetwork', CREATE_NETWORK);
  const eni = 'eni-0123456789abcdef0';
  const withEni = (digit: string, last: number): { Options: object } & object => {
    const body = endpoint(digit, last, [PORT]) as { readonly Options: object };
    return { ...body, Options: { ...body.Options, eni } };
  };
  await first.call('CreateEndpoint', withEni('1', 40));
  const [, added] = first.asked;
  assert.match(added, new RegExp(`^add eni-[0-9a-f]{17} as ${eni}$`));
  const id = added.split(' ')[1];
  // A port in the way: what is in a container runs, and its device is asked for by the interface's id.
  const second = makeWorld(t, first);
  second.moved.add(eni);
  await assert.rejects(
    second.call('CreateEndpoint', endpoint('2', 3, [PORT])),
    /another container/,
  );
  second.moved.clear();
  await second.call('CreateEndpoint', endpoint('2', 3, [PORT]));
  assert.equal(second.asked[0], `remove ${id}`);
  const both = { ...endpoint('3', 4), Options: { eni, sg: 'web' } };
  await assert.rejects(second.call('CreateEndpoint', both), /sg and eni are both given/);
  const wrong = { ...endpoint('3', 4), Options: { eni: 'web' } };
  await assert.rejects(second.call('CreateEndpoint', wrong), /eni=web is no id of an interface/);
});

test('a refused interface leaves nothing', async (t) => {
  const { state, asked, call } = makeWorld(t);
  await call('CreateNetwork', {
    ...CREATE_NETWORK,
    Options: { 'com.docker.network.generic': { sg: 'wrong' } },
  });
  await assert.rejects(call('CreateEndpoint', endpoint('1', 2)), /^Error: no$/);
  assert.equal(state.endpoints.size, 0);
  assert.match(asked.at(-1)!, /^remove eni-/);
});

test('what could not be taken away is tried again until it is gone, also after a restart', async (t) => {
  const first = makeWorld(t);
  await first.call('CreateNetwork', CREATE_NETWORK);
  await first.call('CreateEndpoint', endpoint('1', 2, [PORT]));
  await first.call('CreateEndpoint', endpoint('2', 3));
  first.refusals.push(...Array.from({ length: 1000 }, () => new Error('too many others ask')));
  const deletion = (digit: string): Promise<unknown> =>
    first.call('DeleteEndpoint', endpoint(digit, 2));
  await assert.rejects(deletion('1'), /too many others ask/);
  assert.equal(first.asked.at(-1), 'nat', 'nothing comes to its port any more');
  await assert.rejects(deletion('2'), /too many others ask/);
  // Docker, which repeats calls, has made one of them again.
  await first.call('CreateEndpoint', endpoint('2', 3));
  const second = makeWorld(t, first);
  await until('it is gone', () => second.state.endpoints.size === 1);
  first.refusals.length = 0;
  await until('here too', () => first.state.endpoints.size === 1);
  const [id] = first.state.endpoints.keys();
  assert.equal(id, '2'.repeat(64));
});

test('requests of a wrong form are refused', async (t) => {
  const { state, call } = makeWorld(t);
  const network = (change: object): Promise<unknown> =>
    call('CreateNetwork', { ...CREATE_NETWORK, ...change });
  await assert.rejects(network({ NetworkID: '../../x' }), /NetworkID '..\/..\/x' is no id/);
  await assert.rejects(network({ NetworkID: 7 }), /NetworkID is not a text/);
  await assert.rejects(network({ IPv4Data: 'x' }), /IPv4Data is not a list/);
  const rule = '10.0.0.0/8 accept; flush ruleset';
  await assert.rejects(network({ IPv4Data: [{ Pool: rule }] }), /the subnet: /);
  await network({});
  const create = (change: object): Promise<unknown> =>
    call('CreateEndpoint', { ...endpoint('1', 2), ...change });
  await assert.rejects(create({ Interface: { Address: 'x' } }), /the address: /);
  const ports = (port: object): object => ({ Options: { 'com.docker.network.portmap': [port] } });
  await assert.rejects(create(ports({ ...PORT, Proto: 1 })), /only ports of tcp, udp and sctp/);
  await assert.rejects(create(ports({ ...PORT, HostPort: 70000, HostPortEnd: 0 })), /from 1 to/);
  await assert.rejects(create(ports({ ...PORT, HostPortEnd: 8090 })), /write -p 8080:80/);
  await assert.rejects(create(ports({ ...PORT, HostIP: 'x' })), /the address of the host: /);
  await assert.rejects(create(ports({ ...PORT, HostIP: '::1' })), /no packet can reach/);
  assert.equal(state.endpoints.size, 0);
});

test('the table of nft follows from what there is, and is gone with it', () => {
  const subnets = [{ cidr: '10.77.0.0/24' }, { cidr: 'fd00::/64' }];
  const ports = [
    { hostAddress: '', hostPort: 8080, address: '10.77.0.2', port: 80, protocol: 'tcp' },
    { hostAddress: '2001:db8::1', hostPort: 53, address: 'fd00::2', port: 53, protocol: 'udp' },
  ] as const;
  const networks = new Map([['a', { subnets, masquerade: true }]]);
  const endpoints = new Map([['b', { networkId: 'a', addresses: [], ports }]]);
  const rules = natRules({ networks, endpoints }).split('\n');
  assert.deepEqual(rules.slice(-5), [
    'add rule inet secgroupd_docker published meta nfproto ipv4 tcp dport 8080 dnat ip to 10.77.0.2:80',
    'add rule inet secgroupd_docker published ip6 daddr 2001:db8::1 udp dport 53 dnat ip6 to [fd00::2]:53',
    'add rule inet secgroupd_docker postrouting ip saddr 10.77.0.0/24 masquerade',
    'add rule inet secgroupd_docker postrouting ip6 saddr fd00::/64 masquerade',
    '',
  ]);
  const none = new Map([['a', { subnets, masquerade: false }]]);
  assert.equal(
    natRules({ networks: none, endpoints: new Map() }),
    'add table inet secgroupd_docker\ndelete table inet secgroupd_docker\n',
  );
});

test('changes that come while nft runs are in force after the next run', async () => {
  const runs: (() => void)[] = [];
  const nat = new HostNat({ networks: new Map(), endpoints: new Map() }, () => {
    return new Promise((resolve) => runs.push(resolve));
  });
  const ended: string[] = [];
  const first = nat.apply().then(() => ended.push('first'));
  await Promise.resolve();
  const second = nat.apply().then(() => ended.push('second'));
  const third = nat.apply().then(() => ended.push('third'));
  await Promise.resolve();
  assert.equal(runs.length, 1);
  runs[0]();
  await first;
  assert.deepEqual(ended, ['first']);
  while (runs.length < 2) await Promise.resolve();
  runs[1]();
  await Promise.all([second, third]);
  assert.equal(runs.length, 2);
});

test('a file that can not be read stops the start', (t) => {
  const { folder } = makeWorld(t);
  const file = join(folder, 'docker.json');
  writeFileSync(file, '{');
  assert.throws(() => new DockerState(folder), /is no JSON: restore it, or remove it/);
  writeFileSync(file, '{"version":2}');
  assert.throws(() => new DockerState(folder), /is of another version/);
});

test('the socket is for its user alone, and answers as plugins do', async (t) => {
  const { folder, driver } = makeWorld(t);
  let activations = 0;
  const path = join(folder, 'plugins', 'secgroupd.sock');
  const log = pino({ level: 'silent' });
  const onActivate = (): void => void activations++;
  const drivers = { NetworkDriver: driver.methods, IpamDriver: new Map() };
  const server = new PluginServer({ drivers, onActivate, log });
  await server.listen(path, {});
  t.after(() => server.stop());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const post = (url: string, body: string): Promise<readonly [number, string]> =>
    new Promise((resolve, reject) => {
      const sent = request(
        { socketPath: path, path: url, method: 'POST', agent: false },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('end', () => resolve([response.statusCode!, text.trim()]));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  assert.deepEqual(await post('/Plugin.Activate', ''), [
    200,
    '{"Implements":["NetworkDriver","IpamDriver"]}',
  ]);
  assert.equal(activations, 1);
  assert.deepEqual(await post('/NetworkDriver.GetCapabilities', ''), [
    200,
    '{"Scope":"local","ConnectivityScope":"local"}',
  ]);
  const [status] = await post('/NetworkDriver.ProgramExternalConnectivity', '{}');
  assert.equal(status, 404);
  const [, wrong] = await post('/NetworkDriver.Join', '[]');
  const sentence = 'secgroupd: the request is no object of JSON';
  assert.equal(wrong, JSON.stringify({ Err: sentence, Error: sentence }));
  const [, long] = await post('/NetworkDriver.Join', ' '.repeat((1 << 20) + 1));
  assert.match(long, /at most 1048576 bytes/);
});
