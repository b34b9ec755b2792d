/**
 * Answers DHCP for IPv4 (RFC 2131): there is one address to give, the interface's, and it is always free.
 *
 * So there is no state. A request for another address is refused (NAK), and the client begins again. What the client
 * says about its lease (RELEASE, DECLINE) changes nothing. An answer depends on nothing but the question and the
 * interface, and goes back where the question came from, so no instance learns of another's lease or gets it.
 *
 * Not served: relays, which a link with one instance has no use for, and BOOTP. A message that is malformed is dropped
 * as bad-dhcp. The checksum isn't looked at: the sender may have left it to its device.
 */
import {
  DHCP_ACK,
  DHCP_BROADCAST_FLAG,
  DHCP_CLIENT_ADDRESS,
  DHCP_CLIENT_MAC,
  DHCP_CLIENT_PORT,
  DHCP_COOKIE,
  DHCP_DECLINE,
  DHCP_DISCOVER,
  DHCP_FLAGS,
  DHCP_INFORM,
  DHCP_MAGIC,
  DHCP_NAK,
  DHCP_OFFER,
  DHCP_OP,
  DHCP_OPTIONS,
  DHCP_RELAY_ADDRESS,
  DHCP_RELEASE,
  DHCP_REPLY_START,
  DHCP_REQUEST,
  DHCP_REQUEST_START,
  DHCP_SERVER_PORT,
  DHCP_XID,
  DHCP_YOUR_ADDRESS,
  DUID_BYTES_MAX,
  OPTION4_CLIENT,
  OPTION4_DNS,
  OPTION4_END,
  OPTION4_LEASE_TIME,
  OPTION4_MASK,
  OPTION4_MTU,
  OPTION4_PAD,
  OPTION4_REQUESTED,
  OPTION4_ROUTER,
  OPTION4_ROUTES,
  OPTION4_SERVER,
  OPTION4_TYPE,
} from '../../wire/dhcp-fields.ts';
import {
  ETHERNET_SOURCE,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_MORE_FRAGMENTS,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  PROTO_UDP,
  SOURCE_PORT,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
} from '../../wire/fields.ts';
import type { Lease4 } from '../../wire/lease.ts';
import { BAD_DHCP, LINK_SCOPE } from '../reasons.ts';
import { UDP4_DATA, type Answers } from './answers.ts';
import { LEASE_SEC, NOT_FOR_US, TAKEN } from './verdicts.ts';

const PLAIN_IPV4 = 0x45;
const PORTS = (DHCP_CLIENT_PORT << 16) | DHCP_SERVER_PORT;
const BROADCAST = -1;
const BROADCAST_MAC_HIGH = 0xffff;
/** A type, an IAID and a DUID (RFC 4361 section 6.1). Longer ones would make the answer longer than 576 bytes. */
const CLIENT_ID_BYTES_MAX = 5 + DUID_BYTES_MAX;

/** RFC 3442: one route to the router itself, which is on the link, and the default route by it. */
const ROUTE_TO_ROUTER = 32;
const HOST_PREFIX = 32;

export class Dhcp4 {
  private readonly answers: Answers;
  // What the options of the question say; 0 if they say nothing.
  private type = 0;
  private requested = 0;
  private server = 0;
  private clientId = 0;
  private clientIdBytes = 0;

  constructor(answers: Answers) {
    this.answers = answers;
  }

  /**
   * Takes an IPv4 packet of an instance, if it is a question to the DHCP server.
   * @param frame offset of its Ethernet header
   * @param bytes from `ip` on
   * @param mtu of the link; 0 if it is not known
   * @returns TAKEN, NOT_FOR_US, or minus a drop reason
   */
  receive(
    view: DataView,
    frame: number,
    ip: number,
    bytes: number,
    port: number,
    lease: Lease4,
    mtu: number,
  ): number {
    const data = findQuestion(view, ip, bytes, lease.router);
    if (data === 0) return NOT_FOR_US;
    if (this.answers.isFull) return -LINK_SCOPE;
    const end = ip + IPV4_HEADER_BYTES + view.getUint16(ip + IPV4_HEADER_BYTES + UDP_LENGTH);
    if (!isSound(view, frame, data, end - data) || !this.readOptions(view, data, end))
      return -BAD_DHCP;
    const { type, requested, server } = this;
    const client = view.getInt32(data + DHCP_CLIENT_ADDRESS);
    switch (type) {
      case DHCP_DISCOVER:
        this.answer(view, frame, ip, data, port, lease, mtu, DHCP_OFFER);
        return TAKEN;
      case DHCP_REQUEST: {
        // It has chosen another server. There is none on this link, and it will ask again.
        if (server !== 0 && server !== lease.router) return TAKEN;
        const wanted = requested !== 0 ? requested : client;
        if (wanted === 0) return -BAD_DHCP;
        const verdict = wanted === lease.address ? DHCP_ACK : DHCP_NAK;
        this.answer(view, frame, ip, data, port, lease, mtu, verdict);
        return TAKEN;
      }
      case DHCP_INFORM:
        this.answer(view, frame, ip, data, port, lease, mtu, DHCP_ACK);
        return TAKEN;
      case DHCP_DECLINE:
      case DHCP_RELEASE:
        return TAKEN;
      default:
        return -BAD_DHCP;
    }
  }

  /** Reads the options behind the cookie. @returns false if they are malformed, or say no type */
  private readOptions(view: DataView, data: number, end: number): boolean {
    this.type = 0;
    this.requested = 0;
    this.server = 0;
    this.clientIdBytes = 0;
    for (let at = data + DHCP_OPTIONS; at < end;) {
      const option = view.getUint8(at);
      if (option === OPTION4_END) break;
      if (option === OPTION4_PAD) {
        at++;
        continue;
      }
      if (at + 2 > end) return false;
      const bytes = view.getUint8(at + 1);
      const value = at + 2;
      at = value + bytes;
      if (at > end) return false;
      if (!this.readOption(view, option, value, bytes)) return false;
    }
    return this.type !== 0;
  }

  private readOption(view: DataView, option: number, value: number, bytes: number): boolean {
    switch (option) {
      case OPTION4_TYPE:
        if (bytes !== 1) return false;
        this.type = view.getUint8(value);
        return true;
      case OPTION4_REQUESTED:
        if (bytes !== 4) return false;
        this.requested = view.getInt32(value);
        return true;
      case OPTION4_SERVER:
        if (bytes !== 4) return false;
        this.server = view.getInt32(value);
        return true;
      case OPTION4_CLIENT:
        this.clientId = value;
        this.clientIdBytes = bytes;
        return bytes > 0 && bytes <= CLIENT_ID_BYTES_MAX;
      default:
        return true;
    }
  }

  private answer(
    view: DataView,
    frame: number,
    ip: number,
    data: number,
    port: number,
    lease: Lease4,
    mtu: number,
    type: number,
  ): void {
    const { answers } = this;
    const to = this.destination(view, ip, data, lease, type);
    const isToAll = to === BROADCAST;
    const source = frame + ETHERNET_SOURCE;
    const macHigh = isToAll ? BROADCAST_MAC_HIGH : view.getUint16(source);
    const macLow = isToAll ? -1 : view.getInt32(source + 2);
    const out = answers.begin(port, macHigh, macLow);
    const message = out + UDP4_DATA;
    const isForLease = type !== DHCP_NAK && this.type !== DHCP_INFORM;
    answers.view.setInt32(message + DHCP_OP, DHCP_REPLY_START);
    answers.copy(view, data + DHCP_XID, message + DHCP_XID, 4);
    answers.copy(view, data + DHCP_FLAGS, message + DHCP_FLAGS, 2);
    if (type === DHCP_ACK)
      answers.copy(view, data + DHCP_CLIENT_ADDRESS, message + DHCP_CLIENT_ADDRESS, 4);
    if (isForLease) answers.view.setInt32(message + DHCP_YOUR_ADDRESS, lease.address);
    answers.copy(view, data + DHCP_CLIENT_MAC, message + DHCP_CLIENT_MAC, 16);
    answers.view.setInt32(message + DHCP_COOKIE, DHCP_MAGIC);
    let at = setByte(answers.view, message + DHCP_OPTIONS, OPTION4_TYPE, type);
    at = setWord(answers.view, at, OPTION4_SERVER, lease.router);
    if (this.clientIdBytes > 0) {
      // RFC 6842: a client may tell its answers by it.
      answers.view.setUint8(at, OPTION4_CLIENT);
      answers.view.setUint8(at + 1, this.clientIdBytes);
      answers.copy(view, this.clientId, at + 2, this.clientIdBytes);
      at += 2 + this.clientIdBytes;
    }
    if (isForLease) at = setWord(answers.view, at, OPTION4_LEASE_TIME, LEASE_SEC);
    if (type !== DHCP_NAK) at = setParameters(answers.view, at, lease, mtu);
    answers.view.setUint8(at, OPTION4_END);
    answers.endUdp4(out, at + 1, lease.router, to, DHCP_SERVER_PORT, DHCP_CLIENT_PORT);
  }

  /** RFC 2131 section 4.1. A client is written to at the address that it has, if that is the interface's. */
  private destination(
    view: DataView,
    ip: number,
    data: number,
    lease: Lease4,
    type: number,
  ): number {
    if (type === DHCP_NAK) return BROADCAST;
    if (view.getInt32(ip + IPV4_SOURCE) === lease.address) return lease.address;
    const isForAll = (view.getUint16(data + DHCP_FLAGS) & DHCP_BROADCAST_FLAG) !== 0;
    return isForAll || this.type === DHCP_INFORM ? BROADCAST : lease.address;
  }
}

/**
 * Finds a message of a client to this link's server: by broadcast, or to the router's address, as renewals are. What an
 * instance sends to another server is for the gates to judge.
 * @returns where the message begins; 0 if it is something else
 */
function findQuestion(view: DataView, ip: number, bytes: number, router: number): number {
  if (bytes < UDP4_DATA || view.getUint8(ip) !== PLAIN_IPV4) return 0;
  if (view.getUint8(ip + IPV4_PROTOCOL) !== PROTO_UDP) return 0;
  const fragment = view.getUint16(ip + IPV4_FRAGMENT);
  if ((fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) !== 0) return 0;
  const udp = ip + IPV4_HEADER_BYTES;
  if (view.getInt32(udp + SOURCE_PORT) !== PORTS) return 0;
  const destination = view.getInt32(ip + IPV4_DESTINATION);
  if (destination !== BROADCAST && destination !== router) return 0;
  const total = view.getUint16(ip + IPV4_TOTAL_LENGTH);
  const udpBytes = view.getUint16(udp + UDP_LENGTH);
  if (total > bytes || udpBytes < UDP_HEADER_BYTES || udpBytes > total - IPV4_HEADER_BYTES)
    return 0;
  return udp + UDP_HEADER_BYTES;
}

/**
 * Whether the fixed part is that of a client on this link. A relay's address would have the answer sent elsewhere, and
 * a hardware address that isn't the frame's would name another host as who asks.
 */
function isSound(view: DataView, frame: number, data: number, bytes: number): boolean {
  if (bytes < DHCP_OPTIONS) return false;
  const mac = data + DHCP_CLIENT_MAC;
  const source = frame + ETHERNET_SOURCE;
  return (
    view.getInt32(data + DHCP_OP) === DHCP_REQUEST_START &&
    view.getInt32(data + DHCP_COOKIE) === DHCP_MAGIC &&
    view.getInt32(data + DHCP_RELAY_ADDRESS) === 0 &&
    view.getUint16(mac) === view.getUint16(source) &&
    view.getInt32(mac + 2) === view.getInt32(source + 2)
  );
}

function setByte(view: DataView, at: number, option: number, value: number): number {
  view.setUint8(at, option);
  view.setUint8(at + 1, 1);
  view.setUint8(at + 2, value);
  return at + 3;
}

function setWord(view: DataView, at: number, option: number, value: number): number {
  view.setUint8(at, option);
  view.setUint8(at + 1, 4);
  view.setInt32(at + 2, value);
  return at + 6;
}

/** Writes what the interface is. @returns where the options end */
function setParameters(view: DataView, start: number, lease: Lease4, mtu: number): number {
  const { prefixLength, router, dns } = lease;
  // A shift by 32 is a shift by 0.
  const mask = prefixLength === 0 ? 0 : -1 << (HOST_PREFIX - prefixLength);
  let at = setWord(view, start, OPTION4_MASK, mask);
  at = setWord(view, at, OPTION4_ROUTER, router);
  if (dns.length > 0) {
    view.setUint8(at, OPTION4_DNS);
    view.setUint8(at + 1, 4 * dns.length);
    for (let i = 0; i < dns.length; i++) view.setInt32(at + 2 + 4 * i, dns[i]);
    at += 2 + 4 * dns.length;
  }
  if (mtu !== 0) {
    view.setUint8(at, OPTION4_MTU);
    view.setUint8(at + 1, 2);
    view.setUint16(at + 2, mtu);
    at += 4;
  }
  if (prefixLength !== HOST_PREFIX) return at;
  view.setUint8(at, OPTION4_ROUTES);
  view.setUint8(at + 1, 14);
  view.setUint8(at + 2, ROUTE_TO_ROUTER);
  view.setInt32(at + 3, router);
  view.setInt32(at + 7, 0);
  view.setUint8(at + 11, 0);
  view.setInt32(at + 12, router);
  return at + 16;
}
