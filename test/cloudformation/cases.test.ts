/**
 * Templates from real use, each in a folder of `cases/` with what is right of it. A new case is a new folder:
 *
 * - `lab.yaml`: a configuration that names the templates beside it;
 * - `expected.json`: `has` says what the case is about; `errors` how many there are (a number, "some" or
 *   "any"); `interfaces` the groups of interfaces; `groups` the rules of groups, and with `only` of all groups but `default`; `mustSay` and
 *   `mustNotSay` patterns of the lines `severity line: message. hint`.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { buildCaseParts } from './case-parts.ts';
import { findRoot } from './helpers.ts';

interface Expected {
  readonly has: string;
  readonly errors: number | 'some' | 'any';
  readonly groups: Readonly<Record<string, { ingress: string[]; egress: string[] }>> | null;
  readonly only: boolean;
  readonly interfaces?: Readonly<Record<string, readonly string[]>>;
  readonly mustSay: readonly string[];
  readonly mustNotSay: readonly string[];
}

const CASES = join(findRoot(), 'test/cloudformation/cases');

for (const name of readdirSync(CASES)) {
  const folder = join(CASES, name);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;
  test(`${name}: ${expected.has}`, () => {
    const { problems, groups, interfaces } = buildCaseParts(join(folder, 'lab.yaml'));
    const lines = problems.map(
      ({ severity, at, message, hint }) =>
        `${severity} ${at?.line ?? 0}: ${message}${hint === undefined ? '' : `. ${hint}`}`,
    );
    const told = lines.join('\n');
    const errors = problems.filter(({ severity }) => severity === 'error').length;
    if (expected.errors === 'some') assert.ok(errors > 0, `no error:\n${told}`);
    else if (expected.errors !== 'any') assert.equal(errors, expected.errors, told);
    for (const pattern of expected.mustSay) assert.match(told, new RegExp(pattern));
    for (const pattern of expected.mustNotSay) assert.doesNotMatch(told, new RegExp(pattern));
    if (expected.interfaces !== undefined) assert.deepEqual(interfaces, expected.interfaces, told);
    if (expected.groups === null) return;
    const { only } = expected;
    const wanted = only
      ? Object.keys(groups).filter((key) => key !== 'default')
      : Object.keys(expected.groups);
    assert.deepEqual(
      Object.fromEntries(wanted.map((key) => [key, groups[key]])),
      expected.groups,
      told,
    );
  });
}
