/**
 * LinkWatch hears what becomes of the interfaces of a namespace, a few hundred microseconds after it happened.
 *
 * What comes in one piece is told in one piece: of a storm the listener hears a few hundred changes at a time. When
 * messages were lost, on the way or because there were too many, the listener is told to look at everything. So it is
 * once at the beginning.
 */
import { Socket } from 'node:net';
import type { Link } from './link-match.ts';
import { LINK_RECORD_BYTES, type Native } from './native.ts';

/** RECORD_* of native/link-watch.c. */
const RECORD_LINK = 1;
const RECORD_GONE = 2;
const RECORD_UNGUARDED = 3;

const NAME_AT = 16;
const MAC_AT = 32;
const ALIAS_AT = 56;

export interface LinkNews {
  /** Interfaces that came, changed or went, as they were then, in order. One may be there several times. */
  readonly links: readonly Link[];
  /** Names of interfaces whose guard was removed, by us or by others. */
  readonly unguarded: readonly string[];
  /** Something was missed: everything has to be looked at. */
  readonly isAll: boolean;
}

export class LinkWatch {
  private readonly socket: Socket;
  private rest: Buffer = Buffer.alloc(0);

  /**
   * @param netns path of the namespace, which lives at least until `close`; undefined: the daemon's own
   * @param onEnd the watch has ended by itself: nothing more is heard
   * @param receiveBytes for tests: how much may wait in the kernel
   * @throws NativeError if it can't be watched
   */
  constructor(
    native: Pick<Native, 'watchLinks'>,
    netns: string | undefined,
    onNews: (news: LinkNews) => void,
    onEnd: () => void,
    receiveBytes?: number,
  ) {
    this.socket = new Socket({
      fd: native.watchLinks(netns, receiveBytes),
      readable: true,
      writable: false,
    });
    this.socket.on('data', (bytes) => {
      const news = this.read(bytes);
      if (news !== undefined) onNews(news);
    });
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('end', onEnd);
    // It must not keep a process that has nothing else to do.
    this.socket.unref();
  }

  close(): void {
    this.socket.removeAllListeners('end');
    this.socket.destroy();
  }

  private read(bytes: Buffer): LinkNews | undefined {
    const all = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes]);
    const links: Link[] = [];
    const unguarded: string[] = [];
    let isAll = false;
    let at = 0;
    for (; at + LINK_RECORD_BYTES <= all.length; at += LINK_RECORD_BYTES) {
      const record = all.subarray(at, at + LINK_RECORD_BYTES);
      const what = record.readUInt32LE(0);
      if (what === RECORD_LINK || what === RECORD_GONE) links.push(readLink(record));
      else if (what === RECORD_UNGUARDED) unguarded.push(textAt(record, NAME_AT, MAC_AT));
      else isAll = true;
    }
    this.rest = all.subarray(at);
    return at === 0 ? undefined : { links, unguarded, isAll };
  }
}

function readLink(record: Buffer): Link {
  return {
    ifindex: record.readUInt32LE(4),
    name: textAt(record, NAME_AT, MAC_AT),
    mac: textAt(record, MAC_AT, ALIAS_AT),
    alias: textAt(record, ALIAS_AT, record.length),
  };
}

function textAt(record: Buffer, start: number, end: number): string {
  const stop = record.indexOf(0, start);
  return record.toString('utf8', start, stop < 0 ? end : Math.min(stop, end));
}
