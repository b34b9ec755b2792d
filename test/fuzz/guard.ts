/**
 * What an engine holds: all of its typed arrays, watched or measured.
 *
 * A typed array answers an index beyond its end with undefined and takes a write there without a word, so a
 * mistake of that kind shows nowhere. `guard` puts a proxy in the place of each that throws instead, also at a
 * value that no int32 or double can hold, and is ten times slower for it. `measure` tells whether an engine has grown.
 */
type TypedArray = Int32Array | Uint8Array | Float64Array | Uint32Array | Uint16Array;

const proxies = new WeakMap<TypedArray, TypedArray>();
const isProxy = new WeakSet();

const watch: ProxyHandler<TypedArray> = {
  get(array, key) {
    if (!(key in array)) throw new RangeError(`read of ${String(key)} of ${array.length}`);
    const value: unknown = Reflect.get(array, key, array);
    return typeof value === 'function' ? (value.bind(array) as unknown) : value;
  },
  set(array, key, value: unknown) {
    if (!(key in array)) throw new RangeError(`write to ${String(key)} of ${array.length}`);
    if (!Number.isSafeInteger(value)) throw new RangeError(`write of ${String(value)}`);
    return Reflect.set(array, key, value, array);
  },
};

/** Has every access to the typed arrays of `root` checked, but for those that `except` holds. */
export function guard(root: object, except: readonly object[]): void {
  walk(root, except, (owner, key, value) => {
    if (!isTypedArray(value)) return;
    const proxy = proxies.get(value) ?? new Proxy(value, watch);
    proxies.set(value, proxy);
    isProxy.add(proxy);
    Object.defineProperty(owner, key, { value: proxy, writable: true, enumerable: true });
  });
}

/** How many objects hang together with `root`, and how many bytes its arrays have. */
export function measure(root: object): { objects: number; bytes: number } {
  let objects = 0;
  const buffers = new Set<ArrayBufferLike>();
  walk(root, [], (_owner, _key, value) => {
    objects++;
    if (ArrayBuffer.isView(value)) buffers.add(value.buffer);
    if (Array.isArray(value)) objects += value.length;
  });
  let bytes = 0;
  for (const { byteLength } of buffers) bytes += byteLength;
  return { objects, bytes };
}

function isTypedArray(value: unknown): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** Visits every property of every object that can be reached, each object once. */
function walk(
  root: object,
  except: readonly object[],
  visit: (owner: object, key: string, value: object) => void,
): void {
  const seen = new Set<object>([root, ...except]);
  const queue: object[] = [root];
  for (let owner = queue.pop(); owner !== undefined; owner = queue.pop()) {
    for (const [key, value] of Object.entries(owner) as [string, unknown][]) {
      if (typeof value !== 'object' || value === null || isProxy.has(value)) continue;
      const isArray = isTypedArray(value);
      // Arrays are put behind a proxy wherever they are held; other objects are looked into once.
      if (seen.has(value)) {
        if (isArray) visit(owner, key, value);
        continue;
      }
      seen.add(value);
      visit(owner, key, value);
      if (!isArray && !(value instanceof DataView)) queue.push(value);
    }
  }
}
