/**
 * Follows the references of a plan's configuration to the resources that an unknown value comes from.
 *
 * Theory of operation. Where a plan does not know a value, its configuration still lists what the expression refers
 * to, the longest form first and each of its beginnings after it: `module.sg.ids["db"]`, `module.sg.ids`,
 * `module.sg`. Names
 * of variables lead to the call of the module, outputs into it, until a resource is reached. What is lost on the way:
 * locals, keys that are computed, conditions, and which element of a list is meant. So an answer has the resources that
 * it may be, and whether these are surely all that it can be.
 *
 * A key is taken from the reference (`["db"]`), or from `each.key` and `count.index` of what refers, where a resource
 * has an instance with that key: outputs and maps are keyed as the resources they are made of.
 */
import {
  objectOf,
  objectsOf,
  own,
  textOf,
  textsOf,
  type JsonObject,
} from '../../source/json-values.ts';
import { parseKey, splitTraversal } from './instances.ts';
import type { Instance, Key, ModuleStep } from './resource.ts';

/** Steps of one answer: a chain of modules has a few, and a circle of variables has no end. */
const STEPS_MAX = 10_000;

export interface Reached {
  readonly instance: Instance;
  /** The attribute of the reference; undefined: the expression names the resource alone. */
  readonly attribute: string | undefined;
  /** Whether the reference alone says that it is this one, and not one of several. */
  readonly isExact: boolean;
}

export interface Found {
  readonly reached: readonly Reached[];
  /** What can't be seen through, as clauses: the value may come from there as well. */
  readonly opaque: readonly string[];
  /** Whether known values take part, which may choose among the others. */
  readonly hasKnown: boolean;
}

interface Scope {
  readonly module: readonly ModuleStep[];
  readonly config: JsonObject;
  /** The call that leads here, and where it is. */
  readonly parent: { readonly scope: Scope; readonly call: JsonObject } | undefined;
  /** Keys of the resource that refers, and of its modules. */
  readonly keys: readonly Key[];
  readonly forEach?: unknown;
}

export class References {
  private readonly root: JsonObject;
  private readonly byPlace = new Map<string, Instance[]>();
  private readonly modules = new Map<string, ModuleStep[][]>();
  /** The resources of each module's configuration. */
  private readonly resources = new Map<JsonObject, Map<string, JsonObject>>();
  private steps = 0;

  constructor(configuration: JsonObject, instances: readonly Instance[]) {
    this.root = configuration;
    for (const one of instances) {
      push(this.byPlace, placeOf(one.module, one.isData, one.type, one.name), one);
      one.module.forEach((step, i) => {
        const path = one.module.slice(0, i);
        const calls = this.modules.get(`${pathOf(path)} ${step.name}`) ?? [];
        if (!calls.some((call) => pathOf(call) === pathOf([...path, step])))
          push(this.modules, `${pathOf(path)} ${step.name}`, [...path, step]);
      });
    }
  }

  /** The expressions that configure a resource; undefined if the configuration has none. */
  expressionsOf(instance: Instance): JsonObject | undefined {
    const resource = this.resourceOf(instance);
    return resource === undefined ? undefined : objectOf(own(resource, 'expressions'));
  }

  /** @param expression a part of what `expressionsOf` gave */
  follow(instance: Instance, expression: unknown): Found {
    const scope = this.scopeOf(instance.module);
    const none: Found = { reached: [], opaque: [], hasKnown: false };
    if (scope === undefined) return { ...none, opaque: ['its module is not in the configuration'] };
    this.steps = 0;
    const forEach = own(this.resourceOf(instance), 'for_each_expression');
    const keys = [instance.key, ...scope.keys];
    return this.followAll(referencesIn(expression), { ...scope, keys, forEach }, []);
  }

  private resourceOf({ module, isData, type, name }: Instance): JsonObject | undefined {
    const config = this.scopeOf(module)?.config;
    if (config === undefined) return undefined;
    let resources = this.resources.get(config);
    if (resources === undefined) {
      resources = new Map(
        objectsOf(own(config, 'resources')).map((one) => [
          `${String(own(one, 'mode'))} ${String(own(one, 'type'))}.${String(own(one, 'name'))}`,
          one,
        ]),
      );
      this.resources.set(config, resources);
    }
    return resources.get(`${isData ? 'data' : 'managed'} ${type}.${name}`);
  }

  private scopeOf(module: readonly ModuleStep[]): Scope | undefined {
    let scope: Scope = { module: [], config: this.root, parent: undefined, keys: [] };
    for (const [i, step] of module.entries()) {
      const call = own(own(scope.config, 'module_calls'), step.name);
      if (call === undefined) return undefined;
      scope = {
        module: module.slice(0, i + 1),
        config: objectOf(own(call, 'module')),
        parent: { scope, call: objectOf(call) },
        keys: [step.key, ...scope.keys],
      };
    }
    return scope;
  }

  private followAll(references: readonly string[], scope: Scope, rest: readonly Key[]): Found {
    const whole = longest(references);
    const isDynamic = whole.some((one) => /^(?:each\.key|count\.index)$/.test(one));
    const found = whole.map((one) => {
      const keys = [...rest, ...(isDynamic ? scope.keys.slice(0, 1) : [])];
      return this.followOne(one, scope, whole.length === 1 || isDynamic ? keys : []);
    });
    return {
      reached: found.flatMap(({ reached }) => reached),
      opaque: [...new Set(found.flatMap(({ opaque }) => opaque))],
      hasKnown: found.some(({ hasKnown }) => hasKnown),
    };
  }

  /** @param rest keys that are looked up in what the reference gives */
  private followOne(reference: string, scope: Scope, rest: readonly Key[]): Found {
    if (++this.steps > STEPS_MAX) return opaqueBy('it has too many references');
    const parts = splitTraversal(reference).map(splitKey);
    const [first, second] = parts;
    switch (first?.name) {
      case 'var':
        return this.followVariable(second?.name ?? '', scope, [...keysOf(parts.slice(1)), ...rest]);
      case 'local':
        return opaqueBy(`plans do not show what ${reference} is made of`);
      case 'each':
        if (second?.name !== 'value') return { reached: [], opaque: [], hasKnown: false };
        return scope.forEach === undefined
          ? opaqueBy(`plans do not show what ${reference} is made of`)
          : this.followAll(referencesIn(scope.forEach), { ...scope, forEach: undefined }, [
              ...scope.keys.slice(0, 1),
              ...rest,
            ]);
      case 'count':
      case 'path':
      case 'terraform':
        return { reached: [], opaque: [], hasKnown: first.name !== 'count' };
      case 'module':
        return this.followModule(parts, scope, rest);
      case 'data':
        return this.followResource(parts.slice(1), true, scope, rest);
      default:
        return this.followResource(parts, false, scope, rest);
    }
  }

  private followVariable(name: string, { parent, module }: Scope, rest: readonly Key[]): Found {
    const expression = own(own(parent?.call, 'expressions'), name);
    const references = referencesIn(expression);
    // A value of the caller, or a default: nothing in it is unknown.
    if (parent === undefined || references.length === 0)
      return { reached: [], opaque: [], hasKnown: true };
    const forEach = own(parent.call, 'for_each_expression');
    const keys = [module.at(-1)?.key, ...parent.scope.keys];
    return this.followAll(references, { ...parent.scope, keys, forEach }, rest);
  }

  private followModule(
    [, call, output, ...more]: readonly Part[],
    scope: Scope,
    rest: readonly Key[],
  ): Found {
    const all = this.modules.get(`${pathOf(scope.module)} ${call?.name ?? ''}`) ?? [];
    const keys = [call?.key, ...(call?.key === undefined ? rest : [])];
    const { chosen, isExact } = choose(all, (steps) => steps.at(-1)!.key, keys);
    const found = chosen.flatMap((steps) => {
      const inner = this.scopeOf(steps);
      if (inner === undefined) return [];
      const outputs = objectOf(own(inner.config, 'outputs'));
      const names = output === undefined ? Object.keys(outputs) : [output.name];
      const left = [...(output === undefined ? [] : keysOf([output, ...more])), ...rest];
      return names.map((name) =>
        this.followAll(referencesIn(own(own(outputs, name), 'expression')), inner, left),
      );
    });
    if (found.length === 0) return opaqueBy(`nothing is known of module.${call?.name}`);
    const isOne = isExact && found.length === 1;
    return {
      reached: found
        .flatMap(({ reached }) => reached)
        .map((one) => (isOne || output === undefined ? one : { ...one, isExact: false })),
      opaque: found.flatMap(({ opaque }) => opaque),
      hasKnown: found.some(({ hasKnown }) => hasKnown),
    };
  }

  private followResource(
    [type, name, ...more]: readonly Part[],
    isData: boolean,
    scope: Scope,
    rest: readonly Key[],
  ): Found {
    if (type === undefined || name === undefined)
      return { reached: [], opaque: [], hasKnown: true };
    const all = this.byPlace.get(placeOf(scope.module, isData, type.name, name.name)) ?? [];
    const keys = name.key === undefined ? [...keysOf(more), ...rest] : [name.key];
    const { chosen, isExact } = choose(all, ({ key }) => key, keys);
    const attribute = more[0]?.name;
    const reached = chosen.map((instance) => ({ instance, attribute, isExact }));
    return { reached, opaque: [], hasKnown: chosen.length === 0 };
  }
}

/** The one with the first key that one has; the only one; else all. */
function choose<T>(
  all: readonly T[],
  keyOf: (one: T) => Key,
  keys: readonly Key[],
): { readonly chosen: readonly T[]; readonly isExact: boolean } {
  for (const key of keys) {
    const found = key === undefined ? [] : all.filter((one) => keyOf(one) === key);
    if (found.length > 0) return { chosen: found, isExact: found.length === 1 };
  }
  return { chosen: all, isExact: all.length === 1 };
}

interface Part {
  readonly name: string;
  readonly key: Key;
}

function splitKey(text: string): Part {
  const bracket = text.indexOf('[');
  if (bracket < 0) return { name: text, key: undefined };
  const inner = /^\[(.*?)\](?:\[|$)/s.exec(text.slice(bracket))?.[1];
  return {
    name: text.slice(0, bracket),
    key: inner === undefined ? undefined : parseKey(inner),
  };
}

/** The keys that a traversal has after its first name: `ids["db"]`, and `ids.db` as well. */
function keysOf(parts: readonly Part[]): readonly Key[] {
  return parts.flatMap(({ name, key }, i) => [
    ...(i === 0 ? [] : [name]),
    ...(key === undefined ? [] : [key]),
  ]);
}

/** Without the beginnings of a reference that follow it. */
function longest(references: readonly string[]): readonly string[] {
  const whole: string[] = [];
  let last = '';
  for (const one of references) {
    const isBeginning =
      last.length > one.length && last.startsWith(one) && '.['.includes(last[one.length]);
    if (!isBeginning) whole.push(one);
    last = one;
  }
  return whole;
}

/** All references of an expression, and of the blocks in it. */
export function referencesIn(expression: unknown): readonly string[] {
  if (Array.isArray(expression)) return expression.flatMap(referencesIn);
  const references = own(expression, 'references');
  if (Array.isArray(references)) return textsOf(references);
  if (textOf(expression) !== undefined || own(expression, 'constant_value') !== undefined)
    return [];
  return Object.values(objectOf(expression)).flatMap(referencesIn);
}

function opaqueBy(why: string): Found {
  return { reached: [], opaque: [why], hasKnown: false };
}

function pathOf(module: readonly ModuleStep[]): string {
  return JSON.stringify(module.map(({ name, key }) => [name, key ?? null]));
}

function placeOf(
  module: readonly ModuleStep[],
  isData: boolean,
  type: string,
  name: string,
): string {
  return `${pathOf(module)} ${isData ? 'data.' : ''}${type}.${name}`;
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}
