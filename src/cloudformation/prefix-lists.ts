/** This file reads AWS::EC2::PrefixList. An unknown entry is left out: lists only ever allow. */
import type { PrefixList } from '../policy/model.ts';
import { REQUEST_ENTRIES_MAX } from '../policy/prefix-lists.ts';
import { QUOTA_DEFAULTS } from '../policy/quotas.ts';
import { checkRuleDescription } from '../policy/texts.ts';
import { idOf } from './attributes.ts';
import { readProperty } from './calls.ts';
import { PROPERTIES_OF_KINDS } from './kinds.ts';
import { checkProperties, readText, warnOfUnknown } from './properties.ts';
import { readCidr } from './rules.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, describeKind, type Value } from './values.ts';

type Entry = PrefixList['entries'][number];

export function readPrefixList(scope: Scope, resource: Resource): PrefixList | undefined {
  const { properties, logicalId } = resource;
  const known = PROPERTIES_OF_KINDS.get(resource.type)!;
  checkProperties(scope, properties, known, resource.type, 'it is passed over');
  const family = readFamily(scope, resource);
  if (family === undefined) return undefined;
  const entries = readEntries(scope, resource, family);
  const maxEntries = readMaxEntries(scope, resource, entries.length);
  return {
    id: idOf(scope, resource),
    name: readName(scope, resource),
    family,
    maxEntries,
    entries,
    origin: { ...resource.at, path: resource.path, logicalId },
  };
}

function readFamily(scope: Scope, resource: Resource): 4 | 6 | undefined {
  const value = readText(scope, resource.properties, 'AddressFamily');
  switch (value?.kind) {
    case 'text':
      if (value.text === 'IPv4') return 4;
      if (value.text === 'IPv6') return 6;
      fail(
        scope,
        'bad-property',
        value,
        `AddressFamily '${abbreviate(value.text)}' is neither IPv4 nor IPv6`,
      );
      return undefined;
    case 'unknown':
      warnOfUnknown(scope, 'AddressFamily', value, value.path, 'the prefix list is left out');
      return undefined;
    case 'unusable':
      return undefined;
    default:
      fail(
        scope,
        'missing-property',
        resource,
        `the prefix list '${resource.logicalId}' has no AddressFamily`,
        'write IPv4 or IPv6',
      );
      return undefined;
  }
}

function readName(scope: Scope, resource: Resource): string {
  const fallback = `${scope.inputs.stackName}-${resource.logicalId}`;
  const value = readText(scope, resource.properties, 'PrefixListName');
  if (value?.kind === 'text') return value.text;
  if (value?.kind === 'unknown')
    warnOfUnknown(scope, 'PrefixListName', value, value.path, `it is called '${fallback}'`);
  if (value === undefined) {
    const message = `the prefix list '${resource.logicalId}' has no PrefixListName; it is called '${fallback}'`;
    report(
      scope.problems,
      'warning',
      'missing-property',
      resource,
      message,
      'AWS refuses it: required key [PrefixListName] not found',
    );
  }
  return fallback;
}

function readMaxEntries(scope: Scope, resource: Resource, count: number): number {
  const least = Math.max(1, count);
  const value = readText(scope, resource.properties, 'MaxEntries');
  if (value === undefined) {
    const message = `the prefix list '${resource.logicalId}' has no MaxEntries; ${least} is taken`;
    report(
      scope.problems,
      'warning',
      'missing-property',
      resource,
      message,
      'AWS refuses it: The request must contain the parameter MaxEntries',
    );
    return least;
  }
  if (value.kind === 'unknown')
    warnOfUnknown(scope, 'MaxEntries', value, value.path, `${least} is taken`);
  if (value.kind !== 'text') return least;
  if (!/^[1-9]\d{0,3}$/.test(value.text) || Number(value.text) > QUOTA_DEFAULTS.prefixListEntries) {
    fail(
      scope,
      'bad-property',
      value,
      `MaxEntries '${abbreviate(value.text)}' is not a number from 1 to ${QUOTA_DEFAULTS.prefixListEntries}`,
    );
    return least;
  }
  if (Number(value.text) < count) {
    fail(
      scope,
      'bad-property',
      value,
      `the prefix list has ${count} entries, more than its MaxEntries ${value.text}`,
      `write ${count} or more`,
    );
    return least;
  }
  return Number(value.text);
}

function readEntries(scope: Scope, resource: Resource, family: 4 | 6): Entry[] {
  const value = readProperty(scope, resource.properties, 'Entries');
  if (value === undefined || value.kind === 'invalid') return [];
  if (value.kind === 'unknown') {
    warnOfUnknown(scope, 'Entries', value, value.path, 'the list is empty');
    return [];
  }
  if (value.kind !== 'list') {
    fail(scope, 'bad-property', value, `Entries must be a list, not ${describeKind(value)}`);
    return [];
  }
  if (value.items.length > REQUEST_ENTRIES_MAX) {
    const message = `the prefix list has ${value.items.length} entries; AWS takes ${REQUEST_ENTRIES_MAX} in one request`;
    const hint = `AWS refuses it: a prefix list is made, and changed, with at most ${REQUEST_ENTRIES_MAX} entries at once`;
    report(scope.problems, 'warning', 'many-entries', value, message, hint);
  }
  return value.items.flatMap((item) => readEntry(scope, item, family));
}

function readEntry(scope: Scope, item: Value, family: 4 | 6): Entry[] {
  if (item.kind === 'invalid') return [];
  if (item.kind === 'unknown') {
    warnOfUnknown(scope, 'the entry', item, item.path, 'it is left out');
    return [];
  }
  if (item.kind !== 'map') {
    fail(
      scope,
      'bad-property',
      item,
      `an entry must be a mapping with Cidr, not ${describeKind(item)}`,
    );
    return [];
  }
  if (!checkProperties(scope, item.node, ['Cidr', 'Description'], 'an entry', 'it is left out'))
    return [];
  const text = readText(scope, item.node, 'Cidr');
  if (text === undefined) fail(scope, 'missing-property', item, 'the entry has no Cidr');
  if (text?.kind === 'unknown')
    warnOfUnknown(scope, 'Cidr', text, text.path, 'the entry is left out');
  if (text?.kind !== 'text') return [];
  const peer = readCidr(scope, text, family, `the AddressFamily of the list is IPv${family}`);
  const description = readText(scope, item.node, 'Description');
  const shown = description?.kind === 'text' ? description.text : '';
  const wrong = checkRuleDescription(shown);
  if (wrong !== undefined) fail(scope, 'bad-description', text, wrong.message, wrong.hint);
  return peer === undefined || wrong !== undefined ? [] : [{ cidr: peer.cidr, description: shown }];
}
