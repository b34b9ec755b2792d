/** iperf3: TCP as fast as it goes, one flow or several, MTU 1500. */
import { STREAM_PORT, titleOf, type Rival } from '../rivals/rival.ts';
import type { Bench } from '../bench.ts';
import type { Load } from './load.ts';

interface Report {
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
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

async function throughput(bench: Bench, rival: Rival, flows: number): Promise<number> {
  const seconds = bench.pick(3, 1);
  const port = ['-p', String(STREAM_PORT)];
  const server = await rival.server.start('iperf3', ['-s', '-1', ...port, '--forceflush']);
  await server.waitFor(/listening/);
  const times = ['-t', String(seconds), '-O', String(OMIT_SEC)];
  const text = await rival.client.mustRun(
    'iperf3',
    ['-c', rival.serverAddress, ...port, ...times, '-P', String(flows), '-J'],
    { timeoutMs: (seconds + OMIT_SEC + 10) * 1000 },
  );
  await server.stop();
  return (JSON.parse(text) as Report).end.sum_received.bits_per_second / 1e9;
}
