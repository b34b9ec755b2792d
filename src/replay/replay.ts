/**
 * Replays recordings: has their packets or records judged by the rules of one configuration, or of two. Memory does not
 * grow with the recordings.
 */
import type { Config } from '../config/config.ts';
import {
  readRecordings,
  type ReadOptions,
  type Recording,
  type Unreadable,
} from '../recorded/read-recordings.ts';
import {
  amountOf,
  Findings,
  isByInput,
  type Amount,
  type FindingKind,
  type Group,
} from './findings.ts';
import { CaptureJudge, type CaptureCounts } from './judge-capture.ts';
import { FlowLogJudge, type FlowLogCounts } from './judge-flow-log.ts';
import { describeGroup, type Finding } from './report.ts';
import { World } from './world.ts';

export interface ReplayOptions extends ReadOptions {
  readonly config: Config;
  /** Other rules to compare with. */
  readonly against?: Config;
  /** How many groups of findings are explained. */
  readonly top: number;
}

export interface Replayed {
  readonly recordings: readonly Recording[];
  readonly counts: CaptureCounts | FlowLogCounts;
  readonly isCapture: boolean;
  /** When the first and the last of it was; undefined: nothing was there. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
  readonly findings: readonly Finding[];
  /** What is not among the findings: groups, what they count, and what found no room in a group. */
  readonly more: Readonly<Amount> & { readonly groups: number };
  /** The kinds of all findings that groups, network ACLs or routes have decided. */
  readonly refused: ReadonlySet<FindingKind>;
}

export async function replay(
  files: readonly string[],
  options: ReplayOptions,
): Promise<Replayed | Unreadable> {
  const findings = new Findings();
  const begun: { judge?: CaptureJudge | FlowLogJudge; worlds: readonly World[] } = { worlds: [] };
  const recordings = await readRecordings(files, options, (isCaptured) => {
    begun.worlds = worldsOf(options, isCaptured);
    if (isCaptured) {
      const judge = new CaptureJudge(begun.worlds, findings);
      begun.judge = judge;
      return { seePacket: (packet) => judge.see(packet), seeRecord: () => undefined };
    }
    const judge = new FlowLogJudge(begun.worlds, findings);
    begun.judge = judge;
    return { seePacket: () => undefined, seeRecord: (record) => judge.see(record) };
  });
  if ('message' in recordings) return recordings;
  return finish(recordings, begun.judge!, findings, begun.worlds, options.top);
}

/** @throws RangeError for more interfaces than can be judged */
function worldsOf({ config, against }: ReplayOptions, remembers: boolean): readonly World[] {
  const configs = against === undefined ? [config] : [config, against];
  return configs.map((one) => new World(one, remembers));
}

function finish(
  recordings: readonly Recording[],
  judge: CaptureJudge | FlowLogJudge,
  findings: Findings,
  worlds: readonly World[],
  top: number,
): Replayed {
  const { counts, intake } = judge;
  const { firstMs, lastMs } = intake;
  const groups = findings.all;
  const rest = groups.slice(top);
  const hasTime = firstMs <= lastMs;
  return {
    recordings,
    counts,
    isCapture: judge instanceof CaptureJudge,
    firstMs: hasTime ? firstMs : undefined,
    lastMs: hasTime ? lastMs : undefined,
    findings: groups.slice(0, top).map((group) => describeGroup(group, worlds)),
    more: { ...addUp(rest, findings.beyond), groups: rest.length },
    refused: new Set(groups.flatMap(({ kind, reason }) => (isByInput(reason) ? [kind] : []))),
  };
}

function addUp(groups: readonly Group[], beyond: Readonly<Amount>): Amount {
  const sum = { ...beyond };
  for (const group of groups) {
    const { packets, bytes, records } = amountOf(group);
    sum.packets += packets;
    sum.bytes += bytes;
    sum.records += records;
  }
  return sum;
}
