/** Who is waited for: hosts that live and that a change concerns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeRollout, rolloutOf, type HostsView, type Rollout } from '../../src/estate/rollout.ts';
import { ALIVE } from './world.ts';

const REVISION = 7;
const refused = { revision: REVISION, message: 'no room' };
const HOSTS: HostsView = {
  alive: () => new Map(['done', 'late', 'no', 'new', 'whole'].map((host) => [host, ALIVE])),
  applied: () =>
    new Map([
      ['done', { revision: REVISION }],
      ['late', { revision: REVISION - 1 }],
      ['no', { revision: REVISION - 1, refused }],
      ['whole', { revision: REVISION + 1 }],
      ['dead', { revision: REVISION }],
    ]),
  wholeHosts: () => new Set(['whole']),
};

test('each host is in one list', () => {
  assert.deepEqual(rolloutOf(HOSTS, REVISION, 'all'), {
    inForce: ['done', 'whole'],
    behind: ['late', 'new'],
    refused: [{ host: 'no', message: 'no room' }],
    away: ['dead'],
  });
});

test('only hosts that are concerned are in one, and those that hold everything', () => {
  assert.deepEqual(rolloutOf(HOSTS, REVISION, new Set(['late', 'dead', 'gone'])), {
    inForce: ['whole'],
    behind: ['late'],
    refused: [],
    away: ['dead', 'gone'],
  });
});

/** @param counts of hosts that have it in force, are behind, refuse it */
function verdicts(...counts: readonly [number, number, number]): readonly string[] {
  const names = counts.map((count) => Array.from({ length: count }, (_, i) => String(i)));
  const rollout: Rollout = {
    ...{ inForce: names[0], behind: names[1], away: ['dead'] },
    refused: names[2].map((host) => ({ host, message: '' })),
  };
  return [judgeRollout(rollout, 'all'), judgeRollout(rollout, 'quorum')];
}

test('all is every one, and a quorum is more than half', () => {
  assert.deepEqual(verdicts(0, 0, 0), ['inForce', 'inForce']);
  assert.deepEqual(verdicts(1, 0, 0), ['inForce', 'inForce']);
  assert.deepEqual(verdicts(0, 1, 0), ['open', 'open']);
  assert.deepEqual(verdicts(1, 1, 0), ['open', 'open']);
  assert.deepEqual(verdicts(2, 1, 0), ['open', 'inForce']);
  assert.deepEqual(verdicts(2, 2, 0), ['open', 'open']);
  assert.deepEqual(verdicts(2, 0, 1), ['refused', 'inForce']);
  assert.deepEqual(verdicts(1, 1, 1), ['refused', 'open']);
  assert.deepEqual(verdicts(0, 1, 2), ['refused', 'refused']);
  assert.deepEqual(verdicts(1, 0, 1), ['refused', 'refused']);
});
