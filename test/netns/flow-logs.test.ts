/**
 * Flow logs of a real daemon: the traffic of AWS's examples, made by hand and sent through real devices, gives the
 * same records, field by field.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Conversation } from '../engine/conversation.ts';
import { icmp4, tcp4 } from '../packets/build.ts';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { until } from '../support/until.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const CLIENT = '172.31.16.139';
const SERVER = '172.31.16.21';
const OUTSIDE = '203.0.113.12';
const ENI = 'eni-1235b8ca123456789';

/** Sends IP packets, one a line in hexadecimal, as they are. */
const SENDER = `
import socket, sys
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for line in sys.stdin:
    packet = bytes.fromhex(line)
    out.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
`;

async function send(netns: Netns, ...packets: readonly Uint8Array[]): Promise<void> {
  const input = packets.map((packet) => `${Buffer.from(packet).toString('hex')}\n`).join('');
  await netns.mustRun('python3', ['-c', SENDER], { input });
}

/** Brings a device up without addresses: the kernel behind it answers nothing, so that every packet is ours. */
async function raise(netns: Netns): Promise<void> {
  await netns.mustRun('ip', ['link', 'set', 'eth0', 'up']);
  await netns.mustRun('ip', ['route', 'add', 'default', 'dev', 'eth0']);
}

test("the traffic of AWS's examples gives the records of AWS's examples", async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3')) return;
  const { client, server, world } = await makeNamespaces(t, ['client', 'server', 'world']);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-flow-log-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'flow.log');
  const daemon = await Daemon.start(
    t,
    temporaryFile(
      t,
      'flow-logs.yaml',
      `
uplink: { tun: up0, netns: ${world.path}, addresses: [198.51.100.1/24] }
securityGroups:
  client: {}
  server:
    ingress:
      - { protocol: tcp, ports: 22, from: 172.31.16.0/20 }
      - { protocol: icmp, type: 8, from: 203.0.113.0/24 }
interfaces:
  client: { device: { netns: ${client.path}, name: eth0, configure: false }, addresses: [${CLIENT}], securityGroups: [client] }
  ${ENI}: { device: { netns: ${server.path}, name: eth0, configure: false }, addresses: [${SERVER}], securityGroups: [server] }
flowLogs:
  aws: { file: ${file}, aggregation: 60, interfaces: [${ENI}], values: { account-id: '123456789010' } }
`,
    ),
  );
  await raise(client);
  await raise(server);

  const startSec = Math.floor(Date.now() / 1000);
  const talk = new Conversation(CLIENT, 20641, SERVER, 22);
  await send(client, talk.syn());
  await send(server, talk.synAck());
  const data = Array.from({ length: 18 }, (_, i) => talk.data('client', i === 17 ? 202 : 191));
  await send(client, talk.ack('client'), ...data);

  const refused = Array.from({ length: 20 }, (_, i) =>
    tcp4(CLIENT, SERVER, {
      srcPort: 49761,
      dstPort: 3389,
      flags: 'S',
      payload: new Uint8Array(i === 19 ? 182 : 172).fill(1),
    }),
  );
  // A SYN with data is odd and legal; the rules refuse it before anybody asks what it means.
  const missing = 4249 - refused.reduce((sum, packet) => sum + packet.length, 0);
  refused[0] = tcp4(CLIENT, SERVER, {
    srcPort: 49761,
    dstPort: 3389,
    flags: 'S',
    payload: new Uint8Array(172 + missing).fill(1),
  });
  await send(client, ...refused);

  const ping = (): Uint8Array =>
    icmp4(OUTSIDE, SERVER, { type: 8, code: 0, id: 9, payload: new Uint8Array(56) });
  await send(world, ping(), ping(), ping(), ping());
  await send(
    server,
    icmp4(SERVER, OUTSIDE, { type: 0, code: 0, id: 9, payload: new Uint8Array(56) }),
  );

  assert.equal(await daemon.stop(), 0);
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const endSec = Math.ceil(Date.now() / 1000);
  const timeless = lines.map((line) => {
    const words = line.split(' ');
    const [start, end] = words.slice(10, 12).map(Number);
    assert.ok(startSec <= start && start <= end && end <= endSec, line);
    return [...words.slice(0, 10), 'START', 'END', ...words.slice(12)].join(' ');
  });
  assert.deepEqual(
    timeless.sort(),
    [
      `2 123456789010 ${ENI} ${CLIENT} ${SERVER} 20641 22 6 20 4249 START END ACCEPT OK`,
      `2 123456789010 ${ENI} ${CLIENT} ${SERVER} 49761 3389 6 20 4249 START END REJECT OK`,
      `2 123456789010 ${ENI} ${SERVER} ${CLIENT} 22 20641 6 1 40 START END ACCEPT OK`,
      `2 123456789010 ${ENI} ${SERVER} ${OUTSIDE} 0 0 1 1 84 START END ACCEPT OK`,
      `2 123456789010 ${ENI} ${OUTSIDE} ${SERVER} 0 0 1 4 336 START END ACCEPT OK`,
    ].sort(),
  );
});

/** A configuration with a flow log, and the place of the log. */
async function makeLogged(
  t: TestContext,
): Promise<{ readonly config: string; readonly file: string }> {
  const { a } = await makeNamespaces(t, ['a']);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-flow-log-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'flow.log');
  const config = temporaryFile(
    t,
    'flow-logs.yaml',
    `interfaces: { a: { device: { netns: ${a.path}, name: eth0 }, addresses: [10.0.0.1] } }
flowLogs: { aws: { file: ${file}, aggregation: 60 } }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  return { config, file };
}

test('a flow log whose file is none is refused before anything starts', async (t) => {
  if (!canRun(t)) return;
  const { config, file } = await makeLogged(t);
  mkdirSync(file);
  const { code, log } = await Daemon.startAndEnd(t, config);
  assert.equal(code, 1);
  assert.match(log, /flow\.log can't be written to: it is a directory \[flowLogs\.aws\.file\]/);
});

test('a file that becomes a directory costs lines, not the daemon; one that is moved away is opened anew', async (t) => {
  if (!canRun(t)) return;
  const { config, file } = await makeLogged(t);
  // An interval is a second: 60 at 60 times the speed.
  const daemon = await Daemon.start(t, config, ['--time-scale', '60']);
  const lines = async (outcome: string): Promise<number> =>
    (await daemon.metrics()).get(`secgroupd_flow_log_lines_total{log="aws",outcome="${outcome}"}`)!;
  const grows = async (outcome: string): Promise<void> => {
    const before = await lines(outcome);
    await until(
      () => `more lines are ${outcome}:\n${daemon.output}`,
      async () => (await lines(outcome)) > before,
    );
  };
  const read = (name = file): string[] => readFileSync(name, 'utf8').trim().split('\n');
  await grows('written');
  assert.equal(await lines('lost'), 0);
  assert.match(read()[0], / NODATA$/);

  rmSync(file);
  mkdirSync(file);
  await grows('lost');
  await grows('lost');
  assert.match(daemon.output, /flow log: \S+ is a directory, not a file/);
  rmdirSync(file);
  await grows('written');
  await grows('written');
  assert.ok(
    read().some((line) => line.endsWith(' SKIPDATA')),
    'the file says that lines are missing',
  );

  for (const how of ['by itself', 'at SIGHUP']) {
    renameSync(file, `${file}.old`);
    if (how === 'at SIGHUP') daemon.hangUp();
    const moved = read(`${file}.old`).length;
    await grows('written');
    await grows('written');
    assert.match(read()[0], / NODATA$/, how);
    // One batch may have been on its way.
    assert.ok(read(`${file}.old`).length <= moved + 1, how);
  }
  assert.equal(await daemon.stop(), 0);
});
