/**
 * Writes router advertisements (RFC 4861), in answer to solicitations and by themselves. They say who the router is,
 * that addresses come by DHCPv6 (managed), which MTU the link has, and where DNS is (RFC 8106).
 *
 * No prefix is on the link: an instance reaches its neighbours by the router, as in a VPC, and makes no addresses of
 * its own. Advertisements by themselves are for instances that are silent for long: the route to the router would end
 * after ROUTER_LIFETIME_SEC, and Linux asks at the start only. After a restart of the daemon they begin when an
 * instance asks for anything; it renews its address within half an hour.
 */
import {
  ADVERTISEMENT_HEAD_BYTES,
  ROUTER_ADVERTISEMENT,
  ROUTER_SOLICITATION,
  SOLICITATION_HEAD_BYTES,
} from '../../wire/dhcp-fields.ts';
import {
  ETHERNET_SOURCE,
  ICMP_CODE,
  ICMP_TYPE,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_ICMPV6,
} from '../../wire/fields.ts';
import type { Lease6 } from '../../wire/lease.ts';
import { setGatewayMac } from '../neighbour-messages.ts';
import { BAD_DHCP, LINK_SCOPE } from '../reasons.ts';
import { isLinkLocal6 } from '../scope.ts';
import { copyAddress6, destination6, setWords, type Answers } from './answers.ts';
import { LEASE_SEC, NOT_FOR_US, TAKEN } from './verdicts.ts';

/** The most that RFC 4861 section 6.2.1 allows. */
export const ROUTER_LIFETIME_SEC = 9000;
export const ADVERTISE_MS = 600_000;

const SOLICITATION_HOPS = (PROTO_ICMPV6 << 8) | 255;
/** What hosts put into the hop limit of their packets. */
const HOST_HOPS = 64;
/** Addresses and other configuration come by DHCPv6. */
const MANAGED_AND_OTHER = 0xc0;
const OPTION_SOURCE_LINK_ADDRESS = 0x0101;
const OPTION_MTU = 0x0501;
const OPTION_DNS = 25;
/** All nodes of the link, ff02::1, and its MAC address. */
const ALL_NODES: readonly number[] = [0xff020000 | 0, 0, 0, 1];
const ALL_NODES_MAC_HIGH = 0x3333;
const ALL_NODES_MAC_LOW = 1;

export class RouterAdvertisements {
  private readonly answers: Answers;

  constructor(answers: Answers) {
    this.answers = answers;
  }

  /**
   * Takes an IPv6 packet of an instance, if it is a router solicitation.
   * @param frame offset of its Ethernet header
   * @param bytes from `ip` on
   * @returns TAKEN, NOT_FOR_US, or minus a drop reason
   */
  receive(
    view: DataView,
    frame: number,
    ip: number,
    bytes: number,
    port: number,
    lease: Lease6,
    mtu: number,
  ): number {
    const icmp = ip + IPV6_HEADER_BYTES;
    if (bytes < IPV6_HEADER_BYTES + SOLICITATION_HEAD_BYTES) return NOT_FOR_US;
    // A lower hop limit shows that the message came from beyond the link (RFC 4861 section 6.1.1).
    if (view.getUint16(ip + IPV6_NEXT_HEADER) !== SOLICITATION_HOPS) return NOT_FOR_US;
    if (view.getUint8(icmp + ICMP_TYPE) !== ROUTER_SOLICITATION) return NOT_FOR_US;
    const length = view.getUint16(ip + IPV6_PAYLOAD_LENGTH);
    if (length > bytes - IPV6_HEADER_BYTES) return NOT_FOR_US;
    if (view.getUint8(icmp + ICMP_CODE) !== 0 || !hasSoundOptions(view, icmp, length))
      return -BAD_DHCP;
    if (this.answers.isFull) return -LINK_SCOPE;
    const from = ip + IPV6_SOURCE;
    // From the unspecified address, or one that may not be the instance's.
    if (!isLinkLocal6(view.getInt32(from))) {
      this.advertise(port, lease, mtu);
      return TAKEN;
    }
    const mac = frame + ETHERNET_SOURCE;
    const out = this.answers.begin(port, view.getUint16(mac), view.getInt32(mac + 2));
    copyAddress6(view, from, this.answers.view, destination6(out));
    this.write(out, lease, mtu);
    return TAKEN;
  }

  /** Writes an advertisement for whoever is on the link of `port`. */
  advertise(port: number, lease: Lease6, mtu: number): void {
    const out = this.answers.begin(port, ALL_NODES_MAC_HIGH, ALL_NODES_MAC_LOW);
    setWords(this.answers.view, destination6(out), ALL_NODES);
    this.write(out, lease, mtu);
  }

  private write(ip: number, lease: Lease6, mtu: number): void {
    const { view } = this.answers;
    const icmp = ip + IPV6_HEADER_BYTES;
    view.setUint16(icmp + ICMP_TYPE, ROUTER_ADVERTISEMENT << 8);
    view.setUint16(icmp + 4, (HOST_HOPS << 8) | MANAGED_AND_OTHER);
    view.setUint16(icmp + 6, ROUTER_LIFETIME_SEC);
    let at = icmp + ADVERTISEMENT_HEAD_BYTES;
    view.setUint16(at, OPTION_SOURCE_LINK_ADDRESS);
    setGatewayMac(view, at + 2);
    at += 8;
    if (mtu !== 0) {
      view.setUint16(at, OPTION_MTU);
      view.setInt32(at + 4, mtu);
      at += 8;
    }
    const { dns } = lease;
    if (dns.length > 0) {
      view.setUint8(at, OPTION_DNS);
      view.setUint8(at + 1, 1 + dns.length / 2);
      view.setInt32(at + 4, LEASE_SEC);
      at = setWords(view, at + 8, dns);
    }
    this.answers.endIcmp6(ip, at);
  }
}

/** RFC 4861 section 6.1.1: no option has the length 0, and the last one ends with the message. */
function hasSoundOptions(view: DataView, icmp: number, length: number): boolean {
  if (length < SOLICITATION_HEAD_BYTES) return false;
  let at = SOLICITATION_HEAD_BYTES;
  while (at < length) {
    if (at + 8 > length) return false;
    const units = view.getUint8(icmp + at + 1);
    if (units === 0) return false;
    at += 8 * units;
  }
  return at === length;
}
