/** What the page says of applying, of changes and of hosts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsoleChange, ConsoleHost, DraftAnswer } from '../../../src/console/contract.ts';
import { cutSentence, stateSentence } from '../../../src/console/page/logic/apply-words.ts';
import { findChanges, whatOf } from '../../../src/console/page/logic/change-words.ts';
import { faultsOf, findHosts, stateOf } from '../../../src/console/page/logic/host-words.ts';

const NOTHING: DraftAnswer = { problems: [], newlyAllowed: [], noLongerAllowed: [], lint: [] };

function impact(cut: number, refusedAnew = 0) {
  const lists = { cutBy: [], cutConnections: [], refusedAnewConnections: [] };
  return { kept: 0, cut, refusedAnew, ...lists };
}

test('what would be cut is summed over hosts, and who says nothing is named', () => {
  const of = (...hosts: NonNullable<DraftAnswer['hosts']>): string =>
    cutSentence({ ...NOTHING, hosts });
  assert.equal(of(), '0 tracked connections cut');
  assert.equal(
    of({ host: 'a', impact: impact(1) }, { host: 'b', impact: impact(2, 3) }),
    '3 tracked connections cut, 3 kept that could not be opened again',
  );
  assert.equal(
    of({ host: 'a', impact: impact(1) }, { host: 'b', why: 'it is away' }),
    '1 tracked connection cut; nothing is known of b',
  );
  assert.equal(of({ host: 'b', why: 'it is away' }), 'nothing is known of b');
  assert.equal(cutSentence({ ...NOTHING, connectionsWhy: 'none was asked' }), 'none was asked');
});

test('where a change is in force is said, and whom it waits for', () => {
  const of = (enforcement: 'awaited' | 'kept', away: string[] = [], behind: string[] = []) =>
    stateSentence({ revision: 1, enforcement, away, behind, calls: [] });
  assert.equal(of('awaited'), 'It is in force.');
  assert.equal(
    of('awaited', ['h3'], ['h1', 'h2']),
    'It is in force, but not yet on h1, h2; h3 will get it when back.',
  );
  assert.match(of('kept'), /^It is kept in the store/);
  assert.match(of('awaited', ['a', 'b', 'c', 'd', 'e', 'f', 'g']), /a, b, c, d, e and 2 more will/);
});

const CHANGE: ConsoleChange = {
  revision: 12,
  timeMs: 0,
  who: { name: 'ops', accessKeyId: 'AKID', arn: 'arn:aws:iam::1:user/ops' },
  actions: ['AuthorizeSecurityGroupIngress'],
  by: 'console',
  groups: [
    {
      ...{ id: 'sg-1', name: 'web', what: 'changed', mayGoBack: true },
      ...{ added: ['ingress tcp 443 from 10.0.0.0/8'], addedCount: 1 },
      ...{ removed: [], removedCount: 2 },
    },
  ],
  others: [{ kind: 'interfaces', count: 3 }],
};

test('a change is told in a line, and found by any word of it', () => {
  assert.equal(whatOf(CHANGE), 'web: 1 rule added, 2 rules removed; 3 interfaces');
  assert.equal(whatOf({ ...CHANGE, groups: [], others: [] }), 'nothing that hosts enforce');
  const one = (kind: string) => whatOf({ ...CHANGE, groups: [], others: [{ kind, count: 1 }] });
  assert.equal(one('prefix-lists'), '1 prefix list');
  assert.equal(one('insights-analyses'), '1 insights analysis');
  const made = { ...CHANGE.groups[0], what: 'made' as const };
  assert.equal(
    whatOf({ ...CHANGE, groups: [made], others: [] }),
    'web: made, 1 rule added, 2 rules removed',
  );
  for (const word of ['ops', '443', 'authorize', 'sg-1', '12', 'console'])
    assert.equal(findChanges([CHANGE], [word]).length, 1, word);
  assert.equal(findChanges([CHANGE], ['nobody']).length, 0);
});

const HOST: ConsoleHost = {
  ...{ host: 'h1', state: 'lives', isBehind: false, leftOut: [], leftOutCount: 0, interfaces: 2 },
};

test('a host is told in a word, with all that is wrong with it', () => {
  assert.equal(stateOf(HOST).word, 'alive');
  assert.deepEqual(faultsOf(HOST), []);
  assert.equal(stateOf({ ...HOST, isBehind: true }).word, 'behind');
  assert.equal(stateOf({ ...HOST, isBehind: true, state: 'away' }).word, 'away');
  const refusing: ConsoleHost = {
    ...HOST,
    refused: { revision: 7, message: 'no device' },
    leftOut: [{ id: 'eni-1', why: 'its address is taken' }],
    leftOutCount: 3,
  };
  assert.equal(stateOf(refusing).word, 'refuses');
  assert.deepEqual(faultsOf(refusing), [
    'it can’t put revision 7 in force: no device',
    'eni-1 is not in force there: its address is taken',
    'and 2 more things are not in force there',
  ]);
  assert.deepEqual(faultsOf({ ...HOST, state: 'left' }), [
    'it left, and 2 interfaces are still placed there',
  ]);
  assert.equal(findHosts([HOST, refusing], ['taken']).length, 1);
});
