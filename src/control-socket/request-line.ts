/**
 * RequestLines splits the bytes of a client into lines. It holds at most one line and the bytes that arrived with its
 * end. A client that sends its line byte by byte costs no more than one that sends it whole.
 */
const NEWLINE = 0x0a;
const ROOM_BYTES = 4096;

export class RequestLines {
  private readonly bytesMax: number;
  private bytes = Buffer.alloc(0);
  private length = 0;
  /** There is no newline before this offset. */
  private searched = 0;

  /** @param bytesMax the longest line */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  add(chunk: Buffer): void {
    const needed = this.length + chunk.length;
    if (needed > this.bytes.length) {
      const grown = Buffer.alloc(Math.max(needed, 2 * this.length, ROOM_BYTES));
      this.bytes.copy(grown, 0, 0, this.length);
      this.bytes = grown;
    }
    chunk.copy(this.bytes, this.length);
    this.length = needed;
  }

  /** Takes the next line without its newline; undefined if its end has not arrived yet. */
  take(): Buffer | 'too long' | undefined {
    const end = this.bytes.subarray(0, this.length).indexOf(NEWLINE, this.searched);
    if (end > this.bytesMax || (end < 0 && this.length > this.bytesMax)) return 'too long';
    if (end < 0) {
      this.searched = this.length;
      return undefined;
    }
    const line = Buffer.from(this.bytes.subarray(0, end));
    this.bytes.copy(this.bytes, 0, end + 1, this.length);
    this.length -= end + 1;
    this.searched = 0;
    return line;
  }

  clear(): void {
    this.bytes = Buffer.alloc(0);
    this.length = 0;
    this.searched = 0;
  }
}
