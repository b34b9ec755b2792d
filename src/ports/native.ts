/**
 * The contract with `native/` (C on Node-API), and the loader of the built addon.
 *
 * Ownership: JavaScript allocates every buffer; the addon fills it during a call and keeps no
 * pointer to it afterwards. Every call is synchronous. EINTR is retried and EAGAIN becomes a count,
 * in C; any other failed system call becomes a NativeError. Wrong arguments throw TypeError or
 * RangeError. loadNative() refuses an addon whose constants differ from the ones here.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VNET_HDR_BYTES } from '../wire/fields.ts';
import type { Link } from './link-match.ts';
import type { PortKindName } from './port-kind.ts';

/** What a failed system call throws: libuv's `code` ("ENODEV"), the call, the device or namespace. */
export interface NativeError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly device?: string;
}

/**
 * Bytes left free in front of each packet's virtio header by readBatch, so that an Ethernet header
 * can be put before an IP packet without moving it (14 for Ethernet, padded to keep the IP header aligned).
 */
export const HEADROOM_BYTES = 22;

/** Largest frame a device hands over: 65,535 bytes of IP (a GSO superpacket) and an Ethernet header with a VLAN tag. */
export const FRAME_BYTES_MAX = 65535 + 18;

/** For writeBatch, in place of a descriptor: writeStream has written what goes there. */
export const FD_OF_STREAM = -2;

/** For writeBatch, added to the descriptor of a packet socket: several frames go there in one system call. */
export const FD_IS_SOCKET = 1 << 30;

/** Of a record of watchLinks (ports/link-news.ts). */
export const LINK_RECORD_BYTES = 312;

/** Bytes of the buffers of a stream: at least the largest frame, and at least a superpacket in segments. */
export const STREAM_IN_BYTES = 1 << 17;
export const STREAM_OUT_BYTES = 1 << 18;

/** Most queues of a device. */
export const QUEUES_MAX = 16;

/** Of the hash that chooses a packet's queue (dataplane/steering.ts). */
export const PAIR_HASH_SEED = 0x3c6ef372;
export const PAIR_HASH_FACTOR = 0x2c1b3c6d;
export const PAIR_HASH_LAST_FACTOR = 0x297a2d39;

export interface OpenOptions {
  readonly kind: PortKindName;
  /** Interface name, 1–15 bytes; for a stream the path of its socket, at most 107. */
  readonly name: string;
  /** Path of the network namespace (`/run/netns/web-1`, `/proc/123/ns/net`); absent: the caller's own. */
  readonly netns?: string;
  /**
   * Keep the interface when the descriptor is closed (TUNSETPERSIST). False leaves one that is persistent already as it
   * is.
   */
  readonly persist: boolean;
  /**
   * How many queues it is to have (1 to QUEUES_MAX). Of several, each opening adds one, which has a descriptor of its
   * own. Absent: 1.
   */
  readonly queues?: number;
  /**
   * For adoptDevice alone: take the device over wherever it is and whatever it is called by now. Its namespace is not
   * entered, so `ifindex` and `mtu` are 0.
   */
  readonly moved?: boolean;
}

export interface OpenedDevice {
  /** Non-blocking, close-on-exec. */
  readonly fd: number;
  readonly name: string;
  readonly ifindex: number;
  /** MTU of the interface as it is now; 0 if the kernel did not tell. */
  readonly mtu: number;
  /** Whether the interface is up now. */
  readonly isUp: boolean;
  /** What TUNSETOFFLOAD accepted; asked for step by step, so that a kernel without USO still gives TSO. */
  readonly offloads: {
    readonly checksum: boolean;
    readonly tso4: boolean;
    readonly tso6: boolean;
    readonly uso: boolean;
  };
  /** The interface was not there before this call. */
  readonly created: boolean;
}

export interface ListedLink extends Link {
  /** As `ip -d link` calls it; empty: a card, or what the kernel has no kind for. */
  readonly kind: string;
  /** IFF_*. */
  readonly flags: number;
  /** ARPHRD_*. */
  readonly type: number;
  /** The index of what it is on top of, or of the other end of a pair; 0: of nothing. */
  readonly link: number;
  /** The number that the namespace of `link` has in this one; -1: it is this one. */
  readonly linkNetnsId: number;
}

export interface Native {
  /**
   * Opens (or attaches to a persistent) TUN or TAP. Throws NativeError; EBUSY if another process holds it, EEXIST-like
   * EINVAL if it is of the other kind.
   *
   * Of the kind `stream` the descriptor is a socket that listens at the path, with mode 0600. One that an earlier
   * process left there is replaced; anything else there is refused (EEXIST, EPERM, EBUSY).
   *
   * One of the kind `attach` has to be there. The host is kept from it (native/guard.c), also after the descriptor was
   * closed, and if it can't be opened because it is down. Of the kind `veth` it is the host's end of a pair, which is
   * brought up once the host is kept from it.
   */
  openDevice(options: OpenOptions): OpenedDevice;
  /**
   * Takes over a descriptor that an earlier process opened by `options`: kind, name, network namespace and
   * virtio header are asked of the kernel. `created` is false. Throws NativeError ENODEV if it is of another
   * device; the descriptor stays open then.
   */
  adoptDevice(fd: number, options: OpenOptions): OpenedDevice;
  /**
   * What the interface of a device's descriptor is called now, and a descriptor of the network namespace it is in,
   * which the caller closes. Enters no namespace.
   * @throws NativeError EBADFD if the interface is gone
   */
  identifyDevice(fd: number, kind: PortKindName): { readonly name: string; readonly netns: number };
  /**
   * Where the interface of a device's descriptor is now: a descriptor of its network namespace, which the caller
   * closes, and its index there. Whatever was renamed, moved or deleted meanwhile, it is this interface and no other.
   * @throws NativeError EBADFD if the interface is gone
   */
  locateDevice(
    fd: number,
    kind: PortKindName,
  ): { readonly netns: number; readonly ifindex: number };
  /**
   * Has a device with `queues` queues (1 to QUEUES_MAX) share its packets out among them by the pair of
   * addresses, as dataplane/steering.ts does; an ICMP error goes by what it quotes. Queues are numbered in the
   * order they were opened. Needs CAP_BPF.
   * @param fd of any of its queues, opened by `options`
   * @throws NativeError; EBUSY if another descriptor is attached to it as well
   */
  steerQueues(fd: number, options: OpenOptions, queues: number): void;
  closeFd(fd: number): void;
  /**
   * Closes many, side by side: to delete an interface is a wait in the kernel.
   * @throws NativeError of one that can't be closed; the others are
   */
  closeFds(fds: Int32Array): void;

  /**
   * Keeps the host from an interface that somebody else made, as opening it does, also while it is down.
   * @throws NativeError as openDevice does for `attach`
   */
  guardDevice(netns: string | undefined, name: string): void;
  /** Lets the host have an attached interface again. Nothing happens if it is not kept from it. */
  unguardDevice(netns: string | undefined, name: string): void;
  /** The names of the interfaces that the host is kept from by this daemon or another, there or not. */
  listGuards(netns: string | undefined): string[];
  /** What has become of an attached interface; `ifindex` is 0 if there is none of the name. */
  lookAtDevice(
    netns: string | undefined,
    name: string,
  ): {
    readonly ifindex: number;
    readonly mtu: number;
    readonly isUp: boolean;
    /** The host is still kept from it. */
    readonly isGuarded: boolean;
  };

  /**
   * Reads packets until EAGAIN, `slots` is full or the arena has no room for a largest frame.
   * `slots` is filled in triples: offset of the virtio header in the arena, length from there
   * (virtio header and frame), and 0 (free for the caller). Every packet has at least HEADROOM_BYTES of
   * unused arena in front of its virtio header, and its IP header is 4-byte aligned (an untagged one on TAP).
   * @param linkBytes between the virtio header and an IP header, 0 to 14: decides the alignment
   * @param isSocket the descriptor is of a packet socket (absent: false). A VLAN tag that its kernel took out is in the
   * frame again;
   *   such a packet has 4 bytes less of unused arena in front
   * @returns packets read, 0 if none was waiting. Throws NativeError (EBADFD once the device is gone).
   */
  readBatch(
    fd: number,
    arena: Uint8Array,
    start: number,
    slots: Int32Array,
    linkBytes: number,
    isSocket?: boolean,
  ): number;

  /**
   * Writes packets, those of one device in order: slot i goes to `fds[slots[3 * i + 2]]`; a negative third word means
   * "not sent". A descriptor of a packet socket may have FD_IS_SOCKET added.
   * `next[i]` other than 0 is a later slot whose bytes follow those of slot i in the same write, and so
   * on; that slot's own third word should be negative. At most 64 slots a write.
   * Slots whose descriptor is FD_OF_STREAM are left alone, and not counted.
   * A packet that can't be written is skipped, and its third word becomes -(errno): the caller counts it.
   * @returns slots written, those that followed another included
   */
  writeBatch(
    arena: Uint8Array,
    slots: Int32Array,
    count: number,
    fds: Int32Array,
    next?: Int32Array,
  ): number;

  /**
   * Takes in who waits at a stream's socket.
   * @returns a descriptor, non-blocking and close-on-exec; -1 if nobody waits, -2 if descriptors or memory are short
   */
  acceptStream(listener: number): number;
  /**
   * Reads frames of a stream as readBatch reads packets, each with an empty virtio header in front. Never waits.
   * @param state six words, of which all are 0 for a new connection: where in `input` and in the buffer of writeStream
   *   something lies; what ended the connection (0: nothing, 1: the peer, 2: a length that no frame has, else minus an
   *   errno); and whether whole frames were left for the next call. For a frame that is too long there is an empty one.
   * @param input STREAM_IN_BYTES, which hold what is no whole frame yet
   */
  readStream(
    fd: number,
    state: Int32Array,
    input: Uint8Array,
    arena: Uint8Array,
    slots: Int32Array,
  ): number;
  /**
   * Writes the slots whose third word is `port` as plain frames: checksums that are left open are completed, and
   * superpackets cut. What the peer does not take now stays in `output`, and goes with the next call. Never waits.
   * The third word of what can't be written becomes -(errno): EAGAIN if `output` is full.
   * @param output STREAM_OUT_BYTES
   * @returns slots written
   */
  writeStream(
    fd: number,
    state: Int32Array,
    output: Uint8Array,
    arena: Uint8Array,
    slots: Int32Array,
    count: number,
    port: number,
  ): number;

  /**
   * A list of descriptors that the kernel keeps (epoll), close-on-exec: a wait costs what is ready, where
   * poll(2) costs what is watched. Close it with closeFd.
   */
  createPoller(): number;
  /**
   * Watches a descriptor for input, under a number of the caller's. Throws NativeError EEXIST if it is watched already.
   */
  watch(poller: number, fd: number, number: number): void;
  /** Has a watched descriptor watched for room for output as well, or no longer. */
  watchOutput(poller: number, fd: number, number: number, isWanted: boolean): void;
  /**
   * To be called before the descriptor is closed: a copy of it elsewhere would keep it watched. Throws NativeError
   * ENOENT if it is not watched.
   */
  unwatch(poller: number, fd: number): void;
  /** CLOCK_BOOTTIME, which goes on while the machine sleeps, in ms with a fraction. */
  bootMs(): number;

  /**
   * Waits for input. `events` is filled in pairs: the number, and 1 (readable, or room for output) or 2 (error or
   * hang-up). Tells of at most 128 at a time, in turns if more are ready.
   * @param timeoutMs -1 waits for ever
   * @returns pairs
   */
  wait(poller: number, events: Int32Array, timeoutMs: number): number;

  /**
   * Has the calling thread (not the process) interrupt nobody when it is woken (SCHED_BATCH), or has it do so again
   * (SCHED_OTHER). Throws NativeError EPERM where a filter forbids it.
   * @returns false if it has another policy than the one to be left: somebody else's choice, which stays
   */
  setBatchScheduling(isBatch: boolean): boolean;

  /** A non-blocking, close-on-exec eventfd. */
  eventfd(): number;
  signalEventfd(fd: number): void;
  /** Empties it; returns false if it was not signalled. */
  drainEventfd(fd: number): boolean;

  /**
   * rtnetlink, inside `netns` (absent: the caller's own). Address bytes are 4 or 16 in network order.
   * @returns false if the interface had the address already
   */
  addAddress(
    netns: string | undefined,
    ifindex: number,
    address: Uint8Array,
    prefixLength: number,
  ): boolean;
  /** Throws NativeError EADDRNOTAVAIL if the interface does not have it. */
  removeAddress(
    netns: string | undefined,
    ifindex: number,
    address: Uint8Array,
    prefixLength: number,
  ): void;
  /**
   * A route to the device itself, or by way of a gateway.
   * @returns false if it was there already
   * @throws NativeError EEXIST if there is another route to the same destination: that is never replaced
   */
  addRoute(
    netns: string | undefined,
    ifindex: number,
    destination: Uint8Array,
    prefixLength: number,
    gateway: Uint8Array | undefined,
  ): boolean;
  /** Throws NativeError ESRCH if there is no such route. */
  removeRoute(
    netns: string | undefined,
    ifindex: number,
    destination: Uint8Array,
    prefixLength: number,
    gateway: Uint8Array | undefined,
  ): void;
  /** Sets what is given: up/down, MTU, transmit queue length, MAC address (6 bytes; with Ethernet only), alias. */
  setLink(
    netns: string | undefined,
    ifindex: number,
    change: {
      readonly up?: boolean;
      readonly mtu?: number;
      readonly txQueueLength?: number;
      readonly macAddress?: Uint8Array;
      readonly alias?: string;
    },
  ): void;
  /** The interface index of `name`, or 0 if there is none. */
  linkIndex(netns: string | undefined, name: string): number;
  /** All interfaces of a namespace, of one moment. Needs no right in the caller's own. */
  listLinks(netns: string | undefined): ListedLink[];
  /** One interface, as listLinks has it; undefined if there is none of that index. */
  lookAtLink(netns: string | undefined, ifindex: number): ListedLink | undefined;
  /**
   * Makes a veth pair: `name` in `netns` (undefined: the caller's own) and `hostName` in the caller's own, both down.
   * @returns the index of `hostName`
   * @throws NativeError EEXIST if one of the names is taken; nothing is left then
   */
  makePair(
    netns: string | undefined,
    pair: {
      readonly name: string;
      readonly hostName: string;
      /** Of `hostName` (`ip link set … alias`), 1 to 255 bytes. */
      readonly alias: string;
      readonly mtu: number;
      readonly txQueueLength: number;
      /** Of `name`, 6 bytes. */
      readonly macAddress?: Uint8Array;
    },
  ): number;
  /**
   * Watches the interfaces of a namespace, and the guards there. The namespace lives as long as it is watched.
   * @param receiveBytes how much may wait in the kernel; absent: 4 MB
   * @returns a unix socket, the caller's, in which native/link-watch.c writes records; closing it ends the watch
   */
  watchLinks(netns: string | undefined, receiveBytes?: number): number;
  /** Removes a (persistent) interface. */
  deleteLink(netns: string | undefined, ifindex: number): void;

  /**
   * The number by which the interfaces of `netns` name the namespace at the path `other`; -1 if none of them does.
   */
  namespaceId(netns: string | undefined, other: string): number;

  /**
   * Sends a datagram to the unix socket at `path` (a leading `@`: the abstract namespace), with copies of at
   * most 16 descriptors. Waits a second at most while the receiver's queue is full (then EAGAIN).
   * @throws NativeError; ECONNREFUSED or ENOENT if nobody listens, EMSGSIZE if it is too long
   */
  sendDatagram(path: string, payload: Uint8Array, fds: Int32Array): void;

  /**
   * Makes a TCP or UDP socket that is bound to an address in a namespace, whether or not the address is there yet. It
   * does not listen.
   * @param netns path of the namespace; undefined: the caller's own
   * @param hops hop limit of what it sends; 0: the kernel's default
   * @returns its descriptor, which is the caller's
   * @throws NativeError; EADDRINUSE if another socket has the address and port
   */
  bindSocket(
    netns: string | undefined,
    address: string,
    port: number,
    isStream: boolean,
    hops: number,
  ): number;

  /**
   * Asks the kernel for huge pages where this memory has not been written yet (madvise(2), MADV_HUGEPAGE).
   * @returns whether it takes the wish; one without huge pages does not, and nothing else changes
   */
  preferHugePages(memory: Uint8Array): boolean;

  /**
   * Ends the process with that code (0 to 255), at once: without waiting for its threads, whatever they are doing
   * (process.exit waits for one that is in a call of this addon), and without any handler of its end.
   */
  exitNow(code: number): never;
}

/** What the addon was compiled with: a stale build would put packets where nobody looks for them. */
const SHARED_CONSTANTS: Readonly<Record<string, number>> = {
  VNET_HDR_BYTES,
  HEADROOM_BYTES,
  FRAME_BYTES_MAX,
  FD_OF_STREAM,
  FD_IS_SOCKET,
  LINK_RECORD_BYTES,
  STREAM_IN_BYTES,
  STREAM_OUT_BYTES,
  QUEUES_MAX,
  PAIR_HASH_SEED,
  PAIR_HASH_FACTOR,
  PAIR_HASH_LAST_FACTOR,
};

/**
 * Loads `build/native/secgroupd.node`, which scripts/build makes. Throws an Error that says what to
 * run if it is missing or was built from other sources than these.
 */
export function loadNative(): Native {
  const path = fileURLToPath(new URL('../../../build/native/secgroupd.node', import.meta.url));
  let addon: Native & Readonly<Record<string, unknown>>;
  try {
    addon = createRequire(import.meta.url)(path) as typeof addon;
  } catch (cause) {
    const [why] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new Error(
      `the native addon could not be loaded from ${path}: ${why}; run scripts/build, or install the package anew`,
      { cause },
    );
  }
  for (const [name, expected] of Object.entries(SHARED_CONSTANTS)) {
    const actual = addon[name];
    if (actual !== expected) {
      throw new Error(
        `the native addon ${path} has ${name} ${String(actual)}, not ${expected}: it is from another build; run scripts/build, or install the package anew`,
      );
    }
  }
  return addon;
}
