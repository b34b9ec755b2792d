/**
 * scripts/build may be interrupted anywhere: the next one gives what a clean one gives. Tried on a source tree of a few
 * files, with the scripts and the compiler of this one.
 *
 * Starts early: it builds again and again.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun, run, start } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';

const LOOK_MS = 2;
/** How often an interruption that came too late is tried again. */
const TRIES = 5;

/** What src/main.ts and the validator's maker import has to be where they look for it. */
const REAL_MAIN = 'src/main.ts';
const VALIDATOR = 'scripts/validators/validator.ts';
const PAGE_CONFIG = 'src/console/page/tsconfig.json';

const SOURCES: Readonly<Record<string, string>> = {
  'src/cli/sgctl.ts':
    "#!/usr/bin/env node\nimport { judge } from '../engine/evaluate.ts';\nconsole.log(judge());\n",
  'src/api/secgroup-api.ts': '#!/usr/bin/env node\nconsole.log(1);\n',
  'src/doors/cni/secgroupd-cni.ts': '#!/usr/bin/env node\nconsole.log(2);\n',
  'src/doors/netavark/secgroupd-netavark.ts': '#!/usr/bin/env node\nconsole.log(3);\n',
  'src/doors/docker/secgroupd-docker.ts': '#!/usr/bin/env node\nconsole.log(2);\n',
  'src/metadata/secgroup-metadata.ts': '#!/usr/bin/env node\nconsole.log(2);\n',
  'src/dataplane/worker.ts':
    "import { judge } from '../engine/evaluate.ts';\nconsole.log('thread', judge());\n",
  'src/engine/evaluate.ts': `import { LINK_SCOPE } from './reasons.ts';
export function judge(): number {
  return LINK_SCOPE;
}
`,
  'src/engine/reasons.ts': reasons(7),
  'src/console/page/main.tsx': "document.title = 'page';\n",
  'src/console/page/styles/page.css': 'body { color: black; }\n',
  'src/console/page/index.html': '<!doctype html>\n',
  'src/wire/status.ts': 'export const STATUS_COUNT = 10;\n',
  'src/conntrack/flow.ts': 'export const FLOW_WORDS = 2;\n',
  'src/policy/peer.ts': 'export const ANY = 1;\n',
  'test/nothing.ts': 'export {};\n',
};

/** Modules by their name, in place of those that a real file imports from somewhere. */
const IMPORTED: Readonly<Record<string, string>> = {
  'early-thread.ts': `import { Worker } from 'node:worker_threads';
export function startEarlyThread(): void {
  new Worker(new URL('./worker.js', import.meta.url));
}
`,
  'start.ts': "import { judge } from '../engine/evaluate.ts';\nconsole.log(judge());\n",
  'config-shape.ts': `import { fileURLToPath } from 'node:url';
export const AJV_OPTIONS = { allErrors: true };
export const VALIDATOR_PATH = fileURLToPath(new URL('config-validator.cjs', import.meta.url));
`,
  'schema.ts': "export const CONFIG_SCHEMA = { type: 'object' };\n",
};

/** The constant that another module's code has inlined is ten more than `offset`. */
function reasons(offset: number): string {
  return `import { STATUS_COUNT } from '../wire/status.ts';\nexport const LINK_SCOPE = STATUS_COUNT + ${offset};\n`;
}

describe('scripts/build', () => {
  let root: string;
  /** dist/ as a clean build makes it. */
  let clean: ReadonlyMap<string, string>;

  before(async () => {
    root = makeTree();
    await build(root);
    clean = filesBelow(join(root, 'dist'));
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  test('inlines, bundles, and runs', async () => {
    const inlined = readFileSync(join(root, 'dist/src/engine/evaluate.js'), 'utf8');
    assert.match(inlined, /return 17;/);
    assert.match(readFileSync(join(root, 'build/src/engine/evaluate.js'), 'utf8'), /LINK_SCOPE;/);
    const main = readFileSync(join(root, 'dist/src/main.js'), 'utf8');
    assert.match(main, /^#!.*\nimport '\.\/bundle\/main\.js';\n$/);
    assert.deepEqual(await answers(root), ['17', '17', 'thread 17']);
    for (const name of ['index.html', 'page.css', 'page.js', 'page.js.gz'])
      assert.ok(clean.has(`src/console/page/${name}`), name);
  });

  test('does nothing where nothing has changed', async () => {
    assert.equal(await build(root), '');
    assert.deepEqual(filesBelow(join(root, 'dist')), clean);
  });

  test('gives the same when the last step is done again', async () => {
    const compiled = filesBelow(join(root, 'build'));
    rmSync(join(root, 'dist/src/inputs.sha256'));
    assert.match(await build(root), /^build: dist\/src, [^\n]*\n$/);
    assert.deepEqual(filesBelow(join(root, 'dist')), clean);
    assert.deepEqual(filesBelow(join(root, 'build')), compiled);
  });

  test('takes a changed constant to all that name it', async () => {
    writeFileSync(join(root, 'src/engine/reasons.ts'), reasons(8));
    await build(root);
    assert.deepEqual(await answers(root), ['18', '18', 'thread 18']);
    const changed = filesBelow(join(root, 'dist'));
    rmSync(join(root, 'build'), { recursive: true });
    rmSync(join(root, 'dist'), { recursive: true });
    copyAddon(root);
    await build(root);
    assert.deepEqual(filesBelow(join(root, 'dist')), changed);
    writeFileSync(join(root, 'src/engine/reasons.ts'), reasons(7));
    await build(root);
    assert.deepEqual(filesBelow(join(root, 'dist')), clean);
  });

  for (const [where, isThere] of [
    ['tsc starts', (root: string) => existsSync(join(root, 'build/compiling'))],
    [
      'tsc has written something',
      (root: string) =>
        /\+ 9/.test(readFileSync(join(root, 'build/src/engine/reasons.js'), 'utf8')),
    ],
    ['dist/ is begun', (root: string) => existsSync(join(root, 'dist/src.new'))],
    ['the bundle is written', (root: string) => existsSync(join(root, 'dist/src.new/bundle'))],
  ] as const)
    test(`may be killed when ${where}`, async () => {
      const source = join(root, 'src/engine/reasons.ts');
      const change = (): void => writeFileSync(source, reasons(9));
      const undo = (): void => writeFileSync(source, reasons(7));
      await interrupt(root, change, undo, isThere);
      const left = filesBelow(join(root, 'dist/src'));
      if (left.size > 0)
        for (const [path, text] of left) assert.equal(text, clean.get(`src/${path}`), path);
      // What tsc remembers, if it got no further, is of this text.
      undo();
      await build(root);
      assert.deepEqual(filesBelow(join(root, 'dist')), clean);
    });

  test('says so when the bundle is older than what was compiled last', async () => {
    const main = join(root, 'dist/src/main.js');
    assert.equal((await run(main, ['doctor'])).stderr, '');
    const later = new Date(statSync(join(root, 'dist/src/inputs.sha256')).mtimeMs + 1000);
    utimesSync(join(root, 'build/tsconfig.tsbuildinfo'), later, later);
    assert.equal(
      (await run(main, ['doctor'])).stderr,
      'dist/ is older than what was compiled last: run scripts/build\n',
    );
    rmSync(join(root, 'build/tsconfig.tsbuildinfo'));
    assert.equal((await run(main, ['doctor'])).stderr, '');
  });
});

/** What the programs of dist/ print: sgctl, the daemon, its thread. */
async function answers(root: string): Promise<string[]> {
  const sgctl = await mustRun(join(root, 'dist/src/cli/sgctl.js'), []);
  const daemon = await mustRun(join(root, 'dist/src/main.js'), []);
  return `${sgctl}${daemon}`.trim().split('\n').sort();
}

function makeTree(): string {
  const root = mkdtempSync(join(tmpdir(), 'sgt-build-'));
  const real = repositoryRoot();
  const files = ['package.json', 'package-lock.json', 'tsconfig.json', REAL_MAIN, VALIDATOR];
  for (const path of [...files, PAGE_CONFIG]) cpSync(join(real, path), join(root, path));
  for (const path of ['native', 'scripts/dist', 'scripts/inline', 'scripts/bundle'])
    cpSync(join(real, path), join(root, path), { recursive: true, preserveTimestamps: true });
  for (const path of ['scripts/build', 'scripts/build-native'])
    cpSync(join(real, path), join(root, path), { preserveTimestamps: true });
  symlinkSync(join(real, 'node_modules'), join(root, 'node_modules'));
  for (const [path, text] of Object.entries(SOURCES)) write(join(root, path), text);
  for (const importer of [REAL_MAIN, VALIDATOR]) {
    const text = readFileSync(join(root, importer), 'utf8');
    for (const [, specifier] of text.matchAll(/'(\.[^']+\.ts)'/g))
      write(join(root, dirname(importer), specifier), IMPORTED[basename(specifier)]);
  }
  copyAddon(root);
  return root;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** The addon is not what is tried here. */
function copyAddon(root: string): void {
  const path = 'build/native/secgroupd.node';
  cpSync(join(repositoryRoot(), path), join(root, path), { preserveTimestamps: true });
}

function build(root: string): Promise<string> {
  return mustRun(join(root, 'scripts/build'), []);
}

/** Changes something, builds, and kills the build with all it has started as soon as `isThere`. */
async function interrupt(
  root: string,
  change: () => void,
  undo: () => void,
  isThere: (root: string) => boolean,
): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    change();
    const building = await start(join(root, 'scripts/build'), []);
    let hasEnded = false;
    void building.ended.then(() => (hasEnded = true));
    while (!hasEnded && !isThere(root)) await sleep(LOOK_MS);
    const { signal } = await building.stop('SIGKILL');
    if (signal === 'SIGKILL') return;
    undo();
    await build(root);
  }
  assert.fail(`the build ended before it was interrupted, ${TRIES} times`);
}

/** Contents by path. */
function filesBelow(folder: string): ReadonlyMap<string, string> {
  if (!existsSync(folder)) return new Map();
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return new Map(
    paths
      .filter((path) => statSync(join(folder, path)).isFile())
      .map((path) => [path, readFileSync(join(folder, path), 'latin1')]),
  );
}
