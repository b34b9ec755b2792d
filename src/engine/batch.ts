/**
 * One batch: packets that were read from one port, judged in order, made ready to be written.
 *
 * A batch is an arena and a list of slots in it, three int32 each: offset of the virtio header, length
 * from there, and the port to write to. `process` fills the third (NOT_SENT for a drop) and moves
 * virtio and Ethernet headers where a packet leaves by another kind of port than it came in by. Nothing
 * is reordered, so packets of a flow keep their order.
 */
import { UPLINK_PORT } from '../policy/compiled.ts';
import {
  ETHERNET_HEADER_BYTES,
  IPV4_PROTOCOL,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  PROTO_TCP,
  TCP_DATA_OFFSET,
  TCP_HEADER_BYTES,
  UDP_HEADER_BYTES,
  VNET_GSO_NONE,
  VNET_GSO_SIZE,
  VNET_GSO_TYPE,
  VNET_HDR_BYTES,
} from '../wire/fields.ts';
import { countUndelivered, EGRESS, INGRESS } from './counters.ts';
import type { Engine } from './evaluate.ts';
import { ANSWERED, LITTLE_ENDIAN, unwrap, type LinkLayer } from './link.ts';
import { LINK_SCOPE, WRITE_FAILED } from './reasons.ts';

export const SLOT_WORDS = 3;
export const SLOT_OFFSET = 0;
export const SLOT_LENGTH = 1;
/** Port to write to; NOT_SENT; after the write also minus an errno. */
export const SLOT_PORT = 2;
export const NOT_SENT = -1;

export class Batch {
  readonly view: DataView;
  readonly slots: Int32Array;
  /** Ports as `process` chose them: the write replaces those it could not serve. */
  private readonly ports: Int32Array;
  /** What the receiver's counters were told of a slot that goes on; nothing of an answer to its own port. */
  private readonly packets: Int32Array;
  private readonly bytes: Int32Array;

  /** @param arena holds the packets  @param packetsMax most packets in a batch */
  constructor(arena: Uint8Array, packetsMax: number) {
    this.view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
    this.slots = new Int32Array(packetsMax * SLOT_WORDS);
    this.ports = new Int32Array(packetsMax);
    this.packets = new Int32Array(packetsMax);
    this.bytes = new Int32Array(packetsMax);
  }

  /**
   * Judges `count` packets that came in by `port`.
   * @param isTap by port: 1 if frames carry Ethernet
   * @returns packets to be written
   */
  process(
    engine: Engine,
    link: LinkLayer,
    isTap: Uint8Array,
    port: number,
    count: number,
    nowMs: number,
  ): number {
    const { slots, ports } = this;
    let sent = 0;
    for (let i = 0; i < count; i++) {
      const slot = i * SLOT_WORDS;
      const to =
        isTap[port] === 1
          ? this.processFrame(engine, link, isTap, port, i, nowMs)
          : this.processPacket(engine, link, isTap, port, i, VNET_HDR_BYTES, nowMs);
      slots[slot + SLOT_PORT] = to < 0 ? NOT_SENT : to;
      ports[i] = to;
      if (to >= 0) sent++;
    }
    return sent;
  }

  /** After the write: counts the packets of the batch that their device refused. */
  countFailures(engine: Engine, count: number): void {
    const { slots, ports, packets, bytes } = this;
    for (let i = 0; i < count; i++) {
      const port = ports[i];
      if (port < 0 || slots[i * SLOT_WORDS + SLOT_PORT] >= 0) continue;
      const direction = port === UPLINK_PORT ? EGRESS : INGRESS;
      countUndelivered(engine.counters, port, direction, WRITE_FAILED, packets[i], bytes[i]);
    }
  }

  private processFrame(
    engine: Engine,
    link: LinkLayer,
    isTap: Uint8Array,
    port: number,
    i: number,
    nowMs: number,
  ): number {
    const { view, slots } = this;
    const slot = i * SLOT_WORDS;
    const at = slots[slot + SLOT_OFFSET];
    const length = slots[slot + SLOT_LENGTH];
    const ip = link.receiveFrame(view, at, length, port);
    if (ip === ANSWERED) {
      slots[slot + SLOT_LENGTH] = link.answerBytes;
      this.packets[i] = 0;
      this.bytes[i] = 0;
      return port;
    }
    if (ip < 0)
      return engine.drop(
        port,
        port === UPLINK_PORT ? INGRESS : EGRESS,
        -ip,
        1,
        length - VNET_HDR_BYTES,
      );
    return this.processPacket(engine, link, isTap, port, i, ip, nowMs);
  }

  /** `ip` is the offset of the IP packet behind the slot's virtio header. */
  private processPacket(
    engine: Engine,
    link: LinkLayer,
    isTap: Uint8Array,
    port: number,
    i: number,
    ip: number,
    nowMs: number,
  ): number {
    const { view, slots } = this;
    const slot = i * SLOT_WORDS;
    const at = slots[slot + SLOT_OFFSET];
    const ipOffset = at + ip;
    const ipBytes = slots[slot + SLOT_LENGTH] - ip;
    const packets = segmentsOf(view, at, ipOffset, ipBytes);
    const to = engine.evaluate(view, ipOffset, ipBytes, port, packets, nowMs);
    if (isTap[port] === 1 && (to >= 0 || to === -LINK_SCOPE)) link.learn(view, at, port);
    if (to < 0) return to;
    this.packets[i] = packets;
    this.bytes[i] = ipBytes;
    // The frame's padding ends here: what goes on is what was judged.
    const judgedBytes = engine.packet.endOffset - ipOffset;
    if (isTap[to] === 1) {
      slots[slot + SLOT_OFFSET] = link.wrap(view, at, ipOffset, to);
      slots[slot + SLOT_LENGTH] = VNET_HDR_BYTES + ETHERNET_HEADER_BYTES + judgedBytes;
    } else {
      slots[slot + SLOT_OFFSET] = unwrap(view, at, ipOffset);
      slots[slot + SLOT_LENGTH] = VNET_HDR_BYTES + judgedBytes;
    }
    return to;
  }
}

/**
 * How many packets a superpacket will be on the wire: its payload in pieces of gso_size. The virtio
 * header's hdr_len is a hint that the kernel does not always fill in, so the headers are measured here.
 */
function segmentsOf(view: DataView, vnet: number, ipOffset: number, ipBytes: number): number {
  if (view.getUint8(vnet + VNET_GSO_TYPE) === VNET_GSO_NONE) return 1;
  const size = view.getUint16(vnet + VNET_GSO_SIZE, LITTLE_ENDIAN);
  if (size === 0 || ipBytes < IPV6_HEADER_BYTES + TCP_HEADER_BYTES) return 1;
  const isIpv4 = view.getUint8(ipOffset) >>> 4 === 4;
  const headerBytes = isIpv4 ? (view.getUint8(ipOffset) & 0x0f) << 2 : IPV6_HEADER_BYTES;
  if (headerBytes + TCP_HEADER_BYTES > ipBytes) return 1;
  const protocol = view.getUint8(ipOffset + (isIpv4 ? IPV4_PROTOCOL : IPV6_NEXT_HEADER));
  const transportBytes =
    protocol === PROTO_TCP
      ? (view.getUint8(ipOffset + headerBytes + TCP_DATA_OFFSET) >>> 4) << 2
      : UDP_HEADER_BYTES;
  const payloadBytes = ipBytes - headerBytes - transportBytes;
  return payloadBytes <= size ? 1 : Math.ceil(payloadBytes / size);
}
