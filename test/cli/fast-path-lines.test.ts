/** What `sgctl interfaces` says of the fast path: who takes part, and why others do not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatInterfaces } from '../../src/cli/interfaces.ts';
import type { InterfaceView } from '../../src/queries/interfaces-view.ts';

const NOTHING = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };
const BOTH = { forwards: 'both' } as const;
const ENDS = { forwards: 'none', why: 'a device of the kind tun ends in the daemon' } as const;
const NO_PAIR = { forwards: 'from', why: 'it is no veth' } as const;

function view(name: string, fastPath?: InterfaceView['fastPath']): InterfaceView {
  return {
    ...{ name, device: 'eth0', kind: 'veth', mtu: 1500, addresses: ['10.0.0.1'], groups: ['web'] },
    ...{ ingress: NOTHING, egress: NOTHING, flows: 0 },
    ...(fastPath === undefined ? {} : { fastPath }),
  };
}

test('lines below the table say who takes part, and of the others why not', () => {
  const all = [view('a', BOTH), view('up', ENDS), view('b', BOTH), view('vm', NO_PAIR)];
  const lines = formatInterfaces(all, {}, 80).split('\n');
  assert.deepEqual(lines.slice(-3), [
    'fast path of a, b: yes',
    'fast path of up: no, a device of the kind tun ends in the daemon',
    'fast path of vm: from it alone, it is no veth',
  ]);
  for (const line of lines) assert.ok(line.length <= 80, line);
});

test('of many with the same part the first are named', () => {
  const many = Array.from({ length: 7 }, (_, i) => view(`eni-${i}`, BOTH));
  const text = formatInterfaces(many, {}, 80);
  assert.match(text, /^fast path of eni-0, eni-1, eni-2, eni-3, eni-4 and 2 more: yes$/m);
});

test('a reason that somebody else wrote is made harmless', () => {
  const text = formatInterfaces([view('a', { forwards: 'none', why: 'no\u001b[2J' })], {}, 80);
  assert.doesNotMatch(text, /\u001b\[2J/);
});

test('the column is there where there is room, or where it is asked for', () => {
  const all = [view('a', BOTH), view('up', ENDS)];
  assert.match(formatInterfaces(all, {}), /fast path\n/);
  const columns = ['interface', 'fast-path'];
  assert.match(formatInterfaces(all, { columns }), /^a +yes\nup +no$/m);
  assert.match(formatInterfaces([view('a')], { columns }), /^a +off$/m);
});

test('where it is off nothing is said of it', () => {
  assert.doesNotMatch(formatInterfaces([view('a'), view('b')], {}), /fast path/);
});
