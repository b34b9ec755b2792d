/** The packet loop itself: how busy it is, how much it reads at once, what it could not tell. */
import { Counter, type Registry } from 'prom-client';
import {
  GAUGE_BUSY_MS,
  GAUGE_COALESCED,
  GAUGE_READ_BATCHES,
  GAUGE_READ_PACKETS,
  GAUGE_ROUNDS,
  GAUGE_WRITES,
} from '../../engine/counters.ts';
import type { MetricsOptions } from './metrics-parts.ts';

const COUNTERS = [
  [
    'secgroupd_loop_busy_seconds_total',
    'Seconds the packet loop did not wait: its rate is the share of one core it uses.',
    GAUGE_BUSY_MS,
    1000,
  ],
  ['secgroupd_loop_rounds_total', 'Rounds of the packet loop.', GAUGE_ROUNDS, 1],
  [
    'secgroupd_read_batches_total',
    'Batches read from devices; with secgroupd_read_packets_total, their mean size.',
    GAUGE_READ_BATCHES,
    1,
  ],
  [
    'secgroupd_read_packets_total',
    'Packets read from devices; a GSO superpacket counts as one.',
    GAUGE_READ_PACKETS,
    1,
  ],
  ['secgroupd_writes_total', 'Writes to devices.', GAUGE_WRITES, 1],
  [
    'secgroupd_coalesced_packets_total',
    'Packets that left with others of their flow in one write.',
    GAUGE_COALESCED,
    1,
  ],
] as const;

export function addLoop(registry: Registry, { source, events, flowLogs }: MetricsOptions): void {
  const registers = [registry];
  for (const [name, help, gauge, divisor] of COUNTERS) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(source.gauges[gauge] / divisor);
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
    help: 'Lines of flow logs, by what became of them: written, or lost because the file did not take them.',
    labelNames: ['log', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const { name, written, lost } of flowLogs()) {
        this.inc({ log: name, outcome: 'written' }, written);
        this.inc({ log: name, outcome: 'lost' }, lost);
      }
    },
  });
}
