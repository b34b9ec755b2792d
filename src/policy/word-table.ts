/**
 * Maps a few int32 words to an int32 other than 0, in one Int32Array. All of a compiled policy is made of such
 * tables.
 *
 * It uses open addressing with linear probing and is at most half full. The control plane builds it, the packet path
 * reads it. The array is shared memory, so passing it to the packet loop's thread copies nothing. Its keys come from
 * the configuration, so the hash needs no secret: a packet can't make a lookup longer than the table's longest
 * cluster.
 *
 * A slot has the key's words, then the value. Value 0 means empty.
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

  /** Takes over the arrays of a table that was built elsewhere (a structured clone loses the class). */
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

  /** Looks a key up, whose words start at index 0. @returns its value, or 0 */
  get(key: Int32Array): number {
    return this.find(key, hashKey(key, 0, this.keyWords));
  }

  /** Looks a key up as get does. @param hash hashKey of the key */
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

  /** Looks a one-word key up as get does. The packet path uses these, since the key need not be in memory. */
  get1(a: number): number {
    const { slots, mask } = this;
    for (let slot = finish(mix(HASH_START, a)) & mask; ; slot = (slot + 1) & mask) {
      const value = slots[2 * slot + 1];
      if (value === 0 || slots[2 * slot] === a) return value;
    }
  }

  /** Looks a two-word key up as get does. @param hash hash2(a, b) */
  get2(a: number, b: number, hash: number): number {
    const { slots, mask } = this;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const base = 3 * slot;
      const value = slots[base + 2];
      if (value === 0 || (slots[base] === a && slots[base + 1] === b)) return value;
    }
  }

  /** Looks a three-word key up as get does. */
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

  /** Sets the value of a key; not 0. Control plane only: it may allocate. */
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

  /** Removes a key. Control plane only. @returns whether it was there */
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
    // Move up each following slot of the cluster that may stand at the hole.
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

  /** Returns a copy in memory of its own. Readers of the copy see no later change to this table. */
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

/** Multiplies and mixes each word. The constants are odd and of high entropy (from the digits of pi and e). */
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

/** Makes zeroed int32 words in shared memory. */
function makeWords(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

/** Copies words to shared memory. */
export function shareWords(words: ArrayLike<number>): Int32Array {
  const shared = makeWords(words.length);
  shared.set(words);
  return shared;
}
