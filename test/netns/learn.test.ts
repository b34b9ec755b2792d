/**
 * An application runs in a lab where everything is allowed. Groups are learnt from its flow log, from the running daemon
 * and from a live capture of an interface of the host; each proposal is put in force by a reload, the application still
 * runs, and everything else is refused by real packets.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { whyNoPcap } from '../../src/ports/pcap.ts';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { start, type CommandResult } from '../support/process.ts';
import { runSgctl, SGCTL } from '../support/sgctl.ts';
import { ask, DB, interrupt, sgctl, startApplication, WEB } from './learn-world.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain, temporaryFile } from './world.ts';

const WORLD = '198.51.100.7';
const WORLD6 = '2001:db8:51::7';
const WEB6 = 'fd00:10::11';

type Names = Record<'world' | 'web' | 'db', Netns>;

interface Lab {
  readonly names: Names;
  readonly daemon: Daemon;
  readonly file: string;
  readonly socket: string;
  readonly log: string;
}

async function startLab(t: TestContext): Promise<Lab | undefined> {
  if (!canRun(t) || !requireTools(t, 'python3', 'nc')) return undefined;
  const names = await makeNamespaces(t, ['world', 'web', 'db']);
  const file = temporaryFile(t, 'shop.yaml', '');
  const folder = dirname(file);
  const [socket, log] = [join(folder, 'control.sock'), join(folder, 'flow.log')];
  writeFileSync(
    file,
    `# Everything is allowed.
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${WORLD}/24, '${WORLD6}/64'] }
securityGroups:
  open:
    ingress: [{ protocol: all, from: 0.0.0.0/0 }, { protocol: all, from: '::/0' }]
    revocation: cut
interfaces:
  web: { device: { netns: ${names.web.path}, name: eth0 }, addresses: [${WEB}, '${WEB6}'], securityGroups: [open] }
  db: { device: { netns: ${names.db.path}, name: eth0 }, addresses: [${DB}], securityGroups: [open] }
metrics: { listen: '127.0.0.1:0' }
flowLogs:
  seen:
    file: ${log}
    aggregation: 60
    format: '\${interface-id} \${srcaddr} \${dstaddr} \${srcport} \${dstport} \${protocol} \${packets} \${bytes} \${start} \${end} \${action} \${tcp-flags} \${log-status}'
`,
  );
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  await startApplication(names);
  return { names, daemon, file, socket, log };
}

/** What the application's users do. */
async function useApplication({ world }: Names): Promise<void> {
  assert.equal(await ask(world, `${WEB}:8080`), 'web db');
  assert.equal(await ask(world, `[${WEB6}]:8080`), 'web db');
  assert.equal((await ping(world, WEB, 2)).code, 0);
}

/** What nobody has done twice, and what nobody listens for. */
async function strayOnce({ world }: Names): Promise<void> {
  assert.equal(await ask(world, `${DB}:9000`), 'db');
  await world.run('nc', ['-z', '-w', '1', WEB, '22']);
}

/** Puts the proposal in force, and tries what is to pass and what is not. */
async function proveProposal(t: TestContext, lab: Lab, learnt: CommandResult): Promise<void> {
  const { names, file, socket } = lab;
  assert.equal(learnt.code, 0, learnt.stderr);
  const before = readFileSync(file, 'utf8');
  writeFileSync(file, learnt.stdout);
  const reloaded = runSgctl(['reload', '--socket', socket]);
  assert.equal(reloaded.code, 0, `${reloaded.stderr}\n${learnt.stdout}`);
  const open = await lab.daemon.dropsDuring(() => useApplication(names));
  assert.deepEqual(open, {}, learnt.stdout);
  const refused = await lab.daemon.dropsDuring(async () => {
    assert.equal(await ask(names.world, `${DB}:9000`, 1), '');
    assert.equal(await ask(names.world, `${DB}:5432`, 1), '');
    assert.equal(await ask(names.db, `${WORLD}:80`, 1), '');
    await pingInVain(names.world, DB);
    await names.world.run('nc', ['-z', '-w', '1', WEB, '22']);
  });
  assert.deepEqual(Object.keys(refused).sort(), [
    'db egress egress-rules',
    'db ingress ingress-rules',
    'web ingress ingress-rules',
  ]);
  writeFileSync(file, before);
  assert.equal(runSgctl(['reload', '--socket', socket]).code, 0);
  t.diagnostic('the application runs, and nothing else does');
}

function checkReport({ stderr }: CommandResult): void {
  assert.match(stderr, /^set apart, one-off: services with fewer than 2 flows \(--min-flows\)$/m);
  assert.match(stderr, /^ {2}tcp 9000 at db from 198\.51\.100\.7, 1 flow$/m);
  assert.match(stderr, /^set apart, unanswered: .*$/m);
  assert.match(stderr, /^ {2}tcp 22 at web from 198\.51\.100\.7, 1 flow$/m);
}

test('from the flow log: the application runs on, and everything else is refused', async (t) => {
  const lab = await startLab(t);
  if (lab === undefined) return;
  await useApplication(lab.names);
  await useApplication(lab.names);
  await strayOnce(lab.names);
  assert.equal(await lab.daemon.stop(), 0);
  const learnt = await sgctl('learn', lab.log, '--config', lab.file, '--widen-max', '1');
  checkReport(learnt);
  const proposed = temporaryFile(t, 'proposed.yaml', learnt.stdout);
  const replayed = await sgctl('replay', lab.log, '--config', proposed, '--json');
  const { findings } = JSON.parse(replayed.stdout) as { findings: { kind: string; service: string }[] }; // prettier-ignore
  assert.deepEqual(
    findings
      .filter(({ kind }) => kind === 'dropped')
      .map(({ service }) => service)
      .sort(),
    ['tcp 22', 'tcp 9000'],
  );
  const daemon = await Daemon.start(t, lab.file, ['--control', lab.socket]);
  await proveProposal(t, { ...lab, daemon }, learnt);
  const tightened = await sgctl('learn', lab.log, '--tighten', lab.file);
  assert.match(tightened.stdout, /^could be narrower$/m);
  assert.match(tightened.stdout, /^ {4}enough: tcp 8080 from 198\.51\.100\.7\/32$/m);
});

test('from the running daemon: the same', async (t) => {
  const lab = await startLab(t);
  if (lab === undefined) return;
  const learning = await start(process.execPath, [SGCTL, 'learn', '--socket', lab.socket, '--for', '2m', '--config', lab.file, '--widen-max', '1']); // prettier-ignore
  await learning.waitFor(/looking at/);
  await useApplication(lab.names);
  await useApplication(lab.names);
  await strayOnce(lab.names);
  // It looks once more before it ends.
  const learnt = await interrupt(learning);
  assert.equal(learnt.code, 130, learnt.stderr);
  checkReport(learnt);
  await proveProposal(t, lab, { ...learnt, code: 0 });
});

test('from a live capture of interfaces of the host: the same', async (t) => {
  const why = whyNoPcap();
  if (why !== undefined) {
    t.skip(why);
    return;
  }
  const lab = await startLab(t);
  if (lab === undefined) return;
  const { world, db } = lab.names;
  const args = ['--live', 'up0', '--config', lab.file, '--for', '2m', '--widen-max', '1'];
  const outside = await world.start(process.execPath, [SGCTL, 'learn', ...args]);
  const atDb = await db.start(process.execPath, [
    SGCTL,
    'learn',
    '--live',
    'eth0',
    '--for',
    '2m',
    '--json',
  ]);
  await outside.waitFor(/looking at up0/);
  await atDb.waitFor(/looking at eth0/);
  await useApplication(lab.names);
  await useApplication(lab.names);
  await sleep(1000);
  const [seenOutside, seenAtDb] = [await interrupt(outside), await interrupt(atDb)];
  // The uplink shows who comes from outside: with what db's own interface shows, that is all of it.
  assert.equal(seenOutside.code, 130, seenOutside.stderr);
  assert.match(seenOutside.stdout, /ports: 8080\n +from: 198\.51\.100\.7\/32\n/);
  assert.match(seenOutside.stdout, /from: 2001:db8:51::7\/128\n/);
  assert.match(seenOutside.stdout, /protocol: icmp\n +type: 8\n/);
  assert.doesNotMatch(seenOutside.stdout, /5432/);
  const { groups } = JSON.parse(seenAtDb.stdout) as { groups: { interfaces: { name: string }[]; rules: { text: string }[] }[] }; // prettier-ignore
  assert.deepEqual(
    groups.map(({ interfaces, rules }) => [interfaces[0].name, ...rules.map(({ text }) => text)]),
    [['eth0', `tcp 5432 from ${WEB}/32`, `udp 5140 from ${WEB}/32`]],
  );
});
