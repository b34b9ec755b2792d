/**
 * Answers DHCPv6 (RFC 8415): there is one address to give, the interface's, and it is always free.
 *
 * As for IPv4 (dhcp4.ts) there is no state, and each answer goes back where its question came from. An address that the
 * client has and that isn't the interface's gets lifetimes of 0 in answer to a renewal, so that it stops using it.
 *
 * Of several identity associations the first is served. Temporary addresses, prefixes and a two-message exchange (rapid
 * commit) are not given, and nor are relays served; a client goes on without them. A malformed message, or one whose
 * type no client sends, is dropped as bad-dhcp.
 */
import {
  DHCP6_ADVERTISE,
  DHCP6_CLIENT_PORT,
  DHCP6_CONFIRM,
  DHCP6_DECLINE,
  DHCP6_INFORMATION_REQUEST,
  DHCP6_OPTIONS,
  DHCP6_REBIND,
  DHCP6_RELEASE,
  DHCP6_RENEW,
  DHCP6_REPLY,
  DHCP6_REQUEST,
  DHCP6_SERVER_PORT,
  DHCP6_SOLICIT,
  DUID_BYTES_MAX,
  IA_ADDRESS_HEAD_BYTES,
  IA_NA_HEAD_BYTES,
  OPTION6_CLIENT,
  OPTION6_DNS,
  OPTION6_IA_ADDRESS,
  OPTION6_IA_NA,
  OPTION6_SERVER,
  OPTION6_STATUS,
  STATUS6_NOT_ON_LINK,
  STATUS6_SUCCESS,
} from '../../wire/dhcp-fields.ts';
import {
  ETHERNET_SOURCE,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_UDP,
  SOURCE_PORT,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
} from '../../wire/fields.ts';
import type { Lease6 } from '../../wire/lease.ts';
import { GATEWAY_MAC_HIGH, GATEWAY_MAC_LOW } from '../neighbour-messages.ts';
import { BAD_DHCP, LINK_SCOPE } from '../reasons.ts';
import { isLinkLocal6 } from '../scope.ts';
import { copyAddress6, destination6, setWords, UDP6_DATA, type Answers } from './answers.ts';
import { LEASE_SEC, NOT_FOR_US, TAKEN } from './verdicts.ts';

const PORTS = (DHCP6_CLIENT_PORT << 16) | DHCP6_SERVER_PORT;
/** All_DHCP_Relay_Agents_and_Servers, ff02::1:2 (RFC 8415 section 7.1). */
const SERVERS_0 = 0xff020000 | 0;
const SERVERS_3 = 0x00010002;
/** DUID-LL, type 3, of an Ethernet address, hardware type 1 (RFC 8415 section 11.4). */
const SERVER_ID_0 = 0x00030001;
const SERVER_ID_BYTES = 10;
/** How many addresses that a client has by mistake are named in an answer. */
const STRAYS_MAX = 4;
const OPTION_HEAD_BYTES = 4;
/** RFC 8415 section 14.2: half of the lease, and 0.8 of it. */
const RENEW_SEC = LEASE_SEC / 2;
const REBIND_SEC = LEASE_SEC * 0.8;

export class Dhcp6 {
  private readonly answers: Answers;
  // What the question has: where, and how many bytes; 0 if it has none.
  private clientId = 0;
  private clientIdBytes = 0;
  private serverId = 0;
  private serverIdBytes = 0;
  private association = 0;
  private associationBytes = 0;

  constructor(answers: Answers) {
    this.answers = answers;
  }

  /**
   * Takes an IPv6 packet of an instance, if it is a question to DHCPv6 servers.
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
  ): number {
    const data = findQuestion(view, ip, bytes);
    if (data === 0) return NOT_FOR_US;
    if (this.answers.isFull) return -LINK_SCOPE;
    const end = ip + IPV6_HEADER_BYTES + view.getUint16(ip + IPV6_HEADER_BYTES + UDP_LENGTH);
    if (end - data < DHCP6_OPTIONS || !this.readOptions(view, data + DHCP6_OPTIONS, end))
      return -BAD_DHCP;
    const type = view.getUint8(data);
    if (!this.isComplete(type)) return -BAD_DHCP;
    if (this.serverIdBytes > 0 && !this.isToUs(view)) return TAKEN;
    const hasAssociation = this.association !== 0;
    // RFC 8415 section 18.3.3: nothing is to be said about no address.
    if (type === DHCP6_CONFIRM && (!hasAssociation || !this.hasAddress(view))) return TAKEN;
    // A client that wants something else than an address would take any answer for a server that has nothing.
    if (type === DHCP6_SOLICIT && !hasAssociation) return TAKEN;
    this.answer(view, frame, ip, data, port, lease, type);
    return TAKEN;
  }

  /** Reads the options from `start` on. @returns false if they are malformed */
  private readOptions(view: DataView, start: number, end: number): boolean {
    this.clientIdBytes = 0;
    this.serverIdBytes = 0;
    this.association = 0;
    for (let at = start; at < end;) {
      if (at + OPTION_HEAD_BYTES > end) return false;
      const option = view.getUint16(at);
      const bytes = view.getUint16(at + 2);
      const value = at + OPTION_HEAD_BYTES;
      at = value + bytes;
      if (at > end) return false;
      if (option === OPTION6_CLIENT) {
        if (bytes === 0 || bytes > DUID_BYTES_MAX) return false;
        this.clientId = value;
        this.clientIdBytes = bytes;
      } else if (option === OPTION6_SERVER) {
        if (bytes === 0 || bytes > DUID_BYTES_MAX) return false;
        this.serverId = value;
        this.serverIdBytes = bytes;
      } else if (option === OPTION6_IA_NA && this.association === 0) {
        if (bytes < IA_NA_HEAD_BYTES || !isSoundAssociation(view, value, at)) return false;
        this.association = value;
        this.associationBytes = bytes;
      }
    }
    return true;
  }

  /** RFC 8415 section 16: which identifiers a message of each type has to have. */
  private isComplete(type: number): boolean {
    const hasClient = this.clientIdBytes > 0;
    const hasServer = this.serverIdBytes > 0;
    switch (type) {
      case DHCP6_SOLICIT:
      case DHCP6_CONFIRM:
      case DHCP6_REBIND:
        return hasClient && !hasServer;
      case DHCP6_REQUEST:
      case DHCP6_RENEW:
      case DHCP6_RELEASE:
      case DHCP6_DECLINE:
        return hasClient && hasServer;
      case DHCP6_INFORMATION_REQUEST:
        return this.association === 0;
      default:
        return false;
    }
  }

  private isToUs(view: DataView): boolean {
    const { serverId, serverIdBytes } = this;
    return (
      serverIdBytes === SERVER_ID_BYTES &&
      view.getInt32(serverId) === SERVER_ID_0 &&
      view.getUint16(serverId + 4) === GATEWAY_MAC_HIGH &&
      view.getInt32(serverId + 6) === GATEWAY_MAC_LOW
    );
  }

  private answer(
    view: DataView,
    frame: number,
    ip: number,
    data: number,
    port: number,
    lease: Lease6,
    type: number,
  ): void {
    const { answers } = this;
    const source = frame + ETHERNET_SOURCE;
    const out = answers.begin(port, view.getUint16(source), view.getInt32(source + 2));
    copyAddress6(view, ip + IPV6_SOURCE, answers.view, destination6(out));
    const message = out + UDP6_DATA;
    answers.copy(view, data, message, DHCP6_OPTIONS);
    answers.view.setUint8(message, type === DHCP6_SOLICIT ? DHCP6_ADVERTISE : DHCP6_REPLY);
    let at = setServerId(answers.view, message + DHCP6_OPTIONS);
    if (this.clientIdBytes > 0) {
      at = setOption(answers.view, at, OPTION6_CLIENT, this.clientIdBytes);
      answers.copy(view, this.clientId, at, this.clientIdBytes);
      at += this.clientIdBytes;
    }
    switch (type) {
      case DHCP6_CONFIRM: {
        const isOurs = this.countStrays(view, lease) === 0;
        at = setStatus(answers.view, at, isOurs ? STATUS6_SUCCESS : STATUS6_NOT_ON_LINK);
        break;
      }
      case DHCP6_RELEASE:
      case DHCP6_DECLINE:
        at = setStatus(answers.view, at, STATUS6_SUCCESS);
        break;
      default:
        if (this.association !== 0) at = this.setAssociation(view, at, lease);
        at = setDns(answers.view, at, lease);
    }
    answers.endUdp6(out, at, DHCP6_SERVER_PORT, DHCP6_CLIENT_PORT);
  }

  /** Writes the identity association with the interface's address. @returns where it ends */
  private setAssociation(view: DataView, start: number, lease: Lease6): number {
    const { answers, association } = this;
    const out = answers.view;
    const head = setOption(out, start, OPTION6_IA_NA, 0);
    answers.copy(view, association, head, 4);
    out.setInt32(head + 4, RENEW_SEC);
    out.setInt32(head + 8, REBIND_SEC);
    let at = setAddress(out, head + IA_NA_HEAD_BYTES, lease);
    const end = association + this.associationBytes;
    let strays = 0;
    for (let option = association + IA_NA_HEAD_BYTES; option < end && strays < STRAYS_MAX;) {
      if (isStray(view, option, lease)) {
        // Its lifetimes stay 0.
        at = setOption(out, at, OPTION6_IA_ADDRESS, IA_ADDRESS_HEAD_BYTES);
        copyAddress6(view, option + OPTION_HEAD_BYTES, out, at);
        at += IA_ADDRESS_HEAD_BYTES;
        strays++;
      }
      option += OPTION_HEAD_BYTES + view.getUint16(option + 2);
    }
    out.setUint16(start + 2, at - head);
    return at;
  }

  private hasAddress(view: DataView): boolean {
    const end = this.association + this.associationBytes;
    for (let option = this.association + IA_NA_HEAD_BYTES; option < end;) {
      if (view.getUint16(option) === OPTION6_IA_ADDRESS) return true;
      option += OPTION_HEAD_BYTES + view.getUint16(option + 2);
    }
    return false;
  }

  private countStrays(view: DataView, lease: Lease6): number {
    const end = this.association + this.associationBytes;
    let strays = 0;
    for (let option = this.association + IA_NA_HEAD_BYTES; option < end;) {
      if (isStray(view, option, lease)) strays++;
      option += OPTION_HEAD_BYTES + view.getUint16(option + 2);
    }
    return strays;
  }
}

/**
 * Finds a client's message. A client speaks to the servers' group, from a link-local address.
 * @returns where the message begins; 0 if it is something else
 */
function findQuestion(view: DataView, ip: number, bytes: number): number {
  if (bytes < UDP6_DATA || view.getUint8(ip + IPV6_NEXT_HEADER) !== PROTO_UDP) return 0;
  const udp = ip + IPV6_HEADER_BYTES;
  if (view.getInt32(udp + SOURCE_PORT) !== PORTS) return 0;
  const to = ip + IPV6_DESTINATION;
  if (view.getInt32(to) !== SERVERS_0 || view.getInt32(to + 12) !== SERVERS_3) return 0;
  if ((view.getInt32(to + 4) | view.getInt32(to + 8)) !== 0) return 0;
  if (!isLinkLocal6(view.getInt32(ip + IPV6_SOURCE))) return 0;
  const payload = view.getUint16(ip + IPV6_PAYLOAD_LENGTH);
  const udpBytes = view.getUint16(udp + UDP_LENGTH);
  if (payload > bytes - IPV6_HEADER_BYTES || udpBytes < UDP_HEADER_BYTES || udpBytes > payload)
    return 0;
  return udp + UDP_HEADER_BYTES;
}

/** Whether the options of an identity association are whole, and its addresses too. */
function isSoundAssociation(view: DataView, value: number, end: number): boolean {
  for (let at = value + IA_NA_HEAD_BYTES; at < end;) {
    if (at + OPTION_HEAD_BYTES > end) return false;
    const bytes = view.getUint16(at + 2);
    const isShort = view.getUint16(at) === OPTION6_IA_ADDRESS && bytes < IA_ADDRESS_HEAD_BYTES;
    at += OPTION_HEAD_BYTES + bytes;
    if (isShort || at > end) return false;
  }
  return true;
}

/** Whether the option is an address that isn't the interface's. */
function isStray(view: DataView, option: number, lease: Lease6): boolean {
  const { address } = lease;
  if (view.getUint16(option) !== OPTION6_IA_ADDRESS) return false;
  const at = option + OPTION_HEAD_BYTES;
  for (let i = 0; i < 4; i++) if (view.getInt32(at + 4 * i) !== address[i]) return true;
  return false;
}

/** Writes the head of an option. @returns where its value begins */
function setOption(view: DataView, at: number, option: number, bytes: number): number {
  view.setUint16(at, option);
  view.setUint16(at + 2, bytes);
  return at + OPTION_HEAD_BYTES;
}

function setServerId(view: DataView, start: number): number {
  const at = setOption(view, start, OPTION6_SERVER, SERVER_ID_BYTES);
  view.setInt32(at, SERVER_ID_0);
  view.setUint16(at + 4, GATEWAY_MAC_HIGH);
  view.setInt32(at + 6, GATEWAY_MAC_LOW);
  return at + SERVER_ID_BYTES;
}

function setStatus(view: DataView, start: number, status: number): number {
  const at = setOption(view, start, OPTION6_STATUS, 2);
  view.setUint16(at, status);
  return at + 2;
}

function setAddress(view: DataView, start: number, lease: Lease6): number {
  const head = setOption(view, start, OPTION6_IA_ADDRESS, IA_ADDRESS_HEAD_BYTES);
  const at = setWords(view, head, lease.address);
  view.setInt32(at, LEASE_SEC);
  view.setInt32(at + 4, LEASE_SEC);
  return at + 8;
}

function setDns(view: DataView, at: number, lease: Lease6): number {
  const { dns } = lease;
  if (dns.length === 0) return at;
  return setWords(view, setOption(view, at, OPTION6_DNS, 4 * dns.length), dns);
}
