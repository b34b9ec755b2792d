/**
 * The words for a packet in a scenario: `tcp 40000>80 S`, `udp6 5000>53 len 20`, `ping id 7`,
 * `icmp 3/4 about { web > client tcp 443>40000 A }`, `udp 1>53 len 100 bytes 0-48`, `raw 4500…`.
 */
import {
  authentication,
  bytes,
  concat,
  destinationOptions,
  fragment6,
  hex,
  hopByHop,
  icmp,
  icmp6Message,
  ipv4,
  ipv6,
  routing,
  tcp,
  udp,
  type ExtensionHeader,
} from '../packets/build.ts';

/** How the flow of a packet is found again at a gate; undefined where there is none to be found. */
export interface FlowName {
  readonly protocol: number;
  readonly src: string;
  readonly dst: string;
  /** TCP and UDP: the ports. Queries: the identifier and the type; whether the packet asks or answers. */
  readonly srcPort: number;
  readonly dstPort: number;
  readonly query: 'asks' | 'answers' | undefined;
}

export interface BuiltPacket {
  readonly bytes: Uint8Array;
  readonly flow: FlowName | undefined;
}

/** Address of a name in a family. @throws Error for names nobody has */
export type Resolve = (name: string, family: 4 | 6) => string;

/** Sequence numbers each side goes on with, so that a scenario need not count. */
export class Sequences {
  private readonly next = new Map<string, number>();
  private pending: readonly [side: string, seq: number] | undefined;

  nextOf(side: string): number | undefined {
    return this.next.get(side);
  }

  /** The number of the packet, if none is given: where its side stands, or the start of it. */
  take(
    side: string,
    peer: string,
    given: number | undefined,
    advance: number,
    isSyn: boolean,
  ): number {
    const start = this.next.has(peer) ? 9000 : 1000;
    const seq = given ?? this.next.get(side) ?? start;
    this.pending = given === undefined || isSyn ? [side, (seq + advance) % 2 ** 32] : undefined;
    return seq;
  }

  /** The packet went through: its sender goes on behind it, and the other side can acknowledge it. */
  commit(): void {
    if (this.pending !== undefined) this.next.set(...this.pending);
    this.forget();
  }

  /** The packet was dropped: it is as if it had not been sent. */
  forget(): void {
    this.pending = undefined;
  }
}

const QUERIES_4 = [8, 13, 15, 17];
const REPLIES_4 = [0, 14, 16, 18];

/** @throws Error that says which word is wrong */
export function buildPacket(
  words: readonly string[],
  source: string,
  destination: string,
  resolve: Resolve,
  sequences: Sequences,
): BuiltPacket {
  if (words[0] === 'raw') return { bytes: hex(words.slice(1).join('')), flow: undefined };
  const reader = new Words(words);
  const head = reader.next('a packet');
  const family = head.endsWith('6') ? 6 : 4;
  const kind = family === 6 ? head.slice(0, -1) : head;
  const src = resolve(source, family);
  const dst = resolve(destination, family);
  const upper = buildUpper(kind, family, src, dst, reader, resolve, sequences);
  const via = reader.word('via');
  // AH is a protocol of its own for rules and flows, whatever stands behind it.
  const isAuthenticated = via?.split(',').includes('ah') === true;
  return {
    bytes: buildIp(family, src, dst, upper, extensionHeaders(via), reader),
    flow: isAuthenticated ? flowOfProtocol(51, src, dst) : upper.flow,
  };
}

/** A protocol whose flows are told apart by addresses alone. */
function flowOfProtocol(protocol: number, src: string, dst: string): FlowName {
  return { protocol, src, dst, srcPort: 0, dstPort: 0, query: undefined };
}

/** Protocols that have more to tell their flows apart by than bare bytes can say. */
const WITH_PORTS = [1, 6, 17, 58];

interface Upper {
  readonly protocol: number;
  readonly bytes: Uint8Array;
  readonly flow: FlowName | undefined;
}

function buildUpper(
  kind: string,
  family: 4 | 6,
  src: string,
  dst: string,
  reader: Words,
  resolve: Resolve,
  sequences: Sequences,
): Upper {
  switch (kind) {
    case 'tcp':
      return buildTcp(src, dst, reader, sequences);
    case 'udp': {
      const [srcPort, dstPort] = reader.ports();
      const payload = new Uint8Array(reader.number('len') ?? 0);
      const length = reader.number('udp-length');
      const datagram = udp(src, dst, { srcPort, dstPort, payload, ...optional({ length }) });
      return {
        protocol: 17,
        bytes: datagram,
        flow: { protocol: 17, src, dst, srcPort, dstPort, query: undefined },
      };
    }
    case 'ping':
    case 'pong':
    case 'icmp':
      return buildIcmp(kind, family, src, dst, reader, resolve);
    case 'proto': {
      const protocol = reader.protocol();
      const payload = new Uint8Array(reader.number('len') ?? 8);
      const flow = WITH_PORTS.includes(protocol) ? undefined : flowOfProtocol(protocol, src, dst);
      return { protocol, bytes: payload, flow };
    }
    default:
      throw new Error(
        `'${kind}' is no packet: tcp, udp, ping, pong, icmp or proto, with 6 for IPv6; or raw, again`,
      );
  }
}

function buildTcp(src: string, dst: string, reader: Words, sequences: Sequences): Upper {
  const [srcPort, dstPort] = reader.ports();
  const letters = reader.next('flags');
  const flags = letters === '-' ? '' : letters;
  const size = reader.number('len') ?? 0;
  const marks = (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
  const side = `${src} ${srcPort} ${dst} ${dstPort}`;
  const peer = `${dst} ${dstPort} ${src} ${srcPort}`;
  const seq = sequences.take(side, peer, reader.number('seq'), size + marks, flags.includes('S'));
  const givenAck = reader.number('ack');
  const ack = givenAck ?? (flags.includes('A') ? (sequences.nextOf(peer) ?? 0) : 0);
  const segment = tcp(src, dst, {
    srcPort,
    dstPort,
    seq,
    ack,
    flags,
    payload: new Uint8Array(size),
    ...optional({
      window: reader.number('win'),
      windowScale: reader.number('scale'),
      dataOffset: reader.number('data-offset'),
    }),
  });
  return {
    protocol: 6,
    bytes: segment,
    flow: { protocol: 6, src, dst, srcPort, dstPort, query: undefined },
  };
}

function buildIcmp(
  kind: string,
  family: 4 | 6,
  src: string,
  dst: string,
  reader: Words,
  resolve: Resolve,
): Upper {
  const echo = family === 4 ? { ping: [8, 0], pong: [0, 0] } : { ping: [128, 0], pong: [129, 0] };
  const [type, code] = kind === 'icmp' ? reader.typeAndCode() : echo[kind as 'ping' | 'pong'];
  const id = reader.number('id') ?? 1;
  const mtu = reader.number('mtu');
  const quotation = reader.braces('about');
  let payload = new Uint8Array(reader.number('len') ?? 0);
  if (quotation !== undefined) {
    const arrow = quotation.indexOf('>');
    const quoted = buildPacket(
      quotation.slice(arrow + 2),
      quotation[arrow - 1],
      quotation[arrow + 1],
      resolve,
      new Sequences(),
    );
    payload = Uint8Array.from(
      quoted.bytes.subarray(0, reader.number('quote') ?? quoted.bytes.length),
    );
  }
  const rest = quotation === undefined && mtu === undefined ? { id, seq: 1 } : { rest: mtu ?? 0 };
  const message =
    family === 4
      ? icmp({ type, code, ...rest, payload })
      : icmp6Message(src, dst, { type, code, ...rest, payload });
  const protocol = family === 4 ? 1 : 58;
  const isQuery = family === 4 ? QUERIES_4.includes(type) : type === 128;
  const isReply = family === 4 ? REPLIES_4.includes(type) : type === 129;
  const query = isQuery ? 'asks' : isReply ? 'answers' : undefined;
  const queryType = family === 6 ? 128 : isQuery ? type : QUERIES_4[REPLIES_4.indexOf(type)];
  const flow =
    query === undefined
      ? undefined
      : ({
          protocol,
          src,
          dst,
          srcPort: isQuery ? id : queryType,
          dstPort: isQuery ? queryType : id,
          query,
        } as const);
  return { protocol, bytes: message, flow };
}

function buildIp(
  family: 4 | 6,
  src: string,
  dst: string,
  upper: Upper,
  via: readonly ExtensionHeader[],
  reader: Words,
): Uint8Array {
  const inner = extensionHeaders(reader.word('inner'));
  const protocol = inner[0]?.number ?? upper.protocol;
  const numbers = [...inner.map(({ number }) => number), upper.protocol];
  const whole = concat(...inner.map((header, i) => header.build(numbers[i + 1])), upper.bytes);
  const range = reader.word('bytes');
  const [from, to] = range === undefined ? [0, whole.length] : range.split('-').map(Number);
  const offset = reader.number('at') ?? from;
  const isFragment = range !== undefined || reader.has('fragment');
  const isLast = reader.has('last');
  const isMore = reader.has('more') || (isFragment && to < whole.length && !isLast);
  const id = reader.number('ip-id') ?? 1;
  const payload = whole.subarray(from, to);
  let packet: Uint8Array;
  if (family === 4) {
    const options = reader.word('options');
    packet = ipv4({
      src,
      dst,
      protocol,
      payload,
      id,
      mf: isMore,
      fragmentOffset: offset,
      ...optional({
        options: options === undefined ? undefined : hex(options),
        totalLength: reader.number('total-length'),
        headerLength: reader.number('header-length'),
      }),
    });
  } else {
    const extensions = isFragment ? [...via, fragment6({ offset, more: isMore, id })] : via;
    packet = ipv6({
      src,
      dst,
      nextHeader: protocol,
      extensionHeaders: extensions,
      payload,
      ...optional({ payloadLength: reader.number('payload-length') }),
    });
  }
  packet = patch(packet, reader.word('patch'));
  packet = packet.subarray(0, reader.number('cut') ?? packet.length);
  const pad = reader.number('pad');
  reader.end();
  return pad === undefined ? packet : concat(packet, new Uint8Array(pad).fill(0xee));
}

function patch(packet: Uint8Array, text: string | undefined): Uint8Array {
  if (text === undefined) return packet;
  const [at, value] = text.split('=');
  const patched = packet.slice();
  patched.set(hex(value), Number(at));
  return patched;
}

const EXTENSIONS: Readonly<Record<string, () => ExtensionHeader>> = {
  hop: () => hopByHop(),
  dest: () => destinationOptions(),
  routing0: () => routing(0),
  routing2: () => routing(2),
  ah: () => authentication(),
  atomic: () => fragment6({ id: 1 }),
  // Says it is 16 bytes long and is 8.
  overlong: () => ({ number: 60, build: (next) => bytes(next, 255, 1, 4, 0, 0, 0, 0) }),
};

function extensionHeaders(list: string | undefined): ExtensionHeader[] {
  return (list ?? '').split(',').flatMap((name) => {
    if (name === '') return [];
    if (!(name in EXTENSIONS))
      throw new Error(`'${name}' is none of ${Object.keys(EXTENSIONS).join(', ')}`);
    return [EXTENSIONS[name]()];
  });
}

/** Leaves out what is undefined. */
function optional<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Words of a packet, taken one by one or by their name. */
class Words {
  private readonly words: (string | string[])[] = [];

  constructor(words: readonly string[]) {
    const open = words.indexOf('{');
    if (open < 0) this.words.push(...words);
    else {
      const close = words.lastIndexOf('}');
      if (close < 0) throw new Error("'{' without '}'");
      this.words.push(
        ...words.slice(0, open),
        words.slice(open + 1, close),
        ...words.slice(close + 1),
      );
    }
  }

  next(what: string): string {
    const word = this.words.shift();
    if (typeof word !== 'string') throw new Error(`${what} is missing`);
    return word;
  }

  ports(): [number, number] {
    const word = this.next('SOURCE>DESTINATION port');
    const match = /^(\d+)>(\d+)$/.exec(word);
    if (match === null) throw new Error(`'${word}' is not SOURCE>DESTINATION port`);
    return [Number(match[1]), Number(match[2])];
  }

  protocol(): number {
    const word = this.next('a protocol number');
    if (!/^\d+$/.test(word) || Number(word) > 255)
      throw new Error(`'${word}' is no protocol number`);
    return Number(word);
  }

  typeAndCode(): [number, number] {
    const word = this.next('TYPE/CODE');
    const match = /^(\d+)\/(\d+)$/.exec(word);
    if (match === null) throw new Error(`'${word}' is not TYPE/CODE`);
    return [Number(match[1]), Number(match[2])];
  }

  /** The word behind `name`; both are taken out. */
  word(name: string): string | undefined {
    const at = this.words.indexOf(name);
    if (at < 0) return undefined;
    const value = this.words.splice(at, 2)[1];
    if (typeof value !== 'string') throw new Error(`something is missing behind '${name}'`);
    return value;
  }

  number(name: string): number | undefined {
    const word = this.word(name);
    if (word === undefined) return undefined;
    if (!/^\d+$/.test(word)) throw new Error(`'${name}' takes a number, not '${word}'`);
    return Number(word);
  }

  has(name: string): boolean {
    const at = this.words.indexOf(name);
    if (at >= 0) this.words.splice(at, 1);
    return at >= 0;
  }

  /** The words between the braces behind `name`. */
  braces(name: string): string[] | undefined {
    const at = this.words.indexOf(name);
    if (at < 0) return undefined;
    const value = this.words.splice(at, 2)[1];
    if (!Array.isArray(value)) throw new Error(`'${name}' takes a packet in braces`);
    return value;
  }

  end(): void {
    if (this.words.length > 0) throw new Error(`'${this.words.join(' ')}' means nothing here`);
  }
}
