import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatCidr } from '../../src/addr/address.ts';
import {
  checkPrefixListDelete,
  createPrefixList,
  modifyPrefixList,
  restorePrefixList,
  type ManagedPrefixList,
  type NewPrefixList,
  type PrefixListChange,
} from '../../src/policy/prefix-lists.ts';
import { makeGroup, must, ORIGIN, refusalsOf } from './group-texts.ts';

function create(
  changes: Partial<NewPrefixList> = {},
  quota: { readonly most?: number } = { most: 1000 },
) {
  const given = {
    id: 'pl-office',
    name: 'office',
    addressFamily: 'IPv4',
    maxEntries: 5,
    entries: [{ cidr: '10.0.0.5/8', description: 'ten' }, { cidr: '192.168.0.0/16' }],
    origin: ORIGIN,
  };
  return createPrefixList({ ...given, ...changes }, quota.most);
}

/** `CIDR description` of each entry. */
function shown({ entries }: ManagedPrefixList): string[] {
  return entries.map(({ cidr, description }) => `${formatCidr(cidr)} ${description}`.trimEnd());
}

describe('a new list', () => {
  test('has the blocks as EC2 stores them, and version 1', () => {
    const list = must(create());
    assert.deepEqual(shown(list), ['10.0.0.0/8 ten', '192.168.0.0/16']);
    const { entries: _, ...rest } = list;
    assert.deepEqual(rest, {
      id: 'pl-office',
      name: 'office',
      family: 4,
      maxEntries: 5,
      version: 1,
      origin: ORIGIN,
    });
    const six = create({ addressFamily: 'IPv6', entries: [{ cidr: 'FD00::/8' }] });
    assert.deepEqual(shown(must(six)), ['fd00::/8']);
    assert.deepEqual(must(create({ entries: [] })).entries, []);
  });

  test('is refused', () => {
    const blocks = (count: number) =>
      Array.from({ length: count }, (_, i) => ({ cidr: `10.0.${i}.0/24` }));
    const cases: readonly (readonly [Partial<NewPrefixList>, string])[] = [
      [
        { name: undefined },
        'MissingParameter: The request must contain the parameter PrefixListName',
      ],
      [{ name: '' }, 'InvalidParameterValue: the name of a prefix list has 1 to 255 characters'],
      [
        { name: 'com.amazonaws.x' },
        "InvalidParameterValue: the name of a prefix list must not start with 'com.amazonaws'",
      ],
      [
        { addressFamily: undefined },
        'MissingParameter: The request must contain the parameter AddressFamily',
      ],
      [
        { addressFamily: 'ipv4' },
        'InvalidParameterValue: Value (ipv4) for parameter AddressFamily is invalid. It is IPv4 or IPv6.',
      ],
      [
        { maxEntries: undefined },
        'MissingParameter: The request must contain the parameter MaxEntries',
      ],
      [
        { maxEntries: 0, entries: [] },
        'InvalidParameterValue: Value (0) for parameter MaxEntries is invalid. It goes from 1 to 1000.',
      ],
      [
        { maxEntries: 1001 },
        'InvalidParameterValue: Value (1001) for parameter MaxEntries is invalid. It goes from 1 to 1000.',
      ],
      [
        { maxEntries: 1 },
        'PrefixListMaxEntriesExceeded: The prefix list would have 2 entries, more than its MaxEntries 1',
      ],
      [
        { maxEntries: 200, entries: blocks(101) },
        'InvalidParameterValue: The request has 101 entries, more than the 100 of one request',
      ],
      [
        { entries: [{ cidr: 'fd00::/8' }] },
        'InvalidParameterValue: CIDR block fd00::/8 is malformed',
      ],
      [
        { entries: [{ cidr: '10.0.0.0/8', description: 'a|b' }] },
        'InvalidParameterValue: Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
      ],
      [
        { entries: [{ cidr: '10.0.0.0/8' }, { cidr: '10.1.0.0/8' }] },
        'InvalidPrefixListModification: The entry 10.0.0.0/8 must not appear multiple times',
      ],
    ];
    for (const [changes, expected] of cases)
      assert.deepEqual(refusalsOf(create(changes)), [expected]);
    assert.deepEqual(refusalsOf(create({ maxEntries: 5000 }, {})), []);
  });
});

describe('a change', () => {
  const list = must(create());
  const bounds = {
    prefixListEntries: 1000,
    rulesPerGroup: 60,
    users: [makeGroup(['tcp 22 from pl:office', 'tcp 22 from 10.0.0.0/8'])],
    prefixLists: new Map([[list.id, list]]),
  };
  const change = (changes: PrefixListChange) => modifyPrefixList(list, changes, bounds);

  test('of entries makes a version', () => {
    const changed = must(
      change({ currentVersion: 1, add: [{ cidr: '172.16.0.0/12' }], remove: ['10.0.0.0/8'] }),
    );
    assert.deepEqual(shown(changed), ['192.168.0.0/16', '172.16.0.0/12']);
    assert.equal(changed.version, 2);
  });

  test('of name and size makes none', () => {
    const changed = must(change({ name: 'home', maxEntries: 2 }));
    assert.deepEqual(changed, { ...list, name: 'home', maxEntries: 2 });
  });

  test('is refused', () => {
    const cases: readonly (readonly [PrefixListChange, string])[] = [
      [
        { currentVersion: 2, name: 'x' },
        "PrefixListVersionMismatch: The prefix list 'pl-office' is at version 1, not 2",
      ],
      [
        { maxEntries: 6, add: [{ cidr: '172.16.0.0/12' }] },
        'InvalidParameterCombination: The request must not contain both MaxEntries and entries to add or remove',
      ],
      [
        { maxEntries: 1 },
        'PrefixListMaxEntriesExceeded: The prefix list would have 2 entries, more than its MaxEntries 1',
      ],
      [
        { add: ['1', '2', '3', '4'].map((part) => ({ cidr: `172.16.${part}.0/24` })) },
        'PrefixListMaxEntriesExceeded: The prefix list would have 6 entries, more than its MaxEntries 5',
      ],
      [
        { add: [{ cidr: '10.0.0.0/8', description: 'other' }] },
        "InvalidPrefixListModification: The prefix list 'pl-office' has the entry 10.0.0.0/8 already",
      ],
      [
        { remove: ['10.0.0.0/9'] },
        "InvalidPrefixListModification: The prefix list 'pl-office' has no entry 10.0.0.0/9",
      ],
      [
        { add: [{ cidr: '10.0.0.0/8' }], remove: ['10.0.0.0/8'] },
        'InvalidPrefixListModification: The entry 10.0.0.0/8 must not appear multiple times',
      ],
      [{ remove: ['x'] }, 'InvalidParameterValue: CIDR block x is malformed'],
      [
        { name: 'com.amazonaws.x' },
        "InvalidParameterValue: the name of a prefix list must not start with 'com.amazonaws'",
      ],
      [
        { maxEntries: 1001 },
        'InvalidParameterValue: Value (1001) for parameter MaxEntries is invalid. It goes from 1 to 1000.',
      ],
    ];
    for (const [changes, expected] of cases) assert.equal(refusalsOf(change(changes))[0], expected);
  });

  test('that fills the groups whose rules name the list is refused', () => {
    assert.deepEqual(refusalsOf(change({ maxEntries: 59 })), []);
    const checked = change({ maxEntries: 60 });
    assert.deepEqual(checked, {
      ok: false,
      refusals: [
        {
          code: 'RulesPerSecurityGroupLimitExceeded',
          message: 'The maximum number of rules per security group has been reached.',
          hint: 'there is no room in sg-0123456789abcdef0. A prefix list counts its maxEntries, a group 1 in each family',
        },
      ],
    });
  });

  test('can be taken back, which makes another version', () => {
    const changed = must(change({ remove: ['10.0.0.0/8'] }));
    const restored = must(restorePrefixList(changed, 1, list.entries, 2));
    assert.deepEqual(restored, { ...list, version: 3 });
    assert.deepEqual(refusalsOf(restorePrefixList(changed, 7, undefined, 2)), [
      "InvalidParameterValue: The prefix list 'pl-office' has no version 7",
    ]);
    assert.deepEqual(refusalsOf(restorePrefixList(changed, 1, list.entries, 1)), [
      "PrefixListVersionMismatch: The prefix list 'pl-office' is at version 2, not 1",
    ]);
    const small = { ...changed, maxEntries: 1 };
    assert.deepEqual(refusalsOf(restorePrefixList(small, 1, list.entries, undefined)), [
      'PrefixListMaxEntriesExceeded: The prefix list would have 2 entries, more than its MaxEntries 1',
    ]);
  });
});

test('a list is deleted unless it is in use', () => {
  assert.equal(checkPrefixListDelete({ id: 'pl-1' }, []), undefined);
  assert.deepEqual(checkPrefixListDelete({ id: 'pl-1' }, ['sg-1']), {
    code: 'DependencyViolation',
    message: 'resource pl-1 has a dependent object',
    hint: 'it is used by sg-1',
  });
});
