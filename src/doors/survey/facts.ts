/** These are the facts about a host by which `judge.ts` says which interfaces are guarded. */
import type { PlacedLink } from '../../ports/links.ts';

/** Who has a namespace or a device, as far as it can be told. */
export interface Owner {
  /** A runtime (`docker`); `process`: no container that is known; `namespace`: nobody is in it. */
  readonly kind: string;
  /** A container's id, the name of a machine, of a process with its number, or of a namespace. */
  readonly name: string;
}

export interface SeenLink extends PlacedLink {
  /**
   * The inode of the namespace that `link` is in. `unknown`: one that could not be looked at. Absent: it leads nowhere.
   */
  readonly linkedTo?: number | 'unknown';
}

export interface SeenNamespace {
  readonly inode: number;
  /** Where it is mounted; absent: nowhere that is seen from here. */
  readonly path?: string;
  readonly owner: Owner;
  readonly links: readonly SeenLink[];
}

/** A device that a daemon has, by its own answer. */
export interface Guard {
  /** The interface's name; `uplink` of the uplink. */
  readonly name: string;
  readonly isUplink: boolean;
  /** Its socket's path, of a stream. */
  readonly device: string;
  readonly isStream: boolean;
  /** It is the host's end of something: what is guarded is at the other end. */
  readonly isHostEnd: boolean;
  /** Absent: of a stream. */
  readonly netnsInode?: number;
  /** The control socket of the daemon. */
  readonly daemon: string;
}

export interface AskedDaemon {
  readonly socket: string;
  /** `unknown`: it may run, and what it guards is not known. */
  readonly state: 'answered' | 'absent' | 'unknown';
  readonly reason?: string;
}

/** A process that holds the file side of a TUN or TAP. */
export interface Holder {
  readonly device: string;
  readonly owner: Owner;
  /** Of the namespace that the process is in, which may be another than the device's. */
  readonly netns: number;
  /** By its command line it is a secgroupd. */
  readonly isDaemon: boolean;
}

/** A process of QEMU, and what its command line says of a network interface. */
export interface Machine {
  readonly owner: Owner;
  readonly netns: number;
  /** Whether it sees the same files as this process: else paths mean nothing here. */
  readonly isSameMount: boolean;
  /** `-netdev`'s type, and the path of a stream's socket. */
  readonly netdevs: readonly { readonly type: string; readonly path?: string }[];
}

export interface Unread {
  readonly what: string;
  readonly reason: string;
}

export interface Facts {
  /** The inode of the namespace that counts as the host's. */
  readonly here: number;
  readonly namespaces: readonly SeenNamespace[];
  readonly daemons: readonly AskedDaemon[];
  readonly guards: readonly Guard[];
  readonly holders: readonly Holder[];
  /** Containers that are in the host's namespace. */
  readonly onHost: readonly Owner[];
  readonly machines: readonly Machine[];
  readonly unread: readonly Unread[];
}

export function ownerText({ kind, name }: Owner): string {
  return kind === 'process' || kind === 'namespace' ? name : `${kind} ${name}`;
}
