/**
 * Sniffing and injecting whole packets on an interface we did not make, by way of libpcap: the only
 * importer of `cap`, which is optional and so loaded when first asked for.
 *
 * What libpcap sees depends on the interface: on a TUN whole IP packets (link type `RAW`), on a TAP or a
 * veth Ethernet frames (`ETHERNET`). Packets this process or its kernel sends are captured as well as those
 * that arrive. Where segmentation is offloaded a capture holds superpackets, with checksums yet to be made.
 * The interface is looked up in the network namespace of the calling process.
 *
 * `cap` delivers packets into one buffer, and frees what it holds of libuv with the object, though libuv
 * still knows it: an object that was opened, or failed to open, must never be collected. So each is kept
 * until the process ends, which is why this is for captures and tests and not for a port a packet.
 * A device without an IPv4 address makes it print a warning on standard error; it means nothing here.
 */
import { createRequire } from 'node:module';
import { isUint8Array } from 'node:util/types';

/** The part of `cap` that is used. */
interface Cap {
  open(device: string, filter: string, kernelBytes: number, buffer: Buffer): string;
  send(buffer: Buffer, length: number): void;
  close(): boolean;
  on(event: 'packet', listener: (bytes: number, isCut: boolean) => void): void;
}

interface CapModule {
  readonly Cap: new () => Cap;
}

/** `RAW`, `ETHERNET`, or what else `cap` calls it. */
export type LinkType = string;

/** Called for each packet. `bytes` is the handler's own copy; `isCut`: it was longer than the snap length. */
export type PacketHandler = (bytes: Uint8Array, isCut: boolean) => void;

export interface Pcap {
  readonly linkType: LinkType;
  /** Calls `handler` for every packet from now on, in place of the one before. */
  read(handler: PacketHandler): void;
  /** Sends a packet (RAW) or a frame (ETHERNET) as it is. Throws Error with libpcap's reason. */
  inject(bytes: Uint8Array): void;
  /** Stops; no handler is called after it. Closing twice is fine. */
  close(): void;
}

/** Longest packet that `cap` asks libpcap for. */
export const SNAP_LENGTH_MAX = 65535;

const KERNEL_BUFFER_BYTES = 4 << 20;

const kept: Cap[] = [];

/**
 * Opens `device` in promiscuous mode; packets are captured from here on, and lost until `read` is called.
 * @param filter in libpcap's language; empty: everything
 * @param snapLength bytes of a packet that are kept, 1 … SNAP_LENGTH_MAX
 * @throws Error if `cap` is not built, the device is not there, the filter is wrong or the right is missing;
 *   RangeError for a snap length out of range
 */
export function openPcap(device: string, filter = '', snapLength = SNAP_LENGTH_MAX): Pcap {
  if (!Number.isInteger(snapLength) || snapLength < 1 || snapLength > SNAP_LENGTH_MAX)
    throw new RangeError(`snap length ${snapLength} is not within 1 to ${SNAP_LENGTH_MAX}`);
  const { Cap } = loadCap();
  const cap = new Cap();
  kept.push(cap);
  const buffer = Buffer.alloc(snapLength);
  let linkType: string;
  try {
    linkType = cap.open(device, filter, KERNEL_BUFFER_BYTES, buffer);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = filter === '' ? device : `${device} with the filter '${filter}'`;
    throw new Error(`cannot capture on ${what}: ${reason}`, { cause });
  }
  return new OpenedPcap(cap, buffer, linkType);
}

class OpenedPcap implements Pcap {
  readonly linkType: LinkType;
  private readonly cap: Cap;
  private handler: PacketHandler | undefined;
  private isOpen = true;

  constructor(cap: Cap, buffer: Buffer, linkType: LinkType) {
    this.cap = cap;
    this.linkType = linkType;
    // The listener also keeps the buffer alive, to which `cap` has no more than a pointer.
    cap.on('packet', (bytes, isCut) => {
      if (this.isOpen) this.handler?.(Uint8Array.from(buffer.subarray(0, bytes)), isCut);
    });
  }

  read(handler: PacketHandler): void {
    this.handler = handler;
  }

  inject(bytes: Uint8Array): void {
    // A handle that is closed is a null pointer to `cap`, which it follows.
    if (!this.isOpen) throw new Error('this capture is closed');
    if (!isUint8Array(bytes)) throw new TypeError('what is injected must be a Uint8Array');
    this.cap.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), bytes.byteLength);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.cap.close();
  }
}

function loadCap(): CapModule {
  const require = createRequire(import.meta.url);
  try {
    return require('cap') as CapModule;
  } catch (cause) {
    throw new Error(
      "the package 'cap' (libpcap) is not installed or not built; install the libpcap headers (libpcap-dev) and run: npm rebuild cap",
      { cause },
    );
  }
}

/** Why captures are not to be had here; undefined if they are. */
export function whyNoPcap(): string | undefined {
  try {
    loadCap();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
