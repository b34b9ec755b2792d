/** Nested stacks whose template is at hand are followed; what is handed a group and is not seen closes its egress. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { NESTED_DEPTH_MAX } from '../../src/cloudformation/nested-stacks.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { ruleText } from '../../src/policy/rules.ts';

interface Loaded {
  /** `name < rule` and `name > rule`, without those of the group `default`. */
  readonly rules: readonly string[];
  /** `file:line severity: message`, without notices of what is passed over. */
  readonly problems: readonly string[];
  readonly files: readonly string[];
  /** `name: reasons` of groups whose egress was not wholly understood. */
  readonly gaps: readonly string[];
}

/** Loads a configuration that names p.yaml, or is `config`. */
function load(
  files: Readonly<Record<string, string>>,
  config = 'templates: [p.yaml]\ninterfaces: {}\n',
): Loaded {
  const directory = mkdtempSync(join(tmpdir(), 'sgt-nested-'));
  try {
    for (const [name, text] of Object.entries({ ...files, 'config.yaml': config })) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), text);
    }
    const file = join(directory, 'config.yaml');
    const {
      config: loaded,
      problems,
      files: read,
    } = loadConfig(file, { netnsDirectory: '/run/netns' });
    const model = loaded?.model;
    const groups = [...(model?.groups.values() ?? [])].filter(({ name }) => name !== 'default');
    const shorten = (text: string): string => text.replaceAll(`${directory}/`, '');
    return {
      rules: groups.flatMap(({ name, ingress, egress }) => [
        ...ingress.map((rule) => `${name} < ${ruleText(rule, model!)}`),
        ...egress.map((rule) => `${name} > ${ruleText(rule, model!)}`),
      ]),
      problems: problems
        .filter(({ code }) => code !== 'passed-over')
        .map(({ at, severity, message }) =>
          shorten(`${at?.file}:${at?.line} ${severity}: ${message}`),
        ),
      files: read.map(shorten),
      gaps: groups.flatMap(({ name, gaps }) =>
        gaps?.egress === undefined ? [] : [`${name}: ${gaps.egress.join('; ')}`],
      ),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const group = (properties = ''): string =>
  `{ Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1${properties} } }`;
const stack = (url: string, parameters = '{}'): string =>
  `{ Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: ${url}, Parameters: ${parameters} } }`;
const tcp = (port: string, peer: string): string =>
  `IpProtocol: tcp, FromPort: ${port}, ToPort: ${port}, ${peer}`;

const DB = `Parameters:
  Client: { Type: AWS::EC2::SecurityGroup::Id }
  Ports: { Type: List<Number>, Default: '1,2' }
Resources:
  Sg: ${group(`, SecurityGroupIngress: [{ ${tcp('!Select [1, !Ref Ports]', 'SourceSecurityGroupId: !Ref Client')} }]`)}
  ToDb: { Type: AWS::EC2::SecurityGroupEgress, Properties: { GroupId: !Ref Client, ${tcp('!Select [0, !Ref Ports]', 'DestinationSecurityGroupId: !GetAtt Sg.GroupId')} } }
Outputs:
  Sg: { Value: !GetAtt Sg.GroupId, Export: { Name: db-sg } }
`;

test('parameters go in, outputs come out, and rules for a group that is handed in are its rules', () => {
  const { rules, problems, files } = load({
    'p.yaml': `Resources:
  App: ${group(`, SecurityGroupEgress: [{ ${tcp('9', 'DestinationSecurityGroupId: !GetAtt Db.Outputs.Sg')} }]`)}
  Db: ${stack('nested/db.yaml', '{ Client: !GetAtt Web.GroupId, Ports: [5431, 5432] }')}
  Web: ${group()}
`,
    'nested/db.yaml': DB,
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(rules, [
    'p-App > tcp 9 to sg:p-Db-Sg',
    'p-Web > tcp 5431 to sg:p-Db-Sg',
    'p-Db-Sg < tcp 5432 from sg:p-Web',
    'p-Db-Sg > all to 0.0.0.0/0',
    'p-Db-Sg > all to ::/0',
  ]);
  assert.deepEqual(files, ['config.yaml', 'p.yaml', 'nested/db.yaml']);
});

test('in each other, the same one twice, in any order; each path counts from the file that has it', () => {
  const { rules, problems } = load({
    'p.yaml': `Resources:
  B: ${stack('a/middle.yaml', '{ Sg: !GetAtt A.Outputs.Out }')}
  A: ${stack('a/middle.yaml', '{ Sg: sg-0123456789abcdef0 }')}
`,
    'a/middle.yaml': `Parameters: { Sg: { Type: String } }
Resources:
  Leaf: ${stack('b/leaf.yaml', '{ Sg: !Ref Sg }')}
Outputs:
  Out: { Value: !GetAtt Leaf.Outputs.Out }
`,
    'a/b/leaf.yaml': `Parameters: { Sg: { Type: String } }
Resources:
  G: ${group(`, SecurityGroupEgress: [], SecurityGroupIngress: [{ ${tcp('7', 'SourceSecurityGroupId: !Ref Sg')} }]`)}
Outputs:
  Out: { Value: !GetAtt G.GroupId }
`,
  });
  assert.deepEqual(
    rules.filter((rule) => rule.includes(' < ')),
    ['p-B-Leaf-G < tcp 7 from sg:p-A-Leaf-G'],
  );
  assert.deepEqual(problems, [
    "a/b/leaf.yaml:3 warning: SourceSecurityGroupId can't be known here: the group 'sg-0123456789abcdef0' is not defined here; the rule is left out",
  ]);
});

test('exports of nested stacks are seen by templates that come before', () => {
  const { rules, problems } = load(
    {
      'a.yaml': `Resources: { A: ${group(`, SecurityGroupEgress: [], SecurityGroupIngress: [{ ${tcp('3', 'SourceSecurityGroupId: !ImportValue db-sg')} }]`)} }\n`,
      'p.yaml': `Resources: { Web: ${group()}, Db: ${stack('./db.yaml', '{ Client: !GetAtt Web.GroupId }')} }\n`,
      'db.yaml': DB,
    },
    'templates: [a.yaml, p.yaml]\ninterfaces: {}\n',
  );
  assert.deepEqual(problems, []);
  assert.equal(rules[0], 'a-A < tcp 3 from sg:p-Db-Sg');
});

test('what AWS makes up of a name is not known, and can be supplied', () => {
  const files = {
    'p.yaml': `Resources: { N: ${stack('n.yaml')} }\n`,
    'n.yaml': `Resources: { G: ${group(', GroupName: !Sub "${AWS::StackName}.g", SecurityGroupEgress: []')} }\n`,
  };
  assert.deepEqual(load(files).problems, [
    "n.yaml:1 warning: GroupName can't be known here: AWS::StackName of the nested stack 'N' ends in letters that AWS makes up; the group is called 'p-N-G'",
  ]);
  const supplied = "templates: [{ file: p.yaml, supplied: { 'ref:N/AWS::StackName': p-N-ABC } }]\ninterfaces: { i: { device: { name: t0 }, addresses: [10.0.0.1], securityGroups: [p-N-ABC.g] } }\n"; // prettier-ignore
  assert.deepEqual(load(files, supplied).problems, []);
});

test('parameters that are not known, missing or strange', () => {
  const child = `Parameters: { P: { Type: Number }, Q: { Type: String, Default: 10.0.0.0/8 } }
Resources: { G: ${group(`, SecurityGroupEgress: [{ ${tcp('!Ref P', 'CidrIp: !Ref Q')} }]`)} }
`;
  const tryParameters = (parameters: string): readonly string[] =>
    load({ 'p.yaml': `Resources: { T: { Type: 'AWS::SNS::Topic' }, N: ${stack('n.yaml', parameters)} }\n`, 'n.yaml': child }).problems; // prettier-ignore
  assert.deepEqual(tryParameters('{ P: 5, Q: !Ref AWS::NoValue }'), []);
  assert.match(
    tryParameters('{ P: !GetAtt T.Port }').join('\n'),
    /^n\.yaml:2 warning: FromPort can't be known here: the attribute Port of 'T'/,
  );
  assert.match(
    tryParameters('{}').join('\n'),
    /^n\.yaml:2 warning: FromPort can't be known here: parameter 'P' has no default/,
  );
  assert.match(
    tryParameters('{ P: x }').join('\n'),
    /^p\.yaml:1 error: the value 'x' of the parameter 'P' is not a number/,
  );
  assert.match(
    tryParameters('{ P: 5, R: 6 }').join('\n'),
    /^p\.yaml:1 error: the template has no parameter 'R'/,
  );
  assert.match(
    tryParameters('{ P: { a: b } }').join('\n'),
    /^p\.yaml:1 error: a parameter of a stack must be text, not a mapping/,
  );
});

test('an output that is not there is an error, one whose condition is not met too', () => {
  const { problems } = load({
    'p.yaml': `Resources:
  N: ${stack('n.yaml')}
  A: ${group(`, SecurityGroupIngress: [{ ${tcp('1', 'SourceSecurityGroupId: !GetAtt N.Outputs.Gg')} }, { ${tcp('2', 'SourceSecurityGroupId: !GetAtt N.Outputs.H')} }]`)}
`,
    'n.yaml': `Conditions: { Never: !Equals [a, b] }
Resources: { G: ${group()} }
Outputs: { G: { Value: !GetAtt G.GroupId }, H: { Condition: Never, Value: x } }
`,
  });
  assert.deepEqual(problems, [
    "p.yaml:3 error: the stack 'N' has no output 'Gg'",
    "p.yaml:3 error: the output 'H' of the stack 'N' does not exist: its condition is false",
  ]);
});

describe('bounds', () => {
  test('a template that nests itself, at once or through another', () => {
    const self = load({ 'p.yaml': `Resources: { N: ${stack('./p.yaml')} }\n` });
    assert.deepEqual(self.problems, [
      "p.yaml:1 error: the stack 'N' is nested in itself: p.yaml -> p.yaml",
    ]);
    const two = load({
      'p.yaml': `Resources: { N: ${stack('x/q.yaml')} }\n`,
      'x/q.yaml': `Resources: { M: ${stack('../p.yaml')} }\n`,
    });
    assert.deepEqual(two.problems, [
      "x/q.yaml:1 error: the stack 'M' is nested in itself: p.yaml -> q.yaml -> p.yaml",
    ]);
  });

  test('depth, and number', () => {
    const deep = Object.fromEntries(
      Array.from({ length: NESTED_DEPTH_MAX + 3 }, (_, i) => [
        i === 0 ? 'p.yaml' : `n${i}.yaml`,
        `Resources: { N: ${stack(`n${i + 1}.yaml`)} }\n`,
      ]),
    );
    assert.deepEqual(load(deep).problems, [
      `n${NESTED_DEPTH_MAX}.yaml:1 error: stacks are nested more than ${NESTED_DEPTH_MAX} deep`,
    ]);
    const wide = (next: string): string =>
      `Resources:\n${Array.from({ length: 30 }, (_, i) => `  N${i}: ${stack(next)}\n`).join('')}`;
    const { problems } = load({
      'p.yaml': wide('q.yaml'),
      'q.yaml': wide('r.yaml'),
      'r.yaml': `Resources: { G: ${group()} }\n`,
    });
    assert.ok(
      problems.some((text) => text.endsWith('error: there are more than 500 nested stacks')),
      problems[0],
    );
  });

  test('parameters that need an output of the same stack', () => {
    const { problems } = load({
      'p.yaml': `Resources: { N: ${stack('n.yaml', '{ P: !GetAtt M.Outputs.O }')}, M: ${stack('n.yaml', '{ P: !GetAtt N.Outputs.O }')} }\n`,
      'n.yaml': `Parameters: { P: { Type: String } }
Resources: { G: ${group()} }
Outputs: { O: { Value: !Ref P } }
`,
    });
    assert.match(problems[0], /error: circular reference/);
  });

  test('a stack of the name that a nested one has', () => {
    const { problems } = load(
      {
        'p.yaml': `Resources: { N: ${stack('n.yaml')} }\n`,
        'n.yaml': `Resources: { G: ${group()} }\n`,
      },
      'templates: [{ file: n.yaml, stackName: p-N }, p.yaml]\ninterfaces: {}\n',
    );
    assert.deepEqual(problems, [
      "p.yaml:1 error: the stack 'N' is called 'p-N', as a stack that is there already",
    ]);
  });
});

const HANDED = "'N' (AWS::CloudFormation::Stack) is handed the group, and";

describe('what is not seen', () => {
  const closes = (resource: string, extra = ''): Loaded =>
    load({ 'p.yaml': `Resources:\n  G: ${group()}\n  Written: ${group(', SecurityGroupEgress: [{ IpProtocol: -1, CidrIp: 0.0.0.0/0 }]')}\n  Other: ${group()}\n  N: ${resource}\n${extra}` }); // prettier-ignore
  const written = ['p-Written > all to 0.0.0.0/0'];
  const other = ['p-Other > all to 0.0.0.0/0', 'p-Other > all to ::/0'];
  const open = ['p-G > all to 0.0.0.0/0', 'p-G > all to ::/0', ...written, ...other];

  test('a stack elsewhere, or a file that is missing, closes the egress of what it is handed', () => {
    for (const [url, why] of [
      [
        'https://s3.amazonaws.com/b/n.yaml',
        'its template is not at hand: https://s3.amazonaws.com/b/n.yaml',
      ],
      ['s3://b/n.yaml', 'its template is not at hand: s3://b/n.yaml'],
      ['./n.yaml', "its template n.yaml can't be read: ENOENT"],
    ]) {
      const { rules, problems, gaps } = closes(
        stack(url, '{ A: !GetAtt G.GroupId, B: !Ref Written }'),
      );
      assert.deepEqual(rules, [...written, ...other], url);
      assert.deepEqual(problems, [
        `p.yaml:5 notice: what the stack 'N' defines is not read: ${why}`,
        `p.yaml:5 warning: G: egress stays closed, since what may add rules to it is not seen: ${HANDED} ${why}`,
      ]);
      assert.deepEqual(gaps, [`p-G: ${HANDED} ${why}`, `p-Written: ${HANDED} ${why}`]);
    }
    assert.deepEqual(closes(stack('https://x/n.yaml', '{ A: b }')).rules, open);
  });

  test('however it is handed over', () => {
    for (const value of [
      '!Ref G',
      '!Sub "${G.GroupId}"',
      '!Join [",", [!GetAtt G.GroupId, x]]',
      '{ "Fn::If": [C, !GetAtt [G, GroupId], x] }',
      '!Sub ["${X}", { X: !Ref G }]',
    ]) {
      const { rules, gaps } = load({
        'p.yaml': `Parameters: { Q: { Type: 'AWS::SSM::Parameter::Value<String>', Default: q } }\nConditions: { C: !Equals [!Ref Q, x] }\nResources:\n  G: ${group()}\n  N: ${stack('https://x/n.yaml', `{ A: ${value} }`)}\n`,
      });
      assert.deepEqual(rules, [], value);
      assert.equal(gaps.length, 1, value);
    }
  });

  test('a group of another template or of the configuration, and the default group', () => {
    const files = {
      'p.yaml': `Parameters: { Sg: { Type: String }, Many: { Type: List<String> } }\nResources:\n  V: { Type: AWS::EC2::VPC, Properties: { CidrBlock: 10.0.0.0/16 } }\n  N: ${stack('https://x/n.yaml', '{ A: !Ref Sg, B: !Join [",", !Ref Many], C: !ImportValue q-g, D: !GetAtt V.DefaultSecurityGroup }')}\n`,
      'q.yaml': `Resources: { G: ${group()}, H: ${group()} }\nOutputs: { G: { Value: !GetAtt G.GroupId, Export: { Name: q-g } } }\n`,
    };
    const config = `templates: [{ file: p.yaml, parameters: { Sg: web, Many: [db, q/H] } }, q.yaml]
securityGroups: { web: {}, db: { egress: [{ protocol: all, to: 0.0.0.0/0 }] }, free: {} }
interfaces: {}
`;
    const { rules, gaps } = load(files, config);
    assert.deepEqual(rules, [
      'db > all to 0.0.0.0/0',
      'free > all to 0.0.0.0/0',
      'free > all to ::/0',
    ]);
    assert.deepEqual(
      gaps.map((text) => text.split(':')[0]),
      ['web', 'db', 'q-G', 'q-H'],
    );
  });

  test('modules and templates of other kinds', () => {
    for (const type of [
      'My::Team::Net::MODULE',
      'AWS::Serverless::Application',
      'AWS::CloudFormation::StackSet',
    ])
      assert.deepEqual(
        closes(`{ Type: ${type}, Properties: { P: { Sg: !GetAtt G.GroupId } } }`).rules,
        [...written, ...other],
        type,
      );
  });

  test('custom resources: a group to be in changes nothing, any other use may', () => {
    const rulesOf = (type: string, properties: string): readonly string[] =>
      closes(`{ Type: ${type}, Properties: { ServiceToken: x, ${properties} } }`).rules;
    for (const type of [
      'Custom::Thing',
      'AWS::CloudFormation::CustomResource',
      'Acme::Net::Thing',
    ]) {
      for (const key of [
        'SecurityGroupIds',
        'SecurityGroups',
        'VpcSecurityGroupIds',
        'securityGroupIds',
      ])
        assert.deepEqual(rulesOf(type, `VpcConfig: { ${key}: [!GetAtt G.GroupId] }`), open, key);
      for (const value of [
        'SecurityGroupId: !GetAtt G.GroupId',
        'Groups: [!Ref G]',
        'Config: !Sub "{${G.GroupId}}"',
      ])
        assert.deepEqual(rulesOf(type, value), [...written, ...other], value);
      assert.deepEqual(rulesOf(type, 'Name: G'), open);
    }
    // Kinds of AWS do with a group what their pages say.
    assert.deepEqual(
      rulesOf(
        'AWS::Lambda::Function',
        'VpcConfig: { SecurityGroupIds: [!GetAtt G.GroupId], Other: !Ref G }',
      ),
      open,
    );
  });

  test('a single call of AWS as the CDK writes it: what it does stands in it', () => {
    const call = (action: string): string =>
      `{ Type: Custom::AWS, Properties: { ServiceToken: x, Create: !Join ['', ['{"service":"EC2","action":"${action}","parameters":{"GroupId":"', !GetAtt G.GroupId, '"}}']] } }`;
    assert.deepEqual(closes(call('describeSecurityGroups')).rules, open);
    for (const action of [
      'revokeSecurityGroupEgress',
      'authorizeSecurityGroupEgress',
      'modifySecurityGroupRules',
    ])
      assert.deepEqual(closes(call(action)).rules, [...written, ...other], action);
  });

  test('one that does not exist does nothing', () => {
    const condition = 'Conditions: { Never: !Equals [a, b] }\n';
    const never = stack('https://x/n.yaml', '{ A: !Ref G }').replace(
      '{ Type',
      '{ Condition: Never, Type',
    );
    assert.deepEqual(closes(never, condition).rules, open);
  });
});
