/** Builds the first bytes of TLS connections. It shares no code with src/engine/tls. */
export type Extension = readonly [type: number, data: Uint8Array];

export interface HelloOptions {
  /** The server name; absent: there is none. */
  readonly name?: string;
  /** Behind the server name. */
  readonly extensions?: readonly Extension[];
  /** Whether the server name is behind the other extensions. */
  readonly isNameLast?: boolean;
  /** No extensions at all, not even an empty list. */
  readonly isBare?: boolean;
  readonly session?: number;
  readonly suites?: number;
}

export const EXTENSION_ALPN = 16;
export const EXTENSION_ECH = 0xfe0d;

export function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

export function u16(value: number): readonly number[] {
  return [value >> 8, value & 0xff];
}

/** What the extension server_name holds. */
export function serverNames(...names: readonly string[]): Uint8Array {
  const list = names.map((name) => concat([0], u16(name.length), Buffer.from(name, 'latin1')));
  const whole = concat(...list);
  return concat(u16(whole.length), whole);
}

/** What the extension ALPN holds, for a message of any length. */
export function alpn(...protocols: readonly string[]): Extension {
  const list = concat(...protocols.map((one) => concat([one.length], Buffer.from(one, 'latin1'))));
  return [EXTENSION_ALPN, concat(u16(list.length), list)];
}

/** A handshake message, without records. */
export function clientHello({
  name,
  extensions = [],
  isNameLast = false,
  isBare = false,
  session = 32,
  suites = 4,
}: HelloOptions = {}): Uint8Array {
  const own: readonly Extension[] = name === undefined ? [] : [[0, serverNames(name)]];
  const all = isNameLast ? [...extensions, ...own] : [...own, ...extensions];
  const list = concat(...all.map(([type, data]) => concat(u16(type), u16(data.length), data)));
  const body = concat(
    [3, 3],
    new Uint8Array(32).fill(7),
    [session],
    new Uint8Array(session).fill(9),
    u16(2 * suites),
    new Uint8Array(2 * suites).fill(0x13),
    [1, 0],
    isBare ? [] : concat(u16(list.length), list),
  );
  return concat([1, 0], u16(body.length), body);
}

/** Cuts a message into records of these sizes, the last one of what is left. */
export function records(message: Uint8Array, ...sizes: readonly number[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const size of [...sizes, Infinity]) {
    const data = message.subarray(at, at + size);
    if (data.length > 0) parts.push(concat([22, 3, 1], u16(data.length), data));
    at += data.length;
  }
  return concat(...parts);
}
