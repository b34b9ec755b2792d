/** Who may use a store in etcd: certificates, passwords, roles. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { mustRun } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { commit, putsOf } from './contract.ts';
import { Follower, isFault, openAt } from './etcd-place.ts';

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-etcd-tls-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Makes an authority, and certificates that it signs. @returns where the files are */
async function makeCertificates(
  folder: string,
  authority: string,
  ...names: readonly string[]
): Promise<void> {
  const at = (name: string): string => join(folder, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const own = [
    '-keyout',
    at(`${authority}.key`),
    '-out',
    at(`${authority}.pem`),
    '-subj',
    `/CN=${authority}`,
  ];
  await mustRun('openssl', ['req', '-x509', ...key, ...own, '-days', '2']);
  writeFileSync(
    at('extensions'),
    'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n',
  );
  for (const name of names) {
    const request = [
      '-keyout',
      at(`${name}.key`),
      '-out',
      at(`${name}.csr`),
      '-subj',
      `/CN=${name}`,
    ];
    await mustRun('openssl', ['req', ...key, ...request]);
    const signer = [
      '-CA',
      at(`${authority}.pem`),
      '-CAkey',
      at(`${authority}.key`),
      '-CAcreateserial',
    ];
    const signed = [
      '-in',
      at(`${name}.csr`),
      '-out',
      at(`${name}.pem`),
      '-extfile',
      at('extensions'),
    ];
    await mustRun('openssl', ['x509', '-req', ...signer, ...signed, '-days', '2']);
  }
}

test('TLS with certificates: the right ones, and each that is wrong', async (t) => {
  if (!requireEtcd(t) || !requireTools(t, 'openssl')) return;
  const folder = makeFolder(t);
  const at = (name: string): string => join(folder, name);
  await makeCertificates(folder, 'ca', 'server', 'host-1');
  await makeCertificates(folder, 'other-ca', 'stranger');
  const etcd = await Etcd.forTest(t, {
    tls: true,
    args: [
      ...['--cert-file', at('server.pem'), '--key-file', at('server.key')],
      ...['--client-cert-auth', '--trusted-ca-file', at('ca.pem')],
    ],
    ctlArgs: ['--cacert', at('ca.pem'), '--cert', at('host-1.pem'), '--key', at('host-1.key')],
  });
  const ca = `ca=${at('ca.pem')}`;
  const own = (name: string): string => `cert=${at(`${name}.pem`)}&key=${at(`${name}.key`)}`;
  const url = (...parameters: string[]): string => `etcds://${etcd.hosts}/?${parameters.join('&')}`;

  const store = await openAt(t, url(ca, own('host-1')));
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision - 1);
  await follower.reach(revision);

  const advice = /; see that ca names who signed etcd's certificate/;
  for (const [wrong, message] of [
    [
      url(`ca=${at('other-ca.pem')}`, own('host-1')),
      /unable to verify|self-signed|signature failure/,
    ],
    [url(own('host-1')), /unable to (verify|get)|self-signed/],
    [url(ca), /certificate required|bad certificate/],
    [url(ca, own('stranger')), /unknown ca|bad certificate|certificate/],
    [
      `etcds://localhost:${etcd.hosts.split(':')[1]}/?${ca}&${own('host-1')}`,
      /altnames|does not match/,
    ],
  ] as const)
    await assert.rejects(openAt(t, wrong), (error: unknown) => {
      isFault('failed', message)(error);
      return isFault('failed', advice)(error);
    });
  await assert.rejects(
    openAt(t, url(`ca=${at('none.pem')}`)),
    isFault(
      'failed',
      /the file .*none\.pem, which the place of the store names: no such file or directory; this user/,
    ),
  );
  writeFileSync(at('empty.pem'), 'nothing');
  await assert.rejects(
    openAt(t, url(ca, `cert=${at('empty.pem')}&key=${at('host-1.key')}`)),
    isFault(
      'failed',
      /a file is no certificate or key as it should be .*: .*empty\.pem; give files in PEM/,
    ),
  );
  await assert.rejects(
    openAt(t, `etcd://${etcd.hosts}/`),
    isFault('failed', /no member answers as it should/),
  );
});

test('a user with a password: right, wrong, none, changed while it runs; a role that may little', async (t) => {
  if (!requireEtcd(t)) return;
  const folder = makeFolder(t);
  const root = ['--user', 'root:top'];
  const etcd = await Etcd.forTest(t);
  const ctl = (...args: string[]): Promise<string> => etcd.ctl(args);
  await ctl('user', 'add', 'root:top');
  await ctl('user', 'grant-role', 'root', 'root');
  await ctl('user', 'add', 'api:first');
  await ctl('user', 'add', 'host-1:h');
  await ctl('user', 'add', 'nobody:n');
  for (const [role, right, key, ...prefix] of [
    ['api', 'readwrite', '/s/', '--prefix'],
    ['host-1', 'read', '/s/', '--prefix'],
    ['host-1', 'readwrite', '/s/rows/applied/host-1'],
  ]) {
    await etcd.tryCtl(['role', 'add', role]);
    await ctl('role', 'grant-permission', role, right, key, ...prefix);
    await ctl('user', 'grant-role', role, role);
  }
  await ctl('auth', 'enable');
  const file = (name: string, password: string): string => {
    const path = join(folder, name);
    writeFileSync(path, `${password}\n`);
    chmodSync(path, 0o600);
    return path;
  };
  const url = (user: string, path: string): string =>
    `etcd://${etcd.hosts}/s/?user=${user}&password-file=${path}`;

  const api = await openAt(t, url('api', file('api', 'first')));
  const revision = await commit(api, { puts: putsOf({ a: '1' }) });
  const host = await openAt(t, url('host-1', file('host-1', 'h')));
  const follower = new Follower(t, host, revision);
  assert.equal((await host.read('')).rows.length, 1);
  const denied = isFault('denied', /permission denied; give the role of this user the prefix/);
  await assert.rejects(commit(host, { puts: putsOf({ a: '2' }) }), denied);
  await assert.rejects(commit(host, { puts: putsOf({ 'applied/host-2': '' }) }), denied);
  await commit(host, { puts: putsOf({ 'applied/host-1': '' }) });

  await assert.rejects(openAt(t, url('nobody', file('nobody', 'n'))), denied);
  const wrong = file('wrong', 'secret-word');
  await assert.rejects(openAt(t, url('api', wrong)), (error: unknown) => {
    assert.doesNotMatch(String(error), /secret-word/);
    return isFault(
      'denied',
      /authentication failed, invalid user ID or password; the user, or what password-file holds, is not right/,
    )(error);
  });
  await assert.rejects(
    openAt(t, `etcd://${etcd.hosts}/s/`),
    isFault('denied', /user name is empty; it wants to know who asks/),
  );

  // etcd forgets the logins of a user whose password changes: the file says the new one.
  await etcd.ctl([...root, 'user', 'passwd', 'api', '--interactive=false'], undefined, 'second');
  await assert.rejects(api.read(''), isFault('denied', /authentication failed/));
  file('api', 'second');
  const last = await commit(api, { puts: putsOf({ a: '3' }) });
  await follower.reach(last);
  // And all logins when it is started again.
  await etcd.members[0].stop('SIGKILL');
  await etcd.members[0].start();
  const after = await commit(api, { puts: putsOf({ a: '4' }) });
  await follower.reach(after);
  assert.equal((await host.read('a')).rows[0].value, '4');
  assert.deepEqual(
    follower.seen.flatMap(({ puts }) => puts.map(({ key, value }) => `${key}=${value}`)),
    ['applied/host-1=', 'a=3', 'a=4'],
  );
});
