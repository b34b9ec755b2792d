import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress, parseAddress, parseCidr, type Address } from '../../src/addr/address.ts';
import { DEFAULT_GROUP_DESCRIPTION, makeDefaultGroup } from '../../src/policy/default-group.ts';
import { groupMembers, peerContains } from '../../src/policy/members.ts';
import type { NetworkInterface, Peer, PolicyModel, PrefixList } from '../../src/policy/model.ts';
import { ruleText } from '../../src/policy/rules.ts';

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

const base = makeDefaultGroup('f');

function makeInterface(
  id: string,
  groupIds: readonly string[],
  addresses: readonly string[],
): NetworkInterface {
  return {
    id,
    name: id,
    addresses: addresses.map(address),
    groupIds,
    sourceDestCheck: true,
    connectionTracking: {
      tcpEstablishedTimeoutSec: 432000,
      udpTimeoutSec: 30,
      udpStreamTimeoutSec: 180,
    },
    origin: base.origin,
  };
}

const office = parseCidr('203.0.113.0/24', 'refuse');
assert.ok(office.ok);
const list: PrefixList = {
  id: 'pl-1',
  name: 'office',
  family: 4,
  maxEntries: 1,
  entries: [{ cidr: office.value, description: '' }],
  origin: base.origin,
};
const model: PolicyModel = {
  groups: new Map(['sg-a', 'sg-b', 'sg-none'].map((id) => [id, { ...base, id, name: id }])),
  prefixLists: new Map([[list.id, list]]),
  interfaces: new Map([
    ['eni-1', makeInterface('eni-1', ['sg-a'], ['10.0.0.1', 'fd00::1'])],
    ['eni-2', makeInterface('eni-2', ['sg-a', 'sg-b'], ['10.0.0.2', '10.0.0.3'])],
  ]),
};

test('members of a group are the addresses of its interfaces, of both families', () => {
  const members = [...groupMembers(model)].map(([id, addresses]) => [
    id,
    addresses.map(formatAddress),
  ]);
  assert.deepEqual(members, [
    ['sg-a', ['10.0.0.1', 'fd00::1', '10.0.0.2', '10.0.0.3']],
    ['sg-b', ['10.0.0.2', '10.0.0.3']],
    ['sg-none', []],
  ]);
});

test('a peer names its addresses and no others', () => {
  const cases: readonly (readonly [Peer, string, boolean])[] = [
    [{ kind: 'cidr', cidr: office.value }, '203.0.113.255', true],
    [{ kind: 'cidr', cidr: office.value }, '203.0.114.0', false],
    [{ kind: 'cidr', cidr: office.value }, 'fd00::1', false],
    [{ kind: 'prefixList', prefixListId: 'pl-1' }, '203.0.113.9', true],
    [{ kind: 'prefixList', prefixListId: 'pl-1' }, '203.0.112.9', false],
    [{ kind: 'prefixList', prefixListId: 'pl-gone' }, '203.0.113.9', false],
    [{ kind: 'group', groupId: 'sg-a' }, 'fd00::1', true],
    [{ kind: 'group', groupId: 'sg-b' }, '10.0.0.3', true],
    [{ kind: 'group', groupId: 'sg-b' }, '10.0.0.1', false],
    [{ kind: 'group', groupId: 'sg-none' }, '10.0.0.1', false],
    [{ kind: 'group', groupId: 'sg-gone' }, '10.0.0.1', false],
  ];
  for (const [peer, text, expected] of cases)
    assert.equal(peerContains(peer, address(text), model), expected, `${peer.kind} ${text}`);
});

test('the default group admits its own members and lets everything out', () => {
  const names = { groups: new Map([[base.id, base]]), prefixLists: new Map() };
  assert.deepEqual([base.name, base.description], ['default', DEFAULT_GROUP_DESCRIPTION]);
  assert.deepEqual(
    [...base.ingress, ...base.egress].map((rule) => ruleText(rule, names)),
    ['all from sg:default', 'all to 0.0.0.0/0', 'all to ::/0'],
  );
});
