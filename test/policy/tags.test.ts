import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addTags, removeTags, type Tag } from '../../src/policy/tags.ts';
import { must, refusalsOf } from './group-texts.ts';

const tag = (key: string, value = ''): Tag => ({ key, value });
const many = (count: number): Tag[] => Array.from({ length: count }, (_, i) => tag(`k${i}`));

test('tags are added behind those that are there, or replace one', () => {
  const tags = must(addTags([tag('a', '1'), tag('b', '2')], [tag('A', '3'), tag('a', '4')]));
  assert.deepEqual(tags, [tag('a', '4'), tag('b', '2'), tag('A', '3')]);
});

test('there are at most fifty; those of AWS do not count', () => {
  assert.deepEqual(refusalsOf(addTags([], many(50))), []);
  assert.deepEqual(
    refusalsOf(addTags([tag('aws:cloudformation:stack-name'), tag('k0')], many(50))),
    [],
  );
  assert.deepEqual(refusalsOf(addTags(many(50), [tag('x')])), [
    'TagLimitExceeded: The resource would have 51 tags, more than 50',
  ]);
});

test('tags that are wrong are refused', () => {
  const long = 'k'.repeat(128);
  const cases: readonly (readonly [readonly Tag[], string])[] = [
    [[tag('aws:x')], "Value (aws:x) for parameter Key is invalid. Tag keys that begin with 'aws:' are reserved."],
    [[tag('AWS:x')], "Value (AWS:x) for parameter Key is invalid. Tag keys that begin with 'aws:' are reserved."],
    [[tag('')], 'Value () for parameter Key is invalid. A tag key has 1 to 127 characters.'],
    [[tag(long)], `Value (${long}) for parameter Key is invalid. A tag key has 1 to 127 characters.`],
    [[tag('a', 'v'.repeat(257))], `Value (${'v'.repeat(257)}) for parameter Value is invalid. A tag value has at most 256 characters.`],
    [[tag('a', '1'), tag('a', '2')], "The tag key 'a' must not appear multiple times"],
  ]; // prettier-ignore
  for (const [tags, expected] of cases)
    assert.deepEqual(refusalsOf(addTags([], tags)), [`InvalidParameterValue: ${expected}`]);
  assert.deepEqual(refusalsOf(addTags([], [tag(long.slice(1), 'v'.repeat(256))])), []);
});

test('tags are removed by key, or by key and value', () => {
  const tags = [tag('a', '1'), tag('b', '2'), tag('c', '')];
  const removed = [{ key: 'a' }, { key: 'b', value: 'x' }, { key: 'c', value: '' }, { key: 'd' }];
  assert.deepEqual(must(removeTags(tags, removed)), [tag('b', '2')]);
  assert.deepEqual(refusalsOf(removeTags(tags, [{ key: 'aws:x' }])), [
    "InvalidParameterValue: Value (aws:x) for parameter Key is invalid. Tag keys that begin with 'aws:' are reserved.",
  ]);
});
