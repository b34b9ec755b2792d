/**
 * Three hosts that share a store, each with a network of its own, between which packets go by plain routes, then
 * through VXLAN. What comes through is what both gates say, each on its host.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { authorizeRules } from '../../src/estate/groups.ts';
import type { Explanation } from '../../src/explain/explanation.ts';
import { context, take } from '../estate/world.ts';
import { requireEtcd } from '../support/etcd.ts';
import { connect, type Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Hosts, place, type Placed } from './hosts-world.ts';
import type { Daemon } from './world.ts';
import { canRun, makeNamespaces, ping, pingInVain } from './world.ts';

const NAMES = ['web', 'app', 'db'] as const;
type Name = (typeof NAMES)[number];

/** The host of each has a network of its own, and an address on the one between them. */
const PLACES: Readonly<Record<Name, Placed>> = {
  web: { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' },
  app: { id: 'eni-00000000000000002', host: 'b', address: '10.0.2.11' },
  db: { id: 'eni-00000000000000003', host: 'c', address: '10.0.3.11' },
};
const WIRE = (number: number): string => `192.168.50.${number}`;
const TUNNEL = (number: number): string => `10.8.0.${number}`;
const VXLAN_MTU = 1450;

interface World {
  readonly hosts: Hosts;
  readonly daemons: Readonly<Record<Name, Daemon>>;
  /** Of the instances. */
  readonly netns: Readonly<Record<Name, Netns>>;
  /** Of the hosts, by their instance. */
  readonly hostNetns: Readonly<Record<Name, Netns>>;
}

const numberOf = (name: Name): number => NAMES.indexOf(name) + 1;
const others = (name: Name): readonly Name[] => NAMES.filter((one) => one !== name);

async function startHosts(t: TestContext): Promise<World> {
  const hostNetns = await makeNamespaces(t, NAMES);
  const netns = await makeNamespaces(t, NAMES);
  const { middle } = await makeNamespaces(t, ['middle']);
  const ip = (at: Netns, text: string): Promise<string> => at.mustRun('ip', text.split(' '));
  await ip(middle, 'link add br0 type bridge');
  await ip(middle, 'link set br0 up');
  for (const name of NAMES) {
    const port = `p${numberOf(name)}`;
    await connect(
      { netns: hostNetns[name], interfaceName: 'eth0', addresses: [`${WIRE(numberOf(name))}/24`] },
      { netns: middle, interfaceName: port, addresses: [] },
    );
    await ip(middle, `link set ${port} master br0`);
    await hostNetns[name].mustRun('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  }
  const uplink = (name: Name): { netns: Netns; address: string } => ({
    netns: hostNetns[name],
    address: `10.9.${numberOf(name)}.1/24`,
  });
  const hosts = await Hosts.make(t, { a: uplink('web'), b: uplink('app'), c: uplink('db') });
  const groups = await hosts.makeGroups(NAMES);
  await hosts.change((edit) => {
    const admit = (to: Name, from: Name): unknown =>
      take(
        authorizeRules(
          edit,
          groups[to],
          'ingress',
          [{ protocol: '-1', peers: [{ kind: 'group', text: groups[from] }] }],
          [],
          context,
        ),
      );
    admit('app', 'web');
    admit('web', 'app');
    admit('db', 'app');
    for (const name of NAMES) place(edit, PLACES[name], groups[name], netns[name]);
    return { ok: true, value: undefined };
  });
  const [web, app, db] = await Promise.all(['a', 'b', 'c'].map((host) => hosts.start(host)));
  await hosts.known('a', 'b', 'c');
  return { hosts, daemons: { web, app, db }, netns, hostNetns };
}

/** Whether a host's gate lets a flow through, by `sgctl explain` there. */
async function explains(hosts: Hosts, at: Name, from: Name, to: Name): Promise<boolean> {
  const question = `${PLACES[from].address} -> ${PLACES[to].address} icmp echo`;
  const socket = hosts.control(PLACES[at].host);
  const { code, stdout, stderr } = await run(process.execPath, [
    SGCTL,
    ...['explain', '--socket', socket, '--json', question],
  ]);
  assert.equal(stderr, '');
  const { verdict } = JSON.parse(stdout) as Explanation;
  assert.equal(code, verdict === 'allowed' ? 0 : 1);
  return verdict === 'allowed';
}

/** Every pair, with real packets: what both gates say is what happens, and the one that says no has dropped it. */
async function checkPairs({ hosts, daemons, netns }: World): Promise<void> {
  const seen: string[] = [];
  for (const from of NAMES)
    for (const to of others(from)) {
      const out = await explains(hosts, from, from, to);
      const comes = await explains(hosts, to, from, to);
      assert.ok(out, 'every group lets everything out');
      if (comes) {
        const { code, stdout } = await ping(netns[from], PLACES[to].address);
        assert.equal(code, 0, `${from} to ${to}: ${stdout}`);
        seen.push(`${from} ${to}`);
        continue;
      }
      const drops = await daemons[to].dropsDuring(() =>
        pingInVain(netns[from], PLACES[to].address),
      );
      assert.deepEqual(drops, { [`${PLACES[to].id} ingress ingress-rules`]: 1 });
    }
  assert.deepEqual(seen, ['web app', 'app web', 'app db']);
}

test('two gates on two hosts are one verdict, by plain routes and through VXLAN', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const world = await startHosts(t);
  const { hosts, netns, hostNetns } = world;
  const ip = (name: Name, text: string): Promise<string> =>
    hostNetns[name].mustRun('ip', text.split(' '));
  await t.test('plain routes', async () => {
    for (const name of NAMES)
      for (const other of others(name))
        await ip(name, `route add 10.0.${numberOf(other)}.0/24 via ${WIRE(numberOf(other))}`);
    await checkPairs(world);
  });
  await t.test('VXLAN', async (t) => {
    const made = await hostNetns.web.run(
      'ip',
      'link add vx0 type vxlan id 1 dstport 4789'.split(' '),
    );
    if (made.code !== 0) {
      t.skip(`the kernel makes no VXLAN device: ${made.stderr.trim()}`);
      return;
    }
    await ip('web', 'link delete vx0');
    for (const name of NAMES) {
      const [own, at] = [numberOf(name), others(name).map(numberOf)];
      await ip(name, `link add vx0 type vxlan id 42 dstport 4789 local ${WIRE(own)} dev eth0`);
      for (const one of at)
        await hostNetns[name].mustRun('bridge', [
          ...['fdb', 'append', '00:00:00:00:00:00', 'dev', 'vx0', 'dst', WIRE(one)],
        ]);
      await ip(name, `address add ${TUNNEL(own)}/24 dev vx0`);
      await ip(name, 'link set vx0 up');
      for (const one of at) await ip(name, `route replace 10.0.${one}.0/24 via ${TUNNEL(one)}`);
    }
    await checkPairs(world);
    const counters = JSON.parse(await ip('app', '-json -statistics link show vx0')) as readonly {
      readonly stats64: { readonly rx: { readonly packets: number } };
    }[];
    assert.ok(counters[0].stats64.rx.packets > 2, 'packets came through the tunnel');
    // The tunnel takes 50 bytes. The host says so, and its answer is let in: it is about a flow that is tracked.
    const far = PLACES.app.address;
    assert.match((await ping(netns.web, far, 1, '-M', 'do', '-s', String(VXLAN_MTU - 28))).stdout, / 0% packet loss/); // prettier-ignore
    const { stdout, stderr } = await ping(netns.web, far, 2, '-M', 'do', '-s', '1472');
    assert.match(stdout + stderr, new RegExp(`mtu ?= ?${VXLAN_MTU}`));
    assert.equal((await ping(netns.web, far, 1, '-s', '4000')).code, 0);
  });
  await t.test('a member that comes is let in, and one that goes is not', async () => {
    const group = (name: Name): string =>
      hosts.client.estate.list('groups').find((one) => one.group.name === name)!.group.id;
    await pingInVain(netns.web, PLACES.db.address);
    await hosts.change(hosts.move(PLACES.web, group('app')));
    await checkIsLetIn(world, true);
    await hosts.change(hosts.move(PLACES.web, group('web')));
    await checkIsLetIn(world, false);
  });
});

/** Of web at db, whose group admits members of app's. */
async function checkIsLetIn({ hosts, netns }: World, isLetIn: boolean): Promise<void> {
  assert.equal(await explains(hosts, 'db', 'web', 'db'), isLetIn);
  if (isLetIn) assert.equal((await ping(netns.web, PLACES.db.address)).code, 0);
  else await pingInVain(netns.web, PLACES.db.address);
}
