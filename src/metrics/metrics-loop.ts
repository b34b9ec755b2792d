/**
 * These metrics describe the packet loops: how busy they are, how much they read at once, and which events were lost.
 */
import { Counter, type Registry } from 'prom-client';
import {
  GAUGE_BUSY_MS,
  GAUGE_COALESCED,
  GAUGE_OFFERED,
  GAUGE_OFFLOAD_REFUSED,
  GAUGE_OFFLOADED_PACKETS,
  GAUGE_READ_BATCHES,
  GAUGE_READ_PACKETS,
  GAUGE_ROUNDS,
  GAUGE_WRITES,
} from '../engine/counters.ts';
import type { MetricsOptions } from './metrics-parts.ts';

const COUNTERS = [
  ['secgroupd_loop_rounds_total', 'Rounds of the packet loops.', GAUGE_ROUNDS],
  [
    'secgroupd_read_batches_total',
    'Batches read from devices; with secgroupd_read_packets_total, their mean size.',
    GAUGE_READ_BATCHES,
  ],
  [
    'secgroupd_read_packets_total',
    'Packets read from devices; a GSO superpacket counts as one.',
    GAUGE_READ_PACKETS,
  ],
  ['secgroupd_writes_total', 'Writes to devices.', GAUGE_WRITES],
  [
    'secgroupd_coalesced_packets_total',
    'Packets that left with others of their flow in one write.',
    GAUGE_COALESCED,
  ],
  [
    'secgroupd_offloaded_packets_total',
    'Packets that the kernel forwarded, of flows that were decided (offload).',
    GAUGE_OFFLOADED_PACKETS,
  ],
  [
    'secgroupd_offloaded_flows_total',
    'Flows that were handed to the kernel (offload).',
    GAUGE_OFFERED,
  ],
  [
    'secgroupd_offload_refused_total',
    'Flows that found no room in the kernel, and went on by the daemon (offload).',
    GAUGE_OFFLOAD_REFUSED,
  ],
] as const;

export function addLoop(registry: Registry, { source, events, flowLogs }: MetricsOptions): void {
  const registers = [registry];
  new Counter({
    name: 'secgroupd_loop_busy_seconds_total',
    help: 'Seconds a packet loop did not wait: its rate is the share of one core it uses. With several, each has its label.',
    labelNames: ['loop'],
    registers,
    collect() {
      this.reset();
      // One value for each loop: in a sum, one loop at full load would hide among idle ones.
      const busy = source.readGauges(GAUGE_BUSY_MS).map((ms) => ms / 1000);
      if (busy.length === 1) this.inc(busy[0]);
      else busy.forEach((seconds, loop) => this.inc({ loop }, seconds));
    },
  });
  for (const [name, help, gauge] of COUNTERS) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(source.readGauge(gauge));
      },
    });
  }
  new Counter({
    name: 'secgroupd_events_total',
    help: 'Events of packets and flows, by what became of them: taken, or lost because the ring was full.',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset();
      const { taken, lost } = events();
      this.inc({ outcome: 'taken' }, taken);
      this.inc({ outcome: 'lost' }, lost);
    },
  });
  new Counter({
    name: 'secgroupd_flow_log_lines_total',
    help: 'Lines of flow logs, by what became of them: written, lost because the file did not take them, or skipped because the interval had too many records.',
    labelNames: ['log', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const { name, written, lost, skipped } of flowLogs()) {
        this.inc({ log: name, outcome: 'written' }, written);
        this.inc({ log: name, outcome: 'lost' }, lost);
        this.inc({ log: name, outcome: 'skipped' }, skipped);
      }
    },
  });
}
