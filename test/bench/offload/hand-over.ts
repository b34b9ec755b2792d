/**
 * How soon the kernel has a new flow: packets of it that the daemon read, and the time from its first packet to the
 * first one that the kernel forwarded.
 *
 * A client asks and is answered, each question as soon as the answer before is there. A packet socket of the client's
 * notes when each packet passed (first-packets.c), and the daemon's counter says how many it read. It reads the first
 * ones of a flow, up to the one with which it hands the flow over, so the packet after as many was the kernel's.
 */
import { sleep, type Bench } from '../bench.ts';
import { quantile } from '../cluster/clock.ts';
import { ECHO_PORT, listenAt, titleOf } from '../rivals/rival.ts';
import { readMetric, type World } from './world.ts';

const BENCHMARK = 'hand-over';
const PROTOCOLS = ['UDP', 'TCP'] as const;
const QUESTIONS = 20;
const READ = 'secgroupd_read_packets_total';
/** For the end of the flow before: its FIN goes by the daemon. */
const SETTLE_MS = 20;
/** The first flow asks for the gateway's MAC address too. */
const WARM_UP = 1;

interface Flow {
  /** That the daemon read. */
  readonly packets: number;
  readonly ms: number;
}

/** One round. */
export async function measureHandOver(bench: Bench, world: World): Promise<void> {
  const place = listenAt(world, ECHO_PORT);
  const server = await world.server.start(bench.tool('first-packets'), ['serve', ...place]);
  await server.waitFor(/ready/);
  for (const protocol of PROTOCOLS) {
    const flows: Flow[] = [];
    for (let i = 0; i < bench.pick(30, 5) + WARM_UP; i++) {
      const flow = await openFlow(bench, world, protocol);
      if (i >= WARM_UP) flows.push(flow);
    }
    const times = flows.map(({ ms }) => ms).sort((a, b) => a - b);
    const packets = flows.map((flow) => flow.packets).sort((a, b) => a - b);
    const middle = quantile(packets, 0.5);
    bench.record(world, BENCHMARK, `${protocol}, packets by the daemon`, 'packets', middle);
    bench.record(world, BENCHMARK, `${protocol}, until then, p50`, 'ms', quantile(times, 0.5));
    bench.record(world, BENCHMARK, `${protocol}, until then, longest`, 'ms', times.at(-1)!);
    bench.say(
      `${BENCHMARK} ${titleOf(world)}, ${protocol}: ${middle} packets, ${quantile(times, 0.5).toFixed(3)} ms`,
    );
  }
  await server.stop();
}

async function openFlow(
  bench: Bench,
  world: World,
  protocol: (typeof PROTOCOLS)[number],
): Promise<Flow> {
  const before = await readMetric(world, READ);
  const asker = await world.client.start(bench.tool('first-packets'), [
    ...['ask', protocol.toLowerCase(), world.serverAddress, String(ECHO_PORT), String(QUESTIONS)],
  ]);
  const [line] = await asker.waitFor(/^\{.*\}$/m);
  const packets = (await readMetric(world, READ)) - before;
  await asker.stop('SIGKILL');
  await sleep(SETTLE_MS);
  const { times_us: times } = JSON.parse(line) as { times_us: readonly number[] };
  if (packets >= times.length)
    bench.collector.note(
      `${BENCHMARK} ${titleOf(world)}, ${protocol}: the daemon read all ${times.length} packets of a flow`,
    );
  return { packets, ms: times[Math.min(packets, times.length - 1)] / 1000 };
}
