/** A user without any rights opens a TUN inside a user namespace of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('in unshare -Urn a TUN works without root', (t) => {
  try {
    execFileSync('unshare', ['-Urn', 'true'], { stdio: 'pipe' });
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch (error) {
    t.skip(`needs user namespaces and /dev/net/tun: ${String(error)}`);
    return;
  }
  const script = fileURLToPath(new URL('./rootless-script.js', import.meta.url));
  const printed = execFileSync('unshare', ['-Urn', process.execPath, script], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(printed), {
    name: 'sgt0',
    created: true,
    checksum: true,
    found: true,
    destination: [10, 7, 0, 2],
    payload: 'rootless',
  });
});
