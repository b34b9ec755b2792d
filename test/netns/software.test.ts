/**
 * Programs that demand much of a path, between instances and across the uplink both ways, over IPv4 and IPv6: rsync
 * (a long push), HTTP/3 (QUIC over UDP, in long trains of packets) and OpenVPN with packets that leave in fragments.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { mustRun } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { blob, blobHash } from './blob.ts';
import {
  ADDRESSES,
  EVERYBODY,
  inBrackets,
  listening,
  onEveryPath,
  type Name,
} from './software-world.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const RSYNC_PORT = 873;
const HTTPS_PORT = 443;
const OPENVPN_PORT = 1194;
function configuration(names: Record<Name, Netns>): string {
  const eth0 = (name: Name): string => `{ netns: ${names[name].path}, name: eth0 }`;
  const interfaceOf = (name: Name): string =>
    `{ device: ${eth0(name)}, addresses: ${JSON.stringify(ADDRESSES[name])}, securityGroups: [${name}] }`;
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${ADDRESSES.world[0]}/24, '${ADDRESSES.world[1]}/64'] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: ${RSYNC_PORT}, from: ${EVERYBODY} }
      - { protocol: udp, ports: ${HTTPS_PORT}, from: ${EVERYBODY} }
      - { protocol: udp, ports: ${OPENVPN_PORT}, from: ${EVERYBODY} }
    egress: []
  app: {}
interfaces:
  web: ${interfaceOf('web')}
  app: ${interfaceOf('app')}
metrics: { listen: '127.0.0.1:0' }
`;
}

test('rsync pushes a tree', async (t) => {
  if (!canRun(t) || !requireTools(t, 'rsync', 'sha256sum')) return;
  const names = await makeNamespaces(t, ['world', 'web', 'app']);
  const file = temporaryFile(t, 'software.yaml', configuration(names));
  const folder = dirname(file);
  const [data, into] = ['data', 'into'].map((name) => join(folder, name));
  mkdirSync(join(data, 'few'), { recursive: true });
  mkdirSync(into);
  const bytes = blob();
  writeFileSync(join(data, 'blob'), bytes);
  for (let i = 1; i <= 200; i++)
    writeFileSync(join(data, 'few', String(i)), bytes.subarray(0, i * 37));
  // The server looks up who comes, and there is no name server here: it would wait ten seconds for each.
  const settings = `use chroot = no\nreverse lookup = no\nuid = 0\ngid = 0\n[in]\npath = ${into}\nread only = no\n`;
  writeFileSync(join(folder, 'rsyncd.conf'), settings);
  const daemon = await Daemon.start(t, file);
  for (const name of ['world', 'web'] as const) {
    // With a socket for its standard input it would take itself for a child of inetd.
    const command = `exec rsync --daemon --no-detach --config=${join(folder, 'rsyncd.conf')} </dev/null`;
    const server = await names[name].start('sh', ['-c', command]);
    t.after(() => server.stop());
    await listening(names[name], 'tcp', RSYNC_PORT);
  }
  await onEveryPath(t, daemon, names, async (from, _, address) => {
    const to = `rsync://${inBrackets(address)}/in/`;
    await from.mustRun('rsync', ['-a', '--delete', '--ignore-times', `${data}/`, to]);
    assert.equal(
      await mustRun('sh', ['-c', `sha256sum < ${join(into, 'blob')}`]),
      `${blobHash()}  -\n`,
    );
    await mustRun('diff', ['-r', data, into]);
    await mustRun('find', [into, '-mindepth', '1', '-delete']);
  });
});

test('HTTP/3 brings a file', async (t) => {
  if (!canRun(t) || !requireTools(t, 'gtlsclient', 'gtlsserver', 'openssl', 'sha256sum')) return;
  const names = await makeNamespaces(t, ['world', 'web', 'app']);
  const file = temporaryFile(t, 'software.yaml', configuration(names));
  const folder = dirname(file);
  const [root, into, key, certificate] = ['root', 'into', 'key.pem', 'cert.pem'].map((name) =>
    join(folder, name),
  );
  for (const made of [root, into]) mkdirSync(made);
  writeFileSync(join(root, 'blob'), blob());
  await mustRun('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=web'],
    ...['-keyout', key, '-out', certificate],
  ]);
  const daemon = await Daemon.start(t, file);
  await onEveryPath(t, daemon, names, async (from, to, address) => {
    const server = await to.start('gtlsserver', [
      ...['-q', '-d', root, address, String(HTTPS_PORT), key, certificate],
    ]);
    try {
      await listening(to, 'udp', HTTPS_PORT);
      const url = `https://web/blob`;
      const options = ['-q', '--exit-on-all-streams-close', '--download', into];
      await from.mustRun('gtlsclient', [...options, address, String(HTTPS_PORT), url]);
    } finally {
      await server.stop();
    }
    assert.equal(
      await mustRun('sh', ['-c', `sha256sum < ${join(into, 'blob')}`]),
      `${blobHash()}  -\n`,
    );
    await mustRun('rm', [join(into, 'blob')]);
  });
});

test('OpenVPN carries packets that leave in fragments', async (t) => {
  if (!canRun(t) || !requireTools(t, 'openvpn')) return;
  const names = await makeNamespaces(t, ['world', 'web', 'app']);
  const file = temporaryFile(t, 'software.yaml', configuration(names));
  const secret = join(dirname(file), 'static.key');
  await mustRun('openvpn', ['--genkey', 'secret', secret]);
  const daemon = await Daemon.start(t, file);
  await onEveryPath(t, daemon, names, async (from, to, address) => {
    const common = [
      ...['--dev', 'ovpn', '--dev-type', 'tun', '--port', String(OPENVPN_PORT)],
      ...['--proto', address.includes(':') ? 'udp6' : 'udp4', '--secret', secret],
      ...['--cipher', 'AES-256-CBC', '--tun-mtu', '9000', '--mssfix', '0'],
    ];
    const server = await to.start('openvpn', [...common, '--ifconfig', '10.9.0.1', '10.9.0.2']);
    await listening(to, 'udp', OPENVPN_PORT);
    const client = await from.start('openvpn', [
      ...[...common, '--nobind', '--remote', address, '--ifconfig', '10.9.0.2', '10.9.0.1'],
    ]);
    try {
      await client.waitFor(/Initialization Sequence Completed/);
      for (const bytes of ['56', '1472', '8900']) {
        const options = ['-c', '3', '-i', '0.3', '-W', '5', '-s', bytes, '10.9.0.1'];
        assert.match(await from.mustRun('ping', options), / 0% packet loss/, `${bytes} bytes`);
      }
    } finally {
      // Its device goes with the process, and it takes its time over anything milder.
      await client.stop('SIGKILL');
      await server.stop('SIGKILL');
    }
  });
});
