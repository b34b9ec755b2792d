/**
 * Structure-aware mutations, done to a packet in place.
 *
 * It knows where fields stand (by itself: nothing of src/wire), so that what it changes is often a packet that
 * still decodes and gets as far as the flow table: other flags, a sequence number a window away, the
 * other direction, another address of the world, an extension header put in, a fragment made of a whole.
 * `damage` is the blunt half: bits, lengths that lie, cuts.
 */
import { addressBytes } from '../packets/bytes.ts';
import type { Random } from './random.ts';
import * as world from './policies.ts';

export const PACKET_BYTES_MAX = 4096;

const INTERESTING = [
  0, 1, 4, 5, 6, 7, 8, 0x0f, 0x11, 0x28, 0x3a, 0x3c, 0x2b, 0x2c, 0x7f, 0x80, 0xff,
];
const PROTOCOLS = [0, 1, 2, 6, 17, 43, 44, 47, 50, 51, 58, 59, 60, 132, 255];
const FLAGS = [
  0x02, 0x12, 0x10, 0x18, 0x11, 0x19, 0x04, 0x14, 0x02, 0x12, 0x00, 0x03, 0x29, 0x06, 0x01, 0xc2,
];
const DISTANCES = [
  1,
  -1,
  2,
  -2,
  10,
  100,
  1000,
  -1000,
  65535,
  -65535,
  65536,
  -66000,
  -66001,
  1 << 20,
  -(1 << 20),
  1 << 30,
  -2147483648,
];
const PORTS = [53, 80, 8080, 5432, 22, 443, 1000, 2000, 2001, 40000, 40001, 5000, 0, 65535];
const ICMP_TYPES = [
  ...[0, 3, 4, 5, 8, 11, 12, 13, 14, 1, 2, 128, 129],
  // What neighbours say to each other, and what lies beside that.
  ...[129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 140, 141, 142, 143, 144],
  ...[147, 148, 149, 150, 151, 152, 153, 154],
];
const ADDRESSES_4 = [
  world.WEB,
  world.APP,
  world.DB,
  world.OUT,
  world.FAR,
  world.ROUTER,
  world.PLATFORM,
  '169.254.169.123',
  '240.0.0.9',
  '127.0.0.1',
  '224.0.0.1',
  '0.0.0.0',
  '255.255.255.255',
].map(addressBytes);
const ADDRESSES_6 = [
  world.WEB6,
  world.APP6,
  world.DB6,
  world.OUT6,
  world.FAR6,
  world.ROUTER6,
  world.PLATFORM6,
  'fd00:ec2::123',
  '::1',
  '::',
  'fe80::1',
  'ff02::1',
  '::ffff:a00:b',
].map(addressBytes);

export class Mutator {
  /** The packet, and room behind it. */
  readonly bytes: Uint8Array = new Uint8Array(PACKET_BYTES_MAX);
  length = 0;
  private readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  load(packet: Uint8Array): void {
    this.bytes.set(packet);
    this.length = packet.length;
  }

  /** Noise that begins like an IP header. */
  makeNoise(): void {
    const { bytes, random } = this;
    this.length = random.below(120);
    for (let i = 0; i < this.length; i++) bytes[i] = random.next();
    bytes[0] = random.oneIn(2) ? 0x45 : random.oneIn(2) ? 0x60 : 0x40 | (bytes[0] & 15);
    if (random.oneIn(2))
      this.put16(
        bytes[0] >> 4 === 6 ? 4 : 2,
        Math.max(0, this.length - (bytes[0] >> 4 === 6 ? 40 : 0)),
      );
  }

  /** Changes what the packet says, and mostly leaves it sound. */
  vary(): void {
    const { random } = this;
    for (let more = true; more; more = random.oneIn(4)) {
      switch (random.below(12)) {
        case 0:
        case 1:
        case 2:
          this.varyTransport();
          break;
        case 3:
        case 4:
          this.varyTransport();
          this.varySequence();
          break;
        case 5:
        case 6:
          this.turnRound();
          break;
        case 7:
          this.changeAddress();
          break;
        case 8:
          this.makeFragment();
          break;
        case 9:
          this.putExtension();
          break;
        case 10:
          this.quote();
          break;
        default:
          this.bytes[this.is6() ? 6 : 9] = PROTOCOLS[random.below(PROTOCOLS.length)];
      }
    }
  }

  /** Does something to the bytes without asking what they mean. */
  damage(): void {
    const { bytes, random, length } = this;
    if (length === 0) return;
    switch (random.below(8)) {
      case 0:
        bytes[random.below(length)] ^= 1 << random.below(8);
        return;
      case 1:
        bytes[random.below(length)] = INTERESTING[random.below(INTERESTING.length)];
        return;
      case 2:
        bytes[random.below(length)] = random.next();
        return;
      case 3:
        this.length = random.below(length + 1);
        return;
      case 4:
        this.length = Math.min(PACKET_BYTES_MAX, length + 1 + random.below(64));
        return;
      case 5:
        this.put16(
          this.is6() ? 4 : 2,
          random.oneIn(2) ? random.below(65536) : Math.max(0, length + random.below(17) - 8),
        );
        return;
      case 6:
        if (this.is6() && random.oneIn(8)) bytes.fill(0, 4, 7);
        else if (this.is6()) bytes[41] = INTERESTING[random.below(INTERESTING.length)];
        else bytes[0] = 0x40 | random.below(16);
        return;
      default:
        bytes[this.transportAt() + 12] = INTERESTING[random.below(INTERESTING.length)] << 4;
    }
  }

  private is6(): boolean {
    return this.bytes[0] >> 4 === 6;
  }

  /** Where the transport header stands if there is no extension header; may lie behind the packet's end. */
  private transportAt(): number {
    return this.is6() ? 40 : (this.bytes[0] & 15) * 4;
  }

  private varyTransport(): void {
    const { bytes, random } = this;
    const at = this.transportAt();
    switch (bytes[this.is6() ? 6 : 9]) {
      case 6:
        if (random.oneIn(4))
          this.put16(at + 2 * random.below(2), PORTS[random.below(PORTS.length)]);
        else if (random.oneIn(4)) this.put16(at + 14, random.oneIn(3) ? 0 : random.below(65536));
        else bytes[at + 13] = FLAGS[random.below(FLAGS.length)];
        return;
      case 17:
        if (random.oneIn(6)) this.put16(at + 4, random.below(80));
        else this.put16(at + 2 * random.below(2), PORTS[random.below(PORTS.length)]);
        return;
      default:
        if (random.oneIn(3)) bytes[at + 1] = random.below(8);
        else if (random.oneIn(3))
          this.put16(
            at + 4,
            random.oneIn(4) ? ICMP_TYPES[random.below(ICMP_TYPES.length)] : 7 + random.below(3),
          );
        else bytes[at] = ICMP_TYPES[random.below(ICMP_TYPES.length)];
    }
  }

  /** Moves a sequence or acknowledgment number. */
  private varySequence(): void {
    const { bytes, random } = this;
    const at = this.transportAt() + (random.oneIn(2) ? 4 : 8);
    if (at + 4 > PACKET_BYTES_MAX) return;
    const value =
      ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) +
      DISTANCES[random.below(DISTANCES.length)];
    bytes[at] = value >> 24;
    bytes[at + 1] = value >> 16;
    bytes[at + 2] = value >> 8;
    bytes[at + 3] = value;
  }

  /** Swaps source and destination, mostly ports as well. */
  private turnRound(): void {
    const size = this.is6() ? 16 : 4;
    this.swap(this.is6() ? 8 : 12, size);
    if (!this.random.oneIn(4)) this.swap(this.transportAt(), 2);
  }

  private swap(at: number, size: number): void {
    const { bytes } = this;
    for (let i = at; i < at + size; i++) {
      const byte = bytes[i];
      bytes[i] = bytes[i + size];
      bytes[i + size] = byte;
    }
  }

  private changeAddress(): void {
    const { bytes, random } = this;
    const pool = this.is6() ? ADDRESSES_6 : ADDRESSES_4;
    const at = this.is6() ? 8 : 12;
    const address = pool[random.below(pool.length)];
    bytes.set(address, at + (random.oneIn(2) ? address.length : 0));
  }

  private makeFragment(): void {
    const { bytes, random } = this;
    if (this.is6()) {
      this.insert(40, 8);
      bytes[40] = bytes[6];
      bytes[41] = 0;
      bytes[6] = 44;
      this.put16(42, (random.oneIn(2) ? 0 : random.below(8) * 8) | random.below(2));
      this.put16(44, 0);
      this.put16(46, random.below(4));
      return;
    }
    this.put16(4, random.below(4));
    this.put16(6, (random.oneIn(2) ? 0 : random.below(10)) | (random.oneIn(3) ? 0 : 0x2000));
    // Make the length a multiple of 8, or no fragment but the last is sound.
    const payload = (this.length - this.transportAt()) & ~7;
    if (random.oneIn(4) || payload <= 0) return;
    this.length = this.transportAt() + payload;
    this.put16(2, this.length);
  }

  private putExtension(): void {
    const { bytes, random } = this;
    if (!this.is6()) {
      if ((bytes[0] & 15) === 15 || this.length < 20) return;
      this.insert(20, 4);
      bytes[0] += 1;
      bytes[20] = [0x94, 1, 0, 0x83, 7][random.below(5)];
      bytes[21] = random.oneIn(3) ? random.below(8) : 4;
      this.put16(2, this.length);
      return;
    }
    this.insert(40, 8);
    bytes[40] = bytes[6];
    bytes[41] = random.oneIn(8) ? random.below(4) : 0;
    bytes[42] = random.below(5);
    bytes[6] = [0, 43, 60, 60, 51][random.below(5)];
  }

  /** Makes an ICMP error that quotes the packet, addressed to its sender. */
  private quote(): void {
    const { bytes, random } = this;
    const is6 = this.is6();
    const headerBytes = is6 ? 48 : 28;
    const addressAt = is6 ? 8 : 12;
    const size = is6 ? 16 : 4;
    if (random.oneIn(2)) this.length = Math.min(this.length, this.transportAt() + 8);
    this.insert(0, headerBytes);
    bytes.copyWithin(0, headerBytes, headerBytes + (is6 ? 40 : 20));
    if (!is6) bytes[0] = 0x45;
    const pool = is6 ? ADDRESSES_6 : ADDRESSES_4;
    bytes.copyWithin(addressAt + size, addressAt, addressAt + size);
    bytes.set(pool[random.below(7)], addressAt);
    bytes[is6 ? 6 : 9] = is6 ? 58 : 1;
    if (is6) this.put16(4, this.length - 40);
    else {
      this.put16(2, this.length);
      this.put16(6, 0);
    }
    const at = headerBytes - 8;
    bytes.fill(0, at, headerBytes);
    bytes[at] = is6 ? 1 + random.below(4) : [3, 11, 12, 5][random.below(4)];
    bytes[at + 1] = random.below(5);
  }

  /** Moves everything from `at` on by `count`; corrects an IPv6 payload length. */
  private insert(at: number, count: number): void {
    const { bytes } = this;
    const length = Math.min(PACKET_BYTES_MAX, this.length + count);
    bytes.copyWithin(at + count, at, length - count);
    this.length = length;
    if (at === 40) this.put16(4, Math.max(0, length - 40));
  }

  private put16(at: number, value: number): void {
    this.bytes[at] = value >> 8;
    this.bytes[at + 1] = value;
  }
}
