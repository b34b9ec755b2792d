/**
 * The slow twin of src/engine/tls: it reads all that a connection has brought anew each time, as the RFCs describe it,
 * and says what becomes of a segment.
 */
const BYTES_MAX = 8192;

export type Read =
  | { readonly kind: 'more' }
  | { readonly kind: 'wrong' }
  /** `name` undefined: it has none that is a host's. `end`: bytes of the stream that are the ClientHello. */
  | { readonly kind: 'hello'; readonly name: string | undefined; readonly end: number };

const MORE: Read = { kind: 'more' };
const WRONG: Read = { kind: 'wrong' };

/** Reads the beginning of a stream. */
export function readStream(stream: readonly number[]): Read {
  const message: number[] = [];
  let at = 0;
  for (;;) {
    const rest = stream.slice(at);
    if (rest.length === 0) return MORE;
    if (rest[0] !== 22 || (rest.length > 1 && rest[1] !== 3)) return WRONG;
    if (rest.length < 5) return MORE;
    const size = 256 * rest[3] + rest[4];
    if (size === 0 || size > 16_384 || at + 5 + size > BYTES_MAX) return WRONG;
    if (at === 0 && rest.length > 5 && rest[5] !== 1) return WRONG;
    if (rest.length < 5 + size) return MORE;
    message.push(...rest.slice(5, 5 + size));
    at += 5 + size;
    if (message.length < 4) continue;
    const whole = 4 + 65_536 * message[1] + 256 * message[2] + message[3];
    if (message.length > whole) return WRONG;
    if (message.length === whole) {
      const found = readMessage(message);
      return found === undefined ? WRONG : { kind: 'hello', end: at, ...found };
    }
  }
}

/** The server name of a whole ClientHello. Undefined: it is none, or contradicts itself. */
export function readMessage(
  message: readonly number[],
): { readonly name: string | undefined } | undefined {
  let left = [...message];
  let isShort = false;
  const take = (count: number): number[] => {
    if (left.length < count) isShort = true;
    const taken = left.slice(0, count);
    left = left.slice(count);
    return taken;
  };
  const number = (bytes: number): number => take(bytes).reduce((sum, one) => 256 * sum + one, 0);
  const vector = (bytes: number): number[] => take(number(bytes));
  if (number(1) !== 1 || number(3) !== left.length) return undefined;
  const [major] = take(2);
  take(32);
  const session = vector(1);
  const suites = vector(2);
  const compressions = vector(1);
  if (isShort || major !== 3 || session.length > 32) return undefined;
  if (suites.length === 0 || suites.length % 2 !== 0 || compressions.length === 0) return undefined;
  if (left.length === 0) return { name: undefined };
  const extensions = vector(2);
  if (isShort || left.length > 0) return undefined;
  left = extensions;
  const names: number[][] = [];
  while (left.length > 0) {
    const type = number(2);
    const data = vector(2);
    if (isShort) return undefined;
    if (type === 0) names.push(data);
  }
  if (names.length > 1) return undefined;
  if (names.length === 0) return { name: undefined };
  left = names[0];
  const list = vector(2);
  if (isShort || left.length > 0) return undefined;
  left = list;
  const type = number(1);
  const name = vector(2);
  if (isShort || left.length > 0 || type !== 0 || name.length === 0) return undefined;
  const text = String.fromCharCode(...name).toLowerCase();
  const labels = text.split('.');
  const isName = labels.every((label) => /^[a-z0-9_-]{1,63}$/.test(label)) && text.length <= 253;
  return { name: isName ? text : undefined };
}

/** What becomes of a segment of the client. */
export type Fate = 'pass' | 'tls-name' | 'tls-name-awaited';

/** A connection that a rule for one name has admitted, from its handshake on. */
export class PlainConnection {
  private readonly isRight: (name: string) => boolean;
  /** What has passed, or would have but for other checks. */
  private stream: number[] = [];
  private state: 'awaited' | 'named' | 'closed' | 'free' = 'awaited';

  constructor(isRight: (name: string) => boolean) {
    this.isRight = isRight;
  }

  /** @param offset of the data in the stream */
  send(offset: number, data: readonly number[]): Fate {
    if (this.state === 'closed') return 'tls-name';
    if (this.state === 'free' || data.length === 0) return 'pass';
    if (offset < 0) return 'tls-name-awaited';
    if (this.stream.length === 0 && offset > 0) return 'tls-name-awaited';
    if (offset > this.stream.length) return this.state === 'named' ? 'pass' : 'tls-name-awaited';
    const known = this.stream.slice(offset, offset + data.length);
    if (known.some((byte, i) => byte !== data[i])) return this.close();
    if (this.state === 'named' || known.length === data.length) return 'pass';
    this.stream.push(...data.slice(known.length));
    const read = readStream(this.stream);
    if (read.kind === 'more') return this.stream.length > BYTES_MAX ? this.close() : 'pass';
    if (read.kind === 'wrong' || read.name === undefined || !this.isRight(read.name))
      return this.close();
    this.stream = this.stream.slice(0, read.end);
    this.state = 'named';
    return 'pass';
  }

  /** The server acknowledges so many bytes of the stream. */
  acknowledge(bytes: number): void {
    if (this.state === 'named' && bytes >= this.stream.length) this.state = 'free';
  }

  get isNamed(): boolean {
    return this.state === 'named' || this.state === 'free';
  }

  /** Bytes of the stream that are kept. */
  get length(): number {
    return this.stream.length;
  }

  private close(): Fate {
    this.state = 'closed';
    return 'tls-name';
  }
}
