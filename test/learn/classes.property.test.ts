/** Classes: members of one are alike, and no rule between classes admits more pairs than the bound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { classify, type Edge } from '../../src/learn/classes.ts';

interface Talk {
  readonly from: number;
  /** An interface, or below 0 an address outside. */
  readonly to: number;
  readonly service: string;
}

/** Both ends of what was seen. */
function edgesOf(count: number, talks: readonly Talk[]): Edge[][] {
  const edges: Edge[][] = Array.from({ length: count }, () => []);
  for (const { from, to, service } of talks) {
    if (from === to) continue;
    const address = to < 0 ? `${to}` : '';
    edges[from].push({ direction: 'egress', service, peer: Math.max(-1, to), address: to < 0 ? address : 'inside' }); // prettier-ignore
    if (to >= 0) edges[to].push({ direction: 'ingress', service, peer: from, address: 'inside' });
  }
  return edges;
}

/** Checks, pair by pair, what the rules of classes admit against what was seen. */
function checkBound(
  edges: readonly (readonly Edge[])[],
  classes: readonly number[],
  factor: number,
): void {
  const all = [...new Set(classes)];
  const directions = ['ingress', 'egress'] as const;
  const services = [...new Set(edges.flat().map(({ service }) => service))];
  for (const one of all)
    for (const direction of directions)
      for (const service of services) {
        const members = classes.flatMap((own, i) => (own === one ? [i] : []));
        const own = members.map((i) => edges[i].filter((edge) => edge.direction === direction && edge.service === service)); // prettier-ignore
        for (const other of all) {
          const peers = classes.flatMap((its, i) => (its === other ? [i] : []));
          const seen = own.reduce((sum, list) => sum + peers.filter((peer) => list.some((edge) => edge.peer === peer)).length, 0); // prettier-ignore
          if (seen === 0) continue;
          const admitted = members.flatMap((i) => peers.filter((peer) => peer !== i)).length;
          assert.ok(admitted <= factor * seen, `${admitted} pairs are admitted, ${seen} seen`);
          assert.ok(own.every((list) => list.some((edge) => peers.includes(edge.peer))), 'members differ'); // prettier-ignore
        }
        const outside = own.map((list) => new Set(list.flatMap(({ peer, address }) => (peer < 0 ? [address] : [])))); // prettier-ignore
        const addresses = new Set(outside.flatMap((list) => [...list]));
        const seen = outside.reduce((sum, list) => sum + list.size, 0);
        assert.ok(members.length * addresses.size <= factor * seen);
      }
}

const talk = fc.record({
  from: fc.nat(9),
  to: fc.integer({ min: -4, max: 9 }),
  service: fc.constantFrom('6 80', '6 443', '17 53'),
});

test('no rule admits more pairs than the bound, and members of a class are alike', () => {
  fc.assert(
    fc.property(
      fc.array(talk, { maxLength: 60 }),
      fc.constantFrom(1, 1.5, 2, 4, 1000),
      (talks, factor) => {
        const edges = edgesOf(10, talks);
        const classes = classify(edges, new Array<string>(10).fill(''), { factor });
        checkBound(edges, classes, factor);
      },
    ),
    { numRuns: 1000 },
  );
});

test('who offers the same to the same shares a class', () => {
  const talks = [0, 1].flatMap((web) =>
    [2, 3].map((db) => ({ from: web, to: db, service: '6 5432' })),
  );
  const outside = [0, 1].map((web) => ({ from: web, to: -1, service: '6 443' }));
  const edges = edgesOf(5, [...talks, ...outside]);
  assert.deepEqual(classify(edges, ['', '', '', '', ''], { factor: 1 }), [0, 0, 1, 1, 2]);
  assert.deepEqual(classify(edges, ['a', 'b', '', '', ''], { factor: 1 }), [0, 1, 2, 2, 3]);
});

test('pairs that were never seen split a class beyond the bound, and what hangs on it', () => {
  const talks = [0, 1, 2].map((i) => ({ from: i, to: 3 + i, service: '6 80' }));
  const edges = edgesOf(6, talks);
  const none = ['', '', '', '', '', ''];
  assert.deepEqual(classify(edges, none, { factor: 2.9 }), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(classify(edges, none, { factor: 3 }), [0, 0, 0, 1, 1, 1]);
});
