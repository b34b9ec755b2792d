/** The API's server in a real systemd: not started by the package, then a user of its own without any capability. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { signedHeaders, type Key } from '../api/request.ts';
import { until } from '../support/until.ts';
import { bootContainer, type Container } from './container.ts';
import { buildDeb, installDeb } from './deb.ts';

const PORT = 8773;
const STORE = '/var/lib/secgroup-store/store.db';
const KEYS = '/var/lib/secgroup-api/keys.json';
const NODE = '/usr/lib/secgroupd/bin/node';
const NO_CAPABILITY = '0000000000000000';

/** Sends a request inside. @returns status and body */
async function ask(
  container: Container,
  options: object,
  path = '/',
): Promise<{ readonly status: number; readonly text: string }> {
  const program = `fetch('http://127.0.0.1:${PORT}${path}', ${JSON.stringify(options)})
    .then(async (got) => console.log(JSON.stringify({ status: got.status, text: await got.text() })))`;
  const { stdout, stderr } = await container.run(NODE, ['-e', program]);
  return stdout === '' ? { status: 0, text: stderr } : (JSON.parse(stdout) as never);
}

async function waitForHealth(container: Container): Promise<void> {
  await until(
    () => container.mustRun('journalctl', ['-u', 'secgroup-api', '--no-pager']),
    async () => (await ask(container, {}, '/health')).status === 200,
  );
}

test('the API as a service', async (t) => {
  const container = await bootContainer(t);
  if (container === undefined) return;
  await installDeb(container, await buildDeb(t, '1.0.0-1'));
  const property = async (name: string): Promise<string> =>
    (await container.mustRun('systemctl', ['show', '--value', '-p', name, 'secgroup-api'])).trim();
  let key: Key;

  await t.test('installed, it does not run', async () => {
    assert.deepEqual(
      [await property('ActiveState'), await property('UnitFileState')],
      ['inactive', 'disabled'],
    );
    assert.ok(existsSync(join(container.root, 'usr/share/man/man8/secgroup-api.8.gz')));
  });

  await t.test('a key that root makes before its first start is its own then', async () => {
    const made = await container.mustRun('sgctl', [
      ...['api', 'key', 'create', 'alice', '--policy', 'write', '--json'],
    ]);
    key = JSON.parse(made) as Key;
    await container.mustRun('systemctl', ['enable', '--now', 'secgroup-api']);
    await waitForHealth(container);
    assert.equal(
      await container.mustRun('stat', ['-c', '%U %G %a', KEYS]),
      'secgroup-api secgroup-api 600\n',
    );
  });

  await t.test('it is a user of its own without a capability, under a seccomp filter', async () => {
    const pid = await property('MainPID');
    const status = await container.mustRun('cat', [`/proc/${pid}/status`]);
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1];
    const uid = (await container.mustRun('id', ['-u', 'secgroup-api'])).trim();
    assert.notEqual(uid, (await container.mustRun('id', ['-u', 'secgroupd'])).trim());
    assert.deepEqual(
      ['Uid', 'CapEff', 'CapPrm', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map(field),
      [uid, ...Array.from({ length: 4 }, () => NO_CAPABILITY), '1', '2'],
    );
  });

  const call = async (
    body = 'Action=GetCallerIdentity&Version=2011-06-15',
    service = 'sts',
  ): Promise<{ readonly status: number; readonly text: string }> => {
    const { host: _, ...headers } = signedHeaders(key, PORT, { service, body });
    return ask(container, { method: 'POST', headers, body });
  };

  await t.test('it answers who signs, and the journal has the access log', async () => {
    const { status, text } = await call();
    assert.equal(status, 200, text);
    assert.match(text, /<Arn>arn:aws:iam::123456789012:user\/alice<\/Arn>/);
    assert.match(
      await container.mustRun('journalctl', ['-u', 'secgroup-api', '--no-pager', '-o', 'cat']),
      /"service":"sts","who":"alice","accessKeyId":"AKIA[A-Z2-7]{16}","action":"GetCallerIdentity"/,
    );
  });

  await t.test('what calls make is in force in the daemon that has the store too', async () => {
    const folder = '/etc/systemd/system/secgroupd.service.d';
    await container.mustRun('sh', [
      '-c',
      `install -D -m 644 /usr/share/doc/secgroupd/examples/store.conf ${folder}/store.conf
       systemctl daemon-reload && systemctl restart secgroupd`,
    ]);
    const made = await call(
      'Action=CreateSecurityGroup&Version=2016-11-15&GroupName=web&GroupDescription=servers',
      'ec2',
    );
    assert.equal(made.status, 200, made.text);
    assert.equal(
      await container.mustRun('stat', ['-c', '%U %G %a', STORE]),
      'secgroup-api secgroup-store 660\n',
    );
    const status = JSON.parse(await container.mustRun('sgctl', ['status', '--json'])) as {
      readonly groups: number;
      readonly store: { readonly file: string; readonly notInForce: readonly unknown[] };
    };
    assert.deepEqual(
      [status.groups, status.store.file, status.store.notInForce],
      [2, STORE, []],
      'the default group and the one that was made',
    );
  });

  await t.test('a key that root makes or deletes while it runs counts at once', async () => {
    await container.mustRun('sgctl', ['api', 'key', 'create', 'bob']);
    assert.equal((await call()).status, 200);
    await container.mustRun('sgctl', ['api', 'key', 'delete', key.accessKeyId]);
    assert.equal((await call()).status, 403);
    assert.equal(await container.mustRun('stat', ['-c', '%U %a', KEYS]), 'secgroup-api 600\n');
  });

  await t.test('an upgrade restarts it where it runs, and it keeps its keys', async () => {
    const pid = await property('MainPID');
    await installDeb(container, await buildDeb(t, '1.0.0-2'));
    await waitForHealth(container);
    assert.notEqual(await property('MainPID'), pid);
    assert.match(readFileSync(join(container.root, KEYS), 'utf8'), /"name": "bob"/);
  });

  await t.test('purged, its user and its keys are gone', async () => {
    await container.mustRun('dpkg', ['-P', 'secgroupd']);
    for (const folder of ['secgroup-api', 'secgroup-store'])
      assert.equal(existsSync(join(container.root, 'var/lib', folder)), false);
    assert.equal((await container.run('id', ['secgroup-api'])).code, 1);
    assert.equal(await property('ActiveState'), 'inactive');
  });
});
