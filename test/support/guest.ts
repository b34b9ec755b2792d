/**
 * Boots a virtual machine whose kernel is Debian's for clouds, as it is, without a disk: its first program is a script in
 * an archive of busybox and the drivers of its network card. Everything runs by emulation (TCG), which each machine can.
 *
 * scripts/setup unpacks the kernel's package into GUEST_FOLDER; it need not be installed.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Netns } from './netns.ts';
import type { Running } from './process.ts';
import { findTool, requireTools } from './require.ts';

export const QEMU = 'qemu-system-x86_64';
const GUEST_FOLDER = '/var/cache/secgroupd-test/guest';
/** What the guest needs; which others these need differs from one release of the kernel to the next. */
const MODULES = ['virtio_pci', 'virtio_net'];

export interface GuestFiles {
  readonly kernel: string;
  readonly initrd: string;
}

/** The files of a guest that runs `script` as its first program; undefined: the test has been skipped. */
export function makeGuest(t: TestContext, script: string): GuestFiles | undefined {
  if (!requireTools(t, QEMU, 'busybox', 'find')) return undefined;
  const found = findKernel();
  if (found === undefined) {
    t.skip(`needs a kernel for the guest in ${GUEST_FOLDER} (scripts/setup --for test)`);
    return undefined;
  }
  const folder = mkdtempSync(join(tmpdir(), 'sgt-guest-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const root = join(folder, 'root');
  for (const name of ['bin', 'proc', 'sys', 'dev', 'etc', 'modules'])
    mkdirSync(join(root, name), { recursive: true });
  copyFileSync(findTool('busybox')!, join(root, 'bin/busybox'));
  const modules = inLoadOrder(found.modules, MODULES);
  modules.forEach((path, i) => {
    copyFileSync(path, join(root, 'modules', `${i}.ko`));
  });
  const load = modules.map((_, i) => `insmod /modules/${i}.ko\n`).join('');
  writeFileSync(join(root, 'init'), `${INIT}${load}${script}`, { mode: 0o755 });
  const initrd = join(folder, 'initrd');
  const pack = `cd ${root} && find . | busybox cpio -o -H newc > ${initrd}`;
  execFileSync('sh', ['-c', pack], { stdio: ['ignore', 'ignore', 'ignore'] });
  return { kernel: found.kernel, initrd };
}

function findKernel(): { readonly kernel: string; readonly modules: string } | undefined {
  const boot = join(GUEST_FOLDER, 'boot');
  const names = existsSync(boot) ? readdirSync(boot).sort() : [];
  const name = names.filter((one) => one.startsWith('vmlinuz-')).at(-1);
  if (name === undefined) return undefined;
  const version = name.slice('vmlinuz-'.length);
  const modules = join(GUEST_FOLDER, 'lib/modules', version, 'kernel');
  return existsSync(modules) ? { kernel: join(boot, name), modules } : undefined;
}

/** The files of modules, each behind those that it says it depends on. */
function inLoadOrder(folder: string, names: readonly string[]): readonly string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const byName = new Map(
    files.flatMap((file): [string, string][] =>
      file.endsWith('.ko')
        ? [[basename(file, '.ko').replaceAll('-', '_'), join(folder, file)]]
        : [],
    ),
  );
  const ordered = new Set<string>();
  const add = (name: string): void => {
    const path = byName.get(name);
    if (path === undefined) throw new Error(`the guest's kernel has no module ${name}`);
    if (ordered.has(path)) return;
    const [, depends = ''] = /\0depends=([^\0]*)\0/.exec(readFileSync(path, 'latin1')) ?? [];
    for (const other of depends.split(',')) if (other !== '') add(other);
    ordered.add(path);
  };
  for (const name of names) add(name);
  return [...ordered];
}

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
`;

/** Starts the guest in a namespace; what it writes to its console is the output. */
export function startGuest(
  netns: Pick<Netns, 'start'>,
  { kernel, initrd }: GuestFiles,
  netdev: string,
  mac: string,
): Promise<Running> {
  return netns.start(QEMU, [
    ...['-accel', 'tcg', '-cpu', 'max', '-m', '192', '-nographic', '-no-reboot', '-nodefaults'],
    ...['-serial', 'stdio', '-kernel', kernel, '-initrd', initrd],
    ...['-append', 'console=ttyS0 quiet panic=-1 rdinit=/init'],
    ...['-netdev', `${netdev},id=n0`, '-device', `virtio-net-pci,netdev=n0,mac=${mac},romfile=`],
  ]);
}
