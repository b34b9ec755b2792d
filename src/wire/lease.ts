/** Says what DHCP and router advertisements tell an instance about its interface. Addresses are int32 words. */

export interface Lease4 {
  readonly address: number;
  readonly prefixLength: number;
  /** The default gateway, which is the DHCP server too. Any address will do: the gateway answers ARP for all. */
  readonly router: number;
  readonly dns: readonly number[];
}

export interface Lease6 {
  /** Four words. */
  readonly address: readonly number[];
  /** Four words each, one address after the other. */
  readonly dns: readonly number[];
}

export interface Lease {
  /** Undefined: the interface has no address of the family, and nobody answers in it. */
  readonly ipv4: Lease4 | undefined;
  readonly ipv6: Lease6 | undefined;
}

/** The most addresses of DNS servers in a lease, of one family. AWS: "DHCP option sets", domain-name-servers. */
export const LEASE_DNS_MAX = 4;
