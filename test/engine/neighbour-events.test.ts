/** What is told of ARP messages and neighbour discovery that the link layer refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verdictText } from '../../src/cli/traffic-text.ts';
import type { RuleBook } from '../../src/queries/rule-book.ts';
import { readEvent, type PacketEvent } from '../../src/telemetry/packet-events.ts';
import { viewVerdict, type VerdictView } from '../../src/queries/verdict-view.ts';
import { WANT_DROPS } from '../../src/engine/events.ts';
import {
  arp,
  ethernet,
  ETHER_TYPE,
  MAC_BROADCAST,
  ndNeighborAdvertisement,
  ndNeighborSolicitation,
  type ArpOptions,
} from '../packets/build.ts';
import { frame, GATEWAY, Wire } from './frames.ts';

const A = '10.0.0.1';
const A6 = 'fd00:10::1';
const B = '10.0.0.2';
const B6 = 'fd00:10::2';
const MAC_A = '06:00:00:00:00:0a';

const OPEN = {
  groups: { open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] } },
  interfaces: {
    a: { addresses: [A, A6], groups: ['open'] },
    b: { addresses: [B, B6], groups: ['open'] },
  },
};

function arpFrame(o: Partial<ArpOptions>, vlan?: number): Uint8Array {
  return ethernet({
    src: MAC_A,
    dst: MAC_BROADCAST,
    etherType: ETHER_TYPE.arp,
    ...(vlan === undefined ? {} : { vlan }),
    payload: arp({ operation: 'request', senderMac: MAC_A, senderIp: A, targetIp: B, ...o }),
  });
}

/** Sends a frame by a TAP and reads what is told of its drop. */
function tell(content: Uint8Array, port: 'a' | 'uplink' = 'a'): [PacketEvent, VerdictView] {
  const wire = new Wire(OPEN, ['a', 'b', 'uplink']);
  wire.rig.events.want(WANT_DROPS);
  wire.rig.engine.beginRound(1000, 1, 0);
  wire.pass(port, content);
  const found: PacketEvent[] = [];
  const { words, doubles } = wire.rig.events;
  wire.rig.events.drain((at) => {
    const event = readEvent(words, doubles, at, 0);
    assert.equal(event.kind, 'dropped');
    found.push(event);
  }, 10);
  assert.equal(found.length, 1);
  const clock = { wallMs: (ms: number) => ms };
  const book = {} as RuleBook;
  return [found[0], viewVerdict(found[0], clock, book, new Map())];
}

const CASES: readonly [string, Uint8Array, string, string][] = [
  [
    'a probe for an address in use',
    arpFrame({ senderIp: '0.0.0.0', targetIp: A }),
    'link-scope',
    `ARP request who-has ${A} tell 0.0.0.0`,
  ],
  [
    'with a priority tag',
    arpFrame({ senderIp: A, targetIp: A }, 0),
    'link-scope',
    `ARP request who-has ${A} tell ${A}`,
  ],
  [
    'a spoofed request',
    arpFrame({ senderIp: B, targetIp: '10.0.0.5' }),
    'neighbour-spoof',
    `ARP request who-has 10.0.0.5 tell ${B}`,
  ],
  [
    'a spoofed reply',
    arpFrame({ operation: 'reply', senderIp: B, targetIp: A }),
    'neighbour-spoof',
    `ARP reply from ${B} to ${A}`,
  ],
  [
    'another operation',
    arpFrame({ operation: 8 }),
    'link-scope',
    `ARP operation 8 from ${A} to ${B}`,
  ],
  [
    'detection of duplicates',
    frame(ndNeighborSolicitation({ src: '::', target: A6 }), MAC_A, GATEWAY),
    'link-scope',
    `neighbour solicitation who-has ${A6} tell ::`,
  ],
  [
    'a spoofed advertisement',
    frame(
      ndNeighborAdvertisement({ src: A6, dst: 'ff02::1', target: B6, targetMac: MAC_A }),
      MAC_A,
      GATEWAY,
    ),
    'neighbour-spoof',
    `neighbour advertisement of ${B6}, from ${A6}`,
  ],
];

for (const [name, content, reason, text] of CASES)
  test(`${name}: ${text}`, () => {
    const [event, view] = tell(content);
    assert.equal(event.reason, reason);
    assert.equal(event.direction, 'egress');
    assert.equal(event.tuple, undefined, 'no gate has judged it');
    assert.equal(verdictText(view), text);
  });

test('what came in through the uplink: the sender is the remote side', () => {
  const [, view] = tell(
    frame(ndNeighborSolicitation({ src: B6, target: '2001:db8::9' }), MAC_A, GATEWAY),
    'uplink',
  );
  assert.equal(view.direction, 'ingress');
  assert.deepEqual(view.neighbour, {
    protocol: 'nd',
    operation: 'solicitation',
    sender: B6,
    target: '2001:db8::9',
  });
});

test('what is cut short, or no ARP for IPv4, is told without words of its own', () => {
  for (const content of [
    arpFrame({}).subarray(0, 14 + 27),
    arpFrame({ hardwareType: 6 }),
    arpFrame({ protocolType: 0x86dd }),
  ]) {
    const [event, view] = tell(content);
    assert.equal(event.neighbour, undefined);
    assert.match(verdictText(view), /^\d+ bytes that can't be read$/);
  }
});

test('messages of the link that gates refuse are named', () => {
  const packet = {
    family: 6 as const,
    protocol: 'icmpv6',
    localAddress: 'fe80::1',
    localPort: 0,
    remoteAddress: 'ff02::2',
    remotePort: 0,
  };
  const view = { direction: 'egress', packet: { ...packet, icmp: { type: 133, code: 0 } } };
  assert.equal(verdictText(view as VerdictView), 'icmpv6 fe80::1 > ff02::2 router solicitation');
  const echo = { direction: 'egress', packet: { ...packet, icmp: { type: 128, code: 0 } } };
  assert.equal(verdictText(echo as VerdictView), 'icmpv6 fe80::1 > ff02::2 type 128 code 0');
});
