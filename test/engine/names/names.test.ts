/** Names as peers of egress rules, packet by packet: what teaches an address, and what does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Address } from '../../../src/addr/address.ts';
import { LearntAddresses, learntBytes } from '../../../src/engine/names/learnt-addresses.ts';
import { nameIdentity } from '../../../src/policy/dns-names.ts';
import { matchingRules } from '../../../src/policy/reference.ts';
import { tcp4, tcp6, udp4, udp6 } from '../../packets/build.ts';
import { a, aaaa, cname, dnsAnswer, dnsQuestion, TYPE_AAAA, type DnsRecord } from '../../packets/dns.ts'; // prettier-ignore
import { mustAddress, type ModelText } from '../../support/policy.ts';
import { Rig, RIG_KEY, type RigOptions } from '../rig.ts';

const AGENT = '10.0.0.11';
const AGENT6 = 'fd00:10::11';
const RESOLVER = '198.51.100.53';
const RESOLVER6 = '2001:db8:53::53';
const API = '203.0.113.10';
const API6 = '2001:db8:a::10';
const NAME = 'api.example.com';

const TEXT: ModelText = {
  groups: {
    agent: {
      egress: [
        `udp 53 to ${RESOLVER}/32`,
        `udp 53 to ${RESOLVER6}/128`,
        `tcp 443 to dns:${NAME}`,
        'tcp 80 to dns:*.example.org',
      ],
    },
    other: { egress: [`udp 53 to ${RESOLVER}/32`, 'tcp 443 to dns:other.example'] },
    plain: { egress: [`udp 53 to ${RESOLVER}/32`] },
  },
  interfaces: {
    agent: { addresses: [AGENT, AGENT6], groups: ['agent'] },
    other: { addresses: ['10.0.0.12'], groups: ['other'] },
    plain: { addresses: ['10.0.0.13'], groups: ['plain'] },
  },
};

interface Ask {
  readonly name?: string;
  readonly type?: number;
  readonly id?: number;
  readonly from?: string;
  readonly address?: string;
  readonly port?: number;
  readonly atMs?: number;
}

function ask(
  rig: Rig,
  { name = NAME, type, id, from = 'agent', address = AGENT, port = 40_000, atMs = 0 }: Ask = {},
): string {
  // prettier-ignore
  const payload = dnsQuestion(name, type, id);
  return rig.send(from, udp4(address, RESOLVER, { srcPort: port, dstPort: 53, payload }), atMs);
}

interface Reply extends Ask {
  readonly records?: readonly DnsRecord[];
  readonly resolver?: string;
  readonly flags?: number;
}

function reply(
  rig: Rig,
  {
    name = NAME,
    type,
    id,
    address = AGENT,
    port = 40_000,
    atMs = 0,
    records = [a(API)],
    resolver = RESOLVER,
    flags,
  }: Reply = {},
): string {
  // prettier-ignore
  const payload = dnsAnswer({ name, records, ...(type === undefined ? {} : { type }), ...(id === undefined ? {} : { id }), ...(flags === undefined ? {} : { flags }) }); // prettier-ignore
  return rig.send('uplink', udp4(resolver, address, { srcPort: 53, dstPort: port, payload }), atMs);
}

function connect(rig: Rig, to = API, dstPort = 443, atMs = 0, srcPort = 50_000): string {
  return rig.send('agent', tcp4(AGENT, to, { srcPort, dstPort, flags: 'S' }), atMs);
}

/** Of the connection that `connect` opens: the server's answer to it, and what follows. */
const ACCEPTED = tcp4(API, AGENT, { srcPort: 443, dstPort: 50_000, flags: 'SA', ack: 1 });
const DATA = tcp4(AGENT, API, { srcPort: 50_000, dstPort: 443, flags: 'A', seq: 1, ack: 1 });

const make = (options: RigOptions = {}): Rig => new Rig(TEXT, options);

test('the answer to a question admits what it names, and before it nothing is', () => {
  const rig = make();
  assert.equal(connect(rig), 'egress-rules');
  assert.equal(ask(rig), 'uplink');
  assert.equal(connect(rig), 'egress-rules', 'a question is no answer');
  assert.equal(reply(rig), 'agent');
  assert.equal(connect(rig), 'uplink');
  assert.equal(connect(rig, API, 80), 'egress-rules', 'the rule is for 443');
  assert.equal(connect(rig, '203.0.113.11'), 'egress-rules');
  assert.equal(rig.outcomes, 'learnt 1');
});

test('the same over IPv6, for AAAA', () => {
  const rig = make();
  const packet = tcp6(AGENT6, API6, { srcPort: 50_000, dstPort: 443, flags: 'S' });
  assert.equal(rig.send('agent', packet), 'egress-rules');
  const ports = { srcPort: 40_000, dstPort: 53 };
  const question = dnsQuestion(NAME, TYPE_AAAA, 9);
  assert.equal(rig.send('agent', udp6(AGENT6, RESOLVER6, { ...ports, payload: question })), 'uplink'); // prettier-ignore
  const records = [aaaa([0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x10])];
  const answer = dnsAnswer({ name: NAME, type: TYPE_AAAA, id: 9, records });
  const back = udp6(RESOLVER6, AGENT6, { srcPort: 53, dstPort: 40_000, payload: answer });
  assert.equal(rig.send('uplink', back), 'agent');
  assert.equal(rig.send('agent', packet), 'uplink');
});

test('a wildcard is for what is below it, and a chain of aliases for the asked name', () => {
  const rig = make();
  ask(rig, { name: 'a.b.example.org' });
  reply(rig, {
    name: 'a.b.example.org',
    records: [cname('x.cdn.net'), a(API, { owner: 'x.cdn.net' })],
  });
  assert.equal(connect(rig, API, 80), 'uplink');
  assert.equal(connect(rig, API, 443), 'egress-rules', 'by the other name nothing was learnt');
  ask(rig, { name: 'example.org', id: 8 });
  reply(rig, { name: 'example.org', id: 8, records: [a('203.0.113.20')] });
  assert.equal(connect(rig, '203.0.113.20', 80), 'egress-rules');
  assert.equal(rig.outcomes, 'learnt 1');
});

for (const [what, more, outcomes] of [
  ['to no question', { id: 8 }, 'unasked 1'],
  ['to another port', { port: 40_001 }, ''],
  ['from somebody else', { resolver: '198.51.100.54' }, ''],
  ['about another name of the rules', { name: 'www.example.org' }, 'unasked 1'],
  ['of another type', { type: TYPE_AAAA, records: [aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])] }, 'unasked 1'], // prettier-ignore
  ['cut short', { flags: 0x8380 }, 'truncated 1'],
  ['with an error', { flags: 0x8183 }, ''],
  ['too late', { atMs: 30_001 }, 'unasked 1'],
] as const)
  test(`an answer ${what} teaches nothing`, () => {
    const rig = new Rig(TEXT, { timeouts: { agent: { udpSec: 60 } } });
    ask(rig);
    reply(rig, more);
    assert.equal(connect(rig), 'egress-rules');
    assert.equal(rig.outcomes, outcomes);
  });

test('a forged second answer to one question teaches nothing', () => {
  const rig = make();
  ask(rig);
  reply(rig);
  reply(rig, { records: [a('192.0.2.66')] });
  assert.equal(connect(rig, '192.0.2.66'), 'egress-rules');
  assert.equal(rig.outcomes, 'learnt 1, unasked 1');
});

test('an answer that nobody may get, or that no rule waits for, costs a look and teaches nothing', () => {
  const rig = make();
  // The interface of `plain` has no names, and `other` has another one.
  ask(rig, { from: 'plain', address: '10.0.0.13' });
  reply(rig, { address: '10.0.0.13' });
  ask(rig, { from: 'other', address: '10.0.0.12' });
  reply(rig, { address: '10.0.0.12' });
  assert.equal(connect(rig), 'egress-rules');
  assert.equal(rig.outcomes, '');
});

test('what one interface has learnt is not another one’s', () => {
  const rig = make();
  ask(rig, { from: 'other', address: '10.0.0.12', name: 'other.example' });
  reply(rig, { address: '10.0.0.12', name: 'other.example' });
  assert.equal(rig.outcomes, 'learnt 1');
  assert.equal(connect(rig), 'egress-rules');
});

for (const [address, family] of [
  ['10.0.0.12', 4],
  ['10.9.9.9', 4],
  ['172.31.0.1', 4],
  ['192.168.0.1', 4],
  ['100.64.0.1', 4],
  ['127.0.0.1', 4],
  ['0.0.0.0', 4],
  ['169.254.169.254', 4],
  ['198.18.0.9', 4],
  ['224.0.0.1', 4],
  ['240.0.0.1', 4],
  ['255.255.255.255', 4],
  ['fd00:10::11', 6],
  ['fd00:99::1', 6],
  ['fe80::1', 6],
  ['::1', 6],
  ['::cb00:7109', 6],
  ['ff02::1', 6],
  ['fec0::1', 6],
  ['fd00:ec2::254', 6],
  ['64:ff9b::10.0.0.1', 6],
  ['2002:a00:1::1', 6],
] as const)
  test(`no name stands for ${address}`, () => {
    const rig = make({ uplinkAddresses: ['198.18.0.9'] });
    const { words } = mustAddress(address);
    const data = Buffer.alloc(4 * words.length);
    words.forEach((word, i) => data.writeInt32BE(word, 4 * i));
    const type = family === 4 ? 1 : TYPE_AAAA;
    ask(rig, { type });
    reply(rig, { type, records: [{ type, data }] });
    assert.equal(rig.outcomes, 'forbidden-address 1');
  });

test('private addresses may be accepted, those of interfaces here never', () => {
  const rig = make({ names: { acceptsPrivate: true } });
  ask(rig);
  reply(rig, { records: [a('10.9.9.9'), a('10.0.0.12'), a('127.0.0.1')] });
  assert.equal(rig.outcomes, 'learnt 1, forbidden-address 2');
  assert.equal(connect(rig, '10.9.9.9'), 'uplink');
});

for (const [ttl, livesMs] of [
  [0, 60_000],
  [50, 60_000],
  [300, 310_000],
  [10_000_000, 86_400_000],
] as const)
  test(`an answer for ${ttl} s counts for ${livesMs} ms, and a connection goes on`, () => {
    const rig = make();
    ask(rig, { atMs: 1000 });
    reply(rig, { atMs: 1000, records: [a(API, { ttl })] });
    const endMs = 1000 + livesMs;
    assert.equal(connect(rig, API, 443, endMs - 1), 'uplink');
    assert.equal(connect(rig, API, 443, endMs, 50_001), 'egress-rules');
    assert.equal(rig.send('uplink', ACCEPTED, endMs + 5), 'agent');
    assert.equal(rig.send('agent', DATA, endMs + 10), 'uplink');
  });

test('what is learnt outlives a change of rules as long as a rule of the interface has the name', () => {
  const rig = make();
  ask(rig);
  reply(rig);
  rig.change({ ...TEXT, groups: { ...TEXT.groups, extra: {} } });
  assert.equal(connect(rig, API, 443, 0, 50_001), 'uplink');
  const without = { ...TEXT.groups['agent'], egress: [`udp 53 to ${RESOLVER}/32`] };
  rig.change({ ...TEXT, groups: { ...TEXT.groups, agent: without } });
  assert.equal(connect(rig, API, 443, 0, 50_002), 'egress-rules');
  rig.change(TEXT);
  assert.equal(connect(rig, API, 443, 0, 50_003), 'egress-rules', 'it was forgotten meanwhile');
});

test('a name that goes and one that comes with its number have nothing in common', () => {
  const rig = make();
  ask(rig);
  reply(rig);
  const egress = TEXT.groups['agent'].egress!.map((line) => line.replace(NAME, 'new.example.com'));
  rig.change({ ...TEXT, groups: { ...TEXT.groups, agent: { egress } } });
  assert.equal(connect(rig), 'egress-rules');
});

for (const revocation of ['aws', 'recheck', 'cut'] as const)
  test(`under ${revocation}, a change of other rules ends no connection by a name whose time is over`, () => {
    const groups = { ...TEXT.groups, agent: { ...TEXT.groups['agent'], revocation } };
    const rig = new Rig({ ...TEXT, groups });
    ask(rig);
    reply(rig);
    assert.equal(connect(rig), 'uplink');
    assert.equal(rig.send('uplink', ACCEPTED), 'agent');
    assert.equal(rig.send('agent', DATA), 'uplink');
    rig.change({ ...TEXT, groups: { ...groups, extra: {} } });
    assert.equal(connect(rig, API, 443, 400_000, 50_001), 'egress-rules', 'it counts no more');
    assert.equal(rig.send('agent', DATA, 400_000), 'uplink');
    const egress = [`udp 53 to ${RESOLVER}/32`];
    rig.change({ ...TEXT, groups: { ...groups, agent: { egress, revocation } } });
    const ends = revocation === 'aws' ? 'uplink' : 'revoked';
    assert.equal(rig.send('agent', DATA, 400_000), ends, 'its rule is gone');
  });

test('an interface has no more addresses than it may, and another one has its own', () => {
  const rig = make({ names: { maxAddresses: 2 } });
  ask(rig);
  reply(rig, { records: [a('203.0.113.1'), a('203.0.113.2'), a('203.0.113.3')] });
  assert.equal(rig.outcomes, 'learnt 2, interface-full 1');
  ask(rig, { from: 'other', address: '10.0.0.12', name: 'other.example' });
  reply(rig, { address: '10.0.0.12', name: 'other.example' });
  assert.equal(rig.outcomes, 'learnt 3, interface-full 1');
  rig.names.sweep(1 << 15, 400_000);
  ask(rig, { atMs: 400_000 });
  reply(rig, { atMs: 400_000 });
  assert.equal(rig.outcomes, 'learnt 4, interface-full 1');
});

test('as many questions wait at once as an interface has places, the oldest go first', () => {
  const rig = make();
  for (let id = 1; id <= 200; id++) ask(rig, { id, atMs: id });
  for (let id = 1; id <= 200; id++) reply(rig, { id, atMs: 200, records: [a(`203.0.113.${id}`)] });
  const learnt = Number(/learnt (\d+)/.exec(rig.outcomes)?.[1]);
  assert.equal(learnt, 64);
  assert.equal(connect(rig, '203.0.113.200', 443, 200), 'uplink');
  assert.equal(connect(rig, '203.0.113.1', 443, 200, 50_001), 'egress-rules');
});

test('the packet loop that gets the answer need not be that of the connection', () => {
  const memory = new SharedArrayBuffer(learntBytes());
  const rig = make({ learntElsewhere: [memory] });
  const other = new LearntAddresses(memory, RIG_KEY, 4);
  assert.equal(connect(rig), 'egress-rules');
  other.look(rig.portOf('agent'), 4, ...wordsOf(mustAddress(API)));
  other.learn(...nameIdentity(NAME), 60_000, 10, 0);
  assert.equal(connect(rig), 'uplink');
});

test('an answer in fragments, or as a superpacket, is not read', () => {
  const rig = make();
  ask(rig);
  // A first fragment has a multiple of 8 bytes.
  const payload = Buffer.alloc(64);
  dnsAnswer({ name: NAME, records: [a(API)] }).copy(payload);
  const ports = { srcPort: 53, dstPort: 40_000, payload };
  rig.send('uplink', udp4(RESOLVER, AGENT, ports), 0, 2);
  assert.equal(rig.outcomes, '');
  rig.send('uplink', udp4(RESOLVER, AGENT, ports, { mf: true, id: 5 }), 0);
  assert.equal(rig.outcomes, 'in-fragments 1');
  assert.equal(connect(rig), 'egress-rules');
});

test('names of no rule: the engine shows no packet', () => {
  const rig = new Rig({
    groups: { web: { egress: ['all to 0.0.0.0/0'] } },
    interfaces: { agent: { addresses: [AGENT], groups: ['web'] } },
  });
  assert.equal(rig.engine.gates.rules.names, null);
});

function wordsOf({ words }: Address): [number, number, number, number] {
  return [words[0], words[1] ?? 0, words[2] ?? 0, words[3] ?? 0];
}

const NAMES = ['a.example', '*.example', '*.b.example', 'c.example'];
const PEERS = [...NAMES.map((name) => `dns:${name}`), '203.0.113.0/30', '0.0.0.0/0'];
const ADDRESSES = ['203.0.113.1', '203.0.113.2', '203.0.113.5', '203.0.113.6'];
const rule = fc
  .tuple(
    fc.constantFrom('tcp 443', 'tcp 80-90', 'udp 443', 'all', 'icmp 8/-1'),
    fc.constantFrom(...PEERS),
  ) // prettier-ignore
  .map(([what, peer]) => `${what} to ${peer}`);

test('the gate admits what the plain matcher does, with the names that an address has', () => {
  fc.assert(
    fc.property(
      fc.tuple(fc.array(rule, { maxLength: 6 }), fc.array(rule, { maxLength: 6 })),
      fc.array(fc.tuple(fc.constantFrom(...ADDRESSES), fc.constantFrom(...NAMES)), { maxLength: 8 }), // prettier-ignore
      ([first, second], learnt) => {
        const rig = new Rig({
          groups: { one: { egress: first }, two: { egress: second } },
          interfaces: { agent: { addresses: [AGENT], groups: ['one', 'two'] } },
        });
        for (const [address, name] of learnt) {
          rig.names.learnt.look(1, 4, ...wordsOf(mustAddress(address)));
          rig.names.learnt.learn(...nameIdentity(name), 60_000, 100, 0);
        }
        for (const address of ADDRESSES)
          for (const port of [80, 443, 5]) {
            const names = learnt.flatMap(([one, name]) => (one === address ? [name] : []));
            const probe = { protocol: 6, port, icmpType: 0, icmpCode: 0, remote: mustAddress(address), names }; // prettier-ignore
            const right = matchingRules(rig.model, 'eni-agent', 'egress', probe).length > 0;
            const syn = tcp4(AGENT, address, { srcPort: 1000, dstPort: port, flags: 'S' });
            assert.equal(rig.send('agent', syn), right ? 'uplink' : 'egress-rules');
          }
      },
    ),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 300) },
  );
});
