/** Random changes of an estate of two hosts, for tests of what each of them holds. */
import fc from 'fast-check';
import type { Edit } from '../../src/estate/edit.ts';
import { eraseInterface } from '../../src/estate/interfaces.ts';
import { estateOrigin, vpcRef } from '../../src/estate/rows.ts';
import type { Peer, Rule } from '../../src/policy/model.ts';
import { ONLY_VPC_ID, ownGroupId } from '../../src/policy/vpcs.ts';
import { writeAttached, writeDetached } from './write-interface.ts';

export const HOSTS = ['a', 'b/c'];
const GROUPS = 6;
const LISTS = 2;
const INTERFACES = 5;

const digits = (at: number): string => String(at).padStart(17, '0');
export const groupId = (at: number): string =>
  at === 0 ? ownGroupId('default', undefined) : `sg-${digits(at)}`;
const listId = (at: number): string => `pl-${digits(at)}`;
export const interfaceId = (at: number): string => `eni-${digits(at)}`;

const group = fc.nat({ max: GROUPS - 1 });
export const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('group' as const),
      at: group,
      groups: fc.uniqueArray(group, { maxLength: 3 }),
      lists: fc.uniqueArray(fc.nat({ max: LISTS - 1 }), { maxLength: 1 }),
    }),
  },
  {
    weight: 1,
    // The default group goes with its VPC alone.
    arbitrary: fc.record({
      kind: fc.constant('no group' as const),
      at: fc.integer({ min: 1, max: GROUPS - 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('list' as const),
      at: fc.nat({ max: LISTS - 1 }),
      entry: fc.nat({ max: 9 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('interface' as const),
      at: fc.nat({ max: INTERFACES - 1 }),
      host: fc.option(fc.nat({ max: HOSTS.length - 1 })),
      address: fc.nat({ max: 1 }),
      groups: fc.uniqueArray(group, { minLength: 1, maxLength: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('no interface' as const),
      at: fc.nat({ max: INTERFACES - 1 }),
    }),
  },
);
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function ruleTo(peer: Peer, at: number): Rule {
  return {
    id: `sgr-${digits(at)}`,
    direction: at % 2 === 0 ? 'ingress' : 'egress',
    protocol: 6,
    fromPort: 80,
    toPort: 80,
    peer,
    description: '',
    origin: estateOrigin(''),
  };
}

export function writeGroup(
  edit: Edit,
  { at, groups, lists }: Step & { readonly kind: 'group' },
): void {
  const rules = [
    ...groups.map((peer, i) =>
      ruleTo({ kind: 'group', groupId: groupId(peer) }, 100 * at + 2 * peer + (i % 2)),
    ),
    ...lists.map((list) =>
      ruleTo({ kind: 'prefixList', prefixListId: listId(list) }, 100 * at + 50 + 2 * list),
    ),
  ];
  edit.write('groups', groupId(at), {
    group: {
      id: groupId(at),
      name: at === 0 ? 'default' : `g${at}`,
      vpc: vpcRef(ONLY_VPC_ID),
      description: 'd',
      ingress: rules.filter(({ direction }) => direction === 'ingress'),
      egress: rules.filter(({ direction }) => direction === 'egress'),
      origin: estateOrigin(groupId(at)),
    },
    ruleTags: new Map(),
    tags: [],
  });
}

/** Makes a step as a part of an edit. */
export function make(edit: Edit, one: Step): void {
  switch (one.kind) {
    case 'group':
      writeGroup(edit, one);
      break;
    case 'no group':
      edit.erase('groups', groupId(one.at));
      break;
    case 'list':
      edit.write('prefix-lists', listId(one.at), {
        list: {
          ...{ id: listId(one.at), name: `l${one.at}`, family: 4, maxEntries: 5, version: 1 },
          entries: [{ cidr: { family: 4, words: [(10 << 24) | one.entry], length: 32 }, description: '' }], // prettier-ignore
          origin: estateOrigin(listId(one.at)),
        },
        ...{ lastChange: 'create', former: new Map(), tags: [] },
      } as never);
      break;
    case 'interface': {
      const address = `10.0.${one.at}.${one.address + 1}`;
      const groupIds = one.groups.map(groupId);
      const id = interfaceId(one.at);
      if (one.host === null) writeDetached(edit, id, { address, groupIds });
      else
        writeAttached(edit, id, { address, groupIds, device: `t${one.at}`, host: HOSTS[one.host] });
      break;
    }
    case 'no interface': {
      const found = edit.read('interfaces', interfaceId(one.at));
      if (found === undefined) edit.erase('interfaces', interfaceId(one.at));
      else eraseInterface(edit, found);
      break;
    }
    default:
      one satisfies never;
  }
}
