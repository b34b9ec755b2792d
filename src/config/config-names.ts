/**
 * This file finds groups and prefix lists by the references that people write.
 *
 * Names of groups are unique in a VPC, across the file and all templates. A reference is tried in this order: as an id,
 * a name, VPC/NAME, STACK/LOGICAL-ID, a logical id that only one template has, and a name that only one other VPC has.
 * Callers check whether a group of another VPC is allowed.
 */
import type { Parsed } from '../addr/address.ts';
import type { Origin, VpcId, VpcRef } from '../policy/model.ts';
import { groupLabel } from '../policy/vpcs.ts';
import type { Position } from '../source/problem.ts';
import { closest, listWords } from '../source/suggest.ts';
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

/** The stack and the VPC that a group belongs to. */
export interface Home {
  readonly stackName?: string;
  /** The id of its VPC, if it has one. */
  readonly vpcId?: VpcId;
  /** Its VPC, where there are several. */
  readonly vpc?: VpcRef | undefined;
}

interface Known extends Named, Home {}

export class Directory {
  readonly #wording: Wording;
  readonly #byId = new Map<string, Known>();
  /**
   * By lower-case name, at most one entry a VPC. AWS compares names without regard to case; here a reference must match
   * it.
   */
  readonly #byFoldedName = new Map<string, Known[]>();
  readonly #byStackPath = new Map<string, Known>();
  readonly #byLogicalId = new Map<string, string[]>();

  constructor(wording: Wording) {
    this.#wording = wording;
  }

  /** Adds an entry if its name and id are free. Otherwise reports the conflict. Returns whether it was added. */
  add(reader: Reader, named: Named, place: Place, home: Home = {}): boolean {
    const { noun } = this.#wording;
    const folded = named.name.toLowerCase();
    const sameNames = listIn(this.#byFoldedName, folded);
    const sameName = sameNames.find(({ vpcId }) => vpcId === home.vpcId);
    if (sameName !== undefined) {
      const other =
        sameName.name === named.name
          ? ''
          : ` as '${sameName.name}'; names are compared without regard to case`;
      const vpc = home.vpc === undefined ? '' : ` in the VPC '${home.vpc.name}'`;
      const message = `the ${noun} '${named.name}' exists already${vpc}${placeText(sameName.origin, place.at)}${other}`;
      fail(reader, place, 'duplicate-name', message, 'give one of the two another name');
      return false;
    }
    const sameId = this.#byId.get(named.id);
    if (sameId !== undefined) {
      const message = `the id ${named.id} is taken by the ${noun} '${sameId.name}'${placeText(sameId.origin, place.at)}`;
      fail(reader, place, 'duplicate-id', message, 'give one of the two another id, or none');
      return false;
    }
    const { id, name, origin } = named;
    const known: Known = { id, name, origin, ...home };
    sameNames.push(known);
    this.#byId.set(id, known);
    const { logicalId } = origin;
    if (home.stackName !== undefined && logicalId !== undefined)
      this.#addLogicalId(known, home.stackName, logicalId);
    return true;
  }

  /** Adds another id for an existing entry, unless that id is taken. */
  addAlias(id: string, meant: string): void {
    const known = this.#byId.get(meant);
    if (known !== undefined && !this.#byId.has(id)) this.#byId.set(id, known);
  }

  #addLogicalId(known: Known, stackName: string, logicalId: string): void {
    const path = `${stackName}/${logicalId}`;
    this.#byStackPath.set(path, known);
    listIn(this.#byLogicalId, logicalId).push(path);
  }

  /** The VPC of the entry with this id. */
  vpcOf(id: string | undefined): VpcId | undefined {
    return id === undefined ? undefined : this.#byId.get(id)?.vpcId;
  }

  /** The name of the entry with this id, or the id. */
  nameOf(id: string): string {
    return this.#byId.get(id)?.name ?? id;
  }

  /**
   * Returns the id that a reference means, or the error. `vpcId` is the VPC of the group or interface that refers, if
   * it is known: names in that VPC come first.
   */
  resolve(reference: string, vpcId?: VpcId): Parsed<string> {
    const text = reference.trimEnd();
    const named = this.#named(text);
    const here = vpcId === undefined ? named : named.filter((known) => known.vpcId === vpcId);
    const paths = this.#byLogicalId.get(text) ?? [];
    const found =
      this.#byId.get(text) ??
      only(here) ??
      this.#byStackPath.get(text) ??
      (paths.length === 1 ? this.#byStackPath.get(paths[0]) : undefined) ??
      only(named);
    if (found !== undefined) return { ok: true, value: found.id };
    return { ok: false, ...this.#explain(text, named, paths) };
  }

  /** The entries with that name, or with that `VPC/NAME`. */
  #named(text: string): readonly Known[] {
    const named = (this.#byFoldedName.get(text.toLowerCase()) ?? []).filter(
      ({ name }) => name === text,
    );
    if (named.length > 0 || !text.includes('/')) return named;
    // A name may contain '/' too.
    for (let at = text.indexOf('/'); at >= 0; at = text.indexOf('/', at + 1)) {
      const name = text.slice(at + 1);
      const found = this.#byFoldedName
        .get(name.toLowerCase())
        ?.filter((known) => known.name === name && known.vpc?.name === text.slice(0, at));
      if (found !== undefined && found.length > 0) return found;
    }
    return [];
  }

  #explain(
    text: string,
    named: readonly Known[],
    paths: readonly string[],
  ): { readonly message: string; readonly hint: string } {
    const { noun, prefix } = this.#wording;
    const several = named.length > 1 ? named.map(groupLabel) : paths;
    if (several.length > 1) {
      return {
        message: `'${text}' could be any of ${several.length} ${noun}s`,
        hint: `write one of ${listWords(several)}`,
      };
    }
    const names = this.names();
    const meant = text.startsWith(prefix)
      ? this.#unprefixed(text.slice(prefix.length))
      : closest(text, [...names, ...this.#byLogicalId.keys()]);
    const suggestion = meant === undefined ? '' : `; did you mean '${meant}'?`;
    return {
      message: `there is no ${noun} '${text}'${suggestion}`,
      hint: names.length === 0 ? `no ${noun} is defined` : `${noun}s: ${listWords(names)}`,
    };
  }

  has(reference: string): boolean {
    return this.resolve(reference).ok;
  }

  names(): readonly string[] {
    return [...this.#byFoldedName.values()].flat().map(groupLabel);
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

/** The list under `key`, which is created if absent. Copying the list for each addition would take quadratic time. */
function listIn<T>(lists: Map<string, T[]>, key: string): T[] {
  let list = lists.get(key);
  if (list === undefined) lists.set(key, (list = []));
  return list;
}

function only<T>(items: readonly T[]): T | undefined {
  return items.length === 1 ? items[0] : undefined;
}

function placeText(of: Position, from: Position): string {
  // The default group that AWS adds has no line.
  return of.line === 0 ? '' : ` on ${lineText(of, from)}`.replace(/ on (?!line )/, ' in ');
}
