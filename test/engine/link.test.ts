/** The link layer of TAP ports: who is answered, with which bytes, and who is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  arp,
  concat,
  ethernet,
  ETHER_TYPE,
  hex,
  MAC_BROADCAST,
  macBytes,
  ndNeighborAdvertisement,
  ndNeighborSolicitation,
  solicitedNode,
  tcp4,
  tcp6,
  toHex,
  udp4,
} from '../packets/build.ts';
import type { ArpOptions, NeighborSolicitationOptions } from '../packets/build.ts';
import { DROPPED, frame, GATEWAY, vnetHeader, Wire, INSTANCE_MAC } from './frames.ts';

const A = '10.0.0.1';
const A6 = 'fd00:10::1';
const B = '10.0.0.2';
const B6 = 'fd00:10::2';
const OUT = '198.51.100.7';
const OUT6 = '2001:db8:51::7';
const MAC_A = '06:00:00:00:00:0a';
const MAC_B = '06:00:00:00:00:0b';
const MAC_UP = '06:00:00:00:00:0f';
const ZERO = '0.0.0.0';
const LINK_LOCAL = 'fe80::400:ff:fe00:a';

const OPEN = {
  groups: { open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] } },
  interfaces: {
    a: { addresses: [A, A6], groups: ['open'] },
    b: { addresses: [B, B6], groups: ['open'] },
  },
};

function wire(taps: readonly string[] = ['a', 'b']): Wire {
  return new Wire(OPEN, taps);
}

function arpFrame(
  o: Partial<ArpOptions>,
  src = MAC_A,
  dst = MAC_BROADCAST,
  padding = 18,
): Uint8Array {
  const message = arp({
    operation: 'request',
    senderMac: src,
    senderIp: A,
    targetIp: B,
    ...o,
  });
  return ethernet({
    src,
    dst,
    etherType: ETHER_TYPE.arp,
    payload: concat(message, new Uint8Array(padding)),
  });
}

function solicitation(o: Partial<NeighborSolicitationOptions>, src = MAC_A): Uint8Array {
  const packet = ndNeighborSolicitation({ src: A6, target: B6, ...o });
  const dst = macBytes(concat(hex('3333'), solicitedNode(o.target ?? B6).subarray(12)));
  return frame(packet, src, dst);
}

/** The frame that answers a solicitation. */
function advertisement(target: string, dst: string, dstMac = MAC_A): string {
  const packet = ndNeighborAdvertisement({
    src: target,
    dst,
    target,
    targetMac: GATEWAY,
    router: true,
  });
  return toHex(frame(packet, GATEWAY, dstMac));
}

test('an ARP request for any other address is answered with the gateway, without the padding', () => {
  for (const target of [B, OUT, '10.0.0.254']) {
    assert.deepEqual(wire().pass('a', arpFrame({ targetIp: target })), {
      to: 'a',
      vnet: toHex(vnetHeader()),
      frame: toHex(
        arpFrame(
          {
            operation: 'reply',
            senderMac: GATEWAY,
            senderIp: target,
            targetMac: MAC_A,
            targetIp: A,
          },
          GATEWAY,
          MAC_A,
          0,
        ),
      ),
    });
  }
});

test('an ARP request asked of the gateway alone (a neighbour entry gone stale) is answered too', () => {
  assert.equal(wire().pass('a', arpFrame({}, MAC_A, GATEWAY)).to, 'a');
});

test('ARP that is not for the gateway to answer is link scope', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['probe (RFC 5227)', arpFrame({ senderIp: ZERO, targetIp: A })],
    ["probe for another's address", arpFrame({ senderIp: ZERO, targetIp: B })],
    ['announcement', arpFrame({ targetIp: A })],
    ['reply', arpFrame({ operation: 'reply' })],
    ['reverse ARP operation', arpFrame({ operation: 3 })],
    ['other hardware', arpFrame({ hardwareType: 6 })],
    ['other protocol', arpFrame({ protocolType: 0x86dd })],
    ['cut short', arpFrame({}, MAC_A, MAC_BROADCAST, 0).subarray(0, 41)],
  ];
  for (const [what, content] of cases) {
    const w = wire();
    assert.equal(w.pass('a', content).to, DROPPED, what);
    assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 0 dropped (link-scope 1)'], what);
  }
});

test("an ARP request that bears another's address is spoofing", () => {
  for (const senderIp of [B, OUT]) {
    const w = wire();
    assert.equal(w.pass('a', arpFrame({ senderIp, targetIp: '10.0.0.9' })).to, DROPPED);
    assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 1 dropped (neighbour-spoof 1)']);
  }
});

test('where the MAC address is given, frames from another are spoofing', () => {
  const w = wire();
  w.link.fixMac(w.portOf('a'), true, 0x0600, 0x0a);
  assert.equal(w.pass('a', arpFrame({})).to, 'a');
  assert.equal(w.pass('a', arpFrame({}, MAC_B)).to, DROPPED);
  assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 1 dropped (mac-spoof 1)']);
  w.link.fixMac(w.portOf('a'), false, 0, 0);
  assert.equal(w.pass('a', arpFrame({}, MAC_B)).to, 'a');
});

test('a neighbour solicitation is answered, with or without the link-layer address option', () => {
  for (const sourceMac of [MAC_A, undefined]) {
    for (const target of [B6, OUT6, 'fe80::1']) {
      const option = sourceMac === undefined ? {} : { sourceMac };
      assert.deepEqual(wire().pass('a', solicitation({ target, ...option })), {
        to: 'a',
        vnet: toHex(vnetHeader()),
        frame: advertisement(target, A6),
      });
    }
  }
});

test('a solicitation from the link-local address is answered there', () => {
  assert.equal(
    wire().pass('a', solicitation({ src: LINK_LOCAL, sourceMac: MAC_A })).frame,
    advertisement(B6, LINK_LOCAL),
  );
});

test('the answer grows into the headroom behind it and touches nothing of its neighbours', () => {
  const packet = udp4(A, B, { srcPort: 1, dstPort: 2, payload: 'x' });
  const [before, answer, after] = wire().receive('a', [
    frame(packet, MAC_A, GATEWAY),
    solicitation({}),
    frame(packet, MAC_A, GATEWAY),
  ]);
  assert.equal(answer.frame, advertisement(B6, A6));
  const delivered = toHex(frame(packet, GATEWAY, INSTANCE_MAC));
  assert.deepEqual([before.frame, after.frame], [delivered, delivered]);
});

test('solicitations that are not for the gateway to answer are link scope', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['duplicate address detection', solicitation({ src: '::', target: A6 })],
    ["duplicate address detection of another's address", solicitation({ src: '::' })],
    ['for its own address', solicitation({ target: A6 })],
    ['from beyond the link', solicitation({ hopLimit: 254 })],
  ];
  for (const [what, content] of cases) {
    const w = wire();
    assert.equal(w.pass('a', content).to, DROPPED, what);
    assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 0 dropped (link-scope 1)'], what);
  }
});

test("a solicitation that bears another's address is spoofing", () => {
  for (const src of [B6, OUT6]) {
    const w = wire();
    assert.equal(w.pass('a', solicitation({ src, target: 'fd00:10::9' })).to, DROPPED);
    assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 1 dropped (neighbour-spoof 1)']);
  }
});

test('frames that carry no packet drop under their reason', () => {
  const packet = udp4(A, B, { srcPort: 1, dstPort: 2 });
  const packet6 = tcp6(A6, B6, { srcPort: 1, dstPort: 2 });
  const at = { src: MAC_A, dst: GATEWAY };
  const cases: readonly [string, Uint8Array][] = [
    ['truncated', frame(packet, MAC_A, GATEWAY).subarray(0, 13)],
    ['truncated', ethernet({ ...at, vlan: 0, etherType: 0, payload: packet }).subarray(0, 17)],
    ['vlan-tagged', ethernet({ ...at, vlan: 7, etherType: ETHER_TYPE.ipv4, payload: packet })],
    [
      'vlan-tagged',
      ethernet({ ...at, vlan: { id: 1, priority: 7 }, etherType: ETHER_TYPE.arp, payload: packet }),
    ],
    [
      'unknown-ethertype',
      ethernet({
        ...at,
        vlan: [{ id: 0 }, { id: 7 }],
        etherType: ETHER_TYPE.ipv4,
        payload: packet,
      }),
    ],
    ['unknown-ethertype', ethernet({ ...at, etherType: 0x88cc, payload: packet })],
    ['bad-ip-version', ethernet({ ...at, etherType: ETHER_TYPE.ipv6, payload: packet })],
    ['bad-ip-version', ethernet({ ...at, etherType: ETHER_TYPE.ipv4, payload: packet6 })],
    ['bad-ip-version', ethernet({ ...at, etherType: ETHER_TYPE.ipv4, payload: new Uint8Array() })],
  ];
  for (const [reason, content] of cases) {
    const w = wire();
    assert.equal(w.pass('a', content).to, DROPPED, reason);
    // What ends at the link is no drop in the totals.
    const dropped = reason === 'link-scope' ? 0 : 1;
    assert.deepEqual(w.rig.counts, [`a egress: 0 passed, ${dropped} dropped (${reason} 1)`]);
  }
});

/** The destination address of the next frame to `to`: what has been learned of it. */
function nextDestination(w: Wire, to: 'a' | 'b'): string {
  const [from, src, dst] = to === 'a' ? ['b', B, A] : ['a', A, B];
  const packet = tcp4(src, dst, { srcPort: 9, dstPort: 9, flags: 'S' });
  return w.pass(from, frame(packet, MAC_B, GATEWAY)).frame.slice(0, 12);
}

test('the address of an instance is learned from what bears an address of its own', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['ARP request', arpFrame({})],
    ['ARP announcement', arpFrame({ targetIp: A })],
    ['solicitation', solicitation({})],
    ['packet', frame(udp4(A, B, { srcPort: 1, dstPort: 2 }), MAC_A, GATEWAY)],
    ['ARP reply', arpFrame({ operation: 'reply' })],
    [
      'advertisement',
      frame(
        ndNeighborAdvertisement({ src: A6, dst: B6, target: A6, targetMac: MAC_A }),
        MAC_A,
        GATEWAY,
      ),
    ],
  ];
  for (const [what, content] of cases) {
    const w = wire();
    assert.equal(nextDestination(w, 'a'), toHex(macBytes(INSTANCE_MAC)), what);
    w.pass('a', content);
    assert.equal(nextDestination(w, 'a'), toHex(macBytes(MAC_A)), what);
  }
});

test('nothing is learned from a frame that is refused', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['neighbour-spoof', arpFrame({ senderIp: B, targetIp: OUT })],
    ['neighbour-spoof', solicitation({ src: B6, target: OUT6 })],
    ['neighbour-spoof', arpFrame({ operation: 'reply', senderIp: B })],
    [
      'neighbour-spoof',
      frame(
        ndNeighborAdvertisement({ src: B6, dst: A6, target: B6, targetMac: MAC_A }),
        MAC_A,
        GATEWAY,
      ),
    ],
    // The host whose bridge a virtual machine's TAP is on says such things, too.
    ['link-scope', solicitation({ src: '::', target: A6 })],
    ['link-scope', arpFrame({ senderIp: ZERO, targetIp: A })],
    ['link-scope', frame(udp4(A, '224.0.0.251', { srcPort: 5353, dstPort: 5353 }), MAC_A, GATEWAY)],
    ['source-check', frame(udp4(OUT, B, { srcPort: 1, dstPort: 2 }), MAC_A, GATEWAY)],
  ];
  for (const [reason, content] of cases) {
    const w = wire();
    w.pass('a', content);
    // What ends at the link is no drop in the totals.
    const dropped = reason === 'link-scope' ? 0 : 1;
    assert.deepEqual(w.rig.counts, [`a egress: 0 passed, ${dropped} dropped (${reason} 1)`]);
    assert.equal(nextDestination(w, 'a'), toHex(macBytes(INSTANCE_MAC)), reason);
  }
});

test('a TAP uplink is answered for the interfaces here and for no other address', () => {
  const w = wire(['uplink']);
  assert.equal(
    w.pass('uplink', arpFrame({ senderIp: OUT, targetIp: A }, MAC_UP)).frame,
    toHex(
      arpFrame(
        { operation: 'reply', senderMac: GATEWAY, senderIp: A, targetMac: MAC_UP, targetIp: OUT },
        GATEWAY,
        MAC_UP,
        0,
      ),
    ),
  );
  assert.equal(
    w.pass('uplink', solicitation({ src: OUT6, target: A6 }, MAC_UP)).frame,
    advertisement(A6, OUT6, MAC_UP),
  );
  assert.deepEqual(w.rig.counts, []);
  for (const content of [
    arpFrame({ senderIp: OUT, targetIp: '198.51.100.9' }, MAC_UP),
    solicitation({ src: OUT6, target: '2001:db8:51::9' }, MAC_UP),
  ])
    assert.equal(w.pass('uplink', content).to, DROPPED);
  assert.deepEqual(w.rig.counts, ['uplink ingress: 0 passed, 0 dropped (link-scope 2)']);
});

test("a stranger who bears an interface's address on a TAP uplink is spoofing", () => {
  const w = wire(['uplink']);
  for (const content of [
    arpFrame({ senderIp: A, targetIp: B }, MAC_UP),
    solicitation({ src: A6, target: B6 }, MAC_UP),
  ])
    assert.equal(w.pass('uplink', content).to, DROPPED);
  assert.deepEqual(w.rig.counts, ['uplink ingress: 0 passed, 2 dropped (neighbour-spoof 2)']);
});

/** Of an instance that nobody knows yet, and of the uplink: what is written beside the batch. */
function takeSettled(w: Wire, nowMs: number): string[] {
  const { link, rig } = w;
  link.settle(rig.engine.counters, nowMs);
  const { slots, ready, arena } = link.waiting;
  return Array.from({ length: ready }, (_, i) => {
    const [at, length, port] = slots.subarray(3 * i);
    return `${port} ${toHex(arena.subarray(at + 10, at + length))}`;
  });
}

test('packets for an instance that has said nothing wait while it is asked, and leave in order', () => {
  for (const [src, dst, reply] of [
    [B, A, arpFrame({ operation: 'reply' }, MAC_A, GATEWAY)],
    [
      B6,
      A6,
      frame(
        ndNeighborAdvertisement({ src: A6, dst: B6, target: A6, targetMac: MAC_A }),
        MAC_A,
        GATEWAY,
      ),
    ],
  ] as const) {
    const w = wire();
    w.link.startPort(1, 0xffff, -1, 0);
    const make = src === B ? tcp4 : tcp6;
    const packets = [1, 2].map((srcPort) => make(src, dst, { srcPort, dstPort: 9, flags: 'S' }));
    for (const packet of packets)
      assert.equal(w.pass('b', frame(packet, MAC_B, GATEWAY)).to, DROPPED, 'not in this batch');
    const group = `3333${toHex(solicitedNode(A6).subarray(12))}`;
    const question =
      src === B
        ? arpFrame({ senderMac: GATEWAY, senderIp: B, targetIp: A }, GATEWAY, MAC_BROADCAST, 0)
        : frame(
            ndNeighborSolicitation({ src: B6, target: A6, sourceMac: GATEWAY }),
            GATEWAY,
            macBytes(hex(group)),
          );
    assert.deepEqual(takeSettled(w, 0), [`1 ${toHex(question)}`]);
    assert.deepEqual(takeSettled(w, 999), [], 'once a second');
    assert.deepEqual(takeSettled(w, 1000), [`1 ${toHex(question)}`]);
    w.pass('a', reply);
    assert.deepEqual(
      takeSettled(w, 1001),
      packets.map((packet) => `1 ${toHex(frame(packet, GATEWAY, MAC_A))}`),
    );
    assert.equal(w.link.waiting.count, 0);
  }
});

test('what waits in vain, and what there is no room for, is dropped as unresolved', () => {
  const w = wire();
  w.link.startPort(1, 0xffff, -1, 0);
  for (let srcPort = 1; srcPort <= 10; srcPort++)
    w.pass('b', frame(udp4(B, A, { srcPort, dstPort: 9 }), MAC_B, GATEWAY));
  assert.equal(w.link.waiting.count, 8);
  assert.deepEqual(w.rig.counts.at(0), 'a ingress: 8 passed, 2 dropped (unresolved 2)');
  takeSettled(w, 2999);
  assert.equal(w.link.waiting.count, 8);
  takeSettled(w, 3000);
  assert.equal(w.link.waiting.count, 0);
  assert.deepEqual(w.rig.counts.at(0), 'a ingress: 0 passed, 10 dropped (unresolved 10)');
});

test('what waits is given up when the policy changes', () => {
  const w = wire();
  w.link.startPort(1, 0xffff, -1, 0);
  w.pass('b', frame(udp4(B, A, { srcPort: 1, dstPort: 9 }), MAC_B, GATEWAY));
  w.link.setPolicy(w.rig.policy);
  w.pass('a', arpFrame({ operation: 'reply' }, MAC_A, GATEWAY));
  takeSettled(w, 1);
  assert.deepEqual(w.rig.counts.at(0), 'a ingress: 0 passed, 1 dropped (unresolved 1)');
});
