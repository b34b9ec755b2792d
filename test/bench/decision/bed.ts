/**
 * An engine with a policy in it, and batches of packets for it, as the loop would hand them over: 256 in an
 * arena that was just written. Timed are the batches alone, not the writing of the arena.
 */
import type { FlowTable } from '../../../src/conntrack/table.ts';
import { Batch, SLOT_LENGTH, SLOT_OFFSET, SLOT_WORDS } from '../../../src/engine/batch.ts';
import type { Engine } from '../../../src/engine/evaluate.ts';
import { createLinkMemory } from '../../../src/engine/link-memory.ts';
import { LinkLayer } from '../../../src/engine/link.ts';
import { letCompilerInline } from '../../../src/dataplane/compiler.ts';
import { preferHugePages } from '../../../src/dataplane/huge-pages.ts';
import { loadNative } from '../../../src/ports/native.ts';
import { VNET_HDR_BYTES } from '../../../src/wire/fields.ts';
import { Rig } from '../../engine/rig.ts';
import type { ModelText } from '../../support/policy.ts';

// As the packet loop's thread does.
letCompilerInline();

const BATCH_PACKETS = 256;
/** Of arena for a packet: headroom, virtio header, the packet. */
const SLOT_BYTES = 256;
const HEADROOM_BYTES = 46;
const IP_OFFSET = HEADROOM_BYTES + VNET_HDR_BYTES;
const IPV4_SOURCE = 12;
const IPV4_DESTINATION = 16;
const PORTS = 20;
/** Longer than any UDP time-out: what has been silent for so long is over. */
const OVER_MS = 400_000;

/** Flows as typed arrays: what makes a packet of flow i differ from one of flow j. */
export interface Flows {
  readonly source: Int32Array;
  readonly destination: Int32Array;
  /** Source port << 16 | destination port. */
  readonly ports: Int32Array;
}

export class Bed {
  readonly engine: Engine;
  readonly link: LinkLayer;
  readonly flows: FlowTable;
  nowMs = 0;
  private readonly batch = new Batch(new Uint8Array(BATCH_PACKETS * SLOT_BYTES), BATCH_PACKETS);
  private readonly hasEthernet: Uint8Array;
  private packetBytes = 0;

  /** Interfaces get ports from 1 on, in the order of the model. */
  constructor(text: ModelText, maxFlows: number) {
    const rig = new Rig(text, { maxFlows });
    // As the daemon does.
    preferHugePages(loadNative(), [rig.flows4, rig.flows6, rig.accounts4, rig.accounts6]);
    const portCount = Object.keys(text.interfaces).length + 1;
    this.engine = rig.engine;
    this.flows = rig.flows4;
    this.hasEthernet = new Uint8Array(portCount);
    this.link = new LinkLayer(rig.policy, createLinkMemory(portCount));
  }

  /** The packet that all flows share but for addresses and ports: IPv4 without options. */
  setPacket(packet: Uint8Array): void {
    this.packetBytes = packet.length;
    const { buffer, byteOffset } = this.batch.view;
    const arena = new Uint8Array(buffer, byteOffset, BATCH_PACKETS * SLOT_BYTES);
    for (let i = 0; i < BATCH_PACKETS; i++) arena.set(packet, i * SLOT_BYTES + IP_OFFSET);
  }

  /**
   * Sends a packet of each of these flows, in this order, in by `port`.
   * @param order indices into `flows`; `count` of them from `start`, going round at the end
   * @returns ns a packet, of the median batch: one that the scheduler interrupted says nothing of deciding.
   * Throws if any packet was dropped.
   */
  send(flows: Flows, order: Int32Array, start: number, count: number, port: number): number {
    const batches = new Float64Array(Math.ceil(count / BATCH_PACKETS));
    for (let i = 0; i < batches.length; i++) {
      const done = i * BATCH_PACKETS;
      const packets = Math.min(BATCH_PACKETS, count - done);
      this.fill(flows, order, start + done, packets);
      const begin = performance.now();
      this.decide(packets, port);
      batches[i] = ((performance.now() - begin) * 1e6) / packets;
    }
    return batches.sort()[batches.length >> 1];
  }

  /** The same, untimed: reading the clock leaves numbers on the heap. */
  pass(flows: Flows, order: Int32Array, count: number, port: number): void {
    for (let done = 0; done < count; done += BATCH_PACKETS) {
      const packets = Math.min(BATCH_PACKETS, count - done);
      this.fill(flows, order, done, packets);
      this.decide(packets, port);
    }
  }

  private decide(packets: number, port: number): void {
    const { batch, engine, link, hasEthernet, nowMs } = this;
    engine.beginRound(nowMs, (nowMs / 1000) | 0, 0);
    const sent = batch.process(engine, link, hasEthernet, port, packets, nowMs);
    if (sent !== packets) throw new Error(`${packets - sent} of ${packets} packets were dropped`);
  }

  private fill(flows: Flows, order: Int32Array, start: number, packets: number): void {
    const { view, slots } = this.batch;
    const { source, destination, ports } = flows;
    let at = start % order.length;
    for (let i = 0; i < packets; i++) {
      const flow = order[at];
      if (++at === order.length) at = 0;
      const ip = i * SLOT_BYTES + IP_OFFSET;
      view.setInt32(ip + IPV4_SOURCE, source[flow]);
      view.setInt32(ip + IPV4_DESTINATION, destination[flow]);
      view.setInt32(ip + PORTS, ports[flow]);
      slots[i * SLOT_WORDS + SLOT_OFFSET] = i * SLOT_BYTES + HEADROOM_BYTES;
      slots[i * SLOT_WORDS + SLOT_LENGTH] = VNET_HDR_BYTES + this.packetBytes;
    }
  }

  /** Lets time pass until every flow is over and its entry free again. */
  endFlows(): void {
    this.nowMs = (this.nowMs + OVER_MS) | 0;
    while (this.flows.count > 0) this.engine.gates.tracker.sweep(1 << 16, this.nowMs);
  }
}

/** 0 … count - 1 in an order that no cache can foresee, the same in every run. */
export function shuffled(count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  let seed = 0x2545f491;
  for (let i = count - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    const j = (seed >>> 0) % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

export function makeFlows(
  count: number,
  flowOf: (i: number) => readonly [source: number, destination: number, ports: number],
): Flows {
  const source = new Int32Array(count);
  const destination = new Int32Array(count);
  const ports = new Int32Array(count);
  for (let i = 0; i < count; i++) [source[i], destination[i], ports[i]] = flowOf(i);
  return { source, destination, ports };
}

/** `10.0.0.1` as the packet has it. */
export function word(a: number, b: number, c: number, d: number): number {
  return (a << 24) | (b << 16) | (c << 8) | d;
}
