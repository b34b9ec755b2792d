/**
 * A kernel for engines in tests: tables that no program reads, and in front of the gates the slow twin of the programs
 * (plain-programs.ts).
 *
 * What an engine says of a packet must be the same with it and without. It needs neither rights nor devices, and time
 * is an argument, so it goes wherever an engine is tested. As in a packet loop, each packet begins a round, and a tick
 * comes at most every TICK_MS.
 */
import { STATE_COUNT } from '../../src/conntrack/states.ts';
import { GAUGE_COUNT } from '../../src/engine/counters.ts';
import type { Engine } from '../../src/engine/evaluate.ts';
import type { EventRing } from '../../src/engine/events.ts';
import { createOpenFence } from '../../src/engine/fence.ts';
import { ALIVE_MS, OffloadedFlows } from '../../src/engine/offloaded-flows.ts';
import {
  BUCKET_SLOTS,
  CONTROL_LOOPS,
  CONTROL_WORDS,
  FLOW_WORDS,
  LOOP_ALIVE_UNTIL_MS,
  LOOP_GENERATION,
  LOOP_IS_WATCHED,
  PORT_MAC_HIGH,
  PORT_MAC_LOW,
  PORT_WORDS,
  tableSizes,
  WATCHES_ALL,
  WATCHES_BY_RULES,
  type OffloadTables,
} from '../../src/offload/layout.ts';
import { UPLINK_PORT } from '../../src/policy/compiled.ts';
import { readPlainEntry, writePlainEntry, type PlainEntry } from './plain-entries.ts';
import { endsOf, forwardsPlainly } from './plain-programs.ts';

const CAPACITY = 256;
const TICK_MS = 50;
const MTU = 65_535;
/** Any: no program looks at it. */
const IFINDEX = 1;
const ETHERNET_BYTES = 14;
const GATEWAY_MAC = [0x02, 0x73, 0x67, 0x00, 0x00, 0x01];

export interface ForwardedFrame {
  readonly to: number;
  readonly frame: Uint8Array;
}

export interface PlainKernelParts {
  readonly events: EventRing;
  /** Of the engine: idle time-outs by port and state. */
  readonly timeoutsMs: Int32Array;
  /** Of the policy in force. */
  readonly generation: number;
  /** By port; absent: all interfaces do. */
  readonly takesPart?: (port: number) => boolean;
}

export class PlainKernel {
  readonly tables: OffloadTables;
  readonly offload: OffloadedFlows;
  readonly gauges = new Float64Array(GAUGE_COUNT);
  /** Packets that were forwarded. */
  forwarded = 0;
  /** Whether the last packet was one of them: then the engine has not seen it. */
  hasForwarded = false;
  private readonly engine: Engine;
  private tickedMs: number | undefined;

  /** Has flows between the interfaces of an engine pass here. */
  constructor(engine: Engine, { events, timeoutsMs, generation, takesPart }: PlainKernelParts) {
    const { tracker } = engine.gates;
    const { flows4, flows6, accounts4, accounts6, udpOpeners } = tracker;
    const ports = timeoutsMs.length / STATE_COUNT;
    this.engine = engine;
    this.tables = makePlainTables(CAPACITY, ports);
    this.offload = new OffloadedFlows({
      tables: this.tables,
      ...{ loop: 0, loops: 1, capacity: CAPACITY, ports, aliveMs: ALIVE_MS },
      ...{ flows4, flows6, accounts4, accounts6, timeoutsMs, events, udpOpeners },
      ruleHits: engine.gates.ruleHits,
      counters: engine.counters,
      fence: createOpenFence(),
    });
    tracker.offload = this.offload;
    this.offload.setPolicy({ ...engine.gates.policy, generation });
    for (let port = UPLINK_PORT + 1; port < ports; port++)
      this.offload.setPort(port, takesPart?.(port) === false ? 0 : IFINDEX, true, MTU);
  }

  /** As Engine.evaluate. */
  evaluate(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    packets: number,
    nowMs: number,
  ): number {
    const { engine, offload } = this;
    this.begin(nowMs);
    const packet = new Uint8Array(view.buffer, view.byteOffset + offset, length);
    const forwardedTo = packets === 1 ? this.forward(packet, true, port, nowMs) : undefined;
    this.hasForwarded = forwardedTo !== undefined;
    if (forwardedTo !== undefined) return forwardedTo;
    const to = engine.evaluate(view, offset, length, port, packets, nowMs);
    if (to >= 0 && offload.joins(port, to))
      engine.gates.tracker.offer(offload, engine.packet, port, to);
    return to;
  }

  /** Begins a round of the loop. */
  begin(nowMs: number): void {
    this.offload.beginRound(nowMs);
    if (this.tickedMs !== undefined && ((nowMs - this.tickedMs) | 0) < TICK_MS) return;
    this.offload.tick(this.gauges);
    this.tickedMs = nowMs;
  }

  /**
   * Takes a frame of Ethernet as it comes in by a port.
   * @returns where it is forwarded to, and as what; undefined: it goes to the loop
   */
  forwardFrame(frame: Uint8Array, port: number, nowMs: number): ForwardedFrame | undefined {
    const { ports } = this.tables;
    if (frame.length < ETHERNET_BYTES || (frame[0] & 1) === 1) return undefined;
    const type = frame[12] * 256 + frame[13];
    const packet = frame.subarray(ETHERNET_BYTES);
    const version = packet.length > 0 ? packet[0] >> 4 : 0;
    if (!(type === 0x0800 && version === 4) && !(type === 0x86dd && version === 6))
      return undefined;
    const isOwn = macAt(ports, port).every((byte, i) => byte === frame[6 + i]);
    const to = this.forward(packet, isOwn, port, nowMs);
    if (to === undefined) return undefined;
    const head = [...macAt(ports, to), ...GATEWAY_MAC, frame[12], frame[13]];
    return { to, frame: Uint8Array.of(...head, ...packet) };
  }

  /** @returns the port that a packet is forwarded to; undefined: it goes to the loop */
  private forward(
    packet: Uint8Array,
    isOwn: boolean,
    port: number,
    nowMs: number,
  ): number | undefined {
    const { tables } = this;
    const { control } = tables;
    let entry: PlainEntry | undefined;
    let from = '';
    const isForwarded = forwardsPlainly({ packet, isOwn, segmentBytes: 0, mtu: MTU }, (decoded) => {
      entry = readPlainEntry(tables, nowMs, decoded);
      [from] = endsOf(decoded);
      // It came in by another interface.
      if (entry?.ports[entry.ends.indexOf(from)] !== port) return undefined;
      const aliveMs = (control[CONTROL_LOOPS + LOOP_ALIVE_UNTIL_MS] - nowMs) | 0;
      return {
        ...entry.flow,
        decoded,
        isOfThisPolicy: entry.generation === control[CONTROL_LOOPS + LOOP_GENERATION],
        isAlive: aliveMs >= 0 && !isWatched(control[CONTROL_LOOPS + LOOP_IS_WATCHED], entry),
      };
    });
    if (!isForwarded) return undefined;
    this.forwarded++;
    writePlainEntry(tables, entry!, from, packet.length, nowMs);
    return entry!.ports[1 - entry!.ends.indexOf(from)];
  }
}

/** Whether somebody wants to see packets of an entry's flow. */
function isWatched(watches: number, { isByRules }: PlainEntry): boolean {
  return (watches & WATCHES_ALL) !== 0 || (isByRules && (watches & WATCHES_BY_RULES) !== 0);
}

/** The MAC address of a port's instance, as the loop has told it. */
function macAt(ports: Int32Array, port: number): readonly number[] {
  const at = port * PORT_WORDS;
  const low = ports[at + PORT_MAC_LOW];
  return [8, 0]
    .map((shift) => (ports[at + PORT_MAC_HIGH] >>> shift) & 0xff)
    .concat([24, 16, 8, 0].map((shift) => (low >>> shift) & 0xff));
}

function makePlainTables(capacity: number, ports: number): OffloadTables {
  const { buckets, marks } = tableSizes(capacity);
  const words = (count: number): Int32Array => new Int32Array(new SharedArrayBuffer(4 * count));
  return {
    control: words(CONTROL_WORDS),
    ports: words(ports * PORT_WORDS),
    buckets: words(buckets * BUCKET_SLOTS),
    flows: words(capacity * FLOW_WORDS),
    changed: new Uint8Array(new SharedArrayBuffer(marks)),
  };
}
