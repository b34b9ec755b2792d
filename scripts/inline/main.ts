/**
 * Inlines the constants of the packet path in what was compiled, and binds the functions it calls: node main.js
 * build/src. Run by scripts/build.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { constantsOf, inlineConstants, type Constants } from './constants.ts';
import { bindFunctions, functionsOf } from './functions.ts';

/** Modules of these folders do nothing when they are imported, which is how their constants are read. */
const CONSTANT_FOLDERS: readonly string[] = ['wire', 'conntrack', 'engine', 'policy'];

const root = resolve(process.argv[2] ?? 'build/src');
const codes = new Map<string, string>();
const constants = new Map<string, Constants>();
const functions = new Map<string, ReadonlySet<string>>();
for (const folder of CONSTANT_FOLDERS) {
  for (const name of readdirSync(join(root, folder))) {
    if (!name.endsWith('.js')) continue;
    const path = join(root, folder, name);
    const code = readFileSync(path, 'utf8');
    const exported = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
    codes.set(path, code);
    constants.set(path, constantsOf(code, exported));
    functions.set(path, functionsOf(code));
  }
}
for (const [path, code] of codes) {
  const pathOf = (specifier: string): string =>
    specifier.startsWith('.') ? resolve(dirname(path), specifier) : specifier;
  const inlined = inlineConstants(code, constants.get(path)!, (specifier) =>
    constants.get(pathOf(specifier)),
  );
  const bound = bindFunctions(inlined, (specifier) => functions.get(pathOf(specifier)));
  if (bound !== code) writeFileSync(path, bound);
}
