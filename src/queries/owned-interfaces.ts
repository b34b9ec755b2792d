/** What is asked and answered about interfaces that come and go by requests (`sgctl interface`, container runtimes). */
import { PORT_KIND_NAMES, type PortKindName } from '../ports/port-kind.ts';

export { TAGS_MAX } from '../policy/tags.ts';
export const DEVICE_KINDS = PORT_KIND_NAMES;

export interface DeviceQuestion {
  /** `tun` if it is left out. */
  readonly kind?: PortKindName;
  /** `eth0` if it is left out. */
  readonly name?: string;
  /** A name below the namespace directory, or a path; the daemon's own namespace if it is left out. */
  readonly netns?: string;
  /** Bytes. */
  readonly mtu?: number;
  /** Whether the daemon gives the device its addresses and routes; if left out, in another namespace than its own. */
  readonly configure?: boolean;
  /** Whether the device stays when the daemon ends. */
  readonly persist?: boolean;
}

export interface InterfaceQuestion {
  /** `eni-…`; the same request again is answered with what is there. */
  readonly id: string;
  /** Who asks, such as `docker`: it lists and reconciles its own. */
  readonly owner: string;
  readonly device?: DeviceQuestion;
  readonly addresses: readonly string[];
  /** Whether the owner has these addresses by `leaseAddress`. */
  readonly leased?: boolean;
  /** Ids or names. */
  readonly securityGroups: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
}

/** Which addresses an owner wants to have addresses of, as Docker's IPAM does. */
export interface PoolQuestion {
  /** The block of a subnet. */
  readonly cidr: string;
  /** Whichever has the block, if it is left out. */
  readonly subnet?: string;
  readonly vpc?: string;
  /** A part of the block; all of it if it is left out. */
  readonly range?: string;
}

export interface PoolView {
  readonly subnet: string;
  readonly vpc: string;
  /** The block, without bits beyond its length. */
  readonly cidr: string;
  /** The address that is the subnet's router. */
  readonly router: string;
}

export interface LeaseQuestion extends PoolQuestion {
  readonly owner: string;
  /** Any that is free, if it is left out. */
  readonly address?: string;
}

export interface ReleaseQuestion {
  readonly owner: string;
  readonly vpc: string;
  readonly address: string;
}

export interface AttachmentQuestion {
  /** `eni-…`, which a call of the EC2 API made. */
  readonly id: string;
  /** `eni-attach-…`, which the owner chooses: the same request again is answered with what is there. */
  readonly attachment: string;
  readonly owner: string;
  readonly device?: DeviceQuestion;
  /** What the instance gets, which must be the interface's; if left out, all that it has. */
  readonly addresses?: readonly string[];
}

export interface OwnedInterfaceView {
  readonly id: string;
  /** The id of its attachment, if a call of the EC2 API made it; absent: it was made for its owner. */
  readonly attachment?: string;
  /** Who asked for the interface, or for its attachment. */
  readonly owner: string;
  readonly device: Required<Omit<DeviceQuestion, 'netns'>> & Pick<DeviceQuestion, 'netns'>;
  readonly addresses: readonly string[];
  readonly securityGroups: readonly { readonly id: string; readonly name: string }[];
  readonly tags: Readonly<Record<string, string>>;
  readonly macAddress: string;
  /** Why the rules do not hold for it; absent: they do. */
  readonly notInForce?: string;
}
