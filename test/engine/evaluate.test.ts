/** Packets through the two gates: verdict, reason, state and counters for each way out of evaluate(). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ICMP,
  ICMP6,
  fragment6,
  fragments4,
  hopByHop,
  icmp4,
  icmp6,
  icmpError4,
  icmpError6,
  ipv4,
  ipv6,
  PROTOCOL,
  routing,
  tcp4,
  tcp6,
  udp4,
  udp6,
  udp,
} from '../packets/build.ts';
import { Conversation } from './conversation.ts';
import { Rig } from './rig.ts';

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const DB = '10.0.0.13';
const WEB6 = 'fd00:10::11';
const APP6 = 'fd00:10::12';
const OUT = '198.51.100.7';
const OUT6 = '2001:db8:51::7';

const THREE_TIERS = {
  groups: {
    web: {
      ingress: [
        'tcp 80 from 0.0.0.0/0',
        'tcp 80 from ::/0',
        'tcp 22 from 203.0.113.0/24',
        'icmp -1/-1 from 0.0.0.0/0',
      ],
    },
    app: {
      ingress: [
        'tcp 8080 from sg:web',
        'udp 53 from sg:web',
        'icmp 8/-1 from sg:web',
        'icmpv6 128/0 from sg:web',
        '47 from sg:web',
      ],
    },
    db: { ingress: ['tcp 5432 from sg:app'], egress: [] },
  },
  interfaces: {
    web: { addresses: [WEB, WEB6], groups: ['web'] },
    app: { addresses: [APP, APP6], groups: ['app'] },
    db: { addresses: [DB], groups: ['db'] },
  },
};

const syn = (a: string, b: string, dstPort: number, srcPort = 40000): Uint8Array =>
  tcp4(a, b, { srcPort, dstPort, flags: 'S' });
const ack = (a: string, b: string, srcPort: number, dstPort: number, flags = 'A'): Uint8Array =>
  tcp4(a, b, { srcPort, dstPort, flags });

test('a connection that both gates admit passes, each gate with its own entry, and replies need no rule', () => {
  const rig = new Rig(THREE_TIERS);
  const talk = new Conversation(WEB, 40000, APP, 8080);
  assert.equal(rig.send('web', talk.syn()), 'app');
  assert.deepEqual(rig.states, ['syn-sent', 'syn-sent']);
  assert.equal(rig.send('app', talk.synAck()), 'web');
  assert.equal(rig.send('web', talk.ack('client')), 'app');
  assert.deepEqual(rig.states, ['established', 'established']);
  assert.deepEqual(rig.counts, [
    'web ingress: 1 passed, 0 dropped',
    'web egress: 2 passed, 0 dropped',
    'app ingress: 2 passed, 0 dropped',
    'app egress: 1 passed, 0 dropped',
  ]);
});

test('the receiver decides for itself: an egress that admits all does not open another group', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(rig.send('web', syn(WEB, DB, 5432)), 'ingress-rules');
  assert.equal(rig.send('app', syn(APP, DB, 5432)), 'db');
  assert.equal(rig.send('app', syn(APP, DB, 5433)), 'ingress-rules');
  assert.equal(rig.send('uplink', syn(OUT, DB, 5432)), 'ingress-rules');
});

test('an instance without egress rules is mute, but its replies leave', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(rig.send('db', syn(DB, OUT, 443)), 'egress-rules');
  assert.equal(rig.send('db', udp4(DB, OUT, { srcPort: 5000, dstPort: 53 })), 'egress-rules');
  assert.equal(rig.send('db', icmp4(DB, OUT, { type: ICMP.echo })), 'egress-rules');
  assert.equal(rig.send('app', syn(APP, DB, 5432)), 'db');
  assert.equal(rig.send('db', ack(DB, APP, 5432, 40000, 'SA')), 'app');
});

test('both orders of two local interfaces give the same verdict', () => {
  const names = Object.keys(THREE_TIERS.interfaces) as (keyof typeof THREE_TIERS.interfaces)[];
  const orders = names.flatMap((a) =>
    names
      .filter((b) => b !== a)
      .map((b) => [a, b, ...names.filter((c) => c !== a && c !== b)] as const),
  );
  for (const order of orders) {
    const interfaces = Object.fromEntries(
      order.map((name) => [name, THREE_TIERS.interfaces[name]]),
    );
    const rig = new Rig({ ...THREE_TIERS, interfaces });
    assert.equal(rig.send('web', syn(WEB, DB, 5432)), 'ingress-rules', order.join());
    assert.equal(rig.send('app', syn(APP, DB, 5432)), 'db', order.join());
    assert.equal(rig.send('db', syn(DB, APP, 8080)), 'egress-rules', order.join());
  }
});

test('a flow that a rule for everywhere admits, with everything open the other way, is untracked', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(rig.send('uplink', syn(OUT, WEB, 80)), 'web');
  assert.equal(rig.send('web', ack(WEB, OUT, 80, 40000, 'SA')), 'uplink');
  assert.equal(
    rig.send('uplink', tcp6(OUT6, WEB6, { srcPort: 40000, dstPort: 80, flags: 'S' })),
    'web',
  );
  assert.deepEqual(rig.states, [], 'port 80 from anywhere leaves no entry in either direction');
  assert.equal(rig.send('uplink', syn('203.0.113.1', WEB, 22)), 'web');
  assert.equal(rig.send('uplink', icmp4(OUT, WEB, { type: ICMP.echo })), 'web');
  assert.equal(rig.send('web', syn(WEB, OUT, 443)), 'uplink');
  assert.deepEqual(
    rig.states,
    ['icmp', 'syn-sent', 'syn-sent'],
    'ssh, ping and what the instance opens are tracked',
  );
});

test('without all-egress the same flow is tracked, and each family is judged on its own', () => {
  const rig = new Rig({
    groups: {
      web: { ingress: ['tcp 80 from 0.0.0.0/0', 'tcp 80 from ::/0'], egress: ['all to ::/0'] },
    },
    interfaces: { web: { addresses: [WEB, WEB6], groups: ['web'] } },
  });
  rig.send('uplink', syn(OUT, WEB, 80));
  rig.send('uplink', tcp6(OUT6, WEB6, { srcPort: 40000, dstPort: 80, flags: 'S' }));
  assert.deepEqual(rig.states, ['syn-sent']);
  assert.equal(rig.send('web', ack(WEB, OUT, 80, 40000, 'SA')), 'uplink');
});

test('spoofed sources are refused before any rule or flow is asked', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(rig.send('app', syn(APP, DB, 5432)), 'db');
  assert.equal(
    rig.send('web', syn(APP, DB, 5432)),
    'source-check',
    "an instance with another's address, on a tracked tuple",
  );
  assert.equal(rig.send('web', tcp6(APP6, OUT6, { srcPort: 1, dstPort: 2 })), 'source-check');
  assert.equal(
    rig.send('uplink', syn(APP, DB, 5432)),
    'uplink-spoof',
    'a stranger with a member address',
  );
  for (const bad of ['127.0.0.1', '224.0.0.1', '0.0.0.0', '255.255.255.255'])
    assert.equal(rig.send('uplink', syn(bad, WEB, 80)), 'martian', bad);
  for (const bad of ['::1', '::', 'ff02::1', '::ffff:a00:b']) {
    assert.equal(
      rig.send('uplink', tcp6(bad, WEB6, { srcPort: 1, dstPort: 80, flags: 'S' })),
      'martian',
      bad,
    );
  }
  assert.equal(rig.send('web', syn(WEB, '127.0.0.1', 80)), 'martian');
});

test('without a source check an instance may send for others, as a router does', () => {
  const rig = new Rig({
    groups: { nat: {} },
    interfaces: { nat: { addresses: [WEB], groups: ['nat'], sourceDestCheck: false } },
  });
  assert.equal(rig.send('nat', syn('192.0.2.9', OUT, 80)), 'uplink');
});

test('link scope ends at the link: neighbour discovery, multicast, DHCP, from an address or none', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(
    rig.send('web', icmp6('::', 'ff02::2', { type: ICMP6.routerSolicitation })),
    'link-scope',
  );
  assert.equal(
    rig.send('web', udp6('fe80::1', 'fe80::2', { srcPort: 1, dstPort: 2 })),
    'link-scope',
  );
  assert.equal(
    rig.send('web', udp4('0.0.0.0', '255.255.255.255', { srcPort: 68, dstPort: 67 })),
    'link-scope',
  );
  assert.equal(
    rig.send('uplink', udp4(OUT, '239.1.1.1', { srcPort: 1, dstPort: 2 })),
    'link-scope',
  );
});

test('nowhere to go', () => {
  assert.equal(
    new Rig(THREE_TIERS, { hasUplink: false }).send('web', syn(WEB, OUT, 80)),
    'no-route',
  );
  assert.equal(
    new Rig(THREE_TIERS).send('uplink', syn(OUT, '198.51.100.99', 80)),
    'no-route',
    'the uplink is no transit',
  );
});

test('an instance has no packets for itself: they would find their own flow at the other gate', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(rig.send('web', udp4(WEB, WEB, { srcPort: 5, dstPort: 5 })), 'no-route');
  assert.deepEqual(rig.states, []);
});

test('UDP answers pass; a stranger on the same port does not; a stream lives longer than a question', () => {
  const rig = new Rig(THREE_TIERS);
  const ask = udp4(WEB, APP, { srcPort: 5000, dstPort: 53 });
  const answer = udp4(APP, WEB, { srcPort: 53, dstPort: 5000 });
  assert.equal(rig.send('web', ask, 0), 'app');
  assert.equal(rig.send('app', answer, 100), 'web');
  assert.equal(
    rig.send('uplink', udp4(OUT, WEB, { srcPort: 53, dstPort: 5000 }), 100),
    'ingress-rules',
  );
  assert.deepEqual(rig.states, ['udp', 'udp']);
  assert.equal(
    rig.send('app', answer, 30_200),
    'ingress-rules',
    'a single request and response: 30 s',
  );
  assert.equal(rig.send('web', ask, 40_000), 'app');
  assert.equal(rig.send('app', answer, 40_001), 'web');
  assert.equal(rig.send('web', ask, 40_002), 'app');
  assert.equal(rig.send('app', answer, 40_003), 'web');
  assert.deepEqual(rig.states, ['udp-stream', 'udp-stream']);
  assert.equal(rig.send('app', answer, 40_003 + 180_000), 'web');
  assert.equal(rig.send('app', answer, 40_003 + 180_000 + 180_001), 'ingress-rules');
});

test('ping: the reply belongs to the request by its identifier, and only in its direction', () => {
  const rig = new Rig(THREE_TIERS);
  assert.equal(rig.send('web', icmp4(WEB, APP, { type: ICMP.echo, id: 7 })), 'app');
  assert.equal(rig.send('app', icmp4(APP, WEB, { type: ICMP.echoReply, id: 7 })), 'web');
  const rig6 = new Rig(THREE_TIERS);
  assert.equal(
    rig6.send('app', icmp6(APP6, WEB6, { type: ICMP6.echoReply, id: 7 })),
    'ingress-rules',
    'no request',
  );
  assert.equal(rig6.send('web', icmp6(WEB6, APP6, { type: ICMP6.echo, id: 7 })), 'app');
  assert.equal(
    rig6.send('app', icmp6(APP6, WEB6, { type: ICMP6.echoReply, id: 8 })),
    'ingress-rules',
    'another identifier',
  );
  assert.equal(
    rig6.send('app', icmp6(APP6, WEB6, { type: ICMP6.echo, id: 7 })),
    'ingress-rules',
    'a request back is another flow',
  );
  assert.equal(rig6.send('app', icmp6(APP6, WEB6, { type: ICMP6.echoReply, id: 7 })), 'web');
});

test('an ICMP error about a known flow passes to the sender of what it quotes, and to nobody else', () => {
  const rig = new Rig({
    groups: {
      db: {
        ingress: ['tcp 5432 from 0.0.0.0/0'],
        egress: ['tcp 443 to 0.0.0.0/0', 'tcp 443 to ::/0'],
      },
    },
    interfaces: {
      db: { addresses: [DB, 'fd00:10::13'], groups: ['db'] },
      web: { addresses: [WEB], groups: ['db'] },
    },
  });
  const sent = tcp4(DB, OUT, { srcPort: 40000, dstPort: 443, flags: 'S', payload: 'x'.repeat(40) });
  const unreachable = (to: string, quote: Uint8Array): Uint8Array =>
    icmpError4('192.0.2.1', to, {
      type: ICMP.unreachable,
      code: 4,
      quoted: quote,
      quotedBytes: quote.length,
    });
  assert.equal(rig.send('uplink', unreachable(DB, sent)), 'ingress-rules', 'nothing was sent yet');
  assert.equal(rig.send('db', sent), 'uplink');
  assert.equal(
    rig.send('uplink', unreachable(DB, sent)),
    'db',
    'fragmentation needed, from a router on the path',
  );
  assert.equal(
    rig.send('uplink', unreachable(DB, sent.subarray(0, 28))),
    'db',
    'a quotation of 8 transport bytes',
  );
  assert.equal(
    rig.send('uplink', unreachable(DB, sent.subarray(0, 24))),
    'ingress-rules',
    'a quotation without ports',
  );
  assert.equal(
    rig.send('uplink', unreachable(WEB, sent)),
    'ingress-rules',
    'addressed to somebody else',
  );
  const other = tcp4(DB, OUT, { srcPort: 40001, dstPort: 443, flags: 'S' });
  assert.equal(rig.send('uplink', unreachable(DB, other)), 'ingress-rules', 'another port');
  const nested = unreachable(OUT, sent);
  assert.equal(
    rig.send('uplink', unreachable(DB, nested)),
    'ingress-rules',
    'an error about an error',
  );
  assert.equal(rig.send('uplink', syn(OUT, DB, 5432)), 'db');
  assert.equal(
    rig.send(
      'db',
      icmpError4(DB, OUT, { type: ICMP.unreachable, code: 3, quoted: syn(OUT, DB, 5432) }),
    ),
    'uplink',
    'out, without an ICMP rule',
  );
  const sent6 = tcp6('fd00:10::13', OUT6, { srcPort: 40000, dstPort: 443, flags: 'S' });
  assert.equal(rig.send('db', sent6), 'uplink');
  assert.equal(
    rig.send(
      'uplink',
      icmpError6('2001:db8::1', 'fd00:10::13', { type: ICMP6.packetTooBig, quoted: sent6 }),
    ),
    'db',
  );
});

test('other protocols are tracked by their addresses for 600 s', () => {
  const rig = new Rig(THREE_TIERS);
  const gre = (src: string, dst: string): Uint8Array =>
    ipv4({ src, dst, protocol: PROTOCOL.gre, payload: new Uint8Array(8) });
  assert.equal(rig.send('app', gre(APP, WEB), 0), 'ingress-rules');
  assert.equal(rig.send('web', gre(WEB, APP), 0), 'app');
  assert.equal(rig.send('app', gre(APP, WEB), 600_000), 'web');
  assert.equal(rig.send('app', gre(APP, WEB), 1_200_001), 'ingress-rules');
});

test('TCP from SYN to the end: FIN both ways, RST, what comes after, and a new SYN', () => {
  const rig = new Rig(THREE_TIERS);
  const talk = new Conversation(WEB, 40000, APP, 8080);
  rig.send('web', talk.syn());
  rig.send('app', talk.synAck());
  rig.send('web', talk.ack('client'));
  rig.send('web', talk.fin('client'));
  assert.deepEqual(
    rig.states,
    ['established', 'established'],
    'a half-closed connection stays open',
  );
  assert.equal(rig.send('app', talk.data('server')), 'web', 'and the other side may go on');
  rig.send('app', talk.fin('server'));
  assert.deepEqual(rig.states, ['closing', 'closing']);
  assert.equal(rig.send('web', talk.ack('client'), 1000), 'app', 'the last ACK');
  const again = new Conversation(WEB, 40000, APP, 8080, { client: { next: 7 } });
  assert.equal(rig.send('web', again.syn(), 2000), 'app', 'the port is used again');
  assert.deepEqual(rig.states, ['syn-sent', 'syn-sent']);
  assert.equal(rig.send('app', again.rst('server'), 2001), 'web');
  assert.deepEqual(rig.states, ['closed', 'closed']);
  assert.equal(rig.send('web', again.data('client'), 2002), 'tcp-closed');
  assert.equal(rig.send('app', again.data('server'), 2002), 'tcp-closed');
  assert.equal(
    rig.send('app', again.data('server'), 12_100),
    'ingress-rules',
    'after 10 s nobody knows it: judged by the rules',
  );
});

test('a TCP packet of no known connection: judged by the rules, or dropped, by setting', () => {
  assert.equal(new Rig(THREE_TIERS).send('web', ack(WEB, APP, 40000, 8080)), 'app');
  assert.equal(new Rig(THREE_TIERS).send('web', ack(WEB, DB, 40000, 8080)), 'ingress-rules');
  const strict = new Rig(THREE_TIERS, { acceptsMidstream: false });
  assert.equal(strict.send('web', ack(WEB, APP, 40000, 8080)), 'tcp-midstream');
  assert.equal(strict.send('web', syn(WEB, APP, 8080)), 'app');
});

test('idle time-outs: an unanswered SYN 60 s, an established connection five days', () => {
  const rig = new Rig(THREE_TIERS, { acceptsMidstream: false });
  const day = 86_400_000;
  const talk = new Conversation(WEB, 40000, APP, 8080);
  rig.send('web', talk.syn(), 0);
  assert.equal(rig.send('app', talk.synAck(), 60_001), 'tcp-midstream');
  const again = new Conversation(WEB, 40000, APP, 8080);
  rig.send('web', again.syn(), 70_000);
  rig.send('app', again.synAck(), 70_001);
  rig.send('web', again.ack('client'), 70_002);
  assert.equal(rig.send('app', again.ack('server'), 70_002 + 5 * day), 'web');
  assert.equal(rig.send('app', again.ack('server'), 70_002 + 10 * day + 1), 'tcp-midstream');
});

test('time wraps after 24 days without anybody noticing', () => {
  const rig = new Rig(THREE_TIERS, { acceptsMidstream: false });
  const late = 0x7fffffff;
  const talk = new Conversation(WEB, 40000, APP, 8080);
  rig.send('web', talk.syn(), late);
  rig.send('app', talk.synAck(), (late + 1) | 0);
  assert.equal(rig.send('web', talk.ack('client'), (late + 59_000) | 0), 'app');
});

test('the platform is reached whatever the rules say, answers, and opens nothing', () => {
  const rig = new Rig(THREE_TIERS, { platform: ['169.254.169.254/tcp/80'] });
  const imds = '169.254.169.254';
  assert.equal(
    rig.send('uplink', syn(imds, DB, 22)),
    'ingress-rules',
    'its address as a source proves nothing',
  );
  assert.equal(rig.send('db', syn(DB, imds, 80)), 'uplink');
  assert.equal(rig.send('uplink', ack(imds, DB, 80, 40000, 'SA')), 'db');
  assert.equal(rig.send('db', syn(DB, imds, 2222)), 'egress-rules', 'another port is no service');
  assert.equal(rig.send('db', syn(DB, '169.254.169.123', 123)), 'no-route');
});

const WITH_PORT = {
  ...THREE_TIERS,
  groups: { ...THREE_TIERS.groups, all: { ingress: ['all from 0.0.0.0/0'] } },
  interfaces: {
    ...THREE_TIERS.interfaces,
    open: { addresses: ['10.0.0.99'], groups: ['all'] },
    nat: { addresses: ['10.0.0.98'], groups: ['all'], sourceDestCheck: false },
    platform: { addresses: ['169.254.169.254', '10.0.0.2'], groups: [], isPlatform: true },
  },
};

test('behind a port of its own the platform answers instances, and nobody else reaches it', () => {
  const imds = '169.254.169.254';
  const rig = new Rig(WITH_PORT, { platform: [`${imds}/tcp/80`, '10.0.0.2/udp/53'] });
  assert.equal(rig.send('db', syn(DB, imds, 80)), 'platform');
  assert.equal(rig.send('platform', ack(imds, DB, 80, 40000, 'SA')), 'db');
  assert.equal(rig.states.length, 1, 'one flow, at the gate of the instance');
  const ask = udp4(DB, '10.0.0.2', { srcPort: 1000, dstPort: 53 });
  const answer = udp4('10.0.0.2', DB, { srcPort: 53, dstPort: 1000 });
  assert.equal(rig.send('platform', answer), 'ingress-rules');
  assert.equal(rig.send('db', ask), 'platform');
  assert.equal(rig.send('platform', answer), 'db');
  assert.equal(rig.send('platform', syn(imds, '10.0.0.99', 22)), 'ingress-rules', 'opens nothing');
  assert.equal(rig.send('platform', syn(imds, '198.51.100.7', 80)), 'no-route');
  assert.equal(rig.send('platform', syn(DB, '10.0.0.99', 80)), 'source-check');
  assert.equal(rig.send('open', syn('10.0.0.99', imds, 22)), 'no-route', 'no service there');
  assert.equal(rig.send('open', icmp4('10.0.0.99', imds, { type: ICMP.echo, id: 1 })), 'no-route');
  assert.equal(rig.send('uplink', syn('198.51.100.7', imds, 80)), 'no-route');
  assert.equal(rig.send('uplink', ack(imds, DB, 80, 40000, 'A')), 'uplink-spoof');
  assert.equal(rig.send('nat', syn('192.0.2.1', '198.51.100.7', 80)), 'uplink');
  assert.equal(rig.send('nat', syn('192.0.2.1', imds, 80)), 'source-check', 'for nobody else');
  assert.equal(rig.send('nat', syn('10.0.0.98', imds, 80)), 'platform');
  // To the same pair of hosts, first by a service's port and then by another.
  const other = udp4(DB, '10.0.0.2', { srcPort: 1000, dstPort: 54 });
  assert.equal(rig.send('db', ask), 'platform');
  assert.equal(rig.send('db', other), 'no-route');
});

test('no number of questions to the platform leaves less room there for others', () => {
  const rig = new Rig(WITH_PORT, { maxFlows: 16, platform: ['10.0.0.2/udp/53'] });
  for (let srcPort = 1; srcPort <= 64; srcPort++)
    rig.send('open', udp4('10.0.0.99', '10.0.0.2', { srcPort, dstPort: 53 }));
  assert.equal(rig.send('db', udp4(DB, '10.0.0.2', { srcPort: 9, dstPort: 53 })), 'platform');
  assert.equal(rig.send('platform', udp4('10.0.0.2', DB, { srcPort: 53, dstPort: 9 })), 'db');
});

test('a connection to the platform ends when its service is exempt no more', () => {
  const dns = '10.0.0.2';
  const rig = new Rig(THREE_TIERS, { platform: [`${dns}/udp/53`, '169.254.169.254/tcp/80'] });
  const ask = udp4(DB, dns, { srcPort: 1000, dstPort: 53 });
  assert.equal(rig.send('db', ask), 'uplink');
  assert.equal(rig.send('db', syn(DB, '169.254.169.254', 80)), 'uplink');
  rig.change(THREE_TIERS, [`${dns}/udp/53`, '169.254.169.254']);
  assert.equal(rig.send('db', ask), 'uplink', 'what still is one goes on');
  assert.equal(
    rig.send('uplink', ack('169.254.169.254', DB, 80, 40000, 'SA')),
    'revoked',
    'and nothing else',
  );
  assert.equal(rig.send('db', syn(DB, '169.254.169.254', 80)), 'no-route');
  rig.change(THREE_TIERS, [dns]);
  assert.equal(rig.send('uplink', udp4(dns, DB, { srcPort: 53, dstPort: 1000 })), 'revoked');
  assert.equal(rig.send('db', ask), 'egress-rules');
});

test('fragments follow the first one; without it, after a refused one, or overlapping it they drop', () => {
  const datagram = (src: string, dst: string, id: number): Uint8Array[] =>
    fragments4(
      ipv4({
        src,
        dst,
        id,
        protocol: PROTOCOL.udp,
        payload: udp(src, dst, { srcPort: 5000, dstPort: 53, payload: 'y'.repeat(3000) }),
      }),
      1000,
    );
  const rig = new Rig(THREE_TIERS);
  const [first, second, third] = datagram(WEB, APP, 1) as [Uint8Array, Uint8Array, Uint8Array];
  assert.equal(rig.send('web', second), 'fragment-early');
  assert.equal(rig.send('web', first), 'app');
  assert.equal(rig.send('web', second), 'app');
  assert.equal(rig.send('web', third), 'app');
  assert.equal(rig.send('web', third, 30_001), 'fragment-early', 'a verdict holds for 30 s');
  const [refused, rest] = datagram(WEB, DB, 2) as [Uint8Array, Uint8Array];
  assert.equal(rig.send('web', refused), 'ingress-rules');
  assert.equal(rig.send('web', rest), 'fragment-refused');
  const overlapping = ipv4({
    src: WEB,
    dst: APP,
    id: 1,
    protocol: PROTOCOL.udp,
    fragmentOffset: 8,
    mf: true,
    payload: new Uint8Array(16),
  });
  assert.equal(rig.send('web', first, 40_000), 'app');
  assert.equal(rig.send('web', overlapping, 40_000), 'fragment-overlap');
  assert.equal(
    rig.send('web', second, 40_000),
    'fragment-refused',
    'an overlap spoils the datagram',
  );
  const atomic = ipv6({
    src: WEB6,
    dst: APP6,
    nextHeader: PROTOCOL.udp,
    extensionHeaders: [fragment6({ offset: 0, more: false, id: 9 })],
    payload: udp(WEB6, APP6, { srcPort: 5000, dstPort: 53 }),
  });
  assert.equal(rig.send('web', atomic), 'app', 'an atomic fragment is a whole packet');
});

test('what cannot be decoded is dropped by name', () => {
  const rig = new Rig(THREE_TIERS);
  const good = syn(WEB, APP, 8080);
  const cases: [string, Uint8Array][] = [
    ['truncated', good.subarray(0, 19)],
    ['truncated', good.subarray(0, 39)],
    ['bad-ip-version', Uint8Array.of(0x55, 0, 0, 0)],
    [
      'bad-ip-header-length',
      ipv4({ src: WEB, dst: APP, protocol: 6, headerLength: 4, payload: good.subarray(20) }),
    ],
    [
      'bad-ip-options',
      ipv4({
        src: WEB,
        dst: APP,
        protocol: 6,
        options: Uint8Array.of(7, 40, 4, 0),
        payload: good.subarray(20),
      }),
    ],
    [
      'ip-source-route',
      ipv4({
        src: WEB,
        dst: APP,
        protocol: 6,
        options: Uint8Array.of(0x83, 7, 4, 1, 2, 3, 4, 0),
        payload: good.subarray(20),
      }),
    ],
    [
      'bad-fragment',
      ipv4({
        src: WEB,
        dst: APP,
        protocol: 17,
        fragmentOffset: 65528,
        payload: new Uint8Array(16),
      }),
    ],
    [
      'tiny-fragment',
      ipv4({ src: WEB, dst: APP, protocol: 6, mf: true, payload: good.subarray(20, 36) }),
    ],
    ['bad-tcp-header', tcp4(WEB, APP, { srcPort: 1, dstPort: 8080, dataOffset: 4 })],
    ['bad-tcp-header', tcp4(WEB, APP, { srcPort: 1, dstPort: 8080, dataOffset: 15 })],
    ['bad-udp-length', udp4(WEB, APP, { srcPort: 1, dstPort: 53, length: 7 })],
    ['bad-udp-length', udp4(WEB, APP, { srcPort: 1, dstPort: 53, length: 9 })],
    ['bad-icmp', ipv4({ src: WEB, dst: APP, protocol: 1, payload: new Uint8Array(7) })],
    ['family-mismatch', ipv4({ src: WEB, dst: APP, protocol: 58, payload: new Uint8Array(8) })],
    [
      'ipv6-routing-0',
      ipv6({
        src: WEB6,
        dst: APP6,
        nextHeader: 6,
        extensionHeaders: [routing(0)],
        payload: new Uint8Array(20),
      }),
    ],
    [
      'ipv6-extensions',
      ipv6({
        src: WEB6,
        dst: APP6,
        nextHeader: 6,
        extensionHeaders: [routing(2), hopByHop()],
        payload: new Uint8Array(20),
      }),
    ],
    [
      'ipv6-jumbogram',
      ipv6({
        src: WEB6,
        dst: APP6,
        nextHeader: 6,
        extensionHeaders: [hopByHop()],
        payloadLength: 0,
        payload: new Uint8Array(20),
      }),
    ],
  ];
  for (const [reason, packet] of cases) assert.equal(rig.send('web', packet), reason);
  const drops = cases.length;
  assert.match(rig.counts[0], new RegExp(`^web egress: 0 passed, ${drops} dropped`));
});
