/** `sgctl __complete`: where names come from, and that nothing else is said, whatever is there. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { run, type CommandResult } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgt-complete-'));
after(() => rmSync(folder, { recursive: true }));

/** As long as a busy machine may take. */
const PATIENT = { ...process.env, SGCTL_COMPLETE_MS: '10000' };

function complete(args: readonly string[], env = process.env): Promise<CommandResult> {
  return run(process.execPath, [SGCTL, '__complete', ...args], { cwd: folder, env });
}

async function namesOf(...args: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await complete(args, PATIENT);
  assert.deepEqual([code, stderr], [0, '']);
  return stdout.split('\n').filter(Boolean);
}

let sockets = 0;

/** A daemon that knows nothing but names. @returns its socket */
async function listen(t: TestContext, answer: (method: string) => unknown): Promise<string> {
  const path = join(folder, `control-${sockets++}.sock`);
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (line) => {
      const { method } = JSON.parse(line.toString()) as { method: string };
      const result = answer(method);
      if (result !== undefined)
        socket.write(`${JSON.stringify({ version: 1, ok: true, result })}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return path;
}

const named = (...names: readonly string[]): unknown => names.map((name) => ({ name }));

function answer(method: string): unknown {
  switch (method) {
    case 'interfaces':
      return [{ name: 'uplink' }, { name: 'eni-web', id: 'eni-web' }, { name: 'db', id: 'eni-1' }];
    case 'groups':
      return named('web', 'db', 'a b$(x)', 'two\nlines', 'esc\x1b[2J');
    case 'rules':
      return { rules: [{ id: 'sgr-1' }, { id: 'sgr-2' }], sinceMs: 0 };
    default:
      return undefined;
  }
}

test('of the daemon that the line names; names with control characters are left out', async (t) => {
  const socket = await listen(t, answer);
  const line = ['--', 'flows', '--socket', socket, '--x', ''];
  assert.deepEqual(await namesOf('interface', ...line), ['uplink', 'eni-web', 'db']);
  assert.deepEqual(await namesOf('id', ...line), ['eni-web', 'eni-1']);
  assert.deepEqual(await namesOf('group', ...line), ['web', 'db', 'a b$(x)']);
  assert.deepEqual(await namesOf('rule', ...line), ['sgr-1', 'sgr-2']);
  assert.deepEqual(await namesOf('end', '--', 'explain', `--socket=${socket}`, '--from', ''), [
    ...['eni-web', 'db', 'web', 'sg:db', 'a b$(x)', 'internet'],
  ]);
});

test('of a list with commas the last is completed', async (t) => {
  const socket = await listen(t, answer);
  assert.deepEqual(await namesOf('interface', '--', 'flows', '--socket', socket, '-i', 'db,e'), [
    'db,uplink',
    'db,eni-web',
    'db,db',
  ]);
});

test('of a configuration on the line', async () => {
  writeFileSync(
    join(folder, 'lab.yaml'),
    'securityGroups:\n  web: {}\ninterfaces:\n  eni-1: { device: { name: t0 }, addresses: [10.0.0.1], securityGroups: [web] }\n',
  );
  assert.deepEqual(await namesOf('end', '--', 'explain', 'lab.yaml', '--from', ''), [
    ...['eni-1', 'default', 'web', 'internet'],
  ]);
  assert.deepEqual(await namesOf('group', '--', 'rules', 'lab.yaml', '--group', ''), [
    ...['default', 'web'],
  ]);
});

test('silence where nothing answers, in time or at all', async (t) => {
  const mute = await listen(t, () => undefined);
  const wrong = await listen(t, () => ({ surprise: true }));
  writeFileSync(join(folder, 'bad.yaml'), 'securityGroups: [');
  for (const line of [
    ['group', '--', 'rules', '--socket', mute, '--group', ''],
    ['group', '--', 'rules', '--socket', wrong, '--group', ''],
    ['group', '--', 'rules', '--socket', join(folder, 'none.sock'), '--group', ''],
    ['group', '--', 'rules', '--lab', 'sgt-no-such-lab', '--group', ''],
    ['group', '--', 'rules', 'bad.yaml', '--group', ''],
    ['nonsense', '--', 'rules', ''],
    [],
  ]) {
    const { code, stdout, stderr } = await complete(line);
    assert.deepEqual([code, stdout, stderr], [0, '', ''], line.join(' '));
  }
});

test('it is in no help', async () => {
  const { stdout } = await run(process.execPath, [SGCTL, '--help']);
  assert.doesNotMatch(stdout, /__complete/);
});
