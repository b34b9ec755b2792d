/**
 * Hosts that fence, with real daemons and real packets: an interface has one owner at each moment, whatever becomes of
 * the host that had it. Each host has a network of its own, with a sender that tries to reach the interface there all
 * the time, and one in each namespace where the interface may be.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ask } from '../../src/control-socket/control-client.ts';
import { authorizeRules } from '../../src/estate/groups.ts';
import type { HostView } from '../../src/hosts/list-hosts.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { StoreStatus } from '../../src/queries/status-view.ts';
import { context, take } from '../estate/world.ts';
import { Wire } from '../store/etcd-place.ts';
import { requireEtcd } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import type { Netns } from '../support/netns.ts';
import { run, type CommandResult, type Running } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Hosts, place } from './hosts-world.ts';
import { canRun, makeNamespaces, ping, pingInVain, type Daemon } from './world.ts';

const STAMPS = fileURLToPath(new URL('./stamps.js', import.meta.url));
const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const APP = { id: 'eni-00000000000000002', host: 'a', address: '10.0.1.12' };
const STAY = { id: 'eni-00000000000000003', host: 'a', address: '10.0.1.13' };
const OWN = '10.0.7.7';
const OUT = { a: '10.9.1.1', b: '10.9.2.1' };

type Host = 'a' | 'b';
type Name = 'web-a' | 'web-b' | 'app-a' | 'app-b' | 'stay' | 'own' | 'net-a' | 'net-b';

interface World {
  readonly hosts: Hosts;
  readonly netns: Record<Name, Netns>;
  readonly wires: Record<Host, Wire>;
  readonly daemons: Record<Host, Daemon>;
}

/** `web`, `app` and `stay` are on the host a, which declares `own` in its file; b has a place for the first two. */
async function startWorld(t: TestContext): Promise<World> {
  const names = ['web-a', 'web-b', 'app-a', 'app-b', 'stay', 'own', 'net-a', 'net-b'] as const;
  const netns = await makeNamespaces<Name>(t, names);
  const hosts = await Hosts.make(t, {
    a: { netns: netns['net-a'], address: `${OUT.a}/24` },
    b: { netns: netns['net-b'], address: `${OUT.b}/24` },
  });
  const wires = { a: await Wire.to(t, hosts.etcd.hosts), b: await Wire.to(t, hosts.etcd.hosts) };
  const groups = await hosts.makeGroups(['all']);
  await hosts.change((edit) => {
    const rule = [{ protocol: '-1', peers: [{ kind: 'cidrIpv4', text: '10.9.0.0/16' }] } as const];
    take(authorizeRules(edit, groups.all, 'ingress', rule, [], context));
    place(edit, WEB, groups.all, netns['web-a']);
    place(edit, APP, groups.all, netns['app-a']);
    place(edit, STAY, groups.all, netns.stay);
    return { ok: true, value: undefined };
  });
  hosts.declared.set(
    'a',
    `securityGroups: { own: { ingress: [{ protocol: all, from: 10.9.0.0/16 }] } }
interfaces: { own: { device: { netns: ${netns.own.path}, name: eth0 }, addresses: [${OWN}], securityGroups: [own] } }
`,
  );
  const daemons = { a: await start(hosts, wires, 'a'), b: await start(hosts, wires, 'b') };
  await hosts.known('a', 'b');
  return { hosts, netns, wires, daemons };
}

function start(
  hosts: Hosts,
  wires: World['wires'],
  host: Host,
  fence: 'none' | 'lease' = 'lease',
): Promise<Daemon> {
  return hosts.start(host, `etcd://${wires[host].endpoint}`, ['--fence', fence]);
}

function sgctl(...args: readonly string[]): Promise<CommandResult> {
  return run(process.execPath, [SGCTL, ...args]);
}

function move(hosts: Hosts, ...args: readonly string[]): Promise<CommandResult> {
  return sgctl('interface', 'move', ...args, '--socket', hosts.control('b'));
}

async function storeOf(hosts: Hosts, host: Host): Promise<StoreStatus> {
  return (await ask(hosts.control(host), 'status', {})).store!;
}

async function isFenced(hosts: Hosts, host: Host, isIt: boolean): Promise<void> {
  while (((await storeOf(hosts, host)).fenced !== undefined) !== isIt) await sleep(50);
}

async function idsOf(hosts: Hosts, host: Host): Promise<readonly string[]> {
  const { stdout } = await sgctl('interfaces', '--json', '--socket', hosts.control(host));
  return (JSON.parse(stdout) as readonly InterfaceView[]).flatMap(({ id }) => id ?? []).sort();
}

/** Packets that a host has let through, to or from an interface. */
class Passed {
  private readonly running: readonly Running[];

  constructor(running: readonly Running[]) {
    this.running = running;
  }

  /** When each was sent, and when it had arrived, by direction: to the interface, from it. */
  readonly lines = (): readonly (readonly (readonly [sent: bigint, seen: bigint])[])[] =>
    this.running.map((one) =>
      [...one.stdout().matchAll(/^(\d+) (\d+)\n/gm)].map(
        ([, sent, seen]) => [BigInt(sent), BigInt(seen)] as const,
      ),
    );

  get first(): bigint {
    return this.lines().flat().map(([sent]) => sent).reduce((a, b) => (a < b ? a : b)); // prettier-ignore
  }

  get last(): bigint {
    return this.lines().flat().map(([, seen]) => seen).reduce((a, b) => (a > b ? a : b)); // prettier-ignore
  }

  get counts(): readonly number[] {
    return this.lines().map((direction) => direction.length);
  }

  /** Waits until more have passed, both ways. */
  async more(): Promise<void> {
    const counts = [...this.counts];
    while (!this.counts.every((count, way) => count > counts[way] + 5)) await sleep(20);
  }

  /** Nothing passes any more, though the senders go on. */
  async none(): Promise<void> {
    const counts = this.counts;
    await sleep(500);
    assert.deepEqual(this.counts, counts);
  }
}

/** Senders on both sides of both hosts. */
async function startSenders(
  t: TestContext,
  netns: World['netns'],
  name: 'web' | 'app',
  address: string,
): Promise<Record<Host, Passed>> {
  const of = async (host: Host): Promise<Passed> => {
    const inside = await netns[`${name}-${host}`].start(process.execPath, [STAMPS, OUT[host]]);
    const outside = await netns[`net-${host}`].start(process.execPath, [STAMPS, address]);
    t.after(() => Promise.all([inside.stop(), outside.stop()]));
    await Promise.all([inside.waitFor(/ready/), outside.waitFor(/ready/)]);
    return new Passed([inside, outside]);
  };
  return { a: await of('a'), b: await of('b') };
}

/** The host is cut off from the store, and its interface moves. */
async function cutOff(t: TestContext, { hosts, netns, wires, daemons }: World): Promise<void> {
  const passed = await startSenders(t, netns, 'web', WEB.address);
  await passed.a.more();
  const drops = await daemons.a.dropsDuring(async () => {
    wires.a.cut();
    const args = [WEB.id, 'b', '--netns', netns['web-b'].path, '--wait', '5'];
    const { code, stdout, stderr } = await move(hosts, ...args);
    assert.deepEqual([code, stderr], [0, ''], daemons.a.output);
    assert.match(stdout, / a has not given it up, and its lease is over: it is fenced\./);
    await passed.b.more();
    await passed.a.none();
    await pingInVain(netns['net-a'], STAY.address);
    assert.equal((await ping(netns['net-a'], OWN)).code, 0, 'what its file declares goes on');
  });
  assert.ok(passed.a.last < passed.b.first, `${passed.a.last} at a, ${passed.b.first} at b`);
  const ids = ['egress', 'ingress'].map((way) => drops[`${WEB.id} ${way} fenced`]);
  assert.ok(ids.every((count) => count > 100), JSON.stringify(drops)); // prettier-ignore
  assert.ok(drops[`${STAY.id} ingress fenced`] > 0, JSON.stringify(drops));
  const { stdout } = await sgctl('status', '--socket', hosts.control('a'));
  assert.match(stdout, /, fence: lease\n/);
  assert.match(stdout, /packets of its interfaces are dropped: its lease of the store ran out/);
  const shown = await sgctl('interfaces', '--socket', hosts.control('a'));
  assert.match(
    shown.stdout,
    /^all packets of 3 interfaces are dropped \(eni-.*\): its lease of the store ran out$/m,
  );
  const asked = ['--from', OUT.a, '--to', STAY.id, '--icmp', 'echo'];
  const explained = await sgctl('explain', ...asked, '--socket', hosts.control('a'));
  assert.match(
    explained.stdout,
    /this host may not have eni-00000000000000003 any more: its\s+lease/,
  );
  const list = await sgctl('host', 'ls', '--json', '--socket', hosts.control('b'));
  const views = JSON.parse(list.stdout) as readonly HostView[];
  assert.deepEqual(
    views.map(({ host, state, fence, isFenced: is }) => [host, state, fence, is]),
    [
      ['a', 'away', 'lease', true],
      ['b', 'lives', 'lease', undefined],
    ],
  );
  const counts = passed.a.counts;
  wires.a.heal();
  await isFenced(hosts, 'a', false);
  assert.equal((await ping(netns['net-a'], STAY.address)).code, 0, daemons.a.output);
  assert.deepEqual(passed.a.counts, counts, 'it wakes without what moved away');
  assert.equal((await idsOf(hosts, 'a')).includes(WEB.id), false);
  await passed.b.more();
}

/** The host's daemon stands still, and goes on when its interface is another's. */
async function stopped(t: TestContext, { hosts, netns, daemons }: World): Promise<void> {
  const passed = await startSenders(t, netns, 'app', APP.address);
  await passed.a.more();
  daemons.a.pause();
  // What came to its devices before it stood still is there when it goes on.
  const { code, stderr } = await move(hosts, APP.id, 'b', '--netns', netns['app-b'].path);
  assert.deepEqual([code, stderr], [0, ''], daemons.b.output);
  await passed.b.more();
  const counts = passed.a.counts;
  daemons.a.pause('SIGCONT');
  await isFenced(hosts, 'a', false);
  // It has read all that was in its devices by then.
  await passed.a.none();
  assert.deepEqual(passed.a.counts, counts);
  assert.ok(passed.a.last < passed.b.first, `${passed.a.last} at a, ${passed.b.first} at b`);
  assert.equal((await ping(netns['net-a'], STAY.address)).code, 0, daemons.a.output);
}

/** A start from the copy, without the store: nothing of the store flows, also if it does not fence any more. */
async function started(world: World): Promise<void> {
  const { hosts, netns, wires } = world;
  const restart = async (fence: 'none' | 'lease'): Promise<void> => {
    await world.daemons.a.kill();
    world.daemons.a = await start(hosts, wires, 'a', fence);
  };
  wires.a.cut();
  for (const fence of ['lease', 'none'] as const) {
    await restart(fence);
    const drops = await world.daemons.a.dropsDuring(async () => {
      await pingInVain(netns['net-a'], STAY.address);
      assert.equal((await ping(netns['net-a'], OWN)).code, 0, 'what its file declares goes on');
    });
    assert.deepEqual(Object.keys(drops), [`${STAY.id} ingress fenced`]);
    assert.equal((await storeOf(hosts, 'a')).fence, fence);
  }
  wires.a.heal();
  await isFenced(hosts, 'a', false);
  assert.equal((await ping(netns['net-a'], STAY.address)).code, 0);
  assert.deepEqual(await hosts.client.until(() => hosts.client.estate.applied().get('a')?.fence === undefined, GUARD_MS), true); // prettier-ignore
  const copy = join(hosts.folder, 'state-a', 'estate.cache');
  while (readFileSync(copy, 'utf8').split('\n', 1)[0].includes('"fence"')) await sleep(50);
  // From here on it goes by the copy, whatever becomes of the store.
  wires.a.cut();
  await restart('none');
  assert.equal((await ping(netns['net-a'], STAY.address)).code, 0, world.daemons.a.output);
  wires.a.heal();
}

test('an interface has one owner at each moment where hosts fence', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const world = await startWorld(t);
  await isFenced(world.hosts, 'a', false);
  await t.test('a host is cut off', (t) => cutOff(t, world));
  await t.test('a host stands still', (t) => stopped(t, world));
  await t.test('a host starts without the store', () => started(world));
}); // prettier-ignore
