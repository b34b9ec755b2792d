/**
 * secgroup-metadata with real packets: instances ask for their metadata as AWS's documentation shows, and for names;
 * none gets another's, and the program has no rights left.
 */
import assert from 'node:assert/strict';
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ANSWER, message } from '../metadata/messages.ts';
import type { Netns } from '../support/netns.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const PROGRAM = fileURLToPath(new URL('../../src/metadata/secgroup-metadata.js', import.meta.url));
const IMDS = 'http://169.254.169.254';
const IMDS6 = 'http://[fd00:ec2::254]';
const TTL = 'X-aws-ec2-metadata-token-ttl-seconds: 21600';

type Names = Record<'web' | 'db' | 'platform', Netns>;

function configuration(names: Names): string {
  return `
vpc: { cidrBlocks: [10.0.0.0/16], subnets: [10.0.0.0/24] }
platformServices: [dns, instance-metadata, time-sync]
platform: { tun: sg-platform, netns: ${names.platform.path} }
securityGroups:
  web: {}
  closed: { egress: [] }
interfaces:
  web: { device: { netns: ${names.web.path}, name: eth0 }, addresses: [10.0.0.11, 'fd00:10::11'], securityGroups: [web, closed] }
  db: { device: { netns: ${names.db.path}, name: eth0 }, addresses: [10.0.0.13], securityGroups: [closed] }
metrics: { listen: 127.0.0.1:0 }
`;
}

/** The group of what nobody owns, on Debian nogroup: the program's, and not that of the control socket. */
const NOGROUP = 65_534;

async function startProgram(t: TestContext, ...more: readonly string[]): Promise<ChildProcess> {
  const child = fork(PROGRAM, more, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  const listening = new Promise<void>((resolve, reject) => {
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (log.includes('"listening"')) resolve();
    });
    child.once('exit', () => reject(new Error(`it ended:\n${log}`)));
  });
  await listening;
  return child;
}

/** A resolver of the host that knows one name. */
async function startResolver(t: TestContext): Promise<string> {
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.on('message', (query, { port, address }) => {
    const answer = message({ id: query.readUInt16BE(0), flags: ANSWER, records: RECORD });
    socket.send(answer, port, address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return `127.0.0.1:${socket.address().port}`;
}

/** An A record of 192.0.2.80 for www.example. */
const RECORD = Buffer.concat([
  Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]),
  Buffer.from([192, 0, 2, 80]),
]);

async function makeWorld(t: TestContext) {
  const names = await makeNamespaces(t, ['web', 'db', 'platform']);
  const file = temporaryFile(t, 'metadata.yaml', configuration(names));
  // The program looks for the socket as another user.
  chmodSync(dirname(file), 0o755);
  const folder = join(dirname(file), 'instances');
  mkdirSync(folder);
  chownSync(folder, 0, NOGROUP);
  // Its files get its group.
  chmodSync(folder, 0o2750);
  const control = join(dirname(file), 'control.sock');
  const instances = join(folder, 'daemon.sock');
  const start = () => Daemon.start(t, file, ['--control', control, '--instances', instances]);
  const daemon = await start();
  const program = await startProgram(
    t,
    ...['--instances', instances, '--resolver', await startResolver(t)],
  );
  return { ...names, daemon, start, control, instances, program };
}

/** Sends a request as a process with the rights of the program. @returns the answer, or the code of an error */
async function askAs(program: ChildProcess, socket: string, method: string): Promise<string> {
  const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
  const [uid, gid] = ['Uid', 'Gid'].map((name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)(?:\\s+\\1){3}$`, 'm').exec(status)?.[1]),
  );
  assert.match(status, /^Groups:\s*$/m, 'it has no other group');
  const script = `
    const socket = require('node:net').connect(process.argv[1]);
    socket.on('error', ({ code }) => console.log(code));
    socket.on('data', (data) => { console.log(JSON.parse(data).error ?? 'answered'); socket.end(); });
    socket.write(JSON.stringify({ version: 1, method: process.argv[2] }) + '\\n');`;
  const args = ['-e', script, socket, method];
  const { stdout } = await promisify(execFile)(process.execPath, args, { uid, gid, cwd: '/' });
  return stdout.trim();
}

function curl(netns: Netns, ...args: readonly string[]): Promise<string> {
  return netns
    .run('curl', ['-gsS', '-m', '5', '-w', '\n%{http_code}', ...args])
    .then(({ stdout }) => stdout);
}

test('instances get their own metadata, with a token and over both families', async (t) => {
  if (!canRun(t)) return;
  const { web, db, program } = await makeWorld(t);
  const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
  assert.match(status, /^CapEff:\s*0+$/m);
  assert.match(status, /^CapPrm:\s*0+$/m);
  assert.doesNotMatch(status, /^Uid:\s*0/m);

  const got = await curl(web, '-X', 'PUT', '-H', TTL, `${IMDS}/latest/api/token`);
  assert.match(got, /^[\w-]+\n200$/);
  const [token] = got.split('\n');
  const header = `X-aws-ec2-metadata-token: ${token}`;
  const at = (path: string, host = IMDS) => curl(web, '-H', header, `${host}/latest/${path}`);
  assert.equal(await at('meta-data/local-ipv4'), '10.0.0.11\n200');
  assert.equal(await at('meta-data/security-groups', IMDS6), 'web\nclosed\n200');
  assert.equal(await at('meta-data/tags/instance/'), '404 - Not Found\n\n404');
  const mac = (await at('meta-data/mac')).split('\n')[0];
  const own = `meta-data/network/interfaces/macs/${mac}`;
  assert.equal(await at(`${own}/ipv6s`), 'fd00:10::11\n200');
  assert.equal(await at(`${own}/subnet-ipv4-cidr-block`), '10.0.0.0/24\n200');

  assert.match(await curl(db, `${IMDS}/latest/meta-data/`), /401$/, 'there is no version 1');
  const stolen = await curl(db, '-H', header, `${IMDS}/latest/meta-data/local-ipv4`);
  assert.match(stolen, /^401 /, 'a token is of no use to another');
});

test('with what the program may do, nobody changes anything at the daemon', async (t) => {
  if (!canRun(t)) return;
  const { program, control, instances } = await makeWorld(t);
  const ALONE = 'this socket answers instance and platform alone';
  for (const [socket, method, outcome] of [
    [control, 'reload', 'EACCES'],
    [control, 'platform', 'EACCES'],
    [instances, 'platform', 'answered'],
    [instances, 'reload', ALONE],
    [instances, 'interfaces', ALONE],
    [instances, 'trace', ALONE],
  ])
    assert.equal(await askAs(program, socket, method), outcome, method);
  program.kill('SIGKILL');
  await once(program, 'exit');
  await assert.rejects(
    startProgram(t, '--instances', control),
    /is for root's group, whose rights this program must not have; make its folder/,
  );
});

test('answers do not get beyond the instance', async (t) => {
  if (!canRun(t)) return;
  const { web } = await makeWorld(t);
  const [capture] = await Promise.all([
    web.run('timeout', ['5', 'tcpdump', '-nlvi', 'eth0', '-c', '1', 'src host 169.254.169.254']),
    new Promise((resolve) => setTimeout(resolve, 1000)).then(() =>
      curl(web, '-X', 'PUT', '-H', TTL, `${IMDS}/latest/api/token`),
    ),
  ]);
  if (/not found|No such file/.test(capture.stderr)) {
    t.skip('tcpdump is missing');
    return;
  }
  assert.match(capture.stdout, /ttl 1,/);
});

test('names are resolved as the host resolves them, at each DNS address', async (t) => {
  if (!canRun(t)) return;
  const { web, db } = await makeWorld(t);
  const look = (netns: Netns, server: string, name = 'www.example') =>
    netns.run(process.execPath, [
      '-e',
      `const { Resolver } = require('node:dns').promises;
       const resolver = new Resolver({ timeout: 3000, tries: 1 });
       resolver.setServers(['${server}']);
       resolver.resolve4('${name}').then(String, ({ code }) => code).then(console.log)`,
    ]);
  for (const server of ['169.254.169.253', '10.0.0.2', '[fd00:ec2::253]'])
    assert.equal((await look(web, server)).stdout, '192.0.2.80\n', server);
  assert.equal((await look(db, '10.0.0.2')).stdout, '192.0.2.80\n', 'whatever its groups say');
});

test('a daemon that starts again finds it answering', async (t) => {
  if (!canRun(t)) return;
  const { web, daemon, start, program } = await makeWorld(t);
  await daemon.kill();
  await start();
  assert.match(
    await curl(web, '-X', 'PUT', '-H', TTL, `${IMDS}/latest/api/token`),
    /^[\w-]+\n200$/,
  );
  assert.equal(program.exitCode, null);
});
