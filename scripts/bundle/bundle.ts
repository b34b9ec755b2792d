/**
 * Makes one file of each program (the daemon, sgctl and so on) and of each thread and program they start, so that a start
 * reads a few files and not four hundred.
 *
 * They go to the folder `bundle`, with what they share and what is loaded later beside them. The programs' own files
 * become a line each that starts what is there. The single modules stay for the tests. A file that
 * finds others by its own place (the addon, package.json, the thread's file) is one folder below src/, as the bundle is.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import { restoreConstants } from '../inline/functions.ts';
import { licencesOf, packagesIn } from './licences.ts';

const BUNDLE = 'bundle';
/** What people and the service manager start. */
const PROGRAMS = [
  ...['main.js', 'cli/sgctl.js', 'api/secgroup-api.js'],
  ...['doors/cni/secgroupd-cni.js', 'doors/netavark/secgroupd-netavark.js'],
  ...['doors/docker/secgroupd-docker.js', 'metadata/secgroup-metadata.js'],
];
const LICENCES_FILE = 'LICENSES.txt';
/** Packages in CommonJS ask for built-in modules by `require`. */
const BANNER =
  "import { createRequire as createRequireHere } from 'node:module';\n" +
  'const require = createRequireHere(import.meta.url);';
/** How a module names the file of a thread, or of a program that it starts. */
const STARTED = /\bnew URL\(\s*'(\.\/[^']+\.js)',\s*import\.meta\.url\s*\)/g;

/**
 * Bundles the programs of a folder into a folder in it.
 * @param folder a copy of build/src, with all else done
 * @param beside modules in CommonJS that a module expects beside itself
 * @param others folders of packages that are in other files of ours: their licences are written as well
 */
export async function bundlePrograms(
  folder: string,
  beside: readonly string[],
  others: readonly string[],
): Promise<void> {
  const target = join(folder, BUNDLE);
  const common: BuildOptions = {
    absWorkingDir: folder,
    bundle: true,
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
  };
  const { metafile } = await build({
    ...common,
    entryPoints: [
      ...new Set([...PROGRAMS.map((name) => join(folder, name)), ...startedIn(folder)]),
    ],
    outdir: target,
    entryNames: '[name]',
    splitting: true,
    format: 'esm',
    sourcemap: true,
    banner: { js: BANNER },
    // `cap` is optional, and compiled on the machine; `libsql` finds its binary by its own place.
    external: ['cap', 'libsql'],
    metafile: true,
  });
  for (const name of readdirSync(target).filter((name) => name.endsWith('.js'))) {
    const path = join(target, name);
    writeFileSync(path, restoreConstants(readFileSync(path, 'utf8')));
  }
  for (const path of beside)
    await build({
      ...common,
      entryPoints: [path],
      outfile: join(target, basename(path)),
      format: 'cjs',
    });
  writeFileSync(
    join(target, LICENCES_FILE),
    licencesOf([...packagesIn(metafile, folder), ...others]),
  );

  for (const name of PROGRAMS) {
    const path = join(folder, name);
    const [interpreter] = readFileSync(path, 'utf8').split('\n', 1);
    const bundled = relative(dirname(path), join(target, basename(name)));
    const specifier = bundled.startsWith('.') ? bundled : `./${bundled}`;
    writeFileSync(path, `${interpreter}\nimport '${specifier}';\n`);
    rmSync(`${path}.map`);
  }
}

/** The files of the threads and programs that any module starts. */
function startedIn(folder: string): string[] {
  const started = new Set<string>();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js')) continue;
    const path = join(folder, name);
    for (const [, file] of readFileSync(path, 'utf8').matchAll(STARTED)) {
      started.add(resolve(dirname(path), file));
    }
  }
  return [...started].sort();
}
