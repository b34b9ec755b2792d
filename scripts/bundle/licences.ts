/** Collects the licences of packages that are in files of ours: who passes these on passes the licences on. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Metafile } from 'esbuild';

const LICENCE_NAME = /^(licen[cs]e|copying)([.-]|$)/i;

/** The folders of the packages that a bundle has parts of. @param folder that its paths are relative to */
export function packagesIn({ inputs }: Metafile, folder: string): string[] {
  return Object.keys(inputs).flatMap((path) => packageFolder(resolve(folder, path)) ?? []);
}

/** The folder of the package a file is of; undefined for one of ours. */
function packageFolder(path: string): string | undefined {
  return /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
}

/** The licences of packages, each once. @param packages their folders */
export function licencesOf(packages: readonly string[]): string {
  return [...new Set(packages)]
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
