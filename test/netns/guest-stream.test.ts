/**
 * Virtual machines behind streams: QEMU connects to the daemon's socket, and neither has a right or a TAP. Their
 * kernel is Debian's, and has its addresses from its first program.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { makeGuest, startGuest, type GuestFiles } from '../support/guest.ts';
import { start, type Running } from '../support/process.ts';
import { requireRoot, requireTools } from '../support/require.ts';
import { canRun, Daemon, get, MAIN, makeNamespaces, pingInVain, serve } from './world.ts';

const NOBODY = 65534;
const MACS = { vm1: '02:00:00:00:00:11', vm2: '02:00:00:00:00:12' } as const;
type Name = keyof typeof MACS;
const VM1 = ['10.0.0.11', 'fd00:10::11'] as const;
const VM2 = ['10.0.0.12', 'fd00:10::12'] as const;
const BOX = ['10.0.0.13', 'fd00:10::13'] as const;

const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** Serves on 8080 and 9090, and then asks for what `more` says, once each line; a line of output tells what came of it. */
function script(addresses: readonly string[], more: readonly string[]): string {
  const [four, six] = addresses;
  return `
ip link set lo up
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up
ip address add ${four}/24 dev eth0
ip -6 address add ${six}/64 dev eth0
ip route add default via 10.0.0.1
ip -6 route add default via fd00:10::1
mkdir -p /www
echo "I am $(hostname -i 2>/dev/null)${four}" > /www/index.html
httpd -p 8080 -h /www
httpd -p 9090 -h /www
echo serving
ask() { # ask NAME HOST PORT [once]
  for try in 1 2 3 4 5 6 7 8 9; do
    if printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 4 "$2" "$3" | grep -q 200; then echo "$1: answered"; return; fi
    [ "$4" = once ] && break
    sleep 1
  done
  echo "$1: silence"
}
${more.join('\n')}
while :; do sleep 1000; done
`;
}

const asks = (what: string, host: string, port: number, once = ''): string =>
  `ask '${what}' '${host}' ${port} ${once}`;

function configuration(folder: string, more = ''): string {
  return `
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 8080, from: [10.0.0.0/24, 'fd00:10::/64'] }
interfaces:
  vm1: { device: { kind: stream, path: ${folder}/vm1.sock, mac: '${MACS.vm1}' }, addresses: [${VM1[0]}, '${VM1[1]}'], securityGroups: [web] }
  vm2: { device: { kind: stream, path: ${folder}/vm2.sock }, addresses: [${VM2[0]}, '${VM2[1]}'], securityGroups: [web] }
${more}metrics: { listen: '127.0.0.1:0' }
`;
}

interface Place {
  readonly folder: string;
  readonly file: string;
}

function makePlace(t: TestContext, more?: string): Place {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-vm-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'secgroupd.yaml');
  writeFileSync(file, configuration(folder, more));
  return { folder, file };
}

/** Boots a guest with its card on the daemon's socket. */
async function boot(
  t: TestContext,
  files: GuestFiles,
  { folder }: Place,
  name: Name,
  starter: { readonly start: typeof start } = { start },
): Promise<Running> {
  const netdev = `stream,server=off,addr.type=unix,addr.path=${join(folder, `${name}.sock`)}`;
  const guest = await startGuest(starter, files, netdev, MACS[name]);
  t.after(() => guest.stop('SIGKILL'));
  await guest.waitFor(/serving/);
  return guest;
}

test('a guest and a TUN reach what the groups admit, also when the guest was killed and started again', async (t) => {
  if (!canRun(t)) return;
  const files = makeGuest(
    t,
    script(
      VM1,
      BOX.map((host, i) => asks(`out ${i}`, host, 8080)),
    ),
  );
  if (files === undefined) return;
  const { box } = await makeNamespaces(t, ['box']);
  const place = makePlace(
    t,
    `  box: { device: { netns: ${box.path}, name: eth0 }, addresses: [${BOX[0]}, '${BOX[1]}'], securityGroups: [web] }\n`,
  );
  const daemon = await Daemon.start(t, place.file);
  await serve(box, 'box');
  const check = async (guest: Running): Promise<void> => {
    for (const [i, host] of VM1.entries()) {
      assert.equal(await get(box, `${inUrl(host)}:8080`, 20), `I am ${VM1[0]}\n`);
      await pingInVain(box, host);
      await guest.waitFor(new RegExp(`out ${i}: answered`, 'm'));
    }
    const drops = await daemon.dropsDuring(() => get(box, `${VM1[0]}:9090`, 1));
    assert.deepEqual(Object.keys(drops), ['vm1 ingress ingress-rules']);
  };
  const first = await boot(t, files, place, 'vm1');
  await check(first);

  await first.stop('SIGKILL');
  const gone = await daemon.dropsDuring(() => get(box, `${VM1[0]}:8080`, 1));
  assert.deepEqual(Object.keys(gone), ['vm1 ingress write-failed']);
  const second = await boot(t, files, place, 'vm1');
  await check(second);
});

test('two guests and a daemon without any right', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'setpriv')) return;
  const files = [VM1, VM2].map((own, i) => {
    const other = i === 0 ? VM2 : VM1;
    const more = other.flatMap((host, family) => [
      asks(`in ${family}`, host, 8080),
      asks(`not ${family}`, host, 9090, 'once'),
    ]);
    return makeGuest(t, script(own, more));
  });
  const [files1, files2] = files;
  if (files1 === undefined || files2 === undefined) return;
  const place = makePlace(t);
  chownSync(place.folder, NOBODY, NOBODY);
  for (const { initrd } of [files1, files2]) chmodSync(dirname(initrd), 0o755);
  const noRight = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
  const asNobody = {
    start: (program: string, args: readonly string[]): Promise<Running> =>
      start('setpriv', [...noRight, '--bounding-set=-all', program, ...args]),
  };
  const daemon = await asNobody.start(process.execPath, [
    ...[MAIN, '--config', place.file, '--control', join(place.folder, 'control.sock')],
    ...['--state-dir', place.folder],
  ]);
  t.after(() => daemon.stop('SIGKILL'));
  await daemon.waitFor(/packets flow/);
  const guests = await Promise.all([
    boot(t, files1, place, 'vm1', asNobody),
    boot(t, files2, place, 'vm2', asNobody),
  ]);
  for (const guest of guests)
    for (const family of [0, 1]) {
      await guest.waitFor(new RegExp(`in ${family}: answered`, 'm'));
      await guest.waitFor(new RegExp(`not ${family}: silence`, 'm'));
    }
});
