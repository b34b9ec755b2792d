/** Finds the repository and lists its files, for the tests that read our own sources. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The top of the source tree: the nearest folder above this file, or else above the working
 * directory, that has both `package.json` and `tsconfig.json` (a build put elsewhere has only the former).
 */
export function repositoryRoot(): string {
  for (const start of [dirname(fileURLToPath(import.meta.url)), process.cwd()]) {
    for (let folder = start; ; folder = dirname(folder)) {
      if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'tsconfig.json')))
        return folder;
      if (folder === dirname(folder)) break;
    }
  }
  throw new Error(
    'no package.json beside tsconfig.json above this file or the working directory; run the tests from the repository',
  );
}

/** Paths, relative to the root and sorted, of every file that is tracked, or would be if everything was committed. */
export function repositoryFiles(root: string): string[] {
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    },
  );
  const paths = new Set(
    listed.split('\0').filter((path) => path !== '' && existsSync(join(root, path))),
  );
  return [...paths].sort();
}

/** `src/**` sources by their path relative to the root. */
export function readSources(root: string): Map<string, string> {
  const paths = repositoryFiles(root).filter(
    (path) => path.startsWith('src/') && /\.tsx?$/.test(path),
  );
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}
