/** Labs whose daemon or maker fails, and state files that don't tell the truth any more. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { identify, isRunning, namespaceId } from '../../src/lab/processes.ts';
import { readBootId, writeState } from '../../src/lab/state.ts';
import type { LabState } from '../../src/lab/state.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { TestLab, waitExit, waitFor, whyNoLab } from './lab-support.ts';

const skip = whyNoLab() ?? false;
const UP_WITH = fileURLToPath(new URL('./up-with.js', import.meta.url));

/** A state file as `up` writes it, for a lab that has nothing yet. */
function emptyState(lab: TestLab): LabState {
  return {
    version: 1,
    name: lab.name,
    id: `${lab.name}-id`,
    bootId: readBootId(),
    configFile: lab.file,
    mode: 'named',
    createdAt: '2024-01-01T00:00:00.000Z',
    phase: 'up',
    maker: { pid: 1, startTicks: '-' },
    namespaces: [],
    links: [],
    instances: [],
  };
}

function store(lab: TestLab, state: LabState): void {
  mkdirSync(lab.stateDirectory, { recursive: true, mode: 0o700 });
  writeState(lab.stateDirectory, state);
}

function addNamespace(name: string): string {
  assert.equal(spawnSync('ip', ['netns', 'add', name]).status, 0);
  return namespaceId(`/run/netns/${name}`)!;
}

describe('a daemon that fails', { skip }, () => {
  test('is never ready: the lab gives up, shows its log, leaves nothing', async (t) => {
    const lab = new TestLab(t);
    const up = spawnSync(
      process.execPath,
      [
        UP_WITH,
        lab.file,
        lab.name,
        '500',
        'echo "reading tea leaves"; trap "" TERM; while :; do sleep 1; done',
      ],
      { encoding: 'utf8' },
    );
    assert.equal(
      up.stderr,
      'the daemon was not ready after 0.5 s; it said:\n    reading tea leaves\n',
    );
    assert.equal(up.status, 1);
    lab.assertGone();
  });

  test('dies: the lab says how, shows its log, leaves nothing', (t) => {
    const lab = new TestLab(t);
    const log = '{"level":50,"msg":"cannot open the device","err":{"message":"EBUSY: eth0"}}';
    const up = spawnSync(
      process.execPath,
      [UP_WITH, lab.file, lab.name, String(GUARD_MS), `echo '${log}' >&2; exit 3`],
      { encoding: 'utf8' },
    );
    assert.equal(
      up.stderr,
      'the daemon ended with exit code 3 before it was ready; it said:\n    cannot open the device: EBUSY: eth0\n',
    );
    assert.equal(up.status, 1);
    lab.assertGone();
  });

  test('is slow to end: what its flow log has of the last interval is written', async (t) => {
    const lab = new TestLab(t);
    const log = join(lab.directory, 'flow.log');
    appendFileSync(lab.file, `flowLogs: { all: { file: '${log}', aggregation: 600 } }\n`);
    const { daemon } = lab.up();
    assert.equal(lab.sgctl('exec', lab.a, '--', 'ping', '-c1', '10.9.0.2').code, 0);
    process.kill(daemon!.pid, 'SIGSTOP');
    t.after(() => spawnSync('kill', ['-CONT', String(daemon!.pid)]));
    const down = lab.start('down', lab.name);
    const exited = waitExit(down);
    await sleep(4000);
    process.kill(daemon!.pid, 'SIGCONT');
    assert.equal((await exited).code, 0);
    assert.match(readFileSync(log, 'utf8'), / 10\.9\.0\.1 10\.9\.0\.2 0 0 1 1 .* ACCEPT OK\n/);
    lab.assertGone();
  });

  test('up is killed while it waits: down ends the daemon too', async (t) => {
    const lab = new TestLab(t);
    const child = spawn(
      process.execPath,
      [UP_WITH, lab.file, lab.name, String(GUARD_MS), 'exec sleep 1000'],
      {
        stdio: 'ignore',
      },
    );
    const exited = waitExit(child);
    const { id, daemon } = await waitFor(
      () => (lab.state.daemon === undefined ? undefined : lab.state),
      'the daemon',
    );
    const busy = lab.sgctl('down', lab.name);
    assert.equal(busy.code, 1, 'not while up is at work');
    assert.match(busy.stderr, new RegExp(`is just being made, by process ${child.pid}\n`));
    child.kill('SIGKILL');
    await exited;
    assert.match(lab.sgctl('ls').stdout, new RegExp(`^${lab.name} +half-made `, 'm'));
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.equal(isRunning(daemon!), false);
    lab.assertGone(id);
  });

  test('up was killed before it wrote the pid down: the mark tells', async (t) => {
    const lab = new TestLab(t);
    const state = emptyState(lab);
    const child = spawn('sleep', ['1000'], { env: { ...process.env, SECGROUPD_LAB: state.id } });
    t.after(() => child.kill('SIGKILL'));
    const exited = waitExit(child);
    store(lab, { ...state, phase: 'making' });
    await sleep(50);
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.deepEqual(await exited, { code: null, signal: 'SIGTERM' });
    lab.assertGone(state.id);
  });
});

describe('state files that are out of date', { skip }, () => {
  test('no state file at all: only the directory goes', (t) => {
    const lab = new TestLab(t);
    mkdirSync(lab.stateDirectory, { recursive: true });
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    lab.assertGone();
  });

  test('from before a reboot: only its files go, whoever has the names now', (t) => {
    const lab = new TestLab(t);
    const id = addNamespace(lab.a);
    t.after(() => spawnSync('ip', ['netns', 'delete', lab.a]));
    store(lab, {
      ...emptyState(lab),
      bootId: '00000000-0000-0000-0000-000000000000',
      namespaces: [{ name: lab.a, id }],
    });
    assert.match(lab.sgctl('ls').stdout, new RegExp(`^${lab.name} +stale `, 'm'));
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.equal(existsSync(lab.stateDirectory), false);
    assert.equal(existsSync(`/run/netns/${lab.a}`), true);
  });

  test('a pid that is another process by now is not signalled', async (t) => {
    const lab = new TestLab(t);
    const stranger = spawn('sleep', ['1000']);
    t.after(() => stranger.kill('SIGKILL'));
    const who = identify(stranger.pid!)!;
    store(lab, {
      ...emptyState(lab),
      daemon: { ...who, startTicks: `${Number(who.startTicks) - 1}` },
    });
    assert.match(lab.sgctl('ls').stdout, new RegExp(`^${lab.name} +daemon-gone `, 'm'));
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    await sleep(50);
    assert.equal(isRunning(who), true);
    assert.equal(existsSync(lab.stateDirectory), false);
  });

  test('a namespace that somebody made anew under the name is left alone', (t) => {
    const lab = new TestLab(t);
    const id = addNamespace(lab.a);
    t.after(() => spawnSync('ip', ['netns', 'delete', lab.a]));
    store(lab, { ...emptyState(lab), namespaces: [{ name: lab.a, id: `${id}1` }] });
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.equal(existsSync(`/run/netns/${lab.a}`), true);
    assert.equal(existsSync(lab.stateDirectory), false);
  });

  test('a persistent device outside its namespaces goes too', (t) => {
    const lab = new TestLab(t);
    const elsewhere = `${lab.name}x`;
    addNamespace(elsewhere);
    t.after(() => spawnSync('ip', ['netns', 'delete', elsewhere]));
    const path = `/run/netns/${elsewhere}`;
    const inside = ['-n', elsewhere];
    assert.equal(
      spawnSync('ip', [...inside, 'tuntap', 'add', 'sgt-keep', 'mode', 'tun']).status,
      0,
    );
    assert.equal(spawnSync('ip', [...inside, 'link', 'show', 'sgt-keep']).status, 0);
    store(lab, { ...emptyState(lab), links: [{ name: 'sgt-keep', netnsPath: path }] });
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.notEqual(spawnSync('ip', [...inside, 'link', 'show', 'sgt-keep']).status, 0);
  });
});
