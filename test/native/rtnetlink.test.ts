/**
 * Who may answer an rtnetlink request: the kernel, to this very request, whole. The kernel itself lets nobody else
 * send to a connected socket (ECONNREFUSED), so a library that is loaded before the addon hands out what is forged.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GUARD_MS } from '../support/guard-time.ts';
import { repositoryRoot } from '../support/repository.ts';

const NO_SUCH_INTERFACE = 2_000_000_000;

/** Asks for what the kernel refuses, and prints what came of it. */
const CHILD = `
const { loadNative } = await import(process.argv[1]);
try {
  loadNative().setLink(undefined, ${NO_SUCH_INTERFACE}, { up: true });
  console.log('it went well');
} catch (error) {
  console.log(error.code);
}
`;

const folder = mkdtempSync(join(tmpdir(), 'sgt-rtnetlink-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const library = join(folder, 'forged-answer.so');
let whyNot: string | undefined;

before(() => {
  const source = join(repositoryRoot(), 'test/native/forged-answer.c');
  const compiler = process.env['CC'] ?? 'cc';
  try {
    execFileSync(compiler, ['-shared', '-fPIC', '-Wall', '-o', library, source, '-ldl'], {
      stdio: 'pipe',
    });
  } catch (error) {
    whyNot = `needs a C compiler: ${String(error)}`;
  }
});

/** What the addon makes of a request before whose answer that comes. */
function outcome(t: TestContext, forged: string | undefined): string | undefined {
  if (whyNot !== undefined) {
    t.skip(whyNot);
    return undefined;
  }
  const module = fileURLToPath(new URL('../../src/ports/native.js', import.meta.url));
  const { LD_PRELOAD: _, FORGED: __, ...rest } = process.env;
  const given = forged === undefined ? {} : { LD_PRELOAD: library, FORGED: forged };
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', CHILD, module],
    { env: { ...rest, ...given }, encoding: 'utf8', timeout: GUARD_MS },
  );
  assert.notEqual(stdout, '', stderr);
  return stdout.trim();
}

describe('an answer counts', () => {
  // EPERM without the right to ask.
  const refusal = process.getuid?.() === 0 ? 'ENODEV' : 'EPERM';

  test('if it is the kernel’s', (t) => {
    const found = outcome(t, undefined);
    if (found !== undefined) assert.equal(found, refusal);
  });

  for (const [forged, what] of [
    ['sender', 'of another sender'],
    ['sequence', 'to another request'],
    ['short', 'that is cut short'],
    ['type', 'that is no acknowledgement'],
  ] as const)
    test(`and not one ${what}: the kernel's comes after it`, (t) => {
      const found = outcome(t, forged);
      if (found !== undefined) assert.equal(found, refusal);
    });

  test('and others, however many, are not listened to for ever', (t) => {
    const found = outcome(t, 'endless');
    if (found !== undefined) assert.equal(found, 'ETIMEDOUT');
  });

  test('(a forged one that bears all the marks of the kernel’s would: the library works)', (t) => {
    const found = outcome(t, 'perfect');
    if (found !== undefined) assert.equal(found, 'it went well');
  });
});
