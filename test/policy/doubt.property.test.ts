/**
 * Models with unknowns, each unknown replaced by things that it may be: what is called certain is so in every
 * replacement. The plain matcher judges those.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAddress,
  parseAddress,
  parseCidr,
  type Address,
  type Cidr,
} from '../../src/addr/address.ts';
import { judgeCertainly } from '../../src/policy/doubt.ts';
import type {
  Direction,
  NetworkInterface,
  Peer,
  PolicyModel,
  PossibleRule,
  PrefixList,
  Rule,
  SecurityGroup,
} from '../../src/policy/model.ts';
import { matchingRules, type Probe } from '../../src/policy/reference.ts';

const RUNS = 3000;
const origin = { file: 'x', line: 1, column: 1, path: '' };
const GROUPS = ['sg-a', 'sg-b', 'sg-c'];
const INTERFACES = ['eni-a', 'eni-b'];
const BLOCKS = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.0.0.0/24',
  '10.0.0.0/25',
  '10.0.1.0/24',
  '172.16.0.0/12',
].map(cidr);
const ADDRESSES = ['10.0.0.4', '10.0.0.200', '10.0.1.4', '172.16.0.9'].map(address);

function cidr(text: string): Cidr {
  const parsed = parseCidr(text, 'refuse');
  assert.ok(parsed.ok);
  return parsed.value;
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

const peers: fc.Arbitrary<Peer> = fc.oneof(
  fc.constantFrom(...BLOCKS).map((block): Peer => ({ kind: 'cidr', cidr: block })),
  fc.constantFrom(...GROUPS).map((groupId): Peer => ({ kind: 'group', groupId })),
  fc.constant<Peer>({ kind: 'prefixList', prefixListId: 'pl-a' }),
);

const rules: fc.Arbitrary<Rule> = fc
  .record({
    direction: fc.constantFrom<Direction>('ingress', 'egress'),
    fromPort: fc.constantFrom(1, 2),
    peer: peers,
  })
  .map(({ direction, fromPort, peer }) => {
    const id = `sgr-${direction}-${fromPort}-${JSON.stringify(peer)}`;
    return { id, direction, protocol: 6, fromPort, toPort: 2, peer, description: '', origin };
  });

const few = <T>(items: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(items, { maxLength: 2 });
const reasons = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.constant(['why']) },
);

const group = (id: string): fc.Arbitrary<SecurityGroup> =>
  fc
    .record({
      rules: few(rules),
      possible: few(rules),
      ingress: reasons,
      egress: reasons,
      members: reasons,
    })
    .map((drawn) => ({
      ...{ id, name: id, description: '', origin },
      ingress: drawn.rules.filter(({ direction }) => direction === 'ingress'),
      egress: drawn.rules.filter(({ direction }) => direction === 'egress'),
      gaps: { ingress: drawn.ingress, egress: drawn.egress },
      possible: drawn.possible.map((rule): PossibleRule => ({ ...rule, why: 'perhaps' })),
      memberGaps: drawn.members,
    }));

const network = (id: string, i: number): fc.Arbitrary<NetworkInterface> =>
  fc
    .record({
      groupIds: fc.subarray(GROUPS, { maxLength: 2 }),
      maybe: fc.oneof(
        { weight: 2, arbitrary: fc.constant<string[]>([]) },
        { weight: 1, arbitrary: fc.subarray(GROUPS) },
      ),
      gaps: reasons,
      within: fc.option(fc.constantFrom(cidr('10.0.0.0/24'), cidr('10.0.0.0/8'))),
    })
    .map(({ groupIds, maybe, gaps, within }) => ({
      ...{ id, name: id, addresses: [ADDRESSES[i]], groupIds, sourceDestCheck: true, origin },
      connectionTracking: {
        tcpEstablishedTimeoutSec: 60,
        udpTimeoutSec: 30,
        udpStreamTimeoutSec: 60,
      },
      doubt: {
        groups: new Map(
          maybe.filter((one) => !groupIds.includes(one)).map((one) => [one, 'perhaps']),
        ),
        gaps,
        ...(within === null ? {} : { within: [within] }),
      },
    }));

const list: fc.Arbitrary<PrefixList> = fc
  .record({ blocks: fc.subarray(BLOCKS, { maxLength: 2 }), gaps: reasons })
  .map(({ blocks, gaps }) => ({
    ...{ id: 'pl-a', name: 'pl-a', family: 4, maxEntries: 9, gaps, origin },
    entries: blocks.map((block) => ({ cidr: block, description: '' })),
  }));

const models: fc.Arbitrary<PolicyModel> = fc
  .record({
    groups: fc.tuple(...GROUPS.map(group)),
    interfaces: fc.tuple(...INTERFACES.map(network)),
    list,
  })
  .map(({ groups, interfaces, list: one }) => ({
    groups: new Map(groups.map((each) => [each.id, each])),
    prefixLists: new Map([[one.id, one]]),
    interfaces: new Map(interfaces.map((each) => [each.id, each])),
    isElsewhere: true,
  }));

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
