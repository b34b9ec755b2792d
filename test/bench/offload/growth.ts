/**
 * How each figure grows with flows, rules, interfaces and loops: the same loads, for each setting that has more of one
 * of them. With the fast path and without it take turns. It has one round of each, as a quick run has it, and an end:
 * what there is no time left for is left out, and a note says so.
 */
import { sleep, Bench } from '../bench.ts';
import { connections } from '../loads/connections.ts';
import type { Load } from '../loads/load.ts';
import { roundTrips } from '../loads/round-trips.ts';
import { smallPackets } from '../loads/small-packets.ts';
import { streams } from '../loads/streams.ts';
import { requireNothingMissing } from '../needs.ts';
import { ProcessorClock } from '../processor-clock.ts';
import { checkRival, CONNECT_PORT, listenAt } from '../rivals/rival.ts';
import { GUARD_MS } from '../../support/guard-time.ts';
import { measureHandOver } from './hand-over.ts';
import { canOffload } from './measure.ts';
import { measureRevocation } from './revocation.ts';
import { PLAIN, startWorld, type Setting, type World } from './world.ts';

export const GROWTH = 'growth';
/** The namespaces of the largest setting are a minute's work, and all of it is to end within ten. */
const BUDGET_SEC = 480;
const LOADS: readonly Load[] = [streams(1), streams(8), smallPackets, connections, roundTrips];
/** A processor's share that what ended may still take before the next one begins, and how long that is waited for. */
const REST_MAX = 0.2;
const REST_SEC = 20;

interface Growth {
  readonly name: string;
  readonly setting: Partial<Setting>;
  /** Beside those of the loads. */
  readonly flows?: number;
}

/** The largest last: the kernel takes its time to take thousands of interfaces away. */
export const GROWTHS: readonly Growth[] = [
  { name: '10 rules', setting: { rules: 10 } },
  { name: '10,000 rules', setting: { rules: 10_000 } },
  { name: '60,000 flows', setting: { rules: 10 }, flows: 60_000 },
  { name: 'untracked', setting: { rules: 10, isUntracked: true } },
  { name: '2 loops', setting: { rules: 10, loops: 2 } },
  { name: '100 interfaces', setting: { rules: 10, interfaces: 100 } },
  { name: '2,000 interfaces', setting: { rules: 10, interfaces: 2000 } },
];
const QUICK: readonly Growth[] = [
  { name: '10 rules', setting: { rules: 10 } },
  { name: '1,000 flows', setting: { rules: 10, loops: 2, interfaces: 10 }, flows: 1000 },
];

export function settingOf({ setting }: Growth, isOffloaded: boolean): Setting {
  return { ...PLAIN, ...setting, isOffloaded };
}

export async function measureGrowth(bench: Bench): Promise<void> {
  requireNothingMissing(true);
  const isThere = canOffload(bench, GROWTH);
  const beganMs = performance.now();
  bench.collector.note(
    `${GROWTH}: '10 rules' is with 2 interfaces, 1 loop and the flows of the loads; each other setting has more of one thing`,
  );
  for (const growth of bench.pick(GROWTHS, QUICK))
    for (const isOffloaded of isThere ? [true, false] : [false]) {
      const title = `${growth.name}, ${isOffloaded ? 'with' : 'without'} the fast path`;
      if ((performance.now() - beganMs) / 1000 > BUDGET_SEC) {
        bench.collector.note(`${GROWTH}: left out for want of time: ${title}`);
        continue;
      }
      bench.say(`${GROWTH}: setting up ${title}`);
      await measureSetting(bench, growth, isOffloaded);
    }
}

async function measureSetting(
  { collector }: Bench,
  growth: Growth,
  isOffloaded: boolean,
): Promise<void> {
  const quick = new Bench(collector, true);
  try {
    await quick.buildTools();
    await rest();
    const door = isOffloaded ? `${GROWTH}, fast path` : `${GROWTH}, the loop alone`;
    const { name, flows = 0 } = growth;
    const world = await startWorld(quick, settingOf(growth, isOffloaded), { name, door });
    await checkRival(quick, world);
    if (flows > 0) await openFlows(quick, world, flows);
    for (const load of LOADS) await load.measure(quick, world);
    if (isOffloaded) await measureHandOver(quick, world);
    await measureRevocation(quick, world);
    await endDaemon(world);
  } finally {
    await quick.end();
  }
}

/**
 * Opens flows that stay, beside those that are measured. They are to a port that no load sends datagrams to: they take
 * nearly all ports of the client, and a flow to the same port would be one of them.
 */
async function openFlows(bench: Bench, world: World, flows: number): Promise<void> {
  const tool = bench.tool('round-trip');
  const echo = await world.server.start(tool, ['echo', ...listenAt(world, CONNECT_PORT)]);
  await echo.waitFor(/ready/);
  const place = [world.serverAddress, String(CONNECT_PORT), String(flows)];
  const text = await world.client.mustRun(tool, ['open', ...place]);
  await echo.stop();
  const { opened } = JSON.parse(text) as { opened: number };
  bench.say(`${GROWTH}: ${opened} flows are open`);
  if (opened < flows) bench.collector.note(`${GROWTH}: only ${opened} of ${flows} flows were open`);
}

/** Lets it take its devices away, however many there are. */
async function endDaemon({ daemon }: World): Promise<void> {
  process.kill(daemon.pid, 'SIGTERM');
  const timer = setTimeout(() => process.kill(daemon.pid, 'SIGKILL'), GUARD_MS);
  await daemon.ended;
  clearTimeout(timer);
}

/** Waits until what was before takes no more of the processors. */
async function rest(): Promise<void> {
  for (let second = 0; second < REST_SEC; second++) {
    const clock = new ProcessorClock();
    await sleep(1000);
    if (clock.seconds() < REST_MAX) return;
  }
}
