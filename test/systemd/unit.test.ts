/** The unit files: hardened as far as it says, and every line of hardening with its reason. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';

/** Of 10; the tool counts in tenths. */
const UNITS: readonly (readonly [name: string, exposureMax: number])[] = [
  ['secgroupd.service', 2.0],
  ['secgroup-api.service', 1.2],
  ['secgroupd-docker.service', 1.3],
  ['secgroup-metadata.service', 2.4],
];

for (const [name, exposureMax] of UNITS) {
  const unit = join(repositoryRoot(), 'systemd', name);

  test(`${name}: its exposure is at most ${exposureMax}`, async (t) => {
    if (!requireTools(t, 'systemd-analyze')) return;
    const { stdout, stderr } = await run('systemd-analyze', [
      'security',
      '--offline=yes',
      '--no-pager',
      unit,
    ]);
    if (/unrecognized option|Unknown option/.test(stderr)) {
      t.skip('needs systemd-analyze 250 or newer');
      return;
    }
    const level = /Overall exposure level for \S+\.service: ([\d.]+)/.exec(stdout)?.[1];
    assert.ok(level !== undefined, stdout + stderr);
    assert.ok(Number(level) <= exposureMax, `${level}\n${stdout}`);
    t.diagnostic(`exposure ${level}`);
  });

  test(`${name}: every setting stands below a comment that gives its reason`, () => {
    const lines = readFileSync(unit, 'utf8').split('\n');
    const service = lines.slice(lines.indexOf('[Service]') + 1, lines.indexOf('[Install]'));
    // What speaks for itself, or goes on with the line before it.
    const plain = /^(ExecStart|Restart|RestartSec|TimeoutStartSec|TimeoutStopSec|Group|.*Mode)=/;
    const paired =
      /^(LogRateLimitBurst|CapabilityBoundingSet|DeviceAllow|SystemCallFilter|SystemCallErrorNumber|ProcSubset)=/;
    const bare = service.filter((line, i) => {
      if (!/^\w+=/.test(line) || plain.test(line) || paired.test(line)) return false;
      return !service[i - 1].startsWith('#');
    });
    assert.deepEqual(bare, []);
  });
}

/** The settings of an example of a drop-in. */
function settingsOf(example: string): readonly string[] | null {
  const path = join(repositoryRoot(), 'systemd/secgroupd.service.d', example);
  return readFileSync(path, 'utf8').match(/^\w+=.*$/gm);
}

test('the example for packet loops adds CAP_BPF and bpf(2), and no more', () => {
  assert.deepEqual(settingsOf('workers.conf.example'), [
    'AmbientCapabilities=CAP_BPF',
    'CapabilityBoundingSet=CAP_BPF',
    'SystemCallFilter=bpf',
  ]);
});

test('the example for namespaces adds CAP_SYS_ADMIN and network namespaces, and no more', () => {
  assert.deepEqual(settingsOf('namespaces.conf.example'), [
    'AmbientCapabilities=CAP_SYS_ADMIN',
    'CapabilityBoundingSet=CAP_SYS_ADMIN',
    'RestrictNamespaces=net',
  ]);
});

test('the example for attached interfaces adds CAP_NET_RAW and packet sockets, and no more', () => {
  assert.deepEqual(settingsOf('attach.conf.example'), [
    'AmbientCapabilities=CAP_NET_RAW',
    'CapabilityBoundingSet=CAP_NET_RAW',
    'RestrictAddressFamilies=AF_PACKET',
  ]);
});

test('the example for a store adds an option and the directory, and no right', () => {
  assert.deepEqual(settingsOf('store.conf.example'), [
    'Environment="SECGROUPD_OPTIONS=--store /var/lib/secgroup-store/store.db"',
    'ReadWritePaths=/var/lib/secgroup-store',
  ]);
});
