/** TCP connections opened and closed, as many a second as there can be. */
import { CONNECT_PORT, listenAt } from '../rivals/rival.ts';
import type { Load } from './load.ts';

const IN_FLIGHT = 32;
const BENCHMARK = 'connections';

export const connections: Load = {
  name: BENCHMARK,
  about: `TCP connections opened and closed a second, ${IN_FLIGHT} under way at a time`,
  rounds: [5, 1],
  async measure(bench, rival) {
    const tool = bench.tool('connect-rate');
    const place = [rival.serverAddress, String(CONNECT_PORT)];
    const seconds = bench.pick(3, 1.5);
    const server = await rival.server.start(tool, ['serve', ...listenAt(rival, CONNECT_PORT)]);
    await server.waitFor(/ready/);
    const text = await rival.client.mustRun(tool, [
      'ask',
      ...place,
      String(IN_FLIGHT),
      String(seconds),
    ]);
    await server.stop();
    const done = JSON.parse(text) as { connections: number; failed: number; seconds: number };
    const rate = done.connections / done.seconds / 1000;
    bench.record(rival, BENCHMARK, 'rate', 'thousand/s', rate);
    bench.say(`${BENCHMARK} ${rival.name}: ${rate.toFixed(2)}k a second, ${done.failed} failed`);
    if (done.failed > 0)
      bench.collector.note(`${BENCHMARK} ${rival.name}: ${done.failed} connections failed`);
  },
};
