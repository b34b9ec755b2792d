/** What a reload does with files: in force as a whole or not at all, one at a time, and again when a file comes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { compareConfigs } from '../../src/daemon/changes.ts';
import { Reloader, type Reloadable } from '../../src/daemon/reloader.ts';
import type { ReloadResult } from '../../src/queries/reload-result.ts';
import { until } from '../support/until.ts';

const WEB =
  'securityGroups: { web: { ingress: [{ protocol: tcp, ports: 443, from: 0.0.0.0/0 }] } }\n';
const OTHER = WEB.replace('443', '8443');
const NETNS_DIRECTORY = '/run/netns';

/** A daemon that takes whatever it is given, and says what it was given. */
class FakeDaemon implements Reloadable {
  config: Config;
  generation = 1;
  readonly outcomes: string[] = [];
  readonly taken: Config[] = [];
  /** Thrown by the next reload. */
  failure: Error | undefined;
  /** How many reloads were under way at once, at most. */
  most = 0;
  waitingNames: { name: string; device: string; reason: string }[] = [];
  readonly observatory = {
    noteReload: (outcome: string): void => void this.outcomes.push(outcome),
  };
  private running = 0;

  constructor(config: Config) {
    this.config = config;
  }

  waiting(): FakeDaemon['waitingNames'] {
    return this.waitingNames;
  }

  plan(next: Config): ReturnType<Reloadable['plan']> {
    const impact = { kept: 0, cut: 0, keptButRefusedAnew: 0 };
    return Promise.resolve({
      changes: compareConfigs(this.config, next),
      impact: { ...impact, cutConnections: [], cutByRule: [], refusedAnewConnections: [] },
    });
  }

  async reload(next: Config): Promise<ReturnType<typeof compareConfigs>> {
    this.running++;
    this.most = Math.max(this.most, this.running);
    await sleep(5);
    this.running--;
    if (this.failure !== undefined) {
      const error = this.failure;
      this.failure = undefined;
      throw error;
    }
    const changes = compareConfigs(this.config, next);
    this.taken.push(next);
    this.config = next;
    this.generation++;
    return changes;
  }
}

interface World {
  readonly file: string;
  readonly daemon: FakeDaemon;
  readonly reloader: Reloader;
  readonly results: ReloadResult[];
}

function makeWorld(t: TestContext, text = WEB): World {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-reloader-'));
  const file = join(folder, 'secgroupd.yaml');
  writeFileSync(file, text);
  const { config } = loadConfig(file, { netnsDirectory: NETNS_DIRECTORY });
  assert.ok(config !== undefined);
  const daemon = new FakeDaemon(config);
  const results: ReloadResult[] = [];
  const reloader = new Reloader({
    daemon,
    file,
    netnsDirectory: NETNS_DIRECTORY,
    log: pino({ enabled: false }),
    onResult: (result) => void results.push(result),
  });
  t.after(() => {
    reloader.stopWatching();
    rmSync(folder, { recursive: true });
  });
  return { file, daemon, reloader, results };
}

test('a changed file is put in force, and the same one again changes nothing', async (t) => {
  const { file, daemon, reloader, results } = makeWorld(t);
  writeFileSync(file, OTHER);
  const changed = await reloader.reload('test');
  assert.equal(changed.outcome, 'changed');
  assert.ok(changed.outcome === 'changed' && changed.generation === 2);
  assert.equal(changed.changes.rules.added.length, 1);
  assert.equal((await reloader.reload('test')).outcome, 'unchanged');
  assert.deepEqual(daemon.outcomes, ['changed', 'unchanged']);
  assert.equal(results.length, 2);
});

test('a wrong file is refused with its problems, and the daemon is not asked', async (t) => {
  const { file, daemon, reloader } = makeWorld(t);
  writeFileSync(file, 'securityGroups: { web: { ingres: [] } }\n');
  const result = await reloader.reload('test');
  assert.equal(result.outcome, 'refused');
  assert.ok(result.problems.some(({ severity }) => severity === 'error'));
  assert.deepEqual([daemon.taken.length, daemon.outcomes], [0, ['refused']]);
});

test('what only a restart can change is refused', async (t) => {
  const { file, daemon, reloader } = makeWorld(t);
  writeFileSync(file, `${WEB}workers: 2\n`);
  const result = await reloader.reload('test');
  assert.equal(result.outcome, 'refused');
  assert.deepEqual(
    result.problems.map(({ code, path }) => [code, path]),
    [['needs-restart', 'workers']],
  );
  assert.equal(daemon.taken.length, 0);
});

test('a reload that fails is a refusal, and the next one is carried out', async (t) => {
  const { file, daemon, reloader } = makeWorld(t);
  writeFileSync(file, OTHER);
  daemon.failure = new Error('too few descriptors');
  const failed = await reloader.reload('test');
  assert.equal(failed.outcome, 'refused');
  assert.match(failed.problems.map(({ message }) => message).join(), /too few descriptors/);
  assert.equal((await reloader.reload('test')).outcome, 'changed');
});

test('reloads come one after the other, and who asks before the next began shares it', async (t) => {
  const { file, daemon, reloader, results } = makeWorld(t);
  writeFileSync(file, OTHER);
  const first = reloader.reload('first');
  assert.equal(reloader.reload('second'), first, 'it has not read anything yet');
  await first;
  const answers = await Promise.all([
    reloader.reload('third'),
    reloader.plan(),
    reloader.reload('fourth'),
  ]);
  assert.deepEqual(
    answers.map(({ outcome }) => outcome),
    ['unchanged', 'planned', 'unchanged'],
  );
  assert.equal(daemon.most, 1);
  assert.equal(results.length, 2);
});

test('a plan changes nothing', async (t) => {
  const { file, daemon, reloader } = makeWorld(t);
  writeFileSync(file, OTHER);
  const planned = await reloader.plan();
  assert.ok(planned.outcome === 'planned' && planned.changes.rules.removed.length === 1);
  writeFileSync(file, 'nonsense\n');
  assert.equal((await reloader.plan()).outcome, 'refused');
  assert.deepEqual([daemon.taken.length, daemon.outcomes.length], [0, 0]);
});

test('interfaces that wait for a device are told with a reload that succeeds', async (t) => {
  const { daemon, reloader } = makeWorld(t);
  daemon.waitingNames = [
    { name: 'web-1', device: 'eth0 in /run/netns/web-1', reason: 'no such namespace' },
  ];
  const { problems } = await reloader.reload('test');
  assert.deepEqual(
    problems.map(({ severity, code, path, message }) => [severity, code, path, message]),
    [
      [
        'warning',
        'waiting',
        'interfaces["web-1"]',
        'web-1 waits for eth0 in /run/netns/web-1: no such namespace',
      ],
    ],
  );
});

test('a watched file that changes is reloaded; a template that a refused one names, when it comes', async (t) => {
  const { file, daemon, reloader } = makeWorld(t);
  reloader.watch();
  // The watch has not polled the file yet, and would take this for what it was at the start.
  writeFileSync(file, OTHER);
  await until('the change is in force', () => daemon.taken.length > 0);
  const before = daemon.taken.length;
  writeFileSync(file, 'templates: [late.yaml]\n');
  await until('there is no such template', () => daemon.outcomes.includes('refused'));
  const template = {
    Resources: { G: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'g' } } },
  };
  writeFileSync(file.replace('secgroupd.yaml', 'late.yaml'), JSON.stringify(template));
  await until('the template is there', () => daemon.taken.length > before);
  const groups = [...daemon.config.model.groups.values()].map(({ name }) => name);
  assert.deepEqual(groups.length, 2, groups.join());
  reloader.stopWatching();
});
