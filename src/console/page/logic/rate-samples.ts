/** This file adds samples of rates to the history that the charts show. */
import type { Column, RateHistory, RateSample, TrafficColumns } from '../../contract.ts';

/** An hour of samples a second, should the server's step ever be that short. */
const SAMPLES_MAX = 3600;
const HOUR_MS = 3_600_000;

type Rates = Exclude<RateSample['total'], null>;

/** The history with one sample more, and without what is older than an hour. */
export function addSample(history: RateHistory, sample: RateSample): RateHistory {
  const last = history.timesMs.at(-1);
  // The history was fetched while the sample was on its way.
  if (last !== undefined && sample.timeMs <= last) return history;
  const length = history.timesMs.length;
  const old = history.timesMs.filter((timeMs) => timeMs < sample.timeMs - HOUR_MS).length;
  const first = Math.max(old, length + 1 - SAMPLES_MAX);
  const add = (column: Column, value: number | null): Column => [...column.slice(first), value];
  const reasons = new Set([
    ...history.drops.map(({ reason }) => reason),
    ...sample.drops.map(({ reason }) => reason),
  ]);
  return {
    stepMs: history.stepMs,
    timesMs: [...history.timesMs.slice(first), sample.timeMs],
    total: addRates(history.total, sample.total, add),
    drops: [...reasons].map((reason) => ({
      reason,
      packets: add(
        history.drops.find((one) => one.reason === reason)?.packets ?? filled(length),
        sample.total === null
          ? null
          : (sample.drops.find((one) => one.reason === reason)?.packets ?? 0),
      ),
    })),
    interfaces: history.interfaces.map((one) => ({
      name: one.name,
      ...addRates(one, sample.interfaces.find(({ name }) => name === one.name) ?? null, add),
    })),
  };
}

function filled(length: number): Column {
  return new Array<number>(length).fill(0);
}

function addRates(
  columns: TrafficColumns,
  rates: Rates | null,
  add: (column: Column, value: number | null) => Column,
): TrafficColumns {
  return {
    passedPackets: add(columns.passedPackets, rates?.passedPackets ?? null),
    passedBytes: add(columns.passedBytes, rates?.passedBytes ?? null),
    droppedPackets: add(columns.droppedPackets, rates?.droppedPackets ?? null),
    droppedBytes: add(columns.droppedBytes, rates?.droppedBytes ?? null),
  };
}
