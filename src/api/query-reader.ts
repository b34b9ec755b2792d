/**
 * This file makes an action's parameters of the pairs of a request, by the wire table.
 *
 * EC2 names a list's items `Name.1`, the query protocol of the other services `Name.member.1`. Numbers may have gaps;
 * their order counts. Each pair goes its way down the table, so what is read is no deeper than the table, and costs no
 * more than the request is long. What the table does not have is an error in EC2: a parameter without effect could be
 * one that was meant to close something. CloudFormation and STS ignore it, as AWS does, since clients send newer ones.
 */
import { ApiError, type Struct, type Value } from './action.ts';
import { shown, type Pair } from './form.ts';
import type { Operation, Scalar, Service, Structure, Type } from './wire-table.ts';

/** Numbers of list items have at most five digits, without a leading zero. */
const INDEX = /^[1-9]\d{0,4}$/;
const INTEGER = /^[+-]?\d{1,16}$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** Characters that XML 1.0 has no way to write: they could never be read back. */
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

/** What is read so far: a structure by members, a list by numbers, a map by numbers. */
type Draft = Value | StructureDraft | ListDraft | MapDraft;
interface StructureDraft {
  readonly draft: 'structure';
  readonly members: Map<string, Draft>;
}
interface ListDraft {
  readonly draft: 'list';
  readonly items: Map<number, Draft>;
}
interface MapDraft {
  readonly draft: 'map';
  readonly entries: Map<number, { key?: string; value?: string }>;
}

/**
 * Reads the parameters of a call. Nothing is required here; that is the action's affair.
 * @param pairs without `Action`, `Version` and those of the signature
 * @throws ApiError for a parameter that is unknown, given twice, or not of its type
 */
export function readParameters(
  service: Service,
  operation: Operation,
  pairs: readonly Pair[],
): Struct {
  const draft: StructureDraft = { draft: 'structure', members: new Map() };
  const reader = new Reader(service);
  for (const pair of pairs) reader.put(operation.input, draft, pair);
  return finish(draft) as Struct;
}

class Reader {
  private readonly isEc2: boolean;

  constructor({ isEc2 }: Service) {
    this.isEc2 = isEc2;
  }

  /** Puts one pair into its place in the draft of the parameters. */
  put(input: Structure, draft: StructureDraft, [name, value]: Pair): void {
    const path = name.split('.');
    let type: Type = input;
    let place: Draft = draft;
    for (let i = 0; i < path.length;) {
      const step = this.step(type, place, path, i, value);
      if (step === 'done') return;
      const isLast = step !== 'unknown' && i + step.used === path.length;
      if (step === 'unknown' || (isScalar(step.type) && !isLast)) {
        this.putUnknown(name);
        return;
      }
      if (isScalar(step.type)) {
        if (step.get() !== undefined) throw this.givenTwice(name);
        step.set(this.scalar(step.type.kind, name, value));
        return;
      }
      i += step.used;
      type = step.type;
      let next = step.get();
      if (next === undefined) {
        next = emptyDraft(type);
        step.set(next);
      }
      place = next;
    }
    // The name ends at a list or a structure: without a value it says that it is empty.
    if (value !== '') throw this.invalid(name, value, 'It has parts, and no value');
  }

  private putUnknown(name: string): void {
    if (this.isEc2)
      throw new ApiError('UnknownParameter', `The parameter ${shown(name)} is not recognized`);
  }

  /** Goes one step down: into a member, an item or an entry. */
  private step(type: Type, place: Draft, path: readonly string[], i: number, value: string): Step {
    if (type.kind === 'structure') {
      const member = type.byQuery.get(path[i]);
      if (member === undefined) return 'unknown';
      const { members } = place as StructureDraft;
      return {
        used: 1,
        type: member.type,
        get: () => members.get(member.name),
        set: (next) => members.set(member.name, next),
      };
    }
    if (type.kind === 'list') {
      const at = this.isEc2 ? i : i + 1;
      if ((!this.isEc2 && path[i] !== type.element) || !INDEX.test(path[at] ?? ''))
        return 'unknown';
      const { items } = place as ListDraft;
      const index = Number(path[at]);
      return {
        used: at - i + 1,
        type: type.item,
        get: () => items.get(index),
        set: (next) => items.set(index, next),
      };
    }
    if (type.kind === 'map') return this.stepIntoMap(place as MapDraft, path, i, value);
    return 'unknown';
  }

  /** `Name.entry.N.key` and `Name.entry.N.value`. */
  private stepIntoMap(
    { entries }: MapDraft,
    path: readonly string[],
    i: number,
    value: string,
  ): Step {
    const [word, index, part] = path.slice(i);
    const isKnown = word === 'entry' && INDEX.test(index ?? '') && path.length === i + 3;
    if (!isKnown || (part !== 'key' && part !== 'value')) return 'unknown';
    const entry = entries.get(Number(index)) ?? {};
    if (entry[part] !== undefined) throw this.givenTwice(path.join('.'));
    entry[part] = this.scalar('string', path.join('.'), value) as string;
    entries.set(Number(index), entry);
    return 'done';
  }

  private scalar(kind: Scalar, name: string, value: string): Value {
    switch (kind) {
      case 'string':
        if (NOT_XML.test(value))
          throw this.invalid(name, value, 'It has characters that XML can not carry');
        return value;
      case 'integer': {
        const number = INTEGER.test(value) ? Number(value) : NaN;
        if (!Number.isSafeInteger(number)) throw this.invalid(name, value, 'It is no whole number');
        // Minus zero is zero.
        return number + 0;
      }
      case 'boolean': {
        const lower = value.toLowerCase();
        if (lower !== 'true' && lower !== 'false')
          throw this.invalid(name, value, 'It is neither true nor false');
        return lower === 'true';
      }
      case 'timestamp': {
        const time = TIMESTAMP.test(value) ? new Date(value) : new Date(NaN);
        if (Number.isNaN(time.getTime()))
          throw this.invalid(name, value, 'It is no time as in 2026-01-31T12:00:00Z');
        return time;
      }
      case 'blob':
        if (!BASE64.test(value)) throw this.invalid(name, value, 'It is not in base64');
        return Uint8Array.from(Buffer.from(value, 'base64'));
      default:
        return kind satisfies never;
    }
  }

  private invalid(name: string, value: string, why: string): ApiError {
    const message = `Value (${shown(value)}) for parameter ${shown(name)} is invalid. ${why}.`;
    return new ApiError(this.isEc2 ? 'InvalidParameterValue' : 'ValidationError', message);
  }

  private givenTwice(name: string): ApiError {
    const message = `The parameter ${shown(name)} is given more than once`;
    return new ApiError(this.isEc2 ? 'InvalidParameterCombination' : 'ValidationError', message);
  }
}

type Step =
  | 'unknown'
  | 'done'
  | {
      /** Parts of the name. */
      readonly used: number;
      readonly type: Type;
      get(): Draft | undefined;
      set(next: Draft): void;
    };

type Composite = Exclude<Type, { readonly kind: Scalar }>;

function isScalar(type: Type): type is Exclude<Type, Composite> {
  return type.kind !== 'structure' && type.kind !== 'list' && type.kind !== 'map';
}

function emptyDraft(type: Composite): Draft {
  switch (type.kind) {
    case 'structure':
      return { draft: 'structure', members: new Map() };
    case 'list':
      return { draft: 'list', items: new Map() };
    case 'map':
      return { draft: 'map', entries: new Map() };
    default:
      return type satisfies never;
  }
}

function finish(draft: Draft): Value {
  if (typeof draft !== 'object' || !('draft' in draft)) return draft;
  switch (draft.draft) {
    case 'structure':
      return Object.fromEntries(
        [...(draft as StructureDraft).members].map(([name, member]) => [name, finish(member)]),
      );
    case 'list':
      return inOrder((draft as ListDraft).items).map(finish);
    case 'map':
      return Object.fromEntries(
        inOrder((draft as MapDraft).entries).map(({ key = '', value = '' }) => [key, value]),
      );
    default:
      throw new Error('a draft of no kind');
  }
}

function inOrder<T>(byNumber: ReadonlyMap<number, T>): T[] {
  return [...byNumber].sort(([a], [b]) => a - b).map(([, item]) => item);
}
