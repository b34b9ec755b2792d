/**
 * The contract with the addon of the kernel's fast path (`native/offload/`), and its loader.
 *
 * It is an addon of its own, since it needs libbpf, which a machine may lack. Failed calls throw NativeError
 * (ports/native.ts).
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What part a device has in the fast path. */
export interface FastPathPart {
  /** `both`: packets from it and to it; `from`: packets from it alone; `none`: all its packets go by the daemon. */
  readonly forwards: 'both' | 'from' | 'none';
  /** Why not both. */
  readonly why?: string;
}

/** Descriptors of the tables and of the programs. Whoever opened them closes them. */
export interface OpenedOffload {
  readonly control: number;
  readonly ports: number;
  readonly buckets: number;
  readonly flows: number;
  readonly changed: number;
  readonly decide: number;
  readonly forward: number;
  readonly rehearse: number;
}

export interface NativeOffload {
  /** Loads the programs into the kernel, with tables for so many flows. Needs CAP_BPF and CAP_NET_ADMIN. */
  openOffload(path: string, flows: number, buckets: number): OpenedOffload;
  /** Maps the first bytes of a table. The programs write it too. */
  mapMemory(fd: number, bytes: number): ArrayBuffer;
  /** Puts `forward` at a device's tc ingress hook, in the place of what an earlier process left there. */
  attachForward(netns: string | undefined, ifindex: number, program: number): void;
  /** Takes it away. Nothing happens if it, or the device, is gone. */
  detachForward(netns: string | undefined, ifindex: number): void;
  /** Has `decide` say which packets a packet socket gets. @param program -1: it gets all again */
  filterSocket(fd: number, program: number): void;
  /**
   * What `rehearse` says of a frame.
   * @param ifindex of the device that it came in by
   * @param segmentBytes, segments of a superpacket; 0 otherwise
   * @returns 1: the kernel would forward it; 0: it goes to the loop
   */
  rehearse(
    program: number,
    frame: Uint8Array,
    ifindex: number,
    segmentBytes: number,
    segments: number,
  ): number;
}

/** The programs, compiled for the kernel. */
export const OFFLOAD_OBJECT = fileURLToPath(
  new URL('../../../build/native/offload.bpf.o', import.meta.url),
);

/** @throws Error that says why there is no fast path: it was not built, or libbpf is missing */
export function loadNativeOffload(): NativeOffload {
  const path = fileURLToPath(
    new URL('../../../build/native/secgroupd-offload.node', import.meta.url),
  );
  try {
    return createRequire(import.meta.url)(path) as NativeOffload;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    const hint = /libbpf/.test(why)
      ? 'install libbpf1'
      : 'install clang and libbpf-dev, then run scripts/build';
    throw new Error(`the addon of the fast path cannot be loaded: ${why}; ${hint}`, { cause });
  }
}
