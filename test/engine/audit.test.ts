/** Audit: what no rule admits passes, counts as what would be dropped, and ends when it is enforced. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AUDITED_BYTES,
  AUDITED_PACKETS,
  counterRow,
  EGRESS,
  INGRESS,
} from '../../src/engine/counters.ts';
import {
  EVENT_AUDIT,
  EVENT_KIND,
  EVENT_REASON_SHIFT,
  WANT_AUDITS,
} from '../../src/engine/events.ts';
import { REASONS } from '../../src/engine/reasons.ts';
import { icmp4, tcp4, udp4 } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';
import { Rig, type RigOptions } from './rig.ts';

const WEB = '10.0.0.11';
const OUT = '203.0.113.7';
const EVERYTHING_OUT = ['all to 0.0.0.0/0', 'all to ::/0'];

type Group = ModelText['groups'][string];

function web(group: Group, audit = false): ModelText {
  return {
    groups: { web: group },
    interfaces: { web: { addresses: [WEB], groups: ['web'], audit } },
  };
}

function makeRig(group: Group, audit = false, options: RigOptions = {}): Rig {
  return new Rig(web(group, audit), options);
}

const syn = (port: number, from = 40000): Uint8Array =>
  tcp4(OUT, WEB, { srcPort: from, dstPort: port, flags: 'S', seq: 100 });
const synAck = (port: number, to = 40000): Uint8Array =>
  tcp4(WEB, OUT, { srcPort: port, dstPort: to, flags: 'SA', seq: 500, ack: 101 });
const ack = (port: number, from = 40000): Uint8Array =>
  tcp4(OUT, WEB, { srcPort: from, dstPort: port, flags: 'A', seq: 101, ack: 501 });

/** Packets and bytes that passed by audit alone: of ingress rules, then of egress rules. */
function audited(rig: Rig): number[][] {
  return [INGRESS, EGRESS].map((direction) => {
    const row = counterRow(rig.portOf('web'), direction);
    const { counters } = rig.engine;
    return [counters[row + AUDITED_PACKETS], counters[row + AUDITED_BYTES]];
  });
}

/** Packets by rules that audit, by the rule's text. */
function byRule(rig: Rig): Record<string, number> {
  const found: Record<string, number> = {};
  for (let number = 0; ; number++) {
    const rule = rig.ruleNumbers.ruleOf(number);
    if (rule === undefined) return found;
    const packets = rig.ruleHits.audited[2 * number];
    if (packets > 0) found[rule.implied === true ? `all ${rule.direction}` : rule.id] = packets;
  }
}

/** Reasons of the audit events since the last call. */
function events(rig: Rig): string[] {
  const found: string[] = [];
  rig.events.drain((at) => {
    const head = rig.events.words[at + EVENT_KIND];
    if ((head & 0xff) === EVENT_AUDIT) found.push(REASONS[(head >>> EVENT_REASON_SHIFT) & 0xff][0]);
  }, 1000);
  return found;
}

test('a rule that audits passes what no other admits, and all packets of the flow count', () => {
  const rig = makeRig({
    ingress: ['tcp 443 from 0.0.0.0/1'],
    audited: ['tcp 80 from 203.0.113.0/24'],
  });
  rig.events.want(WANT_AUDITS);
  const sent = [syn(80), synAck(80), ack(80)];
  assert.equal(rig.send('uplink', sent[0]), 'web');
  assert.equal(rig.send('web', sent[1]), 'uplink');
  assert.equal(rig.send('uplink', sent[2]), 'web');
  const bytes = sent.reduce((sum, packet) => sum + packet.length, 0);
  assert.deepEqual(audited(rig), [
    [3, bytes],
    [0, 0],
  ]);
  assert.deepEqual(byRule(rig), { 'sgr-web-audit-tcp 80 from 203.0.113.0/24': 3 });
  assert.deepEqual(events(rig), ['ingress-rules'], 'the first packet alone is an event');
  assert.equal(rig.send('uplink', syn(22)), 'ingress-rules', 'the rule audits nothing else');
  assert.deepEqual(rig.counts, [
    'uplink ingress: 3 passed, 0 dropped',
    'uplink egress: 1 passed, 0 dropped',
    'web ingress: 2 passed, 1 dropped (ingress-rules 1)',
    'web egress: 1 passed, 0 dropped',
  ]);
});

test('where a rule admits, an audit rule counts nothing', () => {
  const rig = makeRig({
    ingress: ['tcp 80 from 203.0.113.7/32'],
    audited: ['tcp 0-65535 from 0.0.0.0/0'],
  });
  assert.equal(rig.send('uplink', syn(80)), 'web');
  assert.deepEqual(audited(rig), [
    [0, 0],
    [0, 0],
  ]);
});

test('a group in audit mode passes both ways; so does an interface by itself', () => {
  for (const [group, audit] of [
    [{ ingress: [], egress: [], audit: true }, false],
    [{ ingress: [], egress: [] }, true],
  ] as const) {
    const rig = makeRig(group, audit);
    assert.equal(rig.send('uplink', syn(80)), 'web');
    const query = udp4(WEB, OUT, { srcPort: 5353, dstPort: 53 });
    assert.equal(rig.send('web', query), 'uplink');
    assert.deepEqual(audited(rig), [
      [1, syn(80).length],
      [1, query.length],
    ]);
    assert.deepEqual(byRule(rig), { 'all ingress': 1, 'all egress': 1 });
  }
});

test('the narrowest tells: a rule before its group, the group before the interface', () => {
  const rig = makeRig({ ingress: [], audited: ['tcp 80 from 0.0.0.0/0'], audit: true }, true);
  rig.send('uplink', syn(80));
  rig.send('uplink', syn(81));
  const [rule, all] = Object.entries(byRule(rig));
  assert.deepEqual(
    [rule, all],
    [
      ['sgr-web-audit-tcp 80 from 0.0.0.0/0', 1],
      ['all ingress', 1],
    ],
  );
});

test('audit answers for nothing but the refusal of rules', () => {
  const rig = makeRig({ ingress: [], egress: [], audit: true }, true);
  assert.equal(
    rig.send('web', tcp4('10.0.0.99', OUT, { srcPort: 1, dstPort: 2, flags: 'S' })),
    'source-check',
  );
  assert.equal(
    rig.send('uplink', tcp4(WEB, WEB, { srcPort: 1, dstPort: 2, flags: 'S' })),
    'uplink-spoof',
  );
  assert.equal(
    rig.send('uplink', tcp4(OUT, WEB, { srcPort: 1, dstPort: 2, flags: 'SF' })),
    'tcp-flags',
  );
  assert.deepEqual(audited(rig), [
    [0, 0],
    [0, 0],
  ]);
});

test('limits hold for audited flows', () => {
  const rig = makeRig({ ingress: [], audit: true }, false, { maxFlows: 4, maxHalfOpen: 4 });
  rig.maxFlowsByPort[rig.portOf('web')] = 1;
  assert.equal(rig.send('uplink', udp4(OUT, WEB, { srcPort: 1, dstPort: 9 })), 'web');
  assert.equal(rig.send('web', udp4(WEB, OUT, { srcPort: 9, dstPort: 1 })), 'uplink');
  assert.equal(rig.send('uplink', udp4(OUT, WEB, { srcPort: 2, dstPort: 9 })), 'conntrack-full');
});

test('enforced, an audited flow ends, whatever the group says of revocation', () => {
  for (const revocation of ['aws', 'recheck', 'cut'] as const) {
    const rig = makeRig({
      ingress: [],
      audited: ['tcp 80 from 0.0.0.0/1', 'tcp 80 from 128.0.0.0/1'],
      revocation,
    });
    rig.send('uplink', syn(80));
    rig.send('web', synAck(80));
    rig.change(web({ ingress: [], revocation }));
    assert.equal(rig.send('uplink', ack(80)), 'revoked');
    assert.equal(rig.send('uplink', syn(80, 40001)), 'ingress-rules');
  }
});

test('a rule that comes to admit an audited flow takes it over, and nothing counts any more', () => {
  const rig = makeRig({ ingress: [], audited: ['tcp 80 from 128.0.0.0/1'] });
  rig.send('uplink', syn(80));
  rig.change(web({ ingress: ['tcp 80 from 128.0.0.0/1'], audited: ['tcp 80 from 128.0.0.0/1'] }));
  assert.equal(rig.send('web', synAck(80)), 'uplink');
  assert.equal(audited(rig)[0][0], 1);
  rig.change(web({ ingress: ['tcp 80 from 128.0.0.0/1'] }));
  assert.equal(rig.send('uplink', ack(80)), 'web', 'it is a flow of the rule by now');
  assert.equal(audited(rig)[0][0], 1);
});

test('a flow of a rule that only audits by now counts from then on, where it would be ended', () => {
  const counted = { aws: 0, recheck: 2, cut: 2 };
  for (const revocation of ['aws', 'recheck', 'cut'] as const) {
    const rig = makeRig({ ingress: ['tcp 80 from 128.0.0.0/1'], revocation });
    rig.send('uplink', syn(80));
    rig.change(web({ ingress: [], audited: ['tcp 80 from 128.0.0.0/1'], revocation }));
    assert.equal(rig.send('web', synAck(80)), 'uplink');
    assert.equal(rig.send('uplink', ack(80)), 'web');
    assert.equal(audited(rig)[0][0], counted[revocation], revocation);
  }
});

test('connections that lived untracked go on when their rule only audits, and end when it is gone', () => {
  for (const first of ['client', 'server'] as const) {
    const rig = makeRig({ ingress: ['tcp 80 from 0.0.0.0/0'], egress: EVERYTHING_OUT });
    rig.send('uplink', syn(80));
    rig.send('web', synAck(80));
    rig.send('uplink', ack(80));
    assert.deepEqual(rig.states, [], 'untracked');
    rig.change(web({ ingress: [], audited: ['tcp 80 from 0.0.0.0/0'], egress: EVERYTHING_OUT }));
    const data = tcp4(WEB, OUT, { srcPort: 80, dstPort: 40000, flags: 'A', seq: 501, ack: 101 });
    const turns = first === 'client' ? [ack(80), data] : [data, ack(80)];
    for (const packet of turns)
      assert.match(rig.send(packet === data ? 'web' : 'uplink', packet), /^(web|uplink)$/);
    assert.equal(audited(rig)[0][0], 2, first);
    rig.change(web({ ingress: [], egress: EVERYTHING_OUT }));
    assert.equal(rig.send('uplink', ack(80)), 'revoked', first);
    assert.equal(rig.send('web', data), 'revoked', first);
  }
});

test('the same of UDP: an answer to what came untracked passes', () => {
  const rig = makeRig({ ingress: ['udp 53 from 0.0.0.0/0'], egress: EVERYTHING_OUT });
  rig.send('uplink', udp4(OUT, WEB, { srcPort: 4000, dstPort: 53 }));
  rig.change(web({ ingress: [], audited: ['udp 53 from 0.0.0.0/0'], egress: EVERYTHING_OUT }));
  assert.equal(rig.send('web', udp4(WEB, OUT, { srcPort: 53, dstPort: 4000 })), 'uplink');
  assert.equal(rig.send('uplink', udp4(OUT, WEB, { srcPort: 4000, dstPort: 53 })), 'web');
  assert.equal(audited(rig)[0][0], 2);
});

test('an audited flow is tracked, though an audit rule is for everywhere', () => {
  const rig = makeRig({ ingress: [], audited: ['tcp 80 from 0.0.0.0/0'], egress: EVERYTHING_OUT });
  rig.send('uplink', syn(80));
  assert.deepEqual(rig.states, ['syn-sent']);
});

test('ICMP: an echo request that only audit lets in, and its reply', () => {
  const rig = makeRig({ ingress: [], egress: [], audited: ['icmp 8/-1 from 0.0.0.0/0'] });
  assert.equal(rig.send('uplink', icmp4(OUT, WEB, { type: 8, code: 0, id: 7, seq: 1 })), 'web');
  assert.equal(rig.send('web', icmp4(WEB, OUT, { type: 0, code: 0, id: 7, seq: 1 })), 'uplink');
  assert.equal(audited(rig)[0][0], 2);
  rig.change(web({ ingress: [], egress: [] }));
  assert.match(
    rig.send('uplink', icmp4(OUT, WEB, { type: 8, code: 0, id: 7, seq: 2 })),
    /^(revoked|ingress-rules)$/,
  );
});

test('between two interfaces each gate audits for itself', () => {
  const rig = new Rig({
    groups: {
      a: { ingress: [], egress: [] },
      b: { ingress: [], egress: [] },
    },
    interfaces: {
      web: { addresses: [WEB], groups: ['a'], audit: true },
      db: { addresses: ['10.0.0.12'], groups: ['b'] },
    },
  });
  const packet = tcp4(WEB, '10.0.0.12', { srcPort: 1, dstPort: 5432, flags: 'S' });
  assert.equal(rig.send('web', packet), 'ingress-rules');
  assert.equal(audited(rig)[1][0], 1, 'it passed the gate of the sender by audit');
});
