/** `templates: [cdk.out]`: what the AWS CDK synthesises, as it lies in its folder; and manifests that are wrong. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { App, CfnOutput, CfnParameter, Fn, NestedStack, Stack, Stage } from 'aws-cdk-lib/core';
import { CfnSecurityGroup, CfnSecurityGroupEgress } from 'aws-cdk-lib/aws-ec2';
import { REVISION_MAX } from '../../src/cloudformation/cloud-assembly.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { runSgctl } from '../support/sgctl.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-assembly-'));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Loaded {
  readonly rules: readonly string[];
  readonly problems: readonly string[];
  readonly files: readonly string[];
}

const shorten = (text: string): string => text.replaceAll(`${directory}/`, '');

function load(config: string): Loaded {
  const file = join(directory, 'config.yaml');
  writeFileSync(file, config);
  const { config: loaded, problems, files } = loadConfig(file, { netnsDirectory: '/run/netns' });
  const model = loaded?.model;
  return {
    rules: [...(model?.groups.values() ?? [])]
      .filter(({ name }) => name !== 'default')
      .flatMap(({ name, ingress, egress }) => [
        ...ingress.map((rule) => `${name} < ${ruleText(rule, model!)}`),
        ...egress.map((rule) => `${name} > ${ruleText(rule, model!)}`),
      ]),
    problems: problems
      .filter(({ code }) => code !== 'passed-over')
      .map(({ at, severity, message }) => shorten(`${at?.file} ${severity}: ${message}`)),
    files: files.map(shorten),
  };
}

/** Two stacks that depend on each other in the order of their names turned round, a nested one, a stage. */
function synthesise(name: string, metadata: boolean): void {
  const outdir = join(directory, name);
  // It takes seconds.
  if (existsSync(outdir)) return;
  const app = new App({
    outdir,
    analyticsReporting: false,
    treeMetadata: false,
    context: { 'aws:cdk:enable-asset-metadata': metadata },
  });
  const env = { account: '210987654321', region: 'eu-west-1' };
  const app1 = new Stack(app, 'A', { env, stackName: 'service' });
  const network = new Stack(app, 'Z', { env });
  app1.addStackDependency(network);
  const port = new CfnParameter(app1, 'Port', { type: 'Number', default: 80 });
  const shared = new CfnSecurityGroup(network, 'Shared', { groupDescription: 'x', vpcId: 'vpc-0123456789abcdef0', groupName: Fn.sub('${AWS::StackName}.${AWS::Region}.${AWS::AccountId}') }); // prettier-ignore
  new CfnOutput(network, 'Out', { value: shared.attrGroupId, exportName: 'shared-sg' });
  const nested = new NestedStack(app1, 'Nested');
  const inner = new CfnSecurityGroup(nested, 'Inner', {
    groupDescription: 'x',
    vpcId: 'vpc-0123456789abcdef0',
    securityGroupIngress: [{ ipProtocol: 'tcp', fromPort: port.valueAsNumber, toPort: port.valueAsNumber, sourceSecurityGroupId: Fn.importValue('shared-sg') }], // prettier-ignore
  });
  new CfnSecurityGroupEgress(app1, 'ToInner', { groupId: Fn.importValue('shared-sg'), ipProtocol: 'tcp', fromPort: 1, toPort: 1, destinationSecurityGroupId: inner.attrGroupId }); // prettier-ignore
  const stage = new Stage(app, 'Prod');
  new CfnSecurityGroup(new Stack(stage, 'Web'), 'Lone', { groupDescription: 'x', vpcId: 'vpc-0123456789abcdef0', groupName: Fn.sub('${AWS::StackName}.${AWS::Region}') }); // prettier-ignore
  app.synth();
}

const INNER = 'service-NestedNestedStackNestedNestedStackResourceDEFDAA4D-Inner';
const SHARED = 'Z.eu-west-1.210987654321';
const RULES = [
  'Prod-Web.us-east-1 > all to 0.0.0.0/0',
  'Prod-Web.us-east-1 > all to ::/0',
  `${SHARED} > tcp 1 to sg:${INNER}`,
  `${INNER} < tcp 80 from sg:${SHARED}`,
  `${INNER} > all to 0.0.0.0/0`,
  `${INNER} > all to ::/0`,
];

describe('as the CDK synthesises it', () => {
  for (const metadata of [true, false]) {
    test(`stacks, names, environments, nested stacks and stages, ${metadata ? 'with' : 'without'} metadata of assets`, () => {
      const name = metadata ? 'cdk.out' : 'plain.out';
      synthesise(name, metadata);
      const { rules, problems, files } = load(`templates: [${name}]\ninterfaces: {}\n`);
      assert.deepEqual(problems, []);
      assert.deepEqual(rules, RULES);
      assert.deepEqual(
        files.map((file) => file.replace(/[0-9A-F]{8}(?=\.)/, '')),
        [
          'config.yaml',
          `${name}/assembly-Prod/ProdWeb.template.json`,
          `${name}/manifest.json`,
          `${name}/A.assets.json`,
          `${name}/Z.assets.json`,
          `${name}/assembly-Prod/manifest.json`,
          `${name}/assembly-Prod/ProdWeb.assets.json`,
          `${name}/Z.template.json`,
          `${name}/A.template.json`,
          `${name}/ANested.nested.template.json`,
        ],
      );
    });
  }

  test('a region where the CDK knows none, parameters for the stacks that have them, a stage by itself', () => {
    synthesise('cdk.out', true);
    const { rules, problems } = load(
      'templates: [{ file: cdk.out, region: ap-south-1, parameters: { Port: 8080 } }]\ninterfaces: {}\n',
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(rules.slice(0, 1), ['Prod-Web.ap-south-1 > all to 0.0.0.0/0']);
    assert.ok(rules.includes(`${INNER} < tcp 8080 from sg:${SHARED}`));
    assert.deepEqual(
      load('templates: [cdk.out/assembly-Prod]\ninterfaces: {}\n').rules,
      RULES.slice(0, 2),
    );
    assert.deepEqual(
      load('templates: [{ file: cdk.out, parameters: { Prt: 1 } }]\ninterfaces: {}\n').problems,
      [
        "config.yaml error: no stack of the cloud assembly has a parameter 'Prt'; did you mean 'Port'?",
      ],
    );
    assert.deepEqual(
      load('templates: [{ file: cdk.out, stackName: x }]\ninterfaces: {}\n').problems,
      ['config.yaml error: a cloud assembly has names for its stacks'],
    );
    assert.deepEqual(
      load("templates: [{ file: cdk.out, supplied: { 'ssm:/x': y } }]\ninterfaces: {}\n").problems,
      ["config.yaml warning: nothing in the cloud assembly 'cdk.out' asks for 'ssm:/x'"],
    );
  });

  test('sgctl check and rules take the folder; explain says what to write', () => {
    synthesise('cdk.out', true);
    const sgctl = (...args: readonly string[]) => runSgctl(args, { cwd: directory });
    const checked = sgctl('check', 'cdk.out');
    assert.deepEqual(
      [checked.code, checked.stdout],
      [0, 'cdk.out: ok, 3 groups, 6 rules, 0 warnings\n'],
    );
    const { rules } = JSON.parse(sgctl('rules', 'cdk.out', '--json').stdout) as {
      rules: { text: string; group: { name: string } }[];
    };
    assert.equal(rules.length, RULES.length);
    const explained = sgctl('explain', 'cdk.out', 'a -> b tcp 1');
    assert.match(
      explained.stderr,
      /error: this is a CDK cloud assembly, not a configuration of secgroupd\n +write a configuration beside it, as \{ templates: \[cdk\.out\]/,
    );
    assert.equal(sgctl('check', 'cdk.out', '--stack-name', 'x').code, 2);
    assert.equal(sgctl('check', 'cdk.out', '--parameter', 'Prt=1').code, 2);
    assert.match(sgctl('rules', 'cdk.out', '--parameter', 'Port=81').stdout, /tcp 81 from/);
  });
});

/** An assembly by hand: manifest, and files beside it. */
function write(name: string, files: Readonly<Record<string, unknown>>): void {
  for (const [file, content] of Object.entries(files)) {
    const path = join(directory, name, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(
      path,
      typeof content === 'string' ? content : JSON.stringify(content, undefined, 1),
    );
  }
}

const TEMPLATE = {
  Resources: {
    G: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'x', VpcId: 'vpc-1' } },
  },
};
const stack = (extra: object = {}, properties: object = {}): object => ({
  type: 'aws:cloudformation:stack',
  environment: 'aws://unknown-account/unknown-region',
  properties: { templateFile: 't.json', ...properties },
  ...extra,
});
const problemsOf = (name: string): readonly string[] =>
  load(`templates: [${name}]\ninterfaces: {}\n`).problems;

describe('manifests', () => {
  test('parameters, and stacks of one name in two regions', () => {
    const template = {
      ...TEMPLATE,
      Parameters: { P: { Type: 'String' } },
      Resources: {
        G: {
          ...TEMPLATE.Resources.G,
          Properties: {
            GroupDescription: 'x',
            VpcId: 'vpc-1',
            GroupName: { 'Fn::Sub': '${P}.${AWS::Region}' },
          },
        },
      },
    };
    write('two', {
      'manifest.json': {
        version: '20.0.0',
        artifacts: {
          One: stack(
            { environment: 'aws://111122223333/eu-west-1' },
            { stackName: 's', parameters: { P: 'one' } },
          ),
          Two: stack(
            { environment: 'aws://111122223333/eu-west-2' },
            { stackName: 's', parameters: { P: 'two' } },
          ),
        },
      },
      't.json': template,
    });
    const { rules, problems } = load('templates: [two]\ninterfaces: {}\n');
    assert.deepEqual(problems, [
      "two/manifest.json warning: the cloud assembly has several stacks 's'; this one is called 'Two' here",
    ]);
    assert.deepEqual(
      rules.filter((rule) => rule.includes('/0') && !rule.includes('::')),
      ['one.eu-west-1 > all to 0.0.0.0/0', 'two.eu-west-2 > all to 0.0.0.0/0'],
    );
  });

  test('stacks come after those they depend on, also in a circle', () => {
    write('order', {
      'manifest.json': {
        version: '55.9.9',
        artifacts: {
          A: stack({ dependencies: ['B', 'nobody'] }), B: stack({ dependencies: ['C'] }), C: stack({ dependencies: ['A'] }),
          D: stack({ dependencies: ['E'] }), E: stack(),
        },
      },
      't.json': TEMPLATE,
    }); // prettier-ignore
    const { rules } = load('templates: [order]\ninterfaces: {}\n');
    assert.deepEqual(
      rules.filter((rule) => rule.endsWith('0.0.0.0/0')).map((rule) => rule.split('-')[0]),
      ['C', 'B', 'A', 'E', 'D'],
    );
  });

  test('what is missing or not known is an error with the path', () => {
    const wrong: readonly (readonly [files: Readonly<Record<string, unknown>>, problems: readonly string[]])[] = [
      [{ x: '' }, ['X/manifest.json error: the file is not there: the folder is no cloud assembly']],
      [{ 'manifest.json': '{' }, ['X/manifest.json error: not valid JSON: ']],
      [{ 'manifest.json': {} }, ['X/manifest.json error: the manifest has no version: this is no cloud assembly']],
      [{ 'manifest.json': { version: 'x' } }, ["X/manifest.json error: the manifest has the version 'x': this is no cloud assembly"]],
      [{ 'manifest.json': { version: `${REVISION_MAX + 1}.0.0` } }, [`X/manifest.json error: the cloud assembly has the version ${REVISION_MAX + 1}.0.0; versions up to ${REVISION_MAX} are read`]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: [] } }, ['X/manifest.json error: artifacts must be a mapping, not a list']],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: stack() } } }, ["X/t.json error: the file can't be read: ENOENT"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: stack({}, { templateFile: 3, x: 1 }) } } }, ["X/3 error: the file can't be read: ENOENT"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'aws:cloudformation:stack' } } } }, ["X/manifest.json error: the stack 'S' names no templateFile"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: stack({ environment: 'eu-west-1' }) } }, 't.json': TEMPLATE }, ["X/manifest.json error: 'eu-west-1' is no environment"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'cdk:cloud-assembly' } } } }, ["X/manifest.json error: the assembly 'S' names no directoryName"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'cdk:cloud-assembly', properties: { directoryName: 'in' } } } } }, ['X/in/manifest.json error: the file is not there: the folder is no cloud assembly']],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'cdk:cloud-assembly', properties: { directoryName: '.' } } } } }, ['X/manifest.json error: assemblies are within each other more than 10 deep']],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'cdk:asset-manifest' } } } }, ["X/manifest.json error: the asset manifest 'S' names no file"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'cdk:asset-manifest', properties: { file: 'a.json' } } } } }, ["X/a.json error: the file can't be read: ENOENT"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'acme:stack' } } } }, ["X/manifest.json warning: the artifact 'S' is of a type that is not known: 'acme:stack'"]],
      [{ 'manifest.json': { version: '36.0.0', artifacts: {}, missing: [{ key: 'vpc:x' }] } }, ['X/manifest.json warning: values that the CDK looks up in AWS are missing, and what stands for them is made up: vpc:x']],
      [{ 'manifest.json': { version: '36.0.0', artifacts: { S: { type: 'none' } } } }, []],
    ]; // prettier-ignore
    for (const [i, [files, expected]] of wrong.entries()) {
      write(`wrong-${i}`, files);
      const found = problemsOf(`wrong-${i}`);
      assert.equal(found.length, expected.length, `${i}: ${found.join('\n')}`);
      found.forEach((text, k) =>
        assert.ok(text.startsWith(expected[k].replace('X/', `wrong-${i}/`)), `${i}: ${text}`),
      );
    }
  });
});
