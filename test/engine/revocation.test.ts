/** What a change of rules does to connections that are tracked: aws, recheck and cut, group by group. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Revocation } from '../../src/policy/model.ts';
import { ICMP, icmp4, icmpError4, tcp4, udp4 } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';
import { Conversation } from './conversation.ts';
import { Rig } from './rig.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const OUT = '203.0.113.7';

function tiers(
  ingress: readonly string[],
  revocation?: Revocation,
  more: Partial<ModelText> = {},
): ModelText {
  return {
    groups: {
      web: { ingress: [] },
      app: { ingress, ...(revocation === undefined ? {} : { revocation }) },
    },
    interfaces: {
      web: { addresses: [WEB], groups: ['web'] },
      app: { addresses: [APP], groups: ['app'] },
    },
    ...more,
  };
}

let talk = new Conversation(WEB, 40000, APP, 8080);
const data = (): Uint8Array => talk.data('client');
const reply = (): Uint8Array => talk.data('server');

function connect(rig: Rig): void {
  talk = new Conversation(WEB, 40000, APP, 8080);
  assert.equal(rig.send('web', talk.syn()), 'app');
  assert.equal(rig.send('app', talk.synAck()), 'web');
  assert.equal(rig.send('web', talk.ack('client')), 'app');
  assert.equal(rig.send('web', data()), 'app');
}

function recheckAll(rig: Rig, nowMs = 0): number {
  while (rig.engine.gates.recheckFlows(1, nowMs));
  return rig.engine.gates.revokedFlows;
}

test('aws: a tracked connection outlives the rule it came by; new ones are refused', () => {
  const rig = new Rig(tiers(['tcp 8080 from sg:web']));
  connect(rig);
  rig.change(tiers([]));
  assert.equal(rig.send('web', data()), 'app');
  assert.equal(rig.send('app', reply()), 'web');
  assert.equal(recheckAll(rig), 0);
  assert.equal(
    rig.send('web', tcp4(WEB, APP, { srcPort: 40001, dstPort: 8080, flags: 'S' })),
    'ingress-rules',
  );
});

for (const revocation of ['recheck', 'cut'] as const) {
  test(`${revocation}: a connection that no rule admits any more ends with its next packet, in either direction`, () => {
    for (const [from, packet] of [
      ['web', data],
      ['app', reply],
    ] as const) {
      const rig = new Rig(tiers(['tcp 8080 from sg:web'], revocation));
      connect(rig);
      rig.change(tiers([], revocation));
      assert.equal(rig.send(from, packet()), 'revoked');
      assert.notEqual(rig.send('web', data()), 'app');
    }
  });

  test(`${revocation}: a connection whose rule is still there lives on, whatever else changed`, () => {
    const rig = new Rig(tiers(['tcp 8080 from sg:web'], revocation));
    connect(rig);
    rig.change(tiers(['tcp 22 from 0.0.0.0/0', 'tcp 8080 from sg:web'], revocation));
    assert.equal(rig.send('web', data()), 'app');
    assert.equal(recheckAll(rig), 0);
  });

  test(`${revocation}: the sweep ends idle connections, without a packet of theirs`, () => {
    const rig = new Rig(
      tiers(['tcp 8080 from sg:web', 'udp 53 from sg:web', 'icmp 8/-1 from sg:web'], revocation),
    );
    connect(rig);
    assert.equal(rig.send('web', udp4(WEB, APP, { srcPort: 1, dstPort: 53 })), 'app');
    assert.equal(rig.send('web', icmp4(WEB, APP, { type: ICMP.echo, id: 9 })), 'app');
    rig.change(tiers(['udp 53 from sg:web'], revocation));
    assert.equal(
      recheckAll(rig),
      2,
      'TCP and ping; the sender, whose group says nothing, keeps its side',
    );
    assert.deepEqual(rig.states, ['established', 'icmp', 'revoked', 'revoked', 'udp', 'udp']);
  });
}

test('a connection that was cut can not be picked up in mid-stream by the side that rules let out', () => {
  const rig = new Rig(tiers(['tcp 8080 from sg:web'], 'cut'));
  connect(rig);
  const [push, pull] = [reply(), talk.send('client', { flags: 'A', ack: 900_001 })];
  rig.change(tiers([], 'cut'));
  for (const nowMs of [0, 200_000, 400_000, 432_300_000]) {
    assert.equal(rig.send('app', push, nowMs), 'revoked', 'each retransmission keeps it out');
    assert.equal(rig.send('web', pull, nowMs), 'revoked');
  }
  rig.change(tiers(['tcp 8080 from sg:web'], 'cut'));
  assert.equal(
    rig.send('web', pull, 432_400_000),
    'revoked',
    'a rule that comes back does not bring it back',
  );
  connect(rig);
});

test('recheck keeps what another rule admits; cut asks for the very rule it came by', () => {
  for (const [revocation, verdict] of [
    ['recheck', 'app'],
    ['cut', 'revoked'],
  ] as const) {
    const rig = new Rig(tiers(['tcp 8080 from sg:web'], revocation));
    connect(rig);
    rig.change(tiers(['tcp 8000-9000 from 10.0.0.0/16'], revocation));
    assert.equal(rig.send('web', data()), verdict, revocation);
  }
});

test('cut finds the rule it came by among others that share its port and peer', () => {
  const rig = new Rig(tiers(['tcp 8080 from sg:web'], 'cut'));
  connect(rig);
  // The same peer and node of the port tree, another rule in front of it.
  rig.change(tiers(['tcp 8080-8081 from sg:web', 'tcp 8080 from sg:web'], 'cut'));
  assert.equal(rig.send('web', data()), 'app');
});

test('a member that leaves the group is a change like any other', () => {
  for (const [revocation, verdict] of [
    ['aws', 'app'],
    ['recheck', 'revoked'],
    ['cut', 'revoked'],
  ] as const) {
    const rig = new Rig(tiers(['tcp 8080 from sg:web'], revocation));
    connect(rig);
    const text = tiers(['tcp 8080 from sg:web'], revocation);
    rig.change({
      ...text,
      groups: { ...text.groups, other: {} },
      interfaces: { ...text.interfaces, web: { addresses: [WEB], groups: ['other'] } },
    });
    assert.equal(rig.send('web', data()), verdict, revocation);
  }
});

test('untracked flows end at once when either of their rules goes', () => {
  const open = tiers(['tcp 80 from 0.0.0.0/0']);
  const rig = new Rig(open, { acceptsMidstream: false });
  assert.equal(rig.send('uplink', tcp4(OUT, APP, { srcPort: 5, dstPort: 80, flags: 'S' })), 'app');
  assert.deepEqual(rig.states, []);
  rig.change(tiers([]));
  assert.equal(
    rig.send('uplink', tcp4(OUT, APP, { srcPort: 5, dstPort: 80, flags: 'A' })),
    'ingress-rules',
  );
});

test('an untracked connection that a change would have tracked ends, and opens anew (AWS)', () => {
  const open = tiers(['tcp 80 from 0.0.0.0/0']);
  const muted = tiers(['tcp 80 from 0.0.0.0/0']);
  const rig = new Rig(open);
  const client = new Conversation(OUT, 5, APP, 80);
  assert.equal(rig.send('uplink', client.syn()), 'app');
  rig.change({
    ...muted,
    groups: { ...muted.groups, app: { ingress: ['tcp 80 from 0.0.0.0/0'], egress: [] } },
  });
  assert.equal(
    rig.send('uplink', client.data('client')),
    'revoked',
    'picked up in mid-stream it would live on',
  );
  assert.equal(rig.send('app', client.data('server')), 'egress-rules');
  assert.equal(rig.send('uplink', new Conversation(OUT, 6, APP, 80).syn()), 'app');
  assert.deepEqual(rig.states, ['syn-sent']);
});

test('a tracked connection that a change would leave untracked goes on as it is', () => {
  const narrow = tiers(['tcp 80 from 203.0.113.0/24']);
  const rig = new Rig(narrow);
  const client = new Conversation(OUT, 5, APP, 80);
  assert.equal(rig.send('uplink', client.syn()), 'app');
  assert.equal(rig.send('app', client.synAck()), 'uplink');
  rig.change(tiers(['tcp 80 from 0.0.0.0/0']));
  assert.equal(rig.send('uplink', client.ack('client')), 'app');
  assert.deepEqual(rig.states, ['established']);
});

test('an interface that tracks always does so for what rules would leave untracked', () => {
  const text = tiers(['tcp 80 from 0.0.0.0/0']);
  const rig = new Rig({
    ...text,
    interfaces: {
      ...text.interfaces,
      app: { addresses: [APP], groups: ['app'], alwaysTracked: true },
    },
  });
  assert.equal(rig.send('uplink', new Conversation(OUT, 5, APP, 80).syn()), 'app');
  assert.deepEqual(rig.states, ['syn-sent']);
});

test('a SYN that the rules refuse does not bring back what they ended', () => {
  const rig = new Rig(tiers([`tcp 8080 from ${OUT}/32`], 'recheck'));
  talk = new Conversation(OUT, 40000, APP, 8080);
  assert.equal(rig.send('uplink', talk.syn()), 'app');
  assert.equal(rig.send('app', talk.synAck()), 'uplink');
  assert.equal(rig.send('uplink', talk.ack('client')), 'app');
  rig.change(tiers([], 'recheck'));
  assert.equal(recheckAll(rig), 1);
  const again = tcp4(OUT, APP, { srcPort: 40000, dstPort: 8080, flags: 'S', seq: 5000 });
  assert.equal(rig.send('uplink', again), 'ingress-rules');
  // Picked up in mid-stream, app's own data would let the client's in again.
  assert.equal(rig.send('app', reply()), 'revoked');
  assert.equal(rig.send('uplink', data()), 'revoked');
});

test('an interface that goes takes its flows along, and leaves nothing to the next one on its port', () => {
  const rig = new Rig(tiers(['tcp 8080 from sg:web']));
  connect(rig);
  const { groups, interfaces } = tiers(['tcp 8080 from sg:web']);
  rig.change({ groups, interfaces: { web: interfaces['web'] } });
  assert.equal(recheckAll(rig), 1);
  assert.deepEqual(rig.states, ['established']);
});

test('what was admitted long ago is still known after 4096 changes', () => {
  const rig = new Rig(tiers(['tcp 8080 from sg:web'], 'recheck'));
  connect(rig);
  for (let i = 0; i < 4096; i++) {
    rig.change(tiers(['tcp 8080 from sg:web'], 'recheck'));
    recheckAll(rig);
  }
  rig.change(tiers([], 'recheck'));
  assert.equal(rig.send('web', data()), 'revoked');
});

test('a connection past its time-out is gone, and does not come back as revoked', () => {
  const rig = new Rig(tiers(['tcp 8080 from sg:web'], 'recheck'));
  talk = new Conversation(WEB, 40000, APP, 8080);
  assert.equal(rig.send('web', talk.syn()), 'app');
  rig.change(tiers([], 'recheck'));
  assert.equal(recheckAll(rig, 61_000), 0);
  assert.equal(rig.engine.gates.tracker.flows4.count, 0);
  assert.equal(rig.send('app', talk.synAck(), 61_000), 'ingress-rules', "web's, not app's");
});

test('a flow that an ICMP reply opened is asked about as a reply', () => {
  const reply = icmp4(WEB, APP, { type: ICMP.echoReply, id: ICMP.echo });
  for (const [type, isLeft] of [
    [ICMP.echoReply, true],
    [ICMP.echo, false],
  ] as const) {
    const rig = new Rig(tiers(['icmp 0/-1 from sg:web'], 'recheck'));
    assert.equal(rig.send('web', reply), 'app');
    rig.change(tiers([`icmp ${type}/0 from sg:web`], 'recheck'));
    assert.equal(recheckAll(rig), isLeft ? 0 : 1);
  }
});

test('an ICMP error about a flow that new rules end drops before the flow was held against them', () => {
  const rig = new Rig(tiers(['udp 53 from sg:web'], 'recheck'));
  const asked = udp4(WEB, APP, { srcPort: 5000, dstPort: 53 });
  const error = icmpError4(APP, WEB, { type: ICMP.unreachable, code: 3, quoted: asked });
  const closed = (ingress: readonly string[]): ModelText => {
    const { groups, ...rest } = tiers(ingress, 'recheck');
    return { groups: { ...groups, app: { ...groups['app'], egress: [] } }, ...rest };
  };
  rig.change(closed(['udp 53 from sg:web']));
  assert.equal(rig.send('web', asked), 'app');
  assert.equal(rig.send('app', error), 'web');
  rig.change(closed([]));
  assert.equal(rig.send('app', error), 'egress-rules');
});

test('a connection that was idle for long is cut like any other: it is not picked up in mid-stream', () => {
  for (const recheckFirst of [true, false]) {
    const rig = new Rig(tiers(['tcp 8080 from sg:web'], 'cut'));
    connect(rig);
    rig.change(tiers([], 'cut'));
    const laterMs = 3_600_000;
    if (recheckFirst) assert.equal(recheckAll(rig, laterMs), 1);
    assert.equal(rig.send('app', reply(), laterMs), 'revoked');
    assert.equal(rig.send('app', reply(), laterMs + 299_000), 'revoked');
  }
});
