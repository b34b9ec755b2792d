/** Connections whose rule requires the server name of TLS, packet by packet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { protocolOf, ruleWordOf } from '../../../src/conntrack/entry.ts';
import { FlowRecord, recordWords, writeRecord } from '../../../src/conntrack/flow-record.ts';
import {
  AUDITED_BY_NAME,
  AUDITED_PACKETS,
  counterRow,
  EGRESS,
} from '../../../src/engine/counters.ts';
import {
  EVENT_AUDIT,
  EVENT_KIND,
  EVENT_REASON_SHIFT,
  WANT_AUDITS,
} from '../../../src/engine/events.ts';
import { REASONS } from '../../../src/engine/reasons.ts';
import {
  HELLO_BYTES_MAX,
  IDLE_MS,
  SLOTS,
  SLOTS_OF_PORT,
} from '../../../src/engine/tls/hello-parts.ts';
import { fragments4, tcp4 } from '../../packets/build.ts';
import { alpn, clientHello, concat, EXTENSION_ECH, records } from '../../packets/tls.ts';
import {
  AGENT,
  API,
  API6,
  Connection,
  hello,
  learn,
  makeRig,
  NAME,
  RESOLVER,
  TEXT,
} from './tls-rig.ts';
import type { Rig, RigOptions } from '../rig.ts';

/** Packets that passed the agent's egress gate by audit alone. */
function auditedPackets(rig: Rig): number {
  return rig.engine.counters[counterRow(rig.portOf('agent'), EGRESS) + AUDITED_PACKETS];
}

const OPENED = ['uplink', 'agent', 'uplink'];

function open(rig: Rig = makeRig(), srcPort?: number, server?: string): Connection {
  const connection = new Connection(rig, srcPort, server);
  assert.deepEqual(connection.open(), OPENED);
  return connection;
}

/** What becomes of the client's bytes, of an answer to them, and of what the client sends then. */
function say(connection: Connection, bytes: Uint8Array): string {
  const { length } = bytes;
  return [
    connection.send(0, bytes),
    connection.answer(length, 'hello'),
    connection.send(length, 'data'),
  ].join(' ');
}

const GOOD = 'uplink agent uplink';
/** The server has not got it, and acknowledges what was never sent to it. */
const CLOSED = 'tls-name tls-name tls-name';

for (const isOffloaded of [false, true])
  for (const [what, bytes, outcome, names] of [
    ['its name', hello(), GOOD, [NAME]],
    ['its name in capitals', hello('API.EXAMPLE.COM'), GOOD, [NAME]],
    ['a name below a wildcard', hello('a.b.example.org'), GOOD, ['x.example.org']],
    ['the name of a wildcard itself', hello('example.org'), CLOSED, ['x.example.org']],
    ['another name', hello('evil.example'), CLOSED, [NAME]],
    ['a name that another rule requires, and has not this address', hello('a.example.org'), CLOSED, [NAME]], // prettier-ignore
    ['a name that another rule requires, with this address', hello('a.example.org'), GOOD, [NAME, 'z.example.org']], // prettier-ignore
    ['no name', records(clientHello()), CLOSED, [NAME]],
    ['its name, and Encrypted ClientHello', records(clientHello({ name: NAME, extensions: [[EXTENSION_ECH, concat([0, 1, 2])]] })), GOOD, [NAME]], // prettier-ignore
    ['another outer name before Encrypted ClientHello', records(clientHello({ name: 'cloud.example', extensions: [[EXTENSION_ECH, concat([0, 1, 2])]] })), CLOSED, [NAME]], // prettier-ignore
    ['plain HTTP', Buffer.from(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`), CLOSED, [NAME]],
    ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.7\r\n'), CLOSED, [NAME]],
    ['an SSLv2 hello', concat([0x80, 0x2e, 1, 3, 1, 0, 0x15], new Uint8Array(41)), CLOSED, [NAME]],
    ['an alert of TLS', concat([21, 3, 1, 0, 2, 2, 40]), CLOSED, [NAME]],
    ['many records', hello(NAME, 1, 2, 3, 4, 5, 6), GOOD, [NAME]],
    ['a record without data', concat([22, 3, 1, 0, 0], hello()), CLOSED, [NAME]],
    ['a record of another type between', concat(hello(NAME, 10).subarray(0, 15), [20, 3, 1, 0, 1, 1], hello(NAME, 10).subarray(15)), CLOSED, [NAME]], // prettier-ignore
    ['a ClientHello with another one in its record', records(concat(clientHello({ name: NAME }), clientHello({ name: 'evil.example' }))), CLOSED, [NAME]], // prettier-ignore
    ['early data behind it', concat(hello(), [23, 3, 3, 0, 4], Buffer.from('data')), GOOD, [NAME]],
    ['a ClientHello longer than is kept', records(clientHello({ name: NAME, extensions: [alpn('x'.repeat(250), ...Array.from({ length: 40 }, () => 'y'.repeat(250)))] })), CLOSED, [NAME]], // prettier-ignore
  ] as const)
    test(`${what}${isOffloaded ? ', with the fast path' : ''}: ${outcome === GOOD ? 'passes' : 'closes'}`, () => {
      const connection = open(makeRig({ isOffloaded }, names));
      assert.equal(say(connection, bytes), outcome);
    });

test('the same over IPv6', () => {
  assert.equal(say(open(makeRig(), 50_000, API6), hello()), GOOD);
  assert.equal(say(open(makeRig(), 50_000, API6), hello('evil.example')), CLOSED);
});

test('a ClientHello in one-byte segments passes, and the last byte only with the right name', () => {
  for (const [name, last] of [
    [NAME, 'uplink'],
    ['evil.example', 'tls-name'],
  ]) {
    const connection = open();
    const bytes = hello(name, 7);
    const fates = [...bytes].map((_, i) => connection.send(i, bytes.subarray(i, i + 1)));
    assert.deepEqual(fates.slice(0, -1), fates.slice(0, -1).fill('uplink'));
    assert.equal(fates.at(-1), last);
  }
});

test('what is sent again is the same, and other bytes in its place close the connection', () => {
  const bytes = hello();
  const other = hello('ap1.example.com');
  assert.equal(bytes.length, other.length);
  const connection = open();
  assert.equal(connection.send(0, bytes.subarray(0, 60)), 'uplink');
  assert.equal(connection.send(0, bytes.subarray(0, 60)), 'uplink', 'once more');
  assert.equal(connection.send(20, bytes.subarray(20)), 'uplink', 'overlapping');
  assert.equal(connection.send(0, bytes), 'uplink', 'whole');
  // The server may not have got the first one: its TTL was too small, or its checksum wrong.
  assert.equal(connection.send(0, other), 'tls-name');
  assert.equal(connection.send(0, bytes), 'tls-name', 'it is closed');
});

test('from the acknowledgment of the whole on, the server takes no other bytes, and nothing is compared', () => {
  const bytes = hello();
  const connection = open();
  assert.equal(connection.send(0, bytes), 'uplink');
  assert.equal(connection.answer(bytes.length - 1), 'agent');
  assert.equal(connection.send(bytes.length, 'early'), 'uplink', 'what follows is not judged');
  assert.equal(connection.answer(bytes.length), 'agent');
  assert.equal(connection.send(0, hello('ap1.example.com')), 'uplink');
});

test('what may fit later is dropped, and closes nothing', () => {
  const bytes = hello();
  const rig = makeRig();
  const connection = new Connection(rig);
  assert.equal(connection.syn(bytes), 'tls-name-awaited', 'TCP Fast Open');
  assert.deepEqual(connection.open(), OPENED);
  assert.equal(connection.answer(0, 'HTTP/1.1 200'), 'tls-name-awaited', 'the server speaks first');
  assert.equal(connection.send(100, bytes.subarray(100)), 'tls-name-awaited', 'a gap');
  assert.equal(connection.send(-1, 'x'), 'tls-name-awaited', 'a probe');
  const whole = tcp4(AGENT, API, { srcPort: 50_000, dstPort: 443, flags: 'A', seq: 0xffffff01, ack: 0xffffffff, payload: bytes }); // prettier-ignore
  const sent = fragments4(whole, 64).map((one) => rig.send('agent', one));
  assert.deepEqual(sent, ['tls-name-awaited', ...sent.slice(1).fill('fragment-refused')]);
  assert.equal(connection.send(0, bytes.subarray(0, 50)), 'uplink');
  assert.equal(connection.send(60, bytes.subarray(60)), 'tls-name-awaited', 'another gap');
  assert.equal(connection.answer(50, 'alert'), 'tls-name-awaited');
  assert.equal(connection.answer(50), 'agent', 'without data it passes');
  assert.equal(connection.send(50, bytes.subarray(50)), 'uplink');
  assert.equal(connection.answer(bytes.length, 'hello'), 'agent');
});

test('urgent data close the connection: to some receivers it is none of the stream', () => {
  assert.equal(open().send(0, hello(), { flags: 'AU' }), 'tls-name');
});

test('a closed connection lets both ends give up, and a new SYN opens it again', () => {
  const connection = open();
  assert.equal(connection.send(0, hello('evil.example')), 'tls-name');
  assert.equal(connection.send(0, ''), 'tls-name', 'without data too');
  assert.equal(connection.send(0, '', { flags: 'FA' }), 'tls-name');
  assert.equal(connection.answer(0, 'data'), 'tls-name');
  assert.equal(connection.answer(0, '', { flags: 'FA' }), 'agent');
  assert.equal(connection.send(0, '', { flags: 'RA' }), 'uplink');
  assert.deepEqual(connection.open(), OPENED);
  assert.equal(connection.send(0, hello()), 'uplink');
});

test('a closed connection is forgotten as a reset one is, and its data finds no rule', () => {
  const connection = open();
  assert.equal(connection.send(0, hello('evil.example')), 'tls-name');
  assert.equal(connection.send(0, hello(), { atMs: 9_000 }), 'tls-name');
  assert.equal(connection.send(0, hello(), { atMs: 11_000 }), 'tls-name-awaited');
  assert.equal(connection.answer(0, 'x', { atMs: 11_000 }), 'ingress-rules');
});

test('a name that does not come within the time of an opening is none', () => {
  const connection = open();
  assert.equal(connection.send(0, hello(), { atMs: 59_000 }), 'uplink');
  const other = open(makeRig());
  assert.equal(other.send(0, hello(), { atMs: 61_000 }), 'tls-name-awaited');
});

for (const options of [
  { acceptsMidstream: true },
  { passes: { invalid: true, fragment: true, tableFull: true } },
  { checksWindow: false },
] satisfies RigOptions[])
  test(`nothing is excused: ${JSON.stringify(options)}`, () => {
    const rig = makeRig(options);
    assert.equal(new Connection(rig).send(0, hello()), 'tls-name-awaited', 'in mid-stream');
    const connection = open(rig);
    assert.equal(connection.send(50_000_000, 'far away'), 'tls-name-awaited');
    assert.equal(connection.send(0, 'null', { flags: '' }), options.passes === undefined ? 'tcp-flags' : 'tls-name-awaited'); // prettier-ignore
    assert.equal(connection.send(0, 'GET / HTTP/1.1'), 'tls-name');
    assert.equal(connection.send(50_000_000, 'far away'), 'tls-name');
  });

test('a rule that requires nothing, of the same addresses, admits as ever', () => {
  for (const rule of [`tcp 443 to dns:${NAME}`, `tcp 443 to ${API}/32`]) {
    const egress = [...TEXT.groups['agent'].egress!, rule];
    const text = { ...TEXT, groups: { agent: { egress } } };
    assert.equal(say(open(makeRig({}, [NAME], text)), Buffer.from('GET / HTTP/1.1')), GOOD, rule);
  }
});

test('a rule for all ports of the name admits other ports without it', () => {
  const egress = [`udp 53 to ${RESOLVER}/32`, `tcp 443 to dns:${NAME} by TLS`, `tcp 80 to dns:${NAME}`]; // prettier-ignore
  const rig = makeRig({}, [NAME], { ...TEXT, groups: { agent: { egress } } });
  const syn = { srcPort: 50_001, dstPort: 80, flags: 'S', payload: Buffer.from('GET') };
  assert.equal(rig.send('agent', tcp4(AGENT, API, syn)), 'uplink');
  assert.equal(say(open(rig), Buffer.from('GET / HTTP/1.1')), CLOSED);
});

test('a SYN on the ports of a known connection begins one whose name is awaited again', () => {
  const connection = open();
  const bytes = hello();
  assert.equal(connection.send(0, bytes), 'uplink');
  assert.equal(connection.answer(bytes.length), 'agent');
  const rig = connection.rig;
  const syn = { srcPort: 50_000, dstPort: 443, flags: 'S', seq: 5_000_000 };
  assert.equal(rig.send('agent', tcp4(AGENT, API, syn)), 'uplink');
  const answer = { srcPort: 443, dstPort: 50_000, flags: 'SA', seq: 77, ack: 5_000_001 };
  assert.equal(rig.send('uplink', tcp4(API, AGENT, answer)), 'agent');
  const data = { srcPort: 50_000, dstPort: 443, flags: 'A', seq: 5_000_001, ack: 78 };
  assert.equal(rig.send('agent', tcp4(AGENT, API, { ...data, payload: Buffer.from('GET') })), 'tls-name'); // prettier-ignore
});

test('where no place is free, the client comes again; one interface has a part of them', () => {
  const rig = makeRig({ maxFlows: 4000 });
  const bytes = hello();
  const part = bytes.subarray(0, 20);
  const all = Array.from({ length: SLOTS_OF_PORT + 1 }, (_, i) => open(rig, 20_000 + i));
  const fates = all.map((one) => one.send(0, part));
  assert.deepEqual(fates, [...fates.slice(0, -1).fill('uplink'), 'tls-names-full']);
  assert.ok(SLOTS_OF_PORT * 4 <= SLOTS);
  const late = all.at(-1)!;
  assert.equal(late.send(0, bytes, { atMs: 1 }), 'tls-names-full', 'nobody was silent');
  assert.equal(all[0].send(20, bytes.subarray(20)), 'uplink');
  assert.equal(all[0].answer(bytes.length), 'agent', 'it gives its place back');
  assert.equal(late.send(0, bytes), 'uplink');
  // Whoever is silent loses its place, and is closed.
  const next = open(rig, 30_000);
  assert.equal(next.send(0, part, { atMs: IDLE_MS }), 'tls-names-full');
  assert.equal(next.send(0, part, { atMs: IDLE_MS + 1 }), 'uplink');
  assert.equal(all[1].send(20, bytes.subarray(20), { atMs: IDLE_MS + 1 }), 'tls-name');
});

test('a ClientHello as long as is kept passes', () => {
  const base = clientHello({ name: NAME, extensions: [[16, new Uint8Array(0)]] }).length + 5;
  const long = clientHello({ name: NAME, extensions: [[16, new Uint8Array(HELLO_BYTES_MAX - base)]] }); // prettier-ignore
  const bytes = records(long);
  assert.equal(bytes.length, HELLO_BYTES_MAX);
  const connection = open();
  for (let at = 0; at < bytes.length; at += 1400)
    assert.equal(connection.send(at, bytes.subarray(at, at + 1400)), 'uplink');
  assert.equal(connection.answer(bytes.length), 'agent');
});

test('under other rules: a connection that was admitted without a name goes by revocation', () => {
  const weak = [`udp 53 to ${RESOLVER}/32`, `tcp 443 to dns:${NAME}`];
  for (const [revocation, fate] of [
    ['aws', 'uplink'],
    ['recheck', 'revoked'],
    ['cut', 'revoked'],
  ] as const) {
    const group = { egress: weak, revocation };
    const connection = open(makeRig({}, [NAME], { ...TEXT, groups: { agent: group } }));
    assert.equal(connection.send(0, 'GET /'), 'uplink');
    const { egress } = TEXT.groups['agent'];
    connection.rig.change({ ...TEXT, groups: { agent: { egress: egress!, revocation } } });
    assert.equal(connection.send(5, 'more'), fate, revocation);
    const fresh = new Connection(connection.rig, 50_001);
    assert.deepEqual(fresh.open(), OPENED);
    assert.equal(fresh.send(0, 'GET /'), 'tls-name', 'a new one needs the name');
  }
});

test('under other rules: one whose name is awaited needs a rule that requires it, then as now', () => {
  const connection = open();
  connection.rig.change(TEXT);
  assert.equal(connection.send(0, hello()), 'uplink', 'the same rules');
  const other = open();
  other.rig.change({ ...TEXT, groups: { agent: { egress: [`udp 53 to ${RESOLVER}/32`] } } });
  assert.equal(other.send(0, hello()), 'tls-name', 'its rule is gone');
});

/** The rig after a restart: the flows are known again, and nothing else. */
function restart(rig: Rig): Rig {
  const next = makeRig();
  for (let flow = 0; flow < rig.flows4.highWater; flow++) {
    if (protocolOf(rig.flows4, flow) !== 6) continue;
    const words = new Int32Array(recordWords(4));
    writeRecord(rig.flows4, flow, 0, words, 0);
    const record = new FlowRecord(words);
    assert.equal(record.isSound, true);
    const restored = next.flows4.insert(record.key);
    record.fill(next.flows4, restored, 0, ruleWordOf(rig.flows4, flow));
    next.engine.gates.tracker.adopt(next.flows4, restored);
  }
  return next;
}

test('a restart keeps the marks: parts that are lost close the connection', () => {
  const bytes = hello();
  const part = bytes.subarray(0, 30);
  const after = (before: (connection: Connection) => void): Connection => {
    const connection = open();
    before(connection);
    return new Connection(restart(connection.rig));
  };
  assert.equal(
    say(
      after(() => undefined),
      bytes,
    ),
    GOOD,
    'nothing was said yet',
  );
  assert.equal(
    say(
      after(() => undefined),
      Buffer.from('GET /'),
    ),
    CLOSED,
  );
  const begun = after((one) => assert.equal(one.send(0, part), 'uplink'));
  assert.equal(begun.send(30, bytes.subarray(30)), 'tls-name');
  const named = after((one) => assert.equal(one.send(0, bytes), 'uplink'));
  assert.equal(named.send(0, bytes), 'tls-name', 'nobody knows what was sent');
  const known = after((one) => {
    assert.equal(one.send(0, bytes), 'uplink');
    assert.equal(one.answer(bytes.length), 'agent');
  });
  assert.equal(known.send(bytes.length, 'data'), 'uplink');
  const closed = after((one) => assert.equal(one.send(0, 'GET /'), 'tls-name'));
  assert.equal(closed.send(0, bytes), 'tls-name');
});

test('the state says where a connection stands', () => {
  const rig = makeRig({}, []);
  learn(rig, NAME);
  const states = (): readonly string[] => rig.states.filter((state) => !state.startsWith('udp'));
  const good = new Connection(rig, 50_001);
  good.syn();
  assert.deepEqual(states(), ['syn-sent']);
  good.synAck();
  good.send(0, '');
  assert.deepEqual(states(), ['tls-name-awaited']);
  good.send(0, hello().subarray(0, 10));
  assert.deepEqual(states(), ['tls-name-awaited']);
  good.send(10, hello().subarray(10));
  assert.deepEqual(states(), ['established']);
  open(rig, 50_002).send(0, hello('evil.example'));
  assert.deepEqual(states(), ['established', 'tls-name-refused']);
});

test('audit passes what would be dropped, and counts it', () => {
  const text = { ...TEXT, interfaces: { agent: { ...TEXT.interfaces['agent'], audit: true } } };
  const rig = makeRig({}, [NAME], text);
  assert.equal(say(open(rig, 50_001), hello()), GOOD);
  assert.equal(auditedPackets(rig), 0);
  assert.equal(say(open(rig, 50_002), Buffer.from('GET / HTTP/1.1')), GOOD);
  assert.equal(auditedPackets(rig), 3);
  const early = new Connection(rig, 50_003);
  assert.equal(early.syn(hello()), 'uplink', 'in the SYN');
  const server = open(rig, 50_004);
  assert.equal(server.answer(0, 'the server first'), 'agent');
  assert.equal(server.send(0, 'anything'), 'uplink');
});

/** What `auditedPackets` counts by the name: tls-name, tls-name-awaited, tls-names-full. */
function auditedByName(rig: Rig): readonly number[] {
  const at = counterRow(rig.portOf('agent'), EGRESS) + AUDITED_BY_NAME;
  return [...rig.engine.counters.slice(at, at + 3)];
}

/** The reasons of audit's events since the last call. */
function auditReasons(rig: Rig): readonly string[] {
  const found: string[] = [];
  rig.events.drain((at) => {
    const head = rig.events.words[at + EVENT_KIND];
    if ((head & 0xff) === EVENT_AUDIT) found.push(REASONS[(head >>> EVENT_REASON_SHIFT) & 0xff][0]);
  }, 1000);
  return found;
}

const AUDITED_TEXT = {
  ...TEXT,
  interfaces: { agent: { ...TEXT.interfaces['agent'], audit: true } },
};

for (const server of [API, API6])
  test(`audit says what about the name would drop it, ${server}`, () => {
    const rig = makeRig({}, [NAME], AUDITED_TEXT);
    rig.events.want(WANT_AUDITS);
    say(open(rig, 50_001, server), hello());
    assert.deepEqual([auditReasons(rig), auditedByName(rig)], [[], [0, 0, 0]]);
    say(open(rig, 50_002, server), hello('evil.example'));
    assert.deepEqual([auditReasons(rig), auditedByName(rig)], [['tls-name'], [3, 0, 0]]);
    new Connection(rig, 50_003, server).syn(hello());
    assert.deepEqual([auditReasons(rig), auditedByName(rig)], [['tls-name-awaited'], [3, 1, 0]]);
    const first = open(rig, 50_004, server);
    first.answer(0, 'the server first');
    first.send(0, 'anything');
    assert.deepEqual([auditReasons(rig), auditedByName(rig)], [['tls-name-awaited'], [3, 3, 0]]);
    const elsewhere = server === API ? '203.0.113.99' : '2001:db8:a::99';
    open(rig, 50_005, elsewhere);
    assert.deepEqual([auditReasons(rig), auditedByName(rig)], [['egress-rules'], [3, 3, 0]]);
    assert.equal(auditedPackets(rig), 3 + 3 + 3);
  });

test('audit says which connections find no place to keep their parts', () => {
  const rig = makeRig({}, [NAME], AUDITED_TEXT);
  rig.events.want(WANT_AUDITS);
  for (let i = 0; i < SLOTS_OF_PORT; i++) open(rig, 50_000 + i).send(0, hello().subarray(0, 10));
  open(rig, 60_000).send(0, hello());
  assert.deepEqual([auditReasons(rig), auditedByName(rig)], [['tls-names-full'], [0, 0, 1]]);
});

test('a segment that is dropped for another reason makes no audited connection of its own or of another', () => {
  const rig = makeRig({}, [NAME], AUDITED_TEXT);
  rig.events.want(WANT_AUDITS);
  const other = open(rig, 50_001, '203.0.113.99');
  assert.deepEqual(auditReasons(rig), ['egress-rules']);
  const connection = open(rig, 50_002);
  assert.equal(connection.send(10_000_000, 'far ahead'), 'tcp-window');
  other.send(0, 'data');
  assert.deepEqual([auditReasons(rig), auditedByName(rig)], [[], [0, 0, 0]]);
  assert.equal(say(connection, hello()), GOOD);
  assert.deepEqual([auditReasons(rig), auditedPackets(rig)], [[], 4]);
});

test('an entry that a name was audited in tells nothing of the next flow in it', () => {
  const rig = makeRig({}, [NAME], AUDITED_TEXT);
  const flowOf = (connection: Connection, atMs: number): number => {
    connection.open(atMs);
    return rig.engine.gates.flow;
  };
  const entry = flowOf(new Connection(rig, 50_001), 0);
  new Connection(rig, 50_001).send(0, 'GET /');
  assert.deepEqual(auditedByName(rig), [1, 0, 0]);
  const muchLaterMs = 500_000_000;
  const revocation = 'recheck' as const;
  const group = { ...TEXT.groups['agent'], egress: ['tcp 443 to 203.0.113.99/32', ...TEXT.groups['agent'].egress!], revocation }; // prettier-ignore
  rig.change({ ...AUDITED_TEXT, groups: { agent: group } });
  while (rig.engine.gates.recheckFlows(1000, muchLaterMs));
  const next = new Connection(rig, 50_002, '203.0.113.99');
  assert.equal(flowOf(next, muchLaterMs), entry, 'the same entry');
  assert.equal(auditedPackets(rig), 1);
  rig.change({ ...AUDITED_TEXT, groups: { agent: { ...TEXT.groups['agent'], revocation } } });
  assert.equal(next.send(0, 'GET /', { atMs: muchLaterMs }), 'uplink');
  assert.deepEqual([auditedPackets(rig), auditedByName(rig)], [2, [1, 0, 0]]);
});

test('the address may be over by the time of the ClientHello; that of another name may not', () => {
  const rig = makeRig({ names: { minLifetimeMs: 1000, maxLifetimeMs: 1000 } }, [
    NAME,
    'z.example.org',
  ]);
  const connection = open(rig);
  assert.equal(connection.send(0, hello(), { atMs: 5000 }), 'uplink');
  learn(rig, NAME, 7, API, 6000);
  const other = new Connection(rig, 50_001);
  assert.deepEqual(other.open(6000), OPENED);
  assert.equal(other.send(0, hello('z.example.org'), { atMs: 6000 }), 'tls-name');
});
