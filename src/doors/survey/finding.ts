/** What is found of an interface, or of what does without one. */
import type { Owner } from './facts.ts';

export type Verdict = 'guarded' | 'unguarded' | 'unknown';

export interface Finding {
  readonly verdict: Verdict;
  readonly owner: Owner;
  /** Absent: it has no interface of its own. */
  readonly device?: string;
  /** `veth`, `tap`, …; `host-network`: a container in the host's namespace; `qemu-user`, …: by sockets of a process. */
  readonly kind: string;
  /** The namespace of the device. */
  readonly netnsInode: number;
  readonly netnsPath?: string;
  /** The other end, on the host. */
  readonly hostEnd?: string;
  /** The interface of the daemon. */
  readonly guardedBy?: { readonly interface: string; readonly daemon: string };
  readonly why: string;
  /** What to do about it; absent: it is guarded. */
  readonly mend?: string;
}
