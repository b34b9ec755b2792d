import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  authorize,
  describeByIds,
  describeByPermissions,
  modifyRules,
  revokeByIds,
  revokeByPermissions,
} from '../../src/policy/group-rules.ts';
import type { PrefixList, Rule, SecurityGroup } from '../../src/policy/model.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import {
  countingIds,
  makeGroup,
  must,
  ORIGIN,
  permission,
  refusalsOf,
  ruleId,
} from './group-texts.ts';

const SSH = 'tcp 22 from 10.0.0.0/8';
const WEB = 'tcp 443 from 0.0.0.0/0';
const ALL = 'all from 10.0.0.0/8';

const list: PrefixList = {
  id: 'pl-office',
  name: 'office',
  family: 4,
  maxEntries: 55,
  entries: [],
  origin: ORIGIN,
};
const source = { prefixLists: new Map([[list.id, list]]) };
const options = { makeId: countingIds(100), origin: ORIGIN, rulesPerGroup: 60, source };

/** `id: what it says # description` of each rule. */
function shown(rules: readonly Rule[]): string[] {
  return rules.map((rule) =>
    `${Number(rule.id.slice(4))}: ${ruleKey(rule)} # ${rule.description}`.replace(/ # $/, ''),
  );
}

function add(group: SecurityGroup, ...texts: readonly string[]): ReturnType<typeof authorize> {
  const permissions = texts.map(permission);
  return authorize(group, 'ingress', permissions, { ...options, makeId: countingIds(100) });
}

describe('authorize', () => {
  test('adds rules with new ids behind those that are there, and leaves the group it was given', () => {
    const group = makeGroup([SSH], ['all to 0.0.0.0/0']);
    const { group: changed, added } = must(add(group, `${WEB} # the world`, ALL));
    assert.deepEqual(shown(added), ['100: tcp 443 from 0.0.0.0/0 # the world', `101: ${ALL}`]);
    assert.deepEqual(changed.ingress, [...group.ingress, ...added]);
    assert.deepEqual({ ...changed, ingress: [] }, { ...group, ingress: [] });
    assert.deepEqual(shown(group.ingress), [`0: ${SSH}`]);
  });

  test('makes ids of what the rules say, if asked', () => {
    const makeId = (key: string): string => `sgr-of ${key}`;
    const { added } = must(
      authorize(makeGroup([]), 'egress', [permission(SSH)], { ...options, makeId }),
    );
    assert.deepEqual(
      added.map(({ id, direction }) => [id, direction]),
      [['sgr-of tcp 22 to 10.0.0.0/8', 'egress']],
    );
  });

  test('the same rule in the other direction is another', () => {
    const group = makeGroup([], ['tcp 22 to 10.0.0.0/8']);
    assert.deepEqual(shown(must(add(group, SSH)).added), [`100: ${SSH}`]);
  });

  test('refuses what is there, whatever its description, and adds nothing', () => {
    const exists = (what: string): string =>
      `InvalidPermission.Duplicate: the specified rule "${what}, ALLOW" already exists`;
    const cases: readonly (readonly [string, string])[] = [
      [SSH, 'peer: 10.0.0.0/8, TCP, from port: 22, to port: 22'],
      [ALL, 'peer: 10.0.0.0/8, ALL'],
      ['50 from 10.0.0.0/8', 'peer: 10.0.0.0/8, protocol: 50'],
      ['icmp 0/8 from sg:x', 'peer: sg-x, ICMP, type: 0, code: 8'],
      ['udp 1-2 from pl:office', 'peer: pl-office, UDP, from port: 1, to port: 2'],
    ];
    for (const [text, what] of cases)
      assert.deepEqual(refusalsOf(add(makeGroup([text]), WEB, `${text} # other`)), [exists(what)]);
  });

  test('refuses a permission that is given twice, before one that is there', () => {
    assert.deepEqual(refusalsOf(add(makeGroup([SSH]), SSH, WEB, `${WEB} # again`)), [
      'InvalidParameterValue: The same permission must not appear multiple times',
      'InvalidPermission.Duplicate: the specified rule "peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW" already exists',
    ]);
  });

  test('refuses more rules than the quota, counted by direction and family', () => {
    const blocks = (count: number): string[] =>
      Array.from({ length: count }, (_, i) => `tcp 22 from 10.0.${i}.0/24`);
    const full = [
      'RulesPerSecurityGroupLimitExceeded: The maximum number of rules per security group has been reached.',
    ];
    assert.deepEqual(refusalsOf(add(makeGroup(blocks(59)), WEB)), []);
    assert.deepEqual(refusalsOf(add(makeGroup(blocks(60)), WEB)), full);
    assert.deepEqual(refusalsOf(add(makeGroup(blocks(60)), 'tcp 22 from ::/0')), []);
    assert.deepEqual(refusalsOf(add(makeGroup(blocks(60)), 'tcp 22 from sg:x')), full);
    // A prefix list counts what it may hold.
    assert.deepEqual(refusalsOf(add(makeGroup(blocks(5)), 'tcp 22 from pl:office')), []);
    assert.deepEqual(refusalsOf(add(makeGroup(blocks(6)), 'tcp 22 from pl:office')), full);
    const checked = authorize(makeGroup(blocks(60)), 'ingress', [permission(WEB)], options);
    assert.equal(
      checked.ok ? '' : checked.refusals[0].hint,
      'there would be 61 ingress rules for IPv4, and 60 are allowed. A prefix list counts its maxEntries, a group 1 in each family',
    );
    const unlimited = { ...options, rulesPerGroup: undefined };
    assert.ok(authorize(makeGroup(blocks(60)), 'ingress', [permission(WEB)], unlimited).ok);
  });
});

describe('revoke', () => {
  const group = makeGroup([SSH, `${WEB} # the world`, ALL], ['all to 0.0.0.0/0']);

  test('by ids', () => {
    const revoked = must(revokeByIds(group, 'ingress', [ruleId(2), ruleId(0)]));
    assert.deepEqual(shown(revoked.revoked), [`0: ${SSH}`, `2: ${ALL}`]);
    assert.deepEqual(shown(revoked.group.ingress), ['1: tcp 443 from 0.0.0.0/0 # the world']);
    assert.equal(revoked.group.egress, group.egress);
  });

  test('by ids that no rule of the direction has', () => {
    const cases: readonly (readonly [string, string])[] = [
      [ruleId(3), `NotFound: The security group rule ID '${ruleId(3)}' does not exist`],
      ['sgr-x', "NotFound: The security group rule ID 'sgr-x' does not exist"],
      ['sg-1', 'Malformed: Invalid id: "sg-1" (expecting "sgr-...")'],
      [`${ruleId(0)}0`, `Malformed: Invalid id: "${ruleId(0)}0" (expecting "sgr-...")`],
    ];
    for (const [id, expected] of cases)
      assert.deepEqual(refusalsOf(revokeByIds(group, 'ingress', [ruleId(0), id])), [
        `InvalidSecurityGroupRuleId.${expected}`,
      ]);
  });

  const revoke = (unknown: 'refuse' | 'list', ...texts: string[]) =>
    revokeByPermissions(group, 'ingress', texts.map(permission), unknown);

  test('by permissions, whose description counts if there is one', () => {
    for (const text of [WEB, `${WEB} # the world`]) {
      const revoked = must(revoke('refuse', text, SSH));
      assert.deepEqual(shown(revoked.revoked), [
        `0: ${SSH}`,
        '1: tcp 443 from 0.0.0.0/0 # the world',
      ]);
      assert.deepEqual(shown(revoked.group.ingress), [`2: ${ALL}`]);
      assert.deepEqual(revoked.unknown, []);
    }
  });

  test('by permissions that no rule is exactly: nothing is revoked, or what is known', () => {
    const strangers = [
      `${WEB} # somebody`,
      'tcp 443-444 from 0.0.0.0/0',
      'tcp 22 from 10.0.0.0/9',
      'udp 22 from 10.0.0.0/8',
      'all from 0.0.0.0/0',
    ];
    for (const text of strangers) {
      assert.deepEqual(refusalsOf(revoke('refuse', SSH, text)), [
        'InvalidPermission.NotFound: The specified rule does not exist in this security group.',
      ]);
      const revoked = must(revoke('list', SSH, text));
      assert.deepEqual(shown(revoked.revoked), [`0: ${SSH}`]);
      assert.deepEqual(revoked.unknown, [permission(text)]);
    }
  });
});

describe('modify', () => {
  const group = makeGroup(
    [`${SSH} # office`, WEB, 'tcp 1 from sg:x', 'tcp 1 from pl:office', 'tcp 1 from ::/0'],
    ['all to 0.0.0.0/0'],
  );
  const modify = (...changes: readonly (readonly [number | string, string])[]) =>
    modifyRules(
      group,
      changes.map(([id, text]) => ({
        ruleId: typeof id === 'string' ? id : ruleId(id),
        permission: permission(text),
      })),
      options,
    );

  test('replaces rules of both directions and keeps their ids and places', () => {
    const { group: changed, modified } = must(
      modify(
        [0, 'udp 53 from 10.1.0.0/16'],
        [5, 'tcp 80 to 10.0.0.0/8 # web'],
        [2, 'udp 1 from sg:y'],
      ),
    );
    assert.deepEqual(shown(changed.ingress).slice(0, 3), [
      '0: udp 53 from 10.1.0.0/16',
      `1: ${WEB}`,
      '2: udp 1 from sg:sg-y',
    ]);
    assert.deepEqual(shown(changed.egress), ['5: tcp 80 to 10.0.0.0/8 # web']);
    assert.deepEqual(
      modified.map(({ id }) => id),
      [ruleId(0), ruleId(5), ruleId(2)],
    );
  });

  test('lets rules swap what they say', () => {
    const { group: changed } = must(modify([0, WEB], [1, SSH]));
    assert.deepEqual(shown(changed.ingress).slice(0, 2), [`0: ${WEB}`, `1: ${SSH}`]);
  });

  test('refuses two rules that are the same', () => {
    const exists = [
      'InvalidPermission.Duplicate: the specified rule "peer: 0.0.0.0/0, TCP, from port: 443, to port: 443, ALLOW" already exists',
    ];
    assert.deepEqual(refusalsOf(modify([0, WEB])), exists);
    assert.deepEqual(refusalsOf(modify([0, 'tcp 9 from 0.0.0.0/0'], [1, 'tcp 9 from 0.0.0.0/0'])), [
      exists[0].replaceAll('443', '9'),
    ]);
  });

  test('refuses another kind of peer', () => {
    const cases: readonly (readonly [number, string, string, string])[] = [
      [0, 'tcp 22 from ::/0', 'CidrIpv6', 'IPv4 CIDR'],
      [2, 'tcp 22 from 0.0.0.0/0', 'CidrIpv4', 'security group'],
      [3, 'tcp 22 from sg:x', 'ReferencedGroupId', 'prefix list'],
      [4, 'tcp 22 from pl:other', 'PrefixListId', 'IPv6 CIDR'],
    ];
    for (const [id, text, parameter, kind] of cases)
      assert.deepEqual(refusalsOf(modify([id, text])), [
        `InvalidParameterValue: Invalid rule type for security group rule '${ruleId(id)}'. You may not specify ${parameter} for an existing ${kind} rule.`,
      ]);
  });

  test('refuses unknown rules, rules named twice, and more than the quota', () => {
    assert.deepEqual(refusalsOf(modify([99, SSH], ['x', SSH])), [
      `InvalidSecurityGroupRuleId.NotFound: The security group rule ID '${ruleId(99)}' does not exist`,
      'InvalidSecurityGroupRuleId.Malformed: Invalid id: "x" (expecting "sgr-...")',
    ]);
    assert.deepEqual(
      refusalsOf(modify([0, 'udp 1 from 10.0.0.0/8'], [0, 'udp 2 from 10.0.0.0/8'])),
      [`InvalidParameterValue: The rule ${ruleId(0)} is named twice`],
    );
    const large = { ...list, id: 'pl-large', maxEntries: 59 };
    const quota = {
      rulesPerGroup: 60,
      source: { prefixLists: new Map([list, large].map((one) => [one.id, one])) },
    };
    const change = { ruleId: ruleId(3), permission: permission('tcp 1 from pl:large') };
    assert.deepEqual(refusalsOf(modifyRules(group, [change], quota)), [
      'RulesPerSecurityGroupLimitExceeded: The maximum number of rules per security group has been reached.',
    ]);
  });

  test('a group that is beyond a quota may be changed, as long as it gets no larger', () => {
    const change = { ruleId: ruleId(1), permission: permission('tcp 80 from 0.0.0.0/0') };
    assert.ok(modifyRules(group, [change], { ...options, rulesPerGroup: 1 }).ok);
  });
});

describe('descriptions', () => {
  const group = makeGroup([`${SSH} # office`, WEB], ['all to 0.0.0.0/0']);

  test('by ids; none clears it', () => {
    const changed = must(
      describeByIds(group, 'ingress', [
        { ruleId: ruleId(0), description: undefined },
        { ruleId: ruleId(1), description: 'the world' },
      ]),
    );
    assert.deepEqual(shown(changed.ingress), [`0: ${SSH}`, `1: ${WEB} # the world`]);
    assert.deepEqual(
      refusalsOf(describeByIds(group, 'ingress', [{ ruleId: ruleId(2), description: 'x' }])),
      [
        `InvalidSecurityGroupRuleId.NotFound: The security group rule ID '${ruleId(2)}' does not exist`,
      ],
    );
  });

  test('by permissions; none clears it', () => {
    const changed = must(
      describeByPermissions(group, 'ingress', [permission(SSH), permission(`${WEB} # the world`)]),
    );
    assert.deepEqual(shown(changed.ingress), [`0: ${SSH}`, `1: ${WEB} # the world`]);
    assert.deepEqual(refusalsOf(describeByPermissions(group, 'ingress', [permission(ALL)])), [
      'InvalidPermission.NotFound: The specified rule does not exist in this security group.',
    ]);
  });

  test('a rule that AWS added by itself is one that somebody wrote once it is changed', () => {
    const own = makeGroup([], ['all to 0.0.0.0/0']);
    const implied = {
      ...own,
      egress: own.egress.map((rule) => ({ ...rule, implied: true as const })),
    };
    const id = own.egress[0].id;
    const described = must(describeByIds(implied, 'egress', [{ ruleId: id, description: 'out' }]));
    assert.deepEqual(described.egress, [{ ...own.egress[0], description: 'out' }]);
    const change = { ruleId: id, permission: permission('tcp 80 to 0.0.0.0/0') };
    const modified = must(modifyRules(implied, [change], options)).modified;
    assert.equal('implied' in modified[0], false);
  });
});
