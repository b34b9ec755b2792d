/** Inlines the constants of the packet path in what was compiled: node main.js build/src. Run by scripts/build. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { constantsOf, inlineConstants, type Constants } from './constants.ts';

/** Modules of these folders do nothing when they are imported, which is how their constants are read. */
const CONSTANT_FOLDERS: readonly string[] = ['wire', 'conntrack', 'engine', 'policy'];

const root = resolve(process.argv[2] ?? 'build/src');
const codes = new Map<string, string>();
const constants = new Map<string, Constants>();
for (const folder of CONSTANT_FOLDERS) {
  for (const name of readdirSync(join(root, folder))) {
    if (!name.endsWith('.js')) continue;
    const path = join(root, folder, name);
    const code = readFileSync(path, 'utf8');
    const exported = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
    codes.set(path, code);
    constants.set(path, constantsOf(code, exported));
  }
}
for (const [path, code] of codes) {
  const inlined = inlineConstants(code, constants.get(path)!, (specifier) =>
    specifier.startsWith('.') ? constants.get(resolve(dirname(path), specifier)) : undefined,
  );
  if (inlined !== code) writeFileSync(path, inlined);
}
