/** Reads what a runtime writes to a plugin's standard input: JSON of bounded length, and values of a type in it. */
import { isObject, type JsonObject } from '../source/json-values.ts';
import { DoorError } from './selection.ts';

export { isObject, type JsonObject };

/** Far more than any runtime sends. */
export const INPUT_BYTES_MAX = 1024 * 1024;

/** @throws DoorError if there are too many bytes */
export async function readBounded(
  stream: AsyncIterable<unknown>,
  bytesMax = INPUT_BYTES_MAX,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new DoorError(`the input has more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @throws DoorError if the bytes are no JSON object */
export function parseJsonObject(bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new DoorError('the input is not JSON');
  }
  if (!isObject(value)) throw new DoorError('the input is no JSON object');
  return value;
}

/** A value that may be left out. @throws DoorError if it is something else than a text */
export function optionalText(object: JsonObject, key: string): string | undefined {
  const value = object[key] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new DoorError(`${key} is a text`);
}

/** @throws DoorError if it is something else than an object */
export function optionalObject(object: JsonObject, key: string): JsonObject | undefined {
  const value = object[key] ?? undefined;
  if (value === undefined || isObject(value)) return value;
  throw new DoorError(`${key} is a JSON object`);
}

/** @throws DoorError if it is something else than a list */
export function optionalList(object: JsonObject, key: string): readonly unknown[] | undefined {
  const value = object[key] ?? undefined;
  if (value === undefined || Array.isArray(value)) return value as readonly unknown[] | undefined;
  throw new DoorError(`${key} is a list`);
}

/** @throws DoorError if it is something else than a list of texts */
export function optionalTexts(object: JsonObject, key: string): readonly string[] | undefined {
  const value = object[key] ?? undefined;
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw new DoorError(`${key} is a list of texts`);
}

/** A map whose values are texts; empty if it is left out. @throws DoorError if it is something else */
export function optionalTextMap(object: JsonObject, key: string): ReadonlyMap<string, string> {
  const entries = Object.entries(optionalObject(object, key) ?? {});
  if (entries.some(([, value]) => typeof value !== 'string'))
    throw new DoorError(`${key} is an object of texts`);
  return new Map(entries as [string, string][]);
}
