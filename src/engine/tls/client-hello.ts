/**
 * Reads the server name of a TLS ClientHello. Sources: RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2, RFC 6066
 * section 3 (server_name).
 *
 * The whole message is read, to its last byte, and all lengths must fit. A server may read a message that contradicts
 * itself otherwise than we do, and take another name out of it: two extensions of server_name, a list of two names,
 * bytes behind the end. So such a message has no name. What is in other extensions is not read: of an Encrypted
 * ClientHello the outer name is seen, which is all that is in the open.
 *
 * Nothing here throws or reads beyond the message, whatever the bytes.
 */

/** A handshake message begins with its type and its length. */
export const MESSAGE_HEADER_BYTES = 4;
export const CLIENT_HELLO = 1;
/** The first byte of any version from SSL 3.0 to TLS 1.3. */
export const VERSION_MAJOR = 3;

const VERSION_BYTES = 2;
const RANDOM_BYTES = 32;
const SESSION_ID_MAX = 32;
const SUITE_BYTES = 2;
const EXTENSION_HEADER_BYTES = 4;
const EXTENSION_SERVER_NAME = 0;
const TYPE_HOST_NAME = 0;
/** Of server_name: the length of the list; type and length of the name. */
const LIST_HEADER_BYTES = 2;
const NAME_HEADER_BYTES = 3;

/** As names of DNS: RFC 1035 section 2.3.4, without the byte of the root. */
const NAME_BYTES_MAX = 254;
const LABEL_BYTES_MAX = 63;
const DOT = 0x2e;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
const LOWER_A = 0x61;
const LOWER_Z = 0x7a;
const TO_LOWER = 0x20;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;

// Results of `read`.
export const HELLO_NAMED = 0;
/** It is a ClientHello without a server name, or with one that is no name of a host. */
export const HELLO_NAMELESS = 1;
export const HELLO_MALFORMED = 2;

export class ClientHello {
  /** The server name: its labels in lower case, each behind its length. */
  readonly name = new Uint8Array(NAME_BYTES_MAX);
  nameLength = 0;

  /** @param bytes the handshake message is bytes[0] to bytes[end - 1] @returns HELLO_… */
  read(bytes: Uint8Array, end: number): number {
    this.nameLength = 0;
    if (end > bytes.length || end < MESSAGE_HEADER_BYTES + VERSION_BYTES + RANDOM_BYTES + 1)
      return HELLO_MALFORMED;
    const length = (bytes[1] << 16) | u16(bytes, 2);
    if (bytes[0] !== CLIENT_HELLO || length !== end - MESSAGE_HEADER_BYTES) return HELLO_MALFORMED;
    if (bytes[MESSAGE_HEADER_BYTES] !== VERSION_MAJOR) return HELLO_MALFORMED;
    let at = MESSAGE_HEADER_BYTES + VERSION_BYTES + RANDOM_BYTES;
    const session = bytes[at];
    at += 1 + session;
    if (session > SESSION_ID_MAX || at + 2 > end) return HELLO_MALFORMED;
    const suites = u16(bytes, at);
    at += 2 + suites;
    if (suites === 0 || suites % SUITE_BYTES !== 0 || at + 1 > end) return HELLO_MALFORMED;
    const compressions = bytes[at];
    at += 1 + compressions;
    if (compressions === 0 || at > end) return HELLO_MALFORMED;
    if (at === end) return HELLO_NAMELESS;
    if (at + 2 > end || at + 2 + u16(bytes, at) !== end) return HELLO_MALFORMED;
    return this.readExtensions(bytes, at + 2, end);
  }

  private readExtensions(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    let found = HELLO_NAMELESS;
    let hasServerName = false;
    while (at < end) {
      if (at + EXTENSION_HEADER_BYTES > end) return HELLO_MALFORMED;
      const type = u16(bytes, at);
      const next = at + EXTENSION_HEADER_BYTES + u16(bytes, at + 2);
      if (next > end) return HELLO_MALFORMED;
      if (type === EXTENSION_SERVER_NAME) {
        if (hasServerName) return HELLO_MALFORMED;
        hasServerName = true;
        found = this.readServerName(bytes, at + EXTENSION_HEADER_BYTES, next);
        if (found === HELLO_MALFORMED) return found;
      }
      at = next;
    }
    return found;
  }

  /** The list has room for several names. RFC 6066 allows one of each type, and there is one type. */
  private readServerName(bytes: Uint8Array, start: number, end: number): number {
    const name = start + LIST_HEADER_BYTES + NAME_HEADER_BYTES;
    if (name >= end || start + LIST_HEADER_BYTES + u16(bytes, start) !== end)
      return HELLO_MALFORMED;
    if (bytes[start + LIST_HEADER_BYTES] !== TYPE_HOST_NAME || name + u16(bytes, name - 2) !== end)
      return HELLO_MALFORMED;
    return this.takeName(bytes, name, end) ? HELLO_NAMED : HELLO_NAMELESS;
  }

  /**
   * Takes the text from `start` to before `end`. Servers compare names without case. Other bytes than names of hosts
   * have could mean to a server what they do not mean here: a 0 ends a text in C, and what is behind it is not seen.
   * @returns whether it is a name
   */
  private takeName(bytes: Uint8Array, start: number, end: number): boolean {
    const { name } = this;
    if (end - start + 1 > NAME_BYTES_MAX) return false;
    let label = 0;
    let length = 1;
    for (let at = start; at <= end; at++) {
      if (at < end && bytes[at] !== DOT) {
        const byte = bytes[at];
        if (!isNameByte(byte)) return false;
        name[length++] = byte >= UPPER_A && byte <= UPPER_Z ? byte | TO_LOWER : byte;
        continue;
      }
      const size = length - label - 1;
      if (size === 0 || size > LABEL_BYTES_MAX) return false;
      name[label] = size;
      label = length;
      if (at < end) length++;
    }
    this.nameLength = length;
    return true;
  }
}

/** A letter, a digit, a hyphen or an underscore. */
function isNameByte(byte: number): boolean {
  const lower = byte | TO_LOWER;
  return (
    (lower >= LOWER_A && lower <= LOWER_Z) ||
    (byte >= DIGIT_0 && byte <= DIGIT_9) ||
    byte === HYPHEN ||
    byte === UNDERSCORE
  );
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
