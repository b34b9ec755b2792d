/**
 * Devices of different MTU with real connections: the sender of a packet that is too long gets an error, and goes on
 * with shorter packets. The receivers offer segments too long for their own link, or TCP would never send any.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { blobHash } from './blob.ts';
import { canRun, Daemon, makeNamespaces, ping, serve, temporaryFile } from './world.ts';

const WORLD = ['198.51.100.7', '2001:db8:51::7'] as const;
const TUN = ['10.0.0.11', 'fd00:10::11'] as const;
const TAP = ['10.0.0.12', 'fd00:10::12'] as const;
const NARROW = ['10.0.0.13', 'fd00:10::13'] as const;
const TAP_NARROW = ['10.0.0.14', 'fd00:10::14'] as const;
/** Behind a device that others have made and given an MTU. */
const BRIDGED = '10.0.0.15';
const BRIDGED_MTU = 1350;
const NARROW_MTU = 1300;
const UPLINK_MTU = 1400;

/** A datagram there and back, without DF where it is IPv4; tried again, since the first is what tells of the MTU. */
const ECHO = `
import socket, sys
host, size = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ':' in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
if family == socket.AF_INET: s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: IP_PMTUDISC_DONT
s.settimeout(1)
for attempt in range(1, 6):
    s.sendto(bytes(97 + i % 26 for i in range(size)), (host, 5353))
    try: answer = s.recv(65536)
    except TimeoutError: continue
    print(attempt, len(answer)); break
`;

function configuration(names: Readonly<Record<string, Netns>>): string {
  const instance = (
    name: string,
    kind: string,
    mtu: number,
    addresses: readonly string[],
  ): string =>
    `  ${name}: { device: { kind: ${kind}, netns: ${names[name].path}, name: eth0, mtu: ${mtu} }, addresses: ['${addresses.join("', '")}'], securityGroups: [open] }`;
  return `
uplink: { tun: up0, netns: ${names['world'].path}, mtu: ${UPLINK_MTU}, addresses: [${WORLD[0]}/24, '${WORLD[1]}/64'] }
securityGroups:
  open:
    ingress:
      - { protocol: tcp, ports: 8080, from: [10.0.0.0/24, 'fd00:10::/64', 198.51.100.0/24, '2001:db8:51::/64'] }
      - { protocol: udp, ports: 5353, from: [10.0.0.0/24, 'fd00:10::/64', 198.51.100.0/24, '2001:db8:51::/64'] }
      - { protocol: icmp, type: 8, from: 10.0.0.0/24 }
      - { protocol: icmpv6, type: 128, from: 'fd00:10::/64' }
interfaces:
${instance('tun', 'tun', 1500, TUN)}
${instance('tap', 'tap', 1500, TAP)}
${instance('narrow', 'tun', NARROW_MTU, NARROW)}
${instance('tapnarrow', 'tap', NARROW_MTU, TAP_NARROW)}
  bridged:
    device: { kind: tap, netns: ${names['bridged'].path}, name: tap0, configure: false }
    addresses: [${BRIDGED}]
    securityGroups: [open]
metrics: { listen: '127.0.0.1:0' }
`;
}

/** Has the host offer segments for packets of 1,500 bytes, whatever its own link takes. */
async function offerLongSegments(
  host: Netns,
  device: string,
  to: readonly [string, string],
): Promise<void> {
  await host.mustRun('ip', ['route', 'replace', to[0], 'dev', device, 'advmss', '1460']);
  await host.mustRun('ip', ['-6', 'route', 'replace', to[1], 'dev', device, 'advmss', '1440']);
}

/** A known 20 MB arrive whole. */
async function download(to: Netns, host: string): Promise<void> {
  const place = `${host.includes(':') ? `[${host}]` : host}:8080`;
  const command = `curl -gsS http://${place}/blob | sha256sum`;
  const hash = await to.mustRun('sh', ['-c', command]);
  assert.equal(hash, `${blobHash()}  -\n`, place);
}

/** An error has told the host how small the way is. */
async function assertKnownMtu(host: Netns, destination: string, mtu: number): Promise<void> {
  const family = destination.includes(':') ? '-6' : '-4';
  const route = await host.mustRun('ip', [family, 'route', 'get', destination]);
  assert.match(route, new RegExp(`\\bmtu ${mtu}\\b`), destination);
}

test('devices of different MTU', async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3', 'sha256sum')) return;
  const names = await makeNamespaces(t, ['world', 'tun', 'tap', 'narrow', 'tapnarrow', 'bridged']);
  const { world, tun, tap, narrow, tapnarrow, bridged } = names;
  await bridged.mustRun('ip', ['tuntap', 'add', 'tap0', 'mode', 'tap', 'vnet_hdr']);
  await bridged.mustRun('ip', ['link', 'set', 'tap0', 'mtu', String(BRIDGED_MTU), 'up']);
  const file = temporaryFile(t, 'mtu.yaml', configuration(names));
  const [daemon] = await Promise.all([
    Daemon.start(t, file),
    ...(['world', 'tun', 'tap', 'narrow', 'tapnarrow'] as const).map((name) =>
      serve(names[name], name),
    ),
  ]);
  const ALL = ['default', 'default'] as const;
  await offerLongSegments(narrow, 'eth0', ALL);
  await offerLongSegments(tapnarrow, 'eth0', ALL);
  await offerLongSegments(world, 'up0', [`${TUN[0]}/32`, `${TUN[1]}/128`]);
  await offerLongSegments(world, 'up0', [`${TAP[0]}/32`, `${TAP[1]}/128`]);

  /** @param kinds the only drops there may be, and there must be one of each */
  const dropsOnly = async (
    kinds: readonly string[],
    action: () => Promise<unknown>,
  ): Promise<void> => {
    const drops = await daemon.dropsDuring(action);
    assert.deepEqual(Object.keys(drops).sort(), [...kinds].sort());
  };

  for (const family of [0, 1]) {
    const ip = `IPv${family === 0 ? 4 : 6}`;
    await t.test(`TCP between instances, ${ip}`, async () => {
      await dropsOnly(['narrow ingress packet-too-big'], () => download(narrow, TUN[family]));
      await assertKnownMtu(tun, NARROW[family], NARROW_MTU);
      await dropsOnly(['tapnarrow ingress packet-too-big'], () => download(tapnarrow, TAP[family]));
      await assertKnownMtu(tap, TAP_NARROW[family], NARROW_MTU);
    });

    await t.test(`TCP out by a smaller uplink, ${ip}`, async () => {
      await dropsOnly(['uplink egress packet-too-big'], () => download(world, TUN[family]));
      await assertKnownMtu(tun, WORLD[family], UPLINK_MTU);
      await dropsOnly(['uplink egress packet-too-big'], () => download(world, TAP[family]));
      await assertKnownMtu(tap, WORLD[family], UPLINK_MTU);
    });

    await t.test(`TCP in from the uplink, ${ip}`, async () => {
      await dropsOnly(['narrow ingress packet-too-big'], () => download(narrow, WORLD[family]));
      await assertKnownMtu(world, NARROW[family], NARROW_MTU);
    });

    await t.test(`UDP in fragments, ${ip}`, async () => {
      // From another instance than above, which knows the MTU by now.
      const echo = async (): Promise<void> => {
        const answer = await tap.mustRun('python3', ['-c', ECHO, NARROW[family], '4000']);
        assert.match(answer, /^\d 4007$/m);
      };
      // IPv4 fragments are cut again and arrive; of IPv6 the sender has to hear first.
      await dropsOnly(family === 0 ? [] : ['narrow ingress packet-too-big'], echo);
    });
  }

  await t.test('ping, with and without DF', async () => {
    const exact = String(NARROW_MTU - 28);
    const tooLong = String(NARROW_MTU - 27);
    const told = await ping(tap, TAP_NARROW[0], 1, '-M', 'do', '-s', tooLong);
    assert.match(told.stdout + told.stderr, new RegExp(`mtu ?= ?${NARROW_MTU}`));
    assert.match(
      (await ping(tap, TAP_NARROW[0], 1, '-M', 'do', '-s', exact)).stdout,
      / 0% packet loss/,
    );
    const cut = await ping(tun, TAP_NARROW[0], 3, '-M', 'dont', '-s', '1400');
    assert.match(cut.stdout, / 0% packet loss/);
  });

  await t.test('a device that is configured elsewhere has the MTU it was found with', async () => {
    const told = await ping(tun, BRIDGED, 1, '-M', 'do', '-s', String(BRIDGED_MTU - 27));
    assert.match(told.stdout + told.stderr, new RegExp(`mtu ?= ?${BRIDGED_MTU}`));
    const drops = await daemon.dropsDuring(() =>
      ping(tap, BRIDGED, 1, '-M', 'do', '-W', '0.3', '-s', String(BRIDGED_MTU - 28)),
    );
    assert.deepEqual(drops, {}, 'what fits goes to the device');
  });
});
