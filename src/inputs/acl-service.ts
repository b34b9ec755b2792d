/**
 * Reads what an entry of a network ACL is about: protocol, ports, ICMP type. EC2's answers and Terraform have the same
 * parts.
 */
import { ANY, type AclEntry } from '../policy/model.ts';
import { hasIcmpType, hasPorts } from '../policy/protocols.ts';

const PROTOCOL_MAX = 255;
const PORT_MAX = 65535;
const BYTE_MAX = 255;

export type AclService = Pick<AclEntry, 'protocol' | 'fromPort' | 'toPort'>;

export interface AclParts {
  /** ANY, or an IANA number; undefined: it can't be read. */
  readonly protocol: number | undefined;
  /** Absent: all. A part that is undefined can't be read. */
  readonly ports?: readonly [from: number | undefined, to: number | undefined];
  readonly icmp?: readonly [type: number | undefined, code: number | undefined];
}

/** Protocol and ports as a rule has them; undefined: they can't be read. */
export function readAclService({ protocol, ports, icmp }: AclParts): AclService | undefined {
  if (protocol === undefined || protocol < ANY || protocol > PROTOCOL_MAX) return undefined;
  const everything = { protocol, fromPort: ANY, toPort: ANY };
  if (protocol === ANY) return everything;
  if (hasPorts(protocol)) {
    if (ports === undefined) return { protocol, fromPort: 0, toPort: PORT_MAX };
    const [fromPort, toPort] = ports;
    const isRange =
      fromPort !== undefined &&
      toPort !== undefined &&
      fromPort <= toPort &&
      fromPort >= 0 &&
      toPort <= PORT_MAX;
    return isRange ? { protocol, fromPort, toPort } : undefined;
  }
  if (!hasIcmpType(protocol) || icmp === undefined) return everything;
  const [fromPort, toPort] = icmp;
  const isByte = (one: number | undefined): one is number =>
    one !== undefined && one >= ANY && one <= BYTE_MAX;
  return isByte(fromPort) && isByte(toPort) ? { protocol, fromPort, toPort } : undefined;
}

/** An entry that can't be read may be about anything, and without a number it may come before all others. */
export function unreadEntry(
  direction: AclEntry['direction'],
  isAllow: boolean,
  number = 0,
): AclEntry {
  const everything = { protocol: ANY, fromPort: ANY, toPort: ANY };
  return { direction, ...everything, number, isAllow, block: undefined };
}
