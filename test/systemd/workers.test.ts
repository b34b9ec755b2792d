/** More than one packet loop in a real systemd: what the service lacks for it, and the example that gives it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../../src/queries/status-view.ts';
import { bootContainer, type Container } from './container.ts';
import { buildDeb, installDeb } from './deb.ts';

const CONFIG = `workers: 3
interfaces:
  eni-a: { device: { kind: tun, name: sg-a }, addresses: [10.0.0.11] }
  eni-b: { device: { kind: tap, name: sg-b }, addresses: [10.0.0.12] }
`;
/** linux/capability.h: CAP_NET_ADMIN is bit 12, CAP_BPF bit 39. */
const CAPABILITIES = '0000008000001000';

async function effectiveCapabilities(container: Container): Promise<string | undefined> {
  const pid = await container.property('MainPID');
  const status = await container.mustRun('cat', [`/proc/${pid}/status`]);
  return /^CapEff:\s*(\S+)$/m.exec(status)?.[1];
}

function indexes(container: Container): Promise<string> {
  return container.mustRun('cat', ['/sys/class/net/sg-a/ifindex', '/sys/class/net/sg-b/ifindex']);
}

test('three packet loops, with the rights of the example', async (t) => {
  const container = await bootContainer(t, { capability: 'CAP_BPF', systemCall: 'bpf' });
  if (container === undefined) return;
  await installDeb(container, await buildDeb(t, '1.0.0-1'));
  container.write('/etc/secgroupd/secgroupd.yaml', CONFIG);
  const unprivileged = await container.mustRun('cat', [
    '/proc/sys/kernel/unprivileged_bpf_disabled',
  ]);

  await t.test('without it the service does not start, and says what is missing', async (inner) => {
    if (unprivileged.trim() === '0') return inner.skip('this kernel takes programs from anybody');
    const { code } = await container.run('systemctl', ['restart', 'secgroupd']);
    assert.notEqual(code, 0);
    assert.match(await container.journal(), /this needs CAP_BPF and the system call bpf\(2\)/);
    await container.sh('systemctl stop secgroupd; systemctl reset-failed secgroupd');
  });

  await t.test('with it, it starts', async () => {
    const folder = '/etc/systemd/system/secgroupd.service.d';
    await container.sh(
      `install -D -m 644 /usr/share/doc/secgroupd/examples/workers.conf ${folder}/workers.conf
       systemctl daemon-reload; systemctl restart secgroupd`,
    );
    const status = await container.mustRun('sgctl', ['status', '--json']);
    assert.equal((JSON.parse(status) as Status).health.workers, 3);
    assert.equal(await effectiveCapabilities(container), CAPABILITIES);
  });

  await t.test('a restart keeps the devices, queue by queue', async () => {
    assert.equal(await container.property('NFileDescriptorStore'), '6');
    const before = await indexes(container);
    await container.mustRun('systemctl', ['restart', 'secgroupd']);
    assert.equal(await indexes(container), before);
    assert.equal(await container.property('NFileDescriptorStore'), '6');
  });

  await t.test('another number of loops is a restart away', async () => {
    container.write('/etc/secgroupd/secgroupd.yaml', CONFIG.replace('workers: 3', 'workers: 2'));
    await container.mustRun('systemctl', ['restart', 'secgroupd']);
    assert.equal(await container.property('NFileDescriptorStore'), '4');
    const queues = await container.sh('ls -d /sys/class/net/sg-?/queues/rx-* | wc -l');
    assert.equal(queues.trim(), '4');
  });
});
