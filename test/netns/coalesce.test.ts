/** Coalescing with a real kernel: the kernel cuts superpackets into exactly the bytes that were sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { addressBytes, concat, counting, tcp4, tcp6, toHex, udp4, udp6 } from '../packets/build.ts';
import { loadNative } from '../../src/ports/native.ts';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { TUN_PORT, withPartialChecksum, writesOf, type Outgoing } from '../engine/coalescing.ts';
import { vnetHeader } from '../engine/frames.ts';
import { forward, openWire } from './plain-tun.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const FROM = '10.7.0.9';
const FROM6 = 'fd07::9';
const TO = '192.0.2.9';
const TO6 = '2001:db8:9::9';
const NETWORKS = ['192.0.2.0/24', '2001:db8:9::/64'];

/** Packets by their time to live: one hop takes one off. */
type Make = (ttl: number) => Uint8Array[];

function list(count: number, make: (i: number) => Uint8Array): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

/** Runs that are joined, of every kind; the last of each is shorter. */
const RUNS: readonly [name: string, packets: Make][] = [
  [
    'UDP over IPv4, across the end of the identification',
    (ttl) =>
      list(20, (i) => {
        const payload = counting(i === 19 ? 3 : 64).map((byte) => byte ^ i);
        const ip = { id: (65530 + i) % 65536, tos: 0x2e, ttl };
        return udp4(FROM, TO, { srcPort: 4000, dstPort: 5000, payload }, ip);
      }),
  ],
  [
    'UDP over IPv6, odd lengths',
    (ttl) =>
      list(20, (i) => {
        const payload = counting(i === 19 ? 1 : 333).map((byte) => byte ^ i);
        const ip = { hopLimit: ttl, flowLabel: 0xabcde, trafficClass: 3 };
        return udp6(FROM6, TO6, { srcPort: 4000, dstPort: 5000, payload }, ip);
      }),
  ],
  [
    'TCP over IPv4 with options, pushed at the end, across the end of the sequence',
    (ttl) =>
      list(20, (i) => {
        const payload = counting(i === 19 ? 77 : 1000).map((byte) => byte ^ i);
        const seq = (2 ** 32 - 5000 + 1000 * i) % 2 ** 32;
        const content = { srcPort: 4000, dstPort: 5000, payload, seq, ack: 99, window: 77 };
        const flags = i === 19 ? 'AP' : 'A';
        const ip = { id: 100 + i, ttl };
        return tcp4(FROM, TO, { ...content, flags, timestamps: [5, 6] }, ip);
      }),
  ],
  [
    'TCP over IPv6',
    (ttl) =>
      list(20, (i) => {
        const payload = counting(i === 19 ? 77 : 1001).map((byte) => byte ^ i);
        const content = { srcPort: 4000, dstPort: 5000, payload, seq: 7 + 1001 * i, ack: 99 };
        return tcp6(FROM6, TO6, content, { hopLimit: ttl, flowLabel: 0x12345 });
      }),
  ],
];

/** A namespace that routes what our TUN brings to a wire, and a function that writes to the TUN. */
async function makeRouter(
  t: TestContext,
): Promise<{ router: Netns; write: (packets: readonly Outgoing[]) => number } | undefined> {
  if (!canRun(t) || !requireTools(t, 'python3')) return undefined;
  const { router } = await makeNamespaces(t, ['router']);
  await forward(router);
  const native = loadNative();
  const device = native.openDevice({
    kind: 'tun',
    netns: router.path,
    name: 'in0',
    persist: false,
  });
  t.after(() => {
    native.closeFd(device.fd);
  });
  if (!device.offloads.uso) {
    t.skip('the kernel takes no UDP superpackets (Linux 6.2 does)');
    return undefined;
  }
  native.addAddress(router.path, device.ifindex, addressBytes('10.7.0.1'), 24);
  native.addAddress(router.path, device.ifindex, addressBytes('fd07::1'), 64);
  native.setLink(router.path, device.ifindex, { up: true });
  const write = (packets: readonly Outgoing[]): number => {
    const writes = writesOf(packets);
    const whole = writes.map(({ vnet, packet }) => concat(vnetHeader(vnet), packet));
    const slots = new Int32Array(3 * whole.length);
    let at = 0;
    whole.forEach(({ length }, i) => {
      slots.set([at, length, 0], 3 * i);
      at += length;
    });
    const fds = Int32Array.of(device.fd);
    assert.equal(native.writeBatch(concat(...whole), slots, whole.length, fds), whole.length);
    return writes.length;
  };
  return { router, write };
}

test('the kernel cuts superpackets into the very packets they were made of', async (t) => {
  const made = await makeRouter(t);
  if (made === undefined) return;
  const { router, write } = made;
  for (const [name, make] of RUNS)
    for (const isPartial of [true, false]) {
      const arrived = await openWire(router, 'wire0', NETWORKS, 20);
      const packets = make(64).map((packet) => ({
        to: TUN_PORT,
        ...(isPartial ? withPartialChecksum(packet) : { packet }),
      }));
      const where = `${name}, ${isPartial ? 'partial' : 'complete'} checksums`;
      assert.equal(write(packets), 1, where);
      assert.deepEqual(await arrived(), make(63).map(toHex), where);
    }
});

const COUNT = 600;
/** Sends COUNT datagrams from one connected socket, numbered, most of one length, as fast as it can. */
const SENDER = `
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind(('', 4000))
s.connect((sys.argv[1], int(sys.argv[2])))
for i in range(${COUNT}):
    s.send(b'%06d' % i + bytes([i % 256]) * (i % 50 and 58 or 13))
`;
/** Receives without GRO: prints each datagram's length and number, in order. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
s.bind(('::', int(sys.argv[1])))
s.settimeout(300)
print('ready', flush=True)
lines = []
while len(lines) < ${COUNT}:
    try: data = s.recv(65536)
    except TimeoutError: break
    lines.append('%d %s %s' % (len(data), data[:6].decode(), set(data[6:]) == {int(data[:6]) % 256}))
print('\\n'.join(lines), 'end', sep='\\n', flush=True)
`;

function payloadOf(i: number): Uint8Array {
  const rest = new Uint8Array(i % 50 === 0 ? 13 : 58).fill(i % 256);
  return concat(new TextEncoder().encode(String(i).padStart(6, '0')), rest);
}

async function packetsReceived(netns: Netns): Promise<number> {
  const text = await netns.mustRun('ip', ['-json', '-stats', 'link', 'show', 'eth0']);
  const [link] = JSON.parse(text) as [{ stats64: { rx: { packets: number } } }];
  return link.stats64.rx.packets;
}

test('numbered datagrams through the daemon: received one by one, and the same bytes on the wire behind', async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3')) return;
  const names = await makeNamespaces(t, ['from', 'to']);
  const { from, to } = names;
  const file = temporaryFile(
    t,
    'coalesce.yaml',
    `
securityGroups:
  open: { ingress: [{ protocol: all, from: 0.0.0.0/0 }, { protocol: all, from: '::/0' }] }
interfaces:
  from: { device: { netns: ${from.path}, name: eth0 }, addresses: [${FROM}, '${FROM6}'], securityGroups: [open] }
  to:
    device: { netns: ${to.path}, name: eth0 }
    addresses: [10.7.0.1, 'fd07::1', ${TO}, '${TO6}']
    securityGroups: [open]
    sourceDestCheck: false
`,
  );
  const daemon = await Daemon.start(t, file);
  await forward(to);

  /** All are sent while nobody takes them from the queue, so that they come in full batches. */
  const send = async (address: string, port: number): Promise<number> => {
    const before = await packetsReceived(to);
    daemon.pause();
    await from.mustRun('python3', ['-c', SENDER, address, String(port)]);
    daemon.pause('SIGCONT');
    return before;
  };

  for (const [own, far, source] of [
    ['10.7.0.1', TO, FROM],
    ['fd07::1', TO6, FROM6],
  ] as const) {
    await t.test(`to a socket without GRO, ${own}`, async () => {
      const receiver = await to.start('python3', ['-c', RECEIVER, '5000']);
      await receiver.waitFor(/^ready$/m);
      const before = await send(own, 5000);
      const [, lines] = await receiver.waitFor(/^ready\n([^]*)\nend$/m);
      assert.deepEqual(
        lines.split('\n'),
        list(COUNT, payloadOf).map(
          (payload, i) => `${payload.length} ${String(i).padStart(6, '0')} True`,
        ),
      );
      const carried = (await packetsReceived(to)) - before;
      assert.equal(carried < COUNT / 10, true, `${carried} superpackets: nothing was joined`);
    });

    await t.test(`onto a wire, ${far}`, async () => {
      // The address is the interface's own for the gates, and the network behind the wire for the kernel.
      await to.run('ip', [
        'address',
        'del',
        `${far}/${far.includes(':') ? 128 : 32}`,
        'dev',
        'eth0',
      ]);
      const arrived = await openWire(
        to,
        'wire0',
        [`${far}/${far.includes(':') ? 128 : 32}`],
        COUNT,
      );
      const before = await send(far, 5001);
      const lines = await arrived();
      const first = Number.parseInt(lines[0].slice(8, 12), 16);
      const label = Number.parseInt(lines[0].slice(2, 8), 16) % 2 ** 20;
      const expected = list(COUNT, (i) => {
        const content = { srcPort: 4000, dstPort: 5001, payload: payloadOf(i) };
        return source.includes(':')
          ? udp6(source, far, content, { hopLimit: 63, flowLabel: label })
          : udp4(source, far, content, { id: (first + i) % 65536, df: true, ttl: 63 });
      });
      assert.deepEqual(lines, expected.map(toHex));
      const carried = (await packetsReceived(to)) - before;
      assert.equal(carried < COUNT / 10, true, `${carried} superpackets: nothing was joined`);
    });
  }
});
