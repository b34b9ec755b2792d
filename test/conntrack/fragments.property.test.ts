/**
 * Fragments at random: the table against its plain twin, with room and without, and what a receiver would
 * put together from the fragments that passed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  FRAGMENT_IS_COPY,
  FRAGMENT_OF_DROPPED,
  FRAGMENT_OVER_LIMIT,
  FRAGMENT_OVERLAPS,
  FRAGMENT_PASSES,
  FRAGMENT_TO_JUDGE,
  FRAGMENT_UNKNOWN,
  FragmentTable,
} from '../../src/conntrack/fragments.ts';
import { FRAGMENT_FIRST, FRAGMENT_LATER, Packet } from '../../src/wire/packet.ts';
import { Rig } from '../engine/rig.ts';
import { fragment6, ipv4, ipv6, PROTOCOL, udp } from '../packets/build.ts';
import { FragmentTwin, REFUSED, type Answer, type Fragment } from './fragment-twin.ts';

const SECRET = { k0: 0x01234567, k1: 0x89abcdef | 0 };

const NAMES: Readonly<Record<number, Answer>> = {
  [FRAGMENT_PASSES]: 'passes',
  [FRAGMENT_TO_JUDGE]: 'judge',
  [FRAGMENT_UNKNOWN]: 'early',
  [FRAGMENT_OF_DROPPED]: 'dropped',
  [FRAGMENT_OVERLAPS]: 'overlap',
  [FRAGMENT_IS_COPY]: 'copy',
  [FRAGMENT_OVER_LIMIT]: 'limit',
};

const packet = new Packet();

function offer(table: FragmentTable, fragment: Fragment, nowMs: number): Answer {
  const { gate, sender, family, protocol, id, source, start, end, more, passes } = fragment;
  Object.assign(packet, {
    family,
    protocol,
    src0: family === 4 ? source : 0x20010db8,
    src3: family === 4 ? 0 : source,
    dst0: 7,
    fragment: start === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER,
    fragmentId: id,
    fragmentOffset: start,
    fragmentEnd: end,
    fragmentMore: more ? 1 : 0,
  });
  const answer = table.offer(gate, sender, packet, nowMs | 0);
  if (answer === FRAGMENT_TO_JUDGE) table.settle(packet, passes, nowMs | 0);
  return NAMES[answer];
}

/** Blocks of 8 bytes, so few that ranges meet: [start, end), the last one of a datagram with an odd end now and then. */
const range = fc
  .tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 1, max: 4 }), fc.nat(7), fc.boolean())
  .map(([block, blocks, cut, mayEnd]) => {
    const start = block * 8;
    const isLast = mayEnd && block > 0;
    return { start, end: start + blocks * 8 - (isLast ? cut : 0), more: !isLast };
  });

const fragment: fc.Arbitrary<Fragment> = fc
  .record({
    gate: fc.nat(2),
    sender: fc.nat(2),
    family: fc.constantFrom(4 as const, 6 as const),
    protocol: fc.constantFrom(0, 6, 17),
    id: fc.constantFrom(0, 1, 0xffff, -1),
    source: fc.nat(1),
    passes: fc.boolean(),
    range,
  })
  .map(({ range: where, ...rest }) => ({ ...rest, ...where }));

/** A datagram cut, put in some order, some of it sent twice: mostly as it should be. */
const datagram: fc.Arbitrary<Fragment[]> = fc
  .tuple(
    fragment,
    fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 2, maxLength: 6 }),
    fc.array(fc.nat(5), { maxLength: 2 }),
    fc.boolean(),
    fc.nat(),
  )
  .map(([like, blocks, copies, inOrder, shuffle]) => {
    let at = 0;
    const pieces = blocks.map((count, i) => {
      const start = at;
      at += count * 8;
      return { ...like, start, end: at, more: i < blocks.length - 1 };
    });
    const [first, ...rest] = pieces;
    const turned = rest.map((_, i) => rest[(i + shuffle) % rest.length]);
    const ordered = inOrder ? [first, ...turned] : [...turned, first, ...rest];
    return [...ordered, ...copies.map((i) => ordered[i % ordered.length])];
  });

const traffic = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: datagram },
      fragment.map((one) => [one]),
    ),
    {
      maxLength: 25,
    },
  )
  .map((lists) => lists.flat());

test('with room for all, the table answers as its twin does, as time passes', () => {
  const seen = new Set<Answer>();
  const steps = fc.array(fc.constantFrom(0, 0, 0, 1, 10_000, 29_999, 30_000, 30_001));
  fc.assert(
    fc.property(traffic, steps, fc.integer(), (fragments, pauses, startMs) => {
      const table = new FragmentTable(SECRET, 3, 512);
      const twin = new FragmentTwin();
      let nowMs = startMs;
      fragments.forEach((one, i) => {
        nowMs += pauses.at(i % (pauses.length + 1)) ?? 0;
        const expected = twin.offer(one, nowMs);
        assert.equal(offer(table, one, nowMs), expected, `fragment ${i}`);
        seen.add(expected);
      });
    }),
    { numRuns: 3000 },
  );
  assert.deepEqual(
    [...seen].sort(),
    ['copy', 'dropped', 'early', 'judge', 'overlap', 'passes'],
    'the traffic was of every kind',
  );
});

test('with too little room, the same datagrams make room in both', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), traffic, (capacity, fragments) => {
      const table = new FragmentTable(SECRET, 3, capacity);
      const twin = new FragmentTwin(capacity);
      fragments.forEach((one, i) => {
        const expected = twin.offer(one, 0);
        assert.equal(offer(table, one, 0), expected, `fragment ${i}`);
        for (const [sender, line] of twin.lines)
          if (sender !== REFUSED)
            assert.equal(table.countOf(sender), line.length, `datagrams of ${sender}`);
      });
    }),
    { numRuns: 3000 },
  );
});

test('a sender within its share does not notice what the others do', () => {
  const capacity = 12;
  // Three senders: a share is four datagrams. One sender keeps to four, told apart by their ids.
  // What it loses of refused ones, in a full table, is a name.
  const modest = traffic.map((list) =>
    list.map((one) => ({ ...one, sender: 0, gate: 0, source: 0, passes: true })),
  );
  const flood = fc.array(
    fc.record({ sender: fc.integer({ min: 1, max: 2 }), id: fc.nat(0xffff), passes: fc.boolean() }),
    { minLength: 50, maxLength: 200 },
  );
  fc.assert(
    fc.property(modest, flood, (fragments, others) => {
      const table = new FragmentTable(SECRET, 3, capacity);
      const alone = new FragmentTwin();
      fragments.forEach((one, i) => {
        const own: Fragment = { ...one, family: 4, protocol: 17 };
        for (const other of [...others.slice(i), ...others.slice(0, i)])
          offer(table, { ...own, ...other, gate: 1, start: 0, end: 8, more: true }, 0);
        assert.equal(offer(table, own, 0), alone.offer(own, 0), `fragment ${i}`);
      });
    }),
    { numRuns: 200 },
  );
});

test('what passes is put together in one way only, and begins with what was judged', () => {
  const [WEB, APP] = ['10.0.0.11', '10.0.0.12'];
  const [WEB6, APP6] = ['fd00:10::11', 'fd00:10::12'];
  const text = {
    groups: { web: {}, app: { ingress: ['udp 53 from sg:web'] } },
    interfaces: {
      web: { addresses: [WEB, WEB6], groups: ['web'] },
      app: { addresses: [APP, APP6], groups: ['app'] },
    },
  };
  const build = ({ family, id, start, end, more, passes }: Fragment): Uint8Array => {
    const ports = udp(family === 4 ? WEB : WEB6, family === 4 ? APP : APP6, {
      srcPort: 5000,
      dstPort: passes ? 53 : 22,
    });
    const payload = new Uint8Array(end - start);
    if (start === 0) payload.set(ports);
    if (family === 4)
      return ipv4({
        ...{ src: WEB, dst: APP, protocol: PROTOCOL.udp, id: id & 0xffff },
        ...{ fragmentOffset: start, mf: more, payload },
      });
    const extensionHeaders = [fragment6({ offset: start, more, id: id >>> 0 })];
    return ipv6({ src: WEB6, dst: APP6, nextHeader: PROTOCOL.udp, extensionHeaders, payload });
  };
  let delivered = 0;
  fc.assert(
    fc.property(traffic, (fragments) => {
      const rig = new Rig(text);
      /** By datagram, what the receiver holds: for each byte, whether the datagram was admitted. */
      const buffers = new Map<string, { readonly held: Set<number>; end?: number }>();
      for (const one of fragments) {
        if (rig.send('web', build(one)) !== 'app') continue;
        delivered++;
        const key = `${one.family} ${one.family === 4 ? one.id & 0xffff : one.id}`;
        if (one.start === 0) assert.ok(one.passes, 'a first fragment that the rules admit');
        const buffer = buffers.get(key) ?? { held: new Set<number>() };
        if (!buffers.has(key)) assert.equal(one.start, 0, 'the first fragment comes first');
        buffers.set(key, buffer);
        for (let byte = one.start; byte < one.end; byte++) {
          assert.ok(!buffer.held.has(byte), `byte ${byte} of ${key} comes once`);
          buffer.held.add(byte);
        }
        if (!one.more) buffer.end = one.end;
        if (buffer.end !== undefined)
          assert.ok(Math.max(...buffer.held) < buffer.end, 'nothing lies beyond the end');
        if (buffer.held.size === buffer.end) buffers.delete(key);
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(delivered > 1000, `${delivered} fragments were delivered`);
});
