/** `npm pack`: what is in the archive, and that it runs where it is installed. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { uniqueName } from '../support/netns.ts';
import { mustRun, run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-npm-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

async function pack(folder: string): Promise<Packed> {
  // Without scripts: what is built is what is tested.
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const printed = await mustRun('npm', args, { cwd: repositoryRoot() });
  return (JSON.parse(printed) as Packed[])[0];
}

function configText(namespace: string): string {
  return `securityGroups:
  all:
    description: Whatever comes
    ingress: [{ protocol: all, from: 0.0.0.0/0 }]
interfaces:
  eni-1:
    device: { kind: tun, netns: ${namespace}, name: eth0 }
    addresses: [10.0.0.11]
    securityGroups: [all]
`;
}

test('the package of npm', async (t) => {
  if (!requireTools(t, 'npm')) return;
  const folder = makeFolder(t);
  const { filename, files } = await pack(folder);
  const paths = files.map(({ path }) => path);

  await t.test('has what runs and what builds the addon, and no more', () => {
    for (const needed of [
      'dist/src/main.js',
      'dist/src/bundle/main.js',
      'dist/src/bundle/worker.js',
      'dist/src/bundle/config-validator.cjs',
      'dist/src/bundle/LICENSES.txt',
      'dist/src/config/config-validator.cjs',
      'dist/src/cli/sgctl.js',
      'build/native/secgroupd.node',
      'native/addon.c',
      'scripts/build-native',
      'config/secgroupd.schema.json',
      'systemd/secgroupd.service',
      'LICENSE',
    ])
      assert.ok(paths.includes(needed), needed);
    const others = paths.filter(
      (path) =>
        !/^(dist\/src|build\/native|native|config|systemd)\/|^scripts\/build-native$/.test(path),
    );
    assert.deepEqual(others.sort(), ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']);
    assert.deepEqual(
      paths.filter((path) => /\.map$|\.test\.js$|^(build|dist)\/.*\.ts$/.test(path)),
      [],
    );
  });

  // As anywhere else, but that cap is not compiled: nothing here uses it.
  const prefix = join(folder, 'prefix');
  const installed = await run(
    'npm',
    [
      'install',
      '--prefix',
      prefix,
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      join(folder, filename),
    ],
    { cwd: folder },
  );
  if (installed.code !== 0 && /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(installed.stderr)) {
    t.skip('needs the registry of npm');
    return;
  }
  assert.equal(installed.code, 0, installed.stderr);
  const sgctl = join(prefix, 'node_modules/.bin/sgctl');
  const home = join(prefix, 'node_modules/secgroupd');

  await t.test('runs', async () => {
    const { version } = JSON.parse(
      readFileSync(join(repositoryRoot(), 'package.json'), 'utf8'),
    ) as { version: string };
    assert.equal(await mustRun(sgctl, ['--version']), `${version}\n`);
    assert.equal(
      await mustRun(join(prefix, 'node_modules/.bin/secgroupd'), ['--version']),
      `${version}\n`,
    );
    const none = await run(join(prefix, 'node_modules/.bin/secgroupd'), [
      ...['store', 'check', '--store', join(home, 'package.json')],
    ]);
    assert.match(none.stderr, /: file is not a database; /);
    const demo = join(home, 'config/demo.yaml');
    assert.match(await mustRun(sgctl, ['check', demo]), /: ok, 3 interfaces, /);
  });

  await t.test('carries packets in a lab', async (t) => {
    if (!requireRoot(t) || !requireTun(t) || !requireTools(t, 'ip', 'ping')) return;
    const name = uniqueName();
    const config = join(folder, `${name}.yaml`);
    writeFileSync(config, configText(name));
    try {
      await mustRun(sgctl, ['lab', 'up', config]);
      const addresses = await mustRun(sgctl, ['lab', 'exec', name, '--', 'ip', '-br', 'address']);
      assert.match(addresses, /^eth0 .*10\.0\.0\.11\//m);
    } finally {
      await run(sgctl, ['lab', 'down', name]);
    }
  });

  await t.test('builds its addon anew where the one inside does not fit', async (t) => {
    if (!requireTools(t, 'cc')) return;
    const addon = join(home, 'build/native/secgroupd.node');
    rmSync(addon);
    const { code, stderr } = await run(join(home, 'scripts/build-native'), []);
    if (code !== 0 && /node_api\.h is missing/.test(stderr)) {
      t.skip('needs the headers of Node.js');
      return;
    }
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(existsSync(addon), true);
  });
});
