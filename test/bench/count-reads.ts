/** Counts what is read out of typed arrays: operations instead of nanoseconds, the same on every machine. */

type TypedArray = Int32Array | Uint32Array | Uint8Array | Float64Array;

export class ReadCounter {
  count = 0;

  /**
   * Puts a counting stand-in where `owner` or an object it owns has a typed array. Objects that were seen
   * before are left alone. Atomics take no stand-ins, so memory that is used with them can't be counted.
   */
  watch(owner: object, seen = new Set<object>()): void {
    seen.add(owner);
    const fields = owner as Record<string, unknown>;
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value !== 'object' || value === null || seen.has(value)) continue;
      if (isTypedArray(value)) fields[name] = this.standIn(value);
      else if (!(value instanceof DataView) && !(value instanceof SharedArrayBuffer))
        this.watch(value, seen);
    }
  }

  private standIn(array: TypedArray): TypedArray {
    return new Proxy(array, {
      get: (target, key): unknown => {
        if (typeof key === 'string' && /^\d+$/.test(key)) this.count++;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function'
          ? (value as (...args: unknown[]) => unknown).bind(target)
          : value;
      },
      set: (target, key, value) => Reflect.set(target, key, value, target),
    });
  }
}

function isTypedArray(value: object): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}
