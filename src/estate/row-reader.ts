/**
 * This file reads the JSON of a row with checked types.
 *
 * Rows are written by this program only, but a file can be damaged, edited, or written by a newer version. What can't
 * be read whole is not read at all: the caller learns which row it was and what is wrong with it.
 */

/** As part of a key: what is none would be looked for in vain, or be a whole folder. */
const ID = /^[\x21-\x2e\x30-\x7e]{1,255}$/;
/** Half of a pair: no key and no UTF-8 has it. */
const NO_TEXT = /\p{Surrogate}/u;

/** Whether a text can be the id in a key. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** A row that can't be read. The message names the row and the member. */
export class RowError extends Error {
  constructor(where: string, what: string) {
    super(`${where} ${what}`);
    this.name = 'RowError';
  }
}

/** An object of a row: each method reads one member and throws RowError if it is of another type. */
export class RowReader {
  private readonly where: string;
  private readonly members: Readonly<Record<string, unknown>>;

  /** @param where the row's key, and the path in it */
  constructor(where: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new RowError(where, 'is not an object');
    this.where = where;
    this.members = value as Readonly<Record<string, unknown>>;
  }

  /** @throws RowError if `text` is no JSON object */
  static parse(key: string, text: string): RowReader {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new RowError(key, 'is not JSON');
    }
    return new RowReader(key, value);
  }

  has(member: string): boolean {
    return this.members[member] !== undefined;
  }

  /** The names of all members. */
  names(): readonly string[] {
    return Object.keys(this.members);
  }

  text(member: string): string {
    const value = this.members[member];
    return isText(value) ? value : this.fail(member, 'a text');
  }

  /** The id of something that has a row. */
  id(member: string): string {
    const value = this.text(member);
    return isId(value) ? value : this.fail(member, 'an id');
  }

  ids(member: string): readonly string[] {
    return this.texts(member).map((value, i) =>
      isId(value) ? value : this.fail(`${member}[${i}]`, 'an id'),
    );
  }

  optionalText(member: string): string | undefined {
    return this.has(member) ? this.text(member) : undefined;
  }

  integer(member: string): number {
    const value = this.members[member];
    return Number.isSafeInteger(value) ? (value as number) : this.fail(member, 'a whole number');
  }

  integerWithin(
    member: string,
    { min, max }: { readonly min: number; readonly max: number },
  ): number {
    const value = this.integer(member);
    return value >= min && value <= max ? value : this.fail(member, `from ${min} to ${max}`);
  }

  optionalInteger(member: string): number | undefined {
    return this.has(member) ? this.integer(member) : undefined;
  }

  flag(member: string): boolean {
    const value = this.members[member];
    return typeof value === 'boolean' ? value : this.fail(member, 'true or false');
  }

  /** One of some words. */
  word<T extends string>(member: string, words: readonly T[]): T {
    const value = this.text(member);
    return words.find((word) => word === value) ?? this.fail(member, words.join(' or '));
  }

  object(member: string): RowReader {
    return new RowReader(`${this.where}.${member}`, this.members[member]);
  }

  optionalObject(member: string): RowReader | undefined {
    return this.has(member) ? this.object(member) : undefined;
  }

  texts(member: string): readonly string[] {
    return this.list(member).map((value, i) =>
      isText(value) ? value : this.fail(`${member}[${i}]`, 'a text'),
    );
  }

  /** A member of any type. */
  json(member: string): unknown {
    return this.members[member];
  }

  /** All members, each a text. */
  allTexts(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.names().map((member) => [member, this.text(member)]));
  }

  /** A list of objects; an absent one is empty. */
  objects(member: string): readonly RowReader[] {
    if (!this.has(member)) return [];
    return this.list(member).map(
      (value, i) => new RowReader(`${this.where}.${member}[${i}]`, value),
    );
  }

  /** Parses a member's text. @throws RowError with the parser's message */
  parsed<T>(
    member: string,
    parse: (text: string) => { ok: true; value: T } | { ok: false; message: string },
  ): T {
    const parsed = parse(this.text(member));
    return parsed.ok ? parsed.value : this.fail(member, `right: ${parsed.message}`);
  }

  fail(member: string, what: string): never {
    throw new RowError(`${this.where}.${member}`, `is not ${what}`);
  }

  private list(member: string): readonly unknown[] {
    const value = this.members[member];
    return Array.isArray(value) ? (value as readonly unknown[]) : this.fail(member, 'a list');
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && !NO_TEXT.test(value);
}
