/**
 * The benchmark "cluster": hosts that share a store in etcd.
 *
 * One real cluster of three members, two real daemons with real packets between their interfaces, and as many simulated
 * hosts as the machine bears beside them, of an estate that is as large as it says. What a thousand hosts would take is
 * calculated from it in docs/clusters.md.
 */
import { openStore } from '../../../src/store/open-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { appliedKey, hostPrefix } from '../../../src/estate/keys.ts';
import { decodeApplied } from '../../../src/estate/rows.ts';
import { fileURLToPath } from 'node:url';
import { Etcd } from '../../support/etcd.ts';
import { findTool } from '../../support/require.ts';
import { mustRun } from '../../support/process.ts';
import { cpuMs } from '../../support/processor-time.ts';
import { sleep, type Bench } from '../bench.ts';
import { Background, Marker } from './changes.ts';
import { Child } from './child.ts';
import { nowMs, quantile } from './clock.ts';
import type { Try } from './prober.ts';
import { MARKER_PORTS, RealHosts, STEADY_PORT } from './real-hosts.ts';
import { estateRows, MEMORY_HOSTS, Size, type Row } from './rows.ts';
import type { SubscribersQuestion } from './subscribers.ts';
import { wrongVerdicts, type Acknowledged, type MarkerState } from './verdicts.ts';

const BENCHMARK = 'cluster';
const US = 'secgroupd';
const SUBSCRIBERS = fileURLToPath(new URL('./subscribers.js', import.meta.url));
const HELD = fileURLToPath(new URL('./held.js', import.meta.url));

const WRITERS = 4;
/** So many simulated hosts follow while leaders are killed. */
const FEW_HOSTS = 25;
const CHANGES_PER_SECOND = 100;
/** Of these, so many change what the probes ask for. */
const MARKERS_PER_SECOND = 5;
/** So many rows, and bytes of them, are written in a commit. */
const COMMIT_ROWS = 100;
const COMMIT_BYTES = 500_000;
const KILL_EVERY_MS = 5000;
const DEAD_MS = 1500;
/** A leader that was killed: the marker stands still for so long now and then, so that hosts acknowledge the newest. */
const STILL_MS = 3000;
const JUDGED_MS = 3000;

export async function measureCluster(bench: Bench): Promise<void> {
  const run = await ClusterRun.begin(bench);
  await run.measureMemory();
  await run.measureStarts();
  await run.measureChanges();
  await run.measureRestart();
  await run.measureLeaders();
}

/** The same without etcd for ten minutes. */
export async function measureAway(bench: Bench): Promise<void> {
  const run = await ClusterRun.begin(bench);
  await run.measureAway();
}

class ClusterRun {
  private readonly bench: Bench;
  private readonly etcd: Etcd;
  private readonly url: string;
  private readonly hosts: RealHosts;
  private readonly marker: Marker;
  private readonly background: Background;
  private readonly subscribers: Child<SubscribersQuestion>[] = [];
  private readonly acknowledged: Acknowledged[] = [];
  private simulated = 0;

  private constructor(
    bench: Bench,
    etcd: Etcd,
    stores: readonly Store[],
    size: Size,
    hosts: RealHosts,
  ) {
    // prettier-ignore
    this.bench = bench;
    this.etcd = etcd;
    this.url = `etcd://${etcd.hosts}`;
    this.hosts = hosts;
    // A store of its own: its commits would wait for those of others.
    const [marker, ...writers] = stores;
    this.marker = new Marker(marker, STEADY_PORT, MARKER_PORTS);
    this.background = new Background(writers, size);
  }

  /** Starts etcd, fills it, and starts the real hosts. */
  static async begin(bench: Bench): Promise<ClusterRun> {
    const missing = ['etcd', 'etcdctl', 'ip'].filter((tool) => findTool(tool) === undefined);
    if (missing.length > 0) throw new Error(`'--only ${BENCHMARK}' needs ${missing.join(', ')}`);
    const size = new Size(bench.pick(1000, 100));
    const etcd = await Etcd.start({ members: 3 });
    bench.scope.after(() => etcd.end());
    const url = `etcd://${etcd.hosts}`;
    bench.collector.tools['etcd'] = (await mustRun('etcd', ['--version'])).split('\n')[0];
    bench.collector.note("etcd's data are in memory where the machine has /dev/shm: no disk is measured"); // prettier-ignore
    const stores = await Promise.all(
      Array.from({ length: 1 + WRITERS }, () => openStore(url, () => undefined)),
    );
    for (const store of stores) bench.scope.after(() => store.close());
    const hosts = await RealHosts.make(bench, url, size);
    bench.say(`${BENCHMARK}: filling the store: ${size.interfaces} interfaces on ${size.hosts} hosts`); // prettier-ignore
    await fill(stores, estateRows(size, hosts.places));
    const run = new ClusterRun(bench, etcd, stores, size, hosts);
    run.note('store', 'MB', (await dbBytes(etcd)) / 1e6, `${size.interfaces} interfaces`);
    await hosts.begin();
    await run.marker.next();
    await run.followAcknowledged();
    return run;
  }

  /** What a host holds with 10,000 members of a group, and without. */
  async measureMemory(): Promise<void> {
    const bytes = async (host: string): Promise<number> => {
      const args = ['--expose-gc', HELD, this.url, host];
      const text = await mustRun(process.execPath, args);
      const { bytes, members } = JSON.parse(text) as { bytes: number; members: number };
      this.bench.say(`${BENCHMARK}: ${host} holds ${members} members of other hosts`);
      return bytes;
    };
    const grown = (await bytes(MEMORY_HOSTS.with)) - (await bytes(MEMORY_HOSTS.without));
    this.note('memory, 10,000 remote members', 'MB', grown / 1e6);
  }

  /** A daemon that starts with 100 interfaces, until a packet is answered. */
  async measureStarts(): Promise<void> {
    for (let round = 0; round < this.bench.pick(5, 2); round++)
      for (const hasCopy of [false, true]) {
        const { port } = await this.marker.next();
        // So that a copy has it.
        await this.hosts.prober.ask({ kind: 'await', port });
        await this.acknowledges(this.marker.states.at(-1)!.revision);
        await this.hosts.killServer();
        const { saidMs, answeredMs } = await this.hosts.startServer(port, hasCopy);
        const from = hasCopy ? 'with a copy' : 'from the store';
        this.note(`start ${from}, until it says so`, 'ms', saidMs);
        this.note(`start ${from}, until a packet`, 'ms', answeredMs);
      }
  }

  async measureChanges(): Promise<void> {
    for (const hosts of this.bench.pick([FEW_HOSTS, 100, 200], [10])) {
      const isFirst = this.simulated === 0;
      await this.simulate(hosts);
      // Programs that have run for a while are faster.
      if (isFirst) await this.underLoad(this.bench.pick(10_000, 1000));
      const seconds = this.bench.pick(20, 6);
      const before = this.cpu();
      const obeyed = await this.underLoad(seconds * 1000);
      const used = this.cpu();
      const times = await this.takenIn();
      const subject = `${hosts} hosts`;
      this.quantiles('change until packets obey', subject, obeyed);
      this.quantiles('change until a host has it', subject, times);
      const events = times.length;
      this.note('etcd, of a host and change', 'µs', (1000 * (used.etcd - before.etcd)) / events, subject); // prettier-ignore
      this.note('host, of a change', 'µs', (1000 * (used.subscribers - before.subscribers)) / events, subject); // prettier-ignore
      this.note('etcd, of a processor', '%', (used.etcd - before.etcd) / (10 * seconds), subject);
      this.note('real daemons, of a processor', '%', (used.daemons - before.daemons) / (10 * seconds), subject); // prettier-ignore
    }
  }

  /** All hosts at once. */
  async measureRestart(): Promise<void> {
    await this.hosts.killBoth();
    const { revision } = await this.marker.next();
    const before = this.etcdCpuMs();
    const beganMs = nowMs();
    const real = this.hosts.startBoth().then(() => this.acknowledges(revision));
    const start = { kind: 'start', revision } as const;
    await Promise.all([real, ...this.subscribers.map((child) => child.ask(start))]);
    const subject = `${this.simulated + 2} hosts`;
    this.note('all start at once, until each has the newest', 'ms', nowMs() - beganMs, subject);
    const used = this.etcdCpuMs() - before;
    this.note('etcd, of a host that starts', 'ms', used / (this.simulated + 2), subject);
  }

  /** The leader is killed every five seconds, while the estate changes and packets flow. */
  async measureLeaders(): Promise<void> {
    const { bench, hosts, etcd } = this;
    // They share the processors with etcd: with all of them its elections are what is measured.
    for (const child of this.subscribers.splice(1)) await child.end();
    await sleep(bench.pick(5000, 1000));
    const steady = await this.steady();
    const first = this.marker.states.length - 1;
    await hosts.prober.ask({ kind: 'try' });
    const stop = this.background.start(CHANGES_PER_SECOND);
    const untilMs = nowMs() + bench.pick(60_000, 10_000);
    const commits: number[] = [];
    const marking = (async (): Promise<void> => {
      for (let i = 1; nowMs() < untilMs; i++) {
        await this.marker.next();
        commits.push(nowMs());
        await sleep(i % 10 === 0 ? STILL_MS : 1000 / MARKERS_PER_SECOND);
      }
    })();
    const backMs: number[] = [];
    // Of its own: another's commits wait for those before them.
    const prober = await openStore(this.url, () => undefined);
    bench.scope.after(() => prober.close());
    while (nowMs() < untilMs) {
      const nextMs = nowMs() + KILL_EVERY_MS;
      const leader = await etcd.leader();
      await leader.stop('SIGKILL');
      backMs.push(await untilCommit(prober));
      await sleep(DEAD_MS);
      await leader.start();
      await sleep(Math.max(0, nextMs - nowMs()));
    }
    await marking;
    await stop();
    const tries = (await hosts.prober.ask({ kind: 'tries' })) as readonly Try[];
    const states = this.marker.states.slice(first);
    const wrong = wrongVerdicts(tries, states, this.acknowledged, JUDGED_MS);
    for (const { port, sentMs, answeredMs } of wrong)
      bench.say(`${BENCHMARK}: port ${port} was ${answeredMs === undefined ? 'closed' : 'open'} at ${sentMs.toFixed(0)}; ${JSON.stringify(around(states, sentMs))}`); // prettier-ignore
    this.note('leaders killed', '', backMs.length);
    this.note('leader killed until a commit', 'ms', backMs.sort((a, b) => a - b).at(-1)!);
    this.note('leaders killed: verdicts', '', tries.length);
    this.note('leaders killed: verdicts of no revision', '', wrong.length);
    await this.noteLost('leaders killed', steady);
    bench.say(`${BENCHMARK}: ${this.background.failed} commits failed, ${commits.length} marks`);
  }

  /** All members away for a while, packets flow. */
  async measureAway(): Promise<void> {
    const { bench, etcd, hosts } = this;
    const beforeSeconds = bench.pick(60, 5);
    const load = async (seconds: number): Promise<number> => {
      const used = hosts.cpuMs();
      await sleep(1000 * seconds);
      return (hosts.cpuMs() - used) / (10 * seconds);
    };
    this.note('etcd away: daemons before, of a processor', '%', await load(beforeSeconds));
    const steady = await this.steady();
    await Promise.all(etcd.members.map((member) => member.stop('SIGKILL')));
    const seconds = bench.pick(600, 10);
    bench.say(`${BENCHMARK}: etcd is away for ${seconds} s`);
    this.note('etcd away: daemons meanwhile, of a processor', '%', await load(seconds));
    await Promise.all(etcd.members.map((member) => member.start()));
    await etcd.waitHealthy();
    const beganMs = nowMs();
    const { port } = await this.marker.next();
    const obeyedMs = (await hosts.prober.ask({ kind: 'await', port })) as number;
    this.note('etcd is back until packets obey a change', 'ms', obeyedMs - beganMs);
    await this.noteLost('etcd away', steady);
  }

  /** Makes as many simulated hosts as there are to be. */
  private async simulate(hosts: number): Promise<void> {
    const more = hosts - this.simulated;
    // The first two are real.
    const args = [this.url, String(2 + this.simulated), String(more)];
    const child = Child.start<SubscribersQuestion>(this.bench, SUBSCRIBERS, args);
    this.subscribers.push(child);
    this.simulated = hosts;
    const { revision } = this.marker.states.at(-1)!;
    const beganMs = nowMs();
    await child.ask({ kind: 'start', revision });
    this.bench.say(`${BENCHMARK}: ${more} hosts more have read their part in ${(nowMs() - beganMs).toFixed(0)} ms`); // prettier-ignore
  }

  /** Changes for a while. @returns how long packets took to obey those that they can tell */
  private async underLoad(ms: number): Promise<number[]> {
    await Promise.all(this.subscribers.map((child) => child.ask({ kind: 'seen' })));
    const stop = this.background.start(CHANGES_PER_SECOND - MARKERS_PER_SECOND);
    const obeyed: number[] = [];
    const untilMs = nowMs() + ms;
    while (nowMs() < untilMs) {
      const nextMs = nowMs() + 1000 / MARKERS_PER_SECOND;
      obeyed.push(await this.markAndAwait());
      await sleep(Math.max(0, nextMs - nowMs()));
    }
    await stop();
    return obeyed;
  }

  /** @returns milliseconds from a change until packets obey */
  private async markAndAwait(): Promise<number> {
    const port = MARKER_PORTS[this.marker.states.length % MARKER_PORTS.length];
    const [{ startedMs }, atMs] = await Promise.all([
      this.marker.next(),
      this.hosts.prober.ask({ kind: 'await', port }) as Promise<number>,
    ]);
    return atMs - startedMs;
  }

  /** How long each simulated host took to have each change. */
  private async takenIn(): Promise<number[]> {
    const { revision } = await this.marker.next();
    const times: number[] = [];
    for (const child of this.subscribers) {
      await child.ask({ kind: 'reach', revision });
      const seen = (await child.ask({ kind: 'seen' })) as Float64Array;
      for (let i = 0; i < seen.length; i += 2) {
        const startedMs = this.background.startedMs.get(seen[i]);
        if (startedMs !== undefined) times.push(seen[i + 1] - startedMs);
      }
    }
    return times;
  }

  private async followAcknowledged(): Promise<void> {
    const key = appliedKey(RealHosts.serverHost);
    const store = await openStore(this.url, () => undefined);
    const ending = new AbortController();
    this.bench.scope.after(async () => {
      ending.abort();
      await store.close();
    });
    const take = (text: string): void => {
      const { revision } = decodeApplied(key, text);
      this.acknowledged.push({ revision, knownMs: nowMs() });
    };
    const { revision, rows } = await store.read(key);
    for (const { value } of rows) take(value);
    void (async () => {
      const prefix = hostPrefix(RealHosts.serverHost);
      for await (const { puts } of store.watch(prefix, revision, ending.signal))
        for (const { key: at, value } of puts) if (at === key) take(value);
    })();
  }

  /** Waits until the real server's host has said that it has a revision in force. */
  private async acknowledges(revision: number): Promise<void> {
    while ((this.acknowledged.at(-1)?.revision ?? 0) < revision) await sleep(10);
  }

  private async steady(): Promise<Steady> {
    return (await this.hosts.prober.ask({ kind: 'steady' })) as Steady;
  }

  private async noteLost(what: string, before: Steady): Promise<void> {
    const after = await this.steady();
    const lost = after.lost.filter((at) => at >= before.sent);
    this.note(`${what}: packets`, '', after.sent - before.sent);
    this.note(`${what}: packets lost`, '', lost.length);
  }

  /** Processor time so far, in milliseconds. */
  private cpu(): { etcd: number; subscribers: number; daemons: number } {
    return {
      etcd: this.etcdCpuMs(),
      subscribers: this.subscribers.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
      daemons: this.hosts.cpuMs(),
    };
  }

  private etcdCpuMs(): number {
    return this.etcd.members.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
  }

  private quantiles(metric: string, subject: string, times: number[]): void {
    const sorted = times.sort((a, b) => a - b);
    for (const [name, part] of [
      ['p50', 0.5],
      ['p99', 0.99],
    ] as const)
      this.note(`${metric}, ${name}`, 'ms', quantile(sorted, part), subject);
  }

  private note(metric: string, unit: string, value: number, subject = US): void {
    this.bench.collector.add(BENCHMARK, metric, subject, unit, value);
    this.bench.say(`${BENCHMARK} ${subject}: ${metric} ${value.toFixed(2)} ${unit}`);
  }
}

/** The states about a time. */
function around(states: readonly MarkerState[], atMs: number): readonly MarkerState[] {
  return states.filter(({ startedMs }) => Math.abs(startedMs - atMs) < 2 * JUDGED_MS);
}

interface Steady {
  readonly sent: number;
  readonly lost: readonly number[];
}

/** Writes rows, by several writers at a time. */
async function fill(stores: readonly Store[], rows: Iterable<Row>): Promise<void> {
  const iterator = rows[Symbol.iterator]();
  const write = async (store: Store): Promise<void> => {
    for (;;) {
      const puts: Row[] = [];
      for (let bytes = 0; puts.length < COMMIT_ROWS && bytes < COMMIT_BYTES;) {
        const { value, done } = iterator.next() as IteratorResult<Row, undefined>;
        if (done === true) break;
        puts.push(value);
        bytes += value.key.length + value.value.length;
      }
      if (puts.length === 0) return;
      await store.commit({ conditions: [], puts, deletes: [] });
    }
  };
  await Promise.all(stores.map(write));
}

/** How long it takes until something can be committed. */
async function untilCommit(store: Store): Promise<number> {
  const beganMs = nowMs();
  for (;;)
    try {
      await store.commit({ conditions: [], puts: [{ key: 'probe', value: '' }], deletes: [] });
      return nowMs() - beganMs;
    } catch {
      // It is tried again until it can be.
    }
}

/** What is in use of a member's file. */
async function dbBytes(etcd: Etcd): Promise<number> {
  const text = await etcd.ctl(['endpoint', 'status', '--write-out', 'json']);
  const all = JSON.parse(text) as readonly { readonly Status: { readonly dbSizeInUse: number } }[];
  return Math.max(...all.map(({ Status }) => Status.dbSizeInUse));
}
