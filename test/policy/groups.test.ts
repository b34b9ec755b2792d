import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  checkDelete,
  checkInterfaceGroups,
  createDefaultGroup,
  createGroup,
  type Neighbours,
  type NewGroup,
} from '../../src/policy/groups.ts';
import { QUOTA_DEFAULTS } from '../../src/policy/quotas.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import { foldGroupName } from '../../src/policy/texts.ts';
import {
  countingIds,
  makeGroup,
  must,
  ORIGIN,
  refusalsOf,
  refusalText,
  ruleId,
} from './group-texts.ts';

const VPC = { id: 'vpc-0123456789abcdef0', name: 'main' };

function given(changes: Partial<NewGroup> = {}): NewGroup {
  return {
    id: 'sg-0123456789abcdef0',
    name: 'web',
    description: 'web servers',
    vpc: VPC,
    hasIpv6: false,
    makeRuleId: countingIds(1),
    origin: ORIGIN,
    ...changes,
  };
}

const ALONE: Neighbours = { isNameTaken: false, groups: 1, securityGroups: 2500 };

describe('a new group', () => {
  test('lets nothing in and everything out, to IPv6 too if its VPC has it', () => {
    const group = must(createGroup(given({ name: 'web  ' }), ALONE));
    assert.deepEqual(
      { ...group, egress: group.egress.map((rule) => [rule.id, ruleKey(rule)]) },
      {
        id: 'sg-0123456789abcdef0',
        name: 'web',
        vpc: VPC,
        description: 'web servers',
        ingress: [],
        egress: [[ruleId(1), 'all to 0.0.0.0/0']],
        origin: ORIGIN,
      },
    );
    const both = must(createGroup(given({ hasIpv6: true }), ALONE)).egress;
    assert.deepEqual(both.map(ruleKey), ['all to 0.0.0.0/0', 'all to ::/0']);
    // Else they would go when the next rule comes.
    assert.deepEqual(
      both.filter((rule) => 'implied' in rule),
      [],
    );
  });

  test('is refused in the words of AWS', () => {
    const set = 'a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*';
    const cases: readonly (readonly [Partial<NewGroup>, string])[] = [
      [{ name: undefined }, 'MissingParameter: The request must contain the parameter GroupName'],
      [{ name: ' ' }, 'MissingParameter: The request must contain the parameter GroupName'],
      [
        { description: undefined },
        'MissingParameter: The request must contain the parameter GroupDescription',
      ],
      [
        { description: '' },
        'MissingParameter: The request must contain the parameter GroupDescription',
      ],
      [{ name: 'default' }, "InvalidGroup.Reserved: The security group 'default' is reserved"],
      [{ name: 'Default ' }, "InvalidGroup.Reserved: The security group 'Default' is reserved"],
      [
        { name: 'sg-x' },
        'InvalidParameterValue: Value (sg-x) for parameter GroupName is invalid. Group names may not be in the format sg-*.',
      ],
      [
        { name: 'é' },
        'InvalidParameterValue: Value (é) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.',
      ],
      [
        { name: 'x'.repeat(256) },
        `InvalidParameterValue: Invalid security group name. Valid names are strings less than 256 characters from the following set: ${set}`,
      ],
      [
        { description: 'a|b' },
        `InvalidParameterValue: Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  ${set}`,
      ],
    ];
    for (const [changes, expected] of cases)
      assert.deepEqual(refusalsOf(createGroup(given(changes), ALONE)), [expected]);
  });

  test('has a name of its own in its VPC, whatever the case', () => {
    assert.deepEqual(refusalsOf(createGroup(given(), { ...ALONE, isNameTaken: true })), [
      "InvalidGroup.Duplicate: The security group 'web' already exists for VPC 'vpc-0123456789abcdef0'",
    ]);
    assert.equal(foldGroupName('Web Server  '), 'web server');
  });

  test('is one too many beyond the quota', () => {
    assert.deepEqual(refusalsOf(createGroup(given(), { ...ALONE, groups: 2500 })), [
      "SecurityGroupLimitExceeded: The maximum number of security groups for VPC 'vpc-0123456789abcdef0' has been reached.",
    ]);
    const unlimited = { ...ALONE, groups: 9999, securityGroups: undefined };
    assert.ok(createGroup(given(), unlimited).ok);
  });
});

test('the group of a VPC lets in its own members', () => {
  const group = createDefaultGroup(given());
  assert.equal(group.name, 'default');
  assert.equal(group.description, 'default VPC security group');
  assert.deepEqual(
    [...group.ingress, ...group.egress].map((rule) => [rule.id, ruleKey(rule)]),
    [
      [ruleId(1), 'all from sg:sg-0123456789abcdef0'],
      [ruleId(2), 'all to 0.0.0.0/0'],
    ],
  );
});

test('a group is deleted unless it is the default one, or in use', () => {
  const group = { id: 'sg-0123456789abcdef0', name: 'web' };
  assert.equal(checkDelete(group, []), undefined);
  assert.deepEqual(checkDelete(group, ['eni-1', 'a rule of sg-2']), {
    code: 'DependencyViolation',
    message: 'resource sg-0123456789abcdef0 has a dependent object',
    hint: 'it is used by eni-1, a rule of sg-2',
  });
  assert.deepEqual(checkDelete({ ...group, name: 'default' }, ['eni-1']), {
    code: 'CannotDelete',
    message:
      'the specified group: "sg-0123456789abcdef0" name: "default" cannot be deleted by a user',
    hint: 'it goes with its VPC; its rules can be revoked',
  });
});

describe('the groups of an interface', () => {
  const group = { ...makeGroup(['tcp 22 from 10.0.0.0/8', 'tcp 22 from sg:x']), vpc: VPC };
  const none = { prefixLists: new Map() };
  const check = (groups: number, vpc = VPC, quotas = {}, account?: string): string[] =>
    checkInterfaceGroups(
      Array.from({ length: groups }, () => group),
      { vpc },
      { ...QUOTA_DEFAULTS, ...quotas },
      none,
      account,
    ).map(refusalText);

  test('are one to five, of its VPC', () => {
    assert.deepEqual(check(1), []);
    assert.deepEqual(check(5), []);
    assert.deepEqual(check(0), [
      'MissingParameter: The request must contain the parameter SecurityGroupId',
    ]);
    assert.deepEqual(check(6), [
      'SecurityGroupsPerInterfaceLimitExceeded: exceeded limit 5 on the number of interface security group memberships',
    ]);
    assert.deepEqual(check(6, VPC, {}, '123456789012'), [
      'SecurityGroupsPerInterfaceLimitExceeded: user 123456789012 exceeded limit 5 on the number of interface security group memberships',
    ]);
    assert.deepEqual(check(1, { id: 'vpc-1', name: 'other' }), [
      'InvalidGroup.NotFound: You have specified two resources that belong to different networks.',
    ]);
    assert.deepEqual(check(6, VPC, { groupsPerInterface: undefined }), []);
  });

  test('have no more rules together than rules times groups', () => {
    assert.deepEqual(check(2, VPC, { rulesTimesGroups: 4 }), []);
    assert.deepEqual(check(2, VPC, { rulesTimesGroups: 3 }), [
      'RulesPerSecurityGroupLimitExceeded: The groups have 4 ingress rules for IPv4 together, more than 3',
    ]);
  });
});
