/**
 * A StreamPort is a port by which a virtual machine without a TAP sends and gets frames: QEMU, or whoever else speaks
 * its `-netdev stream`, connects to a unix socket of ours (native/stream.c).
 *
 * There is one guest at a time. While one is connected nobody watches the socket, so who connects then waits until the
 * first is gone. That makes a guest that is started again right away no race, and a crowd at the socket costs nothing.
 * When the guest is gone the port is down: what is for it drops, and the socket waits for the next one.
 *
 * Memory is fixed: a guest that is late in reading has STREAM_OUT_BYTES and what the kernel keeps for a socket, then
 * its packets drop. Output is watched only while something waits.
 */
import { constants } from 'node:os';
import { FD_OF_STREAM, STREAM_IN_BYTES, STREAM_OUT_BYTES, type Native } from './native.ts';

/** Words of the state that native/stream.c has, too. */
const OUT_START = 2;
const OUT_END = 3;
const END = 4;
const MORE = 5;
const STATE_LENGTH = 6;

/** Of state[END], beside minus an errno. */
const OPEN = 0;
const CLOSED = 1;
const TOO_LONG = 2;

/** Of Native.acceptStream. */
const SHORTAGE = -2;

const NOBODY = -1;
const SLOT_WORDS = 3;
const SLOT_PORT = 2;
const { ENOTCONN } = constants.errno;

/** In place of a descriptor, for Native.writeBatch: a stream's packets are written here. */
export const STREAM_FD = FD_OF_STREAM;

/** Told when a guest has come (no `why`) or is gone. */
export type GuestListener = (port: number, why?: string) => void;

/** The number under which the connection of a port is watched: the socket has the port's own, and -1 is taken. */
export function connectionNumber(port: number): number {
  return -2 - port;
}

export class StreamPort {
  private readonly native: Native;
  private readonly poller: number;
  private readonly onGuest: GuestListener;
  /** The socket that guests connect to. It is somebody else's to close. */
  readonly listener: number;
  port: number;
  private connection = NOBODY;
  private readonly state = new Int32Array(STATE_LENGTH);
  private readonly input = new Uint8Array(STREAM_IN_BYTES);
  private readonly output = new Uint8Array(STREAM_OUT_BYTES);
  /** Output is watched. */
  private isBlocked = false;
  /** Descriptors or memory are short, so that no guest can be accepted: the port is of no use. */
  isBroken = false;
  /** The last call of PortIo.write that wrote here. */
  lastWrite = 0;

  constructor(
    native: Native,
    poller: number,
    listener: number,
    port: number,
    onGuest: GuestListener,
  ) {
    this.native = native;
    this.poller = poller;
    this.listener = listener;
    this.port = port;
    this.onGuest = onGuest;
  }

  get hasGuest(): boolean {
    return this.connection !== NOBODY;
  }

  /** Whole frames were received that `read` had no room for: nothing else tells of them. */
  get hasMore(): boolean {
    return this.state[MORE] !== 0;
  }

  /** Has this port from now on, and its descriptors watched. */
  start(port: number): void {
    const { native, poller, connection } = this;
    this.port = port;
    if (connection === NOBODY) native.watch(poller, this.listener, port);
    else {
      native.watch(poller, connection, connectionNumber(port));
      if (this.isBlocked) native.watchOutput(poller, connection, connectionNumber(port), true);
    }
  }

  /** Has its descriptors left alone, until `start`. */
  pause(): void {
    const { native, poller, connection } = this;
    native.unwatch(poller, connection === NOBODY ? this.listener : connection);
  }

  /** Ends the connection. Its descriptors are no longer watched. */
  close(): void {
    this.pause();
    if (this.connection !== NOBODY) this.native.closeFd(this.connection);
    this.connection = NOBODY;
  }

  /** As Native.readBatch: takes in a guest if there is none, sends what waits for it, and reads what it sent. */
  read(arena: Uint8Array, slots: Int32Array): number {
    if (this.connection === NOBODY && !this.accept()) return 0;
    const { native, state, connection, input } = this;
    if (this.isBlocked) this.write(arena, slots, 0);
    const count = native.readStream(connection, state, input, arena, slots);
    if (state[END] !== OPEN) this.end();
    return count;
  }

  /** Writes the packets of a batch that are for this port. What can't be written gets minus an errno for its port. */
  write(arena: Uint8Array, slots: Int32Array, count: number): number {
    const { native, state, connection, output, port } = this;
    if (connection === NOBODY) {
      for (let i = 0; i < count; i++)
        if (slots[i * SLOT_WORDS + SLOT_PORT] === port)
          slots[i * SLOT_WORDS + SLOT_PORT] = -ENOTCONN;
      return 0;
    }
    const written = native.writeStream(connection, state, output, arena, slots, count, port);
    const isBlocked = state[OUT_END] > state[OUT_START];
    if (isBlocked !== this.isBlocked) {
      this.isBlocked = isBlocked;
      native.watchOutput(this.poller, connection, connectionNumber(port), isBlocked);
    }
    return written;
  }

  private accept(): boolean {
    const { native, poller, listener, port } = this;
    const fd = native.acceptStream(listener);
    if (fd < 0) {
      this.isBroken = fd === SHORTAGE;
      return false;
    }
    native.unwatch(poller, listener);
    native.watch(poller, fd, connectionNumber(port));
    this.state.fill(0);
    this.isBlocked = false;
    this.connection = fd;
    this.onGuest(port);
    return true;
  }

  /** The guest is gone, or sends what is no frame. */
  private end(): void {
    const { native, poller, listener, port, state } = this;
    const why = whyEnded(state[END]);
    native.unwatch(poller, this.connection);
    native.closeFd(this.connection);
    this.connection = NOBODY;
    state.fill(0);
    native.watch(poller, listener, port);
    this.onGuest(port, why);
  }
}

function whyEnded(end: number): string {
  if (end === CLOSED) return 'it closed the connection';
  if (end === TOO_LONG) return 'it sent a length that no frame has';
  return `its connection failed (errno ${-end})`;
}
