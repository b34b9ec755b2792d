/**
 * Who refers to whom, and circles among them.
 *
 * AWS makes resources one after another, so a circle of references can't be made and the whole
 * template is refused. Here ids are known beforehand and nothing is made in order, so a circle is
 * harmless: it is a warning.
 */
import { get, type Mapping, type Node } from '../source/yaml.ts';
import { readCall, type Call } from './calls.ts';
import { chooseBranch } from './intrinsics.ts';
import { report, type Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, type Where } from './values.ts';

/** A name and where it is mentioned. */
export interface Mention extends Where {
  readonly name: string;
  /** Of a GetAtt, and of a Sub that is one. */
  readonly attribute?: string;
}

/** The names that Ref, GetAtt and Sub mention anywhere in a node; of an Fn::If only the branch taken, where that is known. */
export function findMentions(scope: Scope, node: Node): Mention[] {
  const mentions: Mention[] = [];
  collect(scope, node, mentions);
  return mentions;
}

function collect(scope: Scope, node: Node, mentions: Mention[]): void {
  const call = readCall(node);
  if (call !== undefined && collectFromCall(scope, call, mentions)) return;
  const children =
    node.kind === 'mapping'
      ? node.entries.map((entry) => entry.value)
      : node.kind === 'list'
        ? node.items
        : [];
  for (const child of children) collect(scope, child, mentions);
}

/** Takes what the call itself mentions; true if its arguments hold nothing more. */
function collectFromCall(scope: Scope, call: Call, mentions: Mention[]): boolean {
  const { argument, at, path } = call;
  const first = argument.kind === 'list' ? argument.items[0] : argument;
  const text = first?.kind === 'scalar' ? (first.source ?? first.text) : undefined;
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
      if (argument.kind !== 'list' || argument.items.length !== 3) return false;
      // Only of a condition there is: that one is missing is for whoever needs the value to say.
      if (text === undefined || !scope.template.conditions.has(text)) return false;
      const branch = chooseBranch(scope, argument.items);
      if (!('value' in branch)) return false;
      collect(scope, branch.value, mentions);
      return true;
    }
    default:
      return false;
  }
}

/** `Id.Attribute`, or a list of the two. */
function splitAttribute(text: string, argument?: Node): Pick<Mention, 'name' | 'attribute'> {
  const [name, ...rest] = text.split('.');
  const second = argument?.kind === 'list' ? argument.items[1] : undefined;
  const attribute = second?.kind === 'scalar' ? second.text : rest.join('.');
  return attribute === '' ? { name } : { name, attribute };
}

/** Whether a Fn::Sub brings a value of that name itself, which then is no resource's. */
function hasOwnVariable(argument: Node, name: string): boolean {
  const own = argument.kind === 'list' ? argument.items[1] : undefined;
  return own !== undefined && get(own, name) !== undefined;
}

/** Warns of each circle among `resources`, at the first reference in it. */
export function warnOfCircles(scope: Scope, resources: readonly Resource[]): void {
  const names = new Set(resources.map((resource) => resource.logicalId));
  const edges = new Map<string, Mention[]>();
  for (const { logicalId, properties, node } of resources) {
    const mentions = properties === undefined ? [] : findMentions(scope, properties);
    mentions.push(...readDependsOn(node));
    edges.set(
      logicalId,
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

function readDependsOn(node: Mapping): Mention[] {
  const value = node.entries.find((entry) => entry.key === 'DependsOn')?.value;
  const items = value?.kind === 'list' ? value.items : value === undefined ? [] : [value];
  return items.flatMap((item) =>
    item.kind === 'scalar' ? [{ name: item.text, at: item.at, path: item.path }] : [],
  );
}

/**
 * Sets of names that refer to each other in a circle, in the order of the template.
 *
 * What can't be part of a circle is taken away (nothing refers to it, or it refers to nothing) until
 * nothing changes; what stays and hangs together is reported together.
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
