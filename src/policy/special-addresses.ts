/**
 * Compiles the addresses that are not those of a host: the platform's, its services', and the uplink device's own.
 *
 * Groups never filter what an instance sends to a service of the platform (AWS, "Control traffic to your AWS
 * resources using security groups"). Only the service itself is exempt, by address, protocol and port. The rules
 * judge whatever else listens at the address.
 */
import type { Address, Family } from '../addr/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './protocols.ts';
import { WordTable } from './word-table.ts';

export interface ExemptService {
  readonly address: Address;
  readonly protocol: 6 | 17;
  readonly port: number;
}

export interface SpecialAddresses {
  /**
   * The platform's addresses, whether or not it provides anything there. No interface has them, and none may send
   * from them.
   */
  readonly reserved: readonly Address[];
  /** The uplink device's own addresses. No interface may send from them. */
  readonly uplink: readonly Address[];
  /** The services that egress gates never filter. */
  readonly exempt: readonly ExemptService[];
  /** Whether 240.0.0.0/4 is treated like any unicast block. 255.255.255.255 never is. */
  readonly allowsClassE: boolean;
}

export const NO_SPECIAL_ADDRESSES: SpecialAddresses = {
  reserved: [],
  uplink: [],
  exempt: [],
  allowsClassE: false,
};

// Values of CompiledPolicy.special4 and special6, combined by OR: what an address is.
const SPECIAL_RESERVED = 1;
const SPECIAL_UPLINK = 2;
const SERVICE_DNS_UDP = 4;
const SERVICE_DNS_TCP = 8;
const SERVICE_HTTP = 16;
const SERVICE_NTP = 32;
const SERVICE_KMS = 64;
const SERVICE_DHCP = 128;
/** Packets to an address in the platform's blocks are forwarded only if it has one of these bits. */
export const SPECIAL_PROVIDED =
  SPECIAL_UPLINK |
  SERVICE_DNS_UDP |
  SERVICE_DNS_TCP |
  SERVICE_HTTP |
  SERVICE_NTP |
  SERVICE_KMS |
  SERVICE_DHCP;

/** The upper half of 169.254.0.0/16, which no router forwards to (RFC 3927 section 7). */
const LINK_LOCAL_4 = 0xa9fe;
/** The first word of fd00:ec2::/32, which AWS keeps for services of an instance's own host. */
const SERVICES_6 = 0xfd000ec2 | 0;

/** Whether an address is in a block that is for services of an instance's own host. @param word0 its first word */
export function isInPlatformBlock(family: number, word0: number): boolean {
  return family === 4 ? word0 >>> 16 === LINK_LOCAL_4 : word0 === SERVICES_6;
}

/** The bit of a service; 0 if there is no such service. */
export function serviceBit(protocol: number, port: number): number {
  if (protocol === PROTOCOL_TCP) {
    if (port === 80) return SERVICE_HTTP;
    if (port === 53) return SERVICE_DNS_TCP;
    return port === 1688 ? SERVICE_KMS : 0;
  }
  if (protocol !== PROTOCOL_UDP) return 0;
  if (port === 53) return SERVICE_DNS_UDP;
  if (port === 123) return SERVICE_NTP;
  return port === 67 ? SERVICE_DHCP : 0;
}

/** Makes the table: address words → what the address is. */
export function compileSpecial(family: Family, special: SpecialAddresses): WordTable {
  const table = new WordTable(family === 4 ? 1 : 4);
  const add = (address: Address, bit: number): void => {
    if (address.family !== family) return;
    const key = Int32Array.from(address.words);
    table.set(key, table.get(key) | bit);
  };
  for (const address of special.reserved) add(address, SPECIAL_RESERVED);
  for (const address of special.uplink) add(address, SPECIAL_UPLINK);
  for (const { address, protocol, port } of special.exempt) {
    const bit = serviceBit(protocol, port);
    if (bit === 0) throw new Error(`no service of the platform is at ${protocol}/${port}`);
    add(address, bit);
  }
  return table;
}
