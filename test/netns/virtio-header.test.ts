/**
 * False virtio headers, written by root of an instance, with a real kernel on both sides. A next hop that completes
 * checksums in software writes where the header points. So a packet judged as one could be seen on its wire as
 * another.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { counting, ethernet, tcp4, tcp6, toHex, udp4, udp6, with16 } from '../packets/build.ts';
import { etherTypeOf, GATEWAY, GSO, NEEDS_CSUM, vnetHeader, type Vnet } from '../engine/frames.ts';
import { withPartialChecksum } from '../engine/coalescing.ts';
import { repositoryRoot } from '../support/repository.ts';
import { requireTools } from '../support/require.ts';
import { forward, openWire } from './plain-tun.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from './world.ts';

const SEND = join(repositoryRoot(), 'test/netns/send-vnet.py');
const OUT = ['198.51.100.9', '2001:db8:51::9'] as const;
const NETWORKS = ['198.51.100.0/24', '2001:db8:51::/64'];
const TUN = ['10.0.0.11', 'fd00:10::11'] as const;
const TAP = ['10.0.0.12', 'fd00:10::12'] as const;
const HOST = ['10.0.0.1', 'fd00:10::1'] as const;
const MAC = '02:00:00:00:00:42';

interface Sent {
  readonly what: string;
  readonly packet: Uint8Array;
  readonly vnet: Vnet;
  /** Newer kernels don't let it through PACKET_VNET_HDR; a guest's own driver may all the same. */
  readonly mayBeRefused?: boolean;
}

/** Sets the word at `at` so that the kernel's sum from `start` on comes out as `wanted`. */
function tune(packet: Uint8Array, start: number, at: number, wanted: number): Uint8Array {
  const cleared = with16(packet, at, 0);
  let sum = 0;
  for (let i = start; i < packet.length; i += 2) sum += cleared[i] * 256 + (cleared[i + 1] ?? 0);
  const rest = (((0xffff - wanted - sum) % 0xffff) + 0xffff) % 0xffff;
  return with16(packet, at, rest);
}

/** Packets to ports 53 and 80, whose headers would have the kernel write 4444, 22, or another address. */
function attacks(src: string, dst: string): Sent[] {
  const is6 = src.includes(':');
  const ip = is6 ? 40 : 20;
  const sum = (start: number, at: number): Vnet => ({
    flags: NEEDS_CSUM,
    csumStart: start,
    csumOffset: at - start,
  });
  const ask = { srcPort: 40000, dstPort: 53, payload: counting(20) };
  const datagram = (is6 ? udp6 : udp4)(src, dst, ask);
  const segment = (is6 ? tcp6 : tcp4)(src, dst, { srcPort: 40000, dstPort: 80, flags: 'S' });
  const superpacket = (is6 ? tcp6 : tcp4)(src, dst, {
    ...{ srcPort: 40000, dstPort: 80, flags: 'A', payload: counting(3000) },
  });
  const port = ip + 2;
  const found: Sent[] = [
    {
      what: 'the destination port of UDP, summed from the header on',
      packet: tune(datagram, ip, ip + 8, 4444),
      vnet: sum(ip, port),
    },
    {
      what: 'the destination port of UDP, summed from the payload before which it stands',
      packet: tune(datagram, ip + 2, ip + 8, 4444),
      vnet: sum(port, port),
    },
    {
      what: 'the source port of UDP',
      packet: tune(datagram, ip, ip + 8, 4444),
      vnet: sum(ip, ip),
    },
    {
      what: 'the destination port of TCP, summed from itself on',
      packet: tune(segment, port, ip + 16, 22),
      vnet: sum(port, port),
    },
    {
      what: 'the flags of TCP',
      packet: tune(segment, ip, ip + 16, 0x5010),
      vnet: sum(ip, ip + 12),
    },
    {
      what: 'the destination port of each segment of a superpacket',
      packet: tune(superpacket, ip, ip + 20, 22),
      mayBeRefused: true,
      vnet: {
        ...sum(ip, port),
        gsoType: is6 ? GSO.tcp6 : GSO.tcp4,
        hdrLen: ip + 20,
        gsoSize: 1000,
      },
    },
    {
      what: 'a superpacket of 3,000 segments',
      packet: withPartialChecksum(superpacket).packet,
      vnet: {
        ...sum(ip, ip + 16),
        gsoType: is6 ? GSO.tcp6 : GSO.tcp4,
        hdrLen: ip + 20,
        gsoSize: 1,
      },
    },
  ];
  if (is6)
    for (const [what, at] of [
      ['source', 22],
      ['destination', 38],
    ] as const)
      found.push({
        what: `the end of the ${what} address`,
        // Not before byte 20: newer kernels hold that no network header ends sooner.
        packet: tune(datagram, 20, ip + 8, 0x0bad),
        vnet: sum(20, at),
      });
  return found;
}

/** What a kernel asks for: a checksum, segments. */
function honest(src: string, dst: string): Sent[] {
  const is6 = src.includes(':');
  const ip = is6 ? 40 : 20;
  const ask = { srcPort: 40001, dstPort: 53, payload: counting(20) };
  const content = { srcPort: 40001, dstPort: 80, flags: 'A', payload: counting(1500) } as const;
  const datagram = withPartialChecksum((is6 ? udp6 : udp4)(src, dst, ask));
  const superpacket = withPartialChecksum((is6 ? tcp6 : tcp4)(src, dst, content));
  const gsoType = is6 ? GSO.tcp6 : GSO.tcp4;
  return [
    { what: 'a datagram', packet: datagram.packet, vnet: datagram.vnet! },
    {
      what: 'a superpacket',
      packet: superpacket.packet,
      vnet: { ...superpacket.vnet, gsoType, hdrLen: ip + 20, gsoSize: 1000 },
    },
  ];
}

/** What the wire has seen: protocol, source, ports. */
function summary(hex: string): string {
  const packet = Buffer.from(hex, 'hex');
  const is6 = packet[0] >> 4 === 6;
  const ip = is6 ? 40 : 20;
  const protocol = packet[is6 ? 6 : 9] === 6 ? 'tcp' : 'udp';
  const ports = `${packet.readUInt16BE(ip)} > ${packet.readUInt16BE(ip + 2)}`;
  return `IPv${is6 ? 6 : 4} ${protocol} ${ports}`;
}

test('virtio headers that lie', async (t) => {
  if (!canRun(t) || !requireTools(t, 'python3')) return;
  const names = await makeNamespaces(t, ['host', 'tun', 'tap']);
  const { host, tun, tap } = names;
  const file = temporaryFile(
    t,
    'virtio.yaml',
    `
uplink: { tun: up0, netns: ${host.path}, addresses: [${HOST[0]}/32, '${HOST[1]}/128'] }
securityGroups:
  locked:
    ingress: [{ protocol: udp, ports: 53, from: 198.51.100.0/24 }, { protocol: udp, ports: 53, from: '2001:db8:51::/64' }]
    egress:
      - { protocol: tcp, ports: 80, to: [198.51.100.0/24, '2001:db8:51::/64'] }
      - { protocol: udp, ports: 53, to: [198.51.100.0/24, '2001:db8:51::/64'] }
interfaces:
  tun: { device: { kind: tun, netns: ${tun.path}, name: eth0 }, addresses: [${TUN[0]}, '${TUN[1]}'], securityGroups: [locked] }
  tap: { device: { kind: tap, netns: ${tap.path}, name: eth0 }, addresses: [${TAP[0]}, '${TAP[1]}'], securityGroups: [locked] }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  const daemon = await Daemon.start(t, file);
  await forward(host);

  /** @returns how many the kernel of the namespace let through */
  const sendAll = async (
    from: typeof host,
    device: string,
    isTap: boolean,
    list: readonly Sent[],
  ): Promise<number> => {
    const lines = list.map(({ packet, vnet }) => {
      const by = isTap ? 14 : 0;
      const { hdrLen = 0, csumStart = 0 } = vnet;
      const header = { ...vnet, hdrLen: hdrLen === 0 ? 0 : hdrLen + by, csumStart: csumStart + by };
      const etherType = etherTypeOf(packet);
      const frame = isTap
        ? ethernet({ src: MAC, dst: GATEWAY, etherType, payload: packet })
        : packet;
      return `${device} ${etherType.toString(16)} ${toHex(vnetHeader(header))} ${toHex(frame)}`;
    });
    const input = `${lines.join('\n')}\n`;
    const { stdout: answers } = await from.run('python3', [SEND], { input });
    const sent = answers.trim().split('\n');
    assert.equal(sent.length, list.length);
    for (const [i, { what, mayBeRefused = false }] of list.entries())
      if (!mayBeRefused) assert.equal(sent[i], 'sent', what);
    return sent.filter((answer) => answer === 'sent').length;
  };

  for (const family of [0, 1] as const)
    for (const [name, namespace, own] of [
      ['tun', tun, TUN[family]],
      ['tap', tap, TAP[family]],
    ] as const)
      await t.test(`from the ${name}, IPv${family === 0 ? 4 : 6}`, async () => {
        const lies = attacks(own, OUT[family]);
        const good = honest(own, OUT[family]);
        let sent = 0;
        const drops = await daemon.dropsDuring(async () => {
          const arrived = await openWire(host, 'wire0', NETWORKS, 3);
          sent = await sendAll(namespace, 'eth0', name === 'tap', [...lies, ...good]);
          const ip = family === 0 ? 'IPv4' : 'IPv6';
          assert.deepEqual((await arrived()).map(summary), [
            `${ip} udp 40001 > 53`,
            `${ip} tcp 40001 > 80`,
            `${ip} tcp 40001 > 80`,
          ]);
        });
        assert.deepEqual(drops, { [`${name} egress bad-offload`]: sent - good.length });
      });

  await t.test('from the uplink', async () => {
    for (const family of [0, 1] as const) {
      const lies = attacks(OUT[family], TUN[family]);
      let sent = 0;
      const drops = await daemon.dropsDuring(async () => {
        sent = await sendAll(host, 'up0', false, lies);
        // What is sent behind them is seen behind them.
        const marker = honest(OUT[family], TUN[family]).slice(0, 1);
        const listener = await tun.start('python3', [
          '-c',
          `import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(('::', 53)); s.settimeout(5)
print('ready', flush=True); print(len(s.recv(100)), flush=True)`,
        ]);
        await listener.waitFor(/^ready$/m);
        await sendAll(host, 'up0', false, marker);
        await listener.waitFor(/^20$/m);
      });
      assert.deepEqual(drops, { 'uplink ingress bad-offload': sent });
    }
  });
});
