import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDeviceName } from '../../src/config/config-devices.ts';
import { interfaceDevice, macAddressOf, macAddressText } from '../../src/config/device-specs.ts';
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
