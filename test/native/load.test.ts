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
  const build = mkdtempSync(join(tmpdir(), 'sgt-load-'));
  t.after(() => rmSync(build, { recursive: true }));
  mkdirSync(join(build, 'src/ports'), { recursive: true });
  mkdirSync(join(build, 'native'));
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
    message: `the native addon could not be loaded from ${addon}; run scripts/build`,
  });
});

test('an addon built with another constant is refused', async (t) => {
  const { loadNative, addon } = await copyLoader(t, (source) =>
    source.replace(`HEADROOM_BYTES = ${HEADROOM_BYTES}`, 'HEADROOM_BYTES = 99'),
  );
  cpSync(new URL('../../native/secgroupd.node', import.meta.url), addon);
  assert.throws(loadNative, {
    message: `the native addon ${addon} has HEADROOM_BYTES 22, not 99: it is from another build; run scripts/build`,
  });
});
