/** This file tells whether a template says of a resource what it said before. */
import type { Resource } from '../../cloudformation/resources.ts';
import type { Scope } from '../../cloudformation/scope.ts';
import { toJson } from '../../cloudformation/to-json.ts';
import { sha256 } from '../../policy/ids.ts';
import type { Node } from '../../source/yaml.ts';
import type { StackParameter } from './stack-rows.ts';

/**
 * A text that is the same as long as the resource's properties have the same values. Where a value can't be known, it
 * is the same as long as the properties are written alike and all parameters are the same.
 */
export function fingerprintOf(
  scope: Scope,
  { type, properties }: Resource,
  parameters: readonly StackParameter[],
): string {
  if (properties === undefined) return sha256(type);
  const json = toJson(scope, scope.evaluate(properties), properties);
  const text = typeof json === 'string' ? json : written(properties) + JSON.stringify(parameters);
  return sha256(`${type} ${text}`);
}

function written(node: Node): string {
  const tag = node.tag ?? '';
  switch (node.kind) {
    case 'scalar':
      return tag + JSON.stringify(node.text);
    case 'list':
      return `${tag}[${node.items.map(written).join(',')}]`;
    case 'mapping':
      return `${tag}{${node.entries.map(({ key, value }) => `${JSON.stringify(key)}:${written(value)}`).join(',')}}`;
    default:
      return node satisfies never;
  }
}
