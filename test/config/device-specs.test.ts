import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { checkDeviceName } from '../../src/config/config-devices.ts';
import { interfaceDevice, macAddressOf, macAddressText } from '../../src/config/device-specs.ts';
import { pairMark } from '../../src/config/host-ends.ts';
import type { DeviceSpec } from '../../src/ports/device.ts';
import { loadText, problemLines } from './config-text.ts';

const CASES = [
  ['eni-0123456789abcdef0', '02:78:9a:bc:de:f0'],
  ['eni-1a2b3c4d', '02:00:1a:2b:3c:4d'],
] as const;

test('an interface has a MAC address of 6 bytes, whether its id has 17 digits or 8', () => {
  for (const [id, text] of CASES) {
    assert.equal(macAddressText(id), text);
    const bytes = text.split(':').map((pair) => parseInt(pair, 16));
    assert.deepEqual([...macAddressOf(id)], bytes);
  }
});

test('an interface is found by what its device says, and a name alone is a name', () => {
  const devices = [
    ["name: 'vnet*', hostMac: FE:54:00:00:00:11", { name: 'vnet*', hostMac: 'fe:54:00:00:00:11' }],
    ["name: 'veth*', alias: web 1", { name: 'veth*', alias: 'web 1' }],
    ['name: tap?', { name: 'tap?' }],
    ['name: br0p1, alias: db', { name: 'br0p1', alias: 'db' }],
    ['name: vm1', undefined],
  ] as const;
  const lines = devices.map(
    ([device], i) =>
      `  i${i}: { device: { kind: attach, ${device} }, addresses: [10.0.0.${i + 8}] }`,
  );
  const { config, problems } = loadText(`interfaces:\n${lines.join('\n')}\n`);
  assert.ok(config !== undefined, problemLines(problems).join('\n'));
  const specs = config.interfaces.map((entry) => interfaceDevice(config, entry));
  assert.deepEqual(
    specs.map(({ match }) => match),
    devices.map(([, match]) => match),
  );
  assert.deepEqual(
    specs.map(({ name }) => name),
    ['vnet* hostMac fe:54:00:00:00:11', 'veth* alias web 1', 'tap?', 'br0p1 alias db', 'vm1'],
  );
});

test('a pattern is for files: a call names an interface', () => {
  assert.deepEqual(checkDeviceName('vnet*', 'attach'), {
    message: "'vnet*' is a pattern, and no name of an interface",
    hint: 'patterns are for configuration files; here the name is written out',
  });
  assert.equal(checkDeviceName('vnet3', 'attach'), undefined);
  assert.equal(checkDeviceName('vnet*', 'tap'), undefined, 'Linux takes it');
});

test('a pair has a name and a MAC address that follow from what it is for', () => {
  const load = (file: string, lines: readonly string[]): DeviceSpec[] => {
    const { config, problems } = loadText(`interfaces:\n${lines.join('\n')}\n`);
    assert.ok(config !== undefined, problemLines(problems).join('\n'));
    return config.interfaces.map((entry) => interfaceDevice({ ...config, file }, entry));
  };
  const device = (rest: string): string => `device: { kind: veth, name: eth0, ${rest} }`;
  const lines = [
    `  web: { ${device('netns: web')}, addresses: [10.0.0.8] }`,
    `  db: { ${device("netns: db, mac: '02:00:00:00:00:12', configure: false")}, addresses: [10.0.0.9] }`,
    `  eni-0123456789abcdef0: { ${device('mtu: 1400')}, addresses: [10.0.0.10] }`,
  ];
  const specs = load('/etc/a.yaml', lines);
  const names = specs.map(({ hostEnd }) => hostEnd!.name);
  for (const name of names) assert.match(name, /^sgv[0-9a-f]{12}$/);
  assert.equal(new Set(names).size, 3);
  const aliases = specs.map(({ hostEnd }) => hostEnd!.alias);
  const mark = /^secgroupd [0-9a-f]{8} /.exec(aliases[0])![0];
  assert.equal(mark, pairMark({ file: '/etc/a.yaml' }));
  assert.match(aliases[0].slice(mark.length), /^eni-[0-9a-f]{17} web$/);
  assert.equal(aliases[2], `${mark}eni-0123456789abcdef0`);
  assert.deepEqual(
    specs.map(({ configure, isMacFixed, persist }) => [configure, isMacFixed, persist]),
    [
      [true, undefined, false],
      [false, true, false],
      [false, undefined, false],
    ],
  );
  assert.deepEqual([...specs[2].macAddress!], [...macAddressOf('eni-0123456789abcdef0')]);
  // The place makes the name; the file and the interface do not.
  const renamed = load('/etc/b.yaml', [lines[0].replace('web:', 'front:')]);
  assert.equal(renamed[0].hostEnd!.name, names[0]);
  assert.notEqual(renamed[0].hostEnd!.alias, aliases[0]);
  assert.equal(pairMark({ file: 'b.yaml' }), pairMark({ file: resolve('b.yaml') }));
});

test('a device that says no kind is of the one that the loader is told', () => {
  const text = `uplink: { tun: up0, addresses: [10.0.0.1/24] }
interfaces:
  web: { device: { netns: web, name: eth0 }, addresses: [10.0.0.8] }
  db: { device: { kind: tap, netns: db, name: eth0 }, addresses: [10.0.0.9] }
`;
  const kinds = (more: Parameters<typeof loadText>[1]): unknown => {
    const { config } = loadText(text, more);
    return [config!.uplink, ...config!.interfaces].map((one) => one!.device.kind);
  };
  assert.deepEqual(kinds({}), ['tun', 'tun', 'tap']);
  assert.deepEqual(kinds({ deviceKind: 'veth' }), ['tun', 'veth', 'tap']);
});
