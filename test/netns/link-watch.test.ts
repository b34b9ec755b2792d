/**
 * What the kernel tells of attached interfaces: storms of interfaces that come and go, new names, other namespaces,
 * rulesets that are flushed, and all of that while the daemon is dead.
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadNative } from '../../src/ports/native.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { Netns } from '../support/netns.ts';
import { mustRun } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';
import { hostReaches, plugIn, tables } from './attach-world.ts';
import { canRun, Daemon, get, LOOK_S, makeNamespaces, serve, temporaryFile } from './world.ts';

const WEB = ['10.0.0.11', 'fd00:10::11'] as const;
const BOX = ['10.0.0.13', 'fd00:10::13'] as const;
const MAC_WEB = '02:00:00:00:00:11';
const STORM = 200;
const WANTED = 20;
const RENAMES = 12;

const native = loadNative();

class Place {
  readonly host: Netns;
  readonly file: string;
  readonly socket: string;

  constructor(t: TestContext, host: Netns, text: string) {
    this.host = host;
    this.file = temporaryFile(t, 'watch.yaml', text);
    this.socket = join(dirname(this.file), 'control.sock');
  }

  start(t: TestContext): Promise<Daemon> {
    return Daemon.start(t, this.file, ['--control', this.socket]);
  }

  link(...args: readonly string[]): Promise<unknown> {
    return this.host.mustRun('ip', ['link', ...args]);
  }

  sgctl(...args: readonly string[]): Promise<string> {
    return mustRun(process.execPath, [SGCTL, ...args, '--socket', this.socket]);
  }

  async interfaces(): Promise<InterfaceView[]> {
    return JSON.parse(await this.sgctl('interfaces', '--json')) as InterfaceView[];
  }

  /** The device of an interface, or why it has none. */
  async shows(name: string, expected: RegExp): Promise<void> {
    let last = '';
    const isShown = async (): Promise<boolean> => {
      const view = (await this.interfaces()).find((one) => one.name === name)!;
      return expected.test((last = view.waiting ?? view.device));
    };
    await until(() => `${name} shows ${String(expected)}, last: ${last}`, isShown);
  }

  async guards(...expected: readonly string[]): Promise<void> {
    let last = '';
    // Not by nft, which starts anew as long as tables come and go.
    const isSo = (): Promise<boolean> => {
      last = native.listGuards(this.host.path).sort().join();
      return Promise.resolve(last === [...expected].sort().join());
    };
    await until(() => `the guards are ${expected.join()}, last: ${last}`, isSo);
  }
}

const GROUPS = `
securityGroups:
  open: { ingress: [{ protocol: tcp, ports: 8080, from: [10.0.0.0/8, 'fd00:10::/64'] }] }
`;

test('a storm of interfaces that come and go leaves those attached that are there', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft')) return;
  const { host } = await makeNamespaces(t, ['host']);
  const wanted = Array.from({ length: WANTED }, (_, i) => i * (STORM / WANTED));
  const shape = 'kind: attach, netns:';
  const place = new Place(
    t,
    host,
    `${GROUPS}
interfaces:
${wanted.map((i) => `  n${i}: { device: { ${shape} ${host.path}, name: storm${i} }, addresses: [10.1.0.${i + 1}], securityGroups: [open] }`).join('\n')}
  many: { device: { ${shape} ${host.path}, name: 'peer*' }, addresses: [10.2.0.1], securityGroups: [open] }
`,
  );
  await place.start(t);
  const add = (i: number): string[] => [
    `link add storm${i} type veth peer name peer${i}`,
    `link set peer${i} up`,
    `link set storm${i} up`,
  ];
  const all = Array.from({ length: STORM }, (_, i) => i);
  const batch = (...lines: readonly string[]): Promise<unknown> =>
    host.mustRun('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
  await batch(...all.flatMap(add));
  // Each is deleted and made again, so that every index is another.
  await batch(...all.flatMap((i) => [`link del storm${i}`, ...add(i)]));
  const peers = all.map((i) => `peer${i}`);
  await place.guards(...wanted.map((i) => `storm${i}`), ...peers);
  await until('all that are wanted are attached', async () => {
    const views = (await place.interfaces()).filter(({ name }) => name !== 'many');
    return views.every(
      ({ device, waiting }) => device.startsWith('storm') && waiting === undefined,
    );
  });
  await place.shows('many', /^200 interfaces are 'peer\*'/);
  await batch(...all.slice(1).map((i) => `link del storm${i}`));
  await place.shows('many', /^peer0$/);
  // The names that the configuration has stay closed.
  await place.guards(...wanted.map((i) => `storm${i}`), 'peer0');
  await place.shows('n0', /^storm0$/);
  await place.shows('n190', /there is no interface storm190/);
});

test('an interface that is known by its name', async (t) => {
  if (!canRun(t) || !requireTools(t, 'nft', 'python3')) return;
  const { host, web, twin, box } = await makeNamespaces(t, ['host', 'web', 'twin', 'box']);
  const quoted = (list: readonly string[]): string => list.map((one) => `'${one}'`).join();
  const place = new Place(
    t,
    host,
    `${GROUPS}
interfaces:
  web: { device: { kind: attach, netns: ${host.path}, name: veth-web, mac: '${MAC_WEB}' }, addresses: [${quoted(WEB)}], securityGroups: [open] }
  any: { device: { kind: attach, netns: ${host.path}, name: 'any*' }, addresses: [10.0.0.14], securityGroups: [open] }
  box: { device: { netns: ${box.path}, name: eth0 }, addresses: [${quoted(BOX)}], securityGroups: [open] }
`,
  );
  let daemon = await place.start(t);
  const answers = (): Promise<void> =>
    until('it answers', async () => (await get(box, `${WEB[0]}:8080`, LOOK_S)) === 'web\n');
  const hostIsKeptFrom = async (device: string, netns = web): Promise<void> => {
    assert.equal(await hostReaches(host, device, MAC_WEB, WEB[0], netns), false, device);
  };
  await plugIn(host, 'veth-web', web, MAC_WEB, WEB);
  await serve(web, 'web');
  await answers();

  await t.test('keeps its guard and its packets when it is renamed', async () => {
    // The look that nobody needs comes each 30 s: it would take minutes.
    const limit = Date.now() + 120_000;
    for (let i = 0; i < RENAMES; i++) {
      const name = `veth-${i}`;
      await place.link('set', i === 0 ? 'veth-web' : `veth-${i - 1}`, 'name', name);
      await place.guards('veth-web', name);
    }
    assert.ok(Date.now() < limit, 'each new name was told');
    await hostIsKeptFrom('veth-11');
    await answers();
    assert.match(
      await place.sgctl('interfaces'),
      /the device of web is veth-11 in .*; the configuration has veth-web in /,
    );
    assert.doesNotMatch(daemon.output, /a device is gone/);
  });

  await t.test(
    'and what has its name then is closed, and not attached before it is gone',
    async () => {
      await plugIn(host, 'veth-web', twin, MAC_WEB, WEB);
      await until('the stranger is told of', () =>
        Promise.resolve(
          /another interface has the name of one that was renamed/.test(daemon.output),
        ),
      );
      await hostIsKeptFrom('veth-web', twin);
      await answers();
      await serve(twin, 'twin');
      await place.link('del', 'veth-11');
      await until('the other', async () => (await get(box, `${WEB[0]}:8080`, LOOK_S)) === 'twin\n');
      await place.guards('veth-web');
    },
  );

  await t.test(
    'waits while it is in another namespace, and is attached when it is back',
    async () => {
      const name = (netns: Netns): string => netns.path.split('/').at(-1)!;
      await place.link('set', 'veth-web', 'netns', name(box));
      await place.shows('web', /there is no interface veth-web/);
      assert.match(daemon.output, /veth-web was deleted, or moved to another namespace/);
      await box.mustRun('ip', ['link', 'set', 'veth-web', 'netns', name(host)]);
      await place.shows('web', /: interface veth-web is down/);
      await place.link('set', 'veth-web', 'up');
      await until(
        'it is back',
        async () => (await get(box, `${WEB[0]}:8080`, LOOK_S)) === 'twin\n',
      );
    },
  );

  await t.test('keeps its packets when the ruleset is flushed', async () => {
    await host.mustRun('nft', ['flush', 'ruleset']);
    await place.guards('veth-web');
    const told = /kept the host from it was removed, and is there again/;
    await until(
      () => daemon.output,
      async () => told.test(daemon.output),
    );
    await hostIsKeptFrom('veth-web', twin);
    assert.equal(await get(box, `${WEB[0]}:8080`), 'twin\n');
  });

  await t.test('what happens without the daemon is found at its next start', async () => {
    await place.link('add', 'any1', 'type', 'veth', 'peer', 'name', 'end1');
    await place.link('set', 'any1', 'up');
    await place.shows('any', /^any1$/);
    await place.guards('any1', 'veth-web');
    await daemon.kill();
    // An interface of an earlier configuration, which is there, and one that is gone.
    for (const device of ['old1', 'old2']) {
      await place.link('add', device, 'type', 'veth', 'peer', 'name', `end-${device}`);
      const chain = `{ type filter hook ingress device "${device}" priority -500; policy drop; }`;
      await host.mustRun('nft', ['add', 'table', 'netdev', `secgroupd_attach_${device}`]);
      await host.mustRun('nft', [`add chain netdev secgroupd_attach_${device} ingress ${chain}`]);
    }
    for (const device of ['any1', 'old2', 'veth-web']) await place.link('del', device);
    daemon = await place.start(t);
    const left = (await tables(host)).map((one) => one.replace('secgroupd_attach_', ''));
    assert.ok(left.includes('old1'), left.join());
    assert.ok(!left.includes('old2') && !left.includes('any1'), left.join());
    await plugIn(host, 'veth-web', web, MAC_WEB, WEB);
    await answers();
    await place.guards('old1', 'veth-web');
    // That it stays so is no matter of time: nothing is told of it.
    await sleep(100);
    await place.guards('old1', 'veth-web');
  });
});
