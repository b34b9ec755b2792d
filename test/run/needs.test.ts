/** What a machine may lack for `sgctl run`, and what the doctor says of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRootless } from '../../src/doctor/doctor-rootless.ts';
import { missingForRun, type NeedsReader } from '../../src/run/needs.ts';

const WHOLE: NeedsReader = {
  hasProgram: () => true,
  read: (path) => (path === '/proc/sys/user/max_user_namespaces' ? '63000' : undefined),
  tunFault: () => undefined,
};

test('a machine that has all', () => {
  assert.deepEqual(missingForRun(true, WHOLE), []);
  assert.deepEqual(checkRootless([]), {
    ...{ name: 'rootless', status: 'ok', found: 'users can use `sgctl run`' },
  });
});

test('each thing that is missing, with what mends it', () => {
  const without =
    (...names: string[]): NeedsReader['hasProgram'] =>
    (name) =>
      !names.includes(name);
  assert.deepEqual(
    missingForRun(true, { ...WHOLE, hasProgram: without('pasta', 'nft', 'nsenter', 'setpriv') }),
    [
      {
        found: 'pasta, nft, nsenter, setpriv not found',
        mend: 'apt-get install passt nftables util-linux',
      },
    ],
  );
  const reads =
    (name: string, value: string): NeedsReader['read'] =>
    (path) =>
      path === `/proc/sys/${name}` ? value : undefined;
  for (const [name, value, mend] of [
    ['user/max_user_namespaces', '0', 'user.max_user_namespaces=10000'],
    ['kernel/unprivileged_userns_clone', '0', 'kernel.unprivileged_userns_clone=1'],
    [
      ...(['kernel/apparmor_restrict_unprivileged_userns', '1'] as const),
      'kernel.apparmor_restrict_unprivileged_userns=0',
    ],
  ] as const) {
    const [missing, ...more] = missingForRun(true, { ...WHOLE, read: reads(name, value) });
    assert.deepEqual(more, []);
    assert.equal(missing.mend, `sysctl -w ${mend}, and in /etc/sysctl.d to keep it`);
  }
  assert.deepEqual(missingForRun(true, { ...WHOLE, tunFault: () => 'closed' }), [
    { found: '/dev/net/tun is not for every user', mend: 'chmod 0666 /dev/net/tun' },
  ]);
  const check = checkRootless(missingForRun(true, { ...WHOLE, tunFault: () => 'absent' }));
  assert.equal(check.status, 'warn');
  assert.equal(check.found, '/dev/net/tun is not there');
  assert.equal(check.mend, 'modprobe tun');
});
