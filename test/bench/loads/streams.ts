/** iperf3: TCP as fast as it goes, one flow or several, MTU 1500. */
import { STREAM_PORT, titleOf, type Rival } from '../rivals/rival.ts';
import type { Bench } from '../bench.ts';
import { ProcessorClock } from '../processor-clock.ts';
import type { Load } from './load.ts';

interface Report {
  readonly end: {
    readonly sum_received: { readonly bits_per_second: number; readonly bytes: number };
  };
}

/** Left out of the figure: slow start, and the first compilations of the loop. */
const OMIT_SEC = 1;

export function streams(flows: number): Load {
  const name = `tcp-${flows}`;
  return {
    name,
    about: `TCP throughput, ${flows === 1 ? 'one flow' : `${flows} flows`} (iperf3)`,
    rounds: [5, flows === 1 ? 2 : 1],
    async measure(bench, rival) {
      const gigabits = await throughput(bench, rival, flows);
      bench.record(rival, name, 'throughput', 'Gb/s', gigabits);
      bench.say(`${name} ${titleOf(rival)}: ${gigabits.toFixed(2)} Gb/s`);
    },
  };
}

/** As fast as it goes. @returns Gb/s */
export async function throughput(bench: Bench, rival: Rival, flows: number): Promise<number> {
  const seconds = bench.pick(3, 1);
  const times = ['-t', String(seconds), '-O', String(OMIT_SEC)];
  const { bits_per_second } = await stream(rival, flows, times);
  return bits_per_second / 1e9;
}

/**
 * At a rate, with nothing left out.
 * @param rate Gb/s, of all flows together
 * @returns Gb that arrived, and the processor time that the whole machine took meanwhile
 */
export async function streamAt(
  rival: Rival,
  flows: number,
  rate: number,
  seconds: number,
): Promise<{ readonly gigabits: number; readonly processorSec: number }> {
  const options = ['-t', String(seconds), '-b', ((rate * 1e9) / flows).toFixed(0)];
  const { bytes, processorSec } = await stream(rival, flows, options);
  return { gigabits: (8 * bytes) / 1e9, processorSec };
}

async function stream(
  rival: Rival,
  flows: number,
  options: readonly string[],
): Promise<Report['end']['sum_received'] & { readonly processorSec: number }> {
  const port = ['-p', String(STREAM_PORT)];
  const server = await rival.server.start('iperf3', ['-s', '-1', ...port, '--forceflush']);
  await server.waitFor(/listening/);
  const clock = new ProcessorClock();
  const text = await rival.client.mustRun('iperf3', [
    '-c',
    rival.serverAddress,
    ...port,
    ...options,
    '-P',
    String(flows),
    '-J',
  ]);
  const processorSec = clock.seconds();
  await server.stop();
  return { ...(JSON.parse(text) as Report).end.sum_received, processorSec };
}
