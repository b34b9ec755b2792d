/**
 * Programs whose packets belong to several connections, or to none with ports, between instances and across the
 * uplink both ways, over IPv4 and IPv6. FTP and TFTP open further connections, large DNS answers come in fragments;
 * also SIP, GRE and SCTP. Groups look into no payload, so a data connection needs a rule of its own.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { blob } from './blob.ts';
import {
  ADDRESSES,
  EVERYBODY,
  inBrackets,
  listening,
  onEveryPath,
  type Name,
} from './software-world.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const FILE_BYTES = 300_000;
const DNS_NAME = 'large.example';
const SCTP_SERVER = '/usr/lib/usrsctp/echo_server';
const SCTP_CLIENT = '/usr/lib/usrsctp/client';
const GRE = join(repositoryRoot(), 'test/netns/gre.py');
/** Has no rule for what a server opens. */
const PLAIN = ['10.0.0.13', 'fd00:10::13'] as const;

interface Place {
  /** Servers end with it. */
  readonly t: TestContext;
  readonly names: Record<Name, Netns>;
  readonly plain: Netns;
  readonly daemon: Daemon;
  /** The files that servers offer, which everybody may read. */
  readonly folder: string;
  readonly bytes: Uint8Array;
}

function configuration(names: Record<Name | 'plain', Netns>): string {
  const interfaceOf = (name: 'web' | 'app' | 'plain', addresses: readonly string[]): string =>
    `{ device: { netns: ${names[name].path}, name: eth0 }, addresses: ${JSON.stringify(addresses)}, securityGroups: [${name}] }`;
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${ADDRESSES.world[0]}/24, '${ADDRESSES.world[1]}/64'] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 21, from: ${EVERYBODY}, description: FTP }
      - { protocol: tcp, ports: 30000-30009, from: ${EVERYBODY}, description: its data where the client opens it }
      - { protocol: udp, ports: 69, from: ${EVERYBODY}, description: TFTP }
      - { protocol: udp, ports: 53, from: ${EVERYBODY}, description: DNS }
      - { protocol: udp, ports: 5060, from: ${EVERYBODY}, description: SIP }
      - { protocol: 47, from: ${EVERYBODY}, description: GRE }
      - { protocol: 132, from: ${EVERYBODY}, description: SCTP }
  app:
    ingress:
      - { protocol: tcp, ports: 1024-65535, from: ${EVERYBODY}, description: data of FTP where the server opens it }
      - { protocol: udp, ports: 1024-65535, from: ${EVERYBODY}, description: data of TFTP }
      - { protocol: 132, from: ${EVERYBODY}, description: from the other addresses of a host }
  plain: {}
interfaces:
  web: ${interfaceOf('web', ADDRESSES.web)}
  app: ${interfaceOf('app', ADDRESSES.app)}
  plain: ${interfaceOf('plain', PLAIN)}
metrics: { listen: '127.0.0.1:0' }
`;
}

async function makePlace(t: TestContext): Promise<Place> {
  const { plain, ...names } = await makeNamespaces(t, ['world', 'web', 'app', 'plain']);
  const file = temporaryFile(t, 'services.yaml', configuration({ ...names, plain }));
  // Servers give up their rights before they read.
  chmodSync(dirname(file), 0o755);
  const folder = join(dirname(file), 'offered');
  mkdirSync(folder);
  const bytes = blob().subarray(0, FILE_BYTES);
  writeFileSync(join(folder, 'file'), bytes);
  return { t, names, plain, daemon: await Daemon.start(t, file), folder, bytes };
}

/** Starts a server where clients go to, and waits until it listens. */
async function startServers(
  { t, names }: Place,
  [kind, port]: readonly ['tcp' | 'udp', number],
  command: string,
  ...args: readonly string[]
): Promise<void> {
  await Promise.all(
    [names.world, names.web].map(async (netns) => {
      const server = await netns.start(command, args);
      t.after(() => server.stop('SIGKILL'));
      await listening(netns, kind, port);
    }),
  );
}

function fileAt(scheme: 'ftp' | 'tftp', address: string): string {
  return `${scheme}://${inBrackets(address)}/file`;
}

/** A file, by curl, byte for byte. */
async function fetchFile(from: Netns, bytes: Uint8Array, ...args: string[]): Promise<void> {
  const program = `curl -gsS "$@" | cksum`;
  const sum = await from.mustRun('sh', ['-c', program, 'sh', ...args]);
  assert.equal(sum, await from.mustRun('cksum', [], { input: bytes }));
}

async function ftp(t: TestContext, place: Place): Promise<void> {
  const { names, daemon, folder, bytes } = place;
  const empty = join(dirname(folder), 'empty');
  mkdirSync(empty);
  const settings = join(dirname(folder), 'vsftpd.conf');
  writeFileSync(
    settings,
    `listen=NO
listen_ipv6=YES
background=NO
anonymous_enable=YES
no_anon_password=YES
anon_root=${folder}
ftp_username=daemon
nopriv_user=nobody
secure_chroot_dir=${empty}
pasv_min_port=30000
pasv_max_port=30009
connect_from_port_20=YES
`,
  );
  await startServers(place, ['tcp', 21], 'vsftpd', settings);
  await t.test('passive: the client opens the data connection', async (inner) => {
    await onEveryPath(inner, daemon, names, (from, _, address) =>
      fetchFile(from, bytes, fileAt('ftp', address)),
    );
  });
  await t.test(
    'active: the server opens it, where a rule of the client lets it in',
    async (inner) => {
      await onEveryPath(inner, daemon, names, (from, _, address) =>
        fetchFile(from, bytes, '--ftp-port', '-', fileAt('ftp', address)),
      );
    },
  );
}

async function tftp(t: TestContext, place: Place): Promise<void> {
  const { names, daemon, folder, bytes } = place;
  const args = ['-L', '-u', 'nobody', '-s', folder];
  await startServers(place, ['udp', 69], 'in.tftpd', ...args);
  await onEveryPath(t, daemon, names, (from, _, address) =>
    fetchFile(from, bytes, fileAt('tftp', address)),
  );
}

async function dns(t: TestContext, place: Place): Promise<void> {
  const { names, daemon } = place;
  // Each text as long as one can be; fifteen of them are three fragments over Ethernet's MTU.
  const texts = Array.from({ length: 15 }, (_, i) => `${i}-`.padEnd(250, 'x'));
  await startServers(
    ...([place, ['udp', 53], 'dnsmasq'] as const),
    ...['--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts'],
    ...['--user=root', '--pid-file=', '--edns-packet-max=4096'],
    ...texts.map((text) => `--txt-record=${DNS_NAME},${text}`),
  );
  await onEveryPath(t, daemon, names, async (from, _, address) => {
    const options = ['+bufsize=4096', '+ignore', '+notcp', '+tries=1', '+time=20', '+short'];
    const args = [`@${address}`, ...options, DNS_NAME, 'TXT'];
    const answer = await from.mustRun('dig', args);
    assert.deepEqual(answer.trim().split('\n').sort(), texts.map((text) => `"${text}"`).sort());
  });
}

async function sip(t: TestContext, { names, daemon }: Place): Promise<void> {
  await onEveryPath(t, daemon, names, async (from, to, address, own) => {
    const common = ['-nostdin', '-p', '5060', '-timeout', '30s', '-i'];
    const server = await to.start('sipp', ['-sn', 'uas', ...common, address]);
    try {
      await listening(to, 'udp', 5060);
      const calls = ['-m', '20', '-r', '50', '-d', '50'];
      const remote = `${inBrackets(address)}:5060`;
      const args = ['-sn', 'uac', ...calls, ...common, own, remote];
      await from.mustRun('sipp', args);
    } finally {
      await server.stop('SIGKILL');
    }
  });
}

async function gre(t: TestContext, { names, daemon }: Place): Promise<void> {
  await onEveryPath(t, daemon, names, async (from, to, address, own) => {
    const far = await to.start('python3', [GRE, address, own, '10.9.0.1']);
    const near = await from.start('python3', [GRE, own, address, '10.9.0.2']);
    try {
      await Promise.all([far, near].map((end) => end.waitFor(/^ready$/m)));
      const ping = ['-c', '3', '-i', '0.3', '-W', '10', '-s', '1300', '10.9.0.1'];
      assert.match(await from.mustRun('ping', ping), / 0% packet loss/);
    } finally {
      await near.stop('SIGKILL');
      await far.stop('SIGKILL');
    }
  });
}

/** Each end has an address of either family, and tells the other: both come to use both. */
async function sctp(t: TestContext, { names, daemon }: Place): Promise<void> {
  const missing = [SCTP_SERVER, SCTP_CLIENT].filter((path) => !existsSync(path));
  if (missing.length > 0) {
    t.skip(`needs ${missing.join(', ')}`);
    return;
  }
  await onEveryPath(t, daemon, names, async (from, to, address) => {
    const server = await to.start(SCTP_SERVER);
    try {
      await listening(to, 'raw', 132);
      const client = ['-c', '(echo hello; sleep 0.5) | "$@"', 'sh', SCTP_CLIENT, address, '7'];
      const printed = await from.mustRun('sh', client);
      assert.match(printed, /Association change SCTP_COMM_UP/);
      // It ends when all that was sent has been acknowledged.
      assert.match(printed, /Association change SCTP_SHUTDOWN_COMP/);
    } finally {
      await server.stop('SIGKILL');
    }
  });
}

/** What a server opens by itself, towards an instance that has no rule for it. */
async function inVain(t: TestContext, { plain, daemon }: Place): Promise<void> {
  const asked = [
    ['vsftpd', '--ftp-port', '-', ...ADDRESSES.web.map((address) => fileAt('ftp', address))],
    ['in.tftpd', ...ADDRESSES.web.map((address) => fileAt('tftp', address))],
  ];
  for (const [server, ...args] of asked)
    await t.test(server, async (inner) => {
      if (!requireTools(inner, server, 'curl')) return;
      const drops = await daemon.dropsDuring(async () => {
        const { code, stdout } = await plain.run('curl', ['-gsS', '-m', '2', ...args]);
        assert.deepEqual([code === 0, stdout], [false, '']);
      });
      assert.deepEqual(Object.keys(drops), ['plain ingress ingress-rules']);
    });
}

type Service = readonly [name: string, tools: readonly string[], run: typeof ftp];

/** The lines run at the same time, each from left to right. SCTP uses all addresses of its host, also a tunnel's. */
const SERVICES: readonly (readonly Service[])[] = [
  [['FTP', ['vsftpd', 'curl', 'cksum'], ftp]],
  [['TFTP', ['in.tftpd', 'curl', 'cksum'], tftp]],
  [['DNS, with answers in fragments', ['dnsmasq', 'dig'], dns]],
  [['SIP', ['sipp'], sip]],
  // SCTP by usrsctp: not every kernel has it.
  [
    ['GRE', ['python3'], gre],
    ['SCTP', [], sctp],
  ],
];

test('services', async (t) => {
  if (!canRun(t)) return;
  const place = await makePlace(t);
  // Each on one path after the other: nothing of any may drop.
  await t.test('with the rules that each needs', { concurrency: true }, async (inner) => {
    await Promise.all(
      SERVICES.map(async (line) => {
        for (const [name, tools, run] of line)
          await inner.test(name, { concurrency: 1 }, async (one) => {
            if (requireTools(one, ...tools)) await run(one, place);
          });
      }),
    );
  });
  // Last: who gets no answer asks again for a while.
  await t.test('without a rule for what the server opens', (inner) => inVain(inner, place));
});
