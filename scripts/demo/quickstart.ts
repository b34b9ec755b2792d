/**
 * The demo that scripts/quickstart runs: makes the lab of config/demo.yaml, sends real traffic between
 * every pair of hosts, and prints what was expected and what was seen. Exit code 0 only if every
 * cell is as expected. The lab is always taken down again, also at Ctrl-C.
 */
import { setMaxListeners } from 'node:events';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadOrPrint } from '../../src/cli/check.ts';
import { formatInstances, showWaiting } from '../../src/cli/lab.ts';
import { formatTable, paint, printError, programName } from '../../src/cli/output.ts';
import { removeLab } from '../../src/lab/down.ts';
import { isRunning } from '../../src/lab/processes.ts';
import { listStoredLabs } from '../../src/lab/state.ts';
import type { StoredLab } from '../../src/lab/state.ts';
import { upLab } from '../../src/lab/up.ts';
import type { Seen } from '../../src/reach/agent-messages.ts';
import { Agent } from '../../src/reach/agents.ts';
import { formatDrops, readMetrics } from './drops.ts';
import { FAMILIES, HOSTS, SERVICES, isAllowed } from './expectations.ts';
import { offerServices, runProbes } from './probes.ts';
import type { Probe } from './probes.ts';

/** Relative where it can be: it is told to people. */
const CONFIG_FILE = relative(
  process.cwd(),
  fileURLToPath(new URL('../../../config/demo.yaml', import.meta.url)),
);
const LAB_NAME = 'quickstart';
const READY_TIMEOUT_MS = 20_000;
const EXIT_INTERRUPTED = 130;

const interrupt = new AbortController();
// Every probe listens to it.
setMaxListeners(0, interrupt.signal);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!interrupt.signal.aborted) console.error('\nstopping, and taking the lab down…');
    interrupt.abort();
  });
}

function listProbes(): readonly Probe[] {
  return HOSTS.flatMap((from) =>
    HOSTS.filter((to) => to !== from).flatMap((to) =>
      FAMILIES.flatMap((family) => SERVICES.map((service) => ({ from, to, service, family }))),
    ),
  );
}

interface Result {
  readonly probe: Probe;
  readonly expected: 'yes' | 'no';
  readonly seen: Seen;
}

function isAsExpected({ expected, seen }: Result): boolean {
  return seen.seen === expected;
}

function formatCell(result: Result): string {
  const text = `${result.expected}/${result.seen.seen}`;
  if (!isAsExpected(result)) return paint(`${text} !`, 'red');
  return result.expected === 'yes' ? paint(text, 'green') : paint(text, 'dim');
}

function formatResults(results: readonly Result[]): string {
  const rows: string[][] = [];
  for (let i = 0; i < results.length; i += SERVICES.length) {
    const cells = results.slice(i, i + SERVICES.length);
    const { from, to, family } = results[i].probe;
    rows.push([from.name, to.name, `IPv${family}`, ...cells.map(formatCell)]);
  }
  return formatTable(['FROM', 'TO', 'OVER', ...SERVICES.map(({ title }) => title)], rows);
}

async function sendTraffic(lab: StoredLab): Promise<readonly Result[]> {
  const agents = new Map<string, Agent>();
  try {
    await Promise.all(
      HOSTS.map(async ({ name, netns }) =>
        agents.set(name, await Agent.start(lab.name, netns, name)),
      ),
    );
    await offerServices(agents);
    const probes = listProbes();
    const seen = await runProbes(lab.name, agents, probes, interrupt.signal);
    interrupt.signal.throwIfAborted();
    return probes.map((probe, i) => ({
      probe,
      expected: isAllowed(probe.from.name, probe.to.name, probe.service.title) ? 'yes' : 'no',
      seen: seen[i],
    }));
  } finally {
    agents.forEach((agent) => agent.stop());
  }
}

function printResults(results: readonly Result[]): boolean {
  console.log('\nWho may reach whom, expected/seen:\n');
  console.log(formatResults(results));
  const wrong = results.filter((result) => !isAsExpected(result));
  console.log(`\n${results.length - wrong.length} of ${results.length} cells are as expected.`);
  for (const { probe, expected, seen } of wrong) {
    const { from, to, service, family } = probe;
    const what = `${from.name} to ${to.name}, ${service.title} over IPv${family}`;
    console.log(
      paint(`  ${what}: expected ${expected}, seen ${seen.seen} (${seen.detail})`, 'red'),
    );
  }
  return wrong.length === 0;
}

/** A quickstart that was killed leaves its lab behind; one that still runs is left alone, and `upLab` refuses. */
async function removeAbandoned(): Promise<void> {
  for (const lab of listStoredLabs().filter(({ name }) => name === LAB_NAME)) {
    if (lab.state !== undefined && isRunning(lab.state.maker)) continue;
    console.log('Removing what an earlier quickstart left behind.');
    await removeLab(lab);
  }
}

async function main(): Promise<boolean> {
  const config = await loadOrPrint(CONFIG_FILE);
  if (config === undefined) return false;
  await removeAbandoned();
  const startedMs = performance.now();
  const lab = await upLab({
    config,
    file: CONFIG_FILE,
    name: LAB_NAME,
    timeoutMs: READY_TIMEOUT_MS,
    signal: interrupt.signal,
    waiting: showWaiting,
  });
  try {
    console.log('The lab is up:\n');
    console.log(formatInstances(lab.state?.instances ?? []));
    console.log('\nSending traffic: ping, curl, a TCP and a UDP client, over IPv4 and IPv6…');
    const isGood = printResults(await sendTraffic(lab));
    console.log('\nWhat was dropped, from /metrics:\n');
    console.log(formatDrops(await readMetrics(config.metrics)));
    return isGood;
  } finally {
    const left = await removeLab(lab);
    if (left.length === 0) {
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      console.log(`\nThe lab is gone again (${seconds} s). To look around in it yourself:`);
      console.log(`  ${programName()} lab up ${CONFIG_FILE}`);
      console.log('\nFor containers of Docker, once the driver is there (docs/howto/docker.md):');
      console.log('  docker network create -d secgroupd --subnet 10.77.0.0/24 vpc');
      console.log('  docker run --network name=vpc,driver-opt=sg=web nginx');
    } else {
      console.error(`\nnot everything could be removed: ${left.join('; ')}`);
      console.error(`try: sgctl lab down ${LAB_NAME}`);
      process.exitCode = 1;
    }
  }
}

try {
  if (!(await main())) process.exitCode = 1;
} catch (thrown) {
  if (!interrupt.signal.aborted) printError(thrown);
  process.exitCode = interrupt.signal.aborted ? EXIT_INTERRUPTED : 1;
}
