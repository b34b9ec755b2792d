/** Which interface gets which port: its own for as long as it keeps its device, and none that flows may still be of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interfaceDevice } from '../../src/config/device-specs.ts';
import { absentDevice } from '../../src/daemon/port-specs.ts';
import type { Config } from '../../src/config/config.ts';
import { assignPorts, type Attached } from '../../src/daemon/port-numbers.ts';
import { loadText } from '../config/config-text.ts';

/** Interfaces by name, each with the device of its name. */
function configOf(devices: Readonly<Record<string, string>>): Config {
  const lines = Object.entries(devices).map(
    ([name, device], i) =>
      `  ${name}: { device: { netns: ${device}, name: eth0 }, addresses: [10.0.0.${i + 1}] }`,
  );
  return loadText(`interfaces:\n${lines.join('\n')}\n`).config!;
}

/** As they stand at the ports `at`. */
function attachedAs(config: Config, at: readonly number[]): Map<number, Attached> {
  return new Map(
    config.interfaces.map((entry, i) => {
      const device = absentDevice(interfaceDevice(config, entry));
      return [at[i], { id: entry.id, name: entry.name, device }];
    }),
  );
}

function assigned(next: Config, attached: Map<number, Attached>, resting: number[]): string[] {
  const { ports, added } = assignPorts(next, attached, new Set(resting));
  return next.interfaces.map(({ id, name }) => {
    const port = ports.get(id)!;
    return `${name} ${port}${added.some(([of]) => of === port) ? ' new' : ''}`;
  });
}

const before = configOf({ a: 'a', b: 'b', c: 'c' });

test('an interface keeps its port, and a new one gets the first that is free', () => {
  const next = configOf({ d: 'd', c: 'c', a: 'a', e: 'e' });
  // b still stands at its port: its flows have not been held against the policy without it.
  assert.deepEqual(assigned(next, attachedAs(before, [1, 2, 3]), []), [
    'd 4 new',
    'c 3',
    'a 1',
    'e 5 new',
  ]);
});

test('a port that was given up is nobody’s until it has rested', () => {
  const kept = configOf({ a: 'a', c: 'c' });
  const next = configOf({ a: 'a', c: 'c', d: 'd' });
  assert.deepEqual(assigned(next, attachedAs(kept, [1, 3]), [2]), ['a 1', 'c 3', 'd 4 new']);
  assert.deepEqual(assigned(next, attachedAs(kept, [1, 3]), []), ['a 1', 'c 3', 'd 2 new']);
});

test('an interface with another device is a new one', () => {
  const next = configOf({ a: 'a', b: 'elsewhere', c: 'c' });
  assert.deepEqual(assigned(next, attachedAs(before, [1, 2, 3]), []), ['a 1', 'b 4 new', 'c 3']);
});
