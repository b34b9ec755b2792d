/** DHCP, DHCPv6 and router advertisements: who is answered, with which bytes, and who is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lease } from '../../src/wire/lease.ts';
import {
  addressBytes,
  bytes,
  concat,
  hex,
  icmp6,
  ndNeighborAdvertisement,
  toHex,
  udp4,
  udp6,
} from '../packets/build.ts';
import {
  dhcp4Frame,
  dhcp6Frame,
  iaNa,
  LINK_LOCAL,
  option6,
  solicitRouter,
  type Option6,
} from '../packets/dhcp.ts';
import { readAnswer, type ReadAnswer } from '../packets/read-dhcp.ts';
import { requireScapy } from '../support/scapy.ts';
import { run } from '../support/process.ts';
import { DROPPED, frame, GATEWAY, vnetHeader, Wire } from './frames.ts';

const A = '10.0.0.11';
const A6 = 'fd00:10::11';
const B = '10.0.0.12';
const B6 = 'fd00:10::12';
const ROUTER = '10.0.0.1';
const ROUTER_6 = 'fe80000000000000007367fffe000001';
const MAC_A = '06:00:00:00:00:0a';
const MAC_B = '06:00:00:00:00:0b';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const XID = '01234567';
const SERVER_ID = '00030001027367000001';
const CLIENT_ID = hex('00030001 06000000000a');
const HOUR = '00000e10';

const OPEN = {
  groups: { open: { ingress: ['all from 0.0.0.0/0', 'all from ::/0'] } },
  interfaces: {
    a: { addresses: [A, A6], groups: ['open'] },
    b: { addresses: [B, B6], groups: ['open'] },
  },
};

function words(address: string): number[] {
  const view = new DataView(Uint8Array.from(addressBytes(address)).buffer);
  return Array.from({ length: view.byteLength / 4 }, (_, i) => view.getInt32(4 * i));
}

const LEASE: Lease = {
  ipv4: {
    address: words(A)[0],
    prefixLength: 24,
    router: words(ROUTER)[0],
    dns: [words('10.0.0.2')[0], words('10.0.0.3')[0]],
  },
  ipv6: { address: words(A6), dns: words('fd00:10::2') },
};

function wire(lease: Lease | null = LEASE, mtu = 1400): Wire {
  const w = new Wire(OPEN, ['a', 'b']);
  w.link.leases.set(w.portOf('a'), lease, mtu);
  return w;
}

/** What a frame from `a` is answered; it must go nowhere else, and to nobody else. */
function ask(content: Uint8Array, w = wire()): ReadAnswer | undefined {
  assert.equal(w.pass('a', content).to, DROPPED, 'nothing goes on');
  assert.deepEqual(w.rig.counts, [], 'it is no packet that passed or was dropped');
  const answers = w.takeAnswers();
  assert.ok(answers.length <= 1);
  if (answers.length === 0) return undefined;
  assert.equal(answers[0].to, 'a');
  assert.equal(answers[0].vnet, toHex(vnetHeader()));
  return readAnswer(hex(answers[0].frame));
}

function dropReason(content: Uint8Array, w = wire()): string {
  assert.equal(w.pass('a', content).to, DROPPED);
  assert.deepEqual(w.takeAnswers(), []);
  return w.rig.counts.join();
}

const dropped = (reason: string): string => `a egress: 0 passed, 1 dropped (${reason} 1)`;
const LINK_SCOPE = 'a egress: 0 passed, 0 dropped (link-scope 1)';
const requested = (address: string): [number, Uint8Array] => [50, addressBytes(address)];
const server = (address: string): [number, Uint8Array] => [54, addressBytes(address)];

const PARAMETERS = ['1 ffffff00', '3 0a000001', '6 0a0000020a000003', '26 0578'];
const GIVEN = ['54 0a000001', `51 ${HOUR}`, ...PARAMETERS];

test('DISCOVER is offered the interface, its router, DNS and MTU', () => {
  assert.deepEqual(ask(dhcp4Frame({ type: 1 })), {
    toMac: MAC_A,
    ...{ from: ROUTER, to: A, kind: 'dhcp', type: 2, xid: XID },
    fixed: `0.0.0.0 ${A} 0000 06000000000a`,
    options: GIVEN,
  });
});

test('who asks for broadcasts gets one, and what it says of itself comes back', () => {
  const id: [number, Uint8Array] = [61, hex('01 06000000000a')];
  assert.deepEqual(ask(dhcp4Frame({ type: 1, flags: 0x8000, options: [id] })), {
    toMac: BROADCAST,
    ...{ from: ROUTER, to: '255.255.255.255', kind: 'dhcp', type: 2, xid: XID },
    fixed: `0.0.0.0 ${A} 8000 06000000000a`,
    options: ['54 0a000001', '61 0106000000000a', ...GIVEN.slice(1)],
  });
});

test('an address without a subnet comes as /32, with a route to its router', () => {
  const lease = { ipv4: { ...LEASE.ipv4!, prefixLength: 32, dns: [] }, ipv6: undefined };
  assert.deepEqual(ask(dhcp4Frame({ type: 1 }), wire(lease, 0))?.options, [
    ...['54 0a000001', `51 ${HOUR}`, '1 ffffffff', '3 0a000001'],
    '121 200a00000100000000000a000001',
  ]);
});

test('REQUEST is acknowledged for the address of the interface, in each state of a client', () => {
  const cases: readonly [string, Uint8Array, string][] = [
    ['selecting', dhcp4Frame({ type: 3, options: [requested(A), server(ROUTER)] }), '0.0.0.0'],
    ['rebooting', dhcp4Frame({ type: 3, options: [requested(A)] }), '0.0.0.0'],
    ['renewing', dhcp4Frame({ type: 3, ciaddr: A }, { src: A, dst: ROUTER }), A],
    ['rebinding', dhcp4Frame({ type: 3, ciaddr: A }, { src: A }), A],
  ];
  for (const [state, content, ciaddr] of cases)
    assert.deepEqual(
      ask(content),
      {
        toMac: MAC_A,
        ...{ from: ROUTER, to: A, kind: 'dhcp', type: 5, xid: XID },
        fixed: `${ciaddr} ${A} 0000 06000000000a`,
        options: GIVEN,
      },
      state,
    );
});

test('REQUEST for any other address is refused, and one to another server is not answered', () => {
  for (const o of [{ options: [requested(B)] }, { ciaddr: B }])
    assert.deepEqual(ask(dhcp4Frame({ type: 3, ...o })), {
      toMac: BROADCAST,
      ...{ from: ROUTER, to: '255.255.255.255', kind: 'dhcp', type: 6, xid: XID },
      fixed: '0.0.0.0 0.0.0.0 0000 06000000000a',
      options: ['54 0a000001'],
    });
  assert.equal(ask(dhcp4Frame({ type: 3, options: [requested(A), server(B)] })), undefined);
});

test('INFORM gets the parameters without a lease; RELEASE and DECLINE get nothing', () => {
  assert.deepEqual(ask(dhcp4Frame({ type: 8, ciaddr: A }, { src: A })), {
    toMac: MAC_A,
    ...{ from: ROUTER, to: A, kind: 'dhcp', type: 5, xid: XID },
    fixed: `${A} 0.0.0.0 0000 06000000000a`,
    options: ['54 0a000001', ...PARAMETERS],
  });
  assert.equal(ask(dhcp4Frame({ type: 8, ciaddr: B }, { src: B }))?.to, '255.255.255.255');
  for (const type of [4, 7]) assert.equal(ask(dhcp4Frame({ type, ciaddr: A })), undefined);
});

test('malformed DHCP drops as bad-dhcp', () => {
  const cases: readonly [string, Uint8Array][] = [
    ['no type (BOOTP)', dhcp4Frame({})],
    ['of a server', dhcp4Frame({ type: 2, op: 2 })],
    ['a type of servers', dhcp4Frame({ type: 5 })],
    ['an unknown type', dhcp4Frame({ type: 13 })],
    ['another cookie', dhcp4Frame({ type: 1, cookie: '63825364' })],
    ['by a relay', dhcp4Frame({ type: 1, giaddr: '10.0.0.9' })],
    ['that was relayed', dhcp4Frame({ type: 1, hops: 1 })],
    ["another host's", dhcp4Frame({ type: 1, chaddr: MAC_B })],
    ['an option without a length', dhcp4Frame({ type: 1, tail: bytes(12) })],
    ['an option beyond the end', dhcp4Frame({ type: 1, tail: bytes(12, 4, 1, 1) })],
    ['a type of two bytes', dhcp4Frame({ options: [[53, bytes(1, 1)]] })],
    ['a short address', dhcp4Frame({ type: 3, options: [[50, bytes(10, 0, 0)]] })],
    ['a short server', dhcp4Frame({ type: 3, options: [[54, bytes(10)]] })],
    ['an empty client id', dhcp4Frame({ type: 1, options: [[61, bytes()]] })],
    ['a long client id', dhcp4Frame({ type: 1, options: [[61, new Uint8Array(136)]] })],
    ['a request for nothing', dhcp4Frame({ type: 3 })],
  ];
  for (const [what, content] of cases) assert.equal(dropReason(content), dropped('bad-dhcp'), what);
  const short = udp4('0.0.0.0', '255.255.255.255', {
    ...{ srcPort: 68, dstPort: 67, payload: new Uint8Array(239) },
  });
  assert.equal(dropReason(frame(short, MAC_A, BROADCAST)), dropped('bad-dhcp'));
});

test('what is no question to this server goes on: to the link, or to the gates', () => {
  assert.equal(dropReason(dhcp4Frame({ type: 1 }, { srcPort: 67 })), LINK_SCOPE, 'a relay');
  const other = dhcp4Frame({ type: 3, ciaddr: A }, { src: A, dst: B });
  const w = wire();
  assert.equal(w.pass('a', other).to, 'b', 'a server elsewhere');
  for (const lease of [null, { ipv4: undefined, ipv6: LEASE.ipv6 }])
    assert.equal(dropReason(dhcp4Frame({ type: 1 }), wire(lease)), LINK_SCOPE, 'not served');
  const only4 = wire({ ipv4: LEASE.ipv4, ipv6: undefined });
  assert.equal(dropReason(solicitRouter(), only4), LINK_SCOPE);
});

const client: Option6 = [1, CLIENT_ID];
const ours: Option6 = [2, hex(SERVER_ID)];
const A6_HEX = toHex(addressBytes(A6));
const GIVEN_6 = `3 00000007${'00000708'}${'00000b40'} [5 ${A6_HEX}${HOUR}${HOUR}]`;
const DNS_6 = `23 ${toHex(addressBytes('fd00:10::2'))}`;
const HEAD_6 = [`2 ${SERVER_ID}`, `1 ${toHex(CLIENT_ID)}`];

test('DHCPv6 gives the address of the interface', () => {
  const cases: readonly [type: number, answer: number, options: Option6[]][] = [
    [1, 2, [client, iaNa(7, [])]],
    [3, 7, [client, ours, iaNa(7, [])]],
    [5, 7, [client, ours, iaNa(7, [A6])]],
    [6, 7, [client, iaNa(7, [A6]), iaNa(8, [])]],
  ];
  for (const [type, answer, options] of cases)
    assert.deepEqual(ask(dhcp6Frame({ type, options })), {
      toMac: MAC_A,
      ...{ from: ROUTER_6, to: toHex(addressBytes(LINK_LOCAL)), fixed: '' },
      ...{ kind: 'dhcpv6', type: answer, xid: '123456' },
      options: [...HEAD_6, GIVEN_6, DNS_6],
    });
});

test("DHCPv6 ends what isn't the interface's, and says whether an address is right", () => {
  const renewed = ask(dhcp6Frame({ type: 5, options: [client, ours, iaNa(7, [B6, A6])] }));
  const stray = `5 ${toHex(addressBytes(B6))}${'00'.repeat(8)}`;
  assert.equal(renewed?.options[2], GIVEN_6.replace(']', `, ${stray}]`));
  const confirm = (addresses: string[]): ReadAnswer | undefined =>
    ask(dhcp6Frame({ type: 4, options: [client, iaNa(7, addresses)] }));
  assert.deepEqual(confirm([A6])?.options, [...HEAD_6, '13 0000']);
  assert.deepEqual(confirm([A6, B6])?.options, [...HEAD_6, '13 0004']);
  assert.equal(confirm([]), undefined);
  for (const type of [8, 9])
    assert.deepEqual(ask(dhcp6Frame({ type, options: [client, ours, iaNa(7, [A6])] }))?.options, [
      ...HEAD_6,
      '13 0000',
    ]);
  assert.deepEqual(ask(dhcp6Frame({ type: 11 }))?.options, [`2 ${SERVER_ID}`, DNS_6]);
});

test('DHCPv6 that asks another server, or for a prefix only, is not answered', () => {
  const other: Option6 = [2, hex('00030001027367000002')];
  assert.equal(ask(dhcp6Frame({ type: 3, options: [client, other, iaNa(7, [])] })), undefined);
  const prefix: Option6 = [25, new Uint8Array(12)];
  assert.equal(ask(dhcp6Frame({ type: 1, options: [client, prefix] })), undefined);
});

test('malformed DHCPv6 drops as bad-dhcp', () => {
  const association = iaNa(7, [])[1];
  const cases: readonly [string, Uint8Array][] = [
    ['no client', dhcp6Frame({ type: 1, options: [iaNa(7, [])] })],
    ['a server where none is known', dhcp6Frame({ type: 1, options: [client, ours] })],
    ['no server', dhcp6Frame({ type: 3, options: [client, iaNa(7, [])] })],
    ['of a server', dhcp6Frame({ type: 7, options: [client, ours] })],
    ['of a relay', dhcp6Frame({ type: 12, tail: new Uint8Array(32) })],
    ['an unknown type', dhcp6Frame({ type: 0, options: [client] })],
    ['an empty client id', dhcp6Frame({ type: 1, options: [[1, bytes()]] })],
    ['a long client id', dhcp6Frame({ type: 1, options: [[1, new Uint8Array(131)]] })],
    ['a long server id', dhcp6Frame({ type: 3, options: [client, [2, new Uint8Array(131)]] })],
    ['a short association', dhcp6Frame({ type: 1, options: [client, [3, new Uint8Array(11)]] })],
    [
      'a short address',
      dhcp6Frame({ type: 1, options: [client, [3, concat(association, option6([5, bytes(1)]))]] }),
    ],
    [
      'an address beyond its association',
      dhcp6Frame({ type: 1, options: [client, [3, concat(association, hex('0005 0018 00'))]] }),
    ],
    ['an option without a length', dhcp6Frame({ type: 1, options: [client], tail: bytes(0, 3) })],
    ['an option beyond the end', dhcp6Frame({ type: 1, tail: hex('0001 0009 00') })],
    ['a question about addresses', dhcp6Frame({ type: 11, options: [client, iaNa(7, [])] })],
  ];
  for (const [what, content] of cases) assert.equal(dropReason(content), dropped('bad-dhcp'), what);
  const short = udp6(LINK_LOCAL, 'ff02::1:2', { srcPort: 546, dstPort: 547, payload: 'abc' });
  assert.equal(dropReason(frame(short, MAC_A, BROADCAST)), dropped('bad-dhcp'));
});

test('a router solicitation is answered: managed, no prefix, MTU and DNS', () => {
  const options = [
    '40c023280000000000000000',
    '1 027367000001',
    '5 000000000578',
    `25 0000${HOUR}${toHex(addressBytes('fd00:10::2'))}`,
  ];
  const own = { kind: 'router', type: 134, xid: '', fixed: '', from: ROUTER_6, options };
  const to = toHex(addressBytes(LINK_LOCAL));
  assert.deepEqual(ask(solicitRouter({ options: '0101 06000000000a' })), {
    ...{ toMac: MAC_A, to },
    ...own,
  });
  // From no address, and from one that may be another's: to whoever is on the link.
  for (const src of ['::', A6, B6])
    assert.deepEqual(ask(solicitRouter({ src })), {
      ...{ toMac: '33:33:00:00:00:01', to: toHex(addressBytes('ff02::1')) },
      ...own,
    });
});

test('router solicitations that are malformed, or from beyond the link', () => {
  assert.equal(dropReason(solicitRouter({ hopLimit: 254 })), LINK_SCOPE);
  for (const o of [{ code: 1 }, { options: '0100 000000000000' }, { options: '0102 06000000000a' }])
    assert.equal(dropReason(solicitRouter(o)), dropped('bad-dhcp'));
});

test('advertisements by themselves go to those that have asked and have an IPv6 lease', () => {
  const w = wire();
  const a = w.portOf('a');
  w.link.leases.set(w.portOf('b'), LEASE, 1400);
  const told = (): string[] => {
    assert.equal(w.link.leases.advertiseFrom(0), -1);
    return w.takeAnswers().map(({ to, frame: text }) => `${to} ${readAnswer(hex(text)).toMac}`);
  };
  ask(dhcp4Frame({ type: 1 }), w);
  assert.equal(w.link.leases.advertises, false);
  assert.deepEqual(told(), []);
  ask(solicitRouter(), w);
  assert.equal(w.link.leases.advertises, true);
  assert.deepEqual(told(), ['a 33:33:00:00:00:01']);
  w.link.leases.set(a, { ...LEASE, ipv6: undefined }, 1400);
  assert.deepEqual(told(), []);
  w.link.leases.set(a, LEASE, 1400);
  assert.deepEqual(told(), ['a 33:33:00:00:00:01']);
  w.link.leases.set(a, null, 0);
  w.link.leases.set(a, LEASE, 1400);
  assert.deepEqual(told(), [], 'another instance');
});

test("frames from another MAC address than the interface's are not answered", () => {
  const w = wire();
  w.link.fixMac(w.portOf('a'), true, 0x0600, 0x0b);
  assert.equal(dropReason(dhcp4Frame({ type: 1 }), w), dropped('mac-spoof'));
});

test('a question teaches nothing about where the address is', () => {
  const w = wire();
  const elsewhere = '06:00:00:00:00:99';
  w.pass('a', dhcp4Frame({ type: 1, chaddr: elsewhere }, { mac: elsewhere }));
  assert.equal(readAnswer(hex(w.takeAnswers()[0].frame)).toMac, elsewhere);
  const { frame: passed } = w.pass(
    'b',
    frame(udp4(B, A, { srcPort: 1, dstPort: 2 }), MAC_B, GATEWAY),
  );
  assert.equal(passed.slice(0, 12), '0600000000ff');
});

test('an instance that offers leases or routes reaches nobody', () => {
  const offer = { srcPort: 67, dstPort: 68, payload: 'offer' };
  const reply6 = { srcPort: 547, dstPort: 546, payload: 'reply' };
  const advertisement = icmp6(LINK_LOCAL, 'ff02::1', { type: 134 }, { hopLimit: 255 });
  const cases: readonly Uint8Array[] = [
    udp4(A, '255.255.255.255', offer),
    udp4(A, B, offer),
    udp6(A6, B6, reply6),
    udp6(LINK_LOCAL, 'fe80::b', reply6),
    advertisement,
  ];
  for (const packet of cases)
    assert.equal(dropReason(frame(packet, MAC_A, GATEWAY)), dropped('rogue-server'));
  // Behind another packet of the same two hosts, whose way it takes without being looked at again.
  const w = wire();
  const plain = udp4(A, B, { srcPort: 1, dstPort: 2 });
  const results = w.receive(
    'a',
    [plain, udp4(A, B, offer)].map((one) => frame(one, MAC_A, GATEWAY)),
  );
  assert.deepEqual(
    results.map(({ to }) => to),
    ['b', DROPPED],
  );
  // Beyond the uplink there are other networks, and their servers.
  assert.equal(w.pass('a', frame(udp4(A, '198.51.100.7', offer), MAC_A, GATEWAY)).to, 'uplink');
  assert.equal(w.pass('uplink', udp4('198.51.100.7', A, offer)).to, 'a');
});

test("an advertisement of the router's address teaches nothing", () => {
  const w = wire();
  const claim = ndNeighborAdvertisement({
    ...{ src: LINK_LOCAL, dst: LINK_LOCAL, target: 'fe80::73:67ff:fe00:1', targetMac: MAC_A },
  });
  assert.equal(dropReason(frame(claim, MAC_A, GATEWAY), w), LINK_SCOPE);
});

test('more questions than there is room for answers end at the link', () => {
  const w = wire();
  const content = dhcp4Frame({ type: 1 });
  const results = w.receive(
    'a',
    Array.from({ length: 40 }, () => content),
  );
  assert.ok(results.every(({ to }) => to === DROPPED));
  assert.equal(w.takeAnswers().length, 32);
  assert.deepEqual(w.rig.counts, ['a egress: 0 passed, 0 dropped (link-scope 8)']);
  // What is no question passes also then.
  const echo = frame(icmp6(A6, B6, { type: 128 }), MAC_A, GATEWAY);
  const mixed = w.receive('a', [...Array.from({ length: 33 }, () => content), echo]);
  assert.equal(mixed[33].to, 'b');
});

const DISSECT = `
import json, sys, logging
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import Ether, BOOTP, DHCP, IP, UDP
from scapy.layers.dhcp6 import *
from scapy.layers.inet6 import *
for line in sys.stdin:
    p = Ether(bytes.fromhex(line.strip()))
    if BOOTP in p:
        o = {x[0]: x[1:] for x in p[DHCP].options if isinstance(x, tuple)}
        print(json.dumps([p[BOOTP].yiaddr, o['message-type'], o['subnet_mask'], o['router'], o['name_server'], o['interface-mtu'], o['lease_time'], o['server_id'], o['classless_static_routes']]))
    elif DHCP6_Reply in p:
        a = p[DHCP6OptIAAddress]
        print(json.dumps([a.addr, a.preflft, a.validlft, p[DHCP6OptIA_NA].iaid, p[DHCP6OptIA_NA].T1, p[DHCP6OptServerId].duid.lladdr, p[DHCP6OptDNSServers].dnsservers]))
    else:
        r = p[ICMPv6ND_RA]
        print(json.dumps([p[IPv6].src, r.M, r.O, r.routerlifetime, r.chlim, r[ICMPv6NDOptMTU].mtu, r[ICMPv6NDOptSrcLLAddr].lladdr, r[ICMPv6NDOptRDNSS].dns]))
`;

test('Scapy reads the same in the answers', async (t) => {
  const python = await requireScapy(t);
  if (python === undefined) return;
  const alone = { ...LEASE, ipv4: { ...LEASE.ipv4!, prefixLength: 32 } };
  const w = wire(alone);
  w.pass('a', dhcp4Frame({ type: 3, options: [requested(A)] }));
  w.pass('a', dhcp6Frame({ type: 3, options: [client, ours, iaNa(7, [])] }));
  w.pass('a', solicitRouter());
  const input = w
    .takeAnswers()
    .map(({ frame: bytesText }) => `${bytesText}\n`)
    .join('');
  const { stdout, stderr } = await run(python, ['-c', DISSECT], { input, timeoutMs: 60_000 });
  assert.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
    [
      [A, [5], ['255.255.255.255'], [ROUTER], ['10.0.0.2', '10.0.0.3'], [1400], [3600], [ROUTER], [[`${ROUTER}/32:0.0.0.0`, `0.0.0.0/0:${ROUTER}`]]], // prettier-ignore
      [A6, 3600, 3600, 7, 1800, GATEWAY, ['fd00:10::2']],
      ['fe80::73:67ff:fe00:1', 1, 1, 9000, 64, 1400, GATEWAY, ['fd00:10::2']],
    ],
    stderr,
  );
});
