import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { loopSettings } from '../../src/daemon/loop-settings.ts';

const CONNTRACK: Config['conntrack'] = {
  maxFlows: 1000,
  maxOffloaded: 1024,
  maxHalfOpen: 250,
  midstream: 'accept',
  accounting: true,
  tcpWindow: 'check',
  exceptions: { tableFull: 'drop', invalid: 'drop', fragment: 'drop', eventsFull: 'pass' },
};

const NAMES: Config['names'] = {
  minLifetimeSec: 60,
  maxLifetimeSec: 600,
  maxAddresses: 100,
  privateAddresses: 'refuse',
};

function settingsOf(conntrack: Partial<Config['conntrack']> = {}, workers = 1): object {
  const config = {
    workers,
    busyPollUs: 50,
    conntrack: { ...CONNTRACK, ...conntrack },
    names: NAMES,
  };
  return loopSettings(config as Config, 60);
}

test('the settings of a configuration that changes nothing', () => {
  assert.deepEqual(settingsOf(), {
    workers: 1,
    busyPollUs: 50,
    timeScale: 60,
    maxFlows: 1000,
    maxHalfOpen: 250,
    accounting: true,
    acceptsMidstream: true,
    checksWindow: true,
    names: {
      minLifetimeMs: 60_000,
      maxLifetimeMs: 600_000,
      maxAddresses: 100,
      acceptsPrivate: false,
    },
    passes: { tableFull: false, invalid: false, fragment: false, eventsFull: true },
  });
});

test('each loop has its part of the half-open flows, and the table is one for all', () => {
  const settings = settingsOf({}, 3);
  assert.deepEqual(settings, { ...settingsOf(), workers: 3, maxHalfOpen: 84 });
});

test('words of the configuration become what the packet path asks', () => {
  const usual = settingsOf();
  assert.deepEqual(settingsOf({ midstream: 'drop' }), { ...usual, acceptsMidstream: false });
  assert.deepEqual(settingsOf({ tcpWindow: 'ignore' }), { ...usual, checksWindow: false });
  assert.deepEqual(settingsOf({ accounting: false }), { ...usual, accounting: false });
  const passes = { tableFull: false, invalid: false, fragment: false, eventsFull: true };
  for (const name of ['tableFull', 'invalid', 'fragment'] as const) {
    const exceptions = { ...CONNTRACK.exceptions, [name]: 'pass' };
    assert.deepEqual(settingsOf({ exceptions }), { ...usual, passes: { ...passes, [name]: true } });
  }
  const exceptions = { ...CONNTRACK.exceptions, eventsFull: 'drop' } as const;
  assert.deepEqual(settingsOf({ exceptions }), {
    ...usual,
    passes: { ...passes, eventsFull: false },
  });
});
