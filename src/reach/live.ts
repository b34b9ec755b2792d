/**
 * Tries cases with real packets in a lab.
 *
 * Theory of operation. An agent in each namespace offers the servers that the attempts need. All of them are there
 * before the first probe, so that only the groups can cause a silence. A probe counts as allowed if an answer came,
 * and came from the right server. It counts as denied after a second of silence. If the rules say otherwise, it is
 * tried once more with a longer wait, since a busy machine is slow too. A silence that the rules explain is not tried
 * again.
 *
 * A lab that was made for this is removed in any case. One that existed before stays as it was; only the agents end.
 */
import type { Config } from '../config/config.ts';
import { removeLab } from '../lab/down.ts';
import { LabError, LabInterrupted, messageOf } from '../lab/errors.ts';
import { conditionOf } from '../lab/labs.ts';
import { listStoredLabs, type StoredLab } from '../lab/state.ts';
import { namespacesOf, upLab } from '../lab/up.ts';
import { Agent, forEachParallel } from './agents.ts';
import type { Seen } from './agent-messages.ts';
import { labConfiguration } from '../outputs/lab-configuration.ts';
import type { Attempt } from './live-plan.ts';
import type { Expected } from './suite.ts';

export interface LiveOptions {
  readonly config: Config;
  readonly configFile: string;
  /** An existing lab to use. Undefined: one is made and removed again. */
  readonly labName: string | undefined;
  /** The verdict of the rules on an attempt. An unexpected silence is tried again. */
  readonly verdictOf: (attempt: Attempt) => Expected | 'undecidable';
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
}

/** `unsent`: it could not be tried, so nothing is known. `failed`: something came that is neither yes nor no. */
export type LiveVerdict =
  | { readonly kind: 'allowed' | 'denied' }
  | { readonly kind: 'unsent' | 'failed'; readonly why: string };

const NETNS_DIRECTORY = '/run/netns';
const PROBE_TIMEOUT_MS = 1000;
const PATIENT_TIMEOUT_MS = 4000;
const PARALLEL = 48;
const LAB_TIMEOUT_MS = 30_000;

/** Errors by which the kernel reports that it sent nothing. */
const NOT_SENT: ReadonlySet<string> = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'ENOENT']);

/**
 * Runs the attempts. Returns their verdicts in the same order. Throws LabError if there can be no lab, and
 * LabInterrupted after `signal`; a lab of our own is removed before.
 */
export async function runLive(
  attempts: readonly Attempt[],
  options: LiveOptions,
): Promise<readonly LiveVerdict[]> {
  if (attempts.length === 0) return [];
  if (options.labName !== undefined) {
    return useLab(checkLab(options.labName, options.config, attempts), attempts, options);
  }
  hintAtLab(options.config);
  const { config, text } = labConfiguration(options.config, NETNS_DIRECTORY);
  const lab = await upLab({
    config,
    file: options.configFile,
    ...(text === undefined ? {} : { text }),
    name: `test-${process.pid}`,
    timeoutMs: LAB_TIMEOUT_MS,
    signal: options.signal,
    waiting: () => options.progress('waiting for the daemon of the lab'),
  });
  let verdicts: readonly LiveVerdict[];
  try {
    verdicts = await useLab(lab.name, attempts, options);
  } catch (thrown) {
    await removeOwn(lab, messageOf(thrown));
    throw thrown;
  }
  await removeOwn(lab, undefined);
  return verdicts;
}

/** Removes our own lab. If something of it is left, throws LabError, with the earlier problem in it. */
async function removeOwn(lab: StoredLab, problem: string | undefined): Promise<void> {
  const left = await removeLab(lab);
  if (left.length === 0) return;
  const before = problem === undefined ? '' : `${problem}\n`;
  throw new LabError(
    `${before}not everything of the lab could be removed: ${left.join('; ')}`,
    `try: sgctl lab down ${lab.name}`,
  );
}

/** Throws LabError if a lab already has the namespaces, and tells how to use it. */
function hintAtLab(config: Config): void {
  const needed = namespacesOf(config);
  const using = listStoredLabs().find(
    ({ state }) =>
      conditionOf(state) === 'up' && state!.namespaces.some(({ name }) => needed.includes(name)),
  );
  if (using === undefined) return;
  const taken = needed.filter((name) => using.state!.namespaces.some((one) => one.name === name));
  throw new LabError(
    `these namespaces are there already: ${taken.join(', ')}`,
    `use the lab ${using.name}, which has them: --lab ${using.name}`,
  );
}

/** Throws LabError unless the lab is up and has what the attempts need. */
function checkLab(name: string, config: Config, attempts: readonly Attempt[]): string {
  const lab = listStoredLabs().find((one) => one.name === name);
  if (lab?.state === undefined)
    throw new LabError(`there is no lab called ${name}`, 'see: sgctl lab ls');
  const condition = conditionOf(lab.state);
  if (condition !== 'up')
    throw new LabError(`the lab ${name} is ${condition}, not up`, 'see: sgctl lab ls');
  const has = new Set(lab.state.namespaces.map((one) => one.name));
  const missing = attempts.flatMap(({ from, to }) => [from, to]).find((one) => !has.has(one));
  if (missing !== undefined) {
    throw new LabError(
      `the lab ${name} has no namespace ${missing}, which ${config.file} names`,
      `it was made from ${lab.state.configFile}`,
    );
  }
  return name;
}

async function useLab(
  labName: string,
  attempts: readonly Attempt[],
  options: LiveOptions,
): Promise<readonly LiveVerdict[]> {
  const { signal } = options;
  const agents = new Map<string, Agent>();
  try {
    const namespaces = new Set(attempts.flatMap(({ from, to }) => [from, to]));
    await Promise.all(
      [...namespaces].map(async (namespace) => {
        agents.set(namespace, await Agent.start(labName, namespace, namespace));
      }),
    );
    const session = new Session(agents, options);
    await session.offerAll(attempts);
    const verdicts = await session.probeAll(attempts);
    if (signal.aborted) throw new LabInterrupted();
    return verdicts;
  } finally {
    agents.forEach((agent) => agent.stop());
  }
}

class Session {
  private readonly agents: ReadonlyMap<string, Agent>;
  private readonly options: LiveOptions;
  /** By server: why it could not be offered; undefined if it is there. */
  private readonly servers = new Map<string, string | undefined>();

  constructor(agents: ReadonlyMap<string, Agent>, options: LiveOptions) {
    this.agents = agents;
    this.options = options;
  }

  async offerAll(attempts: readonly Attempt[]): Promise<void> {
    const wanted = new Map(attempts.map((attempt) => [serverKey(attempt), attempt]));
    wanted.delete(undefined);
    await forEachParallel([...wanted], PARALLEL, this.options.signal, async ([key, attempt]) => {
      const { to, offer } = attempt;
      const seen = await this.agents.get(to)!.offer(offer!);
      const why =
        seen.code === 'EADDRINUSE'
          ? `${offer!.kind} port ${offer!.port} of ${to} is taken by another program`
          : `nobody can listen on ${offer!.kind} port ${offer!.port} of ${to}: ${seen.detail}`;
      this.servers.set(key!, seen.seen === 'yes' ? undefined : why);
    });
  }

  async probeAll(attempts: readonly Attempt[]): Promise<readonly LiveVerdict[]> {
    const { signal, progress, verdictOf } = this.options;
    const verdicts: LiveVerdict[] = [];
    let done = 0;
    await forEachParallel(attempts, PARALLEL, signal, async (attempt, i) => {
      verdicts[i] = await this.try(attempt, PROBE_TIMEOUT_MS);
      done++;
      progress(`${done} of ${attempts.length} tried`);
    });
    const doubtful = attempts
      .map((attempt, i) => ({ attempt, i }))
      .filter(({ attempt, i }) => isDoubtful(verdicts[i], verdictOf(attempt)));
    await forEachParallel(doubtful, PARALLEL, signal, async ({ attempt, i }) => {
      progress(`trying ${doubtful.length} again, with more patience`);
      verdicts[i] = await this.try(attempt, PATIENT_TIMEOUT_MS);
    });
    return verdicts;
  }

  private async try(attempt: Attempt, timeoutMs: number): Promise<LiveVerdict> {
    const { from, to, probe } = attempt;
    const key = serverKey(attempt);
    const why = key === undefined ? undefined : this.servers.get(key);
    if (why !== undefined) return { kind: 'unsent', why };
    const seen = await this.agents.get(from)!.probe({ ...probe, timeoutMs });
    return verdictOn(seen, probe.kind === 'ping' ? '' : to);
  }
}

function isDoubtful(live: LiveVerdict | undefined, offline: Expected | 'undecidable'): boolean {
  return live?.kind === 'failed' || (live?.kind === 'denied' && offline === 'allowed');
}

/** @param name the name that the right server answers with */
function verdictOn({ seen, detail, code }: Seen, name: string): LiveVerdict {
  switch (seen) {
    case 'yes':
      return detail === name
        ? { kind: 'allowed' }
        : { kind: 'failed', why: `answered by '${detail}' instead of '${name}'` };
    case 'no':
      return { kind: 'denied' };
    case 'error':
      return { kind: code !== undefined && NOT_SENT.has(code) ? 'unsent' : 'failed', why: detail };
    default:
      return seen satisfies never;
  }
}

function serverKey({ to, offer }: Attempt): string | undefined {
  return offer && [to, offer.kind, offer.address, offer.port].join(' ');
}
