/** A daemon with two packet loops between real namespaces: whatever belongs together comes to the same loop. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Status } from '../../src/queries/status-view.ts';
import type { Netns } from '../support/netns.ts';
import { blobHash } from './blob.ts';
import { get, ping, pingInVain } from './world.ts';
import {
  canRunWorkers,
  CLIENTS,
  CLIENTS6,
  FAR,
  FAR6,
  FAR_MTU,
  GONE,
  GONE6,
  json,
  LOOPS,
  loopOf,
  makeWorld,
  packetsByLoop,
  packetsDuring,
  QUIET,
  ROUTER,
  ROUTER6,
  SERVER,
  SERVER6,
  type World,
} from './workers-world.ts';

const ALL_LOOPS = [0, 1] as const;
/** What the kernels say of themselves meanwhile: neighbours, multicast groups. */
const CHATTER = 12;

/** Sends one datagram and prints how many bytes came back, or the error that did. */
const DATAGRAM = `
import socket, sys
host, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
# IP_RECVERR and IPV6_RECVERR: errors of routers are told as well.
if ':' in host:
    s.setsockopt(socket.IPPROTO_IPV6, 25, 1)
else:
    s.setsockopt(socket.IPPROTO_IP, 11, 1)
s.connect((host, port))
try:
    s.send(b'x' * size)
    print(len(s.recv(65535)))
except OSError as error:
    print(type(error).__name__, error.errno)
`;

function datagram(from: Netns, host: string, port: number, bytes: number): Promise<string> {
  return from
    .mustRun('python3', ['-c', DATAGRAM, host, String(port), String(bytes)])
    .then((text) => text.trim());
}

test('two packet loops', async (t) => {
  if (!canRunWorkers(t)) return;
  const world = await makeWorld(t);
  await t.test('status tells how many there are', async () => {
    assert.equal((await json<Status>(world, 'status')).health.workers, LOOPS);
  });
  await t.test('TCP, UDP and ping, by both', () => talks(world));
  await t.test('a TAP whose MAC address one loop has learned is reached by the other', () =>
    reachesQuiet(world),
  );
  await t.test('large datagrams in fragments, by both', () => fragments(world));
  await t.test('long transfers with segmentation offloaded arrive whole', (inner) =>
    transfers(inner, world),
  );
  await t.test('errors of a router find the flow they are about', () => findsErrors(world));
  await t.test('what rules refuse drops in both', () => refuses(world));
  await t.test('at the end the devices go with the daemon', async () => {
    assert.equal(await world.daemon.stop(), 0);
    for (const instance of [world.server, ...world.clients])
      assert.equal((await instance.run('ip', ['link', 'show', 'eth0'])).code, 1);
    assert.doesNotMatch(world.daemon.output, /"level":"?(50|error|60|fatal)/);
  });
});

async function talks({ server, clients, daemon }: World): Promise<void> {
  for (const loop of ALL_LOOPS) {
    const client = clients[loop];
    const drops = await daemon.dropsDuring(async () => {
      const counts = await packetsDuring(server, async () => {
        for (let i = 0; i < 5; i++) {
          assert.equal(await get(client, SERVER), 'server\n');
          assert.equal(await get(client, `[${SERVER6}]:7000`), 'server\n');
        }
        assert.match((await ping(client, SERVER, 5)).stdout, / 0% packet loss/);
        assert.match((await ping(client, SERVER6, 5)).stdout, / 0% packet loss/);
        assert.equal(await datagram(client, SERVER, 5353, 10), '17');
        assert.equal(await datagram(client, SERVER6, 5353, 10), '17');
        // The other way round.
        assert.equal(await get(server, CLIENTS[loop]), `client${loop}\n`);
        assert.match((await ping(server, CLIENTS[loop], 2)).stdout, / 0% packet loss/);
      });
      assert.ok(counts[loop] > 60, `loop ${loop} has got it: ${String(counts)}`);
      assert.ok(counts[1 - loop] <= CHATTER, `and the other has not: ${String(counts)}`);
    });
    assert.deepEqual(drops, {});
    assert.equal(loopOf(CLIENTS6[loop], SERVER6), loop);
  }
}

/** It says nothing by itself: no duplicate address detection, no group reports. */
async function reachesQuiet(world: World): Promise<void> {
  const { quiet, asking } = world;
  await quiet.mustRun('sh', [
    '-c',
    `sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1
     ip address add ${QUIET}/32 dev eth0; ip link set eth0 up; ip route add default dev eth0`,
  ]);
  assert.deepEqual(
    (await packetsByLoop(quiet)).reduce((a, b) => a + b),
    0,
    'it has not spoken',
  );
  // The first packet goes to the broadcast address; what it says in answer teaches its MAC address.
  const counts = await packetsDuring(quiet, async () => {
    assert.match((await ping(asking[1], QUIET, 3)).stdout, / 0% packet loss/);
  });
  assert.ok(counts[1] >= 3 && counts[0] <= 1, String(counts));
  // Linux hands TCP no segment that came by broadcast: a refusal is an answer of its TCP.
  const refused = await asking[0].run('curl', ['-sS', '-m', '3', `http://${QUIET}`]);
  assert.equal(refused.code, 7, refused.stderr);
}

async function fragments({ server, clients, daemon }: World): Promise<void> {
  for (const loop of ALL_LOOPS) {
    const drops = await daemon.dropsDuring(async () => {
      const counts = await packetsDuring(server, async () => {
        for (const bytes of [3000, 9000, 40_000])
          for (const host of [SERVER, SERVER6])
            assert.equal(await datagram(clients[loop], host, 5353, bytes), String(bytes + 7));
        for (const host of [SERVER, SERVER6])
          assert.match(
            (await ping(clients[loop], host, 2, '-s', '5000')).stdout,
            / 0% packet loss/,
          );
      });
      assert.ok(counts[loop] > 70 && counts[1 - loop] <= CHATTER, String(counts));
    });
    assert.deepEqual(drops, {});
  }
}

async function transfers(t: TestContext, { clients, server }: World): Promise<void> {
  const expected = `${blobHash()}  -\n`;
  // Both at once, and each in both directions.
  const sums = await Promise.all([
    ...clients.map((client) =>
      client.mustRun('sh', ['-c', `curl -gsS http://${SERVER}:7000/blob | sha256sum`]),
    ),
    ...CLIENTS.map((host) =>
      server.mustRun('sh', ['-c', `curl -gsS http://${host}/blob | sha256sum`]),
    ),
  ]);
  assert.deepEqual(new Set(sums), new Set([expected]));
  t.diagnostic(`packets by loop: ${String(await packetsByLoop(server))}`);
}

/** The errors come from the router, whose own pair with the server belongs to one loop: the flows are of both. */
async function findsErrors({ server, world, daemon }: World): Promise<void> {
  const counts = await packetsDuring(
    world,
    async () => {
      const drops = await daemon.dropsDuring(async () => {
        for (const loop of ALL_LOOPS) {
          // The router says EHOSTUNREACH or ENETUNREACH, the host itself ECONNREFUSED.
          assert.equal(await datagram(server, GONE[loop], 9, 10), 'OSError 113', GONE[loop]);
          assert.equal(await datagram(server, GONE6[loop], 9, 10), 'OSError 101', GONE6[loop]);
          const tcp = await server.run('curl', ['-gsS', '-m', '3', `http://${GONE[loop]}`]);
          assert.equal(tcp.code, 7, tcp.stderr);
          for (const host of [FAR[loop], FAR6[loop]])
            assert.equal(await datagram(server, host, 9, 10), 'ConnectionRefusedError 111', host);
          await findsMtu(server, FAR[loop], 28);
          await findsMtu(server, FAR6[loop], 48);
          assert.equal(await get(server, `${FAR[loop]}:8080`), 'far\n');
          assert.equal(await get(server, `[${FAR6[loop]}]:8080`), 'far\n');
        }
      });
      assert.deepEqual(drops, {});
    },
    'up0',
  );
  assert.ok(Math.min(...counts) >= 15, `both loops had flows with the far side: ${String(counts)}`);
  // Each family's errors came across: their own addresses belong to one loop alone.
  for (const [router, host] of [
    [ROUTER, SERVER],
    [ROUTER6, SERVER6],
  ])
    assert.ok(ALL_LOOPS.some((loop) => loop !== loopOf(router, host)));
}

async function findsMtu(from: Netns, host: string, header: number): Promise<void> {
  const tooLong = await ping(from, host, 2, '-M', 'do', '-s', '1400');
  assert.match(tooLong.stdout + tooLong.stderr, new RegExp(`mtu ?= ?${FAR_MTU}`));
  const exact = await ping(from, host, 1, '-M', 'do', '-s', String(FAR_MTU - header));
  assert.match(exact.stdout, / 0% packet loss/);
}

async function refuses({ server, clients, far, daemon }: World): Promise<void> {
  const drops = await daemon.dropsDuring(async () => {
    for (const loop of ALL_LOOPS) {
      assert.equal(await datagram(clients[loop], SERVER, 9999, 10), 'TimeoutError None');
      await pingInVain(far, SERVER, 2, '-I', FAR[loop]);
      await pingInVain(far, SERVER6, 2, '-I', FAR6[loop]);
    }
    // Two clients, whichever loop they meet in.
    await pingInVain(clients[0], CLIENTS[1], 2);
    await pingInVain(clients[1], CLIENTS6[0], 2);
  });
  assert.deepEqual(drops, {
    'server ingress ingress-rules': 2 + 4 * LOOPS,
    'client0 ingress ingress-rules': 2,
    'client1 ingress ingress-rules': 2,
  });
  assert.equal(await get(server, CLIENTS[0]), 'client0\n');
}
