/**
 * The daemon: devices, packet loop and metrics of one configuration, and its change for another.
 *
 * Theory of operation. A configuration is found right as a whole before anything is touched. Starting:
 * devices, packet loop, metrics, in that order; stopping, the reverse. Changing (`reload`): what is new is
 * opened and configured first; if that fails it is undone and nothing has changed. Then policy and ports
 * are swapped between two rounds of the loop. Then what is gone is closed. Changes wait for one another.
 *
 * Ports: 0 is the uplink. An interface keeps its port as long as it keeps its device; a port that was
 * given up is not given to another until every flow has been held against the policy without it, so
 * that no flow of one interface can become another's.
 */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { Dataplane } from '../dataplane/dataplane.ts';
import type { PortSpec } from '../dataplane/messages.ts';
import { compilePolicy } from '../policy/compile.ts';
import { explain } from '../policy/explain.ts';
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import type { InterfaceId } from '../policy/model.ts';
import { RuleCache } from '../policy/gate-tables.ts';
import { RuleNumbers } from '../policy/rule-numbers.ts';
import { UntrackedPast } from '../policy/untracked-past.ts';
import {
  closeDevices,
  extendDevice,
  isSameDevice,
  openDevices,
  trimDevice,
  type Device,
  type DeviceSpec,
} from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import { compareConfigs, isSamePolicy, type Changes } from './changes.ts';
import type { Config } from './config/config.ts';
import { findConnections } from './views/connections.ts';
import { everySecond } from './every-second.ts';
import {
  deviceLabel,
  interfaceDevice,
  logDevice,
  NO_DEVICE,
  portOf,
  uplinkDevice,
} from './devices.ts';
import { networkOf, resolveQuestion, type QuestionText } from './views/explain.ts';
import { storedName, type FdStore } from './service/fd-store.ts';
import { assessImpact, type Impact } from './impact.ts';
import type { LiveExplanation, Overview } from './socket/protocol.ts';
import { LostDevices } from './service/lost-devices.ts';
import { loopSettings } from './loop-settings.ts';
import { Observatory } from './views/observatory.ts';
import {
  assignPorts,
  type AddedDevices,
  type AddedInterface,
  type Attached,
} from './port-numbers.ts';
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

export class Daemon {
  private readonly native: Native;
  private readonly store: FdStore;
  private readonly snapshots: SnapshotStore;
  private readonly log: Logger;
  private readonly ruleNumbers = new RuleNumbers();
  private readonly ruleCache = new RuleCache();
  private readonly attached = new Map<number, Attached>();
  private readonly lost: LostDevices;
  /** Ports that were given up, until no flow of theirs is left. */
  private readonly resting = new Set<number>();
  private current: Config;
  private currentGeneration = 1;
  private readonly prefixListVersions = new PrefixListVersions();
  private readonly untrackedPast = new UntrackedPast();
  private uplink: Device | undefined;
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
        this.cutOff(this.portSpecs().findIndex(({ fds }) => fds[0] === device.fds[0])),
      );
    this.lost = new LostDevices({ log, store: devices, reopen, giveUp });
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
    const { ports } = assignPorts(next, this.attached, this.resting);
    const policy = this.compile(next, ports, this.currentGeneration + 1);
    return {
      changes: compareConfigs(this.current, next),
      impact: assessImpact(this.dataplane.flows, policy, this.portLabels()),
    };
  }

  /**
   * Changes to `next`, which has been found right; one change at a time.
   * @throws NativeError if a new device can't be had or configured; nothing has changed then
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
    closeDevices(this.native, this.devices());
  }

  private async open({ config, log, version, timeScale, onFailure }: DaemonOptions): Promise<void> {
    const uplink = uplinkDevice(config);
    const specs = config.interfaces.map((entry) => interfaceDevice(config, entry));
    const devices = await this.store.openDevices(uplink === undefined ? specs : [...specs, uplink]);
    this.uplink = devices[specs.length];
    config.interfaces.forEach(({ id, name }, i) =>
      this.attached.set(i + 1, { id, name, device: devices[i] }),
    );
    for (const device of devices) logDevice(log, device);
    const ports = new Map([...this.attached].map(([port, { id }]) => [id, port]));
    const saved = openState(this.snapshots, this.ruleNumbers, this.untrackedPast);
    this.dataplane = await Dataplane.start(this.native, {
      ports: this.portSpecs(),
      hasUplink: this.uplink !== undefined,
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
      portNames: () => this.portNames(),
      log,
    });
    saved?.tell(log, this.dataplane.adopted);
    this.store.keep(devices);
    const warning = new TableWarning(log);
    this.lost.look(this.devices());
    this.stopLooking = everySecond(() => {
      warning.look(this.dataplane.flowCount, this.current.conntrack.maxFlows);
      this.lost.look(this.devices());
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
    const { ports, added } = assignPorts(next, this.attached, this.resting);
    const isSame = isSamePolicy(this.current, next, changes);
    const policy = this.compile(next, ports, this.currentGeneration + (isSame ? 0 : 1));
    const removed = [...this.attached].filter(([port, { id }]) => ports.get(id) !== port);
    const { devices, opened } = this.openAdded(
      next,
      added,
      removed.flatMap(([port, entry]) => (this.lost.has(port) ? [] : [entry])),
    );
    try {
      this.extendKept(next, ports);
      added.forEach(([, entry], i) =>
        extendDevice(this.native, devices[i], interfaceDevice(next, entry)),
      );
    } catch (error) {
      closeDevices(this.native, opened);
      throw error;
    }
    for (const [port] of removed) {
      this.attached.delete(port);
      this.resting.add(port);
    }
    added.forEach(([port, entry], i) => {
      this.dataplane.clearCounters(port);
      this.attached.set(port, { id: entry.id, name: entry.name, device: devices[i] });
    });
    this.setLimits(next, ports);
    if (isSame && opened.length === 0) {
      this.current = next;
      this.observatory.noteConfig();
      this.trimKept(next, ports);
      return changes;
    }
    const { rechecked } = await this.dataplane.assign({ ports: this.portSpecs(), policy });
    this.currentGeneration = policy.generation;
    this.current = next;
    this.observatory.notePolicy();
    this.store.keep(opened);
    this.prefixListVersions.note(changes, next.model);
    const closed = removed.flatMap(([port, { device }]) =>
      devices.includes(device) || this.lost.has(port) ? [] : [device],
    );
    for (const [port] of removed) this.lost.forget(port);
    this.store.drop(closed);
    closeDevices(this.native, closed);
    this.trimKept(next, ports);
    void rechecked.then((revoked) => {
      for (const [port] of removed) this.resting.delete(port);
      const { generation } = policy;
      this.log.info({ generation, revoked }, 'connections held against the change');
    });
    this.log.info({ generation: policy.generation, ...changes }, 'configuration changed');
    return changes;
  }

  /** Gives up a device that is gone. */
  private async cutOff(port: number): Promise<void> {
    const device = this.deviceAt(port);
    if (device === undefined || this.lost.has(port)) return;
    this.lost.note(port, device);
    await this.assignAgain();
    closeDevices(this.native, [device]);
  }

  /** Opens a device that was given up. */
  private async reopen(port: number): Promise<void> {
    const before = this.deviceAt(port);
    if (before === undefined || !this.lost.has(port)) return;
    const [device] = openDevices(this.native, [before.spec]);
    if (port === UPLINK_PORT) this.uplink = device;
    else this.attached.set(port, { ...this.attached.get(port)!, device });
    this.lost.forget(port);
    this.store.keep([device]);
    await this.assignAgain();
  }

  /** Hands the loop the ports as they are now; the policy stays what it is. */
  private async assignAgain(): Promise<void> {
    const ports = new Map([...this.attached].map(([port, { id }]) => [id, port]));
    const policy = this.compile(this.current, ports, this.currentGeneration + 1);
    await this.dataplane.assign({ ports: this.portSpecs(), policy });
    this.currentGeneration = policy.generation;
    this.observatory.notePolicy();
  }

  private compile(
    config: Config,
    ports: ReadonlyMap<InterfaceId, number>,
    generation: number,
  ): CompiledPolicy {
    const { model, platformAddresses } = config;
    return compilePolicy({
      model,
      ports,
      ruleNumbers: this.ruleNumbers,
      ruleCache: this.ruleCache,
      platformAddresses,
      generation,
      past: this.untrackedPast.note(this.current.model),
    });
  }

  /**
   * The devices of interfaces that are new, in their order. One that an interface gives up is taken over
   * as it is (an interface that was renamed keeps its eth0); the others are opened.
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
    const opened = openDevices(
      this.native,
      specs.filter((_, i) => takenOver[i] === undefined),
    );
    for (const device of opened) logDevice(this.log, device);
    const rest = [...opened];
    return { devices: takenOver.map((device) => device ?? rest.shift()!), opened };
  }

  /** Each kept device with its spec in `next`. */
  private kept(next: Config, ports: ReadonlyMap<InterfaceId, number>): [Device, DeviceSpec][] {
    const pairs: [Device, DeviceSpec][] = next.interfaces.flatMap(
      (entry): [Device, DeviceSpec][] => {
        const attached = this.attached.get(ports.get(entry.id)!);
        return attached?.id === entry.id && !this.lost.has(ports.get(entry.id)!)
          ? [[attached.device, interfaceDevice(next, entry)]]
          : [];
      },
    );
    const uplink = uplinkDevice(next);
    return this.uplink === undefined || uplink === undefined || this.lost.has(UPLINK_PORT)
      ? pairs
      : [...pairs, [this.uplink, uplink]];
  }

  private extendKept(next: Config, ports: ReadonlyMap<InterfaceId, number>): void {
    for (const [device, spec] of this.kept(next, ports)) extendDevice(this.native, device, spec);
  }

  /** Addresses and routes that are gone: the gates refuse them already, so a failure is only untidy. */
  private trimKept(next: Config, ports: ReadonlyMap<InterfaceId, number>): void {
    for (const [device, spec] of this.kept(next, ports)) {
      try {
        trimDevice(this.native, device, spec);
      } catch (error) {
        this.log.warn(
          { err: error, device: deviceLabel(spec) },
          'an old address or route could not be removed',
        );
      }
    }
    this.adoptSpecs(next, ports);
  }

  private adoptSpecs(next: Config, ports: ReadonlyMap<InterfaceId, number>): void {
    for (const entry of next.interfaces) {
      const port = ports.get(entry.id)!;
      const attached = this.attached.get(port)!;
      const device = { ...attached.device, spec: interfaceDevice(next, entry) };
      this.attached.set(port, { id: entry.id, name: entry.name, device });
    }
    const uplink = uplinkDevice(next);
    if (this.uplink !== undefined && uplink !== undefined)
      this.uplink = { ...this.uplink, spec: uplink };
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
      interfaces: [...this.attached].map(([port, { id, device }]) => ({
        port,
        id,
        device: storedName(device.spec),
      })),
      ruleNumbers: this.ruleNumbers,
      generation: this.currentGeneration,
      untracked: this.untrackedPast.note(this.current.model).save(),
      nowMs: this.dataplane.nowMs,
    };
  }

  private portSpecs(): PortSpec[] {
    const count = 1 + Math.max(0, ...this.attached.keys());
    return Array.from({ length: count }, (_, port) => {
      const device = this.deviceAt(port);
      return device === undefined || this.lost.has(port) ? NO_DEVICE : portOf(device);
    });
  }

  private deviceAt(port: number): Device | undefined {
    return port === UPLINK_PORT ? this.uplink : this.attached.get(port)?.device;
  }

  private portLabels(): ReadonlyMap<number, string> {
    return new Map(this.portNames());
  }

  private portNames(): [number, string][] {
    const names = [...this.attached].map(([port, { name }]): [number, string] => [port, name]);
    return this.uplink === undefined ? names : [[UPLINK_PORT, 'uplink'], ...names];
  }

  private devices(): Device[] {
    const ports = [UPLINK_PORT, ...this.attached.keys()].filter((port) => !this.lost.has(port));
    return ports.flatMap((port) => this.deviceAt(port) ?? []);
  }
}
