/** Templates that the AWS CDK synthesises: every rule it makes, in a table written by hand; no errors. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '../../src/config/load-config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { formatProblem } from '../../src/source/problem.ts';
import { synthesisePair, synthesiseShop } from './cdk-stacks.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-cdk-config-'));
after(() => rmSync(directory, { recursive: true }));

interface Loaded {
  readonly rules: readonly string[];
  readonly problems: readonly string[];
}

interface Extras {
  readonly supplied?: object;
  readonly more?: object;
}

/** `rules` name groups by their names, or by the logical id without the hash the CDK puts behind it. */
function load(
  templates: ReadonlyMap<string, string>,
  { supplied = {}, more = {} }: Extras = {},
): Loaded {
  const list = [...templates].map(([stackName, text]) => {
    writeFileSync(join(directory, `${stackName}.json`), text);
    return { file: `${stackName}.json`, stackName, supplied };
  });
  const file = join(directory, 'config.yaml');
  writeFileSync(file, JSON.stringify({ templates: list, ...more }));
  const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
  // The one notice is about all that makes no rules; lines of generated JSON say nothing, paths do.
  const lines = problems
    .filter(({ code }) => code !== 'passed-over')
    .map((problem) =>
      formatProblem(problem)
        .replaceAll(`${directory}/`, '')
        .replace(/^([\w.]+):\d+:\d+/, '$1'),
    );
  assert.ok(config !== undefined, lines.join('\n'));
  const named = {
    prefixLists: config.model.prefixLists,
    groups: new Map(
      [...config.model.groups].map(([id, group]) => [
        id,
        { ...group, name: group.name.replace(/^\w+-(\w+)[0-9A-F]{8}$/, '$1') },
      ]),
    ),
  };
  const rules = [...named.groups.values()]
    .filter(({ name }) => name !== 'default')
    .flatMap(({ name, ingress, egress }) => [
      ...ingress.map((rule) => `${name} < ${ruleText(rule, named)} "${rule.description}"`),
      ...egress.map((rule) => `${name} > ${ruleText(rule, named)} "${rule.description}"`),
    ]);
  return { rules: rules.sort(), problems: lines };
}

const SHOP = [
  'BalancerSecurityGroup < tcp 443 from ::/0 "HTTPS over IPv6"',
  'BalancerSecurityGroup < tcp 80 from 0.0.0.0/0 "Allow from anyone on port 80"',
  'BalancerSecurityGroup > tcp 8080 to sg:ServiceSecurityGroup "Load balancer to target"',
  'ServiceSecurityGroup < tcp 8080 from sg:BalancerSecurityGroup "Load balancer to target"',
  'ServiceSecurityGroup < tcp 8080 from sg:admin "look at the service"',
  'ServiceSecurityGroup > all to 0.0.0.0/0 "Allow all outbound traffic by default"',
  'DatabaseSecurityGroup < tcp 5432 from sg:ServiceSecurityGroup "service to database"',
  'DatabaseSecurityGroup > all to 0.0.0.0/0 "Allow all outbound traffic by default"',
  'admin < tcp 22 from pl:office "SSH from the office"',
  'admin < udp 514 from sg:ServiceSecurityGroup "logs of the service"',
  'admin < icmp type 8 from sg:admin "ping each other"',
  'admin > tcp 8080 to sg:ServiceSecurityGroup "look at the service"',
  'admin > icmp type 8 to sg:admin "ping each other"',
  'sealed > icmp type 252 code 86 to 255.255.255.255/32 "Disallow all traffic"',
  'six < all from 10.9.0.0/16 "from 10.9.0.0/16:ALL TRAFFIC"',
  'six > all to 0.0.0.0/0 "Allow all outbound traffic by default"',
  'six > all to ::/0 "Allow all outbound ipv6 traffic by default"',
].sort();

/** Only AWS knows the port of the database, and the group with that id. */
const UNKNOWN = [
  'DatabaseSecurityGroup < tcp 5432 from 192.0.2.0/28 "backups"',
  'six < tcp 8000-8010 from sg:partner "from sg-0123456789abcdef0:8000-8010"',
];

// prettier-ignore
const WARNINGS = [
  ...['FromPort', 'ToPort'].map(
    (name) => `shop.json: warning: ${name} can't be known here: the attribute Endpoint.Port of 'Database#' (AWS::RDS::DBInstance) is known to AWS alone; the rule is left out [Resources.DatabaseSecurityGroupfrom19202028IndirectPort#.Properties.${name}]
    supply it in the configuration as 'getatt:Database#.Endpoint.Port'`,
  ),
  `shop.json: warning: SourceSecurityGroupId can't be known here: the group 'sg-0123456789abcdef0' is not defined here; the rule is left out [Resources.Six#.Properties.SecurityGroupIngress[0].SourceSecurityGroupId]
    define it in this template or in the configuration`,
];

/** What the CDK puts behind every logical id. */
function withoutHashes(text: string): string {
  return text.replace(/[0-9A-F]{8}(?=['.])/g, '#');
}

test('a load balancer, a Fargate service and a database: every rule, and what is not known', () => {
  const shop = new Map([['shop', synthesiseShop()]]);
  const { rules, problems } = load(shop);
  assert.deepEqual(rules, SHOP);
  assert.deepEqual(problems.map(withoutHashes), WARNINGS);
  const [port] = /getatt:Database[0-9A-F]{8}\.Endpoint\.Port/.exec(problems[0])!;
  const known = load(shop, {
    supplied: { [port]: 5432 },
    more: { securityGroups: { partner: { id: 'sg-0123456789abcdef0', ingress: [], egress: [] } } },
  });
  assert.deepEqual(known.rules, [...SHOP, ...UNKNOWN].sort());
  assert.deepEqual(known.problems, []);
});

test('two stacks with rules between them, in whatever order', () => {
  const pair = synthesisePair();
  const expected = [
    'api < tcp 9000 from sg:web "web to api"',
    'api > icmp type 252 code 86 to 255.255.255.255/32 "Disallow all traffic"',
    'web > tcp 9000 to sg:api "web to api"',
  ];
  for (const order of [[...pair], [...pair].reverse()]) {
    const { rules, problems } = load(new Map(order));
    assert.deepEqual(rules, expected);
    assert.deepEqual(problems, []);
  }
});
