/** The part of a recording that is being read: bytes that came and are not used up, and where in the whole they are. */

const NOTHING = Buffer.alloc(0);

export class ByteWindow {
  bytes: Buffer = NOTHING;
  view = viewOf(NOTHING);
  /** The next byte to read in `bytes`. */
  at = 0;
  /** No more bytes will come. */
  isLast = false;
  /** Where the first of `bytes` is in the whole. */
  private base = 0;
  /** Bytes still to be passed over. */
  private skipping = 0;

  /** Where `at` is in the whole. */
  get position(): number {
    return this.base + this.at;
  }

  /** Bytes that are here. */
  get rest(): number {
    return this.bytes.length - this.at;
  }

  /** More bytes have to come before anything can be read. */
  get isSkipping(): boolean {
    return this.skipping > 0;
  }

  /** Takes over further bytes; undefined: there are none. What was read before must not be looked at any more. */
  feed(piece: Buffer | undefined): void {
    if (piece === undefined) {
      this.isLast = true;
      return;
    }
    const kept = this.bytes.subarray(this.at);
    this.base += this.at;
    this.bytes = kept.length === 0 ? piece : Buffer.concat([kept, piece]);
    this.view = viewOf(this.bytes);
    this.at = 0;
    if (this.skipping > 0) this.skip(this.skipping);
  }

  /** Passes over so many bytes, also such as have not come. */
  skip(bytes: number): void {
    const here = Math.min(bytes, this.rest);
    this.at += here;
    this.skipping = bytes - here;
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
