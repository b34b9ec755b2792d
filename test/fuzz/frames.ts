/**
 * An episode of batches: packets and frames as a device hands them over, through Batch.process().
 *
 * Theory of operation. What stands before and behind evaluate(): Ethernet is taken off and put on, ARP and neighbour
 * solicitations are answered in place, virtio headers move. Each batch is laid into an arena as readBatch does; every
 * slot is judged by the twin's link layer, what it thinks of virtio headers, and the twin, and what is to be written
 * must be, byte for byte, what they say. Bytes of the arena that belong to no slot must be as before. Virtio headers are
 * none, as a driver would write them, nearly so, or noise.
 *
 * With the fast path, the twin of the kernel's programs sees each frame as it arrives, and what it forwards never gets
 * into the batch: it passes before those that wait there, and must be as the loop would have written it. An instance
 * has one MAC address then. Of one that changes it, the kernel goes by the former until the loop sees its next packet.
 */
import {
  counterRow,
  DROPPED_BY_REASON,
  DROPPED_PACKETS,
  EGRESS,
  INGRESS,
  PASSED_PACKETS,
} from '../../src/engine/counters.ts';
import {
  Batch,
  HELD,
  SLOT_LENGTH,
  SLOT_OFFSET,
  SLOT_PORT,
  SLOT_WORDS,
} from '../../src/engine/batch.ts';
import { TAKEN } from '../../src/engine/dhcp/verdicts.ts';
import { createLinkMemory } from '../../src/engine/link-memory.ts';
import { LinkLayer } from '../../src/engine/link.ts';
import { LINK_SCOPE, REASONS } from '../../src/engine/reasons.ts';
import { HEADROOM_BYTES } from '../../src/ports/native.ts';
import { addressBytes } from '../packets/bytes.ts';
import { readAnswer } from '../packets/read-dhcp.ts';
import type { PlainKernel } from '../offload/plain-kernel.ts';
import { Chatter, type Said } from './chatter.ts';
import type { Talk } from './corpus.ts';
import { Mutator, PACKET_BYTES_MAX } from './mutate.ts';
import { nameVerdict } from './pair.ts';
import * as places from './policies.ts';
import { isAsExpected, makeLeases, makeQuestion } from './questions.ts';
import type { Random } from './random.ts';
import { decodePlainly, type TwinPacket } from './twin-decode.ts';
import { judgeQuestion, type TwinAnswer, type TwinLease } from './twin-dhcp.ts';
import { checksum, shiftVnet, TwinLink } from './twin-link.ts';
import { countPlainly } from './twin-offload.ts';
import type { Twin } from './twin.ts';
import {
  makeEngine,
  makeKernel,
  makeTwin,
  policyOf,
  PORT_NAMES,
  type WorldOptions,
} from './world.ts';

const BATCH_MAX = 6;
const VNET_BYTES = 10;
const CANARY = 0xa5;
/** An answer to a solicitation without options is as much longer; behind a slot there is the next one's headroom. */
const GROWTH_BYTES = 8;
const SLOT_BYTES = HEADROOM_BYTES + VNET_BYTES + PACKET_BYTES_MAX + 4;
const ETHER_TYPES = [0x0800, 0x86dd, 0x0806, 0x8100, 0x88cc, 0];
const ADDRESSES_4 = [places.WEB, places.APP, places.DB, places.OUT, places.ROUTER, '0.0.0.0'];
const ADDRESSES_6 = [places.WEB6, places.APP6, places.DB6, places.OUT6, 'fe80::1', '::'];

/** Odd fields of a virtio header: where they stand, and what they are apart from noise. */
const VNET_WORDS = [2, 4, 6, 8];
const VNET_ODDITIES = [0, 1, 2, 4, 6, 8, 14, 16, 20, 34, 36, 40, 54, 65521, 65535];

interface Expected {
  /** A port, or a drop reason. */
  readonly verdict: number | string;
  /** What is written, with its virtio header; nothing of a drop. */
  readonly bytes: readonly number[];
  /** What it counts as where it came in; 0 for what is answered, which is no packet. */
  readonly packets: number;
}

export class FrameEpisode {
  private readonly random: Random;
  private readonly packets: Talk;
  private readonly chatter: Chatter;
  private readonly kernel: PlainKernel | undefined;
  private readonly mutator: Mutator;
  private readonly engine;
  private readonly twin: Twin;
  private readonly link: LinkLayer;
  private readonly twinLink: TwinLink;
  private readonly arena = new Uint8Array((BATCH_MAX + 1) * SLOT_BYTES);
  private readonly batch = new Batch(this.arena, BATCH_MAX);
  private readonly hasEthernet: Uint8Array;
  private nowMs: number;
  /** To be sent when their port's turn comes. */
  private answers: { readonly port: number; readonly frame: readonly number[] }[] = [];
  /** By port; undefined: it is not served. */
  private readonly leases: (TwinLease | undefined)[];
  /** What the questions of a batch are to be answered. */
  private told: TwinAnswer[] = [];
  /** What is wrong with a frame that the kernel has forwarded. */
  private misforwarded: string | undefined;
  /** Packets that the twin has counted, by the port they came in by. */
  private readonly counted = PORT_NAMES.map(() => 0);

  constructor(talks: readonly Talk[], random: Random, options: WorldOptions) {
    this.random = random;
    this.packets = talks.flat();
    this.mutator = new Mutator(random);
    this.engine = makeEngine(options);
    this.twin = makeTwin(options);
    this.link = new LinkLayer(policyOf(options.world, 0, 1), createLinkMemory(PORT_NAMES.length));
    this.twinLink = new TwinLink((address) => this.twin.portOfAddress(address));
    this.chatter = new Chatter(random);
    this.hasEthernet = Uint8Array.from(PORT_NAMES, () => (random.oneIn(4) ? 0 : 1));
    const takesPart = (port: number): boolean => this.hasEthernet[port] === 1;
    this.kernel = options.isOffloaded ? makeKernel(this.engine, takesPart) : undefined;
    this.nowMs = options.startMs;
    this.leases = PORT_NAMES.map((_, port) => {
      if (port === 0 || this.hasEthernet[port] === 0 || random.oneIn(8)) return undefined;
      const { lease, twin } = makeLeases(random, port);
      this.link.leases.set(port, lease, random.oneIn(4) ? 0 : 1400);
      return lease === null ? undefined : twin;
    });
  }

  /** Frames that the kernel has forwarded. */
  get forwarded(): number {
    return this.kernel?.forwarded ?? 0;
  }

  /** @returns what is wrong, or undefined */
  run(frames: number, tell: (verdict: number) => void): string | undefined {
    for (let sent = 0; sent < frames;) {
      const said = this.random.oneIn(2) ? this.chatter.next() : undefined;
      const port = said?.port ?? this.random.below(PORT_NAMES.length);
      const due = this.answers.filter((answer) => answer.port === port).slice(0, BATCH_MAX - 3);
      this.answers = this.answers.filter((answer) => !due.includes(answer)).slice(-100);
      const first = [
        ...due.map(({ frame }) =>
          Uint8Array.of(...new Array<number>(VNET_BYTES).fill(0), ...frame),
        ),
        ...this.say(said),
      ];
      const more = 1 + this.random.below(BATCH_MAX - first.length);
      const slots = [...first, ...Array.from({ length: more }, () => this.makeSlot(port))];
      this.kernel?.begin(this.nowMs | 0);
      const read = slots.filter((slot) => !this.forward(port, slot));
      const wrong =
        this.misforwarded ??
        this.sendBatch(port, read, tell) ??
        this.settle() ??
        this.checkCounts();
      if (wrong !== undefined) return wrong;
      sent += slots.length;
      this.nowMs += this.random.oneIn(16) ? this.random.below(12_000) : this.random.below(20);
    }
    return undefined;
  }

  /** A plain packet of a conversation, and maybe the same again. */
  private say(said: Said | undefined): Uint8Array[] {
    if (said === undefined) return [];
    const { port, bytes } = said;
    const slot = new Uint8Array([
      ...new Array<number>(VNET_BYTES).fill(0),
      ...(this.hasEthernet[port] === 1 ? this.frame(port, bytes) : bytes),
    ]);
    return this.random.oneIn(8) ? [slot, slot] : [slot];
  }

  private frame(port: number, packet: Uint8Array): readonly number[] {
    const type = packet[0] >> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00];
    return [2, 0, 0, 0, 0, 9, ...this.macOf(port), ...type, ...packet];
  }

  /** Of an instance: with the fast path always the same. */
  private macOf(port: number): readonly number[] {
    return [6, 0, 0, 0, 0, this.kernel === undefined ? this.random.below(4) : port];
  }

  /** @returns whether the kernel forwards what is in a slot. Then the twin has judged it, too. */
  private forward(port: number, slot: Uint8Array): boolean {
    const { kernel, nowMs, hasEthernet } = this;
    if (kernel === undefined || hasEthernet[port] !== 1) return false;
    if (slot.subarray(0, VNET_BYTES).some((byte) => byte !== 0)) return false;
    const forwarded = kernel.forwardFrame(slot.subarray(VNET_BYTES), port, nowMs | 0);
    if (forwarded === undefined) return false;
    const { verdict, bytes, packets } = this.expect(slot, port);
    this.counted[port] += packets;
    const written = Buffer.from(forwarded.frame).toString('hex');
    const expected = Buffer.from(bytes.slice(VNET_BYTES)).toString('hex');
    if (verdict !== forwarded.to || written !== expected)
      this.misforwarded = `the kernel writes ${written} to ${nameVerdict(forwarded.to)}, the twin says ${verdict}, ${expected} (${this.show(port, [slot])})`;
    return true;
  }

  private sendBatch(
    port: number,
    slots: readonly Uint8Array[],
    tell: (verdict: number) => void,
  ): string | undefined {
    const { batch, engine, link, hasEthernet, nowMs } = this;
    const before = this.lay(slots);
    this.told = [];
    const expected = slots.map((slot) => this.expect(slot, port));
    for (const { packets } of expected) this.counted[port] += packets;
    try {
      engine.beginRound(nowMs | 0, 0, 0);
      batch.process(engine, link, hasEthernet, port, slots.length, nowMs | 0);
    } catch (error) {
      return `process threw ${String(error)} (${this.show(port, slots)})`;
    }
    for (const [i, { verdict, bytes }] of expected.entries()) {
      const said = batch.portOf(i);
      tell(said);
      const isSame =
        typeof verdict === 'number'
          ? said === verdict
          : verdict === (said === HELD ? 'held' : said === TAKEN ? 'taken' : REASONS[-said]?.[0]);
      if (!isSame)
        return `slot ${i}: ${nameVerdict(said)}, the twin ${typeof verdict === 'number' ? nameVerdict(verdict) : verdict} (${this.show(port, slots)})`;
      if (said < 0) continue;
      const at = batch.slots[i * SLOT_WORDS + SLOT_OFFSET];
      const end = at + batch.slots[i * SLOT_WORDS + SLOT_LENGTH];
      if (batch.slots[i * SLOT_WORDS + SLOT_PORT] !== verdict) return `slot ${i} goes elsewhere`;
      const written = Buffer.from(this.arena.subarray(at, end));
      if (!written.equals(Buffer.from(bytes)))
        return `slot ${i} is written as ${written.toString('hex')}, the twin has ${Buffer.from(bytes).toString('hex')} (${this.show(port, slots)})`;
    }
    const broken = this.arena.findIndex((byte, i) => before[i] === 1 && byte !== CANARY);
    return broken < 0
      ? this.checkAnswers(port, slots)
      : `byte ${broken} of the arena was written (${this.show(port, slots)})`;
  }

  /** Each answer goes to the port of its question, is a sound message, and says what it must. */
  private checkAnswers(port: number, slots: readonly Uint8Array[]): string | undefined {
    const { answers } = this.link.leases;
    const { told } = this;
    if (answers.count !== told.length)
      return `${answers.count} answers, the twin has ${told.length} (${this.show(port, slots)})`;
    for (const [i, expected] of told.entries()) {
      const [at, length, to] = answers.slots.subarray(SLOT_WORDS * i);
      const frame = answers.arena.slice(at + VNET_BYTES, at + length);
      if (to !== port) return `an answer goes to ${nameVerdict(to)} (${this.show(port, slots)})`;
      if (!isAsExpected(readAnswer(frame), expected, this.leases[port]!))
        return `the answer ${Buffer.from(frame).toString('hex')}, the twin has ${JSON.stringify(expected)} (${this.show(port, slots)})`;
    }
    answers.clear();
    return undefined;
  }

  /** What waited for a neighbour, and goes on. Some of the questions get an answer. */
  private settle(): string | undefined {
    const { link, twinLink, engine, nowMs, random } = this;
    const { waiting } = link;
    link.settle(engine.counters, nowMs | 0);
    const written = Array.from({ length: waiting.ready }, (_, i) => {
      const [at, length, port] = waiting.slots.subarray(SLOT_WORDS * i);
      return { port, bytes: [...waiting.arena.subarray(at, at + length)] };
    });
    const expected = twinLink.settle(nowMs);
    const questions = written.slice(expected.length);
    for (const { port, bytes } of questions)
      if (random.oneIn(2)) this.answers.push({ port, frame: this.answer(bytes, port) });
    const show = (list: readonly { port: number; bytes: readonly number[] }[]): string =>
      list.map(({ port, bytes }) => `${port} ${Buffer.from(bytes).toString('hex')}`).join(' ');
    const sent = show(written.slice(0, expected.length));
    return sent === show(expected)
      ? undefined
      : `what waited is written as ${sent}, the twin has ${show(expected)}`;
  }

  /** An answer to an ARP request or a neighbour solicitation, which stands behind a virtio header. */
  private answer(question: readonly number[], port: number): readonly number[] {
    const mac = this.macOf(port);
    const head = [...question.slice(16, 22), ...mac, ...question.slice(22, 24)];
    const asked = question.slice(24);
    if (head[13] === 0x06)
      return [
        ...[...head, 0, 1, 8, 0, 6, 4, 0, 2, ...mac],
        ...[...asked.slice(24, 28), ...asked.slice(8, 18)],
      ];
    const target = asked.slice(48, 64);
    const message = [136, 0, 0, 0, 0x60, 0, 0, 0, ...target, 2, 1, ...mac];
    const addresses = [...target, ...asked.slice(8, 24)];
    const sum = checksum([...addresses, 0, 0, 0, message.length, 0, 0, 0, 58, ...message]);
    message[2] = sum >> 8;
    message[3] = sum & 255;
    return [...head, 0x60, 0, 0, 0, 0, message.length, 58, 255, ...addresses, ...message];
  }

  /** What is to become of one slot. */
  private expect(slot: Uint8Array, port: number): Expected {
    const { twin, twinLink, hasEthernet, nowMs } = this;
    const vnet = slot.subarray(0, VNET_BYTES);
    const frame = slot.subarray(VNET_BYTES);
    let at = 0;
    if (hasEthernet[port] === 1) {
      const first = twinLink.receive(frame, port, nowMs);
      if (first.kind === 'dropped') return { verdict: first.reason, bytes: [], packets: 1 };
      if (first.kind === 'answered') {
        const bytes = [...new Array<number>(VNET_BYTES).fill(0), ...first.frame];
        return { verdict: port, bytes, packets: 0 };
      }
      ({ at } = first);
      const lease = this.leases[port];
      const asked = lease === undefined ? 'other' : judgeQuestion(frame, at, lease);
      if (asked === 'bad-dhcp') return { verdict: asked, bytes: [], packets: 1 };
      if (asked !== 'other') {
        if (asked !== 'silent') this.told.push(asked);
        return { verdict: 'taken', bytes: [], packets: 0 };
      }
    }
    const packet = frame.subarray(at);
    const decoded = decodePlainly(packet, 0, packet.length, false);
    const packets = typeof decoded === 'string' ? 1 : countPlainly(vnet, frame, decoded, at);
    if (packets === undefined) return { verdict: 'bad-offload', bytes: [], packets: 1 };
    const verdict = twin.judge(packet, packet.length, port, nowMs);
    if (hasEthernet[port] === 1 && typeof verdict === 'number') twinLink.learn(frame, port);
    if (typeof verdict === 'string' || typeof twin.decoded === 'string')
      return { verdict, bytes: [], packets };
    // What was behind the packet's end does not go on.
    const judged = packet.subarray(0, twin.decoded.end);
    const bytes =
      hasEthernet[verdict] === 1
        ? twinLink.wrap(shiftVnet(vnet, 14 - at), judged, verdict, port, nowMs)
        : [...shiftVnet(vnet, -at), ...judged];
    return typeof bytes === 'string'
      ? { verdict: bytes, bytes: [], packets }
      : { verdict, bytes, packets };
  }

  /** What came in counts as what it would be on the wire. */
  private checkCounts(): string | undefined {
    const { counters } = this.engine;
    this.kernel?.offload.pullAll();
    for (const [port, name] of PORT_NAMES.entries()) {
      const row = counterRow(port, port === 0 ? INGRESS : EGRESS);
      // What came in, was let out and then refused at another's gate is in both rows of counters, passed here.
      const toLink = counters[row + DROPPED_BY_REASON + LINK_SCOPE];
      const seen = counters[row + PASSED_PACKETS] + counters[row + DROPPED_PACKETS] + toLink;
      if (seen !== this.counted[port])
        return `${name} sent ${this.counted[port]} packets and counts ${seen}`;
    }
    return undefined;
  }

  /** Lays slots into the arena as readBatch does. @returns by byte, 1 if it is no slot's */
  private lay(slots: readonly Uint8Array[]): Uint8Array {
    const { arena, batch } = this;
    arena.fill(CANARY);
    const isFree = new Uint8Array(arena.length).fill(1);
    let at = 0;
    slots.forEach((slot, i) => {
      at += HEADROOM_BYTES;
      while ((at + VNET_BYTES) % 4 !== 0) at++;
      arena.set(slot, at);
      batch.slots.set([at, slot.length, 0], i * SLOT_WORDS);
      isFree.fill(0, at - HEADROOM_BYTES, at + slot.length + GROWTH_BYTES);
      at += slot.length;
    });
    return isFree;
  }

  private makeSlot(port: number): Uint8Array {
    const isFrame = this.hasEthernet[port] === 1;
    const content = isFrame ? this.makeFrame(port) : this.makePacket();
    const vnet = this.makeVnet(content, isFrame);
    const slot = new Uint8Array(VNET_BYTES + content.length);
    slot.set(vnet);
    slot.set(content, VNET_BYTES);
    return slot;
  }

  private makeVnet(content: Uint8Array, isFrame: boolean): Uint8Array {
    const { random } = this;
    const vnet = new Uint8Array(VNET_BYTES);
    const roll = random.below(16);
    if (roll < 6) return vnet;
    if (roll === 6) return vnet.map(() => random.next());
    const at = isFrame ? (content[12] === 0x81 ? 18 : 14) : 0;
    const packet = decodePlainly(content.subarray(at), 0, content.length - at, false);
    if (typeof packet === 'string') return vnet;
    this.askSoundly(new DataView(vnet.buffer), packet, at);
    // Half of them ask for what is nearly right.
    for (let more = roll < 11; more; more = random.oneIn(3)) {
      if (random.oneIn(4)) vnet[random.below(2)] = [0, 1, 2, 3, 4, 5, 0x81, 0x84][random.below(8)];
      else {
        const field = VNET_WORDS[random.below(VNET_WORDS.length)];
        const near = vnet[field] + 256 * vnet[field + 1] + random.below(9) - 4;
        const value = random.oneIn(2) ? near : VNET_ODDITIES[random.below(VNET_ODDITIES.length)];
        new DataView(vnet.buffer).setUint16(field, value & 0xffff, true);
      }
    }
    return vnet;
  }

  /** What a driver would ask for: a checksum, and segments where there is something to cut. */
  private askSoundly(vnet: DataView, packet: TwinPacket, at: number): void {
    const { random } = this;
    const transport = at + packet.transportAt;
    const isTcp = packet.tcp !== undefined;
    if (!isTcp && random.oneIn(4)) return vnet.setUint8(0, 2);
    vnet.setUint8(0, 1);
    vnet.setUint16(6, transport, true);
    vnet.setUint16(8, isTcp ? 16 : 6, true);
    const bytes = packet.tcp?.payloadBytes ?? packet.end - packet.transportAt - 8;
    if (bytes < 2 || random.oneIn(4)) return;
    const type = isTcp ? (packet.family === 4 ? 1 : 4) : 5;
    vnet.setUint8(1, type + (isTcp && random.oneIn(4) ? 128 : 0));
    vnet.setUint16(2, random.oneIn(8) ? 0 : at + packet.end - bytes, true);
    vnet.setUint16(4, 1 + random.below(bytes), true);
  }

  private makePacket(): Uint8Array {
    const { random, mutator, packets } = this;
    mutator.load(packets[random.below(packets.length)].bytes);
    if (random.oneIn(3)) mutator.vary();
    if (random.oneIn(8)) mutator.damage();
    return mutator.bytes.slice(0, mutator.length);
  }

  private makeFrame(port: number): Uint8Array {
    const { random } = this;
    const roll = random.below(9);
    const source = this.macOf(port);
    const payload =
      roll === 8
        ? makeQuestion(random, Uint8Array.from(source))
        : roll === 0
          ? this.makeArp()
          : roll === 1
            ? this.makeSolicitation()
            : this.makePacket();
    const type =
      roll === 0 ? 0x0806 : payload.length > 0 && payload[0] >> 4 === 6 ? 0x86dd : 0x0800;
    const tag = random.oneIn(16) ? [0x81, 0, random.below(256) & 0xe0, random.below(2)] : [];
    const said = random.oneIn(24) ? ETHER_TYPES[random.below(ETHER_TYPES.length)] : type;
    const padding = random.oneIn(4) ? random.below(20) : 0;
    const frame = [...[2, 0, 0, 0, 0, 9, ...source, ...tag, said >> 8, said & 255], ...payload];
    const length = random.oneIn(24) ? random.below(frame.length + 1) : frame.length + padding;
    return Uint8Array.from({ length }, (_, i) => frame[i] ?? 0);
  }

  private makeArp(): Uint8Array {
    const sender = this.pick(ADDRESSES_4);
    const target = this.pick(ADDRESSES_4);
    const mac = [6, 0, 0, 0, 0, this.random.below(4)];
    return this.dent([0, 1, 8, 0, 6, 4, 0, 1, ...mac, ...sender, 0, 0, 0, 0, 0, 0, ...target]);
  }

  private makeSolicitation(): Uint8Array {
    const source = this.pick(ADDRESSES_6);
    const target = this.pick(ADDRESSES_6);
    const option = this.random.oneIn(2) ? [1, 1, 6, 0, 0, 0, 0, 1] : [];
    const to = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...target.subarray(13)];
    const message = [135, 0, 0, 0, 0, 0, 0, 0, ...target, ...option];
    return this.dent([0x60, 0, 0, 0, 0, message.length, 58, 255, ...source, ...to, ...message]);
  }

  private pick(addresses: readonly string[]): Uint8Array {
    return addressBytes(addresses[this.random.below(addresses.length)]);
  }

  private dent(bytes: readonly number[]): Uint8Array {
    const { random } = this;
    const dented = Uint8Array.from(bytes);
    if (random.oneIn(4)) dented[random.below(dented.length)] = random.next();
    return dented;
  }

  private show(port: number, slots: readonly Uint8Array[]): string {
    const taps = PORT_NAMES.filter((_, i) => this.hasEthernet[i] === 1).join(' ');
    const texts = slots.map((slot) => Buffer.from(slot).toString('hex'));
    return `batch from ${PORT_NAMES[port]}, TAPs ${taps}: ${texts.join(' ')}`;
  }
}
