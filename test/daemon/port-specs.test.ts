/** Ports, next hops and versions of prefix lists, as they are made of a configuration. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { interfaceDevice, uplinkDevice } from '../../src/config/device-specs.ts';
import { nextHopsOf } from '../../src/daemon/next-hops.ts';
import { absentDevice, NO_DEVICE, portOf } from '../../src/daemon/port-specs.ts';
import { PrefixListVersions } from '../../src/daemon/prefix-list-versions.ts';
import { loadText, problemLines } from '../config/config-text.ts';

function load(text: string): Config {
  const { config, problems } = loadText(text);
  assert.ok(config !== undefined, problemLines(problems).join('\n'));
  return config;
}

const TEXT = `
interfaces:
  a: { device: { kind: tap, netns: a, name: eth0, mtu: 1400 }, addresses: [10.0.0.11, "fd00::11"] }
  b: { device: { netns: b, name: eth0, configure: false }, addresses: [10.0.0.12] }
uplink: { tap: sg-uplink, addresses: [10.255.0.1/24], gateways: [10.255.0.254] }
`;

test('a port has what the packet loop must know of its device', () => {
  const config = load(TEXT);
  const [a, b] = config.interfaces.map((entry, i) =>
    portOf(absentDevice(interfaceDevice(config, entry)), i + 1, config),
  );
  assert.equal(a.label, 'eth0 in /run/netns/a');
  assert.equal(a.mtu, 1400);
  assert.equal(a.macAddress?.[0], 0x02, 'a TAP that is configured has an address of its own');
  assert.equal(a.nextHops, undefined);
  assert.equal(b.macAddress, undefined);
  assert.equal(b.mtu, undefined, 'somebody else sets it');
  assert.deepEqual(NO_DEVICE.fds, []);
});

test('a default route goes to the first interface of a namespace, and to none of the daemon’s own', () => {
  const config = load(`
interfaces:
  a: { device: { netns: x, name: eth0 }, addresses: [10.0.0.11] }
  b: { device: { netns: x, name: eth1 }, addresses: [10.0.0.12, "fd00::12"] }
`);
  const routes = config.interfaces.map((entry) =>
    interfaceDevice(config, entry).routes.map(({ bytes, prefixLength }) => [
      bytes.length,
      prefixLength,
    ]),
  );
  assert.deepEqual(routes, [[[4, 0]], [[16, 0]]]);
});

test('the uplink knows who is on its link, and who routes the rest', () => {
  const config = load(TEXT);
  const { nextHops } = portOf(absentDevice(uplinkDevice(config)!), 0, config);
  assert.deepEqual(nextHops, nextHopsOf(config.uplink!));
  assert.deepEqual([...nextHops.onLink.subarray(0, 2)], [4, 0x0aff0000 | 0]);
  assert.equal(nextHops.onLink[5], 0xffffff00 | 0);
  assert.equal(nextHops.gateway4![0], 0x0aff00fe | 0);
  assert.equal(nextHops.gateway6, null);
  const without = load(TEXT.replace(', gateways: [10.255.0.254]', ''));
  assert.equal(
    nextHopsOf(without.uplink!).gateway4![0],
    0x0aff0001 | 0,
    'the host that has the device',
  );
});

test('versions of prefix lists go up with their entries, and with nothing else', () => {
  const lists = (a: string, b: string): Config =>
    load(
      `prefixLists: { a: { maxEntries: 9, entries: [${a}] }, b: { maxEntries: 9, entries: [${b}] } }\n`,
    );
  const versions = new PrefixListVersions();
  const [one, two, three] = [
    lists('10.0.0.0/8', '10.1.0.0/16'),
    lists('10.0.0.0/8', '10.2.0.0/16'),
    lists('{ cidr: 10.0.0.0/8, description: ours }', '10.2.0.0/16'),
  ];
  const ids = [...one.model.prefixLists.values()].map(({ id }) => id);
  const now = (): number[] => ids.map((id) => versions.of(id));
  assert.deepEqual(now(), [1, 1]);
  versions.note(one.model, two.model);
  assert.deepEqual(now(), [1, 2]);
  versions.note(two.model, three.model);
  assert.deepEqual(now(), [1, 2]);
});
