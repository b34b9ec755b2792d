/** Filters of describe calls, and a matcher of wildcards that a pattern can't make slow. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { filterTest, type Filter } from '../../src/api/filters.ts';
import { zonesOf } from '../../src/api/zones.ts';

interface Item {
  readonly names: readonly string[];
  readonly tags: readonly { readonly Key: string; readonly Value: string }[];
}
const item: Item = { names: ['web', 'db'], tags: [{ Key: 'env', Value: 'prod' }] };

function passes(...filters: Filter[]): boolean {
  return filterTest<Item>(filters, { name: ({ names }) => names }, ({ tags }) => tags)(item);
}

test('values are alternatives, filters are conditions, letters count', () => {
  assert.equal(passes(), true);
  assert.equal(passes({ Name: 'name', Values: ['x', 'db'] }), true);
  assert.equal(passes({ Name: 'name', Values: ['web'] }, { Name: 'name', Values: ['x'] }), false);
  assert.equal(passes({ Name: 'name', Values: ['Web'] }), false);
});

test('tags by key and value', () => {
  assert.equal(passes({ Name: 'tag:env', Values: ['pr*'] }), true);
  assert.equal(passes({ Name: 'tag:Env', Values: ['prod'] }), false);
  assert.equal(passes({ Name: 'tag-key', Values: ['env'] }), true);
  assert.equal(passes({ Name: 'tag-key', Values: ['prod'] }), false);
});

test('an unknown name, or no value, is an error', () => {
  for (const name of ['colour', 'toString', '__proto__'])
    assert.throws(() => passes({ Name: name, Values: ['x'] }), {
      code: 'InvalidParameterValue',
      message: `The filter '${name}' is invalid`,
    });
  assert.throws(() => passes({ Name: 'name' }), {
    code: 'InvalidParameterValue',
    message: "The filter 'name' has no values",
  });
  assert.throws(() => filterTest([{ Name: 'tag-key', Values: ['x'] }], {}), {
    code: 'InvalidParameterValue',
  });
});

test('wildcards', () => {
  const matches = (pattern: string, text: string): boolean =>
    filterTest<string>([{ Name: 'a', Values: [pattern] }], { a: (value) => [value] })(text);
  for (const [pattern, text, expected] of [
    ['*', '', true],
    ['?', '', false],
    ['?', '😀', true],
    ['w*b', 'wb', true],
    ['w*b', 'wxxb', true],
    ['w*b', 'wbx', false],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['a\\?c', 'a?c', true],
    ['a\\\\', 'a\\', true],
    ['a.c', 'abc', false],
    ['', '', true],
    ['', 'a', false],
  ] as const)
    assert.equal(matches(pattern, text), expected, `${pattern} ${text}`);
});

test('wildcards, as a regular expression has them', () => {
  const letters = fc.array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 8 });
  fc.assert(
    fc.property(letters, fc.stringMatching(/^[ab]{0,8}$/), (pattern, text) => {
      const expression = new RegExp(
        `^${pattern.join('').replaceAll('*', '.*').replaceAll('?', '.')}$`,
      );
      const test = filterTest<string>([{ Name: 'a', Values: [pattern.join('')] }], {
        a: (value) => [value],
      });
      assert.equal(test(text), expression.test(text));
    }),
  );
});

test('a pattern made to be slow is not: a regular expression would take longer than the universe', () => {
  const test = filterTest<string>([{ Name: 'a', Values: ['*a'.repeat(50) + 'b'] }], {
    a: (value) => [value],
  });
  assert.equal(test('a'.repeat(2000)), false);
});

test('zones have the ids of AWS', () => {
  assert.deepEqual(
    zonesOf('us-east-1').map(({ name, id }) => `${name} ${id}`),
    ['us-east-1a use1-az1', 'us-east-1b use1-az2', 'us-east-1c use1-az3'],
  );
  assert.deepEqual(
    ['ap-southeast-2', 'eu-central-1', 'us-gov-west-1', 'me-south-1'].map(
      (region) => zonesOf(region)[0].id,
    ),
    ['apse2-az1', 'euc1-az1', 'usgw1-az1', 'mes1-az1'],
  );
});
