/** The service that answers instances about themselves, in a real systemd: from nothing to an answer, over restarts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { bootContainer, type Container } from './container.ts';
import { buildDeb, installDeb } from './deb.ts';

const CONFIG = `vpc: { cidrBlocks: [10.0.0.0/16], subnets: [10.0.0.0/24] }
platformServices: [dns, instance-metadata]
platform: { tun: sg-platform, netns: sg-platform }
securityGroups:
  web: { egress: [] }
interfaces:
  web: { device: { netns: web, name: eth0 }, addresses: [10.0.0.11], securityGroups: [web] }
`;
const DROP_IN = '/etc/systemd/system/secgroupd.service.d/namespaces.conf';

/** The container has no client of HTTP. */
const ASK = `
ask() {
  exec 3<>/dev/tcp/169.254.169.254/80
  printf '%s %s HTTP/1.1\\r\\nHost: 169.254.169.254\\r\\nConnection: close\\r\\n%s\\r\\n\\r\\n' "$1" "$2" "$3" >&3
  tail -n 1 <&3
}
token=$(ask PUT /latest/api/token 'X-aws-ec2-metadata-token-ttl-seconds: 60')
ask GET /latest/meta-data/security-groups "X-aws-ec2-metadata-token: $token"
`;

async function answers(container: Container): Promise<void> {
  let last = '';
  const args = ['-u', 'secgroup-metadata', '-u', 'secgroupd', '--no-pager', '-o', 'cat'];
  await until(
    async () => `an answer: ${last}\n${await container.mustRun('journalctl', args)}`,
    async () => {
      const command = ['netns', 'exec', 'web', 'timeout', '5', 'bash', '-c', ASK];
      const { stdout, stderr } = await container.run('ip', command);
      last = stdout + stderr;
      return stdout.trim() === 'web';
    },
  );
}

test('an instance asks a service about itself', async (t) => {
  const container = await bootContainer(t);
  if (container === undefined) return;
  await installDeb(container, await buildDeb(t, '1.0.0-1'));
  container.write('/etc/secgroupd/secgroupd.yaml', CONFIG);
  await container.sh(
    `ip netns add web
     install -D -m 644 /usr/share/doc/secgroupd/examples/namespaces.conf ${DROP_IN}
     systemctl daemon-reload
     systemctl restart secgroupd
     systemctl enable --now secgroup-metadata 2>&1`,
  );
  await answers(container);

  const gid = await container.sh('getent group secgroup-instances | cut -d: -f3');

  await t.test('it is a user of its own without any capability, in one group', async () => {
    const pid = await container.sh('systemctl show --value -p MainPID secgroup-metadata');
    const status = await container.mustRun('cat', [`/proc/${pid.trim()}/status`]);
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}:[ \\t]*(\\S+)`, 'm').exec(status)?.[1];
    const uid = (await container.mustRun('id', ['-u', 'secgroup-metadata'])).trim();
    assert.deepEqual(
      ['Uid', 'Gid', 'Groups', 'CapEff', 'CapPrm', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map(field),
      [uid, gid.trim(), undefined, ...Array.from({ length: 3 }, () => '0'.repeat(16)), '1', '2'],
    );
  });

  await t.test('as such, it can not open the control socket, and the other refuses', async () => {
    const reload = async (socket: string): Promise<string> => {
      const who = ['--reuid', 'secgroup-metadata', '--regid', gid.trim(), '--clear-groups'];
      const command = [...who, 'sgctl', 'reload', '--socket', socket];
      const { code, stdout, stderr } = await container.run('setpriv', command);
      assert.notEqual(code, 0);
      return stdout + stderr;
    };
    assert.match(await reload('/run/secgroupd/control.sock'), /this user may not connect to/);
    assert.match(
      await reload('/run/secgroup-instances/daemon.sock'),
      /this socket answers instance and platform alone/,
    );
  });

  await t.test('it answers again after restarts, and after it was killed', async () => {
    for (const command of [
      'systemctl restart secgroup-metadata',
      'systemctl restart secgroupd',
      'systemctl kill -s KILL secgroup-metadata',
    ]) {
      await container.sh(command);
      await answers(container);
    }
  });
});
