import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Ran, runSgctl, SGCTL } from '../support/sgctl.ts';

const PACKAGE = fileURLToPath(new URL('../../../package.json', import.meta.url));
const DEMO = fileURLToPath(new URL('../../../config/demo.yaml', import.meta.url));

const directory = mkdtempSync(join(tmpdir(), 'sgt-cli-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function sgctl(...args: readonly string[]): Ran {
  return runSgctl([...args], { cwd: directory });
}

function write(name: string, text: string): string {
  writeFileSync(join(directory, name), text);
  return name;
}

const GOOD = `interfaces:
  eni-a: { device: { kind: tun, name: t0 }, addresses: [10.0.0.1], securityGroups: [web] }
securityGroups:
  web: { description: web, ingress: [{ protocol: tcp, ports: 80, from: 0.0.0.0/0 }] }
`;

describe('the command line', () => {
  test('--version is the version of the package', () => {
    const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string };
    assert.deepEqual(sgctl('--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
  });

  test('--help names the commands, the exit codes and examples', () => {
    const { code, stdout, stderr } = sgctl('--help');
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.match(stdout, /^Usage: sgctl \[options\] \[command\]$/m);
    assert.match(stdout, /^ {2}check .*\bcheck configurations and templates$/m);
    assert.match(
      stdout,
      /^Exit codes: 0 done; 1 it failed, or problems were found; 2 wrong usage\.$/m,
    );
    assert.match(stdout, /^ {2}sgctl lab up config\/demo\.yaml$/m);
  });

  for (const words of [
    ['check'],
    ['lab'],
    ['lab', 'up'],
    ['lab', 'exec'],
    ['lab', 'ls'],
    ['lab', 'down'],
  ]) {
    test(`${words.join(' ')} --help has an example`, () => {
      const { code, stdout } = sgctl(...words, '--help');
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^Usage: sgctl ${words.join(' ')}`));
      assert.match(stdout, /^Examples?:\n {2}sgctl /m);
    });
  }

  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['chek', 'x'], /^error: unknown command 'chek'\n\(Did you mean check\?\)$/m],
    [['lab', 'donw'], /^error: unknown command 'donw'\n\(Did you mean down\?\)$/m],
    [['lab', 'ls', '--jsno'], /^error: unknown option '--jsno'\n\(Did you mean --json\?\)$/m],
    [['check'], /^error: missing required argument 'file'$/m],
    [['lab', 'exec', 'web'], /^error: missing required argument 'command'$/m],
    [['lab', 'down', 'x', '--all'], /^error: give a name or --all, not both$/m],
    [
      ['lab', 'up', 'x', '--timeout', 'soon'],
      /'soon' is invalid\. Give a number of seconds from 1 to 3600\.$/m,
    ],
    [[], /^Usage: sgctl /],
    [['lab'], /^Usage: sgctl lab /],
  ];
  for (const [args, message] of wrong) {
    test(`wrong usage exits 2: sgctl ${args.join(' ')}`, () => {
      const { code, stdout, stderr } = sgctl(...args);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, message);
    });
  }
});

describe('check', () => {
  test('a good file: one line on stdout', () => {
    const file = write('good.yaml', GOOD);
    // The group's ingress rule, and the two egress rules every group has by default.
    const { code, stdout, stderr } = sgctl('check', file);
    assert.equal(stderr, '');
    assert.match(stdout, /^good\.yaml: ok, 1 interface, \d groups?, \d+ rules, 0 warnings\n$/);
    assert.equal(code, 0);
  });

  test('all errors at once, with places, on stderr; exit code 1', () => {
    const file = write(
      'bad.yaml',
      GOOD.replace('ports: 80', 'ports: 80000').replace('[10.0.0.1]', '[10.0.0.01]'),
    );
    const { code, stdout, stderr } = sgctl('check', file);
    assert.equal(code, 1);
    assert.match(stderr, /^bad\.yaml:2:\d+: error: /m);
    assert.match(stderr, /^bad\.yaml:4:\d+: error: /m);
    assert.equal(stdout, 'bad.yaml: 2 errors, 0 warnings\n');
  });

  test('--json prints the same for programs', () => {
    const good = JSON.parse(sgctl('check', '--json', write('good.yaml', GOOD)).stdout) as Record<
      string,
      unknown
    >;
    assert.equal(good['ok'], true);
    assert.deepEqual(good['problems'], []);
    const { code, stdout, stderr } = sgctl(
      'check',
      '--json',
      write('bad.yaml', GOOD.replace('tcp', 'tpc')),
    );
    const bad = JSON.parse(stdout) as {
      ok: boolean;
      counts: { errors: number };
      problems: { at: { line: number } }[];
    };
    assert.equal(code, 1);
    assert.equal(stderr, '');
    assert.equal(bad.ok, false);
    assert.equal(bad.counts.errors, 1);
    assert.deepEqual(
      bad.problems.map(({ at }) => at.line),
      [4],
    );
  });

  test('a file that is not there', () => {
    const { code, stderr } = sgctl('check', 'nowhere.yaml');
    assert.equal(code, 1);
    assert.match(stderr, /^nowhere\.yaml: error: /);
  });

  test('the demo is in order, without a warning', () => {
    const { code, stdout, stderr } = sgctl('check', DEMO);
    assert.equal(code, 0);
    assert.match(stdout, /: ok, 3 interfaces, \d+ groups, \d+ rules, 0 warnings\n$/);
    assert.equal(stderr, '');
  });

  test('no colour where no terminal is', () => {
    assert.doesNotMatch(sgctl('check', DEMO).stderr, /\x1b/);
  });
});

describe('on a terminal', () => {
  const hasScript = spawnSync('script', ['--version']).status === 0;
  const skip = hasScript ? false : 'needs script(1) to make a terminal';
  const onTerminal = (environment: Record<string, string>): string => {
    const file = write('bad.yaml', GOOD.replace('tcp', 'tpc'));
    const env = { ...process.env, TERM: 'xterm', ...environment };
    if (environment['NO_COLOR'] === undefined) delete (env as NodeJS.ProcessEnv)['NO_COLOR'];
    const command = `'${process.execPath}' '${SGCTL}' check ${file}`;
    return spawnSync('script', ['-qec', command, '/dev/null'], {
      encoding: 'utf8',
      cwd: directory,
      env,
    }).stdout;
  };

  test('errors are red', { skip }, () => {
    assert.match(onTerminal({}), /bad\.yaml:4:\d+: \x1b\[31merror:\x1b\[0m /);
  });

  test('NO_COLOR turns it off', { skip }, () => {
    assert.match(onTerminal({ NO_COLOR: '1' }), /bad\.yaml:4:\d+: error: /);
  });
});
