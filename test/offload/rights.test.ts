/** The programs are loaded with CAP_BPF and CAP_NET_ADMIN: the kernel's verifier asks more of who has no more rights. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { requireOffload } from './kernel-rig.ts';

const MODULE = fileURLToPath(new URL('../../src/ports/native-offload.js', import.meta.url));
const LOAD = `
const { loadNativeOffload, OFFLOAD_OBJECT } = await import(${JSON.stringify(MODULE)});
console.log(Object.keys(loadNativeOffload().openOffload(OFFLOAD_OBJECT, 1024, 512)).length);
`;

/** Loads them as root with these capabilities and no others. */
async function load(capabilities: string) {
  const sets = ['--inh-caps', '--ambient-caps', '--bounding-set'];
  const limits = sets.flatMap((set) => [set, `-all${capabilities}`]);
  // Not as another user, who may not be let in where the repository is.
  const secure = ['--securebits', '+noroot,+noroot_locked'];
  return run('setpriv', [
    ...limits,
    ...secure,
    process.execPath,
    '--input-type=module',
    '-e',
    LOAD,
  ]);
}

test('CAP_BPF and CAP_NET_ADMIN are enough, and both are needed', async (t) => {
  if (requireOffload(t) === undefined || !requireTools(t, 'setpriv')) return;
  const enough = await load(',+bpf,+net_admin');
  assert.equal(enough.code, 0, enough.stderr);
  assert.equal(enough.stdout, '8\n');
  const { code, stderr } = await load(',+net_admin');
  assert.notEqual(code, 0);
  assert.match(stderr, /CAP_BPF and CAP_NET_ADMIN are needed/);
});
