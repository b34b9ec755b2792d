/** What lists of interfaces and instances say where there are several VPCs, or a stream without a guest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatInterfaces } from '../../src/cli/interfaces.ts';
import { formatInstances, formatLabs } from '../../src/cli/lab.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';
import type { LabInstance, StoredLab } from '../../src/lab/state.ts';

const NOTHING = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };

function view(name: string, vpc: string | undefined): InterfaceView {
  return {
    name,
    device: 'eth0',
    kind: 'tun',
    mtu: 1500,
    addresses: ['10.0.0.1'],
    ...(vpc === undefined ? {} : { vpc }),
    groups: [],
    ingress: NOTHING,
    egress: NOTHING,
    flows: 0,
  };
}

/** The titles and the cells of the first two columns. */
function columnsOf(text: string): readonly (readonly string[])[] {
  return text.split('\n').map((line) => line.split(/ {2,}/).slice(0, 2));
}

test('interfaces have a column vpc where they are in several, or where it is asked for', () => {
  const several = [view('a', 'shop'), view('b', 'data'), view('uplink', undefined)];
  assert.deepEqual(columnsOf(formatInterfaces(several, {})).slice(0, 3), [
    ['interface', 'vpc'],
    ['a', 'shop'],
    ['b', 'data'],
  ]);
  const one = [view('a', 'default'), view('b', 'default'), view('uplink', undefined)];
  assert.doesNotMatch(formatInterfaces(one, {}), /vpc|default/);
  assert.deepEqual(columnsOf(formatInterfaces(one, { columns: ['interface', 'vpc'] })), [
    ['interface', 'vpc'],
    ['a', 'default'],
    ['b', 'default'],
    ['uplink'],
  ]);
});

test('a stream without a guest has a line of its own below', () => {
  const stream = { ...view('vm', undefined), device: '/run/vm.sock', kind: 'stream' } as const;
  const text = (guest: 'connected' | 'absent') => formatInterfaces([{ ...stream, guest }], {});
  assert.match(text('absent'), /^vm has no guest: nobody is connected to \/run\/vm\.sock$/m);
  assert.doesNotMatch(text('connected'), /guest/);
});

test('the column vpc fits 80 columns', () => {
  const several = [view('eni-shop-1', 'shop'), view('eni-data-1', 'data')];
  const lines = formatInterfaces(several, {}, 80).split('\n');
  assert.match(lines[1], /^eni-shop-1 +shop /);
  for (const line of lines.slice(0, 3)) assert.ok(line.length <= 80, line);
});

function instance(netns: string, vpc?: string): LabInstance {
  const base = { netns, device: 'eth0', name: `eni-${netns}`, addresses: ['10.0.0.1'], groups: [] };
  return vpc === undefined ? base : { ...base, vpc };
}

function lab(instances: readonly LabInstance[]): StoredLab {
  const namespaces = [...new Set(instances.map(({ netns }) => netns!))].map((name) => ({ name }));
  const state = { namespaces, instances, configFile: 'x.yaml', phase: 'up' };
  return { name: 'x', directory: '/nowhere', state } as unknown as StoredLab;
}

test('labs say the VPC of instances where there are several', () => {
  const several = [instance('web', 'shop'), instance('db', 'data'), instance('out')];
  assert.match(formatInstances(several), /^NAMESPACE +DEVICE +INTERFACE +VPC +ADDRESSES/);
  assert.match(formatInstances(several), /^web +eth0 +eni-web +shop +10\.0\.0\.1/m);
  assert.match(formatInstances(several), /^out +eth0 +eni-out +- +10\.0\.0\.1/m);
  assert.match(formatLabs([lab(several)]), / web \(shop\) db \(data\) out /);
  const one = [instance('web'), instance('db')];
  assert.doesNotMatch(formatInstances(one), /VPC/);
  assert.match(formatLabs([lab(one)]), / web db /);
});
