/**
 * An engine that hands flows to the kernel's programs, which are given packets by BPF_PROG_TEST_RUN: no device, and no
 * packet on a wire. Both interfaces are at lo.
 */
import type { TestContext } from 'node:test';
import { GAUGE_COUNT } from '../../src/engine/counters.ts';
import { beginControl, setOrigin } from '../../src/dataplane/fast-path.ts';
import { createFenceMemory, Fence, setFence } from '../../src/engine/fence.ts';
import { OffloadedFlows, type OffloadParts } from '../../src/engine/offloaded-flows.ts';
import { GATEWAY_MAC_HIGH } from '../../src/engine/neighbour-messages.ts';
import { tableSizes, type OffloadTables } from '../../src/offload/layout.ts';
import { openTables } from '../../src/offload/open-tables.ts';
import { loadNative } from '../../src/ports/native.ts';
import {
  loadNativeOffload,
  OFFLOAD_OBJECT,
  type NativeOffload,
  type OpenedOffload,
} from '../../src/ports/native-offload.ts';
import { Packet } from '../../src/wire/packet.ts';
import { decode } from '../../src/wire/decode.ts';
import { Rig, RIG_KEY, type RigOptions } from '../engine/rig.ts';
import type { ModelText } from '../support/policy.ts';

export const CAPACITY = 1024;
const PORTS = 64;
export const ALIVE_MS = 3_600_000;
export const LOOPBACK = 1;
const NS_IN_MS = 1_000_000n;

/** The addon, or undefined after the test was skipped. */
export function requireOffload(t: TestContext): NativeOffload | undefined {
  try {
    const addon = loadNativeOffload();
    const opened = addon.openOffload(OFFLOAD_OBJECT, CAPACITY, tableSizes(CAPACITY).buckets);
    closeAll(opened);
    return addon;
  } catch (error) {
    t.skip(
      `no fast path on this machine: ${error instanceof Error ? error.message : String(error)}`,
    );
    return undefined;
  }
}

function closeAll(opened: OpenedOffload): void {
  for (const fd of Object.values(opened) as number[]) loadNative().closeFd(fd);
}

export interface Extras {
  /** MAC address that the frame comes from; the instance's otherwise. */
  readonly source?: readonly number[];
  readonly segmentBytes?: number;
  readonly segments?: number;
  /** Bytes behind the packet. */
  readonly padding?: number;
}

export class KernelRig {
  readonly rig: Rig;
  readonly tables: OffloadTables;
  readonly parts: OffloadParts;
  readonly offload: OffloadedFlows;
  private readonly addon: NativeOffload;
  readonly opened: OpenedOffload;
  private originNs: bigint;
  private readonly fenceMemory = createFenceMemory();
  readonly gauges = new Float64Array(GAUGE_COUNT);

  constructor(
    addon: NativeOffload,
    text: ModelText,
    options: RigOptions = {},
    { loop = 0, capacity = CAPACITY }: { readonly loop?: number; readonly capacity?: number } = {},
  ) {
    this.addon = addon;
    this.opened = addon.openOffload(OFFLOAD_OBJECT, capacity, tableSizes(capacity).buckets);
    this.tables = openTables(addon, this.opened, capacity, PORTS);
    this.rig = new Rig(text, options);
    beginControl(this.tables.control, capacity, RIG_KEY);
    this.originNs = process.hrtime.bigint();
    this.fenceFrom(Infinity);
    this.passTime(0);
    const { engine, flows4, flows6, accounts4, accounts6, timeoutsMs, ring } = this.rig;
    this.parts = {
      tables: this.tables,
      ...{ loop, loops: loop + 1, capacity },
      ...{ flows4, flows6, accounts4, accounts6, timeoutsMs },
      ruleHits: engine.gates.ruleHits,
      udpOpeners: engine.gates.tracker.udpOpeners,
      counters: engine.counters,
      events: ring,
      fence: new Fence(this.fenceMemory, PORTS, () => 0),
      ports: PORTS,
      // However long the machine takes between two lines of a test.
      aliveMs: ALIVE_MS,
    };
    this.offload = new OffloadedFlows(this.parts);
    engine.gates.tracker.offload = this.offload;
    this.offload.setPolicy(this.rig.policy);
    for (const port of [1, 2]) {
      this.offload.setPort(port, LOOPBACK, true, 1500);
      this.offload.setMac(port, 0x0200, port);
    }
    this.offload.beginRound(this.nowMs);
  }

  /** As the programs and the loop have it. */
  get nowMs(): number {
    return Number((process.hrtime.bigint() - this.originNs) / NS_IN_MS);
  }

  /** Lets time pass for the engine and the programs alike. */
  passTime(ms: number): void {
    this.originNs -= BigInt(ms) * NS_IN_MS;
    setOrigin(this.tables.control, Number(this.originNs));
  }

  /** @param bootMs by CLOCK_BOOTTIME; Infinity: never */
  fenceFrom(bootMs: number): void {
    setFence(new Int32Array(this.fenceMemory), bootMs);
  }

  /** Whether the kernel forwards the packet, which comes in by a port. */
  isForwarded(packet: Uint8Array, port: number, extras: Extras = {}): boolean {
    const { source, segmentBytes = 0, segments = 0, padding = 0 } = extras;
    const frame = new Uint8Array(14 + packet.length + padding);
    frame.set([GATEWAY_MAC_HIGH >> 8, GATEWAY_MAC_HIGH & 0xff, 0x67, 0, 0, 1]);
    frame.set(source ?? [2, 0, 0, 0, 0, port], 6);
    frame.set(packet[0] >> 4 === 4 ? [0x08, 0x00] : [0x86, 0xdd], 12);
    frame.set(packet, 14);
    const { rehearse } = this.opened;
    return this.addon.rehearse(rehearse, frame, LOOPBACK, segmentBytes, segments) === 1;
  }

  /** Has the loop judge a packet, and hand its flow to the kernel if it can. @returns as Rig.send */
  judge(from: string, to: string, packet: Uint8Array, packets = 1): string {
    this.offload.beginRound(this.nowMs);
    const verdict = this.rig.send(from, packet, this.nowMs, packets);
    if (verdict !== to) return verdict;
    const decoded = new Packet();
    decode(
      new DataView(packet.buffer, packet.byteOffset, packet.length),
      0,
      packet.length,
      decoded,
    );
    const [fromPort, toPort] = [this.rig.portOf(from), this.rig.portOf(to)];
    const { tracker } = this.rig.engine.gates;
    if (this.offload.joins(fromPort, toPort))
      tracker.offer(this.offload, decoded, fromPort, toPort);
    return verdict;
  }

  tick(): void {
    this.offload.tick(this.gauges);
  }

  close(): void {
    closeAll(this.opened);
  }
}
