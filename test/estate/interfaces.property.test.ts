/**
 * Random calls on interfaces, subnets and groups by two processes at once. After each round: no address is given away
 * twice, the rows of addresses are the interfaces' addresses or leases, nothing that is named is gone, no device is two's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, parseAddress } from '../../src/addr/address.ts';
import { readLease } from '../../src/estate/addresses.ts';
import {
  attachForOwner,
  attachToInstance,
  detachForOwner,
  detachInterface,
} from '../../src/estate/attach.ts';
import type { Edit } from '../../src/estate/edit.ts';
import type { Estate } from '../../src/estate/estate.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { addDefaultGroup, createEstateGroup, deleteEstateGroup } from '../../src/estate/groups.ts';
import {
  assignAddresses,
  createInterface,
  deleteInterface,
  modifyInterface,
  unassignAddresses,
} from '../../src/estate/interfaces.ts';
import { indexRows } from '../../src/estate/index-rows.ts';
import { isForHosts } from '../../src/estate/keys.ts';
import { findPool, leaseAddress, releaseLease } from '../../src/estate/leases.ts';
import { addOwnedInterface, removeOwnedInterface } from '../../src/estate/owned-interfaces.ts';
import { isRelease } from '../../src/estate/release-text.ts';
import { createSubnet, deleteSubnet } from '../../src/estate/subnets.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { context, DEFAULT_VPC, putHost } from './world.ts';

const RUNS = 150;
const ZONES = ['us-east-1a'];
const VPC = {
  ...DEFAULT_VPC,
  blocks: [
    {
      associationId: 'vpc-cidr-assoc-1',
      cidr: { family: 4 as const, words: [0x0a140000], length: 16 },
    },
  ],
};

interface Call {
  readonly what:
    | 'subnet'
    | 'no subnet'
    | 'group'
    | 'no group'
    | 'interface'
    | 'by tags'
    | 'no interface'
    | 'assign'
    | 'unassign'
    | 'regroup'
    | 'attach'
    | 'detach'
    | 'own attach'
    | 'own detach'
    | 'lease'
    | 'claim'
    | 'unclaim'
    | 'release';
  /** Which one of those that there are. */
  readonly i: number;
  readonly j: number;
}

const calls = fc.record<Call>({
  what: fc.constantFrom(
    'subnet',
    'no subnet',
    'group',
    'no group',
    'interface',
    'interface',
    'by tags',
    'by tags',
    'no interface',
    'assign',
    'unassign',
    'regroup',
    'attach',
    'detach',
    'own attach',
    'own detach',
    'lease',
    'lease',
    'claim',
    'claim',
    'unclaim',
    'release',
  ),
  i: fc.nat(20),
  j: fc.nat(13),
});

const pick = <T>(values: readonly T[], i: number): T | undefined => values[i % values.length];
const DEVICE = {
  kind: 'tun',
  name: 'eth0',
  mtu: 1500,
  configure: true,
  persist: true,
} as const;
const UNKNOWN = '0123456789abcdef0';

function make(edit: Edit, { what, i, j }: Call): Checked<unknown> {
  const { estate } = edit;
  const subnetId = pick(estate.list('subnets'), i)?.id ?? `subnet-${UNKNOWN}`;
  const groupId = pick(estate.list('groups'), j)?.group.id ?? `sg-${UNKNOWN}`;
  const one = pick(estate.list('interfaces'), i);
  const id = one?.id ?? `eni-${UNKNOWN}`;
  switch (what) {
    case 'subnet': {
      const cidr = `10.20.${i % 3}.0/28`;
      const given = { vpcId: VPC.id, cidr, ipv6Cidr: undefined, zone: undefined, tags: [] };
      return createSubnet(edit, given, ZONES, context);
    }
    case 'no subnet':
      return deleteSubnet(edit, subnetId);
    case 'group':
      return createEstateGroup(
        edit,
        { vpcId: VPC.id, name: `g${i % 4}`, description: 'd', tags: [] },
        context,
      );
    case 'no group':
      return deleteEstateGroup(edit, groupId);
    case 'interface':
    case 'by tags':
      return createInterface(
        edit,
        {
          subnetId,
          ipv4: { texts: j < 6 ? [`10.20.${i % 3}.${4 + j}`] : [], count: j % 3 },
          ipv6: { texts: [], count: 0 },
          groupIds: [groupId],
          description: '',
          sourceDestCheck: true,
          connectionTracking: undefined,
          tags:
            what === 'interface'
              ? []
              : [
                  { key: 'secgroupd:netns', value: `n${j % 2}` },
                  { key: 'secgroupd:instance', value: `i-${j % 2}` },
                ],
        },
        context,
      );
    case 'no interface':
      return deleteInterface(edit, id);
    case 'assign':
      return assignAddresses(edit, id, 4, { texts: [`10.20.${i % 3}.${j}`], count: j % 2 });
    case 'unassign':
      return unassignAddresses(edit, id, 4, (one?.addresses ?? []).slice(-1).map(formatAddress));
    case 'regroup':
      return modifyInterface(edit, id, { groupIds: [groupId] }, context);
    case 'attach':
      return attachToInstance(edit, id, `i-${j % 2}`, j % 3, context);
    case 'detach':
      return detachInterface(edit, one?.attachment?.id ?? 'eni-attach-0');
    case 'own attach':
      return attachForOwner(edit, {
        ...{ interfaceId: id, id: `eni-attach-0000000${j % 4}`, owner: 'cni', host: 'here' },
        device: { ...DEVICE, netns: `n${j % 2}` },
        ...{ addresses: undefined, abandoned: undefined },
      });
    case 'own detach':
      return detachForOwner(edit, `eni-attach-0000000${j % 4}`, 'here');
    default:
      return makeLeased(edit, what, i, j);
  }
}

/** What a container runtime does that asks for addresses first: one that it may ask for again, and any. */
function makeLeased(edit: Edit, what: Call['what'], i: number, j: number): Checked<unknown> {
  const { estate } = edit;
  const whose = { owner: 'docker', host: 'here' };
  const rows = estate.keysBelow(`addresses/${VPC.id}/`);
  const leased = rows.filter((key) => readLease(estate.textOf(key)!) !== undefined);
  const address = pick(leased, i)?.split('/').at(-1) ?? '10.20.0.9';
  // Its attachment has its digits. Two who choose the same id for two attachments at one moment are not told apart.
  const id = `eni-1000000${j % 4}`;
  switch (what) {
    case 'lease': {
      const pool = findPool(estate, {
        ...{ cidr: `10.20.${i % 3}.0/28`, subnetId: undefined, vpcId: VPC.id, range: undefined },
      });
      if (!pool.ok) return pool;
      const given = j < 6 ? `10.20.${i % 3}.${4 + j}` : undefined;
      const sinceMs = j % 3 === 0 ? 0 : Date.now();
      return leaseAddress(edit, { ...whose, pool: pool.value, address: given }, j, sinceMs);
    }
    case 'claim': {
      const device = { ...DEVICE, name: `sg${j % 4}`, netns: undefined };
      const securityGroups = [pick(estate.list('groups'), j)?.group.id ?? `sg-${UNKNOWN}`];
      const wish = { ...whose, id, device, addresses: [address], isLeased: true, tags: [] };
      return addOwnedInterface(edit, { ...wish, securityGroups }, context);
    }
    case 'unclaim':
      return removeOwnedInterface(edit, id, 'here');
    default: {
      const parsed = parseAddress(address);
      assert.ok(parsed.ok);
      return { ok: true, value: releaseLease(edit, VPC.id, parsed.value, whose) };
    }
  }
}

/** The rows by which hosts find interfaces are those that follow from the interfaces. */
function checkIndex(estate: Estate, memory: Memory): void {
  const rows = memory.rowsAt(memory.commits.length);
  const found = [...rows.values()].filter(({ key }) => isForHosts(key));
  const expected = estate.list('interfaces').flatMap((one) => [...indexRows(one)]);
  assert.deepEqual(
    new Map(found.map(({ key, value }) => [key, value])),
    new Map(expected.sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}

function check(estate: Estate): void {
  const interfaces = estate.list('interfaces');
  const held = interfaces.flatMap(({ addresses }) => addresses.map(formatAddress));
  assert.equal(new Set(held).size, held.length, 'an address is one interface’s');
  const prefix = `addresses/${VPC.id}/`;
  const rows = estate
    .keysBelow(prefix)
    .filter(
      (key) => !isRelease(estate.textOf(key)) && readLease(estate.textOf(key)!) === undefined,
    );
  assert.deepEqual(rows.map((key) => key.slice(prefix.length)).sort(), held.sort());
  for (const { id, addresses, subnetId, groupIds } of interfaces) {
    assert.ok(estate.subnet(subnetId ?? ''), `the subnet of ${id} is there`);
    for (const groupId of groupIds) assert.ok(estate.group(groupId), `a group of ${id} is there`);
    for (const address of addresses)
      assert.equal(
        estate.textOf(`${prefix}${formatAddress(address)}`),
        JSON.stringify({ interfaceId: id }),
      );
  }
  const devices = interfaces.flatMap(({ attachment }) =>
    attachment === undefined ? [] : [`${attachment.device.netns} ${attachment.device.name}`],
  );
  assert.equal(new Set(devices).size, devices.length, 'a device is one interface’s');
  const attachments = interfaces.flatMap(({ attachment }) => attachment?.id ?? []);
  assert.equal(new Set(attachments).size, attachments.length, 'an attachment is one interface’s');
}

test('whatever two processes call at once, the estate is right', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(calls, calls), { minLength: 5, maxLength: 40 }),
      async (rounds) => {
        const memory = new Memory();
        const onTrouble = (message: string): void => assert.fail(message);
        const open = () => EstateClient.open({ store: new MemoryStore(memory), onTrouble });
        const [first, second] = [await open(), await open()];
        await first.change((edit) => {
          edit.write('vpcs', VPC.id, VPC);
          putHost(edit, 'here', { revision: Number.MAX_SAFE_INTEGER });
          return { ok: true, value: addDefaultGroup(edit, VPC, context) };
        });
        for (const [one, other] of rounds) {
          const revision = Math.max(first.estate.revision, second.estate.revision);
          await Promise.all([first.reach(revision, GUARD_MS), second.reach(revision, GUARD_MS)]);
          const [done] = await Promise.all([
            first.change((edit) => make(edit, one)),
            second.change((edit) => make(edit, other)),
          ]);
          // What another builds on meanwhile keeps a new interface; to take anything else back may collide with it.
          const isMaking = one.what === 'interface';
          const isTakenBack =
            isMaking && one.i % 3 === 0 && done.ok && done.value.edit !== undefined;
          if (isTakenBack) await first.takeBack(done.value.edit, done.value.revision);
          const newest = Math.max(first.estate.revision, second.estate.revision);
          await Promise.all([first.reach(newest, GUARD_MS), second.reach(newest, GUARD_MS)]);
          check(first.estate);
          checkIndex(first.estate, memory);
        }
        await Promise.all([first.close(), second.close()]);
      },
    ),
    { numRuns: RUNS },
  );
});
