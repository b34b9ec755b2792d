/** What kinds of interfaces can reach, against its slow twin: the plain judge, asked about each pair of interfaces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Address } from '../../src/addr/address.ts';
import { judgeCertainly, type Certainty } from '../../src/policy/doubt.ts';
import type {
  Direction,
  NetworkInterface,
  PolicyModel,
  SecurityGroup,
} from '../../src/policy/model.ts';
import { servicesOf, type ServiceSet } from '../../src/policy/service-set.ts';
import { kindsOf, reachOfKinds, type KindEnd } from '../../src/reach/kinds.ts';
import { regionLabel } from '../../src/reach/regions.ts';
import { loadText } from '../config/config-text.ts';
import { ADDRESSES, BLOCKS, GROUPS, models, rules } from '../policy/doubt-models.ts';

const RUNS = 600;
const PORTS = [1, 2, 3];
const origin = { file: 'x', line: 1, column: 1, path: '' };

/** Models without doubt: up to four interfaces, of which some have the same groups. */
const certain: fc.Arbitrary<PolicyModel> = fc
  .record({
    groups: fc.tuple(...GROUPS.map(() => fc.array(rules, { maxLength: 3 }))),
    members: fc.array(fc.subarray(GROUPS, { minLength: 1 }), { minLength: 2, maxLength: 4 }),
    entries: fc.subarray(BLOCKS, { maxLength: 2 }),
  })
  .map(({ groups, members, entries }) => {
    const made = GROUPS.map((id, i): SecurityGroup => ({
      ...{ id, name: id, description: '', origin },
      ingress: groups[i].filter(({ direction }) => direction === 'ingress'),
      egress: groups[i].filter(({ direction }) => direction === 'egress'),
    }));
    const interfaces = members.map((groupIds, i): NetworkInterface => ({
      // Two may be called the same.
      ...{ id: `eni-${i}`, name: `eni-${i % 3}`, addresses: [ADDRESSES[i]], groupIds },
      ...{ sourceDestCheck: true, origin },
      connectionTracking: {
        ...{ tcpEstablishedTimeoutSec: 350, udpTimeoutSec: 30, udpStreamTimeoutSec: 180 },
      },
    }));
    const list = {
      ...{ id: 'pl-a', name: 'a', family: 4 as const, maxEntries: 10, origin },
      entries: entries.map((cidr) => ({ cidr, description: '' })),
    };
    return {
      groups: new Map(made.map((group) => [group.id, group])),
      prefixLists: new Map([[list.id, list]]),
      interfaces: new Map(interfaces.map((one) => [one.id, one])),
    };
  });

type Three = 'no' | 'maybe' | 'yes';

function threeOf({ kind }: Certainty): Three {
  return kind === 'admits' ? 'yes' : kind === 'refuses' ? 'no' : 'maybe';
}

/** What the plain judge says of a packet from one interface to another. */
function judge(
  model: PolicyModel,
  from: NetworkInterface,
  to: NetworkInterface,
  port: number,
): Three {
  const ask = (id: string, direction: Direction, remote: Address): Three => {
    const probe = { protocol: 6, port, icmpType: 0, icmpCode: 0, remote };
    return threeOf(judgeCertainly(model, id, direction, probe));
  };
  const gates = [ask(from.id, 'egress', to.addresses[0]), ask(to.id, 'ingress', from.addresses[0])];
  return gates.includes('no') ? 'no' : gates.includes('maybe') ? 'maybe' : 'yes';
}

function hasPort(set: ServiceSet, port: number): boolean {
  const [[number]] = servicesOf({ protocol: 6, fromPort: port, toPort: port });
  return set.some(([first, last]) => first <= number && number <= last);
}

for (const [what, drawn] of [
  ['certain', certain],
  ['in doubt', models],
] as const)
  test(`a kind reaches another exactly if one of its members reaches one of the other's: ${what}`, async () => {
    let edges = 0;
    let nothing = 0;
    await fc.assert(
      fc.asyncProperty(drawn, async (model) => {
        const { ends, pairs, isTooLarge } = await reachOfKinds(model);
        assert.ok(!isTooLarge);
        const kinds = kindsOf(model);
        for (const [from, source] of kinds.entries())
          for (const [to, target] of kinds.entries()) {
            const found = pairs.find((pair) => pair.from === from && pair.to === to);
            assert.deepEqual(ends[from], { kind: 'interfaces', of: source });
            for (const port of PORTS) {
              const verdicts = source.interfaces.flatMap((one) =>
                target.interfaces
                  .filter(({ id }) => id !== one.id)
                  .map((other) => judge(model, one, other, port)),
              );
              const wanted = [verdicts.includes('yes'), verdicts.some((one) => one !== 'no')];
              const told = [hasPort(found?.sure ?? [], port), hasPort(found?.maybe ?? [], port)];
              assert.deepEqual(told, wanted, `${from} to ${to}, port ${port}`);
              if (wanted[1]) edges++;
              else nothing++;
            }
          }
        // No edge without something that is allowed, and none twice.
        assert.ok(pairs.every(({ maybe }) => maybe.length > 0));
        assert.equal(new Set(pairs.map(({ from, to }) => `${from} ${to}`)).size, pairs.length);
      }),
      { numRuns: RUNS },
    );
    assert.ok(edges > 100 && nothing > 100, `both were met: ${edges}, ${nothing}`);
  });

function nameOf(end: KindEnd): string {
  switch (end.kind) {
    case 'interfaces':
      return end.of.interfaces.map(({ name }) => name).join(' ');
    case 'member':
      return end.groupId;
    case 'outside':
      return end.regions.map(regionLabel).join(' ');
    case 'named':
      return end.peer.name;
    default:
      return end satisfies never;
  }
}

test('parts of the world and DNS names are ends, and the platform is none', async () => {
  const { config } = loadText(`
securityGroups:
  web:
    ingress: [{ protocol: tcp, ports: 443, from: 0.0.0.0/0 }, { protocol: tcp, ports: 22, from: 10.0.0.0/8 }]
    egress: [{ protocol: tcp, ports: 443, to: "dns:api.example.com" }, { protocol: udp, ports: 53, to: "sg:web" }]
interfaces:
  a: { device: { name: a }, addresses: [10.0.0.1], securityGroups: [web] }
  b: { device: { name: b }, addresses: [10.0.0.2], securityGroups: [web] }
`);
  const { ends, pairs } = await reachOfKinds(config!.model);
  assert.deepEqual(
    pairs.map(({ from, to, rules: by }) => [nameOf(ends[from]), nameOf(ends[to]), by.size]).sort(),
    [
      ['0.0.0.0/5 8.0.0.0/7 11.0.0.0-255.255.255.255', 'a b', 1],
      ['10.0.0.0/8', 'a b', 2],
      ['a b', 'api.example.com', 1],
    ],
  );
});
