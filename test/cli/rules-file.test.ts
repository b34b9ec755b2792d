/** `sgctl rules FILE`: the table of a configuration's or template's rules, without a daemon; and templates where they are not taken. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig } from '../../src/config/load-config.ts';
import { repositoryRoot } from '../support/repository.ts';
import { type Ran, runSgctl } from '../support/sgctl.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-rules-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function sgctl(...args: readonly string[]): Ran {
  return runSgctl([...args], { cwd: directory });
}

function write(name: string, text: string): string {
  writeFileSync(join(directory, name), text);
  return name;
}

const CONFIG = write(
  'lab.yaml',
  `securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 443, from: 0.0.0.0/0, description: all }], egress: [] }
  db: { ingress: [{ protocol: tcp, ports: 5432, from: 'sg:web' }], egress: [] }
interfaces: {}
`,
);
const TEMPLATE = write(
  'stack.yaml',
  `Resources:
  Net: { Type: AWS::EC2::Subnet, Properties: { CidrBlock: 10.9.8.0/24, VpcId: vpc-1 } }
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: web
      VpcId: vpc-1
      SecurityGroupIngress:
        - { IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: 0.0.0.0/0 }
      SecurityGroupEgress:
        - { IpProtocol: tcp, FromPort: 5432, ToPort: 5432, DestinationSecurityGroupId: sg-0123456789abcdef0 }
  FromWeb:
    Type: AWS::EC2::SecurityGroupIngress
    Properties: { GroupId: sg-0123456789abcdef0, IpProtocol: tcp, FromPort: 5432, ToPort: 5432, SourceSecurityGroupId: !GetAtt Web.GroupId }
`,
);

/** Without the ids, which are hashes. */
function table(stdout: string): readonly string[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) =>
      line
        .replace(/sgr-[0-9a-f]{17}/, 'ID')
        .replaceAll(/ +/g, ' ')
        .trimEnd(),
    );
}

test('a configuration: the rules of all groups, the default one too', () => {
  const { code, stdout, stderr } = sgctl('rules', CONFIG);
  assert.equal(stderr, '');
  assert.deepEqual(table(stdout), [
    'group direction rule from id description',
    'default ingress all from sg:default lab.yaml (there by default) ID',
    'default egress all to 0.0.0.0/0 lab.yaml (there by default) ID',
    'default egress all to ::/0 lab.yaml (there by default) ID',
    'web ingress tcp 443 from 0.0.0.0/0 lab.yaml:2 ID all',
    'db ingress tcp 5432 from sg:web lab.yaml:3 ID',
  ]);
  assert.equal(code, 0);
});

test('a template, with the rules that it adds to groups it does not define', () => {
  const { code, stdout } = sgctl('rules', TEMPLATE);
  assert.deepEqual(table(stdout), [
    'group direction rule from id description',
    'stack-Web ingress tcp 443 from 0.0.0.0/0 stack.yaml:9 ID',
    'stack-Web egress tcp 5432 to sg:sg-0123456789abcdef0 stack.yaml:11 ID',
    'sg-0123456789abcdef0 ingress tcp 5432 from sg:stack-Web stack.yaml:12 ID',
  ]);
  assert.equal(code, 0);
});

test('several files, by group and direction', () => {
  const { stdout } = sgctl('rules', TEMPLATE, CONFIG, '--group', 'web', '--group', 'stack-Web', '--direction', 'ingress'); // prettier-ignore
  assert.deepEqual(table(stdout).slice(1), [
    'stack-Web ingress tcp 443 from 0.0.0.0/0 stack.yaml:9 ID',
    'web ingress tcp 443 from 0.0.0.0/0 lab.yaml:2 ID all',
  ]);
  const none = sgctl('rules', CONFIG, '--group', 'wbe');
  assert.match(none.stderr, /there is no group 'wbe' \(groups: default, web, db\)/);
  assert.equal(none.code, 1);
});

test('--json has the rules as the daemon tells them, and what was not understood', () => {
  const closed = write(
    'closed.yaml',
    `Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties: { GroupDescription: web, 'Fn::Transform': { Name: Team } }
`,
  );
  const { code, stdout } = sgctl('rules', TEMPLATE, closed, '--json');
  const { rules, notUnderstood } = JSON.parse(stdout) as {
    rules: readonly Record<string, unknown>[];
    notUnderstood: readonly unknown[];
  };
  assert.deepEqual(Object.keys(rules[0]), [
    'id',
    'text',
    'direction',
    'group',
    'description',
    'origin',
  ]);
  assert.equal(rules.length, 3);
  const [{ group }] = notUnderstood as { group: { name: string } }[];
  assert.equal(group.name, 'closed-Web');
  assert.deepEqual(
    (notUnderstood as { direction: string; reasons: unknown }[]).map(({ direction, reasons }) => [
      direction,
      reasons,
    ]),
    [
      ['ingress', ["the macro 'Team' runs in AWS alone"]],
      ['egress', ["the macro 'Team' runs in AWS alone"]],
    ],
  );
  assert.equal(code, 0);
  const shown = sgctl('rules', closed).stdout;
  assert.match(
    shown,
    /^there are no such rules\nnot wholly understood: ingress of closed-Web: the macro 'Team'/,
  );
});

test('files with errors list nothing, and exit with 1', () => {
  const bad = write('bad.yaml', 'securityGroups: { web: { ingress: [{ protocol: tpc }] } }\n');
  const { code, stdout, stderr } = sgctl('rules', CONFIG, bad);
  assert.equal(stdout, '');
  assert.match(stderr, /^bad\.yaml:1:36: error: .*[^]*bad\.yaml: 2 errors; no rules are listed\n$/);
  assert.equal(code, 1);
});

test('what only a daemon knows is refused', () => {
  for (const option of [
    ['--never-hit'],
    ['--sort', 'hits'],
    ['--lab', 'x'],
    ['--socket', 'x'],
    ['--columns', 'group,hits'],
  ]) {
    // prettier-ignore
    const { code, stderr } = sgctl('rules', CONFIG, ...option);
    assert.match(
      stderr,
      /^error: --\S+.* is about a running daemon; leave out the files/,
      option.join(' '),
    );
    assert.equal(code, 2);
  }
});

test('explain, lab up and test say what to write for a template, and that loads', () => {
  const advice =
    /write a configuration beside it, as (\{.*\}), and give that; `sgctl rules stack\.yaml`/;
  const asked: readonly (readonly string[])[] = [['explain', TEMPLATE, 'a -> b tcp 1'], ['lab', 'up', TEMPLATE], ['test', TEMPLATE], ['test', 'suite.yaml']]; // prettier-ignore
  write('suite.yaml', `config: ${TEMPLATE}\nexpect: [{ from: a, to: b, tcp: 1, is: allowed }]\n`);
  const texts = asked.map((args) => {
    const { code, stderr } = sgctl(...args);
    assert.notEqual(code, 0);
    assert.equal(
      stderr.match(/: error: this is a CloudFormation template, not a /g)?.length,
      1,
      stderr,
    );
    return advice.exec(stderr)?.[1];
  });
  assert.equal(new Set(texts).size, 1);
  const written = write('advised.yaml', `${texts[0]}\n`);
  assert.match(texts[0]!, /securityGroups: \[stack\/Web\], addresses: \[10\.9\.8\.11\]/);
  const { config, problems } = loadConfig(join(directory, written), {
    netnsDirectory: '/run/netns',
  });
  // A group that is nowhere defined: the template's own matter.
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.deepEqual(
    [...config!.model.interfaces.values()].map(({ name }) => name),
    ['eni-1'],
  );
});

test('the advice takes instances before groups, and loads for the templates of config/', () => {
  const text = `Resources:
  Web: { Type: AWS::EC2::SecurityGroup, Properties: { GroupDescription: x, VpcId: vpc-1 } }
  A: { Type: AWS::EC2::Instance, Properties: { ImageId: x, SecurityGroupIds: [!Ref Web] } }
  B: { Type: AWS::EC2::Instance, Properties: { ImageId: x, SecurityGroupIds: [!Ref Web] } }
`;
  write('two.yaml', text);
  for (const name of ['security-groups.yaml', 'web-stack.yaml'])
    write(name, readFileSync(join(repositoryRoot(), 'config/templates', name), 'utf8'));
  for (const name of ['two.yaml', 'security-groups.yaml', 'web-stack.yaml']) {
    const refused = loadConfig(join(directory, name), { netnsDirectory: '/run/netns' });
    const { hint = '' } = refused.problems[0];
    const advised = /write a configuration beside it, as (\{.*\}), and give that/.exec(hint)![1];
    if (name === 'two.yaml')
      assert.match(advised, /eni-2: \{ from: two\/B, addresses: \[10\.0\.0\.12\]/);
    const file = join(directory, write('advised.yaml', advised));
    const { problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
    assert.deepEqual(
      problems.filter(({ severity }) => severity === 'error'),
      [],
      name,
    );
  }
});
