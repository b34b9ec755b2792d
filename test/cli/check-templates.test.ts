/** Templates by themselves: what the command line says of them, and what they export to each other. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type Ran, runSgctl } from '../support/sgctl.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-check-templates-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function sgctl(...args: readonly string[]): Ran {
  return runSgctl([...args], { cwd: directory });
}

function write(name: string, text: string): string {
  const file = join(directory, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return name;
}

/** `group: rule`, of `sgctl rules`. */
function rules(...args: readonly string[]): readonly string[] {
  const { stdout, stderr } = sgctl('rules', ...args, '--json');
  assert.notEqual(stdout, '', stderr);
  const answer = JSON.parse(stdout) as { rules: { text: string; group: { name: string } }[] };
  return answer.rules.map(({ text, group }) => `${group.name}: ${text}`);
}

const STAGED = write(
  'staged.yaml',
  `Parameters:
  Port: { Type: Number }
  Stage: { Type: String, Default: test, AllowedValues: [test, live] }
Conditions:
  Live: !Equals [!Ref Stage, live]
Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: x
      VpcId: vpc-1
      GroupName: !Sub "\${AWS::StackName}.\${AWS::Region}.\${AWS::AccountId}"
      SecurityGroupEgress: []
      SecurityGroupIngress:
        - { IpProtocol: tcp, FromPort: !Ref Port, ToPort: !Ref Port, CidrIp: !If [Live, 10.1.0.0/16, 10.2.0.0/16] }
`,
);

describe('options', () => {
  test('stack name, region, account and parameters come from the command line', () => {
    assert.deepEqual(
      rules(STAGED, '--stack-name', 'web', '--region', 'eu-west-1', '--account-id', '210987654321', '--parameter', 'Port=443', '--parameter', 'Stage=live', '--direction', 'ingress'), // prettier-ignore
      ['web.eu-west-1.210987654321: tcp 443 from 10.1.0.0/16'],
    );
    const { code, stdout } = sgctl('check', STAGED, '--parameter', 'Port=443');
    assert.deepEqual([code, stdout], [0, 'staged.yaml: ok, 1 group, 3 rules, 0 warnings\n']);
    assert.match(
      sgctl('check', STAGED).stderr,
      /parameter 'Port' has no default and no value was given/,
    );
  });

  test('values may hold =, blanks and nothing, and go before those of the file', () => {
    const text = `Parameters: { A: { Type: String }, B: { Type: String }, C: { Type: String } }
Resources:
  G: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1, GroupName: !Sub "\${A}|\${B}|\${C}.", SecurityGroupIngress: [{ IpProtocol: tcp, FromPort: 1, ToPort: 1, CidrIp: 10.0.0.0/8 }] } }
`;
    const file = write('values.yaml', text.replaceAll('|', ':'));
    write('values.txt', '# of the stage\nA = wrong\n');
    write('values.env', 'A=file\n\nB="two  words"\n  C=file\n');
    assert.deepEqual(
      rules(file, '--parameters-file', 'values.env', '--parameter', 'A=a=b', '--parameter', 'C=', '--direction', 'ingress'), // prettier-ignore
      ['a=b:two  words:.: tcp 1 from 10.0.0.0/8'],
    );
    const wrong = sgctl('check', file, '--parameters-file', 'values.txt');
    assert.match(wrong.stderr, /values\.txt:2:1: error: a parameters file is a list, a mapping/);
    assert.equal(wrong.code, 2);
  });

  test('a value that the template refuses is told with the option', () => {
    const { code, stderr } = sgctl(
      'check',
      STAGED,
      '--parameter',
      'Port=x',
      '--parameter',
      'Stage=stage',
    );
    assert.match(
      stderr,
      /^staged\.yaml: error: the value 'x' of the parameter 'Port' is not a number \[--parameter Port\]$/m,
    );
    assert.match(stderr, /is not one of its AllowedValues \[--parameter Stage\]/);
    assert.equal(code, 1);
  });

  test('what fits no template is wrong usage', () => {
    const conf = write('c.yaml', 'interfaces: {}\n');
    const wrong: readonly (readonly [args: readonly string[], text: RegExp])[] = [
      [['check', STAGED, '--parameter', 'Prot=1'], /no template given has a parameter 'Prot'/],
      [['check', conf, '--parameter', 'Port=1'], /no template given has a parameter 'Port'/],
      [
        ['check', conf, '--stack-name', 'x'],
        /--stack-name names one stack, and 0 templates are given/,
      ],
      [
        ['check', STAGED, 'values.yaml', '--stack-name', 'x'],
        /one stack, and 2 templates are given/,
      ],
      [['check', STAGED, '--stack-name', '9'], /Use a letter/],
      [['check', STAGED, '--region', 'europe'], /Write a region, as eu-west-1/],
      [['check', STAGED, '--account-id', '12'], /twelve digits/],
      [['check', STAGED, '--parameter', 'Port'], /Write KEY=VALUE/],
      [['check', STAGED, '--parameter', 'Port=1', '--parameter', 'Port=2'], /Port is given twice/],
      [['rules', '--region', 'eu-west-1'], /the options for templates need a template/],
    ];
    for (const [args, text] of wrong) {
      const { code, stderr } = sgctl(...args);
      assert.match(stderr, text);
      assert.equal(code, 2, args.join(' '));
    }
  });
});

const NETWORK = write(
  'network.yaml',
  `Resources:
  Shared: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1 } }
Outputs:
  Sg: { Value: !GetAtt Shared.GroupId, Export: { Name: net-sg } }
  Port: { Value: 8443, Export: { Name: net-port } }
`,
);
const SERVICE = write(
  'service.yaml',
  `Resources:
  App:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: x
      VpcId: vpc-1
      SecurityGroupIngress: [{ IpProtocol: tcp, FromPort: !ImportValue net-port, ToPort: !ImportValue net-port, SourceSecurityGroupId: !ImportValue net-sg }]
  Out:
    Type: AWS::EC2::SecurityGroupEgress
    Properties: { GroupId: !ImportValue net-sg, IpProtocol: tcp, FromPort: 443, ToPort: 443, DestinationSecurityGroupId: !GetAtt App.GroupId }
`,
);

describe('exports', () => {
  const whole = [
    'network-Shared: tcp 443 to sg:service-App',
    'service-App: tcp 8443 from sg:network-Shared',
    'service-App: all to 0.0.0.0/0',
    'service-App: all to ::/0',
  ];

  test('are seen in any order, and what one adds to a group of another counts', () => {
    assert.deepEqual(rules(NETWORK, SERVICE), whole);
    assert.deepEqual([...rules(SERVICE, NETWORK)].sort(), [...whole].sort());
    const { code, stderr } = sgctl('check', SERVICE, NETWORK);
    assert.deepEqual([code, stderr], [0, '']);
  });

  test('without the file, they are not known', () => {
    const { stderr } = sgctl('check', SERVICE);
    assert.match(stderr, /no template here exports 'net-port'/);
  });

  test('the same name in copies for stages is no error; which is meant is not known', () => {
    mkdirSync(join(directory, 'live'), { recursive: true });
    const live = write(
      'live/network.yaml',
      `Resources:
  Shared: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1 } }
Outputs:
  Sg: { Value: !GetAtt Shared.GroupId, Export: { Name: net-sg } }
`,
    );
    const copies = sgctl('check', NETWORK, live);
    assert.deepEqual([copies.code, copies.stderr], [0, '']);
    const three = sgctl('check', NETWORK, live, SERVICE);
    assert.match(three.stderr, /'net-sg' is exported by several of the files: network, network/);
    assert.equal(three.code, 0);
    // Each sees its own first.
    const own = write(
      'own.yaml',
      `Resources:
  G: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1, SecurityGroupEgress: [{ IpProtocol: tcp, FromPort: !ImportValue net-port, ToPort: 9000, CidrIp: 10.0.0.0/8 }] } }
Outputs:
  P: { Value: 1, Export: { Name: net-port } }
`,
    );
    assert.deepEqual(rules(NETWORK, own, '--group', 'own-G'), ['own-G: tcp 1-9000 to 10.0.0.0/8']);
  });

  test('a value that needs itself through two files is an error, not a loop', () => {
    const text = (own: string, other: string): string =>
      `Resources:
  G: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1, SecurityGroupIngress: [{ IpProtocol: tcp, FromPort: !ImportValue ${other}, ToPort: 1, CidrIp: 10.0.0.0/8 }] } }
Outputs: { O: { Value: !ImportValue ${other}, Export: { Name: ${own} } } }
`;
    write('a.yaml', text('a', 'b'));
    write('b.yaml', text('b', 'a'));
    const { code, stderr } = sgctl('check', 'a.yaml', 'b.yaml');
    assert.match(stderr, /error: circular reference: the export/);
    assert.equal(code, 1);
  });
});

describe('nested stacks', () => {
  const nested = (): void => {
    write(
      'outer.yaml',
      `Resources:
  Web: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1 } }
  Db: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: inner/db.yaml, Parameters: { Client: !GetAtt Web.GroupId } } }
`,
    );
    write(
      'inner/db.yaml',
      `Parameters: { Client: { Type: String } }
Resources:
  Sg: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1, SecurityGroupIngress: [{ IpProtocol: tcp, FromPort: 5432, ToPort: 5432, SourceSecurityGroupId: !Ref Client }] } }
`,
    );
  };

  test('are read with the template around them, wherever they stand on the command line', () => {
    nested();
    const whole = sgctl('check', 'outer.yaml');
    assert.deepEqual(
      [whole.code, whole.stdout, whole.stderr],
      [0, 'outer.yaml: ok, 2 groups, 5 rules, 0 warnings\n', ''],
    );
    const both = sgctl('check', 'inner/db.yaml', 'outer.yaml');
    assert.deepEqual(
      [both.code, both.stdout, both.stderr],
      [
        0,
        'inner/db.yaml: ok, 1 group, 3 rules, 0 warnings\nouter.yaml: ok, 2 groups, 5 rules, 0 warnings\n',
        '',
      ],
    );
    assert.deepEqual(
      [...rules('inner/db.yaml', 'outer.yaml')].sort(),
      [...rules('outer.yaml')].sort(),
    );
    // By itself it lacks its parameter.
    assert.match(sgctl('check', 'inner/db.yaml').stderr, /parameter 'Client' has no default/);
  });

  test('what is wrong in one is told at its place', () => {
    nested();
    write('inner/db.yaml', 'Resources: { G: { Type: AWS::EC2::SecurityGrop } }\n');
    const { code, stdout, stderr } = sgctl('check', '--no-excerpt', 'outer.yaml');
    assert.match(stderr, /^inner\/db\.yaml:1:25: error: there is no resource type/m);
    assert.match(stdout, /^outer\.yaml: \d errors?, /);
    assert.equal(code, 1);
  });
});
