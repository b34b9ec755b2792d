/**
 * PortIo holds the ports of one packet loop: the descriptor of each, and how packets are read and written by it.
 *
 * The loop knows ports by their numbers. What differs between kinds of port (port-kind.ts) is settled here when a
 * port gets its device, in typed arrays by port, so that a batch costs no look-up of kinds. A descriptor is watched
 * as long as its port has it, and belongs to whoever opened it. The connection of a stream's guest belongs to its
 * StreamPort, which moves with the device from one port to another.
 */
import { FD_IS_SOCKET, type Native } from './native.ts';
import { linkBytesOf, portKind, type PortKindName } from './port-kind.ts';
import { connectionNumber, STREAM_FD, StreamPort, type GuestListener } from './stream-port.ts';

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
/** It has failed. */
const FAILED = 2;

const SLOT_WORDS = 3;
const SLOT_PORT = 2;

export class PortIo {
  private readonly native: Native;
  /** By port: 1 if frames carry Ethernet. */
  readonly hasEthernet: Uint8Array;
  /** By port: 1 if its kernel takes UDP superpackets. */
  readonly takesUso: Uint8Array;
  /** By port: 1 if superpackets are cut by us, so that nothing is won by making them. */
  readonly isCutHere: Uint8Array;
  private readonly linkBytes: Uint8Array;
  /** By port: whether it is read as a packet socket. */
  private readonly isSocket: boolean[];
  /** By port; -1: none. */
  private fds = new Int32Array(0);
  /** The same as writeBatch takes it. */
  private writeFds = new Int32Array(0);
  /** By port; undefined: not of that kind. */
  private streams: (StreamPort | undefined)[] = [];
  /** Those that there are. */
  private present: StreamPort[] = [];
  /** Calls of `write`. */
  private writes = 0;
  private readonly poller: number;
  private readonly onGuest: GuestListener;

  /**
   * @param portsMax how many there may be
   * @param onGuest told of the guests of streams
   */
  constructor(native: Native, portsMax: number, onGuest: GuestListener = () => undefined) {
    this.native = native;
    this.hasEthernet = new Uint8Array(portsMax);
    this.takesUso = new Uint8Array(portsMax);
    this.isCutHere = new Uint8Array(portsMax);
    this.linkBytes = new Uint8Array(portsMax);
    this.isSocket = new Array<boolean>(portsMax).fill(false);
    this.onGuest = onGuest;
    this.poller = native.createPoller();
  }

  /** Watches another descriptor beside those of ports, under -1. */
  watch(fd: number, number: -1): void {
    this.native.watch(this.poller, fd, number);
  }

  /**
   * Has these devices at the ports, by port number. Devices that are no longer among them are not used from here on.
   * @returns by port: whether it has another descriptor than before
   */
  assign(devices: readonly PortDevice[]): boolean[] {
    const { native, poller, fds, streams } = this;
    const next = Int32Array.from(devices, ({ fd }) => fd);
    // All go before any comes: a descriptor may have moved from one port to another.
    const moving = new Map<number, StreamPort>();
    fds.forEach((fd, port) => {
      if (fd < 0 || fd === next[port]) return;
      const stream = streams[port];
      if (stream === undefined) native.unwatch(poller, fd);
      else if (next.includes(fd)) {
        stream.pause();
        moving.set(fd, stream);
      } else stream.close();
    });
    this.fds = next;
    this.writeFds = next.map((fd, port) => {
      if (fd < 0) return fd;
      const { isStream, isSocket } = portKind(devices[port].kind);
      return isStream ? STREAM_FD : isSocket ? fd | FD_IS_SOCKET : fd;
    });
    this.streams = devices.map(({ kind, fd }, port) => {
      if (fd < 0 || !portKind(kind).isStream) return undefined;
      if (fd === fds[port]) return streams[port];
      return moving.get(fd) ?? new StreamPort(native, poller, fd, port, this.onGuest);
    });
    this.present = this.streams.filter((stream) => stream !== undefined);
    return devices.map(({ kind: name, takesUso, fd }, port) => {
      const kind = portKind(name);
      this.hasEthernet[port] = kind.hasEthernet ? 1 : 0;
      this.takesUso[port] = takesUso ? 1 : 0;
      this.isCutHere[port] = kind.isStream ? 1 : 0;
      this.linkBytes[port] = linkBytesOf(kind);
      this.isSocket[port] = kind.isSocket;
      if (fd === fds[port]) return false;
      const stream = this.streams[port];
      if (stream !== undefined) stream.start(port);
      else if (fd >= 0) native.watch(poller, fd, port);
      return true;
    });
  }

  /** Whether a guest is connected to the stream that this port is. */
  hasGuest(port: number): boolean {
    return this.streams[port]?.hasGuest === true;
  }

  /** Uses the device of a port no longer: it was deleted. */
  giveUp(port: number): void {
    const stream = this.streams[port];
    if (stream === undefined) this.native.unwatch(this.poller, this.fds[port]);
    else {
      stream.close();
      this.streams[port] = undefined;
      this.present = this.present.filter((one) => one !== stream);
    }
    this.fds[port] = -1;
    this.writeFds[port] = -1;
  }

  /** As Native.wait: pairs of a port, or what `watch` was given, and READABLE or not. */
  wait(events: Int32Array, timeoutMs: number): number {
    const { native, poller, present } = this;
    if (present.length === 0) return native.wait(poller, events, timeoutMs);
    let hasMore = false;
    for (let i = 0; i < present.length; i++) if (present[i].hasMore) hasMore = true;
    const found = native.wait(poller, events, hasMore ? 0 : timeoutMs);
    this.nameStreams(events, found);
    return hasMore ? this.addUnread(events, found) : found;
  }

  /** Has events of streams' connections be events of their ports. How a connection ended, `read` finds out. */
  private nameStreams(events: Int32Array, found: number): void {
    for (let i = 0; i < found; i++) {
      const number = events[2 * i];
      if (number === -1) continue;
      const port = number < 0 ? connectionNumber(number) : number;
      const stream = this.streams[port];
      if (stream === undefined) continue;
      events[2 * i] = port;
      events[2 * i + 1] = stream.isBroken ? FAILED : READABLE;
    }
  }

  /** Adds ports that have frames which were received before. */
  private addUnread(events: Int32Array, found: number): number {
    const { present } = this;
    let count = found;
    for (let i = 0; i < present.length && 2 * count < events.length; i++) {
      if (!present[i].hasMore) continue;
      events[2 * count] = present[i].port;
      events[2 * count + 1] = READABLE;
      count++;
    }
    return count;
  }

  /** As Native.readBatch, from the start of the arena. */
  read(port: number, arena: Uint8Array, slots: Int32Array): number {
    const { native, fds, linkBytes, isSocket } = this;
    const stream = this.streams[port];
    if (stream !== undefined) return stream.read(arena, slots);
    return native.readBatch(fds[port], arena, 0, slots, linkBytes[port], isSocket[port]);
  }

  /** As Native.writeBatch. */
  write(arena: Uint8Array, slots: Int32Array, count: number, next?: Int32Array): number {
    const toStreams = this.present.length === 0 ? 0 : this.writeStreams(arena, slots, count);
    return toStreams + this.native.writeBatch(arena, slots, count, this.writeFds, next);
  }

  private writeStreams(arena: Uint8Array, slots: Int32Array, count: number): number {
    const { streams } = this;
    let written = 0;
    const number = ++this.writes;
    for (let i = 0; i < count; i++) {
      const port = slots[i * SLOT_WORDS + SLOT_PORT];
      const stream = port < 0 ? undefined : streams[port];
      if (stream === undefined || stream.lastWrite === number) continue;
      stream.lastWrite = number;
      written += stream.write(arena, slots, count);
    }
    return written;
  }

  close(): void {
    for (const stream of this.present) stream.close();
    this.native.closeFd(this.poller);
  }
}
