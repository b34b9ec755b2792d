/**
 * How soon a change of rules ends a flow: from when it is asked for, and from when the answer says that it is in force,
 * to the last packet that passed.
 *
 * Datagrams come at a steady rate, and the receiver notes when the last one came, by a clock that both share. Below 0
 * in the second figure is a last packet before the answer: what says that the rules are in force takes its time as well.
 */
import { sleep, type Bench } from '../bench.ts';
import { nowMs } from '../cluster/clock.ts';
import { sendLoad } from '../loads/small-packets.ts';
import { titleOf } from '../rivals/rival.ts';
import type { World } from './world.ts';

const BENCHMARK = 'revocation';
/** A packet each 50 µs. */
const RATE = 20_000;
const WARM_UP_SEC = 0.3;
/** On a busy machine the load may begin too late, or be over before the change is in force: then once more, longer. */
const TRIES = [
  { seconds: 1.2, changeMs: 800 },
  { seconds: 8, changeMs: 4000 },
] as const;

/** Until the programs are compiled as those of a host that has been in use. */
const CHANGES_BEFORE = 50;

/** The first change that a world ever makes, without packets, and then as many as make it one in use. */
export async function useFirst(bench: Bench, world: World): Promise<void> {
  const { change } = world;
  for (let i = 0; i < CHANGES_BEFORE; i++) {
    const putInForce = world.prepare(false);
    const askedMs = nowMs();
    await putInForce();
    if (i === 0)
      bench.record(
        world,
        BENCHMARK,
        `${change}, the first, until in force`,
        'ms',
        nowMs() - askedMs,
      );
    await world.prepare(true)();
  }
}

/** One round: the rule for UDP is taken away, and given back. */
export async function measureRevocation(bench: Bench, world: World): Promise<void> {
  const { change } = world;
  for (const times of TRIES) {
    const found = await revoke(bench, world, times);
    if (found === undefined) continue;
    const { lastMs, askedMs, inForceMs } = found;
    bench.record(world, BENCHMARK, `${change}, from the request`, 'ms', lastMs - askedMs);
    bench.record(world, BENCHMARK, `${change}, from in force`, 'ms', lastMs - inForceMs);
    bench.say(
      `${BENCHMARK} ${titleOf(world)}, ${change}: last packet ${(lastMs - askedMs).toFixed(2)} ms after the request, ${(lastMs - inForceMs).toFixed(2)} ms after the answer`,
    );
    return;
  }
  bench.collector.note(
    `${BENCHMARK} ${titleOf(world)}, ${change}: no figure of a round: no packet passed before the change, or the load was over before it was in force`,
  );
}

interface Revoked {
  readonly askedMs: number;
  readonly inForceMs: number;
  readonly lastMs: number;
}

/** @param changeMs from the start of the load to the change. @returns undefined if it did not meet the load */
async function revoke(
  bench: Bench,
  world: World,
  { seconds, changeMs }: (typeof TRIES)[number],
): Promise<Revoked | undefined> {
  const putInForce = world.prepare(false);
  const times = { warmUpSec: WARM_UP_SEC, seconds, receiverFirst: true };
  const load = sendLoad(bench, world, RATE, times);
  await sleep(changeMs);
  const askedMs = nowMs();
  await putInForce();
  const inForceMs = nowMs();
  const { lastMs, endMs, unique } = await load;
  await world.prepare(true)();
  return unique > 0 && endMs > inForceMs ? { askedMs, inForceMs, lastMs } : undefined;
}
