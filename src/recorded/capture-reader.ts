/** Reads the packets of a capture of either format, one after the other, in a window of it. */
import type { ByteSource } from './byte-source.ts';
import { ByteWindow } from './byte-window.ts';
import { CapturedPacket, READ_MORE, READ_ONE, type Damage } from './captured-packet.ts';
import { isPcap, PcapFormat } from './pcap.ts';
import { isPcapng, PcapngFormat } from './pcapng.ts';

/** Whether a file that begins so is a capture. */
export function isCapture(first: Buffer): boolean {
  return isPcap(first) || isPcapng(first);
}

export class CaptureReader {
  readonly packet = new CapturedPacket();
  readonly source: ByteSource;
  /** Packets read so far. */
  packets = 0;
  private readonly window = new ByteWindow();
  private readonly format: PcapFormat | PcapngFormat;

  /** @param first the file's first bytes, as `peek` returned them */
  constructor(source: ByteSource, first: Buffer) {
    this.source = source;
    this.format = isPcapng(first) ? new PcapngFormat() : new PcapFormat();
  }

  /** Takes the next packet out of what is here. @returns READ_… */
  step(): number {
    const read = this.format.step(this.window, this.packet);
    if (read === READ_ONE) this.packets++;
    return read;
  }

  /** Reads the next packet, waiting for the file if need be. @returns whether there is one */
  async next(): Promise<boolean> {
    for (;;) {
      const read = this.step();
      if (read !== READ_MORE) return read === READ_ONE;
      await this.feed();
    }
  }

  /** Waits for further bytes of the file. */
  async feed(): Promise<void> {
    this.window.feed(await this.source.next());
  }

  /** What is wrong with the file, after its last packet. */
  get damage(): Damage | undefined {
    const { failure } = this.source;
    if (failure === undefined) return this.format.damage;
    return { at: this.window.position, message: failure };
  }

  /** Packets that the file says were lost when it was written. */
  get lost(): number {
    return this.format.lost;
  }
}
