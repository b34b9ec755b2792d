import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Ajv } from 'ajv';
import ts from 'typescript';
import { hasRuleTexts } from '../../src/cli/sarif-rules.ts';
import { readSources, repositoryRoot } from '../support/repository.ts';
import { type Ran, runSgctl } from '../support/sgctl.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-check-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function check(...args: readonly string[]): Ran {
  return runSgctl(['check', ...args], { cwd: directory });
}

function write(name: string, text: string): string {
  const file = join(directory, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return name;
}

const GOOD = `securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 80, from: 0.0.0.0/0 }] }
interfaces:
  i: { device: { name: t0 }, addresses: [10.0.0.1], securityGroups: [web] }
`;
const SSH = GOOD.replace('ports: 80', 'ports: 22');
const BAD = GOOD.replace('tcp', 'tpc');

const TEMPLATE = `Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: web
      SecurityGroupIngress:
        - { IpProtocol: tcp, FromPort: 443, ToPort: 443, CidrIp: 0.0.0.0/0 }
        - { IpProtocol: tcp, FromPort: 22, ToPort: 22, SourceSecurityGroupId: sg-0123456789abcdef0 }
        - { IpProtocol: tcp, FromPort: 22, ToPort: 22, SourcePrefixListId: pl-0123456789abcdef0 }
`;

write('good.yaml', GOOD);
write('ssh.yaml', SSH);
write('bad.yaml', BAD);
write('template.yaml', TEMPLATE);

describe('problems', () => {
  test('are printed as compilers do: place, line, mark, what would be right', () => {
    const { code, stdout, stderr } = check('bad.yaml');
    assert.equal(
      stderr,
      `bad.yaml:2:32: error: Invalid value 'tpc' for IP protocol. Unknown protocol. [securityGroups.web.ingress[0].protocol]
    2 |   web: { ingress: [{ protocol: tpc, ports: 80, from: 0.0.0.0/0 }] }
      |                                ^~~
    write tcp, udp, icmp, icmpv6, all, or a number from 0 to 255
`,
    );
    assert.equal(stdout, 'bad.yaml: 1 error, 0 warnings\n');
    assert.equal(code, 1);
  });

  test('--no-excerpt leaves the line out', () => {
    assert.equal(
      check('--no-excerpt', 'bad.yaml').stderr,
      `bad.yaml:2:32: error: Invalid value 'tpc' for IP protocol. Unknown protocol. [securityGroups.web.ingress[0].protocol]
    write tcp, udp, icmp, icmpv6, all, or a number from 0 to 255
`,
    );
  });

  test('a file that can not be read has none', () => {
    const { code, stdout, stderr } = check('nowhere.yaml');
    assert.match(
      stderr,
      /^nowhere\.yaml: error: the file can't be read: ENOENT\n {4}check the name/,
    );
    assert.equal(stdout, 'nowhere.yaml: 1 error, 0 warnings\n');
    assert.equal(code, 1);
  });

  test('what a file says can not steer the terminal', () => {
    const file = write(
      'steer.yaml',
      'securityGroups: { a: { "x\\e]0;title\\a": 1, b\u202e: 2 } }\n',
    );
    const { stderr } = check(file);
    assert.match(stderr, /unknown key 'x�\]0;title�'/);

    assert.doesNotMatch(stderr, /[\x00-\x09\x0b-\x1f\u202e]/);
  });

  test('of several files come in the order of the files, by line and column, each once', () => {
    write('sub/stack.yaml', TEMPLATE.replace('443, ToPort: 443', '22, ToPort: 22'));
    const text = `templates: [sub/stack.yaml]
securityGroups:
  b: { ingress: [{ protocol: icmp, type: 8, from: "::/0" }], egress: [{ protocol: icmp, type: 8, to: "::/0" }] }
interfaces:
  i: { device: { name: t0 }, addresses: [10.0.0.1], securityGroups: [b, stack-Web] }
`;
    const config = write('config.yaml', text);
    const places = ({ stderr }: Ran): string[] =>
      [...stderr.matchAll(/^(\S+:\d+:\d+): (\w+)/gm)].map(([, place, severity]) => `${place} ${severity}`);
    const own = ['config.yaml:3:51 warning', 'config.yaml:3:102 warning'];
    const ofTemplate = ['sub/stack.yaml:7:11 warning', 'sub/stack.yaml:8:79 warning', 'sub/stack.yaml:9:76 warning'];
    // The template by itself knows nothing of what the ids are not; with the configuration they are unknown.
    assert.deepEqual(places(check(config)), [...own, ...ofTemplate]);
    assert.deepEqual(places(check('sub/stack.yaml')), ['sub/stack.yaml:7:11 warning']);
    const all = check(config, 'bad.yaml', './sub/stack.yaml', config);
    assert.deepEqual(places(all), [
      ...own,
      'bad.yaml:2:32 error',
      ...ofTemplate.map((place) => `./${place}`),
    ]);
    assert.deepEqual(all.stdout.split('\n').map((line) => line.split(':')[0]), ['config.yaml', 'bad.yaml', './sub/stack.yaml', '']);
    assert.equal(all.code, 1);
  }); // prettier-ignore
});

describe('templates by themselves', () => {
  test('are recognised, and need no configuration', () => {
    assert.deepEqual(check('template.yaml'), {
      code: 0,
      stdout: 'template.yaml: ok, 1 group, 5 rules, 0 warnings\n',
      stderr: '',
    });
  });

  test('in JSON, in lost indentation, without Resources, and broken', () => {
    const json = write(
      'template.json',
      '{"AWSTemplateFormatVersion":"2010-09-09","Resources":{"A":{"Type":"AWS::EC2::SecurityGroup","Properties":{"GroupDescription":"a"}}}}',
    );
    assert.equal(check(json).stdout, 'template.json: ok, 1 group, 2 rules, 0 warnings\n');
    const flat = write(
      'flat.yaml',
      'A:\nType: AWS::EC2::SecurityGroup\nProperties:\nGroupDescription: a\n',
    );
    assert.equal(check(flat).stdout, 'flat.yaml: ok, 1 group, 2 rules, 2 warnings\n');
    const fragment = write(
      'fragment.yaml',
      'A:\n  Type: AWS::EC2::SecurityGroup\n  Properties: { GroupDescription: a }\n',
    );
    assert.equal(check(fragment).stdout, 'fragment.yaml: ok, 1 group, 2 rules, 1 warning\n');
    const broken = write('broken.yaml', 'Resources:\n  A: [\n');
    const { code, stderr } = check(broken);
    assert.match(stderr, /^broken\.yaml:\d+:\d+: error: not valid YAML: /);
    assert.equal(code, 1);
  });

  test('larger than AWS takes are refused', () => {
    const large = write('large.yaml', `${TEMPLATE}# ${'x'.repeat(1_048_576)}\n`);
    const { code, stderr } = check(large);
    assert.match(
      stderr,
      /^large\.yaml: error: the file has \d+ bytes; of a template at most 1048576 are read\n/,
    );
    assert.equal(code, 1);
  });

  test('quotas hold for them', () => {
    const rules = Array.from({ length: 61 }, (_, i) => `- { IpProtocol: tcp, FromPort: ${i + 1000}, ToPort: ${i + 1000}, CidrIp: 10.0.0.0/8 }`); // prettier-ignore
    const file = write(
      'many.yaml',
      TEMPLATE.replace(/( {8}- .*\n)+/, rules.map((rule) => `        ${rule}\n`).join('')),
    );
    assert.match(
      check(file).stderr,
      /^many\.yaml:2:3: warning: the security group 'many-Web' has 61 ingress rules for IPv4, more than the 60 AWS takes/,
    );
  });
});

describe('the end', () => {
  test('0 with warnings, 1 with --strict', () => {
    const { code, stdout, stderr } = check('ssh.yaml');
    assert.match(stderr, /^ssh\.yaml:2:20: warning: tcp 22 \(SSH\) is open to 0\.0\.0\.0\/0 \[/);
    assert.equal(stdout, 'ssh.yaml: ok, 1 interface, 2 groups, 6 rules, 1 warning\n');
    assert.equal(code, 0);
    const strict = check('--strict', 'ssh.yaml', 'good.yaml');
    assert.equal(
      strict.stdout,
      'ssh.yaml: warnings, and --strict, 1 interface, 2 groups, 6 rules, 1 warning\ngood.yaml: ok, 1 interface, 2 groups, 6 rules, 0 warnings\n',
    );
    assert.equal(strict.code, 1);
    assert.equal(check('--strict', 'good.yaml').code, 0);
  });

  test('1 if one of several files is bad', () => {
    assert.equal(check('good.yaml', 'bad.yaml').code, 1);
    assert.equal(check('good.yaml', 'template.yaml').code, 0);
  });

  for (const args of [[], ['--json', '--sarif', 'good.yaml'], ['--nope', 'good.yaml']]) {
    test(`2 for wrong usage: check ${args.join(' ')}`, () => assert.equal(check(...args).code, 2));
  }
});

test('--json: files, counts and problems', () => {
  const { code, stdout, stderr } = check('--json', 'ssh.yaml', 'template.yaml');
  const { problems, ...rest } = JSON.parse(stdout) as { problems: unknown[] };
  assert.deepEqual(rest, {
    ok: true,
    counts: { errors: 0, warnings: 1, notices: 0 },
    files: [
      {
        file: 'ssh.yaml',
        kind: 'configuration',
        ok: true,
        counts: {
          interfaces: 1,
          groups: 2,
          rules: 6,
          groupsNotUnderstood: 0,
          errors: 0,
          warnings: 1,
          notices: 0,
        },
      },
      {
        file: 'template.yaml',
        kind: 'template',
        ok: true,
        interfaces: [],
        counts: {
          interfaces: 0,
          groups: 1,
          rules: 5,
          groupsNotUnderstood: 0,
          errors: 0,
          warnings: 0,
          notices: 0,
        },
      },
    ],
  });
  assert.deepEqual(problems, [
    {
      severity: 'warning',
      code: 'open-admin-port',
      at: { file: 'ssh.yaml', line: 2, column: 20 },
      path: 'securityGroups.web.ingress[0]',
      message: 'tcp 22 (SSH) is open to 0.0.0.0/0',
      hint: 'name who administers it: a block as 203.0.113.0/24, a prefix list or a group',
    },
  ]);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.match(check('--json', '--strict', 'ssh.yaml').stdout, /^\{\n {2}"ok": false,\n/);
});

/** What SARIF 2.1.0 requires of the parts that are written, and what code-scanning services need beyond. */
const TEXT = {
  type: 'object',
  required: ['text'],
  properties: { text: { type: 'string', minLength: 1 } },
};
const LEVEL = { enum: ['none', 'note', 'warning', 'error'] };
const REGION = {
  type: 'object',
  required: ['startLine', 'startColumn'],
  additionalProperties: false,
  properties: Object.fromEntries(
    ['startLine', 'startColumn', 'endColumn'].map((key) => [key, { type: 'integer', minimum: 1 }]),
  ),
};
const LOCATION = {
  type: 'object',
  required: ['physicalLocation'],
  properties: {
    physicalLocation: {
      type: 'object',
      required: ['artifactLocation'],
      additionalProperties: false,
      properties: {
        artifactLocation: {
          type: 'object',
          required: ['uri'],
          additionalProperties: false,
          properties: {
            uri: { type: 'string', pattern: '^[!-~]+$' },
            uriBaseId: { const: '%SRCROOT%' },
          },
        },
        region: REGION,
      },
    },
    logicalLocations: {
      type: 'array',
      items: { type: 'object', required: ['fullyQualifiedName'] },
    },
  },
};
const SARIF = {
  type: 'object',
  required: ['version', 'runs', '$schema'],
  additionalProperties: false,
  properties: {
    $schema: { type: 'string' },
    version: { const: '2.1.0' },
    runs: {
      type: 'array',
      minItems: 1,
      maxItems: 1,
      items: {
        type: 'object',
        required: ['tool', 'results', 'columnKind', 'invocations'],
        additionalProperties: false,
        properties: {
          columnKind: { enum: ['utf16CodeUnits', 'unicodeCodePoints'] },
          invocations: {
            type: 'array',
            items: { type: 'object', required: ['executionSuccessful'] },
          },
          tool: {
            type: 'object',
            required: ['driver'],
            properties: {
              driver: {
                type: 'object',
                required: ['name', 'rules', 'semanticVersion'],
                properties: {
                  rules: {
                    type: 'array',
                    uniqueItems: true,
                    items: {
                      type: 'object',
                      required: ['id', 'shortDescription', 'help', 'defaultConfiguration'],
                      additionalProperties: false,
                      properties: {
                        id: { type: 'string', pattern: '^[a-z0-9-]+$' },
                        shortDescription: TEXT,
                        help: TEXT,
                        defaultConfiguration: { type: 'object', properties: { level: LEVEL } },
                      },
                    },
                  },
                },
              },
            },
          },
          results: {
            type: 'array',
            items: {
              type: 'object',
              required: ['ruleId', 'ruleIndex', 'level', 'message', 'locations'],
              additionalProperties: false,
              properties: {
                ruleId: { type: 'string' },
                ruleIndex: { type: 'integer', minimum: 0 },
                level: LEVEL,
                message: TEXT,
                locations: { type: 'array', minItems: 1, items: LOCATION },
              },
            },
          },
        },
      },
    },
  },
};

interface Sarif {
  readonly runs: readonly [
    {
      readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
      readonly results: readonly {
        readonly ruleId: string;
        readonly ruleIndex: number;
        readonly level: string;
        readonly message: { readonly text: string };
        readonly locations: readonly [{ readonly physicalLocation: unknown }];
      }[];
    },
  ];
}

describe('--sarif', () => {
  const odd = write(
    'odd name é.yaml',
    GOOD.replace('web: {', 'unused: {}\n  web: {').replace('80', '22'),
  );
  const { code, stdout, stderr } = check('--sarif', odd, 'bad.yaml', 'nowhere.yaml');
  const log = JSON.parse(stdout) as Sarif;
  const [{ results, tool }] = log.runs;

  test('has all that the standard requires', () => {
    const ajv = new Ajv({ allErrors: true });
    assert.equal(ajv.validate(SARIF, log), true, ajv.errorsText());
    for (const { ruleId, ruleIndex } of results)
      assert.equal(tool.driver.rules[ruleIndex].id, ruleId);
    assert.equal(stderr, '');
    assert.equal(code, 1);
  });

  test('has results with their level, text and region', () => {
    const uri = 'odd%20name%20%C3%A9.yaml';
    const place = (file: string, startLine: number, startColumn: number, endColumn: number): unknown => ({
      artifactLocation: { uri: file, uriBaseId: '%SRCROOT%' },
      region: { startLine, startColumn, endColumn },
    }); // prettier-ignore
    assert.deepEqual(
      results.map(({ ruleId, level, locations }) => [ruleId, level, locations[0].physicalLocation]),
      [
        ['unused-group', 'note', place(uri, 2, 3, 9)],
        ['open-admin-port', 'warning', place(uri, 3, 20, 65)],
        ['bad-protocol', 'error', place('bad.yaml', 2, 32, 35)],
        [
          'file-unreadable',
          'error',
          { artifactLocation: { uri: 'nowhere.yaml', uriBaseId: '%SRCROOT%' } },
        ],
      ],
    );
    assert.equal(
      results[2].message.text,
      "Invalid value 'tpc' for IP protocol. Unknown protocol.\nwrite tcp, udp, icmp, icmpv6, all, or a number from 0 to 255",
    );
  });

  test('a clean file gives a run without results', () => {
    const clean = JSON.parse(check('--sarif', 'good.yaml').stdout) as Sarif;
    assert.deepEqual([clean.runs[0].results, clean.runs[0].tool.driver.rules], [[], []]);
  });
});

test('every code that the loaders and the linter report has a text for lists of rules', () => {
  const reporters = new Set(['fail', 'report', 'take', 'problem', 'problemAt', 'refuse', 'exceeded']); // prettier-ignore
  const codes = new Set<string>();
  const takeCode = (node: ts.Node | undefined): void => {
    if (node !== undefined && ts.isStringLiteral(node) && /^[a-z]+(-[a-z]+)+$/.test(node.text))
      codes.add(node.text);
  };
  for (const [path, text] of readSources(repositoryRoot())) {
    if (!/^src\/(config|lint|cloudformation|source)\//.test(path)) continue;
    const visit = (node: ts.Node): void => {
      if (ts.isPropertyAssignment(node) && node.name.getText() === 'code')
        takeCode(node.initializer);
      if (ts.isCallExpression(node) && reporters.has(node.expression.getText()))
        node.arguments.forEach(takeCode);
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true));
  }
  // Not a code: a directory of names puts 'unknown-' before it.
  codes.delete('prefix-list');
  assert.ok(codes.size > 80, `${codes.size} codes found`);
  assert.deepEqual(
    [...codes].filter((code) => !hasRuleTexts(code)),
    [],
  );
});
