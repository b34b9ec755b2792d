/**
 * A map from a few int32 words to an int32 other than 0, in one Int32Array: the part all compiled policy is made of.
 *
 * Open addressing with linear probing, at most half full. Built on the control plane, read on the packet
 * path; the array is shared memory, so handing it to the packet loop's thread copies nothing. Its keys come from the configuration, so the
 * hash needs no secret: what a packet asks for can't make a probe longer than the table's longest cluster.
 *
 * A slot is KEY words, then the value; value 0 means empty.
 */
export class WordTable {
  readonly keyWords: number;
  slots: Int32Array;
  mask: number;
  private count = 0;

  constructor(keyWords: number) {
    this.keyWords = keyWords;
    this.mask = 7;
    this.slots = makeWords((this.mask + 1) * (keyWords + 1));
  }

  /** Takes over the arrays of a table built elsewhere (structured clone strips the class). */
  static makeFrom(plain: {
    readonly keyWords: number;
    readonly slots: Int32Array;
    readonly mask: number;
  }): WordTable {
    const table = new WordTable(plain.keyWords);
    table.slots = plain.slots;
    table.mask = plain.mask;
    return table;
  }

  /** @returns the value of these words, or 0. `key` holds them from index 0. */
  get(key: Int32Array): number {
    const { slots, mask, keyWords } = this;
    for (let slot = hashKey(key, keyWords) & mask; ; slot = (slot + 1) & mask) {
      const base = slot * (keyWords + 1);
      const value = slots[base + keyWords];
      if (value === 0) return 0;
      let i = 0;
      while (i < keyWords && slots[base + i] === key[i]) i++;
      if (i === keyWords) return value;
    }
  }

  /** Sets the value (not 0) of these words. Control plane only: may allocate. */
  set(key: Int32Array, value: number): void {
    if (2 * (this.count + 1) > this.mask + 1) this.makeRoom();
    const { slots, mask, keyWords } = this;
    for (let slot = hashKey(key, keyWords) & mask; ; slot = (slot + 1) & mask) {
      const base = slot * (keyWords + 1);
      let i = 0;
      if (slots[base + keyWords] === 0) {
        this.count++;
        i = keyWords;
        for (let word = 0; word < keyWords; word++) slots[base + word] = key[word]!;
      } else {
        while (i < keyWords && slots[base + i] === key[i]) i++;
      }
      if (i === keyWords) {
        slots[base + keyWords] = value;
        return;
      }
    }
  }

  private makeRoom(): void {
    const { keyWords } = this;
    const old = this.slots;
    this.mask = this.mask * 2 + 1;
    this.slots = makeWords((this.mask + 1) * (keyWords + 1));
    this.count = 0;
    const key = new Int32Array(keyWords);
    for (let base = 0; base < old.length; base += keyWords + 1) {
      const value = old[base + keyWords];
      if (value === 0) continue;
      for (let i = 0; i < keyWords; i++) key[i] = old[base + i]!;
      this.set(key, value);
    }
  }
}

/** Multiply and mix each word; constants are odd and of high entropy (from the digits of pi and e). */
function hashKey(key: Int32Array, keyWords: number): number {
  let hash = 0x243f6a89;
  for (let i = 0; i < keyWords; i++) {
    hash = Math.imul(hash ^ key[i], 0x2b7e1517);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash, 0x13198a2f);
  return hash ^ (hash >>> 16);
}

/** Zeroed int32 words in shared memory. */
function makeWords(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

/** A copy of the words in shared memory. */
export function shareWords(words: readonly number[]): Int32Array {
  const shared = makeWords(words.length);
  shared.set(words);
  return shared;
}
