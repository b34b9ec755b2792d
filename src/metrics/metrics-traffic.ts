/** These metrics count packets and bytes by interface, direction, verdict and drop reason. */
import { Counter, Gauge, type Registry } from 'prom-client';
import {
  AUDITED_BYTES,
  AUDITED_PACKETS,
  DROPPED_BY_REASON,
  DROPPED_BYTES,
  DROPPED_PACKETS,
  PASSED_BYTES,
  PASSED_PACKETS,
} from '../engine/counters.ts';
import { REASON_COUNT, REASONS } from '../engine/reasons.ts';
import { forEachRow, type MetricsOptions } from './metrics-parts.ts';

export function addTraffic(registry: Registry, { source, ports }: MetricsOptions): void {
  const registers = [registry];
  const labelNames = ['interface', 'direction', 'verdict'] as const;
  const collectBy = (
    counter: Counter<(typeof labelNames)[number]>,
    passed: number,
    dropped: number,
  ): void => {
    counter.reset();
    const counters = source.readCounters();
    forEachRow(ports(), (port, direction, row) => {
      counter.inc({ interface: port, direction, verdict: 'pass' }, counters[row + passed]);
      counter.inc({ interface: port, direction, verdict: 'drop' }, counters[row + dropped]);
    });
  };
  new Counter({
    name: 'secgroupd_packets_total',
    help: 'Packets judged at an interface, by direction (ingress: towards the instance) and verdict. GSO superpackets count as their segments. What ends at the link (link-scope) is not among them.',
    labelNames,
    registers,
    collect() {
      collectBy(this, PASSED_PACKETS, DROPPED_PACKETS);
    },
  });
  new Counter({
    name: 'secgroupd_bytes_total',
    help: 'Bytes of IP packets judged at an interface, by direction and verdict. What ends at the link (link-scope) is not among them.',
    labelNames,
    registers,
    collect() {
      collectBy(this, PASSED_BYTES, DROPPED_BYTES);
    },
  });
  new Counter({
    name: 'secgroupd_dropped_packets_total',
    help: 'Packets dropped at an interface, by direction and reason; link-scope too, which the totals leave out.',
    labelNames: ['interface', 'direction', 'reason'],
    registers,
    collect() {
      this.reset();
      const counters = source.readCounters();
      forEachRow(ports(), (port, direction, row) => {
        for (let reason = 1; reason < REASON_COUNT; reason++) {
          const packets = counters[row + DROPPED_BY_REASON + reason];
          if (packets > 0)
            this.inc({ interface: port, direction, reason: REASONS[reason][0] }, packets);
        }
      });
    },
  });
}

/** Adds what passed by audit alone. An interface without such packets has no line. */
export function addAudited(registry: Registry, { source, ports }: MetricsOptions): void {
  for (const [what, cell] of [
    ['packets', AUDITED_PACKETS],
    ['bytes', AUDITED_BYTES],
  ] as const)
    new Counter({
      name: `secgroupd_audited_${what}_total`,
      help: `${what === 'packets' ? 'Packets' : 'Bytes'} of flows that passed by audit alone, both ways, by the direction of the rules that would have dropped them.`,
      labelNames: ['interface', 'direction'],
      registers: [registry],
      collect() {
        this.reset();
        const counters = source.readCounters();
        forEachRow(ports(), (port, direction, row) => {
          const amount = counters[row + cell];
          if (amount > 0) this.inc({ interface: port, direction }, amount);
        });
      },
    });
}

/** Adds a gauge for interfaces that are cut off because their device can't be opened. */
export function addWaiting(registry: Registry, { ports, waiting }: MetricsOptions): void {
  new Gauge({
    name: 'secgroupd_interface_waiting',
    help: '1 if the device of the interface can not be had yet, or is gone: it is cut off until then.',
    labelNames: ['interface'],
    registers: [registry],
    collect() {
      this.reset();
      const missing = new Set(waiting());
      for (const [, label] of ports()) this.set({ interface: label }, missing.has(label) ? 1 : 0);
    },
  });
}
