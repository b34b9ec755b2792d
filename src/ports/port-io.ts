/**
 * PortIo holds the ports of one packet loop: the descriptor of each, and how packets are read and written by it.
 *
 * The loop knows ports by their numbers. What differs between kinds of port (port-kind.ts) is settled here when a
 * port gets its device, in typed arrays by port, so that a batch costs no look-up of kinds. A descriptor is watched
 * as long as its port has it, and belongs to whoever opened it.
 */
import type { Native } from './native.ts';
import { linkBytesOf, portKind, type PortKindName } from './port-kind.ts';

/** What is behind a port, for one packet loop. */
export interface PortDevice {
  readonly kind: PortKindName;
  /** Its kernel takes UDP superpackets. */
  readonly takesUso: boolean;
  /** The loop's queue of the device; -1: no device has this port. */
  readonly fd: number;
}

/** A number that `watch` was given has input. */
export const READABLE = 1;

export class PortIo {
  private readonly native: Native;
  /** By port: 1 if frames carry Ethernet. */
  readonly hasEthernet: Uint8Array;
  /** By port: 1 if its kernel takes UDP superpackets. */
  readonly takesUso: Uint8Array;
  private readonly linkBytes: Uint8Array;
  /** By port: whether it is read as a packet socket. */
  private readonly isSocket: boolean[];
  /** By port; -1: none. */
  private fds = new Int32Array(0);
  private readonly poller: number;

  /** @param portsMax how many there may be */
  constructor(native: Native, portsMax: number) {
    this.native = native;
    this.hasEthernet = new Uint8Array(portsMax);
    this.takesUso = new Uint8Array(portsMax);
    this.linkBytes = new Uint8Array(portsMax);
    this.isSocket = new Array<boolean>(portsMax).fill(false);
    this.poller = native.createPoller();
  }

  /** Watches another descriptor beside those of ports, under a number that is no port's. */
  watch(fd: number, number: number): void {
    this.native.watch(this.poller, fd, number);
  }

  /**
   * Has these devices at the ports, by port number. Devices that are no longer among them are not used from here on.
   * @returns by port: whether it has another descriptor than before
   */
  assign(devices: readonly PortDevice[]): boolean[] {
    const { native, poller, fds } = this;
    const next = Int32Array.from(devices, ({ fd }) => fd);
    // All go before any comes: a descriptor may have moved from one port to another.
    fds.forEach((fd, port) => {
      if (fd >= 0 && fd !== next[port]) native.unwatch(poller, fd);
    });
    this.fds = next;
    return devices.map(({ kind: name, takesUso, fd }, port) => {
      const kind = portKind(name);
      this.hasEthernet[port] = kind.hasEthernet ? 1 : 0;
      this.takesUso[port] = takesUso ? 1 : 0;
      this.linkBytes[port] = linkBytesOf(kind);
      this.isSocket[port] = kind.isAttached;
      if (fd === fds[port]) return false;
      if (fd >= 0) native.watch(poller, fd, port);
      return true;
    });
  }

  /** Uses the device of a port no longer: it was deleted. */
  giveUp(port: number): void {
    this.native.unwatch(this.poller, this.fds[port]);
    this.fds[port] = -1;
  }

  /** As Native.wait: pairs of a port, or what `watch` was given, and READABLE or not. */
  wait(events: Int32Array, timeoutMs: number): number {
    return this.native.wait(this.poller, events, timeoutMs);
  }

  /** As Native.readBatch, from the start of the arena. */
  read(port: number, arena: Uint8Array, slots: Int32Array): number {
    const { native, fds, linkBytes, isSocket } = this;
    return native.readBatch(fds[port], arena, 0, slots, linkBytes[port], isSocket[port]);
  }

  /** As Native.writeBatch. */
  write(arena: Uint8Array, slots: Int32Array, count: number, next?: Int32Array): number {
    return this.native.writeBatch(arena, slots, count, this.fds, next);
  }

  close(): void {
    this.native.closeFd(this.poller);
  }
}
