/** The rivals by name: what each needs, and how it is set up. */
import { findTool } from '../../support/require.ts';
import type { Bench } from '../bench.ts';
import type { RivalName } from '../results.ts';
import { startKernel } from './kernel.ts';
import { OVS_TOOLS, startOvs } from './ovs.ts';
import type { Rival } from './rival.ts';
import { startBusyPoll, startFastPath, startRelay, startSecgroupd } from './secgroupd.ts';

const STARTERS: Readonly<
  Record<
    RivalName,
    { readonly tools: readonly string[]; readonly start: (bench: Bench) => Promise<Rival> }
  >
> = {
  secgroupd: { tools: [], start: startSecgroupd },
  'busy-poll': { tools: [], start: startBusyPoll },
  'fast-path': { tools: ['nft'], start: startFastPath },
  relay: { tools: [], start: startRelay },
  kernel: { tools: ['nft'], start: startKernel },
  ovs: { tools: OVS_TOOLS, start: startOvs },
};

/** Sets up those that can be, and notes those that can't. All are there at once, so that rounds can take turns. */
export async function startRivals(bench: Bench, names: readonly RivalName[]): Promise<Rival[]> {
  const rivals: Rival[] = [];
  for (const name of names) {
    const { tools, start } = STARTERS[name];
    const missing = tools.filter((tool) => findTool(tool) === undefined);
    if (missing.length > 0) {
      const note = `${name}: skipped, there is no ${missing.join(', ')}`;
      bench.say(note);
      bench.collector.note(note);
      continue;
    }
    bench.say(`setting up ${name}`);
    rivals.push(await start(bench));
  }
  return rivals;
}
