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
import { PORTS_MAX, type PortSpec } from '../dataplane/messages.ts';
import { compilePolicy } from '../policy/compile.ts';
import { explain } from '../policy/explain.ts';
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import type { InterfaceId, PrefixListId } from '../policy/model.ts';
import { RuleCache } from '../policy/gate-tables.ts';
import { RuleNumbers } from '../policy/rule-numbers.ts';
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
import { compareConfigs, type Changes } from './changes.ts';
import type { Config } from './config.ts';
import { findConnections } from './connections.ts';
import { deviceLabel, interfaceDevice, uplinkDevice } from './devices.ts';
import { networkOf, resolveQuestion, type QuestionText } from './explain.ts';
import { assessImpact, type Impact } from './impact.ts';
import type { LiveExplanation, Status } from './protocol.ts';
import { createRegistry, warningLevel } from './metrics.ts';
import { listenForScrapes, scrapeUrl } from './metrics-server.ts';

export interface DaemonOptions {
  readonly config: Config;
  readonly native: Native;
  readonly log: Logger;
  readonly version: string;
  /** How many times faster than real time flows age: 1 but in a lab. */
  readonly timeScale: number;
  /** The packet loop has died; the process must end. */
  readonly onFailure: (error: Error) => void;
}

const WARN_INTERVAL_MS = 1000;
const WARNED_SHARES = ['', '80 %', '95 %'] as const;

/** Connections told with an explanation, a family. */
const CONNECTIONS_TOLD_MAX = 20;

/** An interface with its device, at its port. */
interface Attached {
  readonly id: InterfaceId;
  readonly name: string;
  readonly device: Device;
}

/** An interface that gets a port it did not have. */
type AddedInterface = readonly [port: number, entry: Config['interfaces'][number]];

interface AddedDevices {
  /** By added interface. */
  readonly devices: readonly Device[];
  /** Those among them that were not open before. */
  readonly opened: readonly Device[];
}

export class Daemon {
  private readonly native: Native;
  private readonly log: Logger;
  private readonly ruleNumbers = new RuleNumbers();
  private readonly ruleCache = new RuleCache();
  private readonly attached = new Map<number, Attached>();
  /** Ports that were given up, until no flow of theirs is left. */
  private readonly resting = new Set<number>();
  private current: Config;
  private currentGeneration = 1;
  /** Of the lists that have changed since the start. */
  private readonly prefixListVersions = new Map<PrefixListId, number>();
  private uplink: Device | undefined;
  private dataplane!: Dataplane;
  private server: Server | undefined;
  private warner: NodeJS.Timeout | undefined;
  private warnedLevel = 0;
  private lastChange: Promise<unknown> = Promise.resolve();

  private constructor({ config, native, log }: DaemonOptions) {
    this.current = config;
    this.native = native;
    this.log = log;
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

  /** What is in force, in a few words. */
  status(): Omit<Status, 'version' | 'pid'> {
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
        version: this.prefixListVersions.get(id) ?? 1,
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
      findConnections(
        this.dataplane.flows,
        this.portLabels(),
        { from: from.address, to: to.address, protocol: service.protocol, port },
        CONNECTIONS_TOLD_MAX,
      ),
    );
    return { outcome: 'explained', explanation, service, connections };
  }

  /** What changing to `next` would change, and what it would do to the connections there are. Changes nothing. */
  plan(next: Config): { readonly changes: Changes; readonly impact: Impact } {
    const { ports } = this.assignPorts(next);
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
    const change = this.lastChange.then(() => this.change(next));
    this.lastChange = change.catch(() => undefined);
    return change;
  }

  /** Stops the loop, closes the devices and the metrics port. */
  async stop(): Promise<void> {
    clearInterval(this.warner);
    this.server?.close();
    this.server?.closeAllConnections();
    if (this.dataplane !== undefined) await this.dataplane.stop();
    closeDevices(this.native, this.devices());
  }

  private async open({ config, log, version, timeScale, onFailure }: DaemonOptions): Promise<void> {
    const uplink = uplinkDevice(config);
    const specs = config.interfaces.map((entry) => interfaceDevice(config, entry));
    const devices = openDevices(this.native, uplink === undefined ? specs : [...specs, uplink]);
    this.uplink = devices[specs.length];
    config.interfaces.forEach(({ id, name }, i) =>
      this.attached.set(i + 1, { id, name, device: devices[i] }),
    );
    for (const device of devices) logDevice(log, device);
    const ports = new Map([...this.attached].map(([port, { id }]) => [id, port]));
    this.dataplane = await Dataplane.start(this.native, {
      ports: this.portSpecs(),
      hasUplink: this.uplink !== undefined,
      policy: this.compile(config, ports, this.currentGeneration),
      maxFlows: config.conntrack.maxFlows,
      maxHalfOpen: config.conntrack.maxHalfOpen,
      timeScale,
      passes: {
        tableFull: config.conntrack.exceptions.tableFull === 'pass',
        invalid: config.conntrack.exceptions.invalid === 'pass',
        fragment: config.conntrack.exceptions.fragment === 'pass',
        eventsFull: config.conntrack.exceptions.eventsFull === 'pass',
      },
      acceptsMidstream: config.conntrack.midstream === 'accept',
      accounting: config.conntrack.accounting,
      checksWindow: config.conntrack.tcpWindow === 'check',
      onFailure,
    });
    this.setLimits(config, ports);
    this.warner = setInterval(() => {
      this.warnWhenFull();
    }, WARN_INTERVAL_MS).unref();
    if (config.metrics === undefined) return;
    const registry = createRegistry({
      source: this.dataplane,
      ports: () => this.portNames(),
      maxFlows: config.conntrack.maxFlows,
      maxHalfOpen: config.conntrack.maxHalfOpen,
      version,
    });
    this.server = await listenForScrapes(registry, config.metrics);
    log.info({ url: scrapeUrl(this.server) }, 'metrics');
  }

  private async change(next: Config): Promise<Changes> {
    const changes = compareConfigs(this.current, next);
    const { ports, added } = this.assignPorts(next);
    const policy = this.compile(next, ports, this.currentGeneration + 1);
    const removed = [...this.attached].filter(([port, { id }]) => ports.get(id) !== port);
    const { devices, opened } = this.openAdded(
      next,
      added,
      removed.map(([, entry]) => entry),
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
    const { rechecked } = await this.dataplane.assign({ ports: this.portSpecs(), policy });
    this.currentGeneration = policy.generation;
    this.current = next;
    this.countPrefixListVersions(changes);
    closeDevices(
      this.native,
      removed.map(([, { device }]) => device).filter((device) => !devices.includes(device)),
    );
    this.trimKept(next, ports);
    void rechecked.then((revoked) => {
      for (const [port] of removed) this.resting.delete(port);
      this.log.info(
        { generation: policy.generation, revoked },
        'connections held against the change',
      );
    });
    this.log.info({ generation: policy.generation, ...changes }, 'configuration changed');
    return changes;
  }

  /** The port of each interface of `next`: its own if it keeps its device, else a free one. */
  private assignPorts(next: Config): {
    ports: Map<InterfaceId, number>;
    added: AddedInterface[];
  } {
    const ports = new Map<InterfaceId, number>();
    for (const [port, { id, device }] of this.attached) {
      const entry = next.interfaces.find((candidate) => candidate.id === id);
      if (entry !== undefined && isSameDevice(device.spec, interfaceDevice(next, entry)))
        ports.set(id, port);
    }
    const added: AddedInterface[] = [];
    let port = UPLINK_PORT;
    for (const entry of next.interfaces) {
      if (ports.has(entry.id)) continue;
      do port++;
      while (this.attached.has(port) || this.resting.has(port));
      if (port >= PORTS_MAX)
        throw new RangeError(`more than ${PORTS_MAX - 1} interfaces; run a second daemon`);
      ports.set(entry.id, port);
      added.push([port, entry]);
    }
    return { ports, added };
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
        return attached?.id === entry.id ? [[attached.device, interfaceDevice(next, entry)]] : [];
      },
    );
    const uplink = uplinkDevice(next);
    return this.uplink === undefined || uplink === undefined
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

  private countPrefixListVersions({ prefixLists }: Changes): void {
    for (const { id, name } of this.current.model.prefixLists.values()) {
      if (!prefixLists.changed.includes(name)) continue;
      this.prefixListVersions.set(id, (this.prefixListVersions.get(id) ?? 1) + 1);
    }
  }

  /** Says when the flow table comes near its limit, and when it has room again. */
  private warnWhenFull(): void {
    const { maxFlows } = this.current.conntrack;
    const flows = this.dataplane.flowCount;
    const level = warningLevel(flows, maxFlows);
    if (level > this.warnedLevel) {
      this.log.warn(
        { flows, maxFlows },
        `the flow table is ${WARNED_SHARES[level]} full: new flows will be refused when it is full`,
      );
    } else if (level < this.warnedLevel)
      this.log.info({ flows, maxFlows }, 'the flow table has room again');
    this.warnedLevel = level;
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

  private portSpecs(): PortSpec[] {
    const count = 1 + Math.max(0, ...this.attached.keys());
    return Array.from({ length: count }, (_, port) => {
      const device = port === UPLINK_PORT ? this.uplink : this.attached.get(port)?.device;
      if (device === undefined) return { fd: -1, isTap: false, label: 'none' };
      const { kind, macAddress } = device.spec;
      return {
        fd: device.fd,
        isTap: kind === 'tap',
        label: deviceLabel(device.spec),
        ...(macAddress === undefined ? {} : { macAddress }),
      };
    });
  }

  private portLabels(): ReadonlyMap<number, string> {
    return new Map(this.portNames());
  }

  private portNames(): [number, string][] {
    const names = [...this.attached].map(([port, { name }]): [number, string] => [port, name]);
    return this.uplink === undefined ? names : [[UPLINK_PORT, 'uplink'], ...names];
  }

  private devices(): Device[] {
    const devices = [...this.attached.values()].map(({ device }) => device);
    return this.uplink === undefined ? devices : [...devices, this.uplink];
  }
}

function logDevice(log: Logger, { spec, offloads }: Device): void {
  log.info(
    { device: spec.name, netns: spec.netnsPath, kind: spec.kind, offloads },
    'device opened',
  );
}
