/**
 * Finds what an attribute of a resource names: groups, prefix lists, networks, interfaces. A value that is known is an
 * id. One that is not is followed through references (references.ts); then it is certain, or one of several.
 */
import { stableId, type IdPrefix } from '../../policy/ids.ts';
import { own, textOf, textsOf, type JsonObject } from '../../source/json-values.ts';
import type { Instance } from './resource.ts';
import type { Found, Reached, References } from './references.ts';

export type LinkKind = 'group' | 'list' | 'subnet' | 'vpc' | 'interface' | 'acl' | 'routes';

/** What an attribute names. */
export interface Link {
  /** Ids that it names for certain. */
  readonly ids: readonly string[];
  /** Ids that it may name, and why that is not certain. */
  readonly candidates: readonly string[];
  /** Why it may name what is not among them, as clauses. */
  readonly opaque: readonly string[];
  /** Why the candidates are not certain, as a clause; empty if there are none. */
  readonly why: string;
  /** Whether it is written at all. */
  readonly isGiven: boolean;
}

export const NO_LINK: Link = { ids: [], candidates: [], opaque: [], why: '', isGiven: false };

/** By kind: the types that have such an id, with the attribute that is the id. */
const HOLDERS: Readonly<Record<LinkKind, ReadonlyMap<string, readonly string[]>>> = {
  group: new Map([
    ['aws_security_group', ['id', 'name']],
    ['aws_default_security_group', ['id']],
    ['aws_vpc', ['default_security_group_id']],
    ['aws_default_vpc', ['default_security_group_id']],
  ]),
  list: new Map([
    ['aws_ec2_managed_prefix_list', ['id']],
    ['aws_prefix_list', ['id']],
    ['aws_vpc_endpoint', ['prefix_list_id']],
  ]),
  subnet: new Map([
    ['aws_subnet', ['id']],
    ['aws_default_subnet', ['id']],
  ]),
  vpc: new Map([
    ['aws_vpc', ['id']],
    ['aws_default_vpc', ['id']],
  ]),
  interface: new Map([
    ['aws_network_interface', ['id']],
    ['aws_instance', ['primary_network_interface_id']],
  ]),
  acl: new Map([
    ['aws_network_acl', ['id']],
    ['aws_default_network_acl', ['id']],
    ['aws_vpc', ['default_network_acl_id']],
    ['aws_default_vpc', ['default_network_acl_id']],
  ]),
  routes: new Map([
    ['aws_route_table', ['id']],
    ['aws_default_route_table', ['id']],
    ['aws_vpc', ['main_route_table_id', 'default_route_table_id']],
    ['aws_default_vpc', ['main_route_table_id', 'default_route_table_id']],
  ]),
};

const PREFIXES: Readonly<Record<LinkKind, IdPrefix>> = {
  ...{ group: 'sg', list: 'pl', subnet: 'eni', vpc: 'vpc', interface: 'eni' },
  // These have no form of their own here: they are shown by their addresses.
  ...{ acl: 'eni', routes: 'eni' },
};

/** The id of what a resource holds: AWS's, or one made of its address. */
export function idOf({ values, address }: Instance, kind: LinkKind, attribute = 'id'): string {
  return textOf(own(values, attribute)) ?? stableId(PREFIXES[kind], attribute, address);
}

/** Where a value is: as far as it is known, what of it is not, and the expression that gives it. */
export interface ValueAt {
  readonly value: unknown;
  readonly unknown: unknown;
  readonly expression: unknown;
  /** The expression gives other values too: those of all blocks of a kind are one list. Absent: false. */
  readonly isShared?: boolean;
  /** There may be several. Absent: false. */
  readonly isList?: boolean;
}

export class Links {
  private readonly references: References | undefined;

  /** @param references undefined for a state: everything in it is known */
  constructor(references: References | undefined) {
    this.references = references;
  }

  expressionsOf(instance: Instance): JsonObject | undefined {
    return this.references?.expressionsOf(instance);
  }

  /** The resources that an expression refers to; none if something can't be seen through. */
  follow(instance: Instance, expression: unknown): readonly Reached[] {
    const found = this.references?.follow(instance, expression);
    return found === undefined || found.opaque.length > 0 ? [] : found.reached;
  }

  /** The link of an attribute of a resource. */
  of(instance: Instance, attribute: string, kind: LinkKind): Link {
    return this.at(instance, partOf(instance, this.expressionsOf(instance), attribute), kind);
  }

  /** The link of a value somewhere in a resource. What is unknown and nobody wrote, AWS chooses. */
  at(instance: Instance, at: ValueAt, kind: LinkKind): Link {
    const { value, unknown, expression } = at;
    const ids = [...textsOf(value), ...(textOf(value) === undefined ? [] : [textOf(value)!])];
    const isKnown = !isUnknown(unknown);
    if (!isKnown && this.references === undefined)
      return { ...NO_LINK, ids, opaque: ['it is kept secret'], isGiven: true };
    if (isKnown || expression === undefined || this.references === undefined)
      return { ...NO_LINK, ids, isGiven: ids.length > 0 };
    const found = this.references.follow(instance, expression);
    const held = found.reached.flatMap((one) => holdersOf(one, kind));
    const opaque = [
      ...found.opaque,
      ...found.reached
        .filter((one) => isOpaque(one, kind, at.isShared === true))
        .map(({ instance: from }) => `it comes from ${from.address}`),
    ];
    const all = [...new Set(held.map(({ id }) => id))].filter((id) => !ids.includes(id));
    if (opaque.length === 0 && isDecided(all, held, found, at))
      return { ...NO_LINK, ids: [...ids, ...all], isGiven: true };
    const names = [...new Set(held.map(({ name }) => name))];
    const isLost = names.length === 0 && opaque.length === 0;
    return {
      ids,
      candidates: all,
      opaque: isLost ? ['nothing that it refers to is known'] : opaque,
      why: `the plan does not say whether it is ${names.length === 0 ? 'something else' : names.join(' or ')}`,
      isGiven: true,
    };
  }
}

/** Whether an unknown value can be nothing but these. */
function isDecided(
  all: readonly string[],
  held: readonly Held[],
  { hasKnown }: Found,
  { unknown, isShared, isList }: ValueAt,
): boolean {
  if (all.length === 0) return false;
  if (all.length === 1) return true;
  // Of several, a list has all: if it has as many elements, or if nothing is there that could choose among them.
  if (isShared === true || !held.every(({ isExact }) => isExact)) return false;
  if (Array.isArray(unknown)) return unknown.filter(isUnknown).length === all.length;
  return isList === true && !hasKnown;
}

interface Held {
  readonly id: string;
  readonly name: string;
  readonly isExact: boolean;
}

function holdersOf({ instance, attribute, isExact }: Reached, kind: LinkKind): readonly Held[] {
  const attributes = HOLDERS[kind].get(instance.type);
  if (attributes === undefined) return [];
  const named = isPath(attribute) ? attributes[0] : attribute;
  // Another attribute of it, an ARN for one, holds no such id.
  if (!attributes.includes(named)) return [];
  const id = named === 'name' ? idOf(instance, kind) : idOf(instance, kind, named);
  return [{ id, name: instance.address, isExact }];
}

/** Only the resource is named, or a splat: what comes after it is not told. */
function isPath(attribute: string | undefined): attribute is undefined {
  return attribute === undefined || attribute === '' || attribute === '*';
}

/** Whether a value of this kind may come from a resource that is not known to have one. */
function isOpaque({ instance, attribute }: Reached, kind: LinkKind, isShared: boolean): boolean {
  const attributes = HOLDERS[kind].get(instance.type);
  if (attributes !== undefined && (isPath(attribute) || attributes.includes(attribute)))
    return false;
  if (!isPath(attribute)) {
    const isKnown =
      own(instance.values, attribute) !== undefined && !isUnknown(own(instance.unknown, attribute));
    if (isKnown) return false;
  }
  if (!isShared) return true;
  // Blocks have addresses and lists too. Those of known types hold no groups.
  return !PLAIN_TYPES.has(instance.type) && (isPath(attribute) || /group|prefix/.test(attribute));
}

/** Types whose attributes hold none of these ids, but those in HOLDERS. */
const PLAIN_TYPES: ReadonlySet<string> = new Set([
  ...Object.values(HOLDERS).flatMap((types) => [...types.keys()]),
  'aws_eip',
]);

/** Whether anything in a part of `after_unknown` is true. */
export function isUnknown(unknown: unknown): boolean {
  if (unknown === true) return true;
  if (Array.isArray(unknown)) return unknown.some(isUnknown);
  return typeof unknown === 'object' && unknown !== null && Object.values(unknown).some(isUnknown);
}

/** The attribute of a resource as a part of its configuration. */
export function partOf(
  { values, unknown }: Pick<Instance, 'values' | 'unknown'>,
  expressions: JsonObject | undefined,
  attribute: string,
): ValueAt {
  return {
    value: own(values, attribute),
    unknown: own(unknown, attribute),
    expression: own(expressions, attribute),
    isList: attribute.endsWith('s'),
  };
}
