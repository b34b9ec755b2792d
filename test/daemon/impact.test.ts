/** What a dry run says of connections is what the change then does to them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assessImpact } from '../../src/daemon/impact.ts';
import type { Revocation } from '../../src/policy/model.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { udp4 } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const NAMES = new Map([
  [0, 'uplink'],
  [1, 'web'],
  [2, 'app'],
]);

function tiers(ingress: readonly string[], revocation: Revocation): ModelText {
  return {
    groups: { web: { ingress: [] }, app: { ingress, revocation } },
    interfaces: {
      web: { addresses: [WEB], groups: ['web'] },
      app: { addresses: [APP], groups: ['app'] },
    },
  };
}

const TCP_RULE = 'tcp 8080 from sg:web';
const UDP_RULE = 'udp 53 from sg:web';

function connected(revocation: Revocation): Rig {
  const rig = new Rig(tiers([TCP_RULE, UDP_RULE], revocation));
  for (const port of [40000, 40001]) {
    const talk = new Conversation(WEB, port, APP, 8080);
    assert.equal(rig.send('web', talk.syn()), 'app');
    assert.equal(rig.send('app', talk.synAck()), 'web');
    assert.equal(rig.send('web', talk.ack('client')), 'app');
  }
  assert.equal(rig.send('web', udp4(WEB, APP, { srcPort: 5000, dstPort: 53 })), 'app');
  return rig;
}

function recheckAll(rig: Rig): number {
  while (rig.engine.gates.recheckFlows(1, 0));
  return rig.engine.gates.revokedFlows;
}

// Two TCP connections and one UDP flow, each with an entry at both gates.
const CASES: readonly (readonly [
  Revocation,
  readonly string[],
  kept: number,
  cut: number,
  refusedAnew: number,
])[] = [
  ['aws', [TCP_RULE, UDP_RULE], 6, 0, 0],
  ['aws', [UDP_RULE], 6, 0, 2],
  ['recheck', [UDP_RULE], 4, 2, 0],
  ['recheck', [], 3, 3, 0],
  ['cut', [TCP_RULE], 5, 1, 0],
];

for (const [revocation, ingress, kept, cut, refusedAnew] of CASES)
  test(`${revocation}, with the rules ${ingress.join(' and ') || 'none'}`, async () => {
    const rig = connected(revocation);
    rig.change(tiers(ingress, revocation));
    const impact = await assessImpact([rig.flows4, rig.flows6], rig.policy, NAMES, String);
    assert.deepEqual(
      [impact.kept, impact.cut, impact.keptButRefusedAnew],
      [kept, cut, refusedAnew],
    );
    assert.equal(impact.cutConnections.length, cut);
    assert.equal(
      impact.cutByRule.reduce((sum, { flows }) => sum + flows, 0),
      cut,
    );
    assert.equal(impact.refusedAnewConnections.length, refusedAnew);
    assert.equal(recheckAll(rig), cut, 'and that is what the change does');
  });
