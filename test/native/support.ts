/** What the tests of the addon share: a network namespace of their own, and reading packets with a time limit. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';

import { loadNative } from '../../src/ports/native.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import type { NativeError, OpenOptions, OpenedDevice } from '../../src/ports/native.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { uniqueName } from '../support/netns.ts';
import { waitForInput } from './wait-for-input.ts';

export const native = loadNative();

/** A network namespace that goes when the test ends. */
export interface TestNamespace {
  readonly path: string;
  /** Runs `ip -n NAMESPACE ...` and returns what it printed. */
  ip(...args: string[]): string;
  /** Runs `ip -n NAMESPACE -json ...` and returns the objects it printed. */
  ipJson(...args: string[]): Readonly<Record<string, unknown>>[];
  /** Starts a program inside the namespace. It is killed, if need be, when the test ends. */
  start(program: string, ...args: string[]): ChildProcess;
  /** Runs a program inside the namespace to its end. */
  run(program: string, ...args: string[]): string;
  /** Opens a device inside the namespace, closed when the test ends. */
  open(options: Partial<OpenOptions> & { readonly name: string }): OpenedDevice;
}

/** Makes a namespace, or skips the test and returns undefined where that can't be done. */
export function makeNamespace(t: TestContext): TestNamespace | undefined {
  if (process.getuid?.() !== 0) {
    t.skip('needs root to make network namespaces');
    return undefined;
  }
  if (!existsSync('/dev/net/tun')) {
    t.skip('needs /dev/net/tun');
    return undefined;
  }
  const name = uniqueName();
  try {
    execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' });
  } catch (error) {
    t.skip(`needs "ip netns add": ${String(error)}`);
    return undefined;
  }
  t.after(() => execFileSync('ip', ['netns', 'del', name]));
  return namespaceNamed(t, name);
}

function namespaceNamed(t: TestContext, name: string): TestNamespace {
  const path = `/run/netns/${name}`;
  const ip = (...args: string[]): string =>
    execFileSync('ip', ['-n', name, ...args], { encoding: 'utf8', stdio: 'pipe' });
  return {
    path,
    ip,
    ipJson: (...args) => JSON.parse(ip('-json', ...args)) as Readonly<Record<string, unknown>>[],
    run: (program, ...args) =>
      execFileSync('ip', ['netns', 'exec', name, program, ...args], {
        encoding: 'utf8',
        stdio: 'pipe',
      }),
    start(program, ...args) {
      const child = spawn('ip', ['netns', 'exec', name, program, ...args], { stdio: 'pipe' });
      t.after(() => child.kill('SIGKILL'));
      return child;
    },
    open(options) {
      const device = native.openDevice({
        kind: 'tun',
        netns: path,
        persist: false,
        ...options,
      });
      t.after(() => native.closeFd(device.fd));
      return device;
    },
  };
}

/**
 * Router solicitations, neighbour discovery and multicast reports would come between the packets a test
 * counts. For interfaces made afterwards.
 */
export function turnOffIpv6(namespace: TestNamespace): void {
  namespace.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6');
}

/** An address of four or sixteen bytes, in network order. */
export function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

/** The result of a child process: its exit code and what it printed. */
export async function finished(child: ChildProcess): Promise<{ code: number | null; out: string }> {
  let out = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (out += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('close', resolve);
    child.on('error', reject);
  });
  return { code, out };
}

/** One packet in an arena: where its virtio header begins, and its frame behind that. */
export interface Packet {
  readonly offset: number;
  readonly vnet: DataView;
  readonly frame: Uint8Array;
}

const ARENA_BYTES = 1 << 20;

/** Waits until `device` gives a packet that `wanted` accepts; throws after GUARD_MS. */
export function readUntil(
  device: OpenedDevice,
  wanted: (packet: Packet) => boolean,
  options: { readonly linkBytes?: number; readonly arena?: Uint8Array } = {},
): Packet {
  const arena = options.arena ?? new Uint8Array(ARENA_BYTES);
  const slots = new Int32Array(3 * 64);
  const deadline = Date.now() + GUARD_MS;
  while (Date.now() < deadline) {
    waitForInput(native, [device.fd], 100);
    const count = native.readBatch(device.fd, arena, 0, slots, options.linkBytes ?? 0);
    for (let i = 0; i < count; i++) {
      const packet = packetAt(arena, slots, i);
      if (wanted(packet)) {
        return packet;
      }
    }
  }
  throw new Error(`no such packet came from ${device.name}`);
}

export function packetAt(arena: Uint8Array, slots: Int32Array, index: number): Packet {
  const offset = slots[3 * index];
  const length = slots[3 * index + 1];
  return {
    offset,
    vnet: new DataView(arena.buffer, arena.byteOffset + offset, VNET_HDR_BYTES),
    frame: arena.subarray(offset + VNET_HDR_BYTES, offset + length),
  };
}

/** How far the IP header of a packet is from a 4-byte boundary of the buffer under the arena. */
export function misalignment(arena: Uint8Array, offset: number, linkBytes: number): number {
  return (arena.byteOffset + offset + VNET_HDR_BYTES + linkBytes) % 4;
}

/** Runs `call` and returns what it threw. */
export function thrownBy(call: () => unknown): NativeError {
  try {
    call();
  } catch (error) {
    return error as NativeError;
  }
  throw new Error('nothing was thrown');
}
