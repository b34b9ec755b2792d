/**
 * Makes the files of the console's page: index.html, page.js and page.css, each also packed by gzip.
 *
 * The page is bundled from its sources and not from build/, where only the part of it is that needs no browser. It has
 * all it needs in these files: nothing is fetched from elsewhere when it runs.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { packagesIn } from './licences.ts';

/** What the server serves. */
export const PAGE_FILES = ['index.html', 'page.js', 'page.css'] as const;

/**
 * Writes the files.
 * @param root of the source tree
 * @param target a folder, made if it is not there
 * @returns the folders of the packages that are in them
 */
export async function bundlePage(root: string, target: string): Promise<string[]> {
  const source = join(root, 'src/console/page');
  mkdirSync(target, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: join(source, 'main.tsx'), out: 'page' },
      { in: join(source, 'styles/page.css'), out: 'page' },
    ],
    outdir: target,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    // They are in LICENSES.txt.
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  });
  copyFileSync(join(source, 'index.html'), join(target, 'index.html'));
  for (const name of PAGE_FILES) {
    const path = join(target, name);
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
  }
  return packagesIn(metafile, root);
}
