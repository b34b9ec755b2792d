/** Builds DNS messages for tests, without the code that is tested. */
export interface Message {
  readonly id?: number;
  readonly flags?: number;
  readonly name?: string;
  readonly type?: number;
  /** EDNS with this size; absent: none. */
  readonly edns?: number;
  /** Counts of the header, where they are not what is there. */
  readonly counts?: readonly [number, number, number, number];
  /** What stands between question and EDNS. */
  readonly records?: Buffer;
}

export const QUERY = 0x0100;
export const ANSWER = 0x8180;

export function message({
  id = 7,
  flags = QUERY,
  name = 'www.example',
  type = 1,
  edns,
  counts,
  records = Buffer.alloc(0),
}: Message): Buffer {
  const header = Buffer.alloc(12);
  const [questions, answers, authorities, additional] = counts ?? [
    ...[1, records.length > 0 ? 1 : 0, 0],
    edns === undefined ? 0 : 1,
  ];
  [id, flags, questions, answers, authorities, additional].forEach((word, i) =>
    header.writeUInt16BE(word, 2 * i),
  );
  const labels = (name === '' ? [] : name.split('.')).map((label) =>
    Buffer.from([label.length, ...Buffer.from(label)]),
  );
  const end = Buffer.from([0, 0, type, 0, 1]);
  const opt =
    edns === undefined
      ? Buffer.alloc(0)
      : Buffer.from([0, 0, 41, edns >> 8, edns & 255, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, end, records, opt]);
}

/** A record of the question's name with so many bytes of data. */
export function record(bytes: number): Buffer {
  const head = Buffer.from([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, bytes >> 8, bytes & 255]);
  return Buffer.concat([head, Buffer.alloc(bytes, 'x')]);
}
