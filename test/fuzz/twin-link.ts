/**
 * The twin's link layer: what becomes of a frame from a TAP before its packet is judged, and of a packet on its
 * way to one. Frames are arrays of bytes here, and an answer is written anew instead of in place.
 *
 * Sources: the theory of operation of src/engine/link.ts; docs/drop-reasons.md (`unknown-ethertype`, `vlan-tagged`,
 * `neighbour-spoof`, `link-scope`); RFC 826 (ARP), RFC 5227 (probes), RFC 4861 sections 4.3, 4.4 and 7.1.1 and
 * RFC 4862 section 5.4 (neighbour discovery), IEEE 802.1Q (VID 0 is a priority tag), virtio 1.2 section 5.1.6.
 */
import { NeighboursTwin } from '../engine/neighbours-twin.ts';

const GATEWAY = [0x02, 0x73, 0x67, 0x00, 0x00, 0x01];
const UPLINK = 0;
const UNKNOWN = [255, 255, 255, 255, 255, 255];
const WAIT_MS = 3000;
const WAITING_SHARE = 8;
const WAITING_BYTES_MAX = 2048 - 24;
const VNET_BYTES = 10;

export type FrameVerdict =
  | { readonly kind: 'dropped'; readonly reason: string }
  | { readonly kind: 'answered'; readonly frame: readonly number[] }
  /** An IP packet from there on, to be judged. */
  | { readonly kind: 'packet'; readonly at: number };

interface Waiting {
  readonly vnet: readonly number[];
  readonly packet: Uint8Array;
  readonly port: number;
  /** The interface it counts for. */
  readonly share: number;
  readonly sinceMs: number;
}

export class TwinLink {
  private readonly macs = new Map<number, { readonly mac: readonly number[] }>();
  private readonly neighbours = new NeighboursTwin();
  private waiting: Waiting[] = [];
  private readonly portOf: (address: string) => number | undefined;

  /** @param portOf the interface of an address, as a string of a character a byte */
  constructor(portOf: (address: string) => number | undefined) {
    this.portOf = portOf;
  }

  receive(frame: Uint8Array, port: number, nowMs: number): FrameVerdict {
    if (frame.length < 14) return drop('truncated');
    let at = 14;
    if (u16(frame, 12) === 0x8100) {
      if (frame.length < 18) return drop('truncated');
      if (u16(frame, 14) % 4096 !== 0) return drop('vlan-tagged');
      at = 18;
    }
    const type = u16(frame, at - 2);
    if (type === 0x0806) return this.receiveArp(frame, at, port, nowMs);
    if (type !== 0x0800 && type !== 0x86dd) return drop('unknown-ethertype');
    const version = at < frame.length ? frame[at] >> 4 : 0;
    if (version !== (type === 0x0800 ? 4 : 6)) return drop('bad-ip-version');
    const message = neighbourMessage(frame.subarray(at));
    if (message === 135) return this.receiveSolicitation(frame, at, port, nowMs);
    return message === 136
      ? this.receiveAdvertisement(frame, at, port, nowMs)
      : { kind: 'packet', at };
  }

  /** To be called for what went on. */
  learn(frame: Uint8Array, port: number): void {
    if (port !== UPLINK) this.macs.set(port, { mac: [...frame.subarray(6, 12)] });
  }

  /** What the device of `port`, a TAP, is given: the virtio header and the frame; or what becomes of it. */
  wrap(
    vnet: readonly number[],
    packet: Uint8Array,
    port: number,
    from: number,
    nowMs: number,
  ): number[] | 'held' | 'unresolved' {
    const mac = this.resolve(packet, port, from, nowMs);
    if (mac !== undefined) return framed(vnet, packet, mac);
    const share = port === UPLINK ? from : port;
    const isFull = this.waiting.filter((other) => other.share === share).length >= WAITING_SHARE;
    if (isFull || packet.length > WAITING_BYTES_MAX) return 'unresolved';
    this.waiting.push({ vnet, packet: packet.slice(), port, share, sinceMs: nowMs });
    return 'held';
  }

  /** What is written of what waits: the port, and the bytes. */
  settle(nowMs: number): { readonly port: number; readonly bytes: readonly number[] }[] {
    const { waiting } = this;
    this.waiting = [];
    return waiting.flatMap((entry) => {
      const mac = this.resolve(entry.packet, entry.port, entry.share, nowMs);
      if (mac !== undefined)
        return [{ port: entry.port, bytes: framed(entry.vnet, entry.packet, mac) }];
      if (nowMs - entry.sinceMs < WAIT_MS) this.waiting.push(entry);
      return [];
    });
  }

  private resolve(
    packet: Uint8Array,
    port: number,
    share: number,
    nowMs: number,
  ): readonly number[] | undefined {
    if (port === UPLINK) {
      const to = packet[0] >> 4 === 4 ? text(packet, 16, 4) : text(packet, 24, 16);
      const { mac } = this.neighbours.lookUp(to, share, nowMs);
      return mac === undefined ? undefined : [...mac].map((c) => c.charCodeAt(0));
    }
    const known = this.macs.get(port);
    if (known === undefined || known.mac.every((byte, i) => byte === UNKNOWN[i])) return undefined;
    return known.mac;
  }

  private hear(address: string, mac: Uint8Array, isAnswer: boolean, nowMs: number): void {
    if (mac[0] % 2 === 1 || mac.every((byte) => byte === 0)) return;
    if (isAnswer) this.neighbours.answer(address, text(mac, 0, 6), nowMs);
    else this.neighbours.announce(address, text(mac, 0, 6), nowMs);
  }

  private receiveAdvertisement(
    frame: Uint8Array,
    at: number,
    port: number,
    nowMs: number,
  ): FrameVerdict {
    const ip = frame.subarray(at);
    const target = text(ip, 48, 16);
    const packet = { kind: 'packet', at } as const;
    if (!this.owns(port, target)) {
      const isLinkLocal = ip[48] === 0xfe && ip[49] >> 6 === 2;
      return port !== UPLINK && isLinkLocal ? packet : drop('neighbour-spoof');
    }
    const length = u16(ip, 4);
    if (length < 24 || length > 1280 || length > ip.length - 40 || ip[41] !== 0) return packet;
    const message = ip.subarray(40, 40 + length);
    const even = length % 2 === 0 ? [...message] : [...message, 0];
    const pseudo = [...ip.subarray(8, 40), 0, 0, length >> 8, length & 255, 0, 0, 0, 58];
    if (checksum([...pseudo, ...even]) !== 0) return packet;
    if (port !== UPLINK) {
      this.learn(frame, port);
      return packet;
    }
    let mac = frame.subarray(6, 12);
    for (let option = 24; option + 8 <= length && message[option + 1] > 0;) {
      if (message[option] === 2 && message[option + 1] === 1) {
        mac = message.subarray(option + 2, option + 8);
        break;
      }
      option += 8 * message[option + 1];
    }
    this.hear(target, mac, (message[4] & 0x40) !== 0, nowMs);
    return packet;
  }

  private receiveArp(frame: Uint8Array, at: number, port: number, nowMs: number): FrameVerdict {
    const arp = frame.subarray(at);
    const SHAPE = [0, 1, 8, 0, 6, 4, 0];
    if (arp.length < 28 || SHAPE.some((byte, i) => arp[i] !== byte)) return drop('link-scope');
    if (arp[7] !== 1 && arp[7] !== 2) return drop('link-scope');
    const sender = text(arp, 14, 4);
    const target = text(arp, 24, 4);
    const isProbe = sender === '\0\0\0\0';
    if (!isProbe && !this.owns(port, sender)) return drop('neighbour-spoof');
    if (port === UPLINK) this.hear(sender, arp.subarray(8, 14), arp[7] === 2, nowMs);
    else if (!isProbe) this.learn(frame, port);
    if (arp[7] === 2) return drop('link-scope');
    if (isProbe || sender === target || this.owns(port, target)) return drop('link-scope');
    const asker = frame.subarray(6, 12);
    return {
      kind: 'answered',
      frame: [
        ...[...asker, ...GATEWAY, ...frame.subarray(12, at)],
        ...[0, 1, 8, 0, 6, 4, 0, 2],
        ...[...GATEWAY, ...arp.subarray(24, 28), ...asker, ...arp.subarray(14, 18)],
      ],
    };
  }

  private receiveSolicitation(
    frame: Uint8Array,
    at: number,
    port: number,
    nowMs: number,
  ): FrameVerdict {
    const ip = frame.subarray(at);
    const source = text(ip, 8, 16);
    const isUnspecified = source === '\0'.repeat(16);
    const isLinkLocal = ip[8] === 0xfe && ip[9] >> 6 === 2;
    if (!isUnspecified && !isLinkLocal && !this.owns(port, source)) return drop('neighbour-spoof');
    if (port === UPLINK && !isUnspecified) this.hear(source, frame.subarray(6, 12), false, nowMs);
    if (!isUnspecified && !isLinkLocal) this.learn(frame, port);
    const target = ip.subarray(48, 64);
    if (isUnspecified || this.owns(port, text(target, 0, 16))) return drop('link-scope');
    const message = [136, 0, 0, 0, 0xe0, 0, 0, 0, ...target, 2, 1, ...GATEWAY];
    const addresses = [...target, ...ip.subarray(8, 24)];
    const sum = checksum([...addresses, 0, 0, 0, message.length, 0, 0, 0, 58, ...message]);
    message[2] = sum >> 8;
    message[3] = sum & 255;
    return {
      kind: 'answered',
      frame: [
        ...[...frame.subarray(6, 12), ...GATEWAY, ...frame.subarray(12, at)],
        ...[...ip.subarray(0, 4), 0, message.length, 58, 255, ...addresses, ...message],
      ],
    };
  }

  /** Whether the address is that of the interface at the port; at the uplink, of none. */
  private owns(port: number, address: string): boolean {
    return (this.portOf(address) ?? 0) === port;
  }
}

/** The virtio header of a packet whose link layer has grown by `shift` bytes: two of its fields count from the frame's start. */
export function shiftVnet(vnet: Uint8Array, shift: number): number[] {
  const moved = new DataView(Uint8Array.from(vnet).buffer);
  const headerBytes = moved.getUint16(2, true);
  if (headerBytes !== 0) moved.setUint16(2, headerBytes + shift, true);
  if ((vnet[0] & 1) === 1) moved.setUint16(6, moved.getUint16(6, true) + shift, true);
  return [...new Uint8Array(moved.buffer, 0, VNET_BYTES)];
}

/** The type of a neighbour's message on this very link, with room for one that has no options; 0: it is none. */
function neighbourMessage(ip: Uint8Array): number {
  const isOne = ip.length >= 64 && ip[0] >> 4 === 6 && ip[6] === 58 && ip[7] === 255;
  return isOne ? ip[40] : 0;
}

function framed(vnet: readonly number[], packet: Uint8Array, mac: readonly number[]): number[] {
  const type = packet[0] >> 4 === 4 ? [0x08, 0x00] : [0x86, 0xdd];
  return [...vnet, ...mac, ...GATEWAY, ...type, ...packet];
}

function drop(reason: string): FrameVerdict {
  return { kind: 'dropped', reason };
}

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at] * 256 + bytes[at + 1];
}

function text(bytes: Uint8Array, at: number, size: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + size));
}

/** RFC 1071, of an even number of bytes. */
export function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] * 256 + bytes[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return 65535 - sum;
}
