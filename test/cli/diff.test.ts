/** `sgctl diff`: exit codes, and its forms. That the differences are right is test/reach/compare.property.test.ts's. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runSgctl, type Ran } from '../support/sgctl.ts';
import { PLAN, writeFolder } from '../inputs/support.ts';

const config = (port: number, peer = '0.0.0.0/0'): string => `
securityGroups:
  web: { ingress: [{ protocol: tcp, ports: ${port}, from: '${peer}' }] }
interfaces:
  eni-web: { addresses: [10.0.0.1], securityGroups: [web], device: { netns: web, name: eth0 } }
`;

function world(t: TestContext): (...args: string[]) => Ran {
  const files = {
    'a.yaml': config(443),
    'b.yaml': config(80),
    'narrow.yaml': config(443, '10.0.0.0/8'),
    'bad.yaml': 'securityGroups: 1\n',
    'state.json': {
      terraform_version: '1.11.4',
      format_version: '1.0',
      values: { root_module: {} },
    },
  };
  const cwd = writeFolder(t, files);
  return (...args) => runSgctl(['diff', ...args], { cwd });
}

test('the same, wider, narrower, and what can not be compared: exit codes and text', (t) => {
  const diff = world(t);
  const told = ({ code, stdout }: Ran): readonly [number | null, string] => [code, stdout];
  assert.deepEqual(told(diff('a.yaml', 'a.yaml')), [0, 'both allow the same\n']);
  assert.deepEqual(told(diff('a.yaml', 'b.yaml')), [
    1,
    'newly allowed\n  0.0.0.0/0 -> eni-web: tcp 80\n\nno longer allowed\n  0.0.0.0/0 -> eni-web: tcp 443\n',
  ]);
  assert.deepEqual(told(diff('a.yaml', 'narrow.yaml')), [
    4,
    'no longer allowed\n  0.0.0.0/5 8.0.0.0/7, 11.0.0.0-255.255.255.255 -> eni-web: tcp 443\n',
  ]);
  assert.equal(diff('a.yaml', 'bad.yaml').code, 3);
  assert.equal(diff('a.yaml').code, 2);
  assert.match(
    diff('state.json').stderr,
    /missing required argument 'new' \(a plan alone has both\)/,
  );
});

test('a plan alone: what it starts from, and what it makes', (t) => {
  const { code, stdout } = world(t)(PLAN);
  assert.equal(code, 1);
  assert.match(stdout, /^newly allowed$/m);
  assert.match(stdout, /aws_instance\.app\[0\].* -> aws_network_interface\.db: tcp 22, 5432$/m);
  assert.doesNotMatch(stdout, /no longer/);
});

test('JSON, Markdown, SARIF and JUnit', (t) => {
  const diff = world(t);
  const folder = writeFolder(t, {});
  const junit = join(folder, 'out.xml');
  const json = JSON.parse(diff('a.yaml', 'b.yaml', '--json', '--junit', junit).stdout) as {
    differences: object[];
  };
  assert.deepEqual(
    json.differences.map((one) => ({ ...one, rule: undefined })),
    [
      {
        kind: 'newly-allowed',
        from: ['0.0.0.0/0'],
        to: ['eni-web'],
        families: [4],
        services: ['tcp 80'],
        rule: undefined,
      },
      {
        kind: 'no-longer-allowed',
        from: ['0.0.0.0/0'],
        to: ['eni-web'],
        families: [4],
        services: ['tcp 443'],
        rule: undefined,
      },
    ],
  );
  const xml = readFileSync(junit, 'utf8');
  assert.equal(xml.match(/<testcase /g)?.length, 2);
  assert.equal(xml.match(/<failure /g)?.length, 1);
  const markdown = diff('a.yaml', 'b.yaml', '--markdown').stdout;
  assert.match(
    markdown,
    /^\| newly allowed \| `0\.0\.0\.0\/0` \| `eni-web` \| `tcp 80` \| `securityGroups\.web\.ingress\[0\]` \|$/m,
  );
  assert.match(
    diff('a.yaml', 'a.yaml', '--markdown').stdout,
    /^Nothing changes: both allow the same\.$/m,
  );
  const sarif = JSON.parse(diff('a.yaml', 'b.yaml', '--sarif').stdout) as {
    runs: { tool: { driver: { name: string } }; results: { ruleId: string; level: string }[] }[];
  };
  const [{ tool, results }] = sarif.runs;
  assert.equal(tool.driver.name, 'sgctl diff');
  assert.deepEqual(
    results.map(({ ruleId, level }) => `${ruleId} ${level}`),
    ['newly-allowed warning', 'no-longer-allowed note'],
  );
});

/** A group with audit, a rule that only audits, and an interface with audit. */
function audited(group: string, more = ''): string {
  return `
securityGroups:
  web: { ${group} }
interfaces:
  eni-web: { addresses: [10.0.0.1], securityGroups: [web], device: { netns: web, name: eth0 }${more} }
`;
}

test('what passes by audit is told beside what is allowed, and by itself', (t) => {
  const rule = '{ protocol: tcp, ports: 443, from: 0.0.0.0/0 }';
  const trial = '{ protocol: tcp, ports: 443, from: 0.0.0.0/0, audit: true }';
  const files = {
    'on.yaml': audited(`ingress: [${rule}], egress: []`),
    'off.yaml': audited('ingress: [], egress: []'),
    'trial.yaml': audited(`ingress: [${trial}], egress: []`),
    'group.yaml': audited(`audit: true, ingress: [${rule}], egress: []`),
    'interface.yaml': audited(`ingress: [${rule}], egress: []`, ', audit: true'),
  };
  const cwd = writeFolder(t, files);
  const diff = (...args: string[]): Ran => runSgctl(['diff', ...args], { cwd });
  const told = (from: string, to: string): readonly [number | null, string] => {
    const { code, stdout } = diff(`${from}.yaml`, `${to}.yaml`);
    return [code, stdout];
  };
  const line = '0.0.0.0/0 -> eni-web: tcp 443';
  assert.deepEqual(told('on', 'trial'), [4, `no longer allowed\n  ${line} (passes by audit)\n`]);
  assert.deepEqual(told('trial', 'on'), [1, `newly allowed\n  ${line} (passed by audit)\n`]);
  const begins = 'refused, and passes by audit from now on';
  const ends = 'refused, and passes by audit no longer';
  assert.deepEqual(told('off', 'trial'), [1, `${begins}\n  ${line}\n`]);
  assert.deepEqual(told('trial', 'off'), [4, `${ends}\n  ${line}\n`]);
  for (const whole of ['group', 'interface']) {
    const [code, text] = told('on', whole);
    assert.equal(code, 1);
    // All but what the rule allows, both ways, both families.
    assert.deepEqual(text.split('\n').slice(0, 1), [begins]);
    assert.match(text, /^  0\.0\.0\.0\/0 -> eni-web: .*tcp 0-442, 444-65535/m);
    assert.match(text, /^  eni-web -> 0\.0\.0\.0\/0.*: /m);
    assert.equal(told(whole, 'on')[0], 4);
    assert.deepEqual(told(whole, whole), [0, 'both allow the same\n']);
  }
  assert.deepEqual(told('group', 'interface'), [0, 'both allow the same\n']);

  const json = JSON.parse(diff('on.yaml', 'trial.yaml', '--json').stdout) as {
    differences: { byAudit?: boolean }[];
  };
  assert.deepEqual(
    json.differences.map(({ byAudit }) => byAudit),
    [true],
  );
  assert.match(diff('on.yaml', 'trial.yaml', '--markdown').stdout, /`tcp 443 \(passes by audit\)`/);
  const sarif = diff('off.yaml', 'trial.yaml', '--sarif').stdout;
  assert.match(sarif, /"ruleId": "newly-audited",[^]*?"level": "warning"/);
  const junit = join(cwd, 'out.xml');
  diff('off.yaml', 'trial.yaml', '--junit', junit);
  assert.match(readFileSync(junit, 'utf8'), /<failure /);
});
