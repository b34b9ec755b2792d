/**
 * A daemon whose instances are this process: the instances' ends of its veth pairs are in one namespace, where frames
 * are written and read one by one.
 *
 * What becomes of a packet is known without waiting for what never comes. Behind it its sender sends ticks to other
 * instances, datagrams that always pass. A daemon keeps the order of what comes in by an interface, and what the kernel
 * forwards is never behind it. So when the ticks are there, the packet has been judged. Nobody answers a tick, so
 * ticks go by the daemon, with the fast path and without.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import { HEADROOM_BYTES, loadNative } from '../../src/ports/native.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { GATEWAY } from '../engine/frames.ts';
import { packetAt } from '../native/support.ts';
import { concat, ethernet, ETHER_TYPE, uint, udp4, udp6 } from '../packets/build.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { configurationText } from '../support/model-configuration.ts';
import { makeNetns } from '../support/netns.ts';
import type { ModelText } from '../support/policy.ts';
import { removePairs } from './attach-world.ts';
import { Daemon, temporaryFile } from './world.ts';

const native = loadNative();

const TICK_PORT = 9;
/** Of the sender: what it sends is no answer to the other's. */
const TICK_PORT_FROM = 20_000;
const TICKS = 'ticks';
const TICK_PEERS = ['0.0.0.0/0', '::/0'];
/** Until a tick is sent again while links come up. */
const TICK_AGAIN_MS = 50;
const LATE_MS = 1000;
const ETHERNET_BYTES = 14;
const ARENA_BYTES = 1 << 20;
const SLOTS = 256;

interface End {
  readonly name: string;
  readonly fd: number;
  readonly mac: string;
  readonly address: string;
}

export class PacketWorld {
  readonly daemon: Daemon;
  private readonly file: string;
  private readonly socket: string;
  private readonly textOf: (model: ModelText) => string;
  private readonly ends: readonly End[];
  private readonly poller: number;
  private readonly events: Int32Array;
  private readonly arena = new Uint8Array(ARENA_BYTES);
  private readonly slots = new Int32Array(3 * SLOTS);
  /** The last tick that each end has got of each other, by its number. */
  private readonly ticks = new Map<string, number>();
  private tick = 0;
  private awaited: readonly string[] = [];
  /** What else came out since the last packet was sent. */
  private arrived: string[] = [];

  private constructor(
    daemon: Daemon,
    files: { readonly file: string; readonly socket: string },
    textOf: (model: ModelText) => string,
    ends: readonly End[],
  ) {
    this.daemon = daemon;
    this.file = files.file;
    this.socket = files.socket;
    this.textOf = textOf;
    this.ends = ends;
    this.poller = native.createPoller();
    this.events = new Int32Array(2 * ends.length);
    for (const [i, { fd }] of ends.entries()) native.watch(this.poller, fd, i);
  }

  /**
   * Starts a daemon, and waits until each instance reaches the next one. All ends with the test.
   * @param settings further keys of the configuration
   */
  static async start(t: TestContext, model: ModelText, settings: object): Promise<PacketWorld> {
    const netns = await makeNetns(t);
    const names = Object.keys(model.interfaces);
    const deviceOf = (name: string): object => {
      const i = names.indexOf(name);
      const device = { kind: 'veth', netns: netns.path, name: nameOf(i), mac: macOf(i) };
      return { ...device, configure: false };
    };
    const textOf = (next: ModelText): string =>
      configurationText(withTicks(next), deviceOf, settings);
    const file = temporaryFile(t, 'packets.yaml', textOf(model));
    const socket = join(dirname(file), 'control.sock');
    t.after(() => removePairs(file));
    const daemon = await Daemon.start(t, file, ['--control', socket]);
    const ends = names.map((name, i): End => {
      const options = { kind: 'veth', name: nameOf(i), netns: netns.path, persist: false } as const;
      const { fd } = native.openDevice(options);
      return { name, fd, mac: macOf(i), address: model.interfaces[name].addresses[0] };
    });
    const world = new PacketWorld(daemon, { file, socket }, textOf, ends);
    t.after(() => world.close());
    world.waitForLinks();
    return world;
  }

  /** Puts other rules in force. */
  async reload(model: ModelText): Promise<void> {
    writeFileSync(this.file, this.textOf(model));
    const { outcome, problems } = await ask(this.socket, 'reload', { dryRun: false });
    assert.ok(['changed', 'unchanged'].includes(outcome), JSON.stringify(problems));
  }

  /**
   * Sends an IP packet as an instance does. Call `settle` next.
   * @param watched instances that get a tick, and so have what they get of the packet before
   */
  send(from: string, packet: Uint8Array, watched = this.ends.map(({ name }) => name)): void {
    this.arrived = [];
    this.write(this.endOf(from), packet);
    this.awaited = watched.filter((name) => name !== from).map((name) => `${from} ${name}`);
    this.sendTicks(this.awaited);
  }

  /** Waits until the packet is judged. @returns what came out of it: `INSTANCE HEX`, sorted */
  settle(): readonly string[] {
    const { tick, awaited, ticks } = this;
    this.readUntil(GUARD_MS, () => awaited.every((pair) => ticks.get(pair) === tick));
    for (const pair of awaited)
      if (ticks.get(pair) !== tick) assert.fail(`no tick came: ${pair}; ${this.daemon.output}`);
    return this.arrived.toSorted();
  }

  /** Waits for what may come late. @returns as `settle` */
  settleLate(): readonly string[] {
    this.readUntil(LATE_MS, () => false);
    return this.arrived.toSorted();
  }

  async offloadedPackets(): Promise<number> {
    return (await this.daemon.metrics()).get('secgroupd_offloaded_packets_total')!;
  }

  private close(): void {
    native.closeFd(this.poller);
    native.closeFds(Int32Array.from(this.ends, ({ fd }) => fd));
  }

  /** The kernel raises the carrier of new pairs some time after they are up. */
  private waitForLinks(): void {
    const { ends, ticks } = this;
    const pairs = ends.map(({ name }, i) => `${name} ${ends[(i + 1) % ends.length].name}`);
    const isDone = (): boolean => pairs.every((pair) => ticks.has(pair));
    for (let waitedMs = 0; !isDone() && waitedMs < GUARD_MS; waitedMs += TICK_AGAIN_MS) {
      this.sendTicks(pairs);
      this.readUntil(TICK_AGAIN_MS, isDone);
    }
    assert.ok(isDone(), `links did not come up: ${[...ticks.keys()].join()} of ${pairs.join()}`);
  }

  /** @param pairs `FROM TO` */
  private sendTicks(pairs: readonly string[]): void {
    this.tick++;
    const payload = uint(this.tick, 4);
    for (const pair of pairs) {
      const [from, to] = pair.split(' ').map((name) => this.endOf(name));
      const make = from.address.includes(':') ? udp6 : udp4;
      const srcPort = TICK_PORT_FROM + this.ends.indexOf(from);
      this.write(from, make(from.address, to.address, { srcPort, dstPort: TICK_PORT, payload }));
    }
  }

  private endOf(name: string): End {
    const end = this.ends.find((one) => one.name === name);
    assert.ok(end !== undefined, `there is no instance ${name}`);
    return end;
  }

  private write({ fd, mac }: End, packet: Uint8Array): void {
    const etherType = packet[0] >> 4 === 6 ? ETHER_TYPE.ipv6 : ETHER_TYPE.ipv4;
    const frame = ethernet({ src: mac, dst: GATEWAY, etherType, payload: packet });
    const arena = concat(new Uint8Array(HEADROOM_BYTES + VNET_HDR_BYTES), frame);
    const slots = Int32Array.of(HEADROOM_BYTES, VNET_HDR_BYTES + frame.length, 0);
    assert.equal(native.writeBatch(arena, slots, 1, Int32Array.of(fd)), 1, `errno ${-slots[2]}`);
  }

  private readUntil(timeoutMs: number, isDone: () => boolean): void {
    const { poller, events } = this;
    const endMs = performance.now() + timeoutMs;
    while (!isDone()) {
      const leftMs = Math.ceil(endMs - performance.now());
      if (leftMs <= 0) return;
      const count = native.wait(poller, events, leftMs);
      for (let i = 0; i < count; i++) this.readFrom(this.ends[events[2 * i]]);
    }
  }

  private readFrom({ fd, name }: End): void {
    const { arena, slots } = this;
    const count = native.readBatch(fd, arena, 0, slots, ETHERNET_BYTES, true);
    for (let i = 0; i < count; i++) {
      const { frame } = packetAt(arena, slots, i);
      const etherType = frame[12] * 256 + frame[13];
      const packet = frame.subarray(ETHERNET_BYTES);
      // Whether the daemon looks for a neighbour is not what is asked here.
      if (etherType !== ETHER_TYPE.ipv4 && etherType !== ETHER_TYPE.ipv6) continue;
      const tick = tickOf(packet);
      if (tick === undefined) this.arrived.push(`${name} ${Buffer.from(packet).toString('hex')}`);
      else this.ticks.set(`${this.ends[tick.from].name} ${name}`, tick.number);
    }
  }
}

const nameOf = (i: number): string => `eth${i}`;

function macOf(i: number): string {
  const bytes = [2, 0, 0, 1, i >> 8, i & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** A tick, or undefined for any other packet. */
function tickOf(
  packet: Uint8Array,
): { readonly from: number; readonly number: number } | undefined {
  const [protocolAt, headerBytes] = packet[0] >> 4 === 6 ? [6, 40] : [9, 20];
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (packet.length !== headerBytes + 12 || packet[protocolAt] !== 17) return undefined;
  const from = view.getUint16(headerBytes) - TICK_PORT_FROM;
  if (from < 0 || view.getUint16(headerBytes + 2) !== TICK_PORT) return undefined;
  return { from, number: view.getUint32(headerBytes + 8) };
}

/** Has ticks pass between all interfaces. */
function withTicks({ groups, interfaces, ...more }: ModelText): ModelText {
  const rules = (way: 'from' | 'to'): string[] =>
    TICK_PEERS.map((peer) => `udp ${TICK_PORT} ${way} ${peer}`);
  return {
    ...more,
    groups: { ...groups, [TICKS]: { ingress: rules('from'), egress: rules('to') } },
    interfaces: Object.fromEntries(
      Object.entries(interfaces).map(([name, one]) => [
        name,
        { ...one, groups: [...one.groups, TICKS] },
      ]),
    ),
  };
}
