/** `sgctl test` as people run it: the demo, errors planted in its rules, and labs that are always gone afterwards. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { labRoots } from '../../src/lab/state.ts';
import { waitExit, waitFor, whyNoLab } from '../lab/lab-support.ts';
import { uniqueName } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';
import { runSgctl, SGCTL, type Ran } from '../support/sgctl.ts';

const CONFIG_FOLDER = join(repositoryRoot(), 'config');
const DEMO_EXPECTATIONS = join(CONFIG_FOLDER, 'demo.expect.yaml');
const WITH_LAB = { skip: whyNoLab() ?? false };

const folder = mkdtempSync(join(tmpdir(), 'sgt-reach-live-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function sgctl(...args: readonly string[]): Ran {
  return runSgctl(args, {
    env: { ...process.env, LC_ALL: 'C' },
  });
}

/** A copy of the demo with namespaces of its own and no metrics, so that it disturbs no other. */
class DemoCopy {
  readonly prefix = uniqueName();
  readonly config = join(folder, `${this.prefix}.yaml`);
  readonly expectations = join(folder, `${this.prefix}.expect.yaml`);

  constructor(change: (text: string) => string = (text) => text) {
    mkdirSync(join(folder, 'templates'), { recursive: true });
    const template = 'templates/public-web.yaml';
    writeFileSync(join(folder, template), readFileSync(join(CONFIG_FOLDER, template)));
    const text = readFileSync(join(CONFIG_FOLDER, 'demo.yaml'), 'utf8')
      .replaceAll('netns: sgd-', `netns: ${this.prefix}`)
      .replace(/^metrics:.*$/m, '');
    writeFileSync(this.config, change(text));
    this.expect(
      readFileSync(DEMO_EXPECTATIONS, 'utf8').replace(/^config: .*$/m, `config: ${this.config}`),
    );
  }

  expect(text: string): void {
    writeFileSync(this.expectations, text);
  }

  lineOf(text: string): number {
    const lines = readFileSync(this.config, 'utf8').split('\n');
    return 1 + lines.findIndex((line) => line.includes(text));
  }

  test(...args: readonly string[]): Ran {
    return sgctl('test', this.expectations, ...args);
  }

  assertGone(): void {
    const left = ['web', 'app', 'db', 'outside'].filter((name) =>
      existsSync(`/run/netns/${this.prefix}${name}`),
    );
    assert.deepEqual(left, []);
  }
}

/** One rule opened to everyone over IPv4, another removed. */
function plantErrors(text: string): string {
  const wide = "{ protocol: tcp, ports: 5432, from: 'sg:app', description: app to db }";
  const gone = "      - { protocol: tcp, ports: 8080, from: 'sg:web', description: web to app }\n";
  assert.ok(text.includes(wide) && text.includes(gone));
  return text
    .replace(
      wide,
      "{ protocol: tcp, ports: 5432, from: ['sg:app', 0.0.0.0/0], description: app to db }",
    )
    .replace(gone, '');
}

/** What the planted errors must lead to, whether or not real packets were sent. */
function assertCaught(demo: DemoCopy, { code, stdout }: Ran, andLive: string): void {
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^\d+ passed, 5 failed, \d+ skipped$/m);
  const widened = stdout.slice(stdout.indexOf('FAILED internet -> db tcp 5432'));
  assert.match(
    widened,
    new RegExp(`^ {2}internet .*: expected denied, the rules say allowed${andLive}$`, 'm'),
  );
  assert.match(widened, /^ +by +sg:db {2}tcp 5432 from 0\.0\.0\.0\/0$/m);
  assert.ok(widened.includes(`.yaml:${demo.lineOf('ports: 5432')}  sgr-`), widened);
  const removed = stdout.slice(stdout.indexOf('FAILED web -> app tcp 8080'));
  assert.match(
    removed,
    new RegExp(`^ {2}web .*\\(IPv6\\): expected allowed, the rules say denied${andLive}$`, 'm'),
  );
  assert.match(removed, /^ +ingress of eni-app-1: refused$/m);
  assert.match(removed, /^ +near +sg:app {2}icmp type 8 from 10\.0\.0\.0\/16$/m);
}

describe('the demo', () => {
  test('offline: 60 expectations and more, all passed', () => {
    const { code, stdout, stderr } = sgctl('test', DEMO_EXPECTATIONS);
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const passed = /^(\d+) passed, 0 failed, 0 skipped$/m.exec(stdout);
    assert.ok(Number(passed?.[1]) >= 60, stdout);
    assert.match(stdout, /IPv4, IPv6/);
  });

  test('live with two packet loops: all as with one', WITH_LAB, () => {
    const demo = new DemoCopy((text) => `workers: 2\n${text}`);
    const { code, stdout, stderr } = demo.test('--live', '--json');
    assert.equal(code, 0, stdout + stderr);
    const { counts } = JSON.parse(stdout) as { counts: { passed: number; failed: number } };
    assert.equal(counts.failed, 0);
    assert.ok(counts.passed >= 60, stdout);
    demo.assertGone();
  });

  test(
    'live in a lab with veth pairs: all as with TUNs, and planted errors are found',
    WITH_LAB,
    () => {
      for (const [change, check] of [
        [(text: string): string => text, ({ code, stdout }: Ran) => assert.equal(code, 0, stdout)],
        [
          plantErrors,
          (ran: Ran, demo: DemoCopy) => assertCaught(demo, ran, ', and so do real packets'),
        ],
      ] as const) {
        const demo = new DemoCopy(change);
        const up = sgctl(
          ...['lab', 'up', demo.config, '--name', demo.prefix, '--device-kind', 'veth', '--json'],
        );
        assert.equal(up.code, 0, up.stderr);
        const link = sgctl(
          'lab',
          'exec',
          `${demo.prefix}web`,
          '--',
          'ip',
          '-d',
          'link',
          'show',
          'eth0',
        );
        assert.match(link.stdout, /\bveth\b/);
        check(demo.test('--live', '--lab', demo.prefix), demo);
        assert.equal(sgctl('lab', 'down', demo.prefix).code, 0);
        demo.assertGone();
      }
    },
  );

  test('live: offline and real packets agree; what can’t be tried is skipped', WITH_LAB, () => {
    const demo = new DemoCopy();
    const junit = join(folder, 'demo.xml');
    const { code, stdout, stderr } = demo.test('--live', '--json', '--junit', junit);
    assert.equal(code, 0, stdout + stderr);
    const { counts, checks } = JSON.parse(stdout) as {
      counts: { passed: number; failed: number; skipped: number };
      checks: { cases: { family: number; outcome: string; offline: string; live: Live }[] }[];
    };
    interface Live {
      readonly verdict: string;
      readonly why?: string;
    }
    const cases = checks.flatMap((check) => check.cases);
    for (const family of [4, 6]) {
      const passed = cases.filter((one) => one.family === family && one.outcome === 'passed');
      assert.ok(passed.length >= 30, `${passed.length} in IPv${family}`);
      assert.deepEqual(
        passed.filter(({ offline, live }) => offline !== live.verdict),
        [],
      );
    }
    assert.deepEqual(
      [...new Set(cases.flatMap(({ live }) => live.why ?? []))],
      [
        "the uplink's namespace does not have the address 10.0.0.12",
        'protocol 47: only TCP, UDP and ICMP echo can be sent for real',
      ],
    );
    assert.deepEqual([counts.failed, counts.skipped], [0, 5]);
    assert.match(readFileSync(junit, 'utf8'), / failures="0" skipped="5" errors="0" /);
    demo.assertGone();
  });
});

describe('errors planted in the rules', () => {
  test('are caught offline, with the rule', () => {
    const demo = new DemoCopy(plantErrors);
    assertCaught(demo, demo.test(), '');
  });

  test('are caught by real packets, with the rule', WITH_LAB, () => {
    const demo = new DemoCopy(plantErrors);
    assertCaught(demo, demo.test('--live'), ', and so do real packets');
    demo.assertGone();
  });
});

describe('live', () => {
  test(
    'a daemon that enforces something else than the files say is told from both',
    WITH_LAB,
    (t) => {
      const demo = new DemoCopy();
      const good = readFileSync(demo.config, 'utf8');
      // The lab runs with the errors; the file is mended behind its back.
      writeFileSync(demo.config, plantErrors(good));
      const name = uniqueName();
      t.after(() => sgctl('lab', 'down', name));
      assert.equal(sgctl('lab', 'up', demo.config, '--name', name).code, 0);
      writeFileSync(demo.config, good);
      const { code, stdout } = demo.test('--live', '--lab', name, '--filter', 'tcp');
      assert.equal(code, 1, stdout);
      assert.match(
        stdout,
        /^ {2}web .*\(IPv4\): expected denied, the rules say denied, real packets say allowed$/m,
      );
      assert.match(
        stdout,
        /^ {2}web .*\(IPv6\): expected allowed, the rules say allowed, real packets say denied$/m,
      );
      assert.match(stdout, /^\d+ passed, 5 failed, 1 skipped$/m);
      // The lab is somebody's: it stays.
      assert.ok(existsSync(`/run/netns/${demo.prefix}web`));
    },
  );

  test('a port that another program has is skipped', WITH_LAB, async (t) => {
    const demo = new DemoCopy();
    demo.expect(`config: ${demo.config}
expect: [{ from: app, to: db, tcp: 5432, is: allowed }, { from: app, to: db, udp: 5353, family: 4, is: allowed }]
`);
    const name = uniqueName();
    t.after(() => sgctl('lab', 'down', name));
    assert.equal(sgctl('lab', 'up', demo.config, '--name', name).code, 0);
    const script =
      "require('net').createServer().listen(5432, '10.0.0.13', () => console.log('on'))";
    const command = ['lab', 'exec', `${demo.prefix}db`, '--', process.execPath, '-e', script];
    const taker = spawn(process.execPath, [SGCTL, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => taker.kill());
    await new Promise((resolve) => taker.stdout.once('data', resolve));
    const { code, stdout } = demo.test('--live', '--lab', name);
    assert.equal(code, 0, stdout);
    assert.match(
      stdout,
      new RegExp(`^ +1 {2}tcp port 5432 of ${demo.prefix}db is taken by another program$`, 'm'),
    );
    assert.match(stdout, /^2 passed, 0 failed, 1 skipped$/m);
  });

  test('without a namespace nothing can be tried, and no lab is made', () => {
    let devices = 0;
    const demo = new DemoCopy((text) =>
      text.replace(/netns: \S+, name: eth0/g, () => `name: sgt-none${devices++}`),
    );
    demo.expect(
      `config: ${demo.config}\nexpect: [{ from: app, to: db, tcp: 5432, is: allowed }]\n`,
    );
    const { code, stdout } = demo.test('--live');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ +2 {2}eni-app-1 has no namespace of its own$/m);
    assert.match(stdout, /^0 passed, 0 failed, 2 skipped$/m);
  });

  test('namespaces that are there already are left alone, with a word on --lab', WITH_LAB, (t) => {
    const demo = new DemoCopy();
    const name = uniqueName();
    t.after(() => sgctl('lab', 'down', name));
    assert.equal(sgctl('lab', 'up', demo.config, '--name', name).code, 0);
    const { code, stdout, stderr } = demo.test('--live');
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^sgctl: these namespaces are there already: /m);
    assert.match(stderr, new RegExp(`^ +use the lab ${name}, which has them: --lab ${name}$`, 'm'));
    assert.ok(existsSync(`/run/netns/${demo.prefix}web`));
  });

  test('a lab that can’t be made is told, and nothing is left', WITH_LAB, async (t) => {
    const taken = createServer().listen(0, '127.0.0.1');
    t.after(() => taken.close());
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const demo = new DemoCopy((text) => `${text}\nmetrics: { listen: '127.0.0.1:${port}' }\n`);
    const { code, stderr } = demo.test('--live');
    assert.equal(code, 1);
    assert.match(stderr, /^sgctl: the daemon ended with exit code 1 before it was ready/m);
    demo.assertGone();
  });

  for (const when of ['while the lab is made', 'while packets are sent'] as const) {
    test(`Ctrl-C ${when}: everything is undone`, WITH_LAB, async () => {
      const demo = new DemoCopy();
      const child = spawn(process.execPath, [SGCTL, 'test', demo.expectations, '--live'], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const directory = join(labRoots()[0], `test-${child.pid}`);
      await waitFor(() => {
        const { phase } = JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')) as {
          phase: string;
        };
        return (phase === 'up') === (when === 'while packets are sent') ? true : undefined;
      }, `the lab to be ${when}`);
      child.kill('SIGINT');
      assert.deepEqual(await waitExit(child), { code: 130, signal: null });
      assert.equal(existsSync(directory), false);
      demo.assertGone();
    });
  }
});

describe('the command line', () => {
  const bad = join(folder, 'bad.expect.yaml');
  writeFileSync(
    bad,
    `config: ${join(CONFIG_FOLDER, 'demo.yaml')}\nexpect:\n  - { from: wbe, to: db, tcp: 1, is: no }\n`,
  );

  test('errors in the expectations exit 3, with the line and what would be right', () => {
    const { code, stdout, stderr } = sgctl('test', bad);
    assert.equal(code, 3);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /bad\.expect\.yaml:3:13: error: there is no interface and no group 'wbe'; did you mean 'web'\?/,
    );
    assert.match(stderr, /^ +3 \| {3}- \{ from: wbe, to: db, tcp: 1, is: no \}$/m);
    assert.match(stderr, /bad\.expect\.yaml:3:38: error: expected allowed or denied, got 'no'/);
    assert.match(stderr, /bad\.expect\.yaml: 2 errors; nothing was tested$/m);
  });

  test('and are in the JSON', () => {
    const { code, stdout } = sgctl('test', bad, '--json');
    assert.equal(code, 3);
    const { ok, problems } = JSON.parse(stdout) as { ok: boolean; problems: { code: string }[] };
    assert.equal(ok, false);
    assert.deepEqual(
      problems.map((problem) => problem.code),
      ['unknown-end', 'bad-value'],
    );
  });

  test('a file that isn’t there exits 3', () => {
    const { code, stderr } = sgctl('test', join(folder, 'none.yaml'));
    assert.equal(code, 3);
    assert.match(stderr, /none\.yaml: error: the file can't be read: ENOENT/);
  });

  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /^error: missing required argument 'file'$/m],
    [[DEMO_EXPECTATIONS, '--lab', 'x'], /^error: --lab is about real packets; give --live as well$/m],
    [[DEMO_EXPECTATIONS, '--filter', ' '], /'--filter <text>' argument ' ' is invalid\. Give some text\.$/m],
    [[DEMO_EXPECTATIONS, '--filter', 'zzz'], /^error: nothing in .* has 'zzz' in its title or name$/m],
    [[DEMO_EXPECTATIONS, '--junit', '/nonexistent/x.xml'], /^error: cannot write \/nonexistent\/x\.xml: ENOENT/m],
  ]; // prettier-ignore
  for (const [args, message] of wrong) {
    test(`wrong usage exits 2: ${args.slice(1).join(' ') || 'no file'}`, () => {
      const { code, stderr } = sgctl('test', ...args);
      assert.equal(code, 2);
      assert.match(stderr, message);
    });
  }

  test('--help has exit codes and examples', () => {
    const { code, stdout } = sgctl('test', '--help');
    assert.equal(code, 0);
    assert.match(stdout, /^Exit code: 0 all passed, or skipped; 1 something failed/m);
    assert.match(stdout, /^ {2}sgctl test config\/demo\.expect\.yaml$/m);
  });
});
