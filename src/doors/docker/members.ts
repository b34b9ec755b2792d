/** This file reads members of the JSON that dockerd sends, and says which one is wrong. */
import { DoorError } from '../selection.ts';

type Json = Readonly<Record<string, unknown>>;

/** An object of a request. All of its readers throw a DoorError if a member is of another type. */
export class Members {
  private readonly value: Json;
  private readonly path: string;

  /** @param path of the object in the request, for errors; empty: the request itself */
  constructor(value: unknown, path = '') {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new DoorError(`${path === '' ? 'the request' : path} is no object of JSON`);
    this.value = value as Json;
    this.path = path;
  }

  get names(): readonly string[] {
    return Object.keys(this.value);
  }

  /** Empty if it is not there. */
  text(name: string): string {
    const value = this.value[name] ?? '';
    if (typeof value !== 'string') throw this.wrong(name, 'a text');
    return value;
  }

  /** A number of at least 0; 0 if it is not there. */
  count(name: string): number {
    const value = this.value[name] ?? 0;
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw this.wrong(name, 'a number');
    return value as number;
  }

  /** False if it is not there. */
  flag(name: string): boolean {
    const value = this.value[name] ?? false;
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false');
    return value;
  }

  /** Without members if it is not there. */
  object(name: string): Members {
    return new Members(this.value[name] ?? {}, this.pathOf(name));
  }

  /** Empty if it is not there. */
  objects(name: string): readonly Members[] {
    const value = this.value[name] ?? [];
    if (!Array.isArray(value)) throw this.wrong(name, 'a list');
    return value.map((item, i) => new Members(item, `${this.pathOf(name)}[${i}]`));
  }

  private pathOf(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  private wrong(name: string, what: string): DoorError {
    return new DoorError(`${this.pathOf(name)} is not ${what}`);
  }
}
