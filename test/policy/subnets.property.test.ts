/** What subnets ask, as sets of services, against a slow twin that asks entries and routes about one packet at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrContains, type Address } from '../../src/addr/address.ts';
import type { Tri } from '../../src/policy/doubt.ts';
import type { AclEntry, NetworkAcl, RouteTable } from '../../src/policy/model.ts';
import { servicesOf } from '../../src/policy/service-set.ts';
import { passagesBetween, type SubnetEnd } from '../../src/policy/subnets.ts';
import { ADDRESSES, BLOCKS } from './doubt-models.ts';
import { endOf, ends, PORTS, type Place } from './subnet-models.ts';

const RUNS = 3000;
const EPHEMERAL = [1024, 1025, 39999, 40000, 40001, 65534, 65535];

type Three = 'no' | 'maybe' | 'yes';

/** One packet at one ACL: an entry that nobody could read may be anything. */
function askAcl(
  acl: NetworkAcl,
  direction: AclEntry['direction'],
  remote: Address,
  protocol: number,
  port: number,
): Three {
  const outcomes = new Set<boolean>();
  const own = acl.entries.filter((one) => one.direction === direction);
  own.sort((a, b) => a.number - b.number);
  const walk = (from: number): void => {
    for (let i = from; i < own.length; i++) {
      const { isAllow, block, protocol: wanted, fromPort, toPort } = own[i];
      if (wanted !== -1 && (wanted !== protocol || port < fromPort || port > toPort)) continue;
      if (block === undefined) {
        outcomes.add(isAllow);
        continue;
      }
      if (!cidrContains(block, remote)) continue;
      outcomes.add(isAllow);
      return;
    }
    outcomes.add(false);
  };
  walk(0);
  return outcomes.size === 2 ? 'maybe' : outcomes.has(true) ? 'yes' : 'no';
}

function askAnswers(acl: NetworkAcl, direction: AclEntry['direction'], remote: Address): Three {
  const all = EPHEMERAL.map((port) => askAcl(acl, direction, remote, 6, port));
  if (all.every((one) => one === 'yes')) return 'yes';
  return all.every((one) => one === 'no') ? 'no' : 'maybe';
}

function askRoute(place: Place, remote: Address, way: 'out' | 'in'): Three {
  const { routes, hasPublicAddress } = place.own!;
  if (routes === undefined) return 'yes';
  const fitting = routes.routes.filter(({ block }) => cidrContains(block, remote));
  const [longest] = fitting.sort((a, b) => b.block.length - a.block.length);
  if (longest === undefined) return routes.isPartial ? 'maybe' : 'no';
  if (longest.isBlackhole) return 'no';
  if (longest.target === 'igw-1') return hasPublicAddress ? 'yes' : 'no';
  return ['nat-1', 'eigw-1'].includes(longest.target) && way === 'in' ? 'no' : 'yes';
}

function ask(from: Place, to: Place, protocol: number, port: number): Three {
  if (from.own !== undefined && from.own.subnetId === to.own?.subnetId) return 'yes';
  const all: Three[] = [];
  const [there, here] = [to.address, from.address];
  if (from.own !== undefined) {
    all.push(askRoute(from, there, 'out'));
    const { acl } = from.own;
    if (acl !== undefined) all.push(askAcl(acl, 'egress', there, protocol, port));
    if (acl !== undefined && protocol === 6) all.push(askAnswers(acl, 'ingress', there));
  }
  if (to.own !== undefined) {
    const { acl } = to.own;
    if (acl !== undefined) all.push(askAcl(acl, 'ingress', here, protocol, port));
    if (acl !== undefined && protocol === 6) all.push(askAnswers(acl, 'egress', here));
    all.push(askRoute(to, here, 'in'));
  }
  if (all.includes('no')) return 'no';
  return all.includes('maybe') ? 'maybe' : 'yes';
}

test('every packet passes as entries and routes say, asked one by one', () => {
  const seen = new Map<Three, number>();
  fc.assert(
    fc.property(
      ends,
      ends,
      fc.constantFrom(6, 17),
      fc.constantFrom(...PORTS),
      (from, to, protocol, port) => {
        const wanted = ask(from, to, protocol, port);
        seen.set(wanted, (seen.get(wanted) ?? 0) + 1);
        const [[number]] = servicesOf({ protocol, fromPort: port, toPort: port });
        const has = (set: readonly (readonly [number, number])[]): boolean =>
          set.some(([first, last]) => first <= number && number <= last);
        const passages = passagesBetween(endOf(from), endOf(to), 4);
        const isSure = passages.every(({ sure }) => has(sure));
        const isPossible = passages.every(({ maybe }) => has(maybe));
        assert.equal(isSure ? 'yes' : isPossible ? 'maybe' : 'no', wanted);
      },
    ),
    { numRuns: RUNS },
  );
  assert.deepEqual([...seen.keys()].sort(), ['maybe', 'no', 'yes']);
});

test('the port from which a flow is sent decides where answers go', () => {
  const block = BLOCKS[0];
  const acl: NetworkAcl = {
    id: 'acl-1',
    entries: [
      {
        ...{ direction: 'egress', number: 1, isAllow: true, block },
        protocol: 6,
        fromPort: 443,
        toPort: 443,
      },
      {
        ...{ direction: 'ingress', number: 1, isAllow: true, block },
        protocol: 6,
        fromPort: 2000,
        toPort: 2000,
      },
    ],
  };
  const own = { subnetId: 'subnet-1', acl, routes: undefined, hasPublicAddress: false };
  const from = endOf({ address: ADDRESSES[0], own });
  const to = endOf({ address: ADDRESSES[3], own: undefined });
  const asked = servicesOf({ protocol: 6, fromPort: 443, toPort: 443 })[0][0];
  const verdict = (...ports: readonly (readonly [number, number])[]): readonly boolean[] => {
    const passages = passagesBetween(from, to, 4, ...ports);
    return [passages.map(({ sure }) => sure), passages.map(({ maybe }) => maybe)].map((sets) =>
      sets.every((set) => set.some(([first, last]) => first <= asked && asked <= last)),
    );
  };
  assert.deepEqual(verdict(), [false, true]);
  assert.deepEqual(verdict([2000, 2000]), [true, true]);
  assert.deepEqual(verdict([2001, 2001]), [false, false]);
});

test('a route that may be the one, and leads nowhere, leaves it open whether another one serves', () => {
  const [wide] = BLOCKS;
  const routes: RouteTable = {
    id: 'rtb-1',
    routes: [
      { block: BLOCKS[1], target: 'nat-1', isBlackhole: true },
      { block: wide, target: 'nat-1', isBlackhole: false },
    ],
    isPartial: false,
  };
  const own = { subnetId: 'subnet-1', acl: undefined, routes, hasPublicAddress: false };
  const from = endOf({ address: ADDRESSES[0], own });
  const to = (answer: Tri): SubnetEnd => ({
    own: undefined,
    isIn: (block) => (block === wide ? 'yes' : answer),
  });
  const verdictOf = (answer: Tri): readonly boolean[] => {
    const [{ sure, maybe }] = passagesBetween(from, to(answer), 4);
    return [sure.length > 0, maybe.length > 0];
  };
  assert.deepEqual(verdictOf('no'), [true, true]);
  assert.deepEqual(verdictOf({ why: 'its address is not known' }), [false, true]);
  assert.deepEqual(verdictOf('yes'), [false, false]);
});
