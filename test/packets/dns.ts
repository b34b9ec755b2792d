/** Builds DNS messages with records, without the code that is tested. Names are written out, or point to an offset. */
import { ANSWER, message } from '../metadata/messages.ts';

export const TYPE_A = 1;
export const TYPE_CNAME = 5;
export const TYPE_AAAA = 28;
/** Of the asked name, behind the header. */
export const ASKED = 12;

export interface DnsRecord {
  /** A name, or the offset that a pointer has. Default: the asked name. */
  readonly owner?: string | number;
  readonly type: number;
  readonly ttl?: number;
  readonly data: Uint8Array;
}

export interface DnsAnswer {
  readonly id?: number;
  readonly flags?: number;
  readonly name: string;
  readonly type?: number;
  readonly records: readonly DnsRecord[];
}

export function nameBytes(name: string | number): Buffer {
  if (typeof name === 'number') return Buffer.from([0xc0 | (name >> 8), name & 255]);
  const labels = (name === '' ? [] : name.split('.')).map((label) =>
    Buffer.from([label.length, ...Buffer.from(label, 'latin1')]),
  );
  return Buffer.concat([...labels, Buffer.from([0])]);
}

export function recordBytes({ owner = ASKED, type, ttl = 300, data }: DnsRecord): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(1, 2);
  head.writeInt32BE(ttl | 0, 4);
  head.writeUInt16BE(data.length, 8);
  return Buffer.concat([nameBytes(owner), head, data]);
}

export function dnsAnswer({
  id = 7,
  flags = ANSWER,
  name,
  type = TYPE_A,
  records,
}: DnsAnswer): Buffer {
  // prettier-ignore
  return message({
    ...{ id, flags, name, type },
    counts: [1, records.length, 0, 0],
    records: Buffer.concat(records.map(recordBytes)),
  });
}

export function dnsQuestion(name: string, type = TYPE_A, id = 7): Buffer {
  return message({ id, name, type });
}

/** An A record. */
export function a(address: string, more: Partial<DnsRecord> = {}): DnsRecord {
  return { type: TYPE_A, data: Uint8Array.from(address.split('.').map(Number)), ...more };
}

/** An AAAA record. @param words eight of 16 bits */
export function aaaa(words: readonly number[], more: Partial<DnsRecord> = {}): DnsRecord {
  const data = Buffer.alloc(16);
  words.forEach((word, i) => data.writeUInt16BE(word, 2 * i));
  return { type: TYPE_AAAA, data, ...more };
}

export function cname(target: string | number, more: Partial<DnsRecord> = {}): DnsRecord {
  return { type: TYPE_CNAME, data: nameBytes(target), ...more };
}
