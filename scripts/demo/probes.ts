/** Sends the demo's traffic: curl and ping as people run them, TCP and UDP clients in the agents. */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { enterCommand } from '../../src/lab/labs.ts';
import type { ProbeAnswer, ProbeRequest } from './agent.ts';
import type { Family, Host, Service } from './expectations.ts';

export interface Probe {
  readonly from: Host;
  readonly to: Host;
  readonly service: Service;
  readonly family: Family;
}

export type Seen = Omit<ProbeAnswer, 'id'>;

/** How long a silence must last to count as "no". Local answers take a few milliseconds. */
const PROBE_TIMEOUT_MS = 1500;
const AGENT_TIMEOUT_MS = 10_000;
const PARALLEL = 40;

/** curl(1), EXIT CODES: operation timed out. */
const CURL_TIMED_OUT = 28;
/** ping(8): no reply at all is 1, any other trouble is 2. */
const PING_NO_REPLY = 1;

export class Agent {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (seen: Seen) => void>();
  private nextId = 1;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  /** Starts an agent inside a host's namespace; it ends with this process, or by `stop`. */
  static async start(labName: string, host: Host): Promise<Agent> {
    const script = fileURLToPath(new URL('./agent.js', import.meta.url));
    const argv = [process.execPath, '--enable-source-maps', script, host.name];
    const { command, args } = enterCommand(host.netns, argv, labName);
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const agent = new Agent(child);
    await agent.waitOffering(host.name);
    child.on('message', (message) => {
      const { id, ...seen } = message as ProbeAnswer;
      agent.waiting.get(id)?.(seen);
      agent.waiting.delete(id);
    });
    return agent;
  }

  private waitOffering(name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`the servers of ${name} did not start`)),
        AGENT_TIMEOUT_MS,
      );
      this.child.once('message', () => {
        clearTimeout(timer);
        resolve();
      });
      this.child.once('error', reject);
      this.child.once('exit', (code, signal) => {
        clearTimeout(timer);
        reject(new Error(`the servers of ${name} ended (${signal ?? code})`));
        // Whoever still waits for an answer gets one.
        for (const answer of this.waiting.values())
          answer({ seen: 'error', detail: 'agent ended' });
      });
    });
  }

  ask(request: Omit<ProbeRequest, 'id' | 'timeoutMs'>): Promise<Seen> {
    const id = this.nextId++;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.child.send({ ...request, id, timeoutMs: PROBE_TIMEOUT_MS } satisfies ProbeRequest);
    });
  }

  stop(): void {
    if (this.child.connected) this.child.disconnect();
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
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < probes.length && !signal.aborted) {
      const index = next++;
      answers[index] = await runProbe(labName, agents, probes[index], signal);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
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
    case 'tcp':
    case 'udp': {
      const agent = agents.get(from.name);
      if (agent === undefined) throw new Error(`no agent for ${from.name}`);
      const { kind, port } = service;
      return named(to, await agent.ask({ kind, family, address, port }));
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
    case 'ping': {
      const argv = ['ping', `-${family}`, '-n', '-q', '-c', '1', '-W', seconds, address];
      const { code, output } = await run(labName, from, argv, signal);
      if (code === 0) return { seen: 'yes', detail: to.name };
      // Exit code 1 is also "an ICMP error came back": that is no silence.
      return code === PING_NO_REPLY && !/\+\d+ errors/.test(output)
        ? { seen: 'no', detail: 'no reply' }
        : { seen: 'error', detail: output.trim() || `ping exit code ${code}` };
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
