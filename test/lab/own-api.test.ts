/** `sgctl api up`: a server for the store of the daemon that runs, with a key, and nothing left after `down`. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { PageShell, whyNotPrivate, type Ran } from '../docs/page-shell.ts';
import { requireRoot, requireTools } from '../support/require.ts';

const skip = whyNotPrivate() ?? false;
const TRIES = 300;

interface Status {
  readonly isRunning: boolean;
  readonly url?: string;
  readonly pid?: number;
  readonly user?: string;
  readonly store?: string;
  readonly logs?: string;
}

/** A host of its own: no other test, and no server that somebody runs here, can be met. */
class Host {
  private readonly shell: PageShell;
  readonly folder: string;

  constructor(t: TestContext) {
    const none = mkdtempSync(join(tmpdir(), 'sgt-none-'));
    this.shell = new PageShell(none, true);
    rmSync(none, { recursive: true });
    this.folder = this.shell.folder;
    t.after(() => this.shell.close());
  }

  run(command: string): Promise<Ran> {
    return this.shell.run(command);
  }

  async mustRun(command: string): Promise<string> {
    const { status, output } = await this.run(command);
    assert.equal(status, 0, `${command}\n${output}`);
    return output;
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.run('sgctl api status --json')).output) as Status;
  }

  /** Starts the daemon, and waits until it answers. */
  async startDaemon(more: string): Promise<void> {
    const file = join(this.folder, 'c.yaml');
    writeFileSync(file, 'uplink: { tun: sg-up, addresses: [198.51.100.1/24] }\n');
    await this.mustRun(
      `secgroupd --config c.yaml --control $PWD/c.sock ${more} >daemon.log 2>&1 &`,
    );
    const tries = `for i in $(seq ${TRIES}); do sgctl status --socket $PWD/c.sock >/dev/null 2>&1 && break; sleep 0.1; done`;
    await this.mustRun(`${tries}; sgctl status --socket $PWD/c.sock`);
  }

  /** Waits until a process is gone, and nobody has to be told any more that it was. */
  mustEnd(pid: number | undefined): Promise<string> {
    const tries = `for i in $(seq ${TRIES}); do kill -0 ${pid} 2>/dev/null || break; sleep 0.1; done`;
    return this.mustRun(`${tries}; ! kill -0 ${pid}`);
  }

  /** Makes a group, by the environment that `up` printed as JSON into a file. */
  call(environment: string, name: string): Promise<string> {
    const signer = new URL('../api/request.js', import.meta.url).href;
    writeFileSync(
      join(this.folder, 'call.mjs'),
      `import { readFileSync } from 'node:fs';
import { signedHeaders } from '${signer}';
const [file, name] = process.argv.slice(2);
const env = JSON.parse(readFileSync(file, 'utf8'));
const key = { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY };
const body = 'Version=2016-11-15&Action=CreateSecurityGroup&GroupDescription=d&GroupName=' + name;
const { port } = new URL(env.AWS_ENDPOINT_URL);
const { host: _, ...headers } = signedHeaders(key, Number(port), { service: 'ec2', body });
const answer = await fetch(env.AWS_ENDPOINT_URL, { method: 'POST', headers, body });
console.log(answer.status, await answer.text());
`,
    );
    return this.mustRun(`'${process.execPath}' call.mjs ${environment} ${name}`);
  }
}

const UP = 'sgctl api up --keys keys.json --listen 127.0.0.1:0 --socket $PWD/c.sock';

test('it serves the store of the daemon, once, until it is ended', { skip }, async (t) => {
  const host = new Host(t);
  assert.deepEqual(await host.run('sgctl api status'), {
    status: 1,
    output: 'None runs that `sgctl api up` started.\n',
  });
  await host.startDaemon('--store store/store.db');
  await host.mustRun(`${UP} --json >env.json 2>said`);
  const status = await host.status();
  const { url = '', pid = 0, logs = '' } = status;
  assert.equal(status.store, join(host.folder, 'store/store.db'));
  const text = readFileSync(join(host.folder, 'env.json'), 'utf8');
  const environment = JSON.parse(text) as Record<string, string>;
  assert.equal(environment['AWS_ENDPOINT_URL'], url);
  assert.match(readFileSync(join(host.folder, 'said'), 'utf8'), new RegExp(`is at ${url}, as `));
  assert.match(await host.call('env.json', 'by-call'), /^200 /);
  assert.match(await host.mustRun('sgctl groups --socket $PWD/c.sock'), /\bby-call\b/);

  assert.equal(statSync(join(host.folder, 'keys.json')).mode & 0o777, 0o600);
  const secret = environment['AWS_SECRET_ACCESS_KEY'];
  const told = await host.mustRun(`cat ${logs}/* /proc/${pid}/cmdline /proc/${pid}/environ`);
  assert.match(told, /"who":"local"/);
  assert.equal(told.includes(secret), false, 'the secret is nowhere but in the file with the keys');

  const again = await host.mustRun('sgctl api up 2>/dev/null');
  assert.deepEqual(
    again.trimEnd().split('\n'),
    Object.entries(environment).map(([name, value]) => `export ${name}=${value}`),
  );
  const other = await host.run(`${UP} --store elsewhere.db`);
  assert.equal(other.status, 1);
  assert.match(other.output, /^sgctl: one runs already, with the store .*store\/store\.db$/m);

  assert.equal(await host.mustRun('sgctl api down'), 'secgroup-api has ended.\n');
  await host.mustEnd(pid);
  assert.match(await host.mustRun('sgctl api down'), /^None runs that/);
  assert.equal((await host.status()).isRunning, false);
});

test('what was killed, or only half begun, does not stand in the way', { skip }, async (t) => {
  const host = new Host(t);
  const up = 'sgctl api up --keys keys.json --listen 127.0.0.1:0 --store store.db';
  const first = await host.run(up);
  assert.equal(first.status, 0, first.output);
  assert.match(
    first.output,
    /^no daemon listens at .*Calls are kept, and no packet obeys them yet\.$/m,
  );
  const { pid: killed } = await host.status();
  await host.mustRun(`kill -9 ${killed}`);
  await host.mustEnd(killed);
  assert.equal((await host.status()).isRunning, false);
  await host.mustRun(up);
  const { pid, logs } = await host.status();
  assert.notEqual(pid, killed);
  // As if `up` had been killed before it knew that the server listens.
  const script = `const fs = require('fs'); const f = '${logs}/state.json'; const { api, ...s } = JSON.parse(fs.readFileSync(f, 'utf8')); fs.writeFileSync(f, JSON.stringify(s))`;
  await host.mustRun(`'${process.execPath}' -e "${script}"`);
  assert.equal((await host.status()).isRunning, false);
  assert.equal(await host.mustRun('sgctl api down'), 'secgroup-api has ended.\n');
  await host.mustEnd(pid);
});

test('where there is no store, or none can be served, it says what to do', { skip }, async (t) => {
  const host = new Host(t);
  const none = await host.run(UP);
  assert.equal(none.status, 1);
  assert.match(
    none.output,
    /^sgctl: no daemon listens at .*\n {4}start secgroupd with --store FILE/,
  );
  await host.startDaemon('');
  const bare = await host.run(UP);
  assert.equal(bare.status, 1);
  assert.match(
    bare.output,
    /^sgctl: the daemon that runs here has no store, so no packet would obey\n/,
  );
  const open = await host.run('sgctl api up --listen 0.0.0.0:8773');
  assert.equal(open.status, 2);
  assert.match(open.output, /It is not loopback/);
  const unknown = await host.run(`${UP} --store s.db --user sgt-nobody-of-this-name`);
  assert.equal(unknown.status, 1);
  mkdirSync(join(host.folder, 's.db'));
  const broken = await host.run('sgctl api up --keys keys.json --listen 127.0.0.1:0 --store s.db');
  assert.equal(broken.status, 1);
  assert.match(broken.output, /the API's server did not start; it said:\n/);
  assert.equal((await host.status()).isRunning, false);
});

test('root starts it as another user, who must be able to read the keys', { skip }, async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'setpriv')) return;
  const host = new Host(t);
  if (
    (
      await host.run(
        `setpriv --reuid=nobody --clear-groups cat ${process.execPath} ${import.meta.filename} >/dev/null`,
      )
    ).status !== 0
  ) {
    t.skip('the user nobody may not read the programs here');
    return;
  }
  await host.mustRun('mkdir s; chown nobody s; chmod 755 .. .');
  const up = 'sgctl api up --user nobody --listen 127.0.0.1:0 --store s/store.db';
  await host.mustRun(`${up} --keys own/keys.json`);
  const { pid, user } = await host.status();
  assert.equal(user, 'nobody');
  const [uids, caps] = (await host.mustRun(`grep -E '^(Uid|CapPrm)' /proc/${pid}/status`)).split(
    '\n',
  );
  const nobody = (await host.mustRun('id -u nobody')).trim();
  assert.deepEqual(
    uids.split('\t').slice(1),
    Array.from({ length: 4 }, () => nobody),
  );
  assert.match(caps, /^CapPrm:\t0+$/);
  assert.equal(statSync(join(host.folder, 'own/keys.json')).uid, Number(nobody));
  await host.mustRun('sgctl api down; chown root own/keys.json');
  const refused = await host.run(`${up} --keys own/keys.json`);
  assert.equal(refused.status, 1);
  assert.match(refused.output, /no key is accepted: .*EACCES.*\n {4}it runs as nobody, /s);
  assert.equal((await host.status()).isRunning, false);
});
