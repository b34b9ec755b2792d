/**
 * A small Debian to boot in a container, made once by debootstrap and kept in the user's cache.
 *
 * Debian 12, because its systemd (252) is the oldest that the unit is made for. A copy is booted, never
 * the kept one. Test files that run at the same time wait for the one that makes it.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { mustRun } from '../support/process.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';

const SUITE = 'bookworm';
const MIRROR = process.env['DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
const PACKAGES = [
  'systemd',
  'systemd-sysv',
  'iproute2',
  'iperf3',
  'iputils-ping',
  'nftables',
  'procps',
];
/** What no test reads; a third of the size. */
const SUPERFLUOUS = [
  'var/cache/apt',
  'var/lib/apt/lists',
  'usr/share/doc',
  'usr/share/locale',
  'usr/share/man',
];
/** Under a lock; arguments: the place, where to make it, and what debootstrap takes. What a killed run left goes. */
const MAKE = `
place=$1 making=$2; shift 2
[ ! -d "$place" ] || exit 0
rm -rf "$making"
trap 'rm -rf "$making"' EXIT
debootstrap "$@"
cd "$making"
rm -rf ${SUPERFLUOUS.join(' ')}
mv "$making" "$place"
`;

/** Whether this machine can boot a container; skips the test if not. */
export function requireContainers(t: TestContext): boolean {
  return (
    requireRoot(t) &&
    isRealRoot(t) &&
    requireTun(t) &&
    requireTools(
      t,
      'debootstrap',
      'flock',
      'systemd-nspawn',
      'nsenter',
      'dpkg-deb',
      'npm',
      'readelf',
    )
  );
}

/** Root of a user namespace may not make device nodes, and debootstrap makes them. */
function isRealRoot(t: TestContext): boolean {
  const lines = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  const ids = lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
  if (ids > 65_536) return true;
  t.skip('needs root outside user namespaces');
  return false;
}

/**
 * The directory with the kept root file system; makes it if it isn't there.
 * @returns undefined, with the test skipped, if Debian's mirror can't be reached
 */
export async function prepareRootFilesystem(t: TestContext): Promise<string | undefined> {
  const recipe = JSON.stringify([SUITE, PACKAGES, SUPERFLUOUS]);
  const digest = createHash('sha256').update(recipe).digest('hex').slice(0, 12);
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'secgroupd');
  const directory = join(cache, `rootfs-${SUITE}-${digest}`);
  if (existsSync(directory)) return directory;
  mkdirSync(cache, { recursive: true });
  const making = `${directory}.making`;
  console.log(`making a container with debootstrap, once: ${directory} (1 to 2 minutes)`);
  const started = performance.now();
  try {
    const args = ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, making, MIRROR];
    const script = ['sh', '-ec', MAKE, 'make', directory, making];
    await mustRun('flock', [`${directory}.lock`, ...script, ...args]);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // Only a mirror out of reach is no fault of ours.
    if (!/Failed getting release file|Couldn't download/.test(text)) throw error;
    t.skip(`needs a mirror of Debian: ${text.trim().split('\n').at(-1)}`);
    return undefined;
  }
  console.log(`made in ${Math.round((performance.now() - started) / 1000)} s`);
  return directory;
}
