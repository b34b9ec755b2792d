/** Starts agents in a lab's namespaces and sends them requests. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LabError } from '../lab/errors.ts';
import { enterCommand } from '../lab/labs.ts';
import type { Offer, Probe, Reply, Request, Seen } from './agent-messages.ts';

const START_TIMEOUT_MS = 10_000;
/** How much longer than the probe itself an answer may take on a busy machine. */
const ANSWER_GRACE_MS = 15_000;

const AGENT_ENDED: Seen = { seen: 'error', detail: 'the agent in the namespace has ended' };

export class Agent {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, (seen: Seen) => void>();
  private hasEnded = false;
  private nextId = 1;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  /**
   * Starts an agent inside a namespace of a lab. It ends with this process, or by `stop`. Throws LabError.
   * @param name the name that it answers with
   */
  static async start(labName: string, namespace: string, name: string): Promise<Agent> {
    const script = fileURLToPath(new URL('./agent.js', import.meta.url));
    const argv = [process.execPath, '--enable-source-maps', script, name];
    const { command, args } = enterCommand(namespace, argv, labName);
    // Its stderr is shown; its stdout would only spoil ours.
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const agent = new Agent(child);
    child.on('message', (message) => agent.take(message as Reply));
    try {
      await agent.waitStarted(namespace);
    } catch (thrown) {
      agent.stop();
      throw thrown;
    }
    return agent;
  }

  private waitStarted(namespace: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (why: string): void => {
        clearTimeout(timer);
        reject(new LabError(`cannot send traffic from the namespace ${namespace}: ${why}`));
      };
      const timer = setTimeout(refuse, START_TIMEOUT_MS, 'the agent did not start');
      this.child.once('message', () => {
        clearTimeout(timer);
        resolve();
      });
      this.child.on('error', ({ message }) => refuse(message));
      this.child.once('exit', (code, signal) => {
        this.hasEnded = true;
        refuse(`the agent ended (${signal ?? code})`);
        // Answer everybody who still waits.
        for (const answer of this.waiting.values()) answer(AGENT_ENDED);
      });
    });
  }

  private take(reply: Reply): void {
    if (reply.kind !== 'seen') return;
    const { kind: _, id, ...seen } = reply;
    this.waiting.get(id)?.(seen);
  }

  /** Resolves with `yes` once the server is there, or with `error` and the reason. */
  offer(offer: Offer): Promise<Seen> {
    return this.ask({ id: this.nextId++, do: 'offer', ...offer }, 0);
  }

  probe(probe: Probe): Promise<Seen> {
    return this.ask({ id: this.nextId++, do: 'probe', ...probe }, probe.timeoutMs);
  }

  private ask(request: Request, timeoutMs: number): Promise<Seen> {
    if (this.hasEnded || !this.child.connected) return Promise.resolve(AGENT_ENDED);
    return new Promise((resolve) => {
      const answer = (seen: Seen): void => {
        clearTimeout(timer);
        this.waiting.delete(request.id);
        resolve(seen);
      };
      const late: Seen = { seen: 'error', detail: 'the agent in the namespace gave no answer' };
      const timer = setTimeout(answer, timeoutMs + ANSWER_GRACE_MS, late);
      this.waiting.set(request.id, answer);
      this.child.send(request, (error) => {
        if (error !== null) answer(AGENT_ENDED);
      });
    });
  }

  stop(): void {
    if (this.child.connected) this.child.disconnect();
  }
}

/** Runs `work` on all items, `parallel` at a time. Starts no more once `signal` is aborted. */
export async function forEachParallel<T>(
  items: readonly T[],
  parallel: number,
  signal: AbortSignal,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    while (next < items.length && !signal.aborted) {
      const index = next++;
      await work(items[index], index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, items.length) }, run));
}
