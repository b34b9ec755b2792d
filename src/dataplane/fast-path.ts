/**
 * The kernel's fast path as the control plane holds it: its programs and tables, and the devices they are at.
 *
 * Devices take part that are interfaces which the loops read by packet sockets. TUN and TAP devices of ours, and
 * streams, end in the daemon, so nothing can be forwarded to them or from them. All must be in one namespace, the first
 * one's: programs know an interface by its index, which another namespace may have too.
 *
 * At a device there are two programs (native/offload/offload.bpf.c). `forward` is put there first: one without the
 * other loses packets or forwards none, and never passes one that was not judged.
 */
import type { HashKey } from '../conntrack/hash.ts';
import { GATEWAY_MAC_HIGH, GATEWAY_MAC_LOW } from '../engine/neighbour-messages.ts';
import {
  CONTROL_BUCKET_MASK,
  CONTROL_GATEWAY_HIGH,
  CONTROL_GATEWAY_LOW,
  CONTROL_HASH_KEY,
  CONTROL_ORIGIN_NS,
  tableSizes,
} from '../offload/layout.ts';
import { openControl } from '../offload/open-tables.ts';
import type { Device } from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import {
  loadNativeOffload,
  OFFLOAD_OBJECT,
  type FastPathPart,
  type NativeOffload,
  type OpenedOffload,
} from '../ports/native-offload.ts';
import { portKind } from '../ports/port-kind.ts';
import type { OffloadInput, OffloadPlace } from './messages.ts';

const WORD_RANGE = 2 ** 32;

interface Place extends OffloadPlace {
  readonly namespace: string | undefined;
  readonly netnsPath: string | undefined;
}

/** Writes what the programs must know beside the tables, but for the origin of the clock. */
export function beginControl(control: Int32Array, capacity: number, { k0, k1 }: HashKey): void {
  control[CONTROL_HASH_KEY] = k0;
  control[CONTROL_HASH_KEY + 1] = k1;
  control[CONTROL_BUCKET_MASK] = tableSizes(capacity).buckets - 1;
  control[CONTROL_GATEWAY_HIGH] = GATEWAY_MAC_HIGH;
  control[CONTROL_GATEWAY_LOW] = GATEWAY_MAC_LOW;
}

/** Writes when the loops' clock was 0. @param originNs by CLOCK_MONOTONIC */
export function setOrigin(control: Int32Array, originNs: number): void {
  const high = Math.floor(originNs / WORD_RANGE);
  control[CONTROL_ORIGIN_NS] = originNs - high * WORD_RANGE;
  control[CONTROL_ORIGIN_NS + 1] = high;
}

export class FastPath {
  private readonly native: Native;
  private readonly addon: NativeOffload;
  private readonly opened: OpenedOffload;
  readonly input: OffloadInput;
  /** The devices that take part, by the descriptor of their first queue. */
  private readonly places = new Map<number, Place>();
  /** Why a device takes no part that could by its kind, by the same descriptor. */
  private readonly refusals = new Map<number, string>();

  private constructor(native: Native, addon: NativeOffload, capacity: number) {
    this.native = native;
    this.addon = addon;
    this.opened = addon.openOffload(OFFLOAD_OBJECT, capacity, tableSizes(capacity).buckets);
    const { control, ports, buckets, flows, changed } = this.opened;
    this.input = { fds: { control, ports, buckets, flows, changed }, capacity };
  }

  /**
   * Loads the programs.
   * @param capacity the most flows
   * @throws Error that says why this machine has no fast path
   */
  static open(native: Native, capacity: number): FastPath {
    return new FastPath(native, loadNativeOffload(), capacity);
  }

  /** Gives the programs what the loops start with. @param originMs process.hrtime when the loops' clock was 0 */
  begin(originMs: number, hashKey: HashKey): void {
    const { fds, capacity } = this.input;
    const control = openControl(this.addon, fds.control);
    beginControl(control, capacity, hashKey);
    setOrigin(control, Math.round(originMs * 1e6));
  }

  /** How many devices take part. */
  get deviceCount(): number {
    return this.places.size;
  }

  /** Where a device is, if it takes part. */
  placeOf({ fds }: Device): OffloadPlace | undefined {
    return this.places.get(fds[0]);
  }

  /** What part an open device has. */
  partOf({ spec, fds }: Device): FastPathPart {
    if (!portKind(spec.kind).isSocket)
      return { forwards: 'none', why: `a device of the kind ${spec.kind} ends in the daemon` };
    const place = this.places.get(fds[0]);
    if (place === undefined)
      return { forwards: 'none', why: this.refusals.get(fds[0]) ?? 'it was given up' };
    if (place.isPair) return { forwards: 'both' };
    return { forwards: 'from', why: 'it is no veth with its other end in another namespace' };
  }

  /** Has a device take part, if it can. @throws NativeError */
  attach(device: Device): void {
    const [fd] = device.fds;
    this.refusals.delete(fd);
    try {
      const why = this.join(device);
      if (why !== undefined) this.refusals.set(fd, why);
    } catch (error) {
      this.refusals.set(fd, error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /** @returns why a device can't take part; undefined: it does, or its kind has none */
  private join({ spec, fds, ifindex, ...device }: Device): string | undefined {
    if (!portKind(spec.kind).isSocket) return undefined;
    // The sockets of a pair of ours are on the end that is in the daemon's own namespace.
    const isOwn = spec.hostEnd !== undefined;
    const namespace = isOwn ? undefined : device.namespace;
    const netnsPath = isOwn ? undefined : spec.netnsPath;
    const [first] = this.places.values();
    if (first !== undefined && first.namespace !== namespace)
      return 'it is in another network namespace than those that take part';
    const { forward, decide } = this.opened;
    this.addon.attachForward(netnsPath, ifindex, forward);
    for (const fd of fds) this.addon.filterSocket(fd, decide);
    const link = this.native.lookAtLink(netnsPath, ifindex);
    const isPair = link?.kind === 'veth' && link.linkNetnsId >= 0;
    this.places.set(fds[0], { ifindex, isPair, namespace, netnsPath });
    return undefined;
  }

  /** Ends a device's part in it. The loops must not count on it any more. */
  detach({ fds }: Device): void {
    const place = this.places.get(fds[0]);
    this.refusals.delete(fds[0]);
    if (place === undefined) return;
    this.places.delete(fds[0]);
    this.leave(place);
  }

  /** Ends all of it. The loops must have ended. */
  close(): void {
    for (const place of this.places.values()) this.leave(place);
    this.places.clear();
    for (const fd of Object.values(this.opened) as number[]) this.native.closeFd(fd);
  }

  private leave({ netnsPath, ifindex }: Place): void {
    try {
      this.addon.detachForward(netnsPath, ifindex);
    } catch {
      // Its namespace is gone. A program that is left forwards nothing: the loops move its deadline no further.
    }
  }
}
