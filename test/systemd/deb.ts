/** Builds the Debian package for a test, quickly compressed, from what is built already. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { mustRun } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import type { Container } from './container.ts';

/**
 * Its path; the end of the test removes it, or that of the whole run, which builds a version once. Test files that run
 * at the same time wait for the one that does.
 */
export async function buildDeb(t: TestContext, version: string): Promise<string> {
  const output = process.env['SECGROUPD_TEST_PACKAGES'] ?? makeFolder(t);
  const architecture = await mustRun('dpkg', ['--print-architecture']);
  const built = join(output, `secgroupd_${version}_${architecture.trim()}.deb`);
  const args = ['--fast', '--no-build', '--version', version, '--output', output];
  const build = [join(repositoryRoot(), 'scripts/build-deb'), ...args];
  const once = ['sh', '-ec', '[ -e "$1" ] || { shift; "$@"; }', 'once', built, ...build];
  await mustRun('flock', [join(output, 'lock'), ...once]);
  return built;
}

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-deb-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Installs it, or upgrades to it. Returns what dpkg and the package's scripts said. */
export async function installDeb(container: Container, deb: string): Promise<string> {
  const path = `/srv/${basename(deb)}`;
  container.copyIn(deb, path);
  const command = `DEBIAN_FRONTEND=noninteractive dpkg -i ${path} 2>&1; rm ${path}`;
  return container.sh(command);
}
