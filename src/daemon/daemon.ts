/**
 * The Daemon runs devices, packet loops and metrics for one configuration, and changes them to another.
 *
 * Theory of operation. A configuration is checked as a whole before anything is touched. A start opens devices, then
 * starts the packet loops, then metrics. A stop does the reverse. A change (`reload`) first opens and configures new
 * devices. Then it swaps policy and ports between two rounds of the loop. Then it closes removed devices. Changes run
 * one after the other. A device that can't be opened, or was lost, delays no other (LostDevices). port-table.ts
 * describes ports.
 */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { Dataplane } from '../dataplane/dataplane.ts';
import type { Assignment } from '../dataplane/messages.ts';
import { PolicyCompiler } from '../policy/compile.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import type { Fenced, InterfaceId, Rule } from '../policy/model.ts';
import type { ReleasedAddresses } from '../policy/released-addresses.ts';
import { RuleNumbers } from '../policy/rule-numbers.ts';
import { UntrackedPast } from '../policy/untracked-past.ts';
import { closeDevices, type Device } from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import { logGuest } from './port-specs.ts';
import { findWrong, INTERFACES_TRIED, makeCanaries, packCanaries, type Canary } from './canary.ts';
import {
  chooseFastPath,
  describeFastPath,
  NO_FAST_PATH,
  type FastPathChoice,
} from './choose-fast-path.ts';
import { compareConfigs, isSamePolicy } from './changes.ts';
import { hasChanges, type Changes, type Impact } from '../queries/reload-result.ts';
import type { Config } from '../config/config.ts';
import { idleTimeouts } from '../config/gate-settings.ts';
import { everySecond } from '../telemetry/every-second.ts';
import type { QuestionText } from '../explain/question.ts';
import { storedName, type FdStore } from '../service/fd-store.ts';
import { assessImpact, ruleTexts, type Made, type PlannedWith } from './impact.ts';
import { explainLive, type LiveExplanation } from '../queries/explain-live.ts';
import type { Overview } from '../queries/status-view.ts';
import type { PortFacts, WaitingDevice } from '../queries/interfaces-view.ts';
import { GuardedLinks } from './guarded-links.ts';
import type { Handing } from './handing.ts';
import { LostDevices } from './lost-devices.ts';
import { LinkWatches } from './link-watches.ts';
import { loopSettings } from './loop-settings.ts';
import { FlowLogsInForce } from '../flow-logs/flow-logs-in-force.ts';
import type { MetricsOptions } from '../metrics/metrics-parts.ts';
import { RECLAIM_FROM, reclaimNumbers } from './reclaim-numbers.ts';
import { endReleased, lostSince, ownersOf, releasedWhileDown } from './released-flows.ts';
import type { Releases } from './releases.ts';
import { Observatory } from '../telemetry/observatory.ts';
import { PortTable, type PortDevices, type PortPlan } from './port-table.ts';
import { PrefixListVersions } from './prefix-list-versions.ts';
import { serveMetrics } from './serve-metrics.ts';
import { openState, saveState, type FlowState } from '../service/saved-state.ts';
import type { SnapshotStore } from '../service/snapshot-store.ts';
import { TableWarning } from '../telemetry/table-warning.ts';

export interface DaemonOptions {
  readonly config: Config;
  readonly native: Native;
  readonly log: Logger;
  readonly version: string;
  /** How many times faster than real time flows age. It is 1 except in a lab. */
  readonly timeScale: number;
  /** Keeps devices beyond the process. */
  readonly devices: FdStore;
  /** Keeps flows beyond the process. */
  readonly snapshots: SnapshotStore;
  /** What is in force of the store, for metrics; undefined: there is no store. */
  readonly store: MetricsOptions['store'];
  /** Which addresses the store tells to have been released; absent: there is no store. */
  readonly releases?: Releases | undefined;
  /** What the store gave is closed until `setFence` opens it. */
  readonly isFenced: boolean;
  /** The packet loop has died; the process must end. */
  readonly onFailure: (error: Error) => void;
}

export class Daemon {
  private readonly native: Native;
  private readonly snapshots: SnapshotStore;
  private readonly log: Logger;
  private readonly releases: Releases | undefined;
  private readonly ruleNumbers = new RuleNumbers();
  private readonly compiler = new PolicyCompiler();
  private readonly table: PortTable;
  private readonly lost: LostDevices;
  private current: Config;
  private currentGeneration = 1;
  private readonly prefixListVersions = new PrefixListVersions();
  private readonly untrackedPast = new UntrackedPast();
  private dataplane!: Dataplane;
  /** Read-only view of the packet loop's events and counters. */
  observatory!: Observatory;
  flowLogs!: FlowLogsInForce;
  private server: Server | undefined;
  private stopLooking: (() => void) | undefined;
  private isReclaiming = false;
  /** The packet loop has received the flow tables. */
  private hasStarted = false;
  /** Whether the kernel forwards packets of flows that are decided, or why not. */
  fastPath: FastPathChoice = NO_FAST_PATH;
  private lastChange: Promise<unknown> = Promise.resolve();

  private constructor({ config, native, log, devices, snapshots, releases }: DaemonOptions) {
    this.snapshots = snapshots;
    this.releases = releases;
    this.current = config;
    this.native = native;
    this.log = log;
    const reopen = (port: number): Promise<void> => this.inTurn(() => this.reopen(port));
    const giveUp = (device: Device, why?: string): Promise<void> =>
      this.inTurn(() =>
        this.cutOff(
          this.table.specs(this.current).findIndex(({ fds }) => fds[0] === device.fds[0]),
          why,
        ),
      );
    const guards = new GuardedLinks(native, log);
    const watches = new LinkWatches({
      ...{ native, log },
      onNews: (netns, news) => this.lost.hear(netns, news),
    });
    const places = { native, log, guards, store: devices };
    this.lost = new LostDevices({
      ...{ ...places, watches, reopen, giveUp },
      devices: () => this.table.devices(),
    });
    this.table = new PortTable({
      ...{ ...places, lost: this.lost },
      fastPath: () => this.fastPath,
    });
  }

  /**
   * Starts everything. Resolves when packets flow.
   * @throws NativeError or Error of the first step that fails; everything is closed again then
   */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    try {
      await daemon.open(options);
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  get config(): Config {
    return this.current;
  }

  /** Goes up by one with every change that affects verdicts. */
  get generation(): number {
    return this.currentGeneration;
  }

  /** Lets the watchdog check that the loop is running and wake it. */
  get loop(): Pick<Dataplane, 'pulse' | 'nudge'> {
    return this.dataplane;
  }

  /** Up to when packets of what the store gave flow. @param bootMs by CLOCK_BOOTTIME; Infinity: for ever */
  setFence(bootMs: number): void {
    this.dataplane.setFence(bootMs);
  }

  /** What is in force, in a few words. */
  status(): Omit<Overview, 'version' | 'pid'> {
    const { file, interfaces, model } = this.current;
    return {
      config: file,
      generation: this.currentGeneration,
      interfaces: interfaces.map(({ name }) => name),
      waiting: this.waiting(),
      groups: model.groups.size,
      flows: this.dataplane.flowCount,
      offload: describeFastPath(this.fastPath, this.current, this.dataplane),
      prefixLists: [...model.prefixLists.values()].map(({ name, id, entries, maxEntries }) => ({
        name,
        id,
        entries: entries.length,
        maxEntries,
        version: this.prefixListVersions.of(id),
      })),
    };
  }

  /** Interfaces, and the uplink, whose device can't be opened yet. */
  waiting(): WaitingDevice[] {
    return this.table.waiting();
  }

  /** What can be told of the ports' devices. */
  get devices(): PortFacts {
    return this.table;
  }

  /** Explains by the configuration in force, with the tracked connections. */
  explain(text: QuestionText, fenced?: Fenced): Promise<LiveExplanation> {
    const { current } = this;
    const config = fenced === undefined ? current : { ...current, model: { ...current.model, fenced } }; // prettier-ignore
    return explainLive(config, text, this.observatory);
  }

  /** Says what a change to `next` would change, and its effect on tracked connections. It changes nothing. */
  async plan(next: Config): Promise<{ readonly changes: Changes; readonly impact: Impact }> {
    const { ports } = this.table.plan(next);
    const policy = this.compileInVain(next, ports);
    const changes = compareConfigs(this.current, next);
    const textOf = ruleTexts(this.observatory);
    const impact = await assessImpact(this.dataplane.flows, policy, this.portLabels(), textOf);
    return { changes, impact };
  }

  /** Plans what is made of the configuration in force. Changes don't wait while the connections are looked at. */
  async planWith<M extends Made>(make: (config: Config) => M): Promise<PlannedWith<M>> {
    const begun = await this.inTurn(() => {
      const [before, made] = [this.current, make(this.current)];
      const planned = made.config && this.plan(made.config);
      return Promise.resolve({ before, generation: this.currentGeneration, made, planned });
    });
    return { ...begun, impact: (await begun.planned)?.impact };
  }

  /**
   * Changes to `next`, which has been checked. Changes run one after the other.
   * @param handing flows that go or come with interfaces
   * @throws Error if descriptors or memory are short, or a new interface is judged wrongly; nothing has changed then
   */
  async reload(next: Config, handing?: Handing): Promise<Changes> {
    return this.inTurn(() => this.changeOrBack(next, handing));
  }

  /** Ends the tracked flows with addresses that are not their owners' any more. Resolves when none is left. */
  async endReleased(released: ReleasedAddresses): Promise<void> {
    const ports = this.table.numbers();
    await endReleased(released, this.current.model, ports, this.dataplane, this.log);
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.lastChange.then(work);
    this.lastChange = done.catch(() => undefined);
    return done;
  }

  /** Stops the loop, saves its flows, closes the devices and the metrics port. */
  async stop(): Promise<void> {
    this.stopLooking?.();
    this.lost.stop();
    this.server?.close();
    this.server?.closeAllConnections();
    if (this.dataplane !== undefined) await this.dataplane.stop();
    if (this.hasStarted) {
      await this.flowLogs.stop();
      this.observatory.stop();
    }
    if (this.hasStarted) saveState(this.snapshots, this.flowState());
    this.fastPath.path?.close();
    this.table.stop();
  }

  private async open(options: DaemonOptions): Promise<void> {
    const { config, log, version, timeScale, onFailure, store, releases, isFenced } = options;
    this.fastPath = chooseFastPath(config, timeScale, this.native, log);
    await this.table.start(config);
    const ports = this.table.numbers();
    const saved = openState(this.snapshots, this.ruleNumbers, this.untrackedPast);
    this.dataplane = await Dataplane.start(this.native, {
      ...this.assignment(this.compile(config, ports, this.currentGeneration), config),
      settings: loopSettings(config, timeScale),
      offload: this.fastPath.path,
      onFailure,
      onLost: (port) => void this.inTurn(() => this.cutOff(port)),
      onGuest: (device, why) => logGuest(log, device, why),
      prepare: (dataplane) => {
        this.dataplane = dataplane;
        this.setFence(isFenced ? 0 : Infinity);
        this.setLimits(config, ports);
        const isReleased = saved && releasedWhileDown(saved.content, releases, config, ports);
        saved?.restore(this.flowState(), config.conntrack, timeScale, isReleased);
      },
    });
    this.hasStarted = true;
    this.observatory = new Observatory({
      dataplane: this.dataplane,
      ruleNumbers: this.ruleNumbers,
      config: () => this.current,
      generation: () => this.currentGeneration,
      portNames: () => this.table.names(),
    });
    this.flowLogs = new FlowLogsInForce(this.observatory, log);
    this.flowLogs.apply(config.flowLogs);
    saved?.tell(log, this.dataplane.adopted);
    this.table.keep();
    const warning = new TableWarning(log);
    this.lost.look();
    this.stopLooking = everySecond(() => {
      warning.look(this.dataplane.flowCount, this.current.conntrack.maxFlows);
      this.lost.look();
    });
    if (config.metrics === undefined) return;
    const parts = {
      ports: () => this.table.names(),
      waiting: () => this.waiting().map(({ name }) => name),
      flowLogs: () => this.flowLogs.counts,
      store,
      version,
    };
    this.server = await serveMetrics(this.observatory, parts, config.metrics, log);
  }

  /** Changes to `next`. If the loops then judge wrongly for a new interface, changes back. */
  private async changeOrBack(next: Config, handing?: Handing): Promise<Changes> {
    const before = this.current;
    const changes = await this.change(next, handing);
    const known = new Set(before.interfaces.map(({ id }) => id));
    const added = next.interfaces.filter(({ id }) => !known.has(id));
    const wrong = await this.tryCanaries(added.slice(0, INTERFACES_TRIED));
    if (wrong === undefined) return changes;
    const { name, text } = wrong;
    this.log.error({ interface: name, text }, 'the rules do not hold for a new interface');
    await this.change(before);
    throw new Error(`the rules do not hold for ${name}: ${text} is judged wrongly`);
  }

  /** Asks the loops for new interfaces. @returns the first that they judge wrongly; undefined: all is right */
  private async tryCanaries(added: Config['interfaces']): Promise<Canary | undefined> {
    if (added.length === 0) return undefined;
    const ports = this.table.numbers();
    const numberOf = (rule: Rule): number => this.ruleNumbers.numberOf(rule);
    const canaries = added.flatMap(({ id }) =>
      makeCanaries(this.current.model, id, ports.get(id)!, numberOf),
    );
    const answers = await this.dataplane.judge(packCanaries(canaries));
    return answers.flatMap((one) => findWrong(canaries, one) ?? [])[0];
  }

  /**
   * Changes to `next`, one step after the other. Nothing has changed if one of the first three throws: the ports that
   * interfaces get, the policy, the new devices. From there on nothing throws.
   */
  private async change(next: Config, handing?: Handing): Promise<Changes> {
    const changes = compareConfigs(this.current, next);
    const isSame = isSamePolicy(this.current, next, changes);
    const lost = lostSince(ownersOf(this.current), next);
    const plan = this.table.plan(next);
    const policy = this.compile(next, plan.ports, this.currentGeneration + (isSame ? 0 : 1));
    const devices = this.table.open(next, plan);
    this.takePorts(next, plan, devices);
    const isInForce = isSame && devices.opened.length === 0;
    if (isInForce) this.accept(next);
    else await this.enforce(next, policy, plan, devices, handing);
    await this.endReleased(lost);
    // The loops were given the ports as the devices were; now these are as `next` has them.
    if (this.table.configure(next, plan)) await this.assignAgain();
    if (!isInForce) this.lost.retrySoon();
    if (!isInForce || hasChanges(changes))
      this.log.info({ generation: this.currentGeneration, ...changes }, 'configuration changed');
    return changes;
  }

  /** Gives interfaces their ports, before any packet of theirs can come. */
  private takePorts(next: Config, plan: PortPlan, devices: PortDevices): void {
    for (const [port] of plan.added) this.dataplane.clearCounters(port);
    this.table.take(plan, devices);
    if (!plan.isSame) this.setLimits(next, plan.ports);
  }

  /** Has the packet loops judge by `policy` and use the ports that were taken. Resolves when they do. */
  private async enforce(
    next: Config,
    policy: CompiledPolicy,
    plan: PortPlan,
    devices: PortDevices,
    handing: Handing | undefined,
  ): Promise<void> {
    const { generation } = policy;
    const { rechecked, handed } = await this.dataplane.assign(
      this.assignment(policy, next),
      handing?.begin(this.current.model, next, plan, this.dataplane.timeScale),
    );
    handing?.end(handed);
    this.currentGeneration = generation;
    this.prefixListVersions.note(this.current.model, next.model);
    this.accept(next);
    this.observatory.notePolicy();
    this.table.release(devices);
    void rechecked.then((revoked) => {
      this.table.rested(plan);
      this.log.info({ generation, revoked }, 'connections held against the change');
      if (!this.isReclaiming && this.ruleNumbers.goneCount >= RECLAIM_FROM) void this.reclaim();
    });
  }

  /** Lets the numbers of rules that are gone be given to others. */
  private async reclaim(): Promise<void> {
    this.isReclaiming = true;
    const free = await reclaimNumbers(this.ruleNumbers, this.dataplane.flows, () =>
      this.inTurn(() => {
        // A change that failed may have left the numbers as it wanted them.
        this.ruleNumbers.takeModel(this.current.model);
        this.ruleNumbers.beginReclaim();
        return Promise.resolve();
      }),
    );
    this.dataplane.clearHits(free);
    this.isReclaiming = false;
    this.log.info({ free: free.length }, 'numbers of rules reclaimed');
  }

  /** Goes by `next` from now on. */
  private accept(next: Config): void {
    this.current = next;
    this.flowLogs.apply(next.flowLogs);
  }

  /** Closes a device that was lost. */
  private async cutOff(port: number, why?: string): Promise<void> {
    const device = this.table.lose(port, why);
    if (device === undefined) return;
    await this.assignAgain();
    closeDevices(this.native, [device]);
  }

  /** Opens a lost device again. */
  private async reopen(port: number): Promise<void> {
    if (this.table.reopen(port)) await this.assignAgain();
  }

  /** Gives the loop the ports as they are now. The policy and its generation stay the same. */
  private async assignAgain(): Promise<void> {
    const policy = this.compile(this.current, this.table.numbers(), this.currentGeneration);
    await this.dataplane.assign(this.assignment(policy, this.current));
  }

  private assignment(policy: CompiledPolicy, config: Config): Assignment {
    return { ports: this.table.specs(config), policy, hasUplink: this.table.uplink !== undefined };
  }

  private compile(
    config: Config,
    ports: ReadonlyMap<InterfaceId, number>,
    generation: number,
  ): CompiledPolicy {
    const { model, special } = config;
    return this.compiler.compile({
      model,
      ports,
      ruleNumbers: this.ruleNumbers,
      special,
      generation,
      past: this.untrackedPast.note(this.current.model),
    });
  }

  /** Compiles a policy that does not come into force. Afterwards all is as if that had not been done. */
  private compileInVain(next: Config, ports: ReadonlyMap<InterfaceId, number>): CompiledPolicy {
    const generation = this.currentGeneration;
    return this.ruleNumbers.tryOut(
      () => this.compile(next, ports, generation + 1),
      () => this.compile(this.current, this.table.numbers(), generation),
    );
  }

  private setLimits(config: Config, ports: ReadonlyMap<InterfaceId, number>): void {
    for (const { id, maxFlows } of config.interfaces) {
      const port = ports.get(id)!;
      this.dataplane.setMaxFlows(port, maxFlows ?? 0);
      const { connectionTracking: idle } = config.model.interfaces.get(id)!;
      this.dataplane.setTimeouts(port, idleTimeouts(idle));
    }
  }

  private flowState(): FlowState {
    return {
      flows: this.dataplane.flows,
      tableOf: (key) => this.dataplane.tableOf(key),
      interfaces: [...this.table.attached].map(([port, { id, device }]) => ({
        port,
        id,
        device: storedName(device.spec),
      })),
      macs: this.dataplane.macs,
      ruleNumbers: this.ruleNumbers,
      generation: this.currentGeneration,
      untracked: this.untrackedPast.note(this.current.model).save(),
      releases: this.releases?.saved,
      owners: ownersOf(this.current),
      names: this.dataplane,
      nowMs: this.dataplane.nowMs,
    };
  }

  private portLabels(): ReadonlyMap<number, string> {
    return new Map(this.table.names());
  }
}
