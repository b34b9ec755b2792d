/**
 * Makes one file of the daemon and one of each thread, so that a start reads two files and not four hundred:
 * node main.js build/src. Run by scripts/build when all else is done.
 *
 * They go to build/src/bundle, with what both share and what is loaded later beside them; build/src/main.js
 * then starts what is there. The single files stay as they are: sgctl and the tests use them. A file that finds
 * others by its own place (the addon, package.json, the thread's file) is one folder below src/, as the bundle is.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { VALIDATOR_FILE } from '../../src/control/config/config-shape.ts';
import { restoreConstants } from '../inline/functions.ts';

const BUNDLE = 'bundle';
const LICENCES_FILE = 'LICENSES.txt';
const LICENCE_NAME = /^(licen[cs]e|copying)(\.|$)/i;
/** Packages in CommonJS ask for built-in modules by `require`. */
const BANNER =
  "import { createRequire as createRequireHere } from 'node:module';\n" +
  'const require = createRequireHere(import.meta.url);';

const root = resolve(process.argv[2] ?? 'build/src');
const folder = join(root, BUNDLE);
const main = join(root, 'main.js');

rmSync(folder, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: [
    main,
    join(root, 'dataplane/worker.js'),
    join(root, 'control/config/load-thread.js'),
  ],
  outdir: folder,
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: true,
  banner: { js: BANNER },
  // Optional, and loaded by sgctl alone.
  external: ['cap'],
  metafile: true,
  logLevel: 'warning',
});
for (const name of readdirSync(folder).filter((name) => name.endsWith('.js'))) {
  const path = join(folder, name);
  writeFileSync(path, restoreConstants(readFileSync(path, 'utf8')));
}
await build({
  entryPoints: [join(root, 'control/config', VALIDATOR_FILE)],
  outfile: join(folder, VALIDATOR_FILE),
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  logLevel: 'warning',
});
writeFileSync(join(folder, LICENCES_FILE), licences(metafile));

const [interpreter] = readFileSync(main, 'utf8').split('\n', 1);
writeFileSync(main, `${interpreter}\nimport './${BUNDLE}/main.js';\n`);

/** The licences of the packages that are in the bundle: who passes it on passes them on. */
function licences({ inputs }: Metafile): string {
  const packages = new Set(Object.keys(inputs).flatMap((path) => packageFolder(path) ?? []));
  return [...packages]
    .sort()
    .map((at) => {
      const { name, version } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')) as {
        readonly name: string;
        readonly version: string;
      };
      const file = readdirSync(at).find((entry) => LICENCE_NAME.test(entry));
      if (file === undefined) throw new Error(`${name} has no file with its licence`);
      return `${name} ${version}\n\n${readFileSync(join(at, file), 'utf8').trim()}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

/** The folder of the package a file is of; undefined for one of ours. */
function packageFolder(path: string): string | undefined {
  const found = /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
  return found === null ? undefined : resolve(found[1]);
}
