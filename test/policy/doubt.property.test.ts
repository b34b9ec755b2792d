/**
 * Models with unknowns, each unknown replaced by things that it may be: what is called certain is so in every
 * replacement. The plain matcher judges those.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, type Address, type Cidr } from '../../src/addr/address.ts';
import { judgeCertainly } from '../../src/policy/doubt.ts';
import type { Direction, NetworkInterface, PolicyModel, Rule } from '../../src/policy/model.ts';
import { matchingRules, type Probe } from '../../src/policy/reference.ts';
import { ADDRESSES, BLOCKS, GROUPS, INTERFACES, models, rules } from './doubt-models.ts';

const RUNS = 3000;

/** Draws what the unknowns turn out to be. */
interface Draw {
  readonly coin: () => boolean;
  readonly rule: () => Rule;
  readonly pick: <T>(from: readonly T[]) => T;
}

function resolve(model: PolicyModel, draw: Draw): PolicyModel {
  const groups = [...model.groups.values()].map((one) => {
    const more = (one.possible ?? []).filter(draw.coin);
    const unseen = (['ingress', 'egress'] as const).flatMap((direction) =>
      (one.gaps?.[direction] ?? []).map((): Rule => ({ ...draw.rule(), direction })),
    );
    const of = (direction: Direction): Rule[] =>
      [...one[direction], ...more, ...unseen].filter((rule) => rule.direction === direction);
    return { ...one, ingress: of('ingress'), egress: of('egress') };
  });
  // Two interfaces never have one address.
  const known = [...model.interfaces.values()].filter(({ doubt }) => doubt?.within === undefined);
  const taken = new Set(known.map(({ addresses }) => formatAddress(addresses[0])));
  const interfaces = [...model.interfaces.values()].map((one) => {
    const { doubt } = one;
    const more = [...(doubt?.groups.keys() ?? [])].filter(draw.coin);
    const unseen = (doubt?.gaps ?? []).length > 0 ? GROUPS.filter(draw.coin) : [];
    const within = doubt?.within?.[0];
    const isFree = (each: Address): boolean => !taken.has(formatAddress(each));
    const free =
      within === undefined
        ? one.addresses[0]
        : draw.pick(ADDRESSES.filter((each) => contains(within, each) && isFree(each)));
    taken.add(formatAddress(free));
    return {
      ...one,
      addresses: [free],
      groupIds: [...new Set([...one.groupIds, ...more, ...unseen])],
    };
  });
  const strangers = [...model.groups.values()]
    .filter(({ memberGaps = [] }) => memberGaps.length > 0)
    .filter(draw.coin)
    .map((each): NetworkInterface => {
      const [like] = interfaces;
      const id = `eni-of-${each.id}`;
      const free = ADDRESSES.filter((one) => !taken.has(formatAddress(one)));
      return { ...like, id, name: id, groupIds: [each.id], addresses: [draw.pick(free)] };
    });
  const lists = [...model.prefixLists.values()].map((one) => ({
    ...one,
    entries: [
      ...one.entries,
      ...(one.gaps ?? []).map(() => ({ cidr: draw.pick(BLOCKS), description: '' })),
    ],
  }));
  const all = [...interfaces, ...strangers];
  return {
    groups: new Map(groups.map((one) => [one.id, one])),
    prefixLists: new Map(lists.map((one) => [one.id, one])),
    interfaces: new Map(all.map((one) => [one.id, one])),
  };
}

function contains(block: Cidr, one: Address): boolean {
  return (one.words[0] & (-1 << (32 - block.length))) === block.words[0];
}

test('what is certain is so whatever the unknown turns out to be', () => {
  const seen = { admits: 0, refuses: 0, undecidable: 0 };
  fc.assert(
    fc.property(
      models,
      fc.constantFrom<Direction>('ingress', 'egress'),
      fc.constantFrom(1, 2, 3),
      fc.nat({ max: 3 }),
      fc.gen(),
      (model, direction, port, other, gen) => {
        const probeOf = (remote: Address): Probe => ({
          protocol: 6,
          port,
          icmpType: 0,
          icmpCode: 0,
          remote,
        });
        // 0, 1: an interface; 2, 3: an address that no known interface has.
        const said = judgeCertainly(model, 'eni-a', direction, probeOf(ADDRESSES[other]));
        seen[said.kind]++;
        if (said.kind === 'undecidable') return;
        const draw: Draw = {
          coin: () => gen(fc.boolean),
          rule: () => gen(() => rules),
          pick: (from) => from[gen(fc.nat, { max: from.length - 1 })],
        };
        for (let i = 0; i < 8; i++) {
          const resolved = resolve(model, draw);
          const remote =
            other < 2 ? resolved.interfaces.get(INTERFACES[other])!.addresses[0] : ADDRESSES[other];
          const found = matchingRules(resolved, 'eni-a', direction, probeOf(remote));
          assert.equal(found.length > 0, said.kind === 'admits');
        }
      },
    ),
    { numRuns: RUNS },
  );
  // Neither everything nor nothing is left open.
  assert.ok(
    Math.min(seen.admits, seen.refuses, seen.undecidable) > RUNS / 20,
    JSON.stringify(seen),
  );
});

test('without unknowns, and of what a daemon enforces, it is what the plain matcher says', () => {
  fc.assert(
    fc.property(
      models,
      fc.constantFrom<Direction>('ingress', 'egress'),
      fc.nat({ max: 3 }),
      (model, direction, other) => {
        const probe: Probe = {
          protocol: 6,
          port: 2,
          icmpType: 0,
          icmpCode: 0,
          remote: ADDRESSES[other],
        };
        const said = judgeCertainly({ ...model, isElsewhere: false }, 'eni-a', direction, probe);
        const found = matchingRules(model, 'eni-a', direction, probe);
        assert.equal(said.kind, found.length > 0 ? 'admits' : 'refuses');
      },
    ),
    { numRuns: RUNS },
  );
});
