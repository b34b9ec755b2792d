/** `secgroupd doctor`: what each check finds on machines that lack something, and what the whole says here. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Check, Reader } from '../../src/doctor/doctor-check.ts';
import { checkConfiguration, checkStateDirectory } from '../../src/doctor/doctor-config.ts';
import { checkFiles } from '../../src/doctor/doctor-files.ts';
import { storeCheck } from '../../src/doctor/doctor-store.ts';
import { checkCores, checkSteering } from '../../src/doctor/doctor-workers.ts';
import { formatChecks } from '../../src/doctor/doctor.ts';
import {
  checkCapabilities,
  checkClock,
  checkDescriptors,
  checkKernel,
  checkNode,
  checkService,
} from '../../src/doctor/doctor-machine.ts';
import { serviceOfShow, serviceOfUnit } from '../../src/doctor/doctor-service.ts';
import { loadNative } from '../../src/ports/native.ts';
import type { PortKindName } from '../../src/ports/port-kind.ts';
import type { StoreStatus } from '../../src/queries/status-view.ts';
import { makeNetns } from '../support/netns.ts';
import type { run } from '../support/process.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

function machine(files: Readonly<Record<string, string>>): Reader {
  return { read: (path) => files[path], kernel: '6.18.0', node: 'v20.20.2' };
}

const line = ({ status, found, mend }: Check): string =>
  [status, found, ...(mend === undefined ? [] : [`| ${mend}`])].join(' ');

function temporary(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sgt-doctor-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('kernel and Node.js', () => {
  assert.equal(line(checkKernel({ kernel: '6.18.44-fc' })), 'ok Linux 6.18.44-fc');
  assert.equal(line(checkKernel({ kernel: '6.2.0' })), 'ok Linux 6.2.0');
  assert.equal(
    line(checkKernel({ kernel: '5.15.0-91-generic' })),
    'warn Linux 5.15.0-91-generic | use Linux 6.2 or newer',
  );
  assert.equal(
    line(checkKernel({ kernel: '4.19.0' })),
    'warn Linux 4.19.0 | use Linux 5.2 or newer',
  );
  const day = (text: string): number => Date.parse(text);
  assert.equal(line(checkNode({ node: 'v22.1.0' }, day('2026-11-28'))), 'ok Node.js v22.1.0');
  assert.equal(line(checkNode({ node: 'v20.20.2' }, day('2026-04-29'))), 'ok Node.js v20.20.2');
  assert.match(
    line(checkNode({ node: 'v20.20.2' }, day('2026-05-01'))),
    /^warn Node\.js v20\.20\.2 \| use a release that is maintained/,
  );
  assert.equal(line(checkNode({ node: 'v99.0.0' }, day('2026-11-28'))), 'ok Node.js v99.0.0');
  assert.equal(
    line(checkNode({ node: 'v18.19.0' }, day('2026-11-28'))),
    'fail Node.js v18.19.0 | install Node.js 20 or newer',
  );
});

test('capabilities', () => {
  const status = (hex: string): Reader =>
    machine({ '/proc/self/status': `Name:\tx\nCapEff:\t${hex}\n` });
  assert.deepEqual(checkCapabilities(status('000001ffffffffff')).map(line), [
    'ok CAP_NET_ADMIN',
    'ok CAP_SYS_ADMIN',
  ]);
  assert.deepEqual(checkCapabilities(status('0000000000001000')).map(line), [
    'ok CAP_NET_ADMIN',
    'warn CAP_SYS_ADMIN is missing | run as root, or give it to the service: AmbientCapabilities=CAP_SYS_ADMIN',
  ]);
  assert.deepEqual(
    checkCapabilities(status('0000000000000000')).map(({ status: found }) => found),
    ['fail', 'warn'],
  );
});

const UNIT = readFileSync(new URL('../../../systemd/secgroupd.service', import.meta.url), 'utf8');
const NAMESPACES = readFileSync(
  new URL('../../../systemd/secgroupd.service.d/namespaces.conf.example', import.meta.url),
  'utf8',
);

test('the service is judged by its unit, whoever asks', () => {
  const plain = serviceOfUnit([UNIT])!;
  assert.deepEqual(plain, {
    user: 'secgroupd',
    capabilities: new Set(['CAP_NET_ADMIN']),
    openFiles: '16384',
  });
  assert.deepEqual(
    checkService(plain, 0).map(({ status }) => status),
    ['ok', 'ok'],
  );
  const [admin, namespaces] = checkService(plain, 3);
  assert.equal(line(admin), 'ok CAP_NET_ADMIN (the service, as secgroupd)');
  assert.match(
    line(namespaces),
    /^fail the service, as secgroupd, has no CAP_SYS_ADMIN \| .*namespaces\.conf/,
  );
  assert.deepEqual(
    checkService(plain, undefined).map(({ status }) => status),
    ['ok', 'warn'],
  );
  const given = serviceOfUnit([UNIT, NAMESPACES])!;
  assert.deepEqual(
    checkService(given, 3).map(({ status }) => status),
    ['ok', 'ok'],
  );
  const taken = serviceOfUnit([UNIT, '[Service]\nAmbientCapabilities=\n'])!;
  assert.deepEqual(
    checkService(taken, 0).map(({ status }) => status),
    ['fail', 'ok'],
  );
  assert.equal(serviceOfUnit([]), undefined);
});

test('what systemctl show tells of the service', () => {
  const show = (user: string, ambient: string, bounding: string): string =>
    `LoadState=loaded\nUser=${user}\nAmbientCapabilities=${ambient}\nCapabilityBoundingSet=${bounding}\nLimitNOFILE=512\n`;
  const narrow = serviceOfShow(show('secgroupd', 'cap_net_admin cap_sys_admin', 'cap_net_admin'))!;
  assert.deepEqual(
    checkService(narrow, 1).map(({ status }) => status),
    ['ok', 'fail'],
  );
  const root = serviceOfShow(show('', '', 'cap_net_admin cap_sys_admin cap_chown'))!;
  assert.equal(root.user, 'root');
  assert.deepEqual(
    checkService(root, 1).map(({ status }) => status),
    ['ok', 'ok'],
  );
  const bare = serviceOfShow(show('root', '', 'cap_chown'))!;
  assert.deepEqual(
    checkService(bare, 1).map(({ status }) => status),
    ['fail', 'fail'],
  );
  assert.equal(serviceOfShow('LoadState=not-found\nUser=\n'), undefined);
  const reader = {
    ...machine({ '/proc/self/limits': 'Max open files  1048576  1048576  files\n' }),
    service: narrow,
  };
  assert.equal(line(checkDescriptors(reader, 100)), 'ok 512 open files, 228 needed');
  assert.match(line(checkDescriptors(reader, 500)), /^fail 512 open files, 628 needed/);
});

test('clock and descriptors', () => {
  const folder = '/sys/devices/system/clocksource/clocksource0';
  const clock = (current: string, available: string): string =>
    line(
      checkClock(
        machine({
          [`${folder}/current_clocksource`]: current,
          [`${folder}/available_clocksource`]: available,
        }),
      ),
    );
  assert.equal(clock('tsc', 'tsc hpet'), 'ok clock source tsc');
  assert.equal(
    clock('hpet', 'tsc hpet acpi_pm'),
    `warn clock source hpet | echo tsc > ${folder}/current_clocksource`,
  );
  assert.equal(
    clock('acpi_pm', 'acpi_pm'),
    'warn clock source acpi_pm | ask whoever runs the hypervisor for a faster clock source',
  );
  const limits = (soft: string): Reader =>
    machine({ '/proc/self/limits': `Max open files            ${soft}      524288      files\n` });
  assert.equal(line(checkDescriptors(limits('1024'), 100)), 'ok 1024 open files, 228 needed');
  assert.equal(
    line(checkDescriptors(limits('unlimited'), 100)),
    'ok unlimited open files, 228 needed',
  );
  assert.equal(
    line(checkDescriptors(limits('256'), 200)),
    'fail 256 open files, 328 needed | raise the limit: LimitNOFILE=328 in the unit, or ulimit -n 328',
  );
});

test('the state directory', (t) => {
  const path = temporary(t);
  assert.equal(line(checkStateDirectory(path)), `ok ${path} can be written`);
  chmodSync(path, 0o777);
  assert.equal(
    line(checkStateDirectory(path)),
    `warn others may write to ${path} | chmod go-w ${path}`,
  );
  const none = join(path, 'none');
  assert.equal(
    line(checkStateDirectory(none)),
    `warn ${none} can't be written: ENOENT | make it for the daemon's user: install -d -m 0700 ${none}`,
  );
  writeFileSync(none, '');
  assert.match(line(checkStateDirectory(none)), /^warn .* can't be written: ENOTDIR/);
});

function writeConfig(t: TestContext, text: string): string {
  const file = join(temporary(t), 'secgroupd.yaml');
  writeFileSync(file, text);
  return file;
}

function checkText(t: TestContext, text: string, reader: Reader, native = false): Check[] {
  const file = writeConfig(t, text);
  const addon = native ? loadNative() : undefined;
  return [...checkConfiguration({ file, netnsDir: '/run/netns', native: addon, reader }).checks];
}

const UPLINK = 'uplink: { tun: sguplink, addresses: [10.9.0.1/24] }\ninterfaces: {}\n';

test('memory, forwarding and reverse path filter', (t) => {
  const find = (checks: readonly Check[], name: string): string[] =>
    checks.filter((check) => check.name === name).map(line);
  const poor = checkText(
    t,
    `conntrack: { maxFlows: 16000000 }\n${UPLINK}`,
    machine({
      '/proc/meminfo': 'MemTotal: 2048000 kB\nMemAvailable:    1048576 kB\n',
      '/proc/sys/net/ipv4/ip_forward': '0',
      '/proc/sys/net/ipv4/conf/sguplink/rp_filter': '1',
    }),
  );
  const [memory] = find(poor, 'memory');
  assert.match(
    memory,
    /^warn 1\.0 GiB available, at most \d+\.\d GiB for 16,000,000 flows \| lower conntrack\.maxFlows/,
  );
  assert.match(
    find(poor, 'forwarding').join(),
    /^warn the host does not forward IPv4 \| sysctl -w/,
  );
  assert.match(
    find(poor, 'rp_filter').join(),
    /^warn net\.ipv4\.conf\.sguplink\.rp_filter is strict/,
  );

  const rich = checkText(
    t,
    UPLINK,
    machine({
      '/proc/meminfo': 'MemAvailable:    8388608 kB\n',
      '/proc/sys/net/ipv4/ip_forward': '1',
      '/proc/sys/net/ipv4/conf/all/rp_filter': '2',
    }),
  );
  assert.match(find(rich, 'memory').join(), /^ok 8\.0 GiB available/);
  assert.deepEqual(find(rich, 'forwarding'), ['ok the host forwards IPv4']);
  assert.deepEqual(find(rich, 'rp_filter'), []);
});

test('the right that a kind of device takes, by the configuration and by the option', (t) => {
  if (!requireRoot(t)) return;
  const text = 'interfaces: { a: { device: { name: sgt-none }, addresses: [10.0.0.8] } }\n';
  const attached = text.replace('name:', 'kind: attach, name:');
  const rights = (hex: string, of: string, deviceKind?: PortKindName): string[] => {
    const reader = machine({ '/proc/self/status': `CapEff:\t${hex}\n` });
    const kind = deviceKind === undefined ? {} : { deviceKind };
    const given = {
      file: writeConfig(t, of),
      netnsDir: '/run/netns',
      native: loadNative(),
      reader,
    };
    const { checks } = checkConfiguration({ ...given, ...kind });
    return checks.filter(({ name }) => name === 'capability').map(line);
  };
  assert.deepEqual(rights('0', text), []);
  assert.deepEqual(rights('2000', text, 'veth'), ['ok CAP_NET_RAW, for kind: veth']);
  assert.deepEqual(rights('0', text, 'veth'), [
    'fail CAP_NET_RAW is missing, and the configuration has kind: veth | run as root, or give it to the service (example: attach.conf)',
  ]);
  assert.match(rights('0', attached).join(), /^fail .* has kind: attach \|/);
});

test('several packet loops: cores, memory, descriptors', (t) => {
  assert.equal(line(checkCores(2, 2)), 'ok 2 packet loops, 2 cores');
  assert.equal(line(checkCores(4, 1)), 'warn 4 packet loops, 1 core | set workers to 1 or less');
  const meminfo = machine({ '/proc/meminfo': 'MemAvailable:    8388608 kB\n' });
  const needed = (workers: number): number => {
    const text = `workers: ${workers}\nconntrack: { maxFlows: 4000000 }\n${UPLINK}`;
    const [memory] = checkText(t, text, meminfo).filter(({ name }) => name === 'memory');
    return Number(/(?:at most|about) ([\d.]+) GiB/.exec(memory.found)?.[1]);
  };
  // An index of 2^23 slots of 4 bytes in each of two families, and the loop itself.
  const each = (2 * 4 * 2 ** 23 + 24 * 2 ** 20) / 2 ** 30;
  assert.ok(Math.abs(needed(5) - needed(1) - 4 * each) <= 0.11, `${needed(1)} ${needed(5)}`);

  const { descriptors } = checkConfiguration({
    file: writeConfig(t, `workers: 3\n${UPLINK}`),
    netnsDir: '/run/netns',
    native: undefined,
    reader: meminfo,
  });
  assert.equal(descriptors, 3);
});

test('several packet loops: the program is tried, and nothing stays', async (t) => {
  if (!requireRoot(t) || !requireTun(t) || !requireTools(t, 'ip', 'setpriv')) return;
  assert.deepEqual(checkSteering(loadNative()), {
    name: 'steering',
    status: 'ok',
    found: 'the kernel shares packets out among loops',
  });
  assert.equal(loadNative().linkIndex(undefined, `sgdw${process.pid}`), 0);
  const netns = await makeNetns(t);
  const unprivileged = await netns.mustRun('sysctl', ['-n', 'kernel.unprivileged_bpf_disabled']);
  if (unprivileged.trim() === '0') return t.skip('this kernel takes programs from anybody');
  const { code, stdout } = await netns.run('setpriv', [
    ...['--bounding-set', '-all,+net_admin,+dac_override'],
    ...[
      process.execPath,
      MAIN,
      'doctor',
      '--config',
      writeConfig(t, `workers: 2\n${UPLINK}`),
      '--json',
    ],
  ]);
  assert.equal(code, 1);
  const { checks } = JSON.parse(stdout) as { readonly checks: readonly Check[] };
  const [steering] = checks.filter(({ name }) => name === 'steering');
  assert.match(
    line(steering),
    /^fail EPERM: packets of sgdw\d+ cannot be shared out among queues: this needs CAP_BPF/,
  );
  assert.match(
    steering.mend ?? '',
    /give the service CAP_BPF and bpf\(2\) \(example: workers\.conf\)/,
  );
});

test('what the user of the service may not open is told, also where root asks', (t) => {
  if (!requireRoot(t)) return;
  const folder = temporary(t);
  chmodSync(folder, 0o755);
  const [open, closed] = ['open.yaml', 'closed.yaml'].map((name) => join(folder, name));
  for (const file of [open, closed]) writeFileSync(file, '');
  chmodSync(open, 0o644);
  chmodSync(closed, 0o600);
  const reader = machine({ '/etc/passwd': 'root:x:0:0::/root:\nstranger:x:4711:4711::/:\n' });
  const lines = (user: string, files: readonly string[]): string[] =>
    checkFiles({ user, capabilities: undefined, openFiles: undefined }, files, reader)
      .map(line)
      .filter((text) => !text.includes('/dev/net/tun: '));
  assert.deepEqual(lines('stranger', [open, closed]), [
    `fail the service, as stranger, can't open ${closed}: EACCES | let the user stranger read it, and enter the folders above it`,
  ]);
  assert.deepEqual(lines('root', [closed]), []);
  assert.deepEqual(lines('nobody-there', [closed]), []);
  // The folder counts as well, and so do the templates that a configuration names.
  chmodSync(folder, 0o700);
  assert.match(lines('stranger', [open]).join(), /can't open .*open\.yaml: EACCES/);
});

test('a configuration that is wrong, and namespaces that are not there', (t) => {
  const [wrong, ...rest] = checkText(t, 'interfaces: { a: 7 }\n', machine({}));
  assert.deepEqual([wrong.name, wrong.status, rest], ['configuration', 'fail', []]);
  assert.match(wrong.found, /secgroupd\.yaml:1:\d+: error: /);
  const checks = checkText(
    t,
    'interfaces: { a: { device: { netns: sgt-not-there, name: eth0 }, addresses: [10.0.0.1] } }\n',
    machine({}),
  );
  assert.deepEqual(checks.filter(({ name }) => name === 'namespaces').map(line), [
    'warn the network namespace /run/netns/sgt-not-there does not exist; the interfaces in it wait | create it with: ip netns add sgt-not-there',
  ]);
});

test('a device whose name is taken', async (t) => {
  if (!requireRoot(t) || !requireTun(t) || !requireTools(t, 'ip')) return;
  const netns = await makeNetns(t);
  const text = `interfaces: { a: { device: { netns: ${netns.path}, name: eth0 }, addresses: [10.0.0.1] } }\n`;
  const names = (): string[] =>
    checkText(t, text, machine({}), true)
      .filter(({ name }) => name === 'devices')
      .map(({ status, found }) => `${status} ${found}`);
  assert.deepEqual(names(), ['ok 1 name is free']);
  const native = loadNative();
  const { fd } = native.openDevice({
    kind: 'tun',
    name: 'eth0',
    netns: netns.path,
    persist: false,
  });
  t.after(() => native.closeFd(fd));
  assert.deepEqual(names(), [`warn there already: eth0 in ${netns.path}`]);
});

test('for people: what is wrong comes with its meaning and its cure', () => {
  const text = formatChecks([
    { name: 'kernel', status: 'ok', found: 'Linux 6.18' },
    { name: 'tun', status: 'fail', found: 'no', means: 'nothing works', mend: 'modprobe tun' },
  ]);
  assert.equal(
    text,
    `OK   kernel         Linux 6.18
FAIL tun            no
                    means: nothing works
                    mend:  modprobe tun
1 ok, 0 warnings, 1 failed
`,
  );
});

test('the command: exit codes, JSON, and nothing left behind', async (t) => {
  if (!requireRoot(t) || !requireTun(t) || !requireTools(t, 'ip')) return;
  const netns = await makeNetns(t);
  const file = join(temporary(t), 'secgroupd.yaml');
  const doctor = (...args: string[]): ReturnType<typeof run> =>
    netns.run(process.execPath, [MAIN, 'doctor', ...args]);
  writeFileSync(
    file,
    `interfaces: { a: { device: { netns: ${netns.path}, name: eth0 }, addresses: [10.0.0.1] } }\n`,
  );
  const good = await doctor('--config', file, '--json');
  const { checks } = JSON.parse(good.stdout) as { readonly checks: readonly Check[] };
  assert.deepEqual(
    checks.filter(({ status }) => status === 'fail'),
    [],
  );
  assert.equal(good.code, 0);
  assert.deepEqual(
    [...new Set(checks.map(({ name }) => name))],
    [
      'addon',
      'kernel',
      'node',
      'tun',
      'capability',
      'offloads',
      'clock',
      'descriptors',
      'rootless',
      'configuration',
      'namespaces',
      'devices',
      'memory',
      'doors',
    ],
  );
  assert.deepEqual(
    (await netns.mustRun('ls', ['/sys/class/net']))
      .split(/\s+/)
      .filter((name) => name.startsWith('sgdr')),
    [],
  );
  const bad = await doctor('--config', `${file}.none`);
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /^FAIL configuration +.*the file can't be read: ENOENT/m);
  assert.match(bad.stdout, /\d+ ok, \d+ warnings?, 1 failed\n$/);
  const wrong = await doctor('--frobnicate');
  assert.deepEqual([wrong.code, wrong.stderr], [2, "error: unknown option '--frobnicate'\n"]);
});

test('the store of the service: nothing, in force, away, refused, left out', () => {
  const store = { file: 'etcds://db/', host: 'a', revision: 7, notInForce: [] };
  const outcome = (more: Partial<StoreStatus>): readonly [string, string] => {
    const [{ status, found }] = storeCheck({ store: { ...store, ...more } });
    return [status, found];
  };
  assert.deepEqual(storeCheck({}), []);
  assert.deepEqual(outcome({}), ['ok', 'revision 7 of etcds://db/ is in force on a']);
  assert.deepEqual(outcome({ awaySec: 90 }), ['warn', 'etcds://db/ has not been reached for 90 s']);
  assert.deepEqual(outcome({ refused: { revision: 8, message: 'no\nmemory' } }), [
    'warn',
    'revision 8 was refused: no\ufffdmemory',
  ]);
  const notInForce = [{ id: 'eni-1', reason: 'no device' }];
  assert.deepEqual(outcome({ notInForce }), ['warn', '1 not in force; eni-1: no device']);
});
