/**
 * This file finds references between resources, and circles among them.
 *
 * AWS makes resources one after another, so it refuses a template with a circle. Here all ids are known in advance, and
 * there is no order. A circle is harmless, and only a warning.
 */
import { get, type Mapping, type Node } from '../source/yaml.ts';
import { readCall, type Call } from './calls.ts';
import { chooseBranch } from './intrinsics.ts';
import { findUnread, isMacroKey, TRANSFORM, writeOutTransform } from './macros.ts';
import { report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, type Where } from './values.ts';

/** A name, and where it is mentioned. */
export interface Mention extends Where {
  readonly name: string;
  /** The attribute of a GetAtt, or of a Sub with a dot. */
  readonly attribute?: string;
}

/** What a walk visits. */
interface Walk {
  /**
   * Evaluates the conditions that choose a branch of Fn::If. Undefined: both branches are visited, but no arguments of
   * macros.
   */
  readonly scope: Scope | undefined;
  readonly mentions: Mention[];
}

/**
 * The names that Ref, GetAtt and Sub mention in a node. If the condition of an Fn::If is known, only the taken branch
 * counts.
 */
export function findMentions(scope: Scope, node: Node): Mention[] {
  const mentions: Mention[] = [];
  collect({ scope, mentions }, node);
  return mentions;
}

const mentionsOfResources = new WeakMap<Scope, Map<Resource, readonly Mention[]>>();

/** The mentions in all properties of a resource. They are cached, since several callers ask for them. */
export function mentionsOf(scope: Scope, resource: Resource): readonly Mention[] {
  let all = mentionsOfResources.get(scope);
  if (all === undefined) {
    all = new Map<Resource, readonly Mention[]>();
    mentionsOfResources.set(scope, all);
  }
  let mentions = all.get(resource);
  if (mentions === undefined) {
    const { properties } = resource;
    mentions = properties === undefined ? [] : findMentions(scope, properties);
    all.set(resource, mentions);
  }
  return mentions;
}

/**
 * The names that are mentioned, whatever the conditions are. Arguments of macros are not visited, and neither are loops
 * that were not expanded, because their identifiers are names of their own.
 */
export function findWrittenMentions(node: Node): Mention[] {
  const mentions: Mention[] = [];
  collect({ scope: undefined, mentions }, node);
  return mentions;
}

function collect(walk: Walk, node: Node): void {
  const call = readCall(node);
  if (call !== undefined && collectFromCall(walk, call)) return;
  if (node.kind === 'list') for (const item of node.items) collect(walk, item);
  if (node.kind !== 'mapping') return;
  for (const { key, value } of node.entries)
    if (walk.scope !== undefined || !isMacroKey(key)) collect(walk, value);
}

/** Adds what the call itself mentions. Returns true if its arguments contain nothing else to visit. */
function collectFromCall({ scope, mentions }: Walk, call: Call): boolean {
  const { argument, at, path } = call;
  // A function in place of the name is visited like any other.
  const isOther = argument.tag !== undefined;
  const first = argument.kind === 'list' && !isOther ? argument.items[0] : argument;
  const isName = first?.kind === 'scalar' && first.tag === undefined;
  const text = isName ? (first.source ?? first.text) : undefined;
  switch (call.name) {
    case 'Ref':
      if (text !== undefined) mentions.push({ name: text, at, path });
      return text !== undefined;
    case 'Fn::GetAtt':
      if (text !== undefined) mentions.push({ ...splitAttribute(text, argument), at, path });
      return text !== undefined && argument.kind === 'scalar';
    case 'Fn::Sub':
      for (const [, name] of (text ?? '').matchAll(/\$\{([^!{}][^{}]*)\}/g)) {
        if (!hasOwnVariable(argument, name)) mentions.push({ ...splitAttribute(name), at, path });
      }
      return false;
    case 'Fn::If': {
      if (scope === undefined || argument.kind !== 'list' || argument.items.length !== 3)
        return false;
      // Only a condition that exists. Whoever needs a missing one reports it.
      if (text === undefined || !scope.template.conditions.has(text)) return false;
      const branch = chooseBranch(scope, argument.items);
      if (!('value' in branch)) return false;
      collect({ scope, mentions }, branch.value);
      return true;
    }
    case TRANSFORM:
      return scope === undefined;
    default:
      return false;
  }
}

/** Reads `Id.Attribute`, or a list of the two. */
function splitAttribute(text: string, argument?: Node): Pick<Mention, 'name' | 'attribute'> {
  const [name, ...rest] = text.split('.');
  const second = argument?.kind === 'list' ? argument.items[1] : undefined;
  const attribute = second?.kind === 'scalar' ? second.text : rest.join('.');
  return attribute === '' ? { name } : { name, attribute };
}

/** Whether a Fn::Sub, or a macro in it, may define a variable of that name, which is then not a resource. */
function hasOwnVariable(argument: Node, name: string): boolean {
  const written = argument.kind === 'list' ? argument.items[1] : undefined;
  if (written === undefined) return false;
  const own = writeOutTransform(written);
  return get(own, name) !== undefined || findUnread(own) !== undefined;
}

/** Warns of each circle among `resources`, at its first reference. */
export function warnOfCircles(scope: Scope, resources: readonly Resource[]): void {
  const names = new Set(resources.map((resource) => resource.logicalId));
  const edges = new Map<string, Mention[]>();
  for (const resource of resources) {
    const mentions = [...mentionsOf(scope, resource), ...readDependsOn(resource.node)];
    edges.set(
      resource.logicalId,
      mentions.filter((mention) => names.has(mention.name)),
    );
  }
  for (const circle of findCircles(edges)) {
    const first = resources
      .filter((resource) => circle.has(resource.logicalId))
      .flatMap((resource) => edges.get(resource.logicalId) ?? [])
      .find((mention) => circle.has(mention.name))!;
    const list = abbreviate([...circle].join(', '));
    const message = `circular dependency between resources: [${list}]`;
    const hint =
      'AWS refuses it: Circular dependency between resources; let each rule that names a group be a resource of its own, and let the group not refer to it';
    report(scope.problems, 'warning', 'circular-reference', first, message, hint);
  }
}

/** The names in DependsOn of a resource. */
export function readDependsOn(node: Mapping): Mention[] {
  const value = node.entries.find((entry) => entry.key === 'DependsOn')?.value;
  const items = value?.kind === 'list' ? value.items : value === undefined ? [] : [value];
  return items.flatMap((item) =>
    item.kind === 'scalar' ? [{ name: item.text, at: item.at, path: item.path }] : [],
  );
}

/**
 * Finds sets of names that refer to each other in a circle, in the order of the template.
 *
 * Names that nothing refers to, and names that refer to nothing, can't be part of a circle. They are removed until
 * nothing changes. Each connected set of the remaining names is reported.
 */
export function findCircles(
  edges: ReadonlyMap<string, readonly Pick<Mention, 'name'>[]>,
): Set<string>[] {
  const out = new Map<string, Set<string>>();
  const into = new Map<string, Set<string>>();
  for (const name of edges.keys()) into.set(name, new Set());
  for (const [name, mentions] of edges) {
    out.set(name, new Set(mentions.map((mention) => mention.name)));
    for (const mention of mentions) into.get(mention.name)!.add(name);
  }
  const idle = [...edges.keys()].filter(
    (name) => out.get(name)!.size === 0 || into.get(name)!.size === 0,
  );
  while (idle.length > 0) {
    const name = idle.pop()!;
    if (!out.has(name)) continue;
    for (const target of out.get(name)!) {
      into.get(target)!.delete(name);
      if (into.get(target)!.size === 0) idle.push(target);
    }
    for (const source of into.get(name)!) {
      out.get(source)!.delete(name);
      if (out.get(source)!.size === 0) idle.push(source);
    }
    out.delete(name);
    into.delete(name);
  }
  return groupConnected(out, into);
}

function groupConnected(
  out: ReadonlyMap<string, Set<string>>,
  into: ReadonlyMap<string, Set<string>>,
): Set<string>[] {
  const seen = new Set<string>();
  const circles: Set<string>[] = [];
  for (const start of out.keys()) {
    if (seen.has(start)) continue;
    const found = new Set<string>();
    const waiting = [start];
    while (waiting.length > 0) {
      const name = waiting.pop()!;
      if (found.has(name)) continue;
      found.add(name);
      seen.add(name);
      waiting.push(...out.get(name)!, ...into.get(name)!);
    }
    circles.push(new Set([...out.keys()].filter((name) => found.has(name))));
  }
  return circles;
}
