/**
 * The slow twin of the kernel's programs: what they say of a frame, from the entry of its flow as it stands before.
 *
 * Written from what docs/offload.md promises, with the fuzzer's plain decoder and unsigned sequence numbers.
 */
import { decodePlainly, type TwinPacket } from '../fuzz/twin-decode.ts';

const SEQUENCES = 2 ** 32;
const BEHIND = 66_000;

export interface PlainSide {
  end: number;
  maxEnd: number;
  ack: number;
  window: number;
  scale: number;
}

/** A flow that the loop has handed over, as an object. Ends are `address port`. */
export interface PlainFlow {
  /** The packet that it was looked up for. */
  readonly decoded: TwinPacket;
  readonly protocol: number;
  /** By end: what it has said, and whether its packets pass. */
  readonly sides: Map<string, { readonly side: PlainSide; readonly passes: boolean }>;
  /** No gate knows its connection. */
  readonly isUnchecked: boolean;
  readonly isOfThisPolicy: boolean;
  readonly isAlive: boolean;
  readonly isIdle: boolean;
}

export interface PlainFrame {
  readonly packet: Uint8Array;
  /** The frame came from the instance's interface and MAC address, and has nothing behind the packet. */
  readonly isOwn: boolean;
  readonly segmentBytes: number;
  readonly mtu: number;
}

/** Which end a packet comes from, and which it goes to. */
export function endsOf({ src, srcPort, dst, dstPort }: TwinPacket): readonly [string, string] {
  return [`${src} ${srcPort}`, `${dst} ${dstPort}`];
}

/**
 * @param find the flow of a packet; undefined: the kernel has none
 * @returns whether the kernel forwards it. Then the flow's sides are as it leaves them.
 */
export function forwardsPlainly(
  { packet, isOwn, segmentBytes, mtu }: PlainFrame,
  find: (decoded: TwinPacket) => PlainFlow | undefined,
): boolean {
  const decoded = decodePlainly(packet, 0, packet.length, false);
  if (!isOwn || typeof decoded === 'string' || !isWhole(decoded, packet)) return false;
  const flow = find(decoded);
  if (flow === undefined || !flow.isOfThisPolicy || !flow.isAlive || flow.isIdle) return false;
  const { tcp, transportAt } = decoded;
  if (tcp !== undefined && tcp.flags !== 'A') return false;
  const headers = tcp === undefined ? transportAt + 8 : packet.length - tcp.payloadBytes;
  if ((segmentBytes === 0 ? packet.length : headers + segmentBytes) > mtu) return false;
  const segments = segmentBytes === 0 ? 1 : Math.ceil((packet.length - headers) / segmentBytes);
  if (segments === 0 || segments > (tcp === undefined ? 128 : 1024)) return false;
  const [from, to] = endsOf(decoded);
  const sender = flow.sides.get(from)!;
  if (!sender.passes) return false;
  if (tcp === undefined || flow.isUnchecked) return true;
  const receiver = flow.sides.get(to)!.side;
  const { side } = sender;
  const end = (tcp.seq + tcp.payloadBytes) % SEQUENCES;
  const theirs = Math.max(1, receiver.window * 2 ** receiver.scale);
  const ours = Math.max(BEHIND, side.window * 2 ** side.scale);
  const ahead = distance(receiver.end, tcp.ack);
  if (distance(side.end, tcp.seq) > distance(side.end, side.maxEnd)) return false;
  if (distance(side.end, end) < -theirs || ahead > 0 || ahead < -ours) return false;
  const offered = tcp.window === 0 ? 1 : tcp.window * 2 ** side.scale;
  side.window = Math.max(side.window, tcp.window);
  side.end = later(side.end, end);
  side.ack = later(side.ack, tcp.ack);
  receiver.maxEnd = later(receiver.maxEnd, (tcp.ack + offered) % SEQUENCES);
  return true;
}

/** TCP or UDP in one piece, right behind an IP header without options. */
function isWhole(
  { family, protocol, transportAt, end, fragment }: TwinPacket,
  packet: Uint8Array,
): boolean {
  return (
    (protocol === 6 || protocol === 17) &&
    transportAt === (family === 4 ? 20 : 40) &&
    end === packet.length &&
    fragment === 'none'
  );
}

function distance(from: number, to: number): number {
  const ahead = (to - from + SEQUENCES) % SEQUENCES;
  return ahead >= SEQUENCES / 2 ? ahead - SEQUENCES : ahead;
}

function later(a: number, b: number): number {
  return distance(a, b) > 0 ? b : a;
}
