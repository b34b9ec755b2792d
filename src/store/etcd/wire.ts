/**
 * Makes bytes of messages and messages of bytes, as Protocol Buffers have them: the only importer of `protobufjs`.
 *
 * A message is a table of its fields. So there is no generated code, nothing is compiled at the start, and a table has
 * only the fields that we use: others that come are passed over, as the format asks.
 */
import protobuf from 'protobufjs/minimal.js';

type Reader = protobuf.Reader;
type Writer = protobuf.Writer;

/** How the values of one type are read and written. */
interface Type<T> {
  readonly wireType: 0 | 2;
  readonly read: (reader: Reader) => T;
  readonly write: (writer: Writer, value: T) => unknown;
}

export type Shape = Readonly<Record<string, Field<unknown>>>;

/** A field: its number, its type, and what it is when it is not there. */
interface Field<T> {
  readonly at: number;
  readonly type: Type<unknown>;
  readonly isList: boolean;
  /** New for each message. */
  readonly absent: () => T;
}

/** What is read. */
export type Message<S extends Shape> = {
  -readonly [K in keyof S]: S[K] extends Field<infer T> ? T : never;
};

export interface Codec<S extends Shape> {
  readonly fields: S;
  readonly encode: (message: Partial<Message<S>>) => Buffer;
  /** @throws Error if it is cut off, or holds a number that is none of ours */
  readonly decode: (bytes: Uint8Array) => Message<S>;
}

const NUMBER: Type<number> = {
  wireType: 0,
  read: (reader) => {
    const value = Number(reader.int64());
    if (!Number.isSafeInteger(value)) throw new RangeError('a number beyond 2^53');
    return value;
  },
  write: (writer, value) => writer.int64(value),
};

const ID: Type<string> = {
  wireType: 0,
  read: (reader) => {
    const { low, high } = reader.uint64();
    return String((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  },
  write: (writer, value) => writer.uint64(value),
};

const BOOL: Type<boolean> = {
  wireType: 0,
  read: (reader) => reader.bool(),
  write: (writer, value) => writer.bool(value),
};

const BYTES: Type<Buffer> = {
  wireType: 2,
  read: (reader) => {
    const bytes = reader.bytes();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  },
  write: (writer, value) => writer.bytes(value),
};

const TEXT: Type<string> = {
  wireType: 2,
  read: (reader) => reader.string(),
  write: (writer, value) => writer.string(value),
};

function single<T>(at: number, type: Type<T>, absent: T): Field<T> {
  return { at, type: type as Type<unknown>, isList: false, absent: () => absent };
}

const NO_BYTES = Buffer.alloc(0);

/** int64, or an enum. */
export const number = (at: number): Field<number> => single(at, NUMBER, 0);
/** uint64 that only says who somebody is: a decimal text. */
export const id = (at: number): Field<string> => single(at, ID, '0');
export const bool = (at: number): Field<boolean> => single(at, BOOL, false);
export const bytes = (at: number): Field<Buffer> => single(at, BYTES, NO_BYTES);
export const text = (at: number): Field<string> => single(at, TEXT, '');

/** A message within a message; undefined if it is not there. */
export function part<S extends Shape>(
  at: number,
  codec: Codec<S>,
): Field<Partial<Message<S>> | undefined> {
  return { at, type: typeOf(codec), isList: false, absent: () => undefined };
}

/** Messages, in their order. */
export function list<S extends Shape>(at: number, codec: Codec<S>): Field<Partial<Message<S>>[]> {
  return { at, type: typeOf(codec), isList: true, absent: () => [] };
}

function typeOf<S extends Shape>({ fields }: Codec<S>): Type<unknown> {
  const plan = planOf(fields);
  const type: Type<Message<S>> = {
    wireType: 2,
    read: (reader) => {
      const length = reader.uint32();
      if (reader.pos + length > reader.len) throw new RangeError('a message is cut off');
      return readFields<S>(plan, reader, reader.pos + length);
    },
    write: (writer, value) => {
      writer.fork();
      writeFields(plan, writer, value);
      writer.ldelim();
    },
  };
  return type as Type<unknown>;
}

/** Makes the codec of a message from its fields. */
export function message<S extends Shape>(fields: S): Codec<S> {
  const plan = planOf(fields);
  return {
    fields,
    encode: (value) => {
      const writer = protobuf.Writer.create();
      writeFields(plan, writer, value);
      const encoded = writer.finish();
      return Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
    },
    decode: (encoded) => readFields<S>(plan, protobuf.Reader.create(encoded), encoded.length),
  };
}

function writeFields<S extends Shape>(
  plan: Plan,
  writer: Writer,
  value: Partial<Message<S>>,
): void {
  for (const { name, field } of plan.all) {
    const given = value[name];
    if (given === undefined) continue;
    for (const each of field.isList ? (given as unknown[]) : [given]) {
      writer.uint32((field.at << 3) | field.type.wireType);
      field.type.write(writer, each);
    }
  }
}

function readFields<S extends Shape>(plan: Plan, reader: Reader, end: number): Message<S> {
  const found: Record<string, unknown> = {};
  for (const { name, field } of plan.all) found[name] = field.absent();
  while (reader.pos < end) {
    const tag = reader.uint32();
    const entry = plan.byNumber[tag >>> 3];
    if (entry === undefined || entry.field.type.wireType !== (tag & 7)) {
      reader.skipType(tag & 7);
      continue;
    }
    const { name, field } = entry;
    const value = field.type.read(reader);
    if (field.isList) (found[name] as unknown[]).push(value);
    else found[name] = value;
  }
  return found as Message<S>;
}

interface Entry {
  readonly name: string;
  readonly field: Field<unknown>;
}

/** The fields of a message, as reading and writing want them: a read of 20,000 rows has as many messages. */
interface Plan {
  readonly all: readonly Entry[];
  readonly byNumber: readonly (Entry | undefined)[];
}

function planOf(fields: Shape): Plan {
  const all = Object.entries(fields).map(([name, field]) => ({ name, field }));
  const byNumber: (Entry | undefined)[] = [];
  for (const entry of all) byNumber[entry.field.at] = entry;
  return { all, byNumber };
}
