/** scripts/bench: runs benchmarks in rounds, the rivals taking turns, and prints what came of it. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { requireNothingMissing } from './needs.ts';
import { measureApi } from './api/measure.ts';
import { readArguments, UsageError, type Arguments } from './arguments.ts';
import { Bench } from './bench.ts';
import { measureAway, measureCluster } from './cluster/measure.ts';
import { measureDecision, measureInProcess } from './decision/parent.ts';
import { attach, vmTap } from './doors/attach.ts';
import { cni } from './doors/cni.ts';
import { docker } from './doors/docker.ts';
import type { Door } from './doors/door.ts';
import { measureDoor } from './doors/measure.ts';
import { vmStream } from './doors/stream.ts';
import { measureIdle } from './idle.ts';
import { connections } from './loads/connections.ts';
import type { Load } from './loads/load.ts';
import { processorTime } from './loads/processor-time.ts';
import { roundTrips } from './loads/round-trips.ts';
import { smallPackets } from './loads/small-packets.ts';
import { streams } from './loads/streams.ts';
import { GROWTH, measureGrowth } from './offload/growth.ts';
import {
  HAND_OVER,
  KERNEL_FLOWS,
  measureHandOvers,
  measureKernelFlows,
  measureRevocations,
  REVOCATION,
} from './offload/measure.ts';
import { formatMarkdown, formatResults } from './report.ts';
import { Collector, describeMachine, FORMAT, type Results } from './results.ts';
import { startRivals } from './rivals/all.ts';
import { checkRival, type Rival } from './rivals/rival.ts';
import { judgeTargets } from './targets.ts';

const LOADS: readonly Load[] = [
  streams(1),
  streams(8),
  smallPackets,
  connections,
  roundTrips,
  processorTime,
];
const DECISION = 'decision';
const IDLE = 'idle';
const API = 'api';
const RECORDINGS = 'recordings';
const RECORDINGS_PROGRAM = fileURLToPath(new URL('./recordings/child.js', import.meta.url));
const DOORS: readonly Door[] = [docker, cni, attach, vmTap, vmStream];
const CLUSTER = 'cluster';
const CLUSTER_AWAY = 'cluster-away';
const CLUSTERS = [
  [CLUSTER, measureCluster],
  [CLUSTER_AWAY, measureAway],
] as const;
/** All of them; only if it is asked for, since it takes as long as all the rest. */
const ALL_DOORS = 'doors';
const ABOUT: readonly (readonly [name: string, about: string])[] = [
  ...LOADS.map(({ name, about }) => [name, about] as const),
  [HAND_OVER, 'packets and time until the kernel forwards a new flow'],
  [REVOCATION, 'from a change of rules to the last packet of a flow that it ends'],
  [KERNEL_FLOWS, 'finding a flow among a million in the kernel, and what memory they take'],
  [DECISION, 'in-process: deciding, new flows, policy changes, memory (needs no root)'],
  [RECORDINGS, 'in-process: replaying and learning from a flow log and a capture (needs no root)'],
  [IDLE, 'memory and wake-ups of a daemon with nothing to do'],
  [API, "calls of EC2's API with a large estate, and how soon packets obey them"],
  [
    GROWTH,
    'the loads with more flows, rules, interfaces, loops: ten minutes, so only if it is named',
  ],
  [CLUSTER, 'hosts that share a store in etcd: some minutes, so only if it is named'],
  [CLUSTER_AWAY, 'the same, and etcd is away for ten minutes; only if it is named'],
  [ALL_DOORS, 'each of the following; none of them runs unless it is named:'],
  ...DOORS.map(({ name, about }) => [name, about] as const),
];
const NAMES = ABOUT.map(([name]) => name);
/** More than this before the start, and something else is running: no target counts as reached or missed. */
const LOAD_MAX = 0.5;

async function main(): Promise<number> {
  const args = readArguments(process.argv.slice(2), NAMES);
  if (args.lists) {
    for (const [name, about] of ABOUT) process.stdout.write(`${name.padEnd(12)} ${about}\n`);
    return 0;
  }
  const machine = describeMachine();
  const collector = new Collector();
  const bench = new Bench(collector, args.isQuick);
  const { loadBefore } = machine;
  if (loadBefore > LOAD_MAX) {
    const note = `the machine was busy before the start (load average ${loadBefore.toFixed(2)}): take no figure of this run for more than a hint`;
    bench.say(note);
    collector.note(note);
  }
  try {
    await runAll(bench, args);
  } finally {
    await bench.end();
  }
  const results: Results = {
    format: FORMAT,
    isQuick: args.isQuick,
    machine,
    tools: collector.tools,
    measurements: collector.measurements,
    // Who named what to measure is not told of all the rest.
    targets: judgeTargets(collector, loadBefore > LOAD_MAX).filter(
      ({ verdict }) => args.only.length === 0 || verdict !== 'not measured',
    ),
    notes: collector.notes,
  };
  process.stdout.write(formatResults(results));
  if (args.json !== undefined)
    writeFileSync(args.json, `${JSON.stringify(results, undefined, 2)}\n`);
  if (args.markdown !== undefined) writeFileSync(args.markdown, formatMarkdown(results));
  return 0;
}

async function runAll(bench: Bench, args: Arguments): Promise<void> {
  const wants = (name: string): boolean => args.only.length === 0 || args.only.includes(name);
  const loads = LOADS.filter(({ name }) => wants(name));
  if (loads.length > 0 || wants(IDLE)) {
    requireNothingMissing(loads.some(({ name }) => name.startsWith('tcp-')));
    await bench.buildTools();
    const rivals = await startRivals(bench, args.rivals);
    if (wants(IDLE)) await measureIdle(bench, rivals);
    for (const rival of rivals) await checkRival(bench, rival);
    for (const load of loads) await runLoad(bench, load, rivals, args.rounds);
    await bench.end();
  }
  const isNamed = (name: string): boolean => args.only.includes(name);
  for (const door of DOORS)
    if (isNamed(door.name) || isNamed(ALL_DOORS)) await measureDoor(bench, door, args.rounds);
  for (const [name, measure] of CLUSTERS)
    if (isNamed(name)) {
      await measure(bench);
      await bench.end();
    }
  if (wants(HAND_OVER)) await measureHandOvers(bench, args.rounds);
  if (wants(REVOCATION)) await measureRevocations(bench, args.rounds);
  if (wants(KERNEL_FLOWS)) await measureKernelFlows(bench, args.rounds);
  if (isNamed(GROWTH)) await measureGrowth(bench);
  if (wants(API)) await measureApi(bench);
  if (wants(RECORDINGS))
    await measureInProcess(bench, RECORDINGS, RECORDINGS_PROGRAM, args.rounds ?? 3);
  if (wants(DECISION)) await measureDecision(bench, args.rounds);
}

/** A B C, A B C, …: what else the machine does falls on all of them alike. */
async function runLoad(
  bench: Bench,
  load: Load,
  rivals: readonly Rival[],
  asked: number | undefined,
): Promise<void> {
  const rounds = asked ?? bench.pick(...load.rounds);
  await load.prepare?.(bench, rivals);
  for (let round = 1; round <= rounds; round++) {
    bench.say(`${load.name}, round ${round} of ${rounds}`);
    for (const rival of rivals) await load.measure(bench, rival);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`bench: ${error.message} (see scripts/bench --help)\n`);
    process.exitCode = 2;
  } else {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
