/** Inlines the constants of the packet path in compiled modules, and binds the functions that they call. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { constantsOf, inlineConstants, type Constants } from './constants.ts';
import { bindFunctions, functionsOf } from './functions.ts';

/** Modules of these folders do nothing when they are imported, which is how their constants are read. */
const CONSTANT_FOLDERS: readonly string[] = ['wire', 'conntrack', 'engine', 'policy'];

/**
 * Writes the modules of the packet path with constants for names.
 * @param from what tsc wrote: read, never changed
 * @param to a copy of it, in which modules are replaced
 */
export async function inlineModules(from: string, to: string): Promise<void> {
  const codes = new Map<string, string>();
  const constants = new Map<string, Constants>();
  const functions = new Map<string, ReadonlySet<string>>();
  for (const folder of CONSTANT_FOLDERS) {
    for (const name of readdirSync(join(from, folder))) {
      if (!name.endsWith('.js')) continue;
      const path = join(folder, name);
      const file = join(from, path);
      const code = readFileSync(file, 'utf8');
      const exported = (await import(pathToFileURL(file).href)) as Readonly<
        Record<string, unknown>
      >;
      codes.set(path, code);
      constants.set(path, constantsOf(code, exported));
      functions.set(path, functionsOf(code));
    }
  }
  for (const [path, code] of codes) {
    const pathOf = (specifier: string): string =>
      specifier.startsWith('.') ? join(dirname(path), specifier) : specifier;
    const inlined = inlineConstants(code, constants.get(path)!, (specifier) =>
      constants.get(pathOf(specifier)),
    );
    const bound = bindFunctions(inlined, (specifier) => functions.get(pathOf(specifier)));
    if (bound !== code) writeFileSync(join(to, path), bound);
  }
}
