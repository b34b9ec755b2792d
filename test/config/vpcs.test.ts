/** Configurations with more than one VPC: what belongs to which, and what is refused. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { groupLabel } from '../../src/policy/vpcs.ts';
import { loadText, problemLines } from './config-text.ts';

const VPCS = `\
vpcs:
  prod: { cidrBlocks: [10.1.0.0/16], subnets: [10.1.0.0/24] }
  staging: { cidrBlocks: [10.2.0.0/16], id: vpc-0123456789abcdef0 }
`;

/** An interface's line, with its address. */
function eni(name: string, address: string, more = ''): string {
  return `  ${name}: { device: { netns: ${name}, name: eth0 }, addresses: [${address}]${more} }\n`;
}

function good(text: string): Config {
  const { config, problems } = loadText(text);
  assert.deepEqual(problemLines(problems), []);
  assert.ok(config);
  return config;
}

/** What is wrong, after the two VPCs. */
function wrong(text: string, before = VPCS): string[] {
  return problemLines(loadText(before + text).problems);
}

function hints(text: string): (string | undefined)[] {
  return loadText(VPCS + text).problems.map(({ hint }) => hint);
}

function groupsOf(config: Config): string[] {
  return [...config.model.groups.values()].flatMap((group) => [
    groupLabel(group),
    ...[...group.ingress, ...group.egress]
      .filter(({ implied }) => implied !== true)
      .map((rule) => `  ${ruleText(rule, config.model)}`),
  ]);
}

function membersOf({ model }: Config): string[] {
  return [...model.interfaces.values()].map(({ name, vpc, groupIds }) => {
    const labels = groupIds.map((id) => groupLabel(model.groups.get(id)!));
    return `${name} in ${vpc?.name ?? '-'}: ${labels.join(', ')}`;
  });
}

describe('two VPCs', () => {
  const config = good(`${VPCS}securityGroups:
  web: { vpc: prod, egress: [] }
  db:
    vpc: prod
    ingress: [{ protocol: tcp, ports: 5432, from: "sg:web" }]
    egress: []
  staging/web: { egress: [{ protocol: tcp, ports: 5432, to: "sg:staging/db" }] }
  staging/db:
    ingress: [{ protocol: tcp, ports: 5432, from: ["sg:web", self] }]
    egress: []
interfaces:
${eni('a', '10.1.0.11', ', securityGroups: [prod/web]')}\
${eni('b', '10.1.0.12', ', securityGroups: [db], vpc: prod')}\
${eni('c', '10.2.0.11', ', securityGroups: [staging/web, staging/db]')}\
${eni('d', '10.2.0.12', ', securityGroups: [web], vpc: vpc-0123456789abcdef0')}\
${eni('e', '10.2.0.13', ', vpc: staging')}`);

  test('have groups of one name, and a default group each', () => {
    assert.deepEqual(groupsOf(config), [
      'prod/default',
      'staging/default',
      'prod/web',
      'prod/db',
      '  tcp 5432 from sg:web',
      'staging/web',
      '  tcp 5432 to sg:db',
      'staging/db',
      '  tcp 5432 from sg:web',
      '  tcp 5432 from sg:db',
    ]);
  });

  test('have interfaces by what these say, or by their groups', () => {
    assert.deepEqual(membersOf(config), [
      'a in prod: prod/web',
      'b in prod: prod/db',
      'c in staging: staging/web, staging/db',
      'd in staging: staging/web',
      'e in staging: staging/default',
    ]);
  });

  test('a name in a rule is that of the own VPC', () => {
    const byLabel = new Map(
      [...config.model.groups.values()].map((group) => [groupLabel(group), group]),
    );
    for (const vpc of ['prod', 'staging']) {
      const { peer } = byLabel.get(`${vpc}/db`)!.ingress[0];
      assert.deepEqual(peer, { kind: 'group', groupId: byLabel.get(`${vpc}/web`)!.id });
    }
  });

  test('are in the model with their blocks', () => {
    const vpcs = [...config.model.vpcs!.values()].map(({ name, cidrBlocks }) => [
      name,
      cidrBlocks.map(({ length }) => length),
    ]);
    assert.deepEqual(vpcs, [
      ['prod', [16]],
      ['staging', [16]],
    ]);
    assert.ok(config.model.vpcs!.has('vpc-0123456789abcdef0'));
  });

  test('reserve the router and DNS addresses of both', () => {
    const reserved = `interfaces:
${eni('a', '10.1.0.1', ', vpc: prod')}${eni('b', '10.1.0.2', ', vpc: prod')}${eni('c', '10.2.0.2', ', vpc: staging')}`;
    assert.deepEqual(
      wrong(reserved).map((line) => line.replace(/^\S+ /, '')),
      ['10.1.0.1', '10.1.0.2', '10.2.0.2'].map(
        (address, i) =>
          `error reserved-address interfaces.${'abc'[i]}.addresses[0]: ${address} is reserved for the platform`,
      ),
    );
  });
});

describe('one VPC', () => {
  const text = `securityGroups: { web: { egress: [] } }
interfaces:
${eni('a', '10.1.0.11', ', securityGroups: [web]')}${eni('b', '10.1.0.12')}`;

  test('is there without a word, and nothing carries it', () => {
    const { model } = good(text);
    assert.deepEqual(
      [...model.groups.values()].map(({ id, vpc }) => [id, vpc]),
      // Ids as they were before there were VPCs: the flows of a snapshot are found again by them.
      [
        ['sg-9fc7f7ca66ccb6bcd', undefined],
        ['sg-50b63d44eeadb7ab2', undefined],
      ],
    );
    assert.deepEqual(membersOf({ model } as Config), ['a in -: web', 'b in -: default']);
    assert.deepEqual(
      [...model.vpcs!.values()].map(({ name }) => name),
      ['default'],
    );
  });

  test('in `vpcs` need not be named either', () => {
    const { model } = good(`vpcs: { only: { cidrBlocks: [10.1.0.0/16] } }\n${text}`);
    assert.deepEqual(membersOf({ model } as Config), ['a in -: web', 'b in -: default']);
    assert.deepEqual(
      [...model.vpcs!.values()].map(({ name }) => name),
      ['only'],
    );
  });

  test('may be named where it is the only one', () => {
    const { model } = good(`vpcs: { only: {} }
securityGroups: { web: { vpc: only }, only/web: {} }
interfaces:
${eni('a', '10.1.0.11', ', securityGroups: [only/web], vpc: only')}`);
    assert.deepEqual(membersOf({ model } as Config), ['a in -: only/web']);
  });
});

describe('what is refused', () => {
  test('both forms', () => {
    assert.deepEqual(wrong('vpc: {}\n'), [
      "2:3 error two-forms vpcs: both 'vpc' and 'vpcs' are given",
    ]);
  });

  test('names and ids that are none, or taken', () => {
    assert.deepEqual(
      wrong(
        '',
        'vpcs:\n  a/b: { id: vpc-1 }\n  c: { id: vpc-0a1b2c3d }\n  d: { id: vpc-0a1b2c3d }\n',
      ),
      [
        "2:3 error bad-name vpcs[\"a/b\"]: 'a/b' can't be the name of a VPC",
        '2:14 error bad-id vpcs["a/b"].id: Invalid id: "vpc-1" (expecting "vpc-...")',
        "4:12 error duplicate-id vpcs.d.id: the id vpc-0a1b2c3d is taken by the VPC 'c'",
      ],
    );
  });

  test('what is no mapping, and unknown keys', () => {
    assert.deepEqual(wrong('', 'vpcs: [a]\n'), [
      '1:7 error wrong-kind vpcs: expected a mapping, got a list',
    ]);
    assert.deepEqual(wrong('', 'vpcs: { a: { cidrBlock: 10.0.0.0/16 } }\n'), [
      "1:14 error unknown-key vpcs.a.cidrBlock: unknown key 'cidrBlock'; did you mean 'cidrBlocks'?",
    ]);
  });

  test('a group that does not say where it is', () => {
    assert.deepEqual(wrong('securityGroups:\n  web: {}\n'), [
      "5:3 error missing-vpc securityGroups.web: the security group 'web' is in no VPC: there are several, and nothing says in which it is",
    ]);
    assert.deepEqual(hints('securityGroups:\n  web: {}\n'), [
      'write vpc: NAME; VPCs: prod, staging',
    ]);
  });

  test('an interface that does not say where it is', () => {
    assert.deepEqual(wrong(`interfaces:\n${eni('a', '10.1.0.11')}`), [
      "5:3 error missing-vpc interfaces.a: the interface 'a' is in no VPC: there are several, and nothing says in which it is",
    ]);
  });

  test('VPCs that there are not', () => {
    const text = `securityGroups: { web: { vpc: prd } }
interfaces:
${eni('a', '10.1.0.11', ', vpc: x')}`;
    assert.deepEqual(wrong(text), [
      "4:31 error unknown-vpc securityGroups.web.vpc: there is no VPC 'prd'; did you mean 'prod'?",
      "6:71 error unknown-vpc interfaces.a.vpc: there is no VPC 'x'",
    ]);
  });

  test('a key that contradicts itself', () => {
    assert.deepEqual(wrong('securityGroups: { prod/web: { vpc: staging } }\n'), [
      "4:36 error other-vpc securityGroups[\"prod/web\"].vpc: the key says that 'web' is in the VPC 'prod', and 'vpc' says 'staging'",
    ]);
  });

  test('two groups of one name in one VPC, also in another case', () => {
    assert.deepEqual(
      wrong('securityGroups:\n  web: { vpc: prod }\n  prod/Web: {}\n  staging/web: {}\n'),
      [
        "6:3 error duplicate-name securityGroups[\"prod/Web\"]: the security group 'Web' exists already in the VPC 'prod' on line 5 as 'web'; names are compared without regard to case",
      ],
    );
  });

  test('rules that name a group of another VPC, by its name, its whole name or its id', () => {
    const text = `securityGroups:
  db: { vpc: staging, id: sg-0123456789abcdef0 }
  prod/web:
    ingress:
      - { protocol: tcp, ports: 80, from: "sg:db" }
    egress:
      - { protocol: tcp, ports: 80, to: ["sg:staging/db", 10.2.0.0/16] }
  prod/app: { ingress: [{ protocol: all, from: sg-0123456789abcdef0 }] }
`;
    const told = (name: string): string =>
      `the security group 'db' is in the VPC 'staging', and '${name}', whose rule names it, in 'prod'`;
    assert.deepEqual(wrong(text), [
      `8:9 error other-vpc securityGroups["prod/web"].ingress[0]: ${told('web')}`,
      `10:9 error other-vpc securityGroups["prod/web"].egress[0]: ${told('web')}`,
      `11:25 error other-vpc securityGroups["prod/app"].ingress[0]: ${told('app')}`,
    ]);
    assert.match(
      hints(text)[0]!,
      /^AWS refuses it: InvalidGroup\.NotFound, .* different networks; /,
    );
  });

  test('an interface with groups of two VPCs', () => {
    const groups = 'securityGroups: { web: { vpc: prod }, db: { vpc: staging } }\ninterfaces:\n';
    assert.deepEqual(wrong(`${groups}${eni('a', '10.1.0.11', ', securityGroups: [web, db]')}`), [
      "6:82 error other-vpc interfaces.a.securityGroups: the interface 'a' is in the VPC 'prod', and has groups of others: 'db' in 'staging'",
    ]);
    assert.deepEqual(
      wrong(`${groups}${eni('a', '10.2.0.11', ', vpc: staging, securityGroups: [web]')}`),
      [
        "6:96 error other-vpc interfaces.a.securityGroups: the interface 'a' is in the VPC 'staging', and has groups of others: 'web' in 'prod'",
      ],
    );
  });

  test('a name that two VPCs have, where nothing says which', () => {
    const text = `securityGroups: { prod/web: {}, staging/web: {} }
interfaces:
${eni('a', '10.1.0.11', ', securityGroups: [web]')}`;
    assert.deepEqual(wrong(text), [
      "6:83 error unknown-group interfaces.a.securityGroups[0]: 'web' could be any of 2 security groups",
    ]);
    assert.deepEqual(hints(text), ['write one of prod/web, staging/web']);
  });

  test('blocks that two VPCs with interfaces share', () => {
    const shared =
      'vpcs:\n  a: { cidrBlocks: [10.0.0.0/16] }\n  b: { cidrBlocks: [10.0.128.0/20] }\n';
    const one = `interfaces:\n${eni('x', '10.0.0.11', ', vpc: a')}`;
    assert.deepEqual(wrong(one, shared), []);
    assert.deepEqual(wrong(`${one}${eni('y', '10.0.128.11', ', vpc: b')}`, shared), [
      "3:21 error vpc-overlap vpcs.b.cidrBlocks[0]: the block 10.0.128.0/20 of the VPC 'b' overlaps the block 10.0.0.0/16 of the VPC 'a', and both have interfaces here",
    ]);
  });

  test('one address in two VPCs', () => {
    const text = `interfaces:\n${eni('x', '10.1.0.11', ', vpc: prod')}${eni('y', '10.1.0.11', ', vpc: staging')}`;
    assert.deepEqual(wrong(text), [
      "6:54 warning address-outside-vpc interfaces.y.addresses[0]: 10.1.0.11 is in no block of the VPC 'staging'",
      "6:54 error duplicate-address interfaces.y.addresses[0]: 10.1.0.11 belongs to interface 'x' on line 5 already",
    ]);
  });
});
