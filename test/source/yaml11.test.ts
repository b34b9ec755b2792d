/** Plain scalars as CloudFormation reads them, and comments in JSON. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findJsonComment } from '../../src/source/json-comments.ts';
import { parseDocument, type Dialect } from '../../src/source/yaml.ts';
import { readPlain11 } from '../../src/source/yaml11.ts';

// prettier-ignore
const PLAIN: readonly (readonly [source: string, value: string | number | boolean | null, text: string])[] = [
  ['yes', true, 'true'], ['Yes', true, 'true'], ['on', true, 'true'], ['TRUE', true, 'true'],
  ['no', false, 'false'], ['No', false, 'false'], ['off', false, 'false'], ['False', false, 'false'],
  ['y', 'y', 'y'], ['n', 'n', 'n'], ['yEs', 'yEs', 'yEs'],
  ['~', null, ''], ['null', null, ''], ['', null, ''],
  ['443', 443, '443'], ['-1', -1, '-1'], ['+5', 5, '5'], ['0', 0, '0'],
  ['0443', 291, '291'], ['012345670123', 1402433619, '1402433619'], ['08', '08', '08'], ['0o17', '0o17', '0o17'],
  ['0x10', 16, '16'], ['0b101', 5, '5'], ['1_000', 1000, '1000'], ['_1', '_1', '_1'],
  ['22:25', 1345, '1345'], ['1:30:00', 5400, '5400'], ['02:00', '02:00', '02:00'], ['22:61', '22:61', '22:61'],
  ['1.10', 1.1, '1.10'], ['1e3', '1e3', '1e3'], ['10.0.0.0/8', '10.0.0.0/8', '10.0.0.0/8'],
  ['2012-10-17', '2012-10-17', '2012-10-17'], ['123456789012', 123456789012, '123456789012'],
];

for (const [source, value, text] of PLAIN) {
  test(`'${source}' is ${JSON.stringify(value)}, as text '${text}'`, () => {
    assert.deepEqual(readPlain11(source), { value, text });
  });
}

function readTexts(text: string, dialect: Dialect): string[] {
  const root = parseDocument('t.yaml', text, [], dialect);
  return root?.kind === 'mapping'
    ? root.entries.map(({ key, value }) => `${key}=${value.kind === 'scalar' ? value.text : '?'}`)
    : [];
}

test('only what is neither quoted nor tagged is read so, and only in templates; keys too', () => {
  const text = 'a: Yes\nb: "Yes"\nc: !Ref Yes\nd: 010\non: x\n011: y\n';
  assert.deepEqual(readTexts(text, 'aws'), ['a=true', 'b=Yes', 'c=Yes', 'd=8', 'true=x', '9=y']);
  assert.deepEqual(readTexts(text, 'core'), ['a=Yes', 'b=Yes', 'c=Yes', 'd=010', 'on=x', '011=y']);
});

// prettier-ignore
const COMMENTS: readonly (readonly [what: string, text: string, marked: string | undefined])[] = [
  ['none', '{"a": "http://x/#y", "b": [1, 2]}', undefined],
  ['two slashes', '{\n  // c\n  "a": 1 }', '//'],
  ['after a comma', '{"a": 1, // c\n "b": 2}', '//'],
  ['a star', '{"a": /* c */ 1}', '/*'],
  ['a hash', '{"a": 1, # c\n "b": 2}', '#'],
  ['a hash in YAML of one line', '{a: 1, # c\n b: 2}', undefined],
  ['no JSON at all', 'a: 1 // c\n', undefined],
  ['a mark before it', '\uFEFF[\n// c\n1]', '//'],
  ['an escaped quotation mark', '{"a": "\\" // b"}', undefined],
];

for (const [what, text, marked] of COMMENTS) {
  test(`a comment in JSON: ${what}`, () => {
    const at = findJsonComment(text);
    assert.equal(at === undefined ? undefined : text.slice(at, at + marked!.length), marked);
  });
}
