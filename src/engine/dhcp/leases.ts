/**
 * Tells instances what their interface is, as a VPC does: by DHCP, DHCPv6 and router advertisements. It knows which
 * port has which lease, and whom to hand a question to.
 *
 * A question never goes further than here, and an answer goes to the port its question came from. A port without a
 * lease has no answers, and its questions end at the link, or are judged like any packet. Security groups have no say,
 * as with AWS's DHCP and router.
 */
import { ETHERTYPE_IPV4, IPV6_NEXT_HEADER, PROTO_ICMPV6 } from '../../wire/fields.ts';
import type { Lease } from '../../wire/lease.ts';
import { Answers } from './answers.ts';
import { Dhcp4 } from './dhcp4.ts';
import { Dhcp6 } from './dhcp6.ts';
import { RouterAdvertisements } from './router-advertisements.ts';
import { NOT_FOR_US, TAKEN } from './verdicts.ts';

export class Leases {
  /** By port; null: none. */
  private readonly leases: (Lease | null)[];
  /** By port: the MTU of its link; 0 if it is not known. */
  private readonly mtus: Int32Array;
  /** By port: 1 if the instance has asked in IPv6. Who has its addresses from elsewhere is told of no router. */
  private readonly hasAsked: Uint8Array;
  /** Whether an instance is to be told of its router from time to time. */
  advertises = false;
  readonly answers = new Answers();
  private readonly dhcp4 = new Dhcp4(this.answers);
  private readonly dhcp6 = new Dhcp6(this.answers);
  private readonly advertisements = new RouterAdvertisements(this.answers);

  constructor(ports: number) {
    this.leases = new Array<Lease | null>(ports).fill(null);
    this.mtus = new Int32Array(ports);
    this.hasAsked = new Uint8Array(ports);
  }

  /** @param mtu of the port's link; 0 if it is not known */
  set(port: number, lease: Lease | null, mtu: number): void {
    this.leases[port] = lease;
    this.mtus[port] = mtu;
    if (lease === null) this.hasAsked[port] = 0;
  }

  /**
   * Takes the packet at `ip` of a frame that came in by `port`, if it is a question about the interface.
   * @param frame offset of the Ethernet header
   * @param bytes from `ip` on
   * @returns TAKEN, NOT_FOR_US, or minus a drop reason
   */
  receive(view: DataView, frame: number, ip: number, bytes: number, port: number): number {
    const lease = this.leases[port];
    if (lease === null) return NOT_FOR_US;
    const mtu = this.mtus[port];
    if (view.getUint16(ip - 2) === ETHERTYPE_IPV4) {
      const { ipv4 } = lease;
      if (ipv4 === undefined) return NOT_FOR_US;
      return this.dhcp4.receive(view, frame, ip, bytes, port, ipv4, mtu);
    }
    const { ipv6 } = lease;
    if (ipv6 === undefined) return NOT_FOR_US;
    const isIcmp =
      bytes > IPV6_NEXT_HEADER && view.getUint8(ip + IPV6_NEXT_HEADER) === PROTO_ICMPV6;
    const verdict = isIcmp
      ? this.advertisements.receive(view, frame, ip, bytes, port, ipv6, mtu)
      : this.dhcp6.receive(view, frame, ip, bytes, port, ipv6);
    if (verdict === TAKEN) {
      this.hasAsked[port] = 1;
      this.advertises = true;
    }
    return verdict;
  }

  /**
   * Writes advertisements for those that have asked, until there is no room for more.
   * @param first the first port to tell
   * @returns the port to go on with after a write; -1: all were told
   */
  advertiseFrom(first: number): number {
    const { leases, answers, hasAsked } = this;
    for (let port = first; port < leases.length; port++) {
      const lease = leases[port];
      if (hasAsked[port] === 0 || lease === null || lease.ipv6 === undefined) continue;
      if (answers.isFull) return port;
      this.advertisements.advertise(port, lease.ipv6, this.mtus[port]);
    }
    return -1;
  }
}
