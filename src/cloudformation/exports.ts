/** Outputs with an export name: the values that other templates may import. */
import { readProperty, findEntry } from './calls.ts';
import { fail, type Scope } from './scope.ts';
import { abbreviate } from './values.ts';

/**
 * Names and values of the exports that are known here. An output that is not known, or whose
 * condition is not met, exports nothing; whoever imports it is told.
 * Source: AWS CloudFormation User Guide, "CloudFormation template Outputs syntax".
 */
export function readExports(scope: Scope): Map<string, string> {
  const exports = new Map<string, string>();
  for (const output of scope.template.outputs) {
    const node = findEntry(output.node, 'Export');
    if (node === undefined) continue;
    const condition = findEntry(output.node, 'Condition');
    if (condition?.kind === 'scalar') {
      const truth = scope.decide(condition.text, condition);
      if (truth.kind !== 'truth' || !truth.value) continue;
    }
    const name = readProperty(scope, node, 'Name');
    const value = readProperty(scope, output.node, 'Value');
    if (name?.kind !== 'text' || value?.kind !== 'text') continue;
    if (exports.has(name.text)) {
      fail(
        scope,
        'duplicate-export',
        name,
        `'${abbreviate(name.text)}' is exported twice`,
        'an export name is unique in an account and region',
      );
      continue;
    }
    exports.set(name.text, value.text);
  }
  return exports;
}
