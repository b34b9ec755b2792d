/**
 * Reads a name of a DNS message, with its compression (RFC 1035 section 4.1.4).
 *
 * A message is a stranger's. A pointer must point in front of the name, or in front of the pointer before it: so none
 * leads in a circle. Their number is bounded, and so is a name's length.
 */

/** RFC 1035 section 2.3.4, without the byte of the root. */
const NAME_BYTES_MAX = 254;
const LABEL_BYTES_MAX = 63;
const POINTER = 0xc0;
const POINTER_MASK = 0x3fff;
/** More than any encoder makes: each follows a label that the name shares with an earlier one. */
const POINTERS_MAX = 16;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
const TO_LOWER = 0x20;

/** `read` has found no name. */
export const NO_NAME = -1;

export class DnsName {
  /** The labels in lower case, each behind its length. */
  readonly bytes = new Uint8Array(NAME_BYTES_MAX);
  length = 0;

  /**
   * @param message where the message begins in the view
   * @param start where the name begins
   * @param end of the message
   * @returns where it ends, or NO_NAME
   */
  read(view: DataView, message: number, start: number, end: number): number {
    const { bytes } = this;
    let at = start;
    let limit = start;
    let behind = NO_NAME;
    let length = 0;
    let pointers = 0;
    while (at < end) {
      const size = view.getUint8(at);
      if (size === 0) {
        this.length = length;
        return behind === NO_NAME ? at + 1 : behind;
      }
      if (size >= POINTER) {
        if (at + 2 > end || ++pointers > POINTERS_MAX) return NO_NAME;
        const target = message + (view.getUint16(at) & POINTER_MASK);
        if (target >= limit) return NO_NAME;
        if (behind === NO_NAME) behind = at + 2;
        limit = target;
        at = target;
      } else {
        if (size > LABEL_BYTES_MAX || at + 1 + size > end) return NO_NAME;
        if (length + 1 + size > NAME_BYTES_MAX) return NO_NAME;
        bytes[length++] = size;
        for (let i = at + 1; i <= at + size; i++) {
          const byte = view.getUint8(i);
          bytes[length++] = byte >= UPPER_A && byte <= UPPER_Z ? byte | TO_LOWER : byte;
        }
        at += 1 + size;
      }
    }
    return NO_NAME;
  }

  isSameAs(other: DnsName): boolean {
    const { length } = this;
    if (other.length !== length) return false;
    for (let i = 0; i < length; i++) if (this.bytes[i] !== other.bytes[i]) return false;
    return true;
  }

  take(other: DnsName): void {
    this.length = other.length;
    for (let i = 0; i < other.length; i++) this.bytes[i] = other.bytes[i];
  }
}
