/** libpcap on both sides of the daemon: what goes in by one interface comes out of the other, byte by byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { whyNoPcap } from '../../src/ports/pcap.ts';
import { canRun, Daemon, makeNamespaces, temporaryFile } from '../netns/world.ts';
import {
  bytes,
  concat,
  counting,
  destinationOptions,
  ethernet,
  hopByHop,
  icmp4,
  icmp6,
  ICMP,
  ICMP6,
  ipv4,
  ipv6,
  MAC_BROADCAST,
  PROTOCOL,
  tcp,
  tcp4,
  tcp6,
  toHex,
  udp4,
  udp6,
} from '../packets/build.ts';
import { makeNetns } from '../support/netns.ts';
import type { Netns } from '../support/netns.ts';

const CHILD = fileURLToPath(new URL('./pcap-child.js', import.meta.url));
const TUN_A = '10.0.0.1';
const TUN_B = '10.0.0.2';
const TAP_C = '10.0.0.3';
const TUN_A6 = 'fd00:10::1';
const TUN_B6 = 'fd00:10::2';
const TAP_C6 = 'fd00:10::3';
const GATEWAY = '02:73:67:00:00:01';
const MAC_C = '06:00:00:00:00:0c';
const ETHERNET_HEX = 2 * 14;

function canCapture(t: TestContext): boolean {
  const why = whyNoPcap();
  if (why !== undefined) t.skip(why);
  return why === undefined && canRun(t);
}

/**
 * Packets with everything a forwarder could be tempted to touch. Each is a flow of its own: nobody listens
 * where they go, and the refusal of one would close it for the next.
 */
function oddPackets(a: string, a6: string, b: string, b6: string): Uint8Array[] {
  let srcPort = 40000;
  const ports = (): { srcPort: number; dstPort: number } => ({ srcPort: srcPort++, dstPort: 443 });
  const noOperation = bytes(1, 1, 1, 0);
  const wrongSum = { flags: 'PA', payload: counting(33), checksum: 0x1234 };
  return [
    tcp4(
      a,
      b,
      {
        ...ports(),
        flags: 'S',
        seq: 7,
        mss: 1460,
        sackPermitted: true,
        timestamps: [5, 0],
        windowScale: 9,
      },
      { ttl: 1, tos: 0xb9, id: 0xbeef, df: true },
    ),
    tcp4(a, b, { ...ports(), ...wrongSum }, { ttl: 255, options: noOperation }),
    ipv4({ src: a, dst: b, protocol: PROTOCOL.tcp, checksum: 0x4321, payload: tcp(a, b, ports()) }),
    udp4(a, b, { ...ports(), payload: counting(1001), checksum: 0 }, { ttl: 2, id: 0 }),
    udp4(a, b, { ...ports(), payload: counting(1472) }, { ttl: 3, df: true }),
    icmp4(a, b, { type: ICMP.echo, id: 77, seq: 9, payload: counting(57) }, { ttl: 4 }),
    ipv4({ src: a, dst: b, protocol: PROTOCOL.gre, payload: counting(24) }),
    tcp6(
      a6,
      b6,
      { ...ports(), flags: 'SEC', mss: 1440, windowScale: 3 },
      { hopLimit: 1, trafficClass: 0xb9, flowLabel: 0xabcde },
    ),
    tcp6(a6, b6, { ...ports(), ...wrongSum }, { hopLimit: 255 }),
    udp6(
      a6,
      b6,
      { ...ports(), payload: counting(999) },
      { extensionHeaders: [destinationOptions()] },
    ),
    icmp6(a6, b6, { type: ICMP6.echo, id: 77, seq: 9, payload: counting(57) }, { hopLimit: 4 }),
    ipv6({
      src: a6,
      dst: b6,
      extensionHeaders: [hopByHop(), destinationOptions()],
      nextHeader: PROTOCOL.sctp,
      payload: counting(16),
    }),
  ];
}

/** What `netns` sees on eth0 of what `inject` sends elsewhere; `count` packets are waited for. */
async function capture(
  netns: Netns,
  linkType: string,
  count: number,
  filter: string,
  inject: () => Promise<unknown>,
  snap: readonly string[] = [],
): Promise<string[]> {
  const sniffer = await netns.start(process.execPath, [CHILD, 'sniff', 'eth0', filter, ...snap]);
  await sniffer.waitFor(new RegExp(`^${linkType} ready$`, 'm'));
  await inject();
  await sniffer.waitFor(new RegExp(`(packet [0-9a-f]+\\+?\n[^]*){${count}}`));
  const { stdout } = await sniffer.stop();
  return [...stdout.matchAll(/^packet (.*)$/gm)].map((match) => match[1]);
}

function inject(netns: Netns, packets: readonly Uint8Array[]): Promise<string> {
  return netns.mustRun(process.execPath, [CHILD, 'inject', 'eth0', ...packets.map(toHex)]);
}

test('nothing of a packet is rewritten on its way', async (t) => {
  if (!canCapture(t)) return;
  const { a, b, c } = await makeNamespaces(t, ['a', 'b', 'c']);
  const device = (netns: Netns, kind: string): string =>
    `{ kind: ${kind}, netns: ${netns.path}, name: eth0 }`;
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: ${device(a, 'tun')}, addresses: [${TUN_A}, '${TUN_A6}'] }
  b: { device: ${device(b, 'tun')}, addresses: [${TUN_B}, '${TUN_B6}'] }
  c: { device: ${device(c, 'tap')}, addresses: [${TAP_C}, '${TAP_C6}'] }
`,
  );
  await Daemon.start(t, file);
  // Without the gateway's advertisements, which bear the address that was asked for.
  const from = (address: string, address6: string): string =>
    `ip src ${address} or (ip6 src ${address6} and ip6[40] != ${ICMP6.neighborAdvertisement})`;
  const fromA = from(TUN_A, TUN_A6);
  const fromC = from(TAP_C, TAP_C6);

  await t.test('TUN to TUN', async () => {
    const packets = oddPackets(TUN_A, TUN_A6, TUN_B, TUN_B6);
    const seen = await capture(b, 'RAW', packets.length, fromA, () => inject(a, packets));
    assert.deepEqual(seen, packets.map(toHex));
  });

  await t.test('TUN to TAP: behind an Ethernet header', async () => {
    const packets = oddPackets(TUN_A, TUN_A6, TAP_C, TAP_C6);
    const seen = await capture(c, 'ETHERNET', packets.length, fromA, () => inject(a, packets));
    assert.deepEqual(
      seen.map((frame) => frame.slice(ETHERNET_HEX)),
      packets.map(toHex),
    );
  });

  await t.test('TAP to TUN: without its Ethernet header and padding', async () => {
    const packets = oddPackets(TAP_C, TAP_C6, TUN_A, TUN_A6);
    const frames = packets.map((packet) =>
      ethernet({
        src: MAC_C,
        dst: GATEWAY,
        etherType: packet[0] >>> 4 === 4 ? 0x0800 : 0x86dd,
        payload: concat(packet, new Uint8Array(Math.max(0, 46 - packet.length))),
      }),
    );
    const seen = await capture(a, 'RAW', packets.length, fromC, () => inject(c, frames));
    assert.deepEqual(seen, packets.map(toHex));
  });

  await t.test(
    'what follows a frame to the broadcast address is the same packet, too',
    async () => {
      const packet = udp4(TAP_C, TUN_A, { srcPort: 1, dstPort: 2, payload: counting(100) });
      const broadcast = ethernet({
        src: MAC_C,
        dst: MAC_BROADCAST,
        etherType: 0x0800,
        payload: packet,
      });
      const seen = await capture(a, 'RAW', 1, fromC, () => inject(c, [broadcast]));
      assert.deepEqual(seen, [toHex(packet)]);
    },
  );

  await t.test('a snap length cuts, and says so', async () => {
    const packet = udp4(TUN_A, TUN_B, { srcPort: 1, dstPort: 2, payload: counting(100) });
    const short = udp4(TUN_A, TUN_B, { srcPort: 1, dstPort: 2, payload: counting(36) });
    const seen = await capture(b, 'RAW', 2, fromA, () => inject(a, [packet, short]), ['64']);
    assert.deepEqual(seen, [`${toHex(packet.subarray(0, 64))}+`, toHex(short)]);
  });
});

test('mistakes are told, and none of them costs the process its life later on', async (t) => {
  if (!canCapture(t)) return;
  const netns = await makeNetns(t);
  const result = await netns.run(process.execPath, ['--expose-gc', CHILD, 'misuse']);
  assert.equal(result.code, 0, result.stderr);
  const lines = result.stdout.trimEnd().split('\n');
  assert.match(lines[0], /^Error: cannot capture on no-such-device: .*No such device/);
  assert.match(lines[1], /^Error: cannot capture on lo with the filter 'not a filter': /);
  assert.deepEqual(
    [lines[2], lines[3], lines[5], lines[6]],
    [
      'RangeError: snap length 0 is not within 1 to 65535',
      'RangeError: snap length 65536 is not within 1 to 65535',
      'Error: this capture is closed',
      'alive',
    ],
  );
  assert.match(lines[4], /^Error: (?!this capture)/);
});
