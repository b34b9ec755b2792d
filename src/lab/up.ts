/**
 * Makes a lab: the namespaces that a configuration names, and the daemon on them.
 *
 * Theory of operation. Each step writes down what it is about to make before it makes it (state.ts). Every failure,
 * Ctrl-C included, ends in `removeLab`, the same code that `sgctl lab down` runs. So there is only one way to undo,
 * and a lab is either completely up or gone. If `up` itself is killed, the state file is still there, and `down` does
 * the rest.
 *
 * Namespaces given by path or pid belong to somebody else. The lab makes and removes only those given by name.
 */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { formatAddress, formatCidr } from '../addr/address.ts';
import type { Config, DeviceConfig } from '../config/config.ts';
import { labStore, startLabApi } from './api.ts';
import { startDaemon } from './daemon.ts';
import { removeLab } from './down.ts';
import { LabError, LabInterrupted, messageOf } from './errors.ts';
import {
  addNamed,
  bringLoopbackUp,
  findTaken,
  hasLink,
  nameHeld,
  namespaceDirectory,
  startHolder,
} from './namespaces.ts';
import { identify, namespaceId } from './processes.ts';
import {
  createLabDirectory,
  isHostRoot,
  makePrivateDirectory,
  readBootId,
  writeState,
  CONTROL_SOCKET,
} from './state.ts';
import type { LabInstance, LabLink, LabNamespace, LabState, StoredLab } from './state.ts';
import { NO_PROGRESS, type Progress } from './progress.ts';
import { inChunks, runTool } from './tools.ts';
import { count } from '../source/count.ts';

export interface UpOptions {
  readonly config: Config;
  /** The configuration file. The daemon reads it again by itself. */
  readonly file: string;
  /** What the daemon reads in place of the file, which is no configuration; it is written beside the lab's state. */
  readonly text?: string;
  /** `labNameOf` gives the usual one. */
  readonly name: string;
  readonly timeoutMs: number;
  /** How many times faster than real time flows age. Absent: 1. */
  readonly timeScale?: number;
  /** Of devices of which the configuration says none; absent: the daemon's default. */
  readonly deviceKind?: string;
  /** Give the lab a server of EC2's API. */
  readonly hasApi?: boolean;
  /** When aborted, everything is undone and LabInterrupted is thrown. */
  readonly signal: AbortSignal;
  /** Called about once a second until the daemon is ready. */
  readonly waiting?: (elapsedMs: number) => void;
  /** Reports the progress of making namespaces, or of removing them again. */
  readonly progress?: Progress;
  /** The command to run as the daemon. Absent: this build's own. */
  readonly daemonCommand?: readonly string[];
}

/** In the lab's directory: what was made of another input. */
const CONFIGURATION = 'lab.yaml';

const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The usual name of a lab: `demo` for `config/demo.yaml`. */
export function labNameOf(file: string): string {
  return basename(file, extname(file));
}

/** Makes the lab, and returns it when packets flow. After a failure it undoes everything and throws LabError. */
export async function upLab(options: UpOptions): Promise<StoredLab> {
  if (!NAME_PATTERN.test(options.name)) {
    throw new LabError(
      `'${options.name}' is no name for a lab`,
      'use letters, digits, dots, dashes and underscores, as in --name demo-2',
    );
  }
  const names = namespacesOf(options.config);
  const taken = findTaken(names);
  // Outside a user namespace /run/netns is shared: namespaces that already exist are not ours to use or to delete.
  if (taken.length > 0 && isHostRoot()) {
    throw new LabError(
      `${taken.length === 1 ? 'this namespace is' : 'these namespaces are'} there already: ${taken.join(', ')}`,
      'a lab makes its namespaces itself; see `sgctl lab ls`, or `ip netns delete` those that nobody needs',
    );
  }
  const maker = new LabMaker(options, createLabDirectory(options.name));
  try {
    await maker.make(names, taken.length > 0);
    return maker.stored();
  } catch (thrown) {
    const left = await removeLab(maker.stored(), options.progress);
    if (left.length > 0) {
      throw new LabError(
        `${messageOf(thrown)}\nand not everything could be undone: ${left.join('; ')}`,
        `try: sgctl lab down ${options.name}`,
      );
    }
    throw thrown;
  }
}

class LabMaker {
  private readonly options: UpOptions;
  private readonly directory: string;
  private state: LabState | undefined;

  constructor(options: UpOptions, directory: string) {
    this.options = options;
    this.directory = directory;
  }

  stored(): StoredLab {
    return { name: this.options.name, directory: this.directory, state: this.state };
  }

  async make(names: readonly string[], mustHold: boolean): Promise<void> {
    const self = identify(process.pid);
    if (self === undefined) throw new LabError('cannot read /proc');
    const { config, name } = this.options;
    this.state = {
      version: 1,
      name,
      id: randomUUID(),
      bootId: readBootId(),
      configFile: this.configFile(),
      mode: mustHold ? 'held' : 'named',
      createdAt: new Date().toISOString(),
      phase: 'making',
      maker: self,
      namespaces: [],
      links: [],
      instances: instancesOf(config),
    };
    this.change({});
    const { text } = this.options;
    if (text !== undefined) writeFileSync(this.configFile(), text, { mode: 0o600 });
    await this.makeNamespaces(names);
    await this.planLinks();
    this.stopIfAborted();
    await this.runDaemon();
    this.change({ phase: 'up' });
  }

  /** What the daemon reads. */
  private configFile(): string {
    const { file, text } = this.options;
    return text === undefined ? resolve(file) : join(this.directory, CONFIGURATION);
  }

  private current(): LabState {
    if (this.state === undefined) throw new Error('the lab has no state yet');
    return this.state;
  }

  private change(part: Partial<LabState>): void {
    this.state = { ...this.current(), ...part };
    writeState(this.directory, this.state);
  }

  private changeNamespace(name: string, part: Partial<LabNamespace>): void {
    const namespaces = this.current().namespaces.map((one) =>
      one.name === name ? { ...one, ...part } : one,
    );
    this.change({ namespaces });
  }

  private stopIfAborted(): void {
    if (this.options.signal.aborted) throw new LabInterrupted();
  }

  private async makeNamespaces(names: readonly string[]): Promise<void> {
    const { progress = NO_PROGRESS } = this.options;
    const [first, ...rest] = names;
    if (first === undefined) return;
    this.stopIfAborted();
    await this.makeFirst(first);
    // Write the state once for many namespaces: with two thousand it is 300 KB long.
    for (const chunk of inChunks(rest)) {
      this.stopIfAborted();
      if (this.current().mode === 'named') await this.makeNamed(chunk);
      else for (const name of chunk) await this.makeHeld(name);
      progress(`${this.current().namespaces.length} of ${count(names.length, 'namespace')} made`);
    }
  }

  /** Makes the first namespace, and finds out whether the kernel lets us make namespaces by name. */
  private async makeFirst(name: string): Promise<void> {
    if (this.current().mode === 'held') return this.makeHeld(name);
    try {
      await this.makeNamed([name]);
    } catch (thrown) {
      if (this.current().namespaces.length > 0 || findTaken([name]).length > 0) throw thrown;
      this.change({ mode: 'held' });
      try {
        await this.makeHeld(name);
      } catch (alsoThrown) {
        throw new LabError(
          `cannot make network namespaces\n    ${messageOf(thrown)}\n    ${messageOf(alsoThrown)}`,
          'run it as root, or without root inside: unshare -Urn',
        );
      }
    }
  }

  private async makeNamed(names: readonly string[]): Promise<void> {
    const before = this.current().namespaces;
    this.change({ namespaces: [...before, ...names.map((name) => ({ name }))] });
    const added = await Promise.all(names.map(addNamed));
    const directory = namespaceDirectory('named', this.directory);
    const made = names.flatMap((name, i): LabNamespace[] => {
      if (!added[i].ok) return [];
      const id = namespaceId(join(directory, name));
      return [id === undefined ? { name } : { name, id }];
    });
    // What was not made is not ours to remove. Somebody may have taken the name since we looked.
    this.change({ namespaces: [...before, ...made] });
    const failed = added.find((result) => !result.ok);
    if (failed !== undefined && !failed.ok) throw new LabError(failed.message);
    await Promise.all(made.map(({ name }) => bringLoopbackUp(join(directory, name))));
  }

  private async makeHeld(name: string): Promise<void> {
    this.change({ namespaces: [...this.current().namespaces, { name }] });
    const directory = namespaceDirectory('held', this.directory);
    makePrivateDirectory(directory);
    const holder = await startHolder(
      this.current().id,
      join(this.directory, 'holder.log'),
      (started) => this.changeNamespace(name, { holder: started }),
    );
    this.changeNamespace(name, { id: holder.namespaceId });
    nameHeld(directory, name, holder.process);
    await bringLoopbackUp(join(directory, name));
  }

  /** Plans the removal of persistent devices outside the lab's namespaces: they outlive the daemon. */
  private async planLinks(): Promise<void> {
    const { config } = this.options;
    const made = new Set(this.current().namespaces.map((one) => one.name));
    const links: LabLink[] = [];
    for (const device of devicesOf(config)) {
      if (!device.persist || (device.netns !== undefined && made.has(device.netns))) continue;
      const { netnsPath } = device;
      if (await hasLink(device.name, netnsPath)) continue;
      links.push({ name: device.name, ...(netnsPath === undefined ? {} : { netnsPath }) });
    }
    this.change({ links });
  }

  private async runDaemon(): Promise<void> {
    const { options } = this;
    const { mode, id } = this.current();
    if (mode === 'held' && (options.config.metrics !== undefined || options.hasApi === true)) {
      // Inside `unshare -Urn` the loopback is down, and nobody could listen there.
      await runTool('ip', ['link', 'set', 'lo', 'up']);
    }
    const more = options.hasApi === true ? await this.runApi() : [];
    await startDaemon({
      more,
      ...(options.daemonCommand === undefined ? {} : { command: options.daemonCommand }),
      configFile: this.configFile(),
      netnsDirectory: namespaceDirectory(mode, this.directory),
      logFile: join(this.directory, 'daemon.log'),
      controlSocket: join(this.directory, CONTROL_SOCKET),
      labId: id,
      timeoutMs: options.timeoutMs,
      timeScale: options.timeScale ?? 1,
      ...(options.deviceKind === undefined ? {} : { deviceKind: options.deviceKind }),
      signal: options.signal,
      started: (daemon) => this.change({ daemon }),
      waiting: (elapsedMs) => options.waiting?.(elapsedMs),
    });
  }

  /** @returns the daemon's arguments for what calls make */
  private async runApi(): Promise<readonly string[]> {
    const { directory, options } = this;
    const { timeoutMs, signal, name } = options;
    const api = await startLabApi({ directory, labId: this.current().id, timeoutMs, signal });
    this.change({ api });
    return [
      ...['--store', labStore(directory)],
      ...['--host', name],
      ...['--flow-log-dir', directory],
    ];
  }
}

function devicesOf(config: Config): readonly DeviceConfig[] {
  const devices = config.interfaces.map((one) => one.device);
  return config.uplink === undefined ? devices : [...devices, config.uplink.device];
}

/** The namespaces to make: those given by name, without repeats, in the order of the file. */
export function namespacesOf(config: Config): readonly string[] {
  const names = devicesOf(config)
    .map((device) => device.netns)
    .filter((netns) => netns !== undefined && !netns.includes('/') && !/^\d+$/.test(netns));
  return [...new Set(names as string[])];
}

function instancesOf(config: Config): readonly LabInstance[] {
  const { model, uplink } = config;
  const instances: LabInstance[] = config.interfaces.map(({ id, name, device }) => {
    const networkInterface = model.interfaces.get(id);
    return {
      netns: device.netns,
      device: device.name,
      name,
      ...(networkInterface?.vpc === undefined ? {} : { vpc: networkInterface.vpc.name }),
      addresses: networkInterface?.addresses.map(formatAddress) ?? [],
      groups:
        networkInterface?.groupIds.map((group) => model.groups.get(group)?.name ?? group) ?? [],
    };
  });
  if (uplink === undefined) return instances;
  const { device } = uplink;
  const addresses = uplink.addresses.map(({ address, length }) =>
    formatCidr({ ...address, length }),
  );
  return [
    ...instances,
    { netns: device.netns, device: device.name, name: 'uplink', addresses, groups: [] },
  ];
}
