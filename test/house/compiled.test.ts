/**
 * What the compiler wrote of src/ is what the release before it writes. The first one that is not written in JavaScript
 * left out parentheses once (7.0.2: `new (f() as T).C()` became `new f().C()`), and nothing said so.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { repositoryFiles, repositoryRoot } from '../support/repository.ts';

const root = repositoryRoot();

/** Quotes may be others, and where the source map is. */
function plain(text: string): readonly string[] {
  return text
    .replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
    .replaceAll('"', "'")
    .trimEnd()
    .split('\n');
}

function optionsOf(file: string): ts.CompilerOptions {
  const read: { config?: unknown } = ts.readConfigFile(file, (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(read.config, ts.sys, root);
  return { ...options, module: ts.ModuleKind.ESNext, sourceMap: false };
}

test('src is compiled as the release before does', () => {
  const compilerOptions = optionsOf(join(root, 'tsconfig.json'));
  const different: string[] = [];
  let compared = 0;
  for (const file of repositoryFiles(root)) {
    const compiled = join(root, 'build', file.replace(/\.ts$/, '.js'));
    if (!/^src\/.*\.ts$/.test(file) || !existsSync(compiled)) continue;
    const source = readFileSync(join(root, file), 'utf8');
    const { outputText } = ts.transpileModule(source, { compilerOptions, fileName: file });
    const wanted = plain(outputText);
    const found = plain(readFileSync(compiled, 'utf8'));
    const line = wanted.findIndex((text, i) => text !== found[i]);
    if (line >= 0) different.push(`${file}: ${found[line]}\n  before: ${wanted[line]}`);
    else if (found.length > wanted.length) different.push(`${file}: more than before`);
    compared++;
  }
  assert.deepEqual(different, []);
  assert.ok(compared > 500, `${compared} files`);
});
