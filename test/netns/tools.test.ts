/**
 * The tools of attackers and network engineers through the real daemon: nmap, hping3, Scapy, large pings, and path
 * MTU discovery across a small hop. FLOOD_SECONDS makes a longer flood.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect, type Netns } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { requireScapy } from '../support/scapy.ts';
import { blobHash } from './blob.ts';
import { canRun, Daemon, get, makeNamespaces, ping, serve, temporaryFile } from './world.ts';

const WORLD = '198.51.100.7';
const WORLD6 = '2001:db8:51::7';
const FAR = '203.0.113.2';
const FAR6 = '2001:db8:203::2';
const WEB = '10.0.0.11';
const WEB6 = 'fd00:10::11';
const APP = '10.0.0.12';
const APP6 = 'fd00:10::12';
const DB = '10.0.0.13';
const DB6 = 'fd00:10::13';
const GATEWAY = '10.0.0.16';
const GATEWAY6 = 'fd00:10::16';
const INNER = '10.0.1.2';
const INNER6 = 'fd00:11::2';
const SMALL_MTU = 1300;
const FLOOD_SECONDS = Number(process.env['FLOOD_SECONDS'] ?? 2);

const NAMES = ['world', 'far', 'web', 'app', 'db', 'gateway', 'inner'] as const;
type Names = Record<(typeof NAMES)[number], Netns>;

/** No rule is for ICMP errors. */
function configuration(names: Names): string {
  const eth0 = (name: keyof Names): string => `{ netns: ${names[name].path}, name: eth0 }`;
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [${WORLD}/24, '${WORLD6}/64'] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 8080, from: [203.0.113.0/24, '2001:db8:203::/48'] }
      - { protocol: udp, ports: 53, from: 0.0.0.0/0 }
      - { protocol: icmp, type: 8, from: 'sg:app' }
      - { protocol: icmpv6, type: 128, from: 'sg:app' }
    egress: []
  app: {}
  db:
    ingress:
      - { protocol: tcp, ports: 5432, from: 'sg:app' }
      - { protocol: udp, ports: 5353, from: 'sg:app' }
      - { protocol: icmp, type: 8, from: 'sg:app' }
    egress: []
  gateway:
    egress:
      - { protocol: tcp, ports: 8080, to: [198.51.100.0/24, '2001:db8:51::/64'] }
interfaces:
  web: { device: ${eth0('web')}, addresses: [${WEB}, '${WEB6}'], securityGroups: [web] }
  app: { device: ${eth0('app')}, addresses: [${APP}, '${APP6}'], securityGroups: [app] }
  db: { device: ${eth0('db')}, addresses: [${DB}, '${DB6}'], securityGroups: [db] }
  gateway:
    device: ${eth0('gateway')}
    addresses: [${GATEWAY}, '${GATEWAY6}', ${INNER}, '${INNER6}']
    securityGroups: [gateway]
    sourceDestCheck: false
metrics: { listen: '127.0.0.1:0' }
`;
}

/** A router with a host behind a link of SMALL_MTU, which offers segments too long for that link all the same. */
async function connectBehind(
  router: Netns,
  host: Netns,
  networks: readonly [string, string],
): Promise<void> {
  const [network, network6] = networks;
  await connect(
    { netns: router, interfaceName: 'down0', addresses: [`${network}.1/24`, `${network6}::1/64`] },
    { netns: host, interfaceName: 'up0', addresses: [`${network}.2/24`, `${network6}::2/64`] },
  );
  await router.mustRun('ip', ['link', 'set', 'down0', 'mtu', String(SMALL_MTU)]);
  await host.mustRun('ip', ['link', 'set', 'up0', 'mtu', String(SMALL_MTU)]);
  await host.mustRun('ip', ['route', 'add', 'default', 'via', `${network}.1`, 'advmss', '1460']);
  await host.mustRun('ip', [
    '-6',
    'route',
    'add',
    'default',
    'via',
    `${network6}::1`,
    'advmss',
    '1440',
  ]);
  const forward =
    'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding';
  await router.mustRun('sh', ['-c', forward]);
}

test('tools', async (t) => {
  if (!canRun(t)) return;
  const names = await makeNamespaces(t, NAMES);
  const { world, far, web, app, gateway, inner } = names;
  await connectBehind(world, far, ['203.0.113', '2001:db8:203']);
  await connectBehind(gateway, inner, ['10.0.1', 'fd00:11']);
  const file = temporaryFile(t, 'tools.yaml', configuration(names));
  const [daemon] = await Promise.all([
    Daemon.start(t, file),
    ...(['world', 'web', 'db'] as const).map((name) => serve(names[name], name)),
  ]);
  // The gateway passes on what is for the host behind it; the daemon gave it that host's addresses.
  await gateway.mustRun('ip', ['address', 'del', `${INNER}/32`, 'dev', 'eth0']);
  await gateway.mustRun('ip', ['address', 'del', `${INNER6}/128`, 'dev', 'eth0']);

  await t.test('nmap', (inTest) => scan(inTest, daemon, names));

  await t.test('Scapy: fragments out of order, twice, overlapping, tiny', async (inTest) => {
    const python = await requireScapy(inTest);
    if (python === undefined) return;
    for (const [source, destination] of [
      [APP, DB],
      [APP6, DB6],
    ])
      await sendFragments(daemon, app, [python, source, destination]);
  });

  await t.test('pings of 65,000 bytes and of the most there can be pass', async () => {
    const drops = await daemon.dropsDuring(async () => {
      for (const [address, bytes] of [
        [WEB, '65000'],
        [WEB6, '65000'],
        [WEB, '65507'],
        [WEB6, '65527'],
      ])
        assert.match((await ping(app, address, 2, '-s', bytes)).stdout, / 0% packet loss/, address);
    });
    assert.deepEqual(drops, {});
  });

  await t.test('hping3: a flood of first fragments takes nobody else’s room', async (inTest) => {
    await floodWithFragments(inTest, names);
    await daemon.dropsEnd();
  });

  await t.test('path MTU: a connection inwards, the error from outside', async (inTest) => {
    if (!requireTools(inTest, 'sha256sum')) return;
    const drops = await daemon.dropsDuring(async () => {
      await download(far, `${WEB}:8080`);
      await download(far, `[${WEB6}]:8080`);
    });
    assert.deepEqual(drops, {});
    await assertKnownMtu(web, FAR);
    await assertKnownMtu(web, FAR6);
  });

  await t.test('path MTU: a connection outwards, the error from inside', async (inTest) => {
    if (!requireTools(inTest, 'sha256sum')) return;
    const drops = await daemon.dropsDuring(async () => {
      await download(inner, `${WORLD}:8080`);
      await download(inner, `[${WORLD6}]:8080`);
    });
    assert.deepEqual(drops, {});
    await assertKnownMtu(world, INNER);
    await assertKnownMtu(world, INNER6);
  });

  await t.test('after all that the daemon works, and ends as it should', async () => {
    assert.equal(await get(app, `${DB}:5432`), 'db\n');
    assert.equal(await daemon.stop(), 0);
  });
});

const PORTS = ['22', '80', '443', '5432', '7000', '8080'];
const CLOSED = PORTS.length;

/** Scan, what nmap makes of silence, and where the probes ended. */
const SCANS: readonly (readonly [
  flags: readonly string[],
  state: string,
  drops: Readonly<Record<string, number>>,
])[] = [
  [['-sS'], 'filtered', { 'db ingress ingress-rules': CLOSED }],
  [['-sA'], 'filtered', { 'db ingress ingress-rules': CLOSED }],
  [['-sW'], 'filtered', { 'db ingress ingress-rules': CLOSED }],
  [['-sF'], 'open|filtered', { 'db ingress tcp-flags': CLOSED }],
  [['-sN'], 'open|filtered', { 'db ingress tcp-flags': CLOSED }],
  [['-sX'], 'open|filtered', { 'db ingress tcp-flags': CLOSED }],
  [['-sM'], 'open|filtered', { 'db ingress ingress-rules': CLOSED }],
  [['-sU'], 'open|filtered', { 'db ingress ingress-rules': CLOSED }],
  // Pieces of 8 and of 16 bytes: of each header of 24 bytes three and two.
  [
    ['-sS', '-f'],
    'filtered',
    { 'uplink ingress tiny-fragment': CLOSED, 'db ingress fragment-early': 2 * CLOSED },
  ],
  [
    ['-sS', '-ff'],
    'filtered',
    { 'uplink ingress tiny-fragment': CLOSED, 'db ingress fragment-early': CLOSED },
  ],
];

async function scan(t: TestContext, daemon: Daemon, { world, app }: Names): Promise<void> {
  if (!requireTools(t, 'nmap')) return;
  const nmap = async (from: Netns, flags: readonly string[], to: string): Promise<string> => {
    const family = to.includes(':') ? ['-6'] : [];
    const speed = ['-T5', '--max-retries', '0', '--min-rate', '200'];
    const args = [...family, '-n', '-Pn', '-v', ...speed, ...flags, '-p', PORTS.join(), to];
    return from.mustRun('nmap', args);
  };
  await t.test('a member of the group that may sees the open port', async () => {
    assert.match(await nmap(app, ['-sS'], DB), /^5432\/tcp open /m);
  });
  for (const to of [DB, DB6])
    for (const [flags, state, drops] of SCANS) {
      // nmap cuts no IPv6 packets.
      if (to === DB6 && (flags.length > 1 || flags[0] === '-sM')) continue;
      await t.test(`${flags.join(' ')} of ${to} by a stranger`, async () => {
        let printed = '';
        const found = await daemon.dropsDuring(async () => {
          printed = await nmap(world, flags, to);
        });
        const states = [...printed.matchAll(/^\d+\/(?:tcp|udp) +(\S+)/gm)].map((line) => line[1]);
        assert.deepEqual(states, new Array(CLOSED).fill(state), printed);
        assert.deepEqual(found, drops);
      });
    }
}

async function sendFragments(
  daemon: Daemon,
  app: Netns,
  [python, source, destination]: readonly [string, string, string],
): Promise<void> {
  const script = join(repositoryRoot(), 'test', 'netns', 'fragments.py');
  let printed = '';
  const drops = await daemon.dropsDuring(async () => {
    printed = await app.mustRun(python, [script, source, destination, '5353']);
  });
  const answers = Object.fromEntries(
    printed
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => line.split('\t') as [string, string]),
  );
  assert.deepEqual(answers, {
    'in order': 'db in order',
    'last first': '',
    'the rest reversed': 'db the rest reversed',
    'each twice': '',
    'twice but the last': 'db twice but the last',
    overlap: '',
    teardrop: '',
    'a second first': '',
    'beyond the end': '',
    'the last alone': '',
    tiny: '',
  });
  assert.deepEqual(drops, {
    // "last first" two, "the last alone" and "tiny" one.
    'app egress fragment-early': 4,
    // "each twice" two, "twice but the last" one.
    'app egress fragment-duplicate': 3,
    // "overlap", "teardrop", "a second first", "beyond the end".
    'app egress fragment-overlap': 4,
    // What comes after it in "a second first".
    'app egress fragment-refused': 1,
    'app egress tiny-fragment': 1,
  });
}

async function floodWithFragments(t: TestContext, { world, app }: Names): Promise<void> {
  if (!requireTools(t, 'hping3')) return;
  // First fragments of datagrams to an open port that never become whole, each from elsewhere.
  const flags = ['-q', '--flood', '--rand-source', '-2', '-x', '-d', '64', '-p', '53', WEB];
  const flood = world.run('timeout', ['-s', 'INT', String(FLOOD_SECONDS), 'hping3', ...flags]);
  const count = FLOOD_SECONDS * 8;
  const fragmented = await ping(app, DB, count, '-s', '3000');
  const { stdout, stderr } = await flood;
  const sent = Number(/(\d+) packets transmitted/.exec(stdout + stderr)?.[1] ?? 0);
  t.diagnostic(`${sent} first fragments; ${/.*packet loss.*/.exec(fragmented.stdout)?.[0]}`);
  assert.ok(sent > 10_000, `the flood was one: ${stderr}`);
  assert.match(fragmented.stdout, / 0% packet loss/);
}

/** A known 20 MB arrive whole. */
async function download(to: Netns, place: string): Promise<void> {
  const command = `curl -gsS http://${place}/blob | sha256sum`;
  assert.equal(await to.mustRun('sh', ['-c', command]), `${blobHash()}  -\n`, place);
}

/** An error has told the host how small the way is. */
async function assertKnownMtu(host: Netns, destination: string): Promise<void> {
  const family = destination.includes(':') ? '-6' : '-4';
  const route = await host.mustRun('ip', [family, 'route', 'get', destination]);
  assert.match(route, new RegExp(`\\bmtu ${SMALL_MTU}\\b`), destination);
}
