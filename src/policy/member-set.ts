/**
 * A set of members of a group that never changes: a change gives another set, which shares nearly all with this one.
 *
 * Theory of operation. A group may have ten thousand members on other hosts, and gain one at a time. Who compiles the
 * new policy has to find that one, and must not read a set that changes under it. So members are in buckets by the hash
 * of their id, and a change copies one bucket and the list of buckets. Two sets are compared bucket by bucket, and most
 * are the same object. A bucket has BUCKET_MAX members on average at most. When there are more, all are put into four
 * times as many buckets, which is the one time that a comparison looks at each member. Buckets never get fewer: a set
 * that shrank is small enough.
 */
const BUCKET_MAX = 32;
const GROWTH = 4;
/** Ids differ in their last digits. */
const HASHED_CHARACTERS = 8;

interface Identified {
  readonly id: string;
}

type Buckets<M> = readonly (readonly M[])[];

export class MemberSet<M extends Identified> implements Iterable<M> {
  readonly size: number;
  private readonly buckets: Buckets<M>;

  private constructor(size: number, buckets: Buckets<M>) {
    this.size = size;
    this.buckets = buckets;
  }

  /** Of members with the same id, the last one counts. */
  static of<M extends Identified>(members: Iterable<M>): MemberSet<M> {
    return new MemberSet<M>(0, [[]]).withAll(members);
  }

  get(id: string): M | undefined {
    for (const member of this.buckets[this.placeOf(id)]) if (member.id === id) return member;
    return undefined;
  }

  /** With these members, in place of those with the same ids. */
  withAll(members: Iterable<M>): MemberSet<M> {
    let [size, buckets] = [this.size, [...this.buckets]];
    const own = new Set<number>();
    for (const member of members) {
      if (size + 1 > BUCKET_MAX * buckets.length) {
        buckets = spread(buckets);
        own.clear();
      }
      const place = hash(member.id) & (buckets.length - 1);
      const bucket = own.has(place) ? (buckets[place] as M[]) : buckets[place].slice();
      own.add(place);
      buckets[place] = bucket;
      const at = bucket.findIndex(({ id }) => id === member.id);
      if (at >= 0) bucket[at] = member;
      else {
        bucket.push(member);
        size++;
      }
    }
    return new MemberSet(size, buckets);
  }

  /** Itself, if there is no member with this id. */
  without(id: string): MemberSet<M> {
    const place = this.placeOf(id);
    const bucket = this.buckets[place].filter((member) => member.id !== id);
    if (bucket.length === this.buckets[place].length) return this;
    const buckets = [...this.buckets];
    buckets[place] = bucket;
    return new MemberSet(this.size - 1, buckets);
  }

  *[Symbol.iterator](): Generator<M, void, undefined> {
    for (const bucket of this.buckets) yield* bucket;
  }

  /** Members of this set that are not, as the same object, in the other one; and the other way round. */
  changesTo(next: MemberSet<M>): { readonly gone: readonly M[]; readonly come: readonly M[] } {
    const gone: M[] = [];
    const come: M[] = [];
    if (this.buckets.length !== next.buckets.length) {
      for (const member of this) if (next.get(member.id) !== member) gone.push(member);
      for (const member of next) if (this.get(member.id) !== member) come.push(member);
      return { gone, come };
    }
    this.buckets.forEach((old, place) => {
      const bucket = next.buckets[place];
      if (old === bucket) return;
      for (const member of old) if (!bucket.includes(member)) gone.push(member);
      for (const member of bucket) if (!old.includes(member)) come.push(member);
    });
    return { gone, come };
  }

  private placeOf(id: string): number {
    return hash(id) & (this.buckets.length - 1);
  }
}

/** Into more buckets, none of which anybody else has. */
function spread<M extends Identified>(buckets: Buckets<M>): (readonly M[])[] {
  const next = Array.from({ length: buckets.length * GROWTH }, (): M[] => []);
  for (const bucket of buckets)
    for (const member of bucket) next[hash(member.id) & (next.length - 1)].push(member);
  return next;
}

function hash(id: string): number {
  let mixed = 0;
  for (let i = Math.max(0, id.length - HASHED_CHARACTERS); i < id.length; i++)
    mixed = Math.imul(mixed ^ id.charCodeAt(i), 0x01000193);
  return mixed ^ (mixed >>> 15);
}
