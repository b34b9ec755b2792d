/** Sends the demo's traffic: curl as people run it; ping, TCP and UDP clients in the agents of src/reach. */
import { execFile } from 'node:child_process';
import { enterCommand } from '../../src/lab/labs.ts';
import { forEachParallel, type Agent } from '../../src/reach/agents.ts';
import type { Seen } from '../../src/reach/agent-messages.ts';
import { FAMILIES, HOSTS, SERVICES } from './expectations.ts';
import type { Family, Host, Service } from './expectations.ts';

export interface Probe {
  readonly from: Host;
  readonly to: Host;
  readonly service: Service;
  readonly family: Family;
}

/** How long a silence must last to count as "no". Local answers take a few milliseconds. */
const PROBE_TIMEOUT_MS = 1500;
const PARALLEL = 40;

/** curl(1), EXIT CODES: operation timed out. */
const CURL_TIMED_OUT = 28;

/** Every host offers every service on every address. Throws if one can't. */
export async function offerServices(agents: ReadonlyMap<string, Agent>): Promise<void> {
  for (const { name, addresses } of HOSTS) {
    for (const family of FAMILIES) {
      for (const { kind, port } of SERVICES) {
        if (kind === 'ping') continue; // The kernel answers.
        const offer = { kind, family, address: addresses[family], port };
        const { seen, detail } = await agents.get(name)!.offer(offer);
        if (seen !== 'yes') throw new Error(`${name} cannot offer ${kind} ${port}: ${detail}`);
      }
    }
  }
}

/** Runs all probes, a bounded number at a time; answers are in the order of the probes. */
export async function runProbes(
  labName: string,
  agents: ReadonlyMap<string, Agent>,
  probes: readonly Probe[],
  signal: AbortSignal,
): Promise<readonly Seen[]> {
  const answers: Seen[] = [];
  await forEachParallel(probes, PARALLEL, signal, async (probe, i) => {
    answers[i] = await runProbe(labName, agents, probe, signal);
  });
  return answers;
}

async function runProbe(
  labName: string,
  agents: ReadonlyMap<string, Agent>,
  { from, to, service, family }: Probe,
  signal: AbortSignal,
): Promise<Seen> {
  const address = to.addresses[family];
  const seconds = String(PROBE_TIMEOUT_MS / 1000);
  switch (service.kind) {
    case 'ping':
    case 'tcp':
    case 'udp': {
      const { kind, port } = service;
      const probe = { kind, family, address, port, timeoutMs: PROBE_TIMEOUT_MS };
      const seen = await agents.get(from.name)!.probe(probe);
      return kind === 'ping' ? seen : named(to, seen);
    }
    case 'http': {
      const host = family === 6 ? `[${address}]` : address;
      const url = `http://${host}:${service.port}/`;
      // -q first: a .curlrc of the user's must not change what is asked; no proxy either.
      const argv = ['curl', '-q', '-sS', '--noproxy', '*', '-m', seconds, url];
      const { code, output } = await run(labName, from, argv, signal);
      if (code === 0) return named(to, { seen: 'yes', detail: output.trim() });
      return code === CURL_TIMED_OUT
        ? { seen: 'no', detail: 'timed out' }
        : { seen: 'error', detail: output.trim() || `curl exit code ${code}` };
    }
  }
}

/** An answer counts only if it is from the one that was asked. */
function named(to: Host, answer: Seen): Seen {
  if (answer.seen !== 'yes' || answer.detail === to.name) return answer;
  return { seen: 'error', detail: `answered by '${answer.detail}'` };
}

function run(
  labName: string,
  from: Host,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<{ code: number; output: string }> {
  const { command, args } = enterCommand(from.netns, argv, labName);
  return new Promise((resolve) => {
    const timeout = PROBE_TIMEOUT_MS * 4;
    execFile(command, args, { timeout, signal }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, output: stdout + stderr });
    });
  });
}
