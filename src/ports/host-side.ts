/** Which interface of a host the packet loops have packet sockets on, where there is one. */
import { isPairKind, portKind, type PortKindName } from './port-kind.ts';

/** The other end of an instance's device, in the daemon's own namespace. */
export interface HostEnd {
  readonly name: string;
  /** Whose it is, and which interface it stands for. */
  readonly alias: string;
}

interface Spec {
  readonly kind: PortKindName;
  readonly name: string;
  readonly netnsPath: string | undefined;
  readonly hostEnd?: HostEnd;
}

/**
 * The interface that the host is kept from, as a spec of its own: what is attached, or the host's end of a pair.
 * Undefined: the device is of another kind.
 */
export function hostSide<Of extends Spec>(spec: Of): Of | undefined {
  const kind = portKind(spec.kind);
  if (!kind.isSocket) return undefined;
  return isPairKind(kind) ? { ...spec, netnsPath: undefined, name: spec.hostEnd!.name } : spec;
}

/** Why a device has gone whose interface is not where it was. */
export function whyGone(name: string): string {
  return `${name} was deleted, or moved to another namespace`;
}
