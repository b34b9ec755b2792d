/** Sets of members beside a plain Map, and how they are compared. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemberSet } from '../../src/policy/member-set.ts';

interface Member {
  readonly id: string;
}

const idOf = (at: number): string => `eni-${at.toString(16).padStart(17, '0')}`;
const id = fc.nat(300).map(idOf);
const step = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), ids: fc.array(id, { maxLength: 150 }) }),
  fc.record({ kind: fc.constant('remove' as const), id }),
);

function assertSame(set: MemberSet<Member>, twin: ReadonlyMap<string, Member>): void {
  assert.equal(set.size, twin.size);
  assert.deepEqual(new Set(set), new Set(twin.values()));
  for (const one of twin.values()) assert.ok(set.get(one.id) === one);
  assert.equal(set.get('eni-x'), undefined);
}

test('a set has what a Map has, former ones stay as they were, and changes are found', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      let set = MemberSet.of<Member>([]);
      const twin = new Map<string, Member>();
      const former: (readonly [MemberSet<Member>, ReadonlyMap<string, Member>])[] = [];
      for (const one of steps) {
        former.push([set, new Map(twin)]);
        if (one.kind === 'add') {
          const members = one.ids.map((id) => ({ id }));
          set = set.withAll(members);
          for (const member of members) twin.set(member.id, member);
        } else {
          const before = set;
          set = set.without(one.id);
          assert.equal(set === before, !twin.delete(one.id));
        }
      }
      for (const [old, was] of [...former, [set, twin] as const]) {
        assertSame(old, was);
        const { gone, come } = old.changesTo(set);
        assert.deepEqual(new Set(gone), new Set([...was.values()].filter((one) => twin.get(one.id) !== one))); // prettier-ignore
        assert.deepEqual(new Set(come), new Set([...twin.values()].filter((one) => was.get(one.id) !== one))); // prettier-ignore
      }
      assertSame(MemberSet.of(twin.values()), twin);
    }),
    { numRuns: 200 },
  );
});

test('to compare a large set with its next one looks at few members', () => {
  let reads = 0;
  const members = Array.from({ length: 10_000 }, (_, at) => ({
    get id() {
      reads++;
      return idOf(at);
    },
  }));
  const set = MemberSet.of<Member>(members);
  reads = 0;
  const next = set.without(idOf(77)).withAll([{ id: idOf(1 << 20) }]);
  const { gone, come } = set.changesTo(next);
  assert.deepEqual([gone.length, come.length], [1, 1]);
  assert.ok(reads < 200, `${reads} members were looked at`);
});
