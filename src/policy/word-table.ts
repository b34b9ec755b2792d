/**
 * A map from a few int32 words to an int32 other than 0, in one Int32Array: the part all compiled policy is made of.
 *
 * Open addressing with linear probing, at most half full. Built on the control plane, read on the packet
 * path; the array is shared memory, so handing it to the packet loop's thread copies nothing. Its keys come from the configuration, so the
 * hash needs no secret: what a packet asks for can't make a probe longer than the table's longest cluster.
 *
 * A slot is KEY words, then the value; value 0 means empty.
 */
const HASH_START = 0x243f6a89;

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
    return this.find(key, hashKey(key, 0, this.keyWords));
  }

  /** As get. @param hash hashKey of the key */
  find(key: Int32Array, hash: number): number {
    const { slots, mask, keyWords } = this;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const base = slot * (keyWords + 1);
      const value = slots[base + keyWords];
      if (value === 0) return 0;
      let i = 0;
      while (i < keyWords && slots[base + i] === key[i]) i++;
      if (i === keyWords) return value;
    }
  }

  /** As get, of a table of one-word keys. The packet path asks these: their keys need not be in memory. */
  get1(a: number): number {
    const { slots, mask } = this;
    for (let slot = finish(mix(HASH_START, a)) & mask; ; slot = (slot + 1) & mask) {
      const value = slots[2 * slot + 1];
      if (value === 0 || slots[2 * slot] === a) return value;
    }
  }

  /** As get, of a table of two-word keys. @param hash hash2(a, b) */
  get2(a: number, b: number, hash: number): number {
    const { slots, mask } = this;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const base = 3 * slot;
      const value = slots[base + 2];
      if (value === 0 || (slots[base] === a && slots[base + 1] === b)) return value;
    }
  }

  /** As get, of a table of three-word keys. */
  get3(a: number, b: number, c: number): number {
    const { slots, mask } = this;
    const hash = finish(mix(mix(mix(HASH_START, a), b), c));
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const base = 4 * slot;
      const value = slots[base + 3];
      if (value === 0 || (slots[base + 2] === c && slots[base + 1] === b && slots[base] === a))
        return value;
    }
  }

  /** Sets the value (not 0) of these words. Control plane only: may allocate. */
  set(key: Int32Array, value: number): void {
    if (2 * (this.count + 1) > this.mask + 1) this.makeRoom();
    const { slots, mask, keyWords } = this;
    for (let slot = hashKey(key, 0, keyWords) & mask; ; slot = (slot + 1) & mask) {
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

  /** Takes these words and their value out. Control plane only. @returns whether they were there */
  delete(key: Int32Array): boolean {
    const { slots, mask, keyWords } = this;
    const slotWords = keyWords + 1;
    let hole = hashKey(key, 0, keyWords) & mask;
    for (; ; hole = (hole + 1) & mask) {
      const base = hole * slotWords;
      if (slots[base + keyWords] === 0) return false;
      let i = 0;
      while (i < keyWords && slots[base + i] === key[i]) i++;
      if (i === keyWords) break;
    }
    // Every following slot of the cluster moves up that may stand at the hole.
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const base = slot * slotWords;
      if (slots[base + keyWords] === 0) break;
      const home = hashKey(slots, base, keyWords) & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      slots.copyWithin(hole * slotWords, base, base + slotWords);
      hole = slot;
    }
    slots.fill(0, hole * slotWords, (hole + 1) * slotWords);
    this.count--;
    return true;
  }

  /** Calls `act` with the hash of each key. Control plane only. */
  eachHash(act: (hash: number) => void): void {
    const { slots, keyWords } = this;
    for (let base = 0; base < slots.length; base += keyWords + 1)
      if (slots[base + keyWords] !== 0) act(hashKey(slots, base, keyWords));
  }

  /** Another table with the same content, in memory of its own: what reads this one sees no change to that. */
  makeCopy(): WordTable {
    const copied = new WordTable(this.keyWords);
    copied.slots = makeWords(this.slots.length);
    copied.slots.set(this.slots);
    copied.mask = this.mask;
    copied.count = this.count;
    return copied;
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
export function hashKey(words: Int32Array, start: number, keyWords: number): number {
  let hash = HASH_START;
  for (let i = 0; i < keyWords; i++) hash = mix(hash, words[start + i]);
  return finish(hash);
}

/** hashKey of two words. */
export function hash2(a: number, b: number): number {
  return finish(mix(mix(HASH_START, a), b));
}

function mix(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x2b7e1517);
  return product ^ (product >>> 15);
}

function finish(hash: number): number {
  const product = Math.imul(hash, 0x13198a2f);
  return product ^ (product >>> 16);
}

/** Zeroed int32 words in shared memory. */
function makeWords(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

/** A copy of the words in shared memory. */
export function shareWords(words: ArrayLike<number>): Int32Array {
  const shared = makeWords(words.length);
  shared.set(words);
  return shared;
}
