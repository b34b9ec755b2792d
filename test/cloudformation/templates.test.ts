/**
 * Templates in the styles that public ones are written in (the files are our own), each with the
 * table of rules that AWS would make of it, written by hand.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { repositoryRoot } from '../support/repository.ts';
import { defaultEgress } from './helpers.ts';

const FOLDER = join(repositoryRoot(), 'test/cloudformation/templates');
const directory = mkdtempSync(join(tmpdir(), 'sgt-styles-'));
after(() => rmSync(directory, { recursive: true }));

interface Style {
  readonly what: string;
  /** The section `templates`; files are those of the folder beside this test. */
  readonly templates: readonly object[];
  /** More of the configuration. */
  readonly more?: object;
  readonly rules: readonly string[];
  /** `file:line severity code: message`. */
  readonly problems: readonly string[];
}

function readStyle({ templates, more }: Style): {
  config: Config | undefined;
  problems: string[];
} {
  const items = templates.map((item) => {
    const { file, ...rest } = item as { file: string };
    return { file: join(FOLDER, file), ...rest };
  });
  const file = join(directory, 'config.yaml');
  writeFileSync(file, JSON.stringify({ templates: items, ...more }));
  const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
  return {
    config,
    problems: problems.map(
      ({ at, severity, code, message }) =>
        `${basename(at?.file ?? '')}:${at?.line} ${severity} ${code}: ${message}`,
    ),
  };
}

function rulesOf(config: Config): string[] {
  const groups = [...config.model.groups.values()].filter(({ name }) => name !== 'default');
  return groups.flatMap(({ name, ingress, egress }) => [
    ...ingress.map((rule) => `${name} < ${ruleText(rule, config.model)}`),
    ...egress.map((rule) => `${name} > ${ruleText(rule, config.model)}`),
  ]);
}

const passedOver = (kinds: string, total = 1): string =>
  `notice passed-over: ${total} ${total === 1 ? 'resource makes' : 'resources make'} no security group rules and ${total === 1 ? 'is' : 'are'} passed over: ${kinds}`;
const PEERED = 'peering-network.yaml:7 ';

// prettier-ignore
const STYLES: readonly Style[] = [
  {
    what: 'a blog: parameters, mappings, groups by name',
    templates: [{ file: 'wordpress.yaml', stackName: 'blog' }],
    rules: [
      'blog-WebServerSecurityGroup < tcp 80 from 198.51.100.0/24',
      'blog-WebServerSecurityGroup < tcp 22 from 192.0.2.0/24',
      'blog-WebServerSecurityGroup < icmp from 192.0.2.0/24',
      ...defaultEgress('blog-WebServerSecurityGroup'),
      'blog-DBSecurityGroup < tcp 3306 from sg:blog-WebServerSecurityGroup',
      ...defaultEgress('blog-DBSecurityGroup'),
    ],
    problems: ['wordpress.yaml:65 warning bad-property: SecurityGroupIngress is one rule, not a list of rules; it is taken as a list of one'],
  },
  {
    what: 'the same blog, live, on other ports',
    templates: [{ file: 'wordpress.yaml', stackName: 'blog', parameters: { Stage: 'live', HttpPort: 8080, DBPort: 3307, SSHLocation: '192.0.2.10/32' } }],
    rules: [
      'blog-WebServerSecurityGroup < tcp 8080 from 0.0.0.0/0',
      'blog-WebServerSecurityGroup < tcp 22 from 192.0.2.10/32',
      'blog-WebServerSecurityGroup < icmp from 192.0.2.10/32',
      ...defaultEgress('blog-WebServerSecurityGroup'),
      'blog-DBSecurityGroup < tcp 3307 from sg:blog-WebServerSecurityGroup',
      ...defaultEgress('blog-DBSecurityGroup'),
    ],
    problems: ['wordpress.yaml:65 warning bad-property: SecurityGroupIngress is one rule, not a list of rules; it is taken as a list of one'],
  },
  {
    what: 'a load balancer, a service and a database that name each other',
    templates: [{ file: 'three-tier.json', stackName: 'shop', parameters: { VpcId: 'vpc-0123456789abcdef0' } }],
    rules: [
      'shop-balancer < tcp 443 from 0.0.0.0/0',
      'shop-balancer < tcp 443 from ::/0',
      'shop-balancer > tcp 8080 to sg:shop-service',
      'shop-service < tcp 8080 from sg:shop-balancer',
      'shop-service > tcp 5432 to sg:shop-database',
      'shop-service > udp 53 to 10.0.0.0/16',
      'shop-database < tcp 5432 from sg:shop-service',
      'shop-database > all to 127.0.0.1/32',
    ],
    problems: [],
  },
  {
    what: 'a bastion, as it comes',
    templates: [{ file: 'bastion.yaml', stackName: 'b' }],
    rules: [
      'bastion < tcp 22 from 203.0.113.0/24',
      'bastion < icmp type 8 from 203.0.113.0/24',
      'bastion > tcp 22 to 10.20.0.0/16',
      'bastion > tcp 443 to 0.0.0.0/0',
      'private < tcp 22 from sg:bastion',
      'private < tcp 0-65535 from 10.20.0.0/24',
      ...defaultEgress('private'),
    ],
    problems: [],
  },
  {
    what: 'a bastion with everything the other way round',
    templates: [{ file: 'bastion.yaml', stackName: 'b', parameters: { EnableMosh: 'true', ExtraCIDR: '192.0.2.1/32', VPCCIDR: '10.30.0.0/16' } }],
    rules: [
      'bastion < tcp 22 from 203.0.113.0/24',
      'bastion < udp 60000-61000 from 203.0.113.0/24',
      'bastion < tcp 22 from 192.0.2.1/32',
      'bastion > tcp 22 to 10.30.0.0/16',
      'bastion > tcp 443 to 0.0.0.0/0',
      'private < tcp 22 from sg:bastion',
      'private < tcp 0-65535 from 10.30.0.0/24',
      'private < udp 514 from sg:bastion',
      ...defaultEgress('private'),
    ],
    problems: [],
  },
  {
    what: 'a bastion with nothing but SSH',
    templates: [{ file: 'bastion.yaml', stackName: 'b', parameters: { EnablePing: false } }],
    rules: [
      'bastion < tcp 22 from 203.0.113.0/24',
      'bastion > tcp 22 to 10.20.0.0/16',
      'private < tcp 22 from sg:bastion',
      'private < tcp 0-65535 from 10.20.0.0/24',
      ...defaultEgress('private'),
    ],
    problems: [],
  },
  {
    what: 'a cluster: self references and port ranges',
    templates: [{ file: 'cluster.yaml', stackName: 'c', parameters: { VpcId: 'vpc-1' } }],
    rules: [
      'demo-control < tcp 443 from sg:demo-node',
      'demo-control > tcp 1025-65535 to sg:demo-node',
      'demo-control > tcp 443 to sg:demo-node',
      'demo-node < all from sg:demo-node',
      'demo-node < tcp 1025-65535 from sg:demo-control',
      'demo-node < tcp 30000-32767 from 10.0.0.0/8',
      ...defaultEgress('demo-node'),
    ],
    problems: [],
  },
  {
    what: 'a pair of stacks, the importing one first; its egress rule takes the place of the defaults',
    templates: [{ file: 'peering-service.yaml', stackName: 'service' }, { file: 'peering-network.yaml', stackName: 'network' }],
    rules: [
      'service < tcp 443 from 10.2.0.0/16',
      'service < icmp type 8 code 0 from sg:shared',
      'service > tcp 443 to 10.2.0.0/16',
      'shared < tcp 2049 from 10.2.0.0/16',
      'shared > icmp type 8 code 0 to sg:service',
    ],
    problems: [`${PEERED}${passedOver('1 AWS::EC2::VPCPeeringConnection')}`],
  },
  {
    what: "prefix lists; AWS's own one is not known, until the configuration has it",
    templates: [{ file: 'prefix-lists.yaml' }],
    rules: [
      'edge < tcp 22 from pl:office-v4',
      'edge < tcp 22 from pl:office-v6',
      'edge < icmpv6 type 128 from pl:office-v6',
      'edge > udp 514 to pl:office-v4',
    ],
    problems: ["prefix-lists.yaml:31 warning unknown-value: SourcePrefixListId can't be known here: the prefix list 'pl-3b927c52' is not defined here; the rule is left out"],
  },
  {
    what: 'prefix lists, with one of the configuration',
    templates: [{ file: 'prefix-lists.yaml' }],
    more: { prefixLists: { origin: { id: 'pl-3b927c52', entries: ['192.0.2.0/24'] } } },
    rules: [
      'edge < tcp 443 from pl:origin',
      'edge < tcp 22 from pl:office-v4',
      'edge < tcp 22 from pl:office-v6',
      'edge < icmpv6 type 128 from pl:office-v6',
      'edge > udp 514 to pl:office-v4',
    ],
    problems: [],
  },
  {
    what: 'a serverless application: the transform is told',
    templates: [{ file: 'serverless.yaml', supplied: { 'ssm:/shared/gateway-cidr': '10.9.0.0/24' } }],
    rules: [
      'functions > tcp 443 to 10.9.0.0/24',
      'functions > tcp 6379 to sg:cache',
      'cache < tcp 6379 from sg:functions',
      'cache > all to 127.0.0.1/32',
    ],
    problems: [
      "serverless.yaml:3 warning transform: the transform 'AWS::Serverless-2016-10-31' runs in AWS alone; resources are read as they are written",
      "serverless.yaml:25 warning unknown-value: CidrIp can't be known here: '/shared/endpoint-cidr' is stored in AWS Systems Manager; the rule is left out",
    ],
  },
];

for (const style of STYLES) {
  test(style.what, () => {
    const { config, problems } = readStyle(style);
    assert.deepEqual(problems, style.problems);
    assert.ok(config !== undefined);
    assert.deepEqual(rulesOf(config), style.rules);
  });
}

test("the bastion's interface takes its group and address from the template", () => {
  const { config, problems } = readStyle({
    what: '',
    templates: [{ file: 'bastion.yaml', stackName: 'b' }],
    more: { interfaces: { bastion: { device: { name: 'b0' }, from: 'b/Bastion' } } },
    rules: [],
    problems: [],
  });
  assert.deepEqual(problems, []);
  const [{ addresses, groupIds }] = [...config!.model.interfaces.values()];
  assert.deepEqual(addresses.map(formatAddress), ['10.20.0.10']);
  assert.deepEqual(
    groupIds.map((id) => config!.model.groups.get(id)!.name),
    ['bastion'],
  );
  assert.deepEqual(config!.special.reserved.map(formatAddress).slice(-2), [
    '10.20.0.2',
    '10.20.0.1',
  ]);
});
