/**
 * A real daemon, with real packet loops, on devices that need no rights: each is a FIFO. Packets that a test writes into
 * it come in by that port; what the daemon writes to it fails, since it is open for reading alone; and it is lost when
 * its last writer closes it. What is asked of the kernel beside that is written down.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import { loadNative, type Native, type OpenedDevice } from '../../src/ports/native.ts';
import { FdStore } from '../../src/service/fd-store.ts';
import { Notifier } from '../../src/service/notify.ts';
import { SnapshotStore } from '../../src/service/snapshot-store.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { problemLines } from '../config/config-text.ts';
import { until } from '../support/until.ts';

const NETNS_DIRECTORY = '/run/netns';
const OFFLOADS = { checksum: true, tso4: true, tso6: true, uso: true };

export class FakeDevices {
  readonly native: Native;
  /** What was asked since the last time. */
  readonly calls: string[] = [];
  /** Names of devices that can't be opened, with the code of the failure. */
  readonly refused = new Map<string, string>();
  /** Names of devices that were there before they are opened. */
  readonly found = new Set<string>();
  private readonly folder: string;
  /** By name: the end that packets are written into. */
  private readonly writers = new Map<string, number>();
  private readonly names = new Map<number, string>();
  private made = 0;

  constructor(folder: string) {
    this.folder = folder;
    const real = loadNative();
    this.native = {
      ...real,
      openDevice: ({ name }) => this.open(name),
      identifyDevice: (fd) => ({
        name: this.names.get(fd)!,
        netns: openSync('/proc/self/ns/net', constants.O_RDONLY),
      }),
      closeFd: (fd) => {
        const name = this.names.get(fd);
        if (name !== undefined) this.calls.push(`close ${name}`);
        this.names.delete(fd);
        real.closeFd(fd);
      },
      closeFds: (fds) => {
        for (const fd of fds) this.native.closeFd(fd);
      },
      setLink: (_netns, ifindex, { mtu, up }) =>
        void this.calls.push(`link ${ifindex} mtu ${mtu} up ${up}`),
      addAddress: (_netns, ifindex, bytes, length) => {
        this.calls.push(`address ${ifindex} + ${bytes.join('.')}/${length}`);
        return true;
      },
      removeAddress: (_netns, ifindex, bytes, length) =>
        void this.calls.push(`address ${ifindex} - ${bytes.join('.')}/${length}`),
      addRoute: (_netns, ifindex, bytes, length) => {
        this.calls.push(`route ${ifindex} + ${bytes.join('.')}/${length}`);
        return true;
      },
      removeRoute: (_netns, ifindex, bytes, length) =>
        void this.calls.push(`route ${ifindex} - ${bytes.join('.')}/${length}`),
    };
  }

  takeCalls(): string[] {
    return this.calls.splice(0);
  }

  /** A packet comes in by the device. */
  send(name: string, packet: Uint8Array): void {
    const bytes = new Uint8Array(VNET_HDR_BYTES + packet.length);
    bytes.set(packet, VNET_HDR_BYTES);
    writeSync(this.writers.get(name)!, bytes);
  }

  /** Somebody deletes the device. */
  lose(name: string): void {
    closeSync(this.writers.get(name)!);
    this.writers.delete(name);
  }

  close(): void {
    for (const name of [...this.writers.keys()]) this.lose(name);
  }

  private open(name: string): OpenedDevice {
    const code = this.refused.get(name);
    if (code !== undefined) throw Object.assign(new Error(`${code}: no ${name}`), { code });
    const ifindex = ++this.made;
    const path = join(this.folder, `${name}-${ifindex}`);
    execFileSync('mkfifo', [path]);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (this.writers.has(name)) this.lose(name);
    this.writers.set(name, openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    this.names.set(fd, name);
    this.calls.push(`open ${name}`);
    const created = !this.found.has(name);
    return { fd, name, ifindex, mtu: 1500, isUp: false, created, offloads: OFFLOADS };
  }
}

export interface DaemonWorld {
  readonly daemon: Daemon;
  readonly devices: FakeDevices;
  readonly file: string;
  /** URLs that the log has named. */
  readonly urls: readonly string[];
  /** Messages of the log, `level message`, since the last time. */
  readonly takeLog: () => string[];
  /** Reads another configuration, without putting it in force. */
  readonly load: (text: string) => Config;
  /** Waits until it is so. */
  readonly until: (isSo: () => boolean, what: string) => Promise<void>;
}

export interface WorldOptions {
  /** Called before the daemon opens its devices. */
  readonly prepare?: (devices: FakeDevices) => void;
  readonly stateDirectory?: string;
}

export function tempFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-daemon-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

export function loadFile(file: string, text: string): Config {
  writeFileSync(file, text);
  const { config, problems } = loadConfig(file, { netnsDirectory: NETNS_DIRECTORY });
  assert.ok(config !== undefined, problemLines(problems).join('\n'));
  return config;
}

/** Starts a daemon on a configuration. It is stopped, if the test does not, when the test ends. */
export async function startWorld(
  t: TestContext,
  text: string,
  { prepare, stateDirectory: directory }: WorldOptions = {},
): Promise<DaemonWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-daemon-'));
  const file = join(folder, 'secgroupd.yaml');
  const devices = new FakeDevices(folder);
  prepare?.(devices);
  const messages: string[] = [];
  const urls: string[] = [];
  const log = pino(
    { level: 'info', formatters: { level: (label) => ({ level: label }) } },
    {
      write: (line: string): void => {
        const { level, msg, url } = JSON.parse(line) as Record<string, string>;
        if (url !== undefined) urls.push(url);
        messages.push(`${level} ${msg}`);
      },
    },
  );
  const notifier = new Notifier(devices.native, undefined, log);
  const clock = { bootId: 'boot', nowMs: () => 0 };
  const failures: Error[] = [];
  const end = async (daemon?: Daemon): Promise<void> => {
    await daemon?.stop();
    devices.close();
    rmSync(folder, { recursive: true });
  };
  const daemon = await Daemon.start({
    config: loadFile(file, text),
    native: devices.native,
    log,
    version: '1.2.3',
    store: () => undefined,
    isFenced: false,
    timeScale: 1,
    devices: new FdStore(devices.native, notifier, log, []),
    snapshots: new SnapshotStore({ directory, log, notifier, clock }),
    onFailure: (error) => failures.push(error),
  }).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  let isStopped = false;
  const stop = daemon.stop.bind(daemon);
  daemon.stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    await stop();
  };
  t.after(async () => {
    await end(daemon);
    assert.deepEqual(failures, []);
  });
  return {
    daemon,
    devices,
    file,
    urls,
    takeLog: () => messages.splice(0),
    load: (next) => loadFile(file, next),
    until: (isSo, what) => until(what, isSo),
  };
}
