/** The Debian package as a file: the same twice, with the owners, rights and contents it should have. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mustRun, run } from '../support/process.ts';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';

const EXAMPLE = /usr\/share\/doc\/secgroupd\/examples\/[\w.-]*\w/g;

test('the Debian package', async (t) => {
  if (!requireTools(t, 'dpkg-deb', 'npm', 'readelf', 'strip')) return;
  const folder = mkdtempSync(join(tmpdir(), 'sgt-deb-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const build = async (name: string, ...options: string[]): Promise<string> => {
    const printed = await mustRun(
      join(repositoryRoot(), 'scripts/build-deb'),
      ['--fast', '--no-build', '--output', join(folder, name), ...options],
      {
        env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' },
      },
    );
    return printed.trim();
  };
  const digest = (path: string): string =>
    createHash('sha256').update(readFileSync(path)).digest('hex');
  const first = await build('first');

  await t.test('is the same when it is built again', async () => {
    assert.equal(digest(await build('second')), digest(first));
  });

  const listed = await mustRun('dpkg-deb', ['--contents', first]);
  const files = listed
    .trim()
    .split('\n')
    .map((line) => /^(\S+) (\S+)\s+\d+ (\S+ \S+) (.*)$/.exec(line)!)
    .map(([, mode, owner, time, name]) => ({
      mode,
      owner,
      time,
      name: name.replace(/ -> .*/, ''),
    }));

  await t.test('belongs to root, is written by root alone, and is as old as its sources', () => {
    assert.deepEqual([...new Set(files.map(({ owner }) => owner))], ['root/root']);
    assert.deepEqual([...new Set(files.map(({ time }) => time))], ['2023-11-14 22:13']);
    assert.deepEqual(
      files.filter(({ mode }) => !/^(drwxr-xr-x|-rwxr-xr-x|-rw-r--r--|lrwxrwxrwx)$/.test(mode)),
      [],
    );
    const programs = files.filter(({ mode }) => mode === '-rwxr-xr-x').map(({ name }) => name);
    assert.deepEqual(programs.sort(), [
      './usr/lib/secgroupd/bin/node',
      './usr/lib/secgroupd/dist/src/api/secgroup-api.js',
      './usr/lib/secgroupd/dist/src/cli/sgctl.js',
      './usr/lib/secgroupd/dist/src/doors/cni/secgroupd-cni.js',
      './usr/lib/secgroupd/dist/src/doors/docker/secgroupd-docker.js',
      './usr/lib/secgroupd/dist/src/doors/netavark/secgroupd-netavark.js',
      './usr/lib/secgroupd/dist/src/main.js',
      './usr/lib/secgroupd/dist/src/metadata/secgroup-metadata.js',
    ]);
  });

  await t.test('has each unit, and each example that a page or a unit names', () => {
    const names = new Set(files.map(({ name }) => name.replace(/^\.\//, '')));
    const root = repositoryRoot();
    const sources = repositoryFiles(root).filter((path) => /^(?:docs|systemd)\//.test(path));
    const units = sources.flatMap(
      (path) => /^systemd\/([^/]+\.(?:service|socket))$/.exec(path)?.[1] ?? [],
    );
    const wanted = new Set([
      ...units.map((name) => `usr/lib/systemd/system/${name}`),
      ...sources.flatMap((path) => readFileSync(join(root, path), 'utf8').match(EXAMPLE) ?? []),
    ]);
    assert.ok(units.length > 0 && wanted.size > units.length);
    assert.deepEqual(
      [...wanted].filter((name) => !names.has(name)),
      [],
    );
  });

  await t.test('has what runs in production, and nothing of the development', () => {
    const names = new Set(files.map(({ name }) => name.replace(/^\.\//, '')));
    const manifest = JSON.parse(readFileSync(join(repositoryRoot(), 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
      devDependencies: Record<string, string>;
    };
    const modules = 'usr/lib/secgroupd/node_modules';
    for (const name of Object.keys(manifest.dependencies))
      assert.ok(names.has(`${modules}/${name}/package.json`), name);
    for (const name of Object.keys(manifest.devDependencies))
      assert.equal(names.has(`${modules}/${name}/package.json`), false, name);
    assert.equal(names.has(`${modules}/cap/package.json`), false);
    assert.deepEqual(
      [...names].filter((name) => name.startsWith(modules) && name.endsWith('.node')),
      [`${modules}/@libsql/linux-${process.arch}-gnu/index.node`],
    );
    const built = 'usr/lib/secgroupd/dist';
    assert.deepEqual(
      [...names].filter((name) => name.startsWith(built) && !/(\.js|\.node|\/)$/.test(name)).sort(),
      [
        `${built}/src/bundle/LICENSES.txt`,
        `${built}/src/bundle/config-validator.cjs`,
        `${built}/src/config/config-validator.cjs`,
        ...['index.html', 'index.html.gz', 'page.css', 'page.css.gz', 'page.js.gz'].map(
          (name) => `${built}/src/console/page/${name}`,
        ),
      ],
    );
    for (const name of ['main.js', 'secgroup-api.js', 'worker.js'])
      assert.ok(names.has(`${built}/src/bundle/${name}`), name);
    assert.deepEqual(
      [...names].filter((name) => name.startsWith('etc/') && !name.endsWith('/')),
      ['etc/secgroupd/secgroupd.yaml'],
    );
  });

  await t.test('brings the release of Node.js that it says, with its licence', async () => {
    const releases = JSON.parse(
      readFileSync(join(repositoryRoot(), 'scripts/deb/node-releases.json'), 'utf8'),
    ) as { packaged: string };
    const unpacked = join(folder, 'unpacked');
    await mustRun('dpkg-deb', ['--extract', first, unpacked]);
    const home = join(unpacked, 'usr/lib/secgroupd');
    const version = await mustRun(join(home, 'bin/node'), ['--version']);
    assert.match(version, new RegExp(`^v${releases.packaged}\\.`));
    const licence = await mustRun('zcat', [
      join(unpacked, 'usr/share/doc/secgroupd/LICENSE.node.gz'),
    ]);
    assert.match(licence, /Node\.js is licensed for use as follows/);
    const loaded = await mustRun(join(home, 'bin/node'), [
      join(home, 'dist/src/cli/sgctl.js'),
      '--version',
    ]);
    assert.match(loaded, /^\d+\.\d+\.\d+$/m);
    // A store takes the binary of libsql.
    const none = await run(join(home, 'bin/node'), [
      join(home, 'dist/src/main.js'),
      ...['store', 'check', '--store', join(home, 'package.json')],
    ]);
    assert.match(none.stderr, /: file is not a database; /);
  });

  await t.test('can depend on the Node.js of the system instead', async () => {
    const control = await mustRun('dpkg-deb', [
      '--field',
      await build('system', '--system-node'),
      'Depends',
    ]);
    assert.match(
      control,
      /^libc6 \(>= [\d.]+\), libgcc-s1, systemd \(>= 252\) \| systemd-standalone-sysusers, nodejs \(>= 20\)$/m,
    );
  });
});
