/**
 * The kernel as a firewall: a network namespace that routes between two TUN devices, with nftables and
 * nf_conntrack in between. What is written into one comes out of the other if the kernel lets it pass.
 *
 * A write to a TUN runs the packet through the whole router before it returns, so packets written one after
 * the other meet nf_conntrack in that order, whichever device they enter by. That they have all been judged is
 * not taken on trust: a tick, which always passes, goes behind them in both directions, and is waited for.
 */
import type { TestContext } from 'node:test';
import * as build from '../packets/build.ts';
import { HEADROOM_BYTES, loadNative, type Native } from '../../src/ports/native.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { waitForInput } from '../native/wait-for-input.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { makeNetns, type Netns } from '../support/netns.ts';
import { contentOf, labelOf, Receiver } from './datagrams.ts';
import { INSTANCE_4, peerAddress } from './play.ts';
import { nftRules } from './rules.ts';
import { FRAGMENTED, type Place, type Sent } from './steps.ts';

const TICK_PORT = 9;
const READ_ARENA_BYTES = 1 << 20;
const READ_SLOTS = 1024;

const DEVICES: Readonly<Record<Place, string>> = { in: 'inside', out: 'outside' };

/** Far longer than any test: no verdict may depend on how fast the machine is. Our side stands still in time. */
const NEVER_SEC = 432_000;
const TIMEOUTS = [
  ...['syn_sent', 'syn_recv', 'established', 'fin_wait', 'close_wait', 'last_ack', 'time_wait'],
  ...['close', 'max_retrans', 'unacknowledged'],
].map((state) => `tcp_timeout_${state}`);
TIMEOUTS.push('udp_timeout', 'udp_timeout_stream', 'generic_timeout', 'icmp_timeout');
TIMEOUTS.push('icmpv6_timeout', 'frag6_timeout');

/** nf_conntrack as strict as it gets. */
const SYSCTLS: Readonly<Record<string, number>> = {
  'net/ipv4/ip_forward': 1,
  'net/ipv6/conf/all/forwarding': 1,
  'net/ipv4/conf/all/rp_filter': 0,
  'net/ipv4/conf/default/rp_filter': 0,
  'net/ipv4/conf/all/send_redirects': 0,
  'net/ipv4/conf/default/send_redirects': 0,
  'net/ipv4/ipfrag_time': NEVER_SEC,
  'net/ipv4/ipfrag_max_dist': 0,
  'net/ipv4/ipfrag_high_thresh': 1 << 28,
  'net/netfilter/nf_conntrack_frag6_high_thresh': 1 << 28,
  'net/netfilter/nf_conntrack_checksum': 1,
  'net/netfilter/nf_conntrack_log_invalid': 0,
  'net/netfilter/nf_conntrack_tcp_be_liberal': 0,
  'net/netfilter/nf_conntrack_tcp_ignore_invalid_rst': 0,
  ...Object.fromEntries(TIMEOUTS.map((name) => [`net/netfilter/nf_conntrack_${name}`, NEVER_SEC])),
};

export class KernelRouter {
  private readonly native: Native = loadNative();
  private readonly netns: Netns;
  private readonly fds: Int32Array;
  private readonly arena = new Uint8Array(READ_ARENA_BYTES);
  private readonly slots = new Int32Array(3 * READ_SLOTS);
  private ticks = 0;

  private constructor(netns: Netns, fds: readonly [inside: number, outside: number]) {
    this.netns = netns;
    this.fds = Int32Array.from(fds);
  }

  /** Makes a router that goes with the test. Needs root, a TUN device, ip and nft. */
  static async make(
    t: TestContext,
    options: { readonly midstream: boolean },
  ): Promise<KernelRouter> {
    const netns = await makeNetns(t);
    const native = loadNative();
    const open = (place: Place): number => {
      const device = native.openDevice({
        kind: 'tun',
        netns: netns.path,
        name: DEVICES[place],
        persist: false,
      });
      t.after(() => {
        native.closeFd(device.fd);
      });
      return device.fd;
    };
    // Rules first: some settings appear with the first rule that needs them.
    await netns.mustRun('nft', ['-f', '-'], {
      input: nftRules({ inside: DEVICES.in, outside: DEVICES.out, tickPort: TICK_PORT }),
    });
    const settings = {
      ...SYSCTLS,
      'net/netfilter/nf_conntrack_tcp_loose': options.midstream ? 1 : 0,
    };
    const lines = Object.entries(settings).map(
      ([name, value]) => `echo ${value} > /proc/sys/${name}`,
    );
    await netns.mustRun('sh', ['-e'], { input: lines.join('\n') });
    const fds = [open('in'), open('out')] as const;
    const lines2 = Object.entries(DEVICES).flatMap(([place, device]) => [
      `link set ${device} up`,
      ...(place === 'in'
        ? [`route add 10.0.0.0/8 dev ${device}`, `-6 route add fd00::/8 dev ${device}`]
        : [`route add 198.18.0.0/15 dev ${device}`, `-6 route add 2001:db8::/32 dev ${device}`]),
    ]);
    for (const line of lines2) await netns.mustRun('ip', line.split(' '));
    return new KernelRouter(netns, fds);
  }

  /**
   * Sends the packets in order; what came out of each on the other side: its content, or, with the fragment that
   * makes a datagram complete, that of the datagram.
   */
  judge(sent: readonly Sent[]): (Uint8Array | undefined)[] {
    const came = new Array<Uint8Array | undefined>(sent.length).fill(undefined);
    const packets: Pick<Sent, 'from' | 'packet'>[] = [];
    // What comes out of a fragment bears no number: a tick behind each tells whose it is.
    const fragmentBefore = new Map<number, number>();
    sent.forEach(({ from, packet, whole }, i) => {
      packets.push({ from, packet });
      if (whole === undefined) return;
      fragmentBefore.set(++this.ticks, i);
      packets.push({ from, packet: tickPacket(from, this.ticks) });
    });
    const last = ++this.ticks;
    packets.push({ from: 'in', packet: tickPacket('in', last) });
    packets.push({ from: 'out', packet: tickPacket('out', last) });
    this.write(packets);
    for (const to of ['out', 'in'] as const) {
      const receiver = new Receiver();
      let content: Uint8Array | undefined;
      this.readUntilTick(to, last, (packet) => {
        const fragment = fragmentBefore.get(tickOf(packet));
        if (fragment !== undefined) {
          came[fragment] = content;
          content = undefined;
          return;
        }
        const number = labelOf(packet);
        if (number >= FRAGMENTED) content = receiver.take(packet) ?? content;
        const mine = sent.at(number);
        if (mine !== undefined && mine.from !== to && isSame(mine.packet, packet))
          came[number] = contentOf(packet);
      });
    }
    return came;
  }

  /** What nf_conntrack remembers, for people; empty if there is no conntrack command. */
  async entries(family: 4 | 6, peer: number): Promise<string> {
    const result = await this.netns
      .run('conntrack', ['-L', '-f', family === 4 ? 'ipv4' : 'ipv6'])
      .catch(() => undefined);
    const address = peerAddress(family, peer);
    const lines = (result?.stdout ?? '').split('\n');
    return lines
      .filter((line) => line.split(/[ =]/).includes(address))
      .map((line) => line.replace(/ use=\d+.*$/, '').replace(/ +/g, ' '))
      .join('\n');
  }

  private write(packets: readonly Pick<Sent, 'from' | 'packet'>[]): void {
    const bytes = packets.reduce((sum, { packet }) => sum + VNET_HDR_BYTES + packet.length, 0);
    const arena = new Uint8Array(bytes);
    const slots = new Int32Array(3 * packets.length);
    let at = 0;
    packets.forEach(({ from, packet }, i) => {
      arena.set(packet, at + VNET_HDR_BYTES);
      slots.set([at, VNET_HDR_BYTES + packet.length, from === 'in' ? 0 : 1], 3 * i);
      at += VNET_HDR_BYTES + packet.length;
    });
    const written = this.native.writeBatch(arena, slots, packets.length, this.fds);
    if (written !== packets.length)
      throw new Error(`the kernel took ${written} of ${packets.length} packets`);
  }

  private readUntilTick(to: Place, tick: number, take: (packet: Uint8Array) => void): void {
    const { native, arena, slots } = this;
    const fd = this.fds[to === 'in' ? 0 : 1];
    const deadline = Date.now() + GUARD_MS;
    while (Date.now() < deadline) {
      const count = native.readBatch(fd, arena, HEADROOM_BYTES, slots, 0);
      if (count === 0) waitForInput(native, [fd], 100);
      let isDone = false;
      for (let i = 0; i < count; i++) {
        const start = slots[3 * i] + VNET_HDR_BYTES;
        const packet = arena.subarray(start, slots[3 * i] + slots[3 * i + 1]);
        if (tickOf(packet) === tick) isDone = true;
        // Kept for longer than the arena holds it.
        else take(packet.slice());
      }
      if (isDone) return;
    }
    throw new Error(`the tick behind the packets did not come out of '${DEVICES[to]}'`);
  }
}

function tickPacket(from: Place, tick: number): Uint8Array {
  const [inside, outside] = [INSTANCE_4, peerAddress(4, 0xffff)];
  const payload = build.uint(tick, 4);
  const ports = { srcPort: TICK_PORT, dstPort: TICK_PORT, payload };
  return from === 'in' ? build.udp4(inside, outside, ports) : build.udp4(outside, inside, ports);
}

/** The number of a tick; 0 for any other packet. */
function tickOf(packet: Uint8Array): number {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const isTick =
    packet.length === 32 &&
    packet[0] === 0x45 &&
    packet[9] === 17 &&
    view.getUint16(22) === TICK_PORT;
  return isTick ? view.getUint32(28) : 0;
}

/** The same but for what a router changes: time to live and header checksum. */
function isSame(sent: Uint8Array, received: Uint8Array): boolean {
  if (sent.length !== received.length) return false;
  const changed = sent[0] >>> 4 === 4 ? [8, 10, 11] : [7];
  return sent.every((byte, i) => byte === received[i] || changed.includes(i));
}
