/** The Debian package in a real systemd: installed, started, used, reloaded, hung, upgraded, removed, purged. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../support/until.ts';
import { bootContainer, type Container } from './container.ts';
import { buildDeb, installDeb } from './deb.ts';

const CONFIG = '/etc/secgroupd/secgroupd.yaml';
const VERSION = '1.0.0-1';
const NEXT_VERSION = '1.0.0-2';

/** linux/capability.h: CAP_NET_ADMIN is bit 12. */
const CAP_NET_ADMIN_ALONE = '0000000000001000';

/** A configuration with one interface in the host's own namespace. */
function configText(port: number): string {
  return `securityGroups:
  web:
    description: Web servers
    ingress: [{ protocol: tcp, ports: ${port}, from: 0.0.0.0/0 }]
interfaces:
  eni-web-1:
    device: { kind: tun, name: sg-web, configure: false }
    addresses: [10.0.0.11]
    securityGroups: [web]
metrics: { listen: '127.0.0.1:9469' }
`;
}

/** Every file there is, to see what a package leaves behind. Logs and systemd's own records grow by themselves. */
function listFiles(root: string): Set<string> {
  const found = new Set<string>();
  const visit = (directory: string): void => {
    for (const entry of readdirSync(join(root, directory), { withFileTypes: true })) {
      const path = `${directory}/${entry.name}`;
      if (/^\/(proc|sys|dev|run|tmp|var\/tmp|var\/log\/journal|var\/cache|root)$/.test(path))
        continue;
      found.add(path);
      if (entry.isDirectory()) visit(path);
    }
  };
  visit('');
  return found;
}

function accounts(container: Container): string {
  return ['passwd', 'group', 'shadow']
    .map((name) => readFileSync(join(container.root, 'etc', name), 'utf8'))
    .join('\n');
}

test('the service, from its installation to its purge', async (t) => {
  const container = await bootContainer(t);
  if (container === undefined) return;
  const deb = await buildDeb(t, VERSION);
  const filesBefore = listFiles(container.root);

  await t.test('installed, it runs, with nothing to guard', async () => {
    await installDeb(container, deb);
    assert.equal(await container.property('ActiveState'), 'active', await container.journal());
    assert.equal(await container.property('UnitFileState'), 'enabled');
    assert.equal(
      await container.property('StatusText'),
      'packets flow: 0 interfaces, 1 group, policy generation 1',
    );
  });

  await t.test(
    'it is a user of its own with CAP_NET_ADMIN alone, under a seccomp filter',
    async () => {
      const pid = await container.property('MainPID');
      const status = await container.mustRun('cat', [`/proc/${pid}/status`]);
      const field = (name: string): string | undefined =>
        new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1];
      const uid = (await container.mustRun('id', ['-u', 'secgroupd'])).trim();
      assert.notEqual(uid, '0');
      assert.deepEqual(
        ['Uid', 'CapEff', 'CapPrm', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map(field),
        [uid, ...Array.from({ length: 4 }, () => CAP_NET_ADMIN_ALONE), '1', '2'],
      );
      const main = '/usr/bin/secgroupd';
      const command = await container.mustRun('cat', [`/proc/${pid}/cmdline`]);
      assert.deepEqual(command.split('\0').slice(0, 4), [
        '/usr/lib/secgroupd/bin/node',
        '--single-threaded-gc',
        main,
        '--config',
      ]);
    },
  );

  await t.test('what people type is there', async () => {
    assert.equal(await container.mustRun('sgctl', ['--version']), '0.1.0\n');
    assert.equal(
      await container.mustRun('sgctl', ['check', CONFIG]),
      `${CONFIG}: ok, 0 interfaces, 1 group, 3 rules, 0 warnings\n`,
    );
    for (const page of ['man8/secgroupd.8.gz', 'man1/sgctl.1.gz', 'man5/secgroupd.yaml.5.gz'])
      assert.equal(existsSync(join(container.root, 'usr/share/man', page)), true, page);
  });

  await t.test('members of the group may ask it, others may not', async () => {
    await container.sh('useradd -m -G secgroupd alice; useradd -m mallory');
    const ask = (user: string) =>
      container.run('runuser', ['-u', user, '--', 'sgctl', 'status', '--json']);
    const alice = await ask('alice');
    assert.equal(alice.code, 0, alice.stderr);
    assert.equal((JSON.parse(alice.stdout) as { config: string }).config, CONFIG);
    const mallory = await ask('mallory');
    assert.equal(mallory.code, 1);
    assert.match(mallory.stderr, /control\.sock/);
    assert.equal(mallory.stdout, '');
    const { mode } = statSync(join(container.root, 'etc/secgroupd'));
    assert.equal(mode & 0o7777, 0o755);
  });

  await t.test('reload puts new rules and devices in force', async () => {
    container.write(CONFIG, configText(443));
    await container.mustRun('systemctl', ['reload', 'secgroupd']);
    const status = JSON.parse(await container.mustRun('sgctl', ['status', '--json'])) as {
      interfaces: string[];
      generation: number;
    };
    assert.deepEqual([status.interfaces, status.generation], [['eni-web-1'], 2]);
    assert.equal(
      await container.property('StatusText'),
      'packets flow: 1 interface, 2 groups, policy generation 2',
    );
    assert.match(await container.mustRun('ip', ['-o', 'link', 'show', 'sg-web']), / sg-web: </);
  });

  await t.test('a reload that is refused fails, and changes nothing', async () => {
    const pid = await container.property('MainPID');
    container.write(CONFIG, configText(70_000));
    const { code, stderr } = await container.run('systemctl', ['reload', 'secgroupd']);
    assert.equal(code, 1);
    // All that systemctl itself can say; where it sends people they find the reasons.
    assert.match(
      stderr,
      /Job for secgroupd\.service failed[^]*systemctl status secgroupd\.service/,
    );
    const shown = await container.run('systemctl', ['status', '--no-pager', '-l', 'secgroupd']);
    assert.match(
      shown.stdout,
      /Status: "reload refused, nothing changed: \/etc\/secgroupd\/secgroupd\.yaml:4:\d+: error: .*70000.*; packets flow: 1 interface, 2 groups, policy generation 2"/,
    );
    assert.match(shown.stdout, /sgctl\[\d+\]: .*secgroupd\.yaml:4:\d+: error: .*70000/);
    assert.match(shown.stdout, /sgctl\[\d+\]: Refused: nothing was changed\./);
    assert.equal(await container.property('ActiveState'), 'active');
    assert.equal(await container.property('MainPID'), pid);
    assert.match(await container.journal(), /secgroupd\.yaml:4:\d+: error: .*70000/);
    container.write(CONFIG, configText(443));
  });

  await t.test('SIGHUP reloads as well', async () => {
    container.write(CONFIG, configText(8443));
    await container.mustRun('systemctl', ['kill', '-s', 'HUP', '--kill-who=main', 'secgroupd']);
    await until('the new generation', async () =>
      / policy generation 3/.test(await container.property('StatusText')),
    );
    await until(
      'the end of the reload',
      async () => (await container.property('ActiveState')) === 'active',
    );
  });

  await t.test('when it hangs, the watchdog starts it again, with the device it had', async () => {
    const pid = await container.property('MainPID');
    const link = await container.mustRun('ip', ['-o', 'link', 'show', 'sg-web']);
    await container.mustRun('kill', ['-STOP', pid]);
    await until('a new process', async () => {
      const now = await container.property('MainPID');
      return now !== pid && now !== '0' && (await container.property('ActiveState')) === 'active';
    });
    assert.equal(await container.property('NRestarts'), '1');
    assert.match(await container.journal(), /Watchdog timeout/);
    const after = await container.mustRun('ip', ['-o', 'link', 'show', 'sg-web']);
    assert.equal(after.split(':')[0], link.split(':')[0], 'the same interface index');
  });

  await t.test('an upgrade restarts it, once, and keeps the configuration', async () => {
    const pid = await container.property('MainPID');
    const next = await buildDeb(t, NEXT_VERSION);
    const said = await installDeb(container, next);
    assert.match(said, /Unpacking secgroupd \(1\.0\.0-2\) over \(1\.0\.0-1\)/);
    assert.equal(await container.property('ActiveState'), 'active', await container.journal());
    assert.notEqual(await container.property('MainPID'), pid);
    assert.equal(readFileSync(join(container.root, CONFIG), 'utf8'), configText(8443));
    const starts = (await container.journal()).match(/^Started secgroupd\.service/gm);
    assert.equal(starts?.length, 3, 'installed, watchdog, upgraded');
  });

  await t.test(
    'what was stopped stays stopped at an upgrade, what was disabled disabled',
    async () => {
      await container.sh('systemctl disable --now secgroupd');
      await installDeb(container, deb);
      assert.equal(await container.property('ActiveState'), 'inactive');
      assert.equal(await container.property('UnitFileState'), 'disabled');
      await container.sh('systemctl enable --now secgroupd');
      assert.equal(await container.property('ActiveState'), 'active');
    },
  );

  await t.test('removed, it stops, its devices are gone, and the configuration stays', async () => {
    await container.mustRun('dpkg', ['-r', 'secgroupd']);
    assert.equal(await container.property('ActiveState'), 'inactive');
    assert.equal((await container.run('ip', ['link', 'show', 'sg-web'])).code, 1);
    assert.equal(readFileSync(join(container.root, CONFIG), 'utf8'), configText(8443));
  });

  await t.test('purged, nothing of it is left', async () => {
    await container.mustRun('dpkg', ['-P', 'secgroupd']);
    await container.sh('userdel -r alice; userdel -r mallory');
    assert.doesNotMatch(accounts(container), /secgroup/);
    const left = [...listFiles(container.root)].filter((path) => !filesBefore.has(path));
    // Backups of account files and dpkg's own database are not the package's.
    const ours = left.filter(
      (path) => !/^\/etc\/(passwd|group|g?shadow|sub[ug]id)-$|^\/var\/lib\/dpkg\//.test(path),
    );
    assert.deepEqual(ours, []);
    assert.equal((await container.run('ls', ['/run/secgroupd'])).code, 2);
  });
});
