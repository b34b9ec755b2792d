/** One door, round by round: the daemon behind it and what is native there take turns. */
import { existsSync } from 'node:fs';
import { findTool } from '../../support/require.ts';
import type { Bench } from '../bench.ts';
import type { Load } from '../loads/load.ts';
import { roundTrips } from '../loads/round-trips.ts';
import { smallPackets } from '../loads/small-packets.ts';
import { streams } from '../loads/streams.ts';
import { requireNothingMissing } from '../needs.ts';
import { checkRival } from '../rivals/rival.ts';
import type { Door } from './door.ts';

const LOADS: readonly Load[] = [streams(1), streams(8), smallPackets, roundTrips];
const ROUNDS = [3, 1] as const;

export async function measureDoor(
  bench: Bench,
  door: Door,
  asked: number | undefined,
): Promise<void> {
  const missing = door.tools.filter((tool) => !isHere(tool));
  if (missing.length > 0) {
    const note = `${door.name}: skipped, there is no ${missing.join(', ')}`;
    bench.say(note);
    bench.collector.note(note);
    return;
  }
  requireNothingMissing(true);
  await bench.buildTools();
  bench.say(`setting up ${door.name}`);
  const rivals = await door.start(bench);
  for (const rival of rivals) await checkRival(bench, rival);
  const rounds = asked ?? bench.pick(...ROUNDS);
  for (let round = 1; round <= rounds; round++) {
    bench.say(`${door.name}, round ${round} of ${rounds}`);
    for (const load of LOADS) for (const rival of rivals) await load.measure(bench, rival);
    await door.measure?.(bench);
  }
  await bench.end();
}

/** By its path, or somewhere on the PATH. */
function isHere(tool: string): boolean {
  return tool.startsWith('/') ? existsSync(tool) : findTool(tool) !== undefined;
}
