/** loadNative() refuses an addon that is missing or was built from other sources, and says what to run. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { HEADROOM_BYTES } from '../../src/ports/native.ts';

type Loader = () => unknown;

/** A copy of the compiled src/ports/native.ts in a build tree of its own, changed by `change`. */
async function copyLoader(
  t: TestContext,
  change: (source: string) => string,
): Promise<{ loadNative: Loader; addon: string }> {
  const root = mkdtempSync(join(tmpdir(), 'sgt-load-'));
  t.after(() => rmSync(root, { recursive: true }));
  const build = join(root, 'build');
  mkdirSync(join(build, 'native'), { recursive: true });
  // With what it imports: ports/ may import wire/ alone.
  for (const room of ['ports', 'wire'])
    cpSync(new URL(`../../src/${room}/`, import.meta.url), join(build, 'src', room), {
      recursive: true,
    });
  writeFileSync(join(build, 'package.json'), '{ "type": "module" }');
  const source = readFileSync(new URL('../../src/ports/native.js', import.meta.url), 'utf8');
  const copy = join(build, 'src/ports/native.js');
  writeFileSync(copy, change(source));
  const { loadNative } = (await import(pathToFileURL(copy).href)) as { loadNative: Loader };
  return { loadNative, addon: join(build, 'native/secgroupd.node') };
}

test('a missing addon is named with what to run', async (t) => {
  const { loadNative, addon } = await copyLoader(t, (source) => source);
  assert.throws(loadNative, {
    message: `the native addon could not be loaded from ${addon}: Cannot find module '${addon}'; run scripts/build, or install the package anew`,
  });
});

test('an addon built with another constant is refused', async (t) => {
  const { loadNative, addon } = await copyLoader(t, (source) =>
    source.replace(`HEADROOM_BYTES = ${HEADROOM_BYTES}`, 'HEADROOM_BYTES = 99'),
  );
  cpSync(new URL('../../../build/native/secgroupd.node', import.meta.url), addon);
  assert.throws(loadNative, {
    message: `the native addon ${addon} has HEADROOM_BYTES 22, not 99: it is from another build; run scripts/build, or install the package anew`,
  });
});
