/**
 * This file reads the tag `secgroupd:audit` of a group or a network interface of a template. A tag that can't be known
 * here leaves the rules enforced. AWS takes any value; here a slip must not look like audit.
 */
import { AUDIT_TAG } from '../policy/audit-tags.ts';
import { readProperty } from './calls.ts';
import { warnOfUnknown } from './properties.ts';
import { fail } from './reporting.ts';
import type { Resource } from './resources.ts';
import type { Scope } from './scope.ts';
import { describeKind, type Value } from './values.ts';

const LOSS = 'the rules are enforced';

/** Whether the tags of a resource put it in audit mode. */
export function readAuditTag(scope: Scope, { properties, logicalId }: Resource): boolean {
  const tags = readProperty(scope, properties, 'Tags');
  if (tags?.kind !== 'list') return false;
  let audits = false;
  for (const tag of tags.items) {
    if (tag.kind !== 'map') continue;
    const key = readProperty(scope, tag.node, 'Key');
    if (key?.kind !== 'text' || key.text !== AUDIT_TAG) continue;
    // Of several tags with one key the last one counts.
    audits = readValue(scope, logicalId, readProperty(scope, tag.node, 'Value'), tag);
  }
  return audits;
}

function readValue(scope: Scope, logicalId: string, value: Value | undefined, tag: Value): boolean {
  if (value?.kind === 'unknown') {
    const what = `the tag ${AUDIT_TAG} of '${logicalId}'`;
    warnOfUnknown(scope, what, value, value.path, LOSS);
    return false;
  }
  if (value?.kind === 'text' && (value.text === 'true' || value.text === 'false'))
    return value.text === 'true';
  if (value?.kind === 'invalid') return false;
  const found = value === undefined ? 'there is none' : `not ${describeKind(value)}`;
  const message = `the value of the tag ${AUDIT_TAG} must be true or false: ${found}`;
  fail(scope, 'bad-property', value ?? tag, message, "write Value: 'true', or take the tag out");
  return false;
}
