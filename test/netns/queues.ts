/**
 * Makes devices with several queues, puts frames into them from the kernel's side, and finds the queue that each came
 * out of.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { TestContext } from 'node:test';
import { join } from 'node:path';
import { loadNative } from '../../src/ports/native.ts';
import { linkBytesOf, portKind, type PortKindName } from '../../src/ports/port-kind.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import type { OpenOptions } from '../../src/ports/native.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import type { Netns } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';

export const native = loadNative();

/** A device's queues hold 500 packets: what is sent at once has to fit into one. */
export const FRAMES_AT_ONCE = 400;

const ARENA_BYTES = 1 << 20;

/** A device with `queues` queues that the program steers, up, and silent but for what is sent. */
export interface QueuedDevice {
  readonly name: string;
  readonly kind: PortKindName;
  /** By which interface frames are sent into it. */
  readonly by: string;
  readonly options: OpenOptions;
  readonly fds: readonly number[];
}

export async function openQueued(
  t: TestContext,
  netns: Netns,
  kind: PortKindName,
  name: string,
  queues: number,
): Promise<QueuedDevice> {
  const options: OpenOptions = {
    kind,
    name,
    netns: netns.path,
    persist: false,
    queues,
  };
  const by = kind === 'attach' ? `${name}p` : name;
  if (kind === 'attach') {
    await netns.mustRun('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', by]);
    for (const end of [name, by]) {
      await netns.mustRun('sysctl', ['-qw', `net.ipv6.conf.${end}.disable_ipv6=1`]);
      await netns.mustRun('ip', ['link', 'set', end, 'up']);
    }
  }
  const fds: number[] = [];
  t.after(() => {
    for (const fd of fds) native.closeFd(fd);
  });
  while (fds.length < queues) fds.push(native.openDevice(options).fd);
  native.steerQueues(fds[0], options, queues);
  await netns.mustRun('sysctl', ['-qw', `net.ipv6.conf.${name}.disable_ipv6=1`]);
  await netns.mustRun('ip', ['link', 'set', name, 'up']);
  return { name, kind, by, options, fds };
}

/** Sends frames inside a namespace; one process for all. */
export class FrameSender {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: Interface;

  constructor(t: TestContext, netns: Netns) {
    const script = join(repositoryRoot(), 'test/netns/send-frames.py');
    this.child = spawn('ip', ['netns', 'exec', netns.name, 'python3', script]);
    this.child.stderr.pipe(process.stderr);
    this.lines = createInterface(this.child.stdout);
    t.after(() => this.child.kill('SIGKILL'));
  }

  async send(name: string, frames: readonly Uint8Array[]): Promise<void> {
    const hex = frames.map((frame) => Buffer.from(frame).toString('hex'));
    const answer = once(this.lines, 'line');
    this.child.stdin.write(`${name} ${hex.join(' ')}\n`);
    const [sent] = (await answer) as [string];
    if (Number(sent) !== frames.length) throw new Error(`${sent} of ${frames.length} were sent`);
  }
}

/**
 * Sends frames into a device and reads its queues.
 * @param wire what of a frame comes out of the device, if that is not what was sent
 * @returns the queue of each
 */
export async function queuesOf(
  sender: FrameSender,
  device: QueuedDevice,
  frames: readonly Uint8Array[],
  { by = device.by, wire = (frame: Uint8Array): Uint8Array => frame } = {},
): Promise<number[]> {
  const wanted = frames.map((frame) => Buffer.from(wire(frame)).toString('hex'));
  const missing = new Map<string, number>();
  for (const hex of wanted) missing.set(hex, (missing.get(hex) ?? 0) + 1);
  const queues = new Map<string, Set<number>>();
  await sender.send(by, frames);
  const deadline = performance.now() + GUARD_MS;
  while (missing.size > 0) {
    if (performance.now() > deadline)
      throw new Error(`did not come out of ${device.name}: ${[...missing.keys()].join(' ')}`);
    device.fds.forEach((fd, queue) => {
      for (const hex of readAll(fd, device.options.kind)) {
        const count = missing.get(hex);
        if (count === undefined) continue;
        if (count === 1) missing.delete(hex);
        else missing.set(hex, count - 1);
        const seen = queues.get(hex) ?? new Set();
        queues.set(hex, seen.add(queue));
      }
    });
  }
  return wanted.map((hex) => {
    const [queue, ...others] = queues.get(hex)!;
    if (others.length > 0)
      throw new Error(`${hex} came to queues ${[queue, ...others].join(', ')}`);
    return queue;
  });
}

const arena = new Uint8Array(ARENA_BYTES);
const slots = new Int32Array(3 * 256);

function readAll(fd: number, kind: OpenOptions['kind']): string[] {
  const found: string[] = [];
  const row = portKind(kind);
  for (;;) {
    const count = native.readBatch(fd, arena, 0, slots, linkBytesOf(row), row.isSocket);
    if (count === 0) return found;
    for (let i = 0; i < count; i++) {
      const at = slots[3 * i];
      const frame = arena.subarray(at + VNET_HDR_BYTES, at + slots[3 * i + 1]);
      found.push(Buffer.from(frame).toString('hex'));
    }
  }
}
