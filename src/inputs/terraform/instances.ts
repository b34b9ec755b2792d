/**
 * Reads the resources of a plan, of a state as `terraform show -json` prints it, and of a state file, into one list.
 * OpenTofu writes the same. Source: Terraform's "JSON Output Format", version 1; of a state file, version 4.
 */
import {
  isObject,
  numberOf,
  objectOf,
  objectsOf,
  own,
  textOf,
  type JsonObject,
} from '../../source/json-values.ts';
import { isPulumi, readPulumi } from './pulumi.ts';
import type { Action, Change, Instance, Key, ModuleStep } from './resource.ts';

/** Modules within modules; nobody has more than a few. */
const MODULE_DEPTH_MAX = 32;
/** More resources than Terraform can handle in hours. */
const INSTANCES_MAX = 200_000;

export interface TerraformWorld {
  readonly kind: 'plan' | 'state';
  readonly instances: readonly Instance[];
  /** `configuration.root_module`; undefined for a state, in which nothing is unknown. */
  readonly configuration: JsonObject | undefined;
  readonly changes: readonly Change[];
  /** Why the list may not be whole, as clauses. */
  readonly gaps: readonly string[];
}

/** Reads what a plan makes, or what a state has. */
export function readWorld(root: JsonObject): TerraformWorld {
  if (isObject(own(root, 'planned_values'))) return readPlan(root);
  if (isPulumi(root)) return stateWorld(readPulumi(root));
  if (numberOf(own(root, 'version')) === 4) return stateWorld(readStateFile(root));
  return stateWorld(readValues(own(root, 'values'), new Map()));
}

/** What a plan starts from. Undefined if it starts from nothing. */
export function readPriorWorld(root: JsonObject): TerraformWorld {
  return stateWorld(readValues(own(own(root, 'prior_state'), 'values'), new Map()));
}

function stateWorld(instances: readonly Instance[]): TerraformWorld {
  return { kind: 'state', instances, configuration: undefined, changes: [], gaps: [] };
}

function readPlan(root: JsonObject): TerraformWorld {
  const listed = objectsOf(own(root, 'resource_changes'));
  const unknown = new Map(
    listed.map((one) => [String(own(one, 'address')), own(own(one, 'change'), 'after_unknown')]),
  );
  const planned = readValues(own(root, 'planned_values'), unknown);
  const there = new Set(planned.map(({ address }) => address));
  const prior = readPriorWorld(root).instances.filter(
    ({ isData, address }) => isData && !there.has(address),
  );
  const deferred = objectsOf(own(root, 'deferred_changes')).length;
  const gaps = [
    ...(deferred > 0 ? [`${deferred} changes are deferred to a later plan`] : []),
    ...(own(root, 'complete') === false ? ['the plan says that it is not complete'] : []),
    ...(own(root, 'errored') === true ? ['the plan ended in an error'] : []),
  ];
  return {
    kind: 'plan',
    instances: [...planned, ...prior],
    configuration: objectOf(own(own(root, 'configuration'), 'root_module')),
    changes: listed.flatMap(readChange),
    gaps,
  };
}

function readChange(listed: JsonObject): readonly Change[] {
  const change = own(listed, 'change');
  const actions = own(change, 'actions');
  const words = Array.isArray(actions) ? actions.join(' ') : '';
  const action = ACTIONS.get(words);
  const [address, type] = [textOf(own(listed, 'address')), textOf(own(listed, 'type'))];
  if (action === undefined || address === undefined || type === undefined) return [];
  if (own(listed, 'mode') === 'data') return [];
  return [{ action, address, type, before: objectOf(own(change, 'before')) }];
}

const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ['create', 'add'],
  ['update', 'change'],
  ['delete', 'remove'],
  ['delete create', 'replace'],
  ['create delete', 'replace'],
  ['forget', 'remove'],
]);

function readValues(values: unknown, unknown: ReadonlyMap<string, unknown>): readonly Instance[] {
  const found: Instance[] = [];
  const visit = (module: unknown, steps: readonly ModuleStep[], path: string): void => {
    for (const resource of objectsOf(own(module, 'resources'))) {
      if (found.length >= INSTANCES_MAX) return;
      const read = readResource(resource, steps, unknown);
      if (read !== undefined) found.push(read);
    }
    if (steps.length >= MODULE_DEPTH_MAX) return;
    for (const child of objectsOf(own(module, 'child_modules'))) {
      const address = textOf(own(child, 'address')) ?? '';
      const step = parseStep(address.startsWith(path) ? address.slice(path.length) : address);
      if (step !== undefined) visit(child, [...steps, step], `${address}.`);
    }
  };
  visit(own(values, 'root_module'), [], '');
  return found;
}

function readResource(
  resource: JsonObject,
  module: readonly ModuleStep[],
  unknowns: ReadonlyMap<string, unknown>,
): Instance | undefined {
  const [address, type, name] = ['address', 'type', 'name'].map((key) =>
    textOf(own(resource, key)),
  );
  if (address === undefined || type === undefined || name === undefined) return undefined;
  return {
    ...{ address, module, type, name, key: readKey(own(resource, 'index')) },
    isData: own(resource, 'mode') === 'data',
    values: objectOf(own(resource, 'values')),
    unknown: objectOf(unknowns.get(address)),
  };
}

/** The resources of `terraform.tfstate`. */
function readStateFile(root: JsonObject): readonly Instance[] {
  return objectsOf(own(root, 'resources')).flatMap((resource) => {
    const [type, name] = [textOf(own(resource, 'type')), textOf(own(resource, 'name'))];
    if (type === undefined || name === undefined) return [];
    const path = textOf(own(resource, 'module'));
    const isData = own(resource, 'mode') === 'data';
    const head = `${path === undefined ? '' : `${path}.`}${isData ? 'data.' : ''}${type}.${name}`;
    return objectsOf(own(resource, 'instances')).map((instance): Instance => {
      const key = readKey(own(instance, 'index_key'));
      const address = key === undefined ? head : `${head}[${JSON.stringify(key)}]`;
      const values = objectOf(own(instance, 'attributes'));
      return {
        address,
        module: splitModule(path ?? ''),
        isData,
        type,
        name,
        key,
        values,
        unknown: {},
      };
    });
  });
}

function readKey(value: unknown): Key {
  return typeof value === 'string' || typeof value === 'number' ? value : undefined;
}

/** Reads `module.tiers["x"]`. */
function parseStep(text: string): ModuleStep | undefined {
  const parts = /^module\.([^.[\]]+)(?:\[(.*)\])?$/s.exec(text);
  if (parts === null) return undefined;
  return { name: parts[1], key: parts[2] === undefined ? undefined : parseKey(parts[2]) };
}

export function parseKey(text: string): Key {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  try {
    const value: unknown = JSON.parse(text);
    return readKey(value);
  } catch {
    return undefined;
  }
}

function splitModule(path: string): readonly ModuleStep[] {
  return splitTraversal(path)
    .reduce<string[]>((steps, part) => {
      if (part === 'module') steps.push('');
      else if (steps.length > 0) steps.push(part);
      return steps;
    }, [])
    .flatMap((part) => (part === '' ? [] : (parseStep(`module.${part}`) ?? [])));
}

/** Splits `a.b["c.d"].e` at its dots: `a`, `b["c.d"]`, `e`. */
export function splitTraversal(text: string): readonly string[] {
  const parts: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const letter = text[i];
    if (letter === '\\' && isQuoted) i++;
    else if (letter === '"') isQuoted = !isQuoted;
    else if (letter === '.' && !isQuoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  return text === '' ? [] : [...parts, text.slice(start)];
}
