/**
 * The daemon: devices, packet loop and metrics of one configuration, and its change for another.
 *
 * Theory of operation. A configuration is found right as a whole before anything is touched. Starting:
 * devices, packet loop, metrics, in that order; stopping, the reverse. Changing (`reload`): what is new is
 * opened and configured first. Then policy and ports are swapped between two rounds of the loop. Then what is
 * gone is closed. Changes wait for one another. A device that can't be had, at a start, at a change or since it went
 * away, keeps nobody else waiting (LostDevices). Ports: port-table.ts.
 */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { Dataplane } from '../dataplane/dataplane.ts';
import type { Assignment } from '../dataplane/messages.ts';
import { compilePolicy } from '../policy/compile.ts';
import { explain } from '../policy/explain.ts';
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import type { InterfaceId } from '../policy/model.ts';
import { RuleCache } from '../policy/gate-tables.ts';
import { RuleNumbers } from '../policy/rule-numbers.ts';
import { UntrackedPast } from '../policy/untracked-past.ts';
import {
  closeDevices,
  isSameDevice,
  openDevices,
  tryDevices,
  type Device,
  type DeviceSpec,
  type Opening,
} from '../ports/device.ts';
import type { Native, NativeError } from '../ports/native.ts';
import { compareConfigs, isSamePolicy, type Changes } from './changes.ts';
import type { Config } from './config/config.ts';
import { findConnections } from './views/connections.ts';
import { everySecond } from './every-second.ts';
import { absentDevice, deviceLabel, interfaceDevice, logDevice, uplinkDevice } from './devices.ts';
import { networkOf, resolveQuestion, type QuestionText } from './views/explain.ts';
import { storedName, type FdStore } from './service/fd-store.ts';
import { assessImpact, type Impact } from './impact.ts';
import type { LiveExplanation, Overview, WaitingDevice } from './socket/protocol.ts';
import { LostDevices } from './service/lost-devices.ts';
import { loopSettings } from './loop-settings.ts';
import { Observatory } from './views/observatory.ts';
import {
  assignPorts,
  type AddedDevices,
  type AddedInterface,
  type Attached,
} from './port-numbers.ts';
import { PortTable } from './port-table.ts';
import { PrefixListVersions } from './prefix-list-versions.ts';
import { openState, saveState, type FlowState } from './service/saved-state.ts';
import type { SnapshotStore } from './service/snapshot-store.ts';
import { TableWarning } from './views/table-warning.ts';

export interface DaemonOptions {
  readonly config: Config;
  readonly native: Native;
  readonly log: Logger;
  readonly version: string;
  /** How many times faster than real time flows age: 1 but in a lab. */
  readonly timeScale: number;
  /** Keeps devices beyond the process. */
  readonly devices: FdStore;
  /** Keeps flows beyond the process. */
  readonly snapshots: SnapshotStore;
  /** The packet loop has died; the process must end. */
  readonly onFailure: (error: Error) => void;
}

type Held = readonly [port: number, device: Device];

function isSameUplink(a: DeviceSpec | undefined, b: DeviceSpec | undefined): boolean {
  return a === undefined || b === undefined ? a === b : isSameDevice(a, b);
}

/** Held by somebody, or not allowed: no waiting changes that. */
const REFUSALS: readonly string[] = ['EBUSY', 'EPERM', 'EACCES'];

/**
 * If every device is refused, that is another daemon with this configuration, or a right that the service lacks.
 * @throws Error of the first
 */
function refuseStart(openings: readonly Opening[]): void {
  const refused = openings.flatMap((one) =>
    'error' in one && REFUSALS.includes((one.error as NativeError).code) ? [one.error] : [],
  );
  if (openings.length > 0 && refused.length === openings.length) throw refused[0];
}

export class Daemon {
  private readonly native: Native;
  private readonly store: FdStore;
  private readonly snapshots: SnapshotStore;
  private readonly log: Logger;
  private readonly ruleNumbers = new RuleNumbers();
  private readonly ruleCache = new RuleCache();
  private readonly table: PortTable;
  private readonly lost: LostDevices;
  private current: Config;
  private currentGeneration = 1;
  private readonly prefixListVersions = new PrefixListVersions();
  private readonly untrackedPast = new UntrackedPast();
  private dataplane!: Dataplane;
  /** Where what the packet loop does is looked at. */
  observatory!: Observatory;
  private server: Server | undefined;
  private stopLooking: (() => void) | undefined;
  /** The packet loop has had the flow tables. */
  private hasStarted = false;
  private lastChange: Promise<unknown> = Promise.resolve();

  private constructor({ config, native, log, devices, snapshots }: DaemonOptions) {
    this.store = devices;
    this.snapshots = snapshots;
    this.current = config;
    this.native = native;
    this.log = log;
    const reopen = (port: number): Promise<void> => this.inTurn(() => this.reopen(port));
    const giveUp = (device: Device): Promise<void> =>
      this.inTurn(() =>
        this.cutOff(
          this.table.specs(this.current).findIndex(({ fds }) => fds[0] === device.fds[0]),
        ),
      );
    this.lost = new LostDevices({ log, store: devices, reopen, giveUp });
    const isLost = (port: number): boolean => this.lost.has(port);
    this.table = new PortTable({ native, log, isLost });
  }

  /**
   * Starts everything; resolves when packets flow.
   * @throws NativeError or Error of the first step that fails; what was opened by then is closed
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

  /** Goes up by one with every change. */
  get generation(): number {
    return this.currentGeneration;
  }

  /** How to see and make the packet loop go round, for a watchdog. */
  get loop(): Pick<Dataplane, 'pulse' | 'nudge'> {
    return this.dataplane;
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
      prefixLists: [...model.prefixLists.values()].map(({ name, id, entries, maxEntries }) => ({
        name,
        id,
        entries: entries.length,
        maxEntries,
        version: this.prefixListVersions.of(id),
      })),
    };
  }

  /** The interfaces, and the uplink, whose device can't be had yet. */
  waiting(): WaitingDevice[] {
    return this.table.names().flatMap(([port, name]) => {
      const reason = this.lost.reasonOf(port);
      const device = this.table.deviceAt(port);
      return reason === undefined || device === undefined
        ? []
        : [{ name, device: deviceLabel(device.spec), reason }];
    });
  }

  /** Explains by what is in force, with the connections there are. */
  explain(text: QuestionText): LiveExplanation {
    const question = resolveQuestion(this.current, text);
    if (!question.ok)
      return { outcome: 'misunderstood', message: question.message, hint: question.hint };
    const { service } = question.value;
    const explanation = explain(networkOf(this.current), question.value);
    const port =
      service.kind === 'ports' ? service.port : service.kind === 'icmp' ? service.type : undefined;
    const connections = explanation.answers.flatMap(({ from, to }) =>
      findConnections(this.dataplane.flows, this.portLabels(), {
        from: from.address,
        to: to.address,
        protocol: service.protocol,
        port,
      }),
    );
    return { outcome: 'explained', explanation, service, connections };
  }

  /** What changing to `next` would change, and what it would do to the connections there are. Changes nothing. */
  plan(next: Config): { readonly changes: Changes; readonly impact: Impact } {
    const { ports } = assignPorts(next, this.table.attached, this.table.resting);
    const policy = this.compile(next, ports, this.currentGeneration + 1);
    return {
      changes: compareConfigs(this.current, next),
      impact: assessImpact(this.dataplane.flows, policy, this.portLabels()),
    };
  }

  /**
   * Changes to `next`, which has been found right; one change at a time.
   * @throws Error if descriptors or memory are short; nothing has changed then
   */
  async reload(next: Config): Promise<Changes> {
    return this.inTurn(() => this.change(next));
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
    if (this.hasStarted) await this.observatory.stop();
    if (this.hasStarted) saveState(this.snapshots, this.flowState());
    const devices = this.table.devices();
    // Where they outlive the process, the next one goes on with them as they are.
    if (!this.store.isKept) for (const device of devices) this.table.restore(device);
    closeDevices(this.native, devices);
  }

  private async open({ config, log, version, timeScale, onFailure }: DaemonOptions): Promise<void> {
    const uplink = uplinkDevice(config);
    const specs = config.interfaces.map((entry) => interfaceDevice(config, entry));
    const openings = await this.store.openDevices(
      uplink === undefined ? specs : [...specs, uplink],
    );
    refuseStart(openings);
    config.interfaces.forEach(({ id, name }, i) =>
      this.table.attached.set(i + 1, { id, name, device: this.had(i + 1, openings[i]) }),
    );
    if (uplink !== undefined) this.table.uplink = this.had(UPLINK_PORT, openings[specs.length]);
    const devices = this.table.devices();
    for (const device of devices) logDevice(log, device);
    const ports = this.table.numbers();
    const saved = openState(this.snapshots, this.ruleNumbers, this.untrackedPast);
    this.dataplane = await Dataplane.start(this.native, {
      ports: this.table.specs(this.current),
      hasUplink: uplink !== undefined,
      policy: this.compile(config, ports, this.currentGeneration),
      timeScale,
      ...loopSettings(config),
      onFailure,
      onLost: (port) => void this.inTurn(() => this.cutOff(port)),
      prepare: (dataplane) => {
        this.dataplane = dataplane;
        this.setLimits(config, ports);
        saved?.restore(this.flowState(), config.conntrack, timeScale);
      },
    });
    this.hasStarted = true;
    this.observatory = new Observatory({
      dataplane: this.dataplane,
      ruleNumbers: this.ruleNumbers,
      config: () => this.current,
      generation: () => this.currentGeneration,
      portNames: () => this.table.names(),
      waiting: () => this.waiting(),
      log,
    });
    saved?.tell(log, this.dataplane.adopted);
    this.store.keep(devices);
    const warning = new TableWarning(log);
    this.lost.look(this.table.devices());
    this.stopLooking = everySecond(() => {
      warning.look(this.dataplane.flowCount, this.current.conntrack.maxFlows);
      this.lost.look(this.table.devices());
    });
    if (config.metrics === undefined) return;
    // Now that packets flow: they take their time to load.
    const { createRegistry } = await import('./metrics/metrics.ts');
    const { listenForScrapes, scrapeUrl } = await import('./metrics/metrics-server.ts');
    const registry = createRegistry(this.observatory.metrics(version));
    this.server = await listenForScrapes(registry, config.metrics, { log });
    log.info({ url: scrapeUrl(this.server) }, 'metrics');
  }

  private async change(next: Config): Promise<Changes> {
    const changes = compareConfigs(this.current, next);
    const { ports, added } = assignPorts(next, this.table.attached, this.table.resting);
    const isSame = isSamePolicy(this.current, next, changes);
    const policy = this.compile(next, ports, this.currentGeneration + (isSame ? 0 : 1));
    const removed = [...this.table.attached].filter(([port, { id }]) => ports.get(id) !== port);
    const { openings, uplink, opened } = this.openAdded(
      next,
      added,
      removed.flatMap(([port, entry]) => (this.lost.has(port) ? [] : [entry])),
    );
    const givenUp = removed.map(([port, { device }]): Held => [port, device]);
    if (uplink !== undefined && this.table.uplink !== undefined)
      givenUp.push([UPLINK_PORT, this.table.uplink]);
    const closed = givenUp.flatMap(([port, device]) =>
      this.lost.has(port) || openings.some((one) => 'device' in one && one.device === device)
        ? []
        : [device],
    );
    for (const [port] of givenUp) this.lost.forget(port);
    for (const [port] of removed) {
      this.table.attached.delete(port);
      this.table.resting.add(port);
    }
    added.forEach(([port, { id, name }], i) => {
      this.dataplane.clearCounters(port);
      this.table.attached.set(port, { id, name, device: this.had(port, openings[i]) });
    });
    if (uplink === 'none') this.table.uplink = undefined;
    else if (uplink !== undefined) this.table.uplink = this.had(UPLINK_PORT, uplink);
    this.setLimits(next, ports);
    if (isSame && opened.length === 0) {
      this.current = next;
      this.observatory.noteConfig();
      this.table.configure(next, ports);
      return changes;
    }
    const { rechecked } = await this.dataplane.assign(this.assignment(policy, next));
    this.currentGeneration = policy.generation;
    this.current = next;
    this.observatory.notePolicy();
    this.store.keep(opened);
    this.prefixListVersions.note(changes, next.model);
    this.store.drop(closed);
    for (const device of closed) this.table.restore(device);
    closeDevices(this.native, closed);
    this.table.configure(next, ports);
    this.lost.retrySoon();
    void rechecked.then((revoked) => {
      for (const [port] of removed) this.table.resting.delete(port);
      const { generation } = policy;
      this.log.info({ generation, revoked }, 'connections held against the change');
    });
    this.log.info({ generation: policy.generation, ...changes }, 'configuration changed');
    return changes;
  }

  /** Gives up a device that is gone. */
  private async cutOff(port: number): Promise<void> {
    const device = this.table.deviceAt(port);
    if (device === undefined || this.lost.has(port)) return;
    this.lost.note(port, device);
    await this.assignAgain();
    closeDevices(this.native, [device]);
  }

  /** Opens a device that was given up. */
  private async reopen(port: number): Promise<void> {
    const before = this.table.deviceAt(port);
    if (before === undefined || !this.lost.has(port)) return;
    const [device] = openDevices(this.native, [before.spec]);
    this.table.replace(port, device);
    this.lost.forget(port);
    this.store.keep([device]);
    await this.assignAgain();
  }

  /** Hands the loop the ports as they are now; the policy stays what it is. */
  private async assignAgain(): Promise<void> {
    const ports = this.table.numbers();
    const policy = this.compile(this.current, ports, this.currentGeneration + 1);
    await this.dataplane.assign(this.assignment(policy, this.current));
    this.currentGeneration = policy.generation;
    this.observatory.notePolicy();
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
    return compilePolicy({
      model,
      ports,
      ruleNumbers: this.ruleNumbers,
      ruleCache: this.ruleCache,
      special,
      generation,
      past: this.untrackedPast.note(this.current.model),
    });
  }

  /** The device that an opening gave, or what stands for it until it can be had. */
  private had(port: number, opening: Opening): Device {
    if ('device' in opening) return opening.device;
    this.lost.await(port, opening.spec, opening.error);
    return absentDevice(opening.spec);
  }

  /**
   * The devices of interfaces that are new, in their order, and the uplink's if it is another. One that an interface
   * gives up is taken over as it is (an interface that was renamed keeps its eth0); the others are opened.
   */
  private openAdded(
    next: Config,
    added: readonly AddedInterface[],
    removed: readonly Attached[],
  ): AddedDevices {
    const specs = added.map(([, entry]) => interfaceDevice(next, entry));
    const takenOver = specs.map(
      (spec) => removed.find(({ device }) => isSameDevice(device.spec, spec))?.device,
    );
    const uplink = uplinkDevice(next);
    const isOther = !isSameUplink(this.table.uplink?.spec, uplink);
    const wanted = specs.filter((_, i) => takenOver[i] === undefined);
    const rest = tryDevices(
      this.native,
      isOther && uplink !== undefined ? [...wanted, uplink] : wanted,
    );
    const opened = rest.flatMap((one) => ('device' in one ? [one.device] : []));
    for (const device of opened) logDevice(this.log, device);
    const openings = takenOver.map((device, i): Opening =>
      device === undefined ? rest.shift()! : { spec: specs[i], device },
    );
    return { openings, opened, uplink: isOther ? (rest.shift() ?? 'none') : undefined };
  }

  private setLimits(config: Config, ports: ReadonlyMap<InterfaceId, number>): void {
    for (const { id, maxFlows } of config.interfaces) {
      const port = ports.get(id)!;
      this.dataplane.setMaxFlows(port, maxFlows ?? 0);
      const { connectionTracking: idle } = config.model.interfaces.get(id)!;
      this.dataplane.setTimeouts(port, {
        tcpEstablishedSec: idle.tcpEstablishedTimeoutSec,
        udpSec: idle.udpTimeoutSec,
        udpStreamSec: idle.udpStreamTimeoutSec,
      });
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
      nowMs: this.dataplane.nowMs,
    };
  }

  private portLabels(): ReadonlyMap<number, string> {
    return new Map(this.table.names());
  }
}
