/**
 * Finding groups and prefix lists by what people call them.
 *
 * Groups of the file and of all templates share one name space. A reference is, in this order, an id,
 * a name, STACK/LOGICAL-ID, or a logical id that just one template has.
 */
import type { Parsed } from '../../addr/address.ts';
import type { Origin } from '../../policy/model.ts';
import type { Position } from '../../source/problem.ts';
import { closest, listWords } from '../../source/suggest.ts';
import { fail, lineText, type Place, type Reader } from './config-reader.ts';

export interface Named {
  readonly id: string;
  readonly name: string;
  readonly origin: Origin;
}

interface Wording {
  /** 'security group' */
  readonly noun: string;
  /** 'group' */
  readonly code: string;
  /** 'sg:' */
  readonly prefix: string;
}

export class Directory {
  readonly #wording: Wording;
  readonly #byId = new Map<string, Named>();
  /** Names are unique without regard to case, and found only in the right one. */
  readonly #byFoldedName = new Map<string, Named>();
  readonly #byStackPath = new Map<string, Named>();
  readonly #byLogicalId = new Map<string, string[]>();

  constructor(wording: Wording) {
    this.#wording = wording;
  }

  /** Adds what has a free name and a free id, and reports what hasn't; returns whether it was added. */
  add(reader: Reader, named: Named, place: Place, stackName?: string): boolean {
    const { noun } = this.#wording;
    const sameName = this.#byFoldedName.get(named.name.toLowerCase());
    if (sameName !== undefined) {
      const other =
        sameName.name === named.name
          ? ''
          : ` as '${sameName.name}'; names are compared without regard to case`;
      const message = `the ${noun} '${named.name}' exists already${placeText(sameName.origin, place.at)}${other}`;
      fail(reader, place, 'duplicate-name', message, 'give one of the two another name');
      return false;
    }
    const sameId = this.#byId.get(named.id);
    if (sameId !== undefined) {
      const message = `the id ${named.id} is taken by the ${noun} '${sameId.name}'${placeText(sameId.origin, place.at)}`;
      fail(reader, place, 'duplicate-id', message, 'give one of the two another id, or none');
      return false;
    }
    this.#byFoldedName.set(named.name.toLowerCase(), named);
    this.#byId.set(named.id, named);
    const { logicalId } = named.origin;
    if (stackName !== undefined && logicalId !== undefined)
      this.#addLogicalId(named, stackName, logicalId);
    return true;
  }

  #addLogicalId(named: Named, stackName: string, logicalId: string): void {
    const path = `${stackName}/${logicalId}`;
    this.#byStackPath.set(path, named);
    this.#byLogicalId.set(logicalId, [...(this.#byLogicalId.get(logicalId) ?? []), path]);
  }

  /** The id a reference stands for, or the error. */
  resolve(reference: string): Parsed<string> {
    const text = reference.trimEnd();
    const byName = this.#byFoldedName.get(text.toLowerCase());
    const paths = this.#byLogicalId.get(text) ?? [];
    const found =
      this.#byId.get(text) ??
      (byName?.name === text ? byName : undefined) ??
      this.#byStackPath.get(text) ??
      (paths.length === 1 ? this.#byStackPath.get(paths[0]) : undefined);
    if (found !== undefined) return { ok: true, value: found.id };
    const { noun, prefix } = this.#wording;
    if (paths.length > 1) {
      return {
        ok: false,
        message: `'${text}' could be any of ${paths.length} ${noun}s`,
        hint: `write one of ${listWords(paths)}`,
      };
    }
    const names = this.names();
    const meant = text.startsWith(prefix)
      ? this.#unprefixed(text.slice(prefix.length))
      : closest(text, [...names, ...this.#byLogicalId.keys()]);
    const suggestion = meant === undefined ? '' : `; did you mean '${meant}'?`;
    return {
      ok: false,
      message: `there is no ${noun} '${text}'${suggestion}`,
      hint: names.length === 0 ? `no ${noun} is defined` : `${noun}s: ${listWords(names)}`,
    };
  }

  has(reference: string): boolean {
    return this.resolve(reference).ok;
  }

  names(): readonly string[] {
    return [...this.#byFoldedName.values()].map(({ name }) => name);
  }

  get unknownCode(): string {
    return `unknown-${this.#wording.code}`;
  }

  #unprefixed(name: string): string | undefined {
    return this.has(name) ? name : closest(name, this.names());
  }
}

export function makeGroupDirectory(): Directory {
  return new Directory({ noun: 'security group', code: 'group', prefix: 'sg:' });
}

export function makePrefixListDirectory(): Directory {
  return new Directory({ noun: 'prefix list', code: 'prefix-list', prefix: 'pl:' });
}

function placeText(of: Position, from: Position): string {
  // What AWS has without anyone's writing it (the default group) stands on no line.
  return of.line === 0 ? '' : ` on ${lineText(of, from)}`.replace(/ on (?!line )/, ' in ');
}
