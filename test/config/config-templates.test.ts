/** Templates in a configuration: their values, what they are to each other, and where their groups are. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { formatProblem, type Problem } from '../../src/source/problem.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-templates-'));
after(() => rmSync(directory, { recursive: true }));

let count = 0;

interface Tried {
  readonly config: Config | undefined;
  /** `file:line:column severity code: message`. */
  readonly problems: readonly string[];
  readonly raw: readonly Problem[];
}

/** Loads `config.yaml` of some files, in a directory of their own. */
function tryFiles(files: Readonly<Record<string, string | Buffer>>): Tried {
  const folder = join(directory, String(count++));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const { config, problems } = loadConfig(join(folder, 'config.yaml'), {
    netnsDirectory: '/run/netns',
  });
  const lines = problems.map(({ at, severity, code, message }) => {
    const file = at?.file.replace(`${folder}/`, '') ?? '';
    return `${file}:${at?.line}:${at?.column} ${severity} ${code}: ${message}`;
  });
  return { config, problems: lines, raw: problems };
}

/** `group < rule`, `group > rule`, without the default group. */
function rulesOf(config: Config | undefined): string[] {
  assert.ok(config !== undefined, 'the configuration has errors');
  return [...config.model.groups.values()]
    .filter(({ name }) => name !== 'default')
    .flatMap(({ name, ingress, egress }) => [
      ...ingress.map((rule) => `${name} < ${ruleText(rule, config.model)}`),
      ...egress.map((rule) => `${name} > ${ruleText(rule, config.model)}`),
    ]);
}

const TCP = 'IpProtocol: tcp, FromPort: 80, ToPort: 80';
const GROUP = 'Type: AWS::EC2::SecurityGroup';
const ALL = (name: string): string[] => [`${name} > all to 0.0.0.0/0`, `${name} > all to ::/0`];

// Egress from elsewhere.

const OPEN = `Resources:\n  Web: {${GROUP}, Properties: {GroupName: web, GroupDescription: d}}\n`;

function egress(groupId: string, peer = 'CidrIp: 10.0.0.0/8', more = ''): string {
  return `Parameters: {Office: {Type: String}, Maybe: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /m}}
Conditions: {Perhaps: !Equals [!Ref Maybe, x]}
Resources:
  Out: {Type: AWS::EC2::SecurityGroupEgress${more}, Properties: {GroupId: ${groupId}, ${TCP}, ${peer}}}
`;
}

// prettier-ignore
const FROM_ELSEWHERE: readonly (readonly [what: string, rule: string, left: readonly string[]])[] = [
  ['a rule', egress('web'), ['web > tcp 80 to 10.0.0.0/8']],
  ['a rule whose peer is not known', egress('web', 'CidrIp: !Ref Office'), []],
  ['a rule that may not exist', egress('web', 'CidrIp: 10.0.0.0/8', ', Condition: Perhaps'), []],
  ['a rule for this group or another', egress('!If [Perhaps, web, default]'), []],
  ['a rule by the stack and the logical id', egress('one/Web'), ['web > tcp 80 to 10.0.0.0/8']],
  ['a rule for everything in one family', egress('web').replace(TCP, 'IpProtocol: -1').replace('10.0.0.0/8', '0.0.0.0/0'), ['web > all to 0.0.0.0/0']],
];

for (const [what, rule, left] of FROM_ELSEWHERE) {
  test(`AWS's own egress rules go when another template adds ${what}`, () => {
    for (const templates of ['[one.yaml, two.yaml]', '[two.yaml, one.yaml]']) {
      const { config, problems } = tryFiles({
        'config.yaml': `templates: ${templates}\n`,
        'one.yaml': OPEN,
        'two.yaml': rule,
      });
      assert.deepEqual(
        problems.filter((line) => line.includes(' error ')),
        [],
      );
      assert.deepEqual(rulesOf(config), left);
    }
  });
}

test("AWS's own egress rules of a group of the file go as well; stated ones stay", () => {
  const load = (group: string): string[] =>
    rulesOf(
      tryFiles({
        'config.yaml': `templates: [two.yaml]\nsecurityGroups: { web: ${group} }\n`,
        'two.yaml': egress('web'),
      }).config,
    );
  assert.deepEqual(load('{}'), ['web > tcp 80 to 10.0.0.0/8']);
  assert.deepEqual(load("{ egress: [{ protocol: all, to: '::/0' }] }"), [
    'web > all to ::/0',
    'web > tcp 80 to 10.0.0.0/8',
  ]);
});

test('an ingress rule from elsewhere leaves the egress rules alone', () => {
  const { config } = tryFiles({
    'config.yaml': 'templates: [one.yaml, two.yaml]\n',
    'one.yaml': OPEN,
    'two.yaml': egress('web').replace('GroupEgress', 'GroupIngress'),
  });
  assert.deepEqual(rulesOf(config), ['web < tcp 80 from 10.0.0.0/8', ...ALL('web')]);
});

// Values.

const WITH_PARAMETERS = `Parameters:
  OfficeCidr: {Type: String, Default: 10.1.0.0/16}
  Port: {Type: Number, Default: 80, MaxValue: 1000}
  Others: {Type: CommaDelimitedList, Default: '10.8.0.0/16,10.9.0.0/16'}
Resources:
  Web:
    ${GROUP}
    Properties:
      GroupName: web
      GroupDescription: d
      SecurityGroupEgress: [{IpProtocol: -1, CidrIp: 127.0.0.1/32}]
      SecurityGroupIngress:
        - {IpProtocol: tcp, FromPort: !Ref Port, ToPort: !Ref Port, CidrIp: !Ref OfficeCidr}
        - {IpProtocol: udp, FromPort: 53, ToPort: 53, CidrIp: !Select [1, !Ref Others]}
      VpcId: vpc-1
`;

// prettier-ignore
const PARAMETERS: readonly (readonly [what: string, item: string, file: string | undefined, tcp: string, udp: string])[] = [
  ['defaults', '', undefined, 'tcp 80 from 10.1.0.0/16', '10.9.0.0/16'],
  ['the configuration', 'parameters: { Port: 443, Others: [10.2.0.0/16, 10.3.0.0/16] }', undefined, 'tcp 443 from 10.1.0.0/16', '10.3.0.0/16'],
  ['a list of keys and values', 'parametersFile: p.json', '[{"ParameterKey": "Port", "ParameterValue": "443"}, {"ParameterKey": "OfficeCidr", "ParameterValue": "10.4.0.0/16"}]', 'tcp 443 from 10.4.0.0/16', '10.9.0.0/16'],
  ['a template configuration', 'parametersFile: p.json', '{"Parameters": {"Port": 443, "Others": "10.5.0.0/16,10.6.0.0/16"}, "Tags": {"a": "b"}, "StackPolicy": {}}', 'tcp 443 from 10.1.0.0/16', '10.6.0.0/16'],
  ['lines', 'parametersFile: p.json', '\ufeff# live\r\n\r\nPort=443\r\n  OfficeCidr="10.4.0.0/16"\r\nOthers=10.5.0.0/16,10.6.0.0/16  ', 'tcp 443 from 10.4.0.0/16', '10.6.0.0/16'],
  ['a list of pairs', 'parametersFile: p.json', '["Port=443", "Others=10.5.0.0/16, 10.6.0.0/16"]', 'tcp 443 from 10.1.0.0/16', '10.6.0.0/16'],
  ['both: the configuration goes before the file', 'parameters: { Port: 22 }, parametersFile: p.json', '[{"ParameterKey": "Port", "ParameterValue": "443"}, {"ParameterKey": "OfficeCidr", "ParameterValue": "10.4.0.0/16"}]', 'tcp 22 from 10.4.0.0/16', '10.9.0.0/16'],
];

for (const [what, item, file, tcp, udp] of PARAMETERS) {
  test(`parameters from ${what}`, () => {
    const { config, problems } = tryFiles({
      'config.yaml': `templates: [{ file: t.yaml, ${item} }]\n`,
      't.yaml': WITH_PARAMETERS,
      ...(file === undefined ? {} : { 'p.json': file }),
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(rulesOf(config), [
      `web < ${tcp}`,
      `web < udp 53 from ${udp}`,
      'web > all to 127.0.0.1/32',
    ]);
    assert.equal(config!.otherFiles.length, file === undefined ? 1 : 2);
  });
}

// prettier-ignore
const WRONG_PARAMETERS: readonly (readonly [item: string, file: string, problems: readonly string[]])[] = [
  ['parameters: { Prot: 443, Nonsense: 1 }', '', [
    "config.yaml:1:49 error unknown-parameter: the template has no parameter 'Prot'; did you mean 'Port'?",
    "config.yaml:1:64 error unknown-parameter: the template has no parameter 'Nonsense'"]],
  ['parametersFile: p.json', '{"Parameters": {"OficeCidr": "10.0.0.0/8"}}', [
    "p.json:1:30 error unknown-parameter: the template has no parameter 'OficeCidr'; did you mean 'OfficeCidr'?"]],
  ['parameters: { Port: 5000 }', '', [
    "config.yaml:1:49 error bad-parameter: the value '5000' of the parameter 'Port' is out of range"]],
  ['parametersFile: p.json', '[{"ParameterKey": "Port", "ParameterValue": "x"}]', [
    "p.json:1:45 error bad-parameter: the value 'x' of the parameter 'Port' is not a number"]],
  ['parametersFile: p.json', '{"Port": 443}', [
    'p.json:1:1 error parameters-format: a parameters file is a list, a mapping with Parameters, or lines Key=Value, not a mapping']],
  ['parametersFile: p.json', '[5, {"ParameterValue": "1"}, {"ParameterKey": "Port"}, {"ParameterKey": 1}, {"ParameterKey": "Port", "ParameterValue": ["a"], "Extra": 1}]', [
    'p.json:1:2 error parameters-format: a parameter must be a mapping, not a number',
    'p.json:1:5 error parameters-format: the parameter has no ParameterKey',
    "p.json:1:30 error parameters-format: the parameter 'Port' has no ParameterValue",
    'p.json:1:73 error parameters-format: ParameterKey must be a string, not a number',
    "p.json:1:120 error parameters-format: the value of the parameter 'Port' must be a string, not a list",
    "p.json:1:127 error unknown-key: unknown key 'Extra'"]],
  ['parametersFile: p.json', '[{"ParameterKey": "Port", "ParameterValue": "1"},\n {"ParameterKey": "Port", "ParameterValue": "2"}]', [
    "p.json:2:19 error duplicate-key: the parameter 'Port' is given on line 1 already"]],
  ['parametersFile: p.json', '[{"ParameterKey": "Port", "UsePreviousValue": true}]', [
    "p.json:1:47 warning unknown-value: the parameter 'Port' keeps its previous value, which AWS alone knows; its default is taken"]],
  ['parametersFile: p.json', 'Port=443\nPort=80\nOfficeCidr=a Others=b\n\n= 3\nOthers', [
    "p.json:2:1 error duplicate-key: the parameter 'Port' is given on line 1 already",
    'p.json:3:1 error parameters-format: this looks like several parameters on one line',
    'p.json:5:1 error parameters-format: this is no Key=Value',
    'p.json:6:1 error parameters-format: this is no Key=Value']],
  ['parametersFile: p.json', 'Port=x\nPrt=1', [
    "p.json:1:1 error bad-parameter: the value 'x' of the parameter 'Port' is not a number",
    "p.json:2:1 error unknown-parameter: the template has no parameter 'Prt'; did you mean 'Port'?"]],
  ['parametersFile: p.json', '{"Parameters": [1]}', [
    'p.json:1:16 error parameters-format: Parameters must be a mapping, not a list']],
  ['parametersFile: p.json', '', ['p.json:1:1 error empty-document: the file is empty']],
  ['parametersFile: none.json', '', ["none.json:0:0 error file-unreadable: the file can't be read: ENOENT"]],
  ['parametersFile: ""', '', ["config.yaml:1:45 error bad-value: the name of the parameters file is empty"]],
  ['parameters: { Port: { a: 1 } }', '', ['config.yaml:1:49 error wrong-kind: expected a string, a number, true or false or a list, got a mapping']],
  ['supplied: { Port: 1 }', '', ["config.yaml:1:41 error bad-supplied-key: 'Port' is no key of a value that only AWS knows"]],
];

for (const [item, file, expected] of WRONG_PARAMETERS) {
  test(`${item} ${file.slice(0, 60)}: ${expected[0]}`, () => {
    const { problems } = tryFiles({
      'config.yaml': `templates: [{ file: t.yaml, ${item} }]\n`,
      't.yaml': WITH_PARAMETERS,
      'p.json': file,
    });
    assert.deepEqual(problems, expected);
  });
}

const WITH_UNKNOWN = `Parameters:
  Office: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /net/office}
  Nets: {Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: /net/list}
Resources:
  Look: {Type: 'Custom::Lookup'}
  Web:
    ${GROUP}
    Properties:
      GroupName: web
      GroupDescription: d
      SecurityGroupEgress: [{IpProtocol: -1, CidrIp: 127.0.0.1/32}]
      SecurityGroupIngress:
        - {${TCP}, CidrIp: !Ref Office}
        - {${TCP}, CidrIp: !Select [1, !Ref Nets]}
        - {${TCP}, CidrIp: !ImportValue shared-net}
        - {${TCP}, CidrIp: !GetAtt Look.Cidr}
        - {${TCP}, CidrIp: !Ref Look}
        - {${TCP}, CidrIp: !Select [0, !GetAtt Look.Cidrs]}
      VpcId: vpc-1
`;
const PASSED_OVER =
  't.yaml:5:3 notice passed-over: 1 resource makes no security group rules and is passed over: 1 Custom::Lookup';

test('values that only AWS knows are supplied by the keys that the warnings name', () => {
  const without = tryFiles({ 'config.yaml': 'templates: [t.yaml]\n', 't.yaml': WITH_UNKNOWN });
  const keys = without.raw.flatMap(
    (problem) => /as '([^']*)'$/.exec(formatProblem(problem))?.[1] ?? [],
  );
  assert.deepEqual(keys, [
    'ssm:/net/office',
    'ssm:/net/list',
    'import:shared-net',
    'getatt:Look.Cidr',
    'ref:Look',
    'getatt:Look.Cidrs',
  ]);
  assert.deepEqual(rulesOf(without.config), ['web > all to 127.0.0.1/32']);
  const { config, problems } = tryFiles({
    'config.yaml': `templates:
  - file: t.yaml
    supplied:
      ssm:/net/office: 10.1.0.0/16
      ssm:/net/list: [10.0.0.0/16, 10.2.0.0/16]
      import:shared-net: 10.3.0.0/16
      getatt:Look.Cidr: 10.4.0.0/16
      ref:Look: 10.5.0.0/16
      getatt:Look.Cidrs: [10.6.0.0/16]
`,
    't.yaml': WITH_UNKNOWN,
  });
  assert.deepEqual(problems, [PASSED_OVER]);
  assert.deepEqual(
    rulesOf(config).slice(0, 6),
    [1, 2, 3, 4, 5, 6].map((n) => `web < tcp 80 from 10.${n}.0.0/16`),
  );
});

test('a supplied value that nothing asks for is told, with what was probably meant', () => {
  const { problems } = tryFiles({
    'config.yaml':
      'templates:\n  - file: t.yaml\n    supplied:\n      import:shared-nte: 10.3.0.0/16\n      ssm:/other/thing: x\n',
    't.yaml': WITH_UNKNOWN,
  });
  assert.deepEqual(problems.slice(0, 2), [
    "config.yaml:4:7 warning unused-value: nothing in the template 't.yaml' asks for 'import:shared-nte'; did you mean 'import:shared-net'?",
    "config.yaml:5:7 warning unused-value: nothing in the template 't.yaml' asks for 'ssm:/other/thing'",
  ]);
});

// Templates among each other.

const NETWORK = `Resources:
  Web: {${GROUP}, Properties: {GroupName: web, GroupDescription: d, SecurityGroupEgress: [{IpProtocol: -1, CidrIp: 127.0.0.1/32}], VpcId: vpc-1}}
Outputs:
  Web: {Value: !GetAtt Web.GroupId, Export: {Name: !Sub '\${AWS::StackName}-web'}}
  Port: {Value: 5432, Export: {Name: db-port}}
`;
const DATABASE = `Parameters: {Network: {Type: String, Default: network}}
Resources:
  Db:
    ${GROUP}
    Properties:
      GroupName: db
      GroupDescription: d
      SecurityGroupEgress: [{IpProtocol: -1, CidrIp: 127.0.0.1/32}]
      SecurityGroupIngress:
        - IpProtocol: tcp
          FromPort: !ImportValue db-port
          ToPort: !ImportValue db-port
          SourceSecurityGroupId:
            Fn::ImportValue: !Sub '\${Network}-web'
      VpcId: vpc-1
`;
const CHAIN = [
  'web > all to 127.0.0.1/32',
  'db < tcp 5432 from sg:web',
  'db > all to 127.0.0.1/32',
];

test('exports are imported in whatever order the templates are listed', () => {
  for (const list of ['[network.yaml, database.yaml]', '[database.yaml, network.yaml]']) {
    const { config, problems } = tryFiles({
      'config.yaml': `templates: ${list}\n`,
      'network.yaml': NETWORK,
      'database.yaml': DATABASE,
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(rulesOf(config).sort(), [...CHAIN].sort());
  }
});

test('an import that nobody exports suggests what was meant', () => {
  const { raw } = tryFiles({
    'config.yaml': 'templates: [network.yaml, database.yaml]\n',
    'network.yaml': NETWORK,
    'database.yaml': DATABASE.replace('-web', '-wbe'),
  });
  assert.deepEqual(
    raw.map(({ message, hint }) => [message, hint]),
    [
      [
        "SourceSecurityGroupId can't be known here: no template here exports 'network-wbe'; the rule is left out",
        "did you mean 'network-web'? Or supply it in the configuration as 'import:network-wbe'",
      ],
    ],
  );
});

test('an export through several stacks, listed backwards', () => {
  const pass = (from: string, to: string): string =>
    `Resources: {V: {Type: AWS::EC2::VPC}}\nOutputs: {O: {Value: !ImportValue ${from}, Export: {Name: ${to}}}}\n`;
  const { config, problems } = tryFiles({
    'config.yaml': 'templates: [d.yaml, c.yaml, b.yaml, a.yaml]\n',
    'a.yaml': NETWORK,
    'b.yaml': pass('a-web', 'b-web'),
    'c.yaml': pass('b-web', 'c-web'),
    'd.yaml': DATABASE.replace('Default: network', 'Default: c'),
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(rulesOf(config).sort(), [...CHAIN].sort());
});

test('groups of templates name each other by name and by id, in any order', () => {
  const peer = (own: string, other: string): string =>
    `Resources:\n  G: {${GROUP}, Properties: {GroupName: ${own}, GroupDescription: d, SecurityGroupEgress: [{${TCP}, DestinationSecurityGroupId: ${other}}], VpcId: vpc-1}}\n`;
  const { config, problems } = tryFiles({
    'config.yaml': 'templates: [a.yaml, b.yaml]\n',
    'a.yaml': peer('one', 'two'),
    'b.yaml': peer('two', 'one'),
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(rulesOf(config), ['one > tcp 80 to sg:two', 'two > tcp 80 to sg:one']);
});

test('a logical id without its !Ref is not another template’s group of that name', () => {
  const group = (peer: string): string =>
    `Resources:\n  G: {${GROUP}, Properties: {GroupDescription: d, SecurityGroupEgress: [{${TCP}, DestinationSecurityGroupId: ${peer}}], VpcId: vpc-1}}\n`;
  const { config, problems } = tryFiles({
    'config.yaml': 'templates: [a.yaml]\n',
    'a.yaml': group('G'),
  });
  assert.deepEqual(problems, [
    "a.yaml:2:166 warning unknown-value: DestinationSecurityGroupId can't be known here: the group 'G' is not defined here; the rule is left out",
  ]);
  assert.deepEqual(rulesOf(config), []);
});

test('stacks that import from each other work, with a warning; a value that needs itself does not', () => {
  const half = (own: string, other: string): string => `Resources:
  G: {${GROUP}, Properties: {GroupName: ${own}, GroupDescription: d, SecurityGroupEgress: [{${TCP}, DestinationSecurityGroupId: !ImportValue ${other}}], VpcId: vpc-1}}
Outputs: {O: {Value: !GetAtt G.GroupId, Export: {Name: ${own}}}}
`;
  const { config, problems } = tryFiles({
    'config.yaml': 'templates: [a.yaml, b.yaml]\n',
    'a.yaml': half('one', 'two'),
    'b.yaml': half('two', 'one'),
  });
  assert.deepEqual(problems, [
    'a.yaml:2:195 warning circular-reference: the stacks a, b import from each other',
  ]);
  assert.deepEqual(rulesOf(config), ['one > tcp 80 to sg:two', 'two > tcp 80 to sg:one']);

  const pass = (from: string, to: string): string =>
    `Resources: {V: {Type: AWS::EC2::VPC}}\nOutputs: {O: {Value: !ImportValue ${from}, Export: {Name: ${to}}}}\n`;
  const circle = tryFiles({
    'config.yaml': 'templates: [a.yaml, b.yaml]\n',
    'a.yaml': pass('y', 'x'),
    'b.yaml': pass('x', 'y'),
  });
  assert.deepEqual(
    circle.problems.filter((line) => line.includes(' error ')),
    ['b.yaml:2:35 error circular-reference: circular reference: the export x -> y -> x'],
  );
});

test('a chain of imports is no deeper than one template may be', () => {
  const stacks = 150;
  const files: Record<string, string> = {
    'config.yaml': `templates: [${Array.from({ length: stacks }, (_, i) => `s${i}.yaml`).join(', ')}]\n`,
  };
  for (let i = 0; i < stacks; i++) {
    files[`s${i}.yaml`] =
      `Resources: {V: {Type: AWS::EC2::VPC}}\nOutputs: {O: {Value: !Join ['', [!ImportValue e${i + 1}]], Export: {Name: e${i}}}}\n`;
  }
  const { config, problems } = tryFiles(files);
  assert.equal(config, undefined);
  assert.match(
    problems.find((line) => line.includes(' error ')) ?? '',
    /error template-limit: expressions are nested more than 300 deep$/,
  );
});

test('an export of two stacks, an import of none, and one that is not known', () => {
  const { problems } = tryFiles({
    'config.yaml': 'templates: [network.yaml, database.yaml, third.yaml]\n',
    'network.yaml': NETWORK.replace('db-port', 'dp-port'),
    'database.yaml': DATABASE,
    'third.yaml':
      'Parameters: {P: {Type: String}}\nResources: {V: {Type: AWS::EC2::VPC}}\nOutputs:\n  A: {Value: 1, Export: {Name: network-web}}\n  B: {Value: !Ref P, Export: {Name: db-port}}\n',
  });
  assert.deepEqual(
    [...problems].sort(),
    [
      "third.yaml:4:32 error duplicate-export: 'network-web' is exported by the stack 'network' as well",
      "database.yaml:11:34 warning unknown-value: FromPort can't be known here: 'db-port' is exported by the stack 'third', and parameter 'P' has no default and no value was given; the rule is left out",
      "database.yaml:12:32 warning unknown-value: ToPort can't be known here: 'db-port' is exported by the stack 'third', and parameter 'P' has no default and no value was given; the rule is left out",
    ].sort(),
  );
});

test('files that are too large, missing or no text', () => {
  const { problems } = tryFiles({
    'config.yaml': 'templates: [large.yaml, missing.yaml, binary.yaml, empty.yaml]\n',
    'large.yaml': ' '.repeat(1_048_577),
    'binary.yaml': Buffer.from([0xff, 0xfe, 0x80]),
    'empty.yaml': '',
  });
  assert.deepEqual(problems, [
    'large.yaml:0:0 error file-too-large: the file has 1048577 bytes; at most 1048576 are read',
    "missing.yaml:0:0 error file-unreadable: the file can't be read: ENOENT",
    'binary.yaml:0:0 error file-encoding: the file is not UTF-8 text',
    'empty.yaml:1:1 error empty-document: the file is empty',
  ]);
});

test('five hundred templates at most', () => {
  const { problems } = tryFiles({
    'config.yaml': `templates: [${Array.from({ length: 501 }, (_, i) => `{file: t.yaml, stackName: s${i}}`).join(', ')}]\n`,
    't.yaml': 'Resources: {V: {Type: AWS::EC2::VPC}}\n',
  });
  assert.equal(problems.length, 1);
  assert.match(
    problems[0],
    /^config\.yaml:1:\d+ error template-limit: there are 501 templates; at most 500 are read$/,
  );
});

// Placement.

const PLACED = `Parameters: {Given: {Type: String}}
Conditions: {Off: !Equals [a, b], Perhaps: !Equals [!Ref Given, x]}
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Sub: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Net, CidrBlock: !Select [1, !Cidr [!GetAtt Net.CidrBlock, 4, 8]], Ipv6CidrBlock: 'fd00:10::/64'}}
  G: {${GROUP}, Properties: {GroupName: g, GroupDescription: d, VpcId: !Ref Net}}
  H: {${GROUP}, Properties: {GroupName: h, GroupDescription: d}}
  Everyone: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !Ref G, ${TCP}, SourceSecurityGroupId: !GetAtt Net.DefaultSecurityGroup}}
  Shared: {Type: AWS::EC2::SecurityGroupVpcAssociation, Properties: {GroupId: !GetAtt G.GroupId, VpcId: !Ref Net}}
  Eni:
    Type: AWS::EC2::NetworkInterface
    Properties:
      SubnetId: !Ref Sub
      GroupSet: [!GetAtt G.GroupId, !GetAtt H.GroupId]
      PrivateIpAddress: 10.0.1.10
      PrivateIpAddresses: [{PrivateIpAddress: 10.0.1.11, Primary: false}, {PrivateIpAddress: 10.0.1.10, Primary: true}]
      Ipv6Addresses: [{Ipv6Address: 'fd00:10::10'}]
      SourceDestCheck: false
      ConnectionTrackingSpecification: {TcpEstablishedTimeout: 600, UdpTimeout: 45}
  ByName: {Type: AWS::EC2::Instance, Properties: {SecurityGroups: [!Ref H], PrivateIpAddress: 10.0.1.20, SourceDestCheck: 'true'}}
  ById: {Type: AWS::EC2::Instance, Properties: {SecurityGroupIds: [!GetAtt G.GroupId], PrivateIpAddress: 10.0.1.21, Ipv6Addresses: [{Ipv6Address: 'fd00:10::21'}]}}
  Plain: {Type: AWS::EC2::Instance, Properties: {PrivateIpAddress: 10.0.1.22}}
  Attached: {Type: AWS::EC2::Instance, Properties: {NetworkInterfaces: [{DeviceIndex: '0', NetworkInterfaceId: !Ref Eni}]}}
  Inline:
    Type: AWS::EC2::Instance
    Properties:
      NetworkInterfaces:
        - {DeviceIndex: 1, GroupSet: [!GetAtt H.GroupId], PrivateIpAddress: 10.0.1.31}
        - {DeviceIndex: 0, GroupSet: [!GetAtt G.GroupId], PrivateIpAddresses: [{PrivateIpAddress: 10.0.1.30, Primary: true}]}
  NoAddress: {Type: AWS::EC2::Instance, Properties: {SecurityGroupIds: [!GetAtt G.GroupId]}}
  Some: {Type: AWS::EC2::Instance, Properties: {SecurityGroupIds: [!Ref Given, !GetAtt G.GroupId], PrivateIpAddress: 10.0.1.40}}
  None: {Type: AWS::EC2::Instance, Properties: {SecurityGroupIds: [!Ref Given], PrivateIpAddress: 10.0.1.41}}
  Counted: {Type: AWS::EC2::NetworkInterface, Properties: {PrivateIpAddress: 10.0.1.42, Ipv6AddressCount: 1}}
  Missing: {Type: AWS::EC2::Instance, Condition: Off, Properties: {PrivateIpAddress: 10.0.1.43}}
  Unsure: {Type: AWS::EC2::Instance, Condition: Perhaps, Properties: {PrivateIpAddress: 10.0.1.44}}
  Twice: {Type: AWS::EC2::Instance, Properties: {SecurityGroupIds: [!GetAtt G.GroupId], NetworkInterfaces: [{DeviceIndex: 0, GroupSet: [!GetAtt H.GroupId], PrivateIpAddress: 10.0.1.45}]}}
  Wrong: {Type: AWS::EC2::NetworkInterface, Properties: {GroupSet: !GetAtt G.GroupId, PrivateIpAddress: 10.0.1, Ipv6Addresses: ['fd00::1'], SourceDestCheck: maybe, ConnectionTrackingSpecification: {UdpTimeout: 5}}}
  Router: {Type: AWS::EC2::Instance, Properties: {PrivateIpAddress: 10.0.1.1}}
`;

function place(keys: string): Tried {
  return tryFiles({
    'config.yaml': `templates: [{ file: t.yaml, stackName: st }]\ninterfaces: { web: { device: { name: a }, ${keys} } }\n`,
    't.yaml': PLACED,
  });
}

/** `addresses | groups | source check | time-outs` of the one interface. */
function placed({ config }: Tried): string {
  assert.ok(config !== undefined, 'the configuration has errors');
  const [{ addresses, groupIds, sourceDestCheck, connectionTracking }] = [
    ...config.model.interfaces.values(),
  ];
  const names = groupIds.map((id) => config.model.groups.get(id)!.name);
  const { tcpEstablishedTimeoutSec, udpTimeoutSec, udpStreamTimeoutSec } = connectionTracking;
  return `${addresses.map(formatAddress).join(' ')} | ${names.join(' ')} | ${sourceDestCheck} | ${tcpEstablishedTimeoutSec} ${udpTimeoutSec} ${udpStreamTimeoutSec}`;
}

// prettier-ignore
const PLACEMENTS: readonly (readonly [keys: string, expected: string, problems?: readonly string[]])[] = [
  ['from: st/Eni', '10.0.1.10 10.0.1.11 fd00:10::10 | g h | false | 600 45 180'],
  ['from: Eni', '10.0.1.10 10.0.1.11 fd00:10::10 | g h | false | 600 45 180'],
  ['from: st/Attached', '10.0.1.10 10.0.1.11 fd00:10::10 | g h | false | 600 45 180'],
  ['from: st/ByName', '10.0.1.20 | h | true | 432000 30 180'],
  ['from: st/ById', '10.0.1.21 fd00:10::21 | g | true | 432000 30 180'],
  ['from: st/Plain', '10.0.1.22 | default | true | 432000 30 180'],
  ['from: st/Inline', '10.0.1.30 | g | true | 432000 30 180'],
  ['from: st/NoAddress, addresses: [10.0.1.50]', '10.0.1.50 | g | true | 432000 30 180'],
  ['from: st/None, securityGroups: [h]', '10.0.1.41 | h | true | 432000 30 180'],
  ['from: st/Eni, addresses: [10.0.1.51], securityGroups: [default], sourceDestCheck: true, connectionTracking: { udpTimeout: 50 }', '10.0.1.51 | default | true | 600 50 180'],
  ['from: st/Some', '10.0.1.40 | g | true | 432000 30 180', ["t.yaml:31:73 warning unknown-value: SecurityGroupIds can't be known here: parameter 'Given' has no default and no value was given; the interface goes without that group"]],
  ['from: st/Counted', '10.0.1.42 | default | true | 432000 30 180', ["t.yaml:33:107 warning unknown-value: Ipv6AddressCount: AWS chooses these addresses, so they can't be known here; the interface goes without them"]],
  ['from: st/Twice', '10.0.1.45 | h | true | 432000 30 180', ["t.yaml:36:68 warning bad-property: 'Twice' has NetworkInterfaces, so its SecurityGroupIds is passed over"]],
];

for (const [keys, expected, problems] of PLACEMENTS) {
  test(`${keys}: ${expected}`, () => {
    const tried = place(keys);
    assert.deepEqual(tried.problems, problems ?? []);
    assert.equal(placed(tried), expected);
  });
}

// prettier-ignore
const MISPLACED: readonly (readonly [keys: string, problems: readonly string[]])[] = [
  ['from: st/NoAddress', ["config.yaml:2:49 error missing-address: the template does not say which addresses 'st/NoAddress' has"]],
  ['from: st/None', [
    'config.yaml:2:49 error missing-group: none of the security groups that the template names is known',
    "t.yaml:32:73 warning unknown-value: SecurityGroupIds can't be known here: parameter 'Given' has no default and no value was given; the interface goes without that group"]],
  ['from: st/Enni', ["config.yaml:2:49 error unknown-placement: no template has a resource with network interfaces 'st/Enni'; did you mean 'st/Eni'?"]],
  ['from: st/G', ["config.yaml:2:49 error unknown-placement: no template has a resource with network interfaces 'st/G'"]],
  ['from: st/Missing', ["config.yaml:2:49 error unknown-placement: 'st/Missing' does not exist: its condition Off is false"]],
  ['from: st/Unsure', ["config.yaml:2:49 error unknown-placement: whether 'st/Unsure' exists can't be known here: parameter 'Given' has no default and no value was given"]],
  ['from: st/Router', ['config.yaml:2:49 error reserved-address: 10.0.1.1 is reserved for the platform']],
  ['from: [st/Eni]', ['config.yaml:2:49 error wrong-kind: expected a string, got a list']],
  ['adresses: [10.0.1.9]', ["config.yaml:2:43 error unknown-key: unknown key 'adresses'; did you mean 'addresses'?"]],
  ['mtu: 5', ["config.yaml:2:20 error missing-key: the key 'addresses' is missing", "config.yaml:2:43 error unknown-key: unknown key 'mtu'"]],
  ['from: st/Wrong', [
    'config.yaml:2:49 error missing-group: none of the security groups that the template names is known',
    "config.yaml:2:49 error missing-address: the template does not say which addresses 'st/Wrong' has",
    "t.yaml:37:76 error bad-property: GroupSet must be a list, not 'sg-'",
    "t.yaml:37:105 error bad-address: PrivateIpAddress '10.0.1' is no IPv4 address",
    "t.yaml:37:129 error bad-property: an item of Ipv6Addresses must be a mapping, not 'fd00::1'",
    "t.yaml:37:158 error bad-property: SourceDestCheck 'maybe' is neither true nor false",
    "t.yaml:37:211 error bad-timeout: UdpTimeout '5' is out of range"]],
];

for (const [keys, expected] of MISPLACED) {
  test(`${keys}: ${expected[0]}`, () => {
    const { config, problems } = place(keys);
    assert.equal(config, undefined);
    assert.deepEqual(
      problems.map((line) => line.replace(/'sg-[0-9a-f]{17}'/, "'sg-'")),
      expected,
    );
  });
}

test('VPCs and subnets of templates reserve their DNS and router addresses', () => {
  const tried = place('from: st/Plain');
  const texts = tried.config!.special.reserved.map(formatAddress);
  assert.deepEqual(texts.slice(-2), ['10.0.0.2', '10.0.1.1']);
  assert.deepEqual(place('addresses: [192.168.0.9]').problems, [
    'config.yaml:2:55 warning address-outside-vpc: 192.168.0.9 is in no block of the VPC',
  ]);
});

test("GetAtt VPC.DefaultSecurityGroup is the configuration's default group", () => {
  const { config } = place('from: st/Plain');
  assert.deepEqual(
    rulesOf(config).filter((line) => line.startsWith('g <')),
    ['g < tcp 80 from sg:default'],
  );
});

test('a block that is not known is a notice, an association of a stranger a warning', () => {
  const { problems } = tryFiles({
    'config.yaml': 'templates: [t.yaml]\n',
    't.yaml': `Parameters: {Block: {Type: String}, Bad: {Type: String, Default: 10.0.0.0}}
Resources:
  Net: {Type: AWS::EC2::VPC, Properties: {CidrBlock: !Ref Block}}
  Sub: {Type: AWS::EC2::Subnet, Properties: {CidrBlock: !Ref Bad}}
  A: {Type: AWS::EC2::SecurityGroupVpcAssociation, Properties: {GroupId: sg-0123456789abcdef0}}
`,
  });
  assert.deepEqual(problems, [
    "t.yaml:3:59 notice unknown-value: CidrBlock of 'Net' can't be known here: parameter 'Block' has no default and no value was given",
    't.yaml:4:62 error bad-cidr: CIDR block 10.0.0.0 is malformed',
    "t.yaml:5:3 warning missing-property: the association 'A' has no VpcId",
    "t.yaml:5:74 warning unknown-value: GroupId can't be known here: the group 'sg-0123456789abcdef0' is not defined here; the association has no effect",
  ]);
});
