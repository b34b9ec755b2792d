/** What was learnt of DNS names over a restart: how long it counts, for whom, and what is refused as no such thing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLearnt, recallLearnt } from '../../src/dataplane/learnt-names.ts';
import { learntBytes } from '../../src/engine/names/learnt-addresses.ts';
import { restoreNames, saveNames, type RestoredNames } from '../../src/service/saved-names.ts';
import { NAME_SETTINGS, RIG_KEY, Rig } from '../engine/rig.ts';
import { tcp4, tcp6, udp4 } from '../packets/build.ts';
import { a, aaaa, dnsAnswer, dnsQuestion, TYPE_A, TYPE_AAAA } from '../packets/dns.ts';

const AGENT = '10.0.0.11';
const AGENT6 = 'fd00:10::11';
const RESOLVER = '198.51.100.53';
const API = '203.0.113.9';
const API6 = '2001:db8:a::9';
const LIFETIME_S = 600;
const GRACE_MS = 10_000;

function makeRig(egress: readonly string[] = ['tcp 443 to dns:api.example.com'], more = {}): Rig {
  return new Rig(
    {
      groups: { agent: { egress: [`udp 53 to ${RESOLVER}/32`, ...egress] } },
      interfaces: {
        agent: { addresses: [AGENT, AGENT6], groups: ['agent'] },
        other: { addresses: ['10.0.0.12'], groups: ['agent'] },
      },
    },
    more,
  );
}

/** Has the agent learn an address of each family at the rig's time 0. */
function learn(rig: Rig): void {
  for (const [id, type, record] of [
    [1, TYPE_A, a(API, { ttl: LIFETIME_S })],
    [2, TYPE_AAAA, aaaa([0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 9], { ttl: LIFETIME_S })],
  ] as const) {
    const asked = { name: 'api.example.com', id, type };
    const payload = dnsQuestion(asked.name, type, id);
    rig.send('agent', udp4(AGENT, RESOLVER, { srcPort: 5000, dstPort: 53, payload }));
    const answer = dnsAnswer({ ...asked, records: [record] });
    rig.send('uplink', udp4(RESOLVER, AGENT, { srcPort: 53, dstPort: 5000, payload: answer }));
  }
}

/** As it goes to a file and comes back from there. */
function saved(rig: Rig, nowMs = 0, wallMs = 1_000_000): unknown {
  const learnt = readLearnt(rig.learntMemory, RIG_KEY, nowMs);
  const idOf = (port: number): string | undefined => ['', 'eni-agent', 'eni-other'][port];
  return JSON.parse(JSON.stringify(saveNames(learnt, idOf, nowMs, wallMs))) as unknown;
}

const AT_ONCE: RestoredNames = {
  ...{ elapsedMs: 0, wallMs: 1_000_000, timeScale: 1, nowMs: 50 },
  portOf: (id) => (id === 'eni-agent' ? 1 : undefined),
};

/** How many ms each address has left. */
function left(names: unknown, how: Partial<RestoredNames> = {}): readonly number[] | undefined {
  const all = { ...AT_ONCE, ...how };
  return restoreNames(names, all)?.map(({ untilMs }) => untilMs - all.nowMs);
}

/** A rig whose loop has what an earlier process had saved. */
function recall(names: unknown, rig: Rig, settings = NAME_SETTINGS): [known: number, later: Rig] {
  const memory = new SharedArrayBuffer(learntBytes());
  const learnt = restoreNames(names, { ...AT_ONCE, nowMs: 0 })!;
  const { policy } = rig;
  const known = recallLearnt({ memories: [memory], key: RIG_KEY, policy, settings, nowMs: 0 }, learnt); // prettier-ignore
  return [known, makeRig(undefined, { learntElsewhere: [memory] })];
}

const syn = tcp4(AGENT, API, { srcPort: 1, dstPort: 443, flags: 'S' });
const syn6 = tcp6(AGENT6, API6, { srcPort: 1, dstPort: 443, flags: 'S' });

test('what was learnt admits after a restart, for its interface alone', () => {
  const first = makeRig();
  learn(first);
  assert.equal(first.outcomes, 'learnt 2');
  const [known, later] = recall(saved(first), makeRig());
  assert.equal(known, 2);
  assert.equal(later.send('agent', syn), 'uplink');
  assert.equal(later.send('agent', syn6), 'uplink');
  const other = tcp4('10.0.0.12', API, { srcPort: 1, dstPort: 443, flags: 'S' });
  assert.equal(later.send('other', other), 'egress-rules');
  const over = 1000 * LIFETIME_S + GRACE_MS;
  const late = tcp4(AGENT, API, { srcPort: 2, dstPort: 443, flags: 'S' });
  assert.equal(later.send('agent', late, over), 'egress-rules');
});

test('a lifetime goes on while nobody runs, by whichever clock says that more time has passed', () => {
  const first = makeRig();
  learn(first);
  const names = saved(first);
  const whole = 1000 * LIFETIME_S + GRACE_MS;
  assert.deepEqual(left(names), [whole, whole]);
  assert.deepEqual(left(names, { elapsedMs: 100_000 }), [whole - 100_000, whole - 100_000]);
  assert.deepEqual(left(names, { wallMs: 1_100_000 }), [whole - 100_000, whole - 100_000]);
  assert.deepEqual(left(names, { wallMs: 0 }), [whole, whole], 'a clock that was set back');
  assert.deepEqual(left(names, { elapsedMs: 10_000, timeScale: 10 }), [whole - 100_000, whole - 100_000]); // prettier-ignore
  assert.deepEqual(left(names, { elapsedMs: whole }), []);
  assert.deepEqual(left(names, { wallMs: 1_000_000 + whole }), []);
  assert.deepEqual(left(names, { portOf: () => undefined }), [], 'its interface is gone');
});

test('names that no rule has, addresses that no name may have, and lifetimes beyond the settings are not taken over', () => {
  const first = makeRig();
  learn(first);
  const names = saved(first) as { learnt: [string, number[], [number, number], number][] };
  assert.equal(recall(names, makeRig(['tcp 443 to dns:other.example.com']))[0], 0);
  const of = (words: number[]): unknown => ({ ...names, learnt: names.learnt.map(([id, , name, ms]) => [id, words, name, ms]) }); // prettier-ignore
  assert.equal(recall(of([0x0a000063]), makeRig())[0], 0, '10.0.0.99');
  assert.equal(recall(of([0x7f000001]), makeRig())[0], 0, '127.0.0.1');
  assert.equal(recall(of([0x0a000063]), makeRig(), { ...NAME_SETTINGS, acceptsPrivate: true })[0], 1); // prettier-ignore
  assert.equal(recall(of([0x0a00000c]), makeRig(), { ...NAME_SETTINGS, acceptsPrivate: true })[0], 0, "an interface's"); // prettier-ignore
  assert.equal(recall(names, makeRig(), { ...NAME_SETTINGS, maxAddresses: 1 })[0], 1);
  const [, later] = recall(names, makeRig(), { ...NAME_SETTINGS, maxLifetimeMs: 5000 });
  assert.equal(later.send('agent', syn, 4999), 'uplink');
  assert.equal(later.send('agent', syn6, 5000), 'egress-rules');
});

test('whatever has not the form of it is refused as a whole', () => {
  const first = makeRig();
  learn(first);
  const names = saved(first) as { atMs: number; learnt: unknown[][] };
  const [[id, words, identity, leftMs]] = names.learnt;
  for (const learnt of [
    'x',
    [1],
    [[id, words, identity]],
    [[7, words, identity, leftMs]],
    [[id, [1, 2], identity, leftMs]],
    [[id, [1.5], identity, leftMs]],
    [[id, ['1'], identity, leftMs]],
    [[id, [2 ** 31], identity, leftMs]],
    [[id, words, [1], leftMs]],
    [[id, words, identity, 2 ** 40]],
    [...names.learnt, null],
    new Array(16 * 16_384 + 1).fill(names.learnt[0]),
  ])
    assert.equal(left({ ...names, learnt }), undefined);
  for (const other of [null, 7, [], { learnt: names.learnt }, { ...names, atMs: 'now' }])
    assert.equal(left(other), undefined);
});
