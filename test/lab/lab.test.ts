import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { isHostRoot } from '../../src/lab/state.ts';
import { TestLab, waitExit, waitFor, whyNoLab } from './lab-support.ts';

const skip = whyNoLab() ?? false;

describe('a lab, as root', { skip }, () => {
  test('up, exec, ls, down', (t) => {
    const lab = new TestLab(t);
    const up = lab.sgctl('up', lab.file, '--name', lab.name);
    assert.equal(up.stderr, '');
    assert.equal(up.code, 0);
    // The service's runtime directory is not a place for labs: systemd gives it away, and removes it with the service.
    if (isHostRoot()) assert.equal(lab.stateDirectory, `/run/secgroupd-labs/labs/${lab.name}`);
    const { id, daemon, mode } = lab.state;
    assert.equal(mode, 'named');
    assert.match(up.stdout, new RegExp(`^lab ${lab.name} is up \\(daemon: pid ${daemon?.pid}\\)`));
    assert.match(
      up.stdout,
      new RegExp(`^${lab.a} +eth0 +eni-a +10\\.9\\.0\\.1 fd00:9::1 +client$`, 'm'),
    );
    assert.match(
      up.stdout,
      new RegExp(`^${lab.b} +eth0 +eni-b +10\\.9\\.0\\.2 fd00:9::2 +server$`, 'm'),
    );
    assert.match(
      up.stdout,
      new RegExp(`^${lab.outside} +sgt-up +uplink +198\\.51\\.100\\.7/24 +-$`, 'm'),
    );

    const links = lab.sgctl('exec', lab.a, '--', 'ip', '-br', 'link', 'show', 'dev', 'lo');
    assert.match(links.stdout, /^lo\s+UNKNOWN\s.*LOOPBACK,UP/);
    assert.equal(lab.sgctl('exec', lab.a, '--', 'ping', '-c1', '-w10', '10.9.0.2').code, 0);
    const back = lab.sgctl('exec', lab.b, '--', 'ping', '-c1', '-W1', '10.9.0.1');
    assert.equal(back.code, 1, 'the group of the client lets no ping in');

    const [listed] = (
      JSON.parse(lab.sgctl('ls', '--json').stdout) as Record<string, unknown>[]
    ).filter(({ name }) => name === lab.name);
    assert.equal(listed?.['state'], 'up');
    assert.equal(listed['file'], lab.file);
    assert.deepEqual(listed['namespaces'], [lab.a, lab.b, lab.outside]);
    assert.match(
      lab.sgctl('ls').stdout,
      new RegExp(`^${lab.name} +up +${lab.a} ${lab.b} ${lab.outside} +${lab.file}$`, 'm'),
    );

    const down = lab.sgctl('down', lab.name);
    assert.equal(down.stdout, `lab ${lab.name} is gone\n`);
    assert.equal(down.code, 0);
    lab.assertGone(id);
    const made = lab.sgctl('up', lab.file, '--name', lab.name, '--json');
    assert.deepEqual([made.code, made.stderr], [0, '']);
    assert.deepEqual(
      JSON.parse(made.stdout),
      (JSON.parse(lab.sgctl('ls', '--json').stdout) as { name: string }[]).find(
        ({ name }) => name === lab.name,
      ),
    );
    const removed = lab.sgctl('down', lab.name, '--json');
    assert.equal(
      removed.stdout,
      `${JSON.stringify([{ name: lab.name, isGone: true }], undefined, 2)}\n`,
    );
    assert.deepEqual([removed.code, removed.stderr], [0, '']);
    assert.equal(lab.sgctl('down', lab.name, '--json').stdout, '[]\n');
    const again = lab.sgctl('down', lab.name);
    assert.equal(again.stdout, `no lab called ${lab.name}\n`);
    assert.equal(again.code, 0);
  });

  test('exec exits as its program does, and passes signals on', async (t) => {
    const lab = new TestLab(t);
    lab.up();
    assert.equal(lab.sgctl('exec', lab.a, '--', 'sh', '-c', 'exit 7').code, 7);
    assert.equal(lab.sgctl('exec', lab.a, 'sh', '-c', 'exit 8').code, 8);
    assert.equal(lab.sgctl('exec', lab.a, '--', 'sh', '-c', 'kill -9 $$').code, 128 + 9);
    assert.equal(lab.sgctl('exec', lab.a, '--', 'no-such-program').code, 127);

    const unknown = lab.sgctl('exec', `${lab.a}x`, '--', 'true');
    assert.equal(unknown.code, 1);
    assert.match(
      unknown.stderr,
      new RegExp(`^sgctl: no lab has a namespace called ${lab.a}x\n {4}there are: `),
    );

    const child = lab.start(
      'exec',
      lab.a,
      '--',
      'sh',
      '-c',
      'trap "exit 42" TERM; echo ready; while :; do sleep 0.05; done',
    );
    const exited = waitExit(child);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGTERM');
    assert.deepEqual(await exited, { code: 42, signal: null });
  });

  test('refuses a second lab of the same name, and leaves the first one alone', (t) => {
    const lab = new TestLab(t);
    const { daemon } = lab.up();
    const second = lab.sgctl('up', lab.file, '--name', lab.name);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /^sgctl: these namespaces are there already: /);
    assert.deepEqual(lab.state.daemon, daemon);
    assert.equal(lab.sgctl('exec', lab.a, '--', 'ping', '-c1', '-w10', '10.9.0.2').code, 0);
  });

  test('refuses namespaces that are there, tells all of them, touches nothing', (t) => {
    const lab = new TestLab(t);
    for (const name of [lab.a, lab.b]) {
      spawnSync('ip', ['netns', 'add', name]);
      t.after(() => spawnSync('ip', ['netns', 'delete', name]));
    }
    const { code, stderr } = lab.sgctl('up', lab.file, '--name', lab.name);
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^sgctl: these namespaces are there already: ${lab.a}, ${lab.b}\n`),
    );
    assert.equal(existsSync(`/run/netns/${lab.outside}`), false);
    assert.equal(existsSync(lab.stateDirectory), false);
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.equal(existsSync(`/run/netns/${lab.a}`), true, 'what was there before stays');
  });

  test('kill -9 of the daemon: traffic stops, and down leaves nothing', async (t) => {
    const lab = new TestLab(t);
    const { id, daemon } = lab.up();
    assert.equal(lab.sgctl('exec', lab.a, '--', 'ping', '-c1', '-w10', '10.9.0.2').code, 0);
    process.kill(daemon!.pid, 'SIGKILL');
    await waitFor(
      () => (existsSync(`/proc/${daemon!.pid}`) ? undefined : true),
      'the daemon to end',
    );
    const ping = lab.sgctl('exec', lab.a, '--', 'ping', '-c1', '-W1', '10.9.0.2');
    assert.notEqual(ping.code, 0);
    assert.match(lab.sgctl('ls').stdout, new RegExp(`^${lab.name} +daemon-gone `, 'm'));
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    lab.assertGone(id);
  });

  test('down ends what still runs in the namespaces', async (t) => {
    const lab = new TestLab(t);
    lab.up();
    const child = lab.start('exec', lab.a, '--', 'sleep', '1000');
    const exited = waitExit(child);
    await waitFor(
      () =>
        spawnSync('ip', ['netns', 'pids', lab.a], { encoding: 'utf8' }).stdout === ''
          ? undefined
          : true,
      'sleep to run',
    );
    assert.equal(lab.sgctl('down', lab.name).code, 0);
    assert.deepEqual(await exited, { code: 128 + 15, signal: null });
    lab.assertGone();
  });

  test('Ctrl-C while it is being made: everything is undone, exit code 130', async (t) => {
    const lab = new TestLab(t);
    const child = lab.start('up', lab.file, '--name', lab.name);
    const exited = waitExit(child);
    // As soon as the first namespace is planned: the daemon is not running yet.
    const { id } = await waitFor(
      () => (lab.state.namespaces.length > 0 ? lab.state : undefined),
      'a state file',
    );
    child.kill('SIGINT');
    assert.deepEqual(await exited, { code: 130, signal: null });
    lab.assertGone(id);
  });

  test('Ctrl-C while the daemon is starting', async (t) => {
    const lab = new TestLab(t);
    const child = lab.start('up', lab.file, '--name', lab.name);
    const exited = waitExit(child);
    const { id } = await waitFor(
      () => (lab.state.daemon === undefined ? undefined : lab.state),
      'the daemon',
    );
    child.kill('SIGINT');
    assert.deepEqual(await exited, { code: 130, signal: null });
    lab.assertGone(id);
  });

  test('a daemon that cannot start: says why, and leaves nothing', (t) => {
    // The metrics address is not this machine's: a documentation address, RFC 5737.
    const lab = new TestLab(t, 'metrics: { listen: "192.0.2.1:9" }\n');
    const { code, stderr } = lab.sgctl('up', lab.file, '--name', lab.name);
    assert.equal(code, 1);
    assert.match(stderr, /the daemon ended with exit code 1 before it was ready; it said:\n/);
    assert.match(stderr, /EADDRNOTAVAIL/);
    lab.assertGone();
  });

  test('a configuration with errors: nothing is touched', (t) => {
    const lab = new TestLab(t, 'metrics: { listne: "127.0.0.1:9" }\n');
    const { code, stderr } = lab.sgctl('up', lab.file, '--name', lab.name);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^${lab.file}:\\d+:\\d+: error: unknown key 'listne'`, 'm'));
    assert.match(stderr, /; nothing was touched\n$/);
    lab.assertGone();
  });
});

describe('down with several labs', { skip }, () => {
  test('wants a name, and takes one lab without the other', (t) => {
    const [first, second] = [new TestLab(t), new TestLab(t)];
    first.up();
    second.up();
    const { code, stderr } = first.sgctl('down');
    assert.equal(code, 2);
    assert.match(stderr, /^error: there are several labs \(.*\); name one, or give --all$/m);
    assert.equal(first.sgctl('down', first.name).code, 0);
    first.assertGone();
    assert.equal(second.sgctl('exec', second.a, '--', 'ping', '-c1', '-w10', '10.9.0.2').code, 0);
    assert.equal(second.sgctl('down', second.name).code, 0);
    second.assertGone();
  });
});
