import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkGroupDescription,
  checkGroupName,
  checkRuleDescription,
  explainText,
} from '../../src/policy/texts.ts';

const ALLOWED = 'aZ09 ._-:/()#,@[]+=&;{}!$*';

test('group names', () => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['web', undefined],
    [ALLOWED, undefined],
    ['web  ', undefined],
    ['x'.repeat(255), undefined],
    [
      'x'.repeat(256),
      'Invalid security group name. Valid names are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
    ],
    [
      'a"b',
      'Invalid security group name. Valid names are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
    ],
    [
      'é',
      'Value (é) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.',
    ],
    [
      'sg-x',
      'Value (sg-x) for parameter GroupName is invalid. Group names may not be in the format sg-*.',
    ],
    ['Default ', "The security group 'Default' is reserved"],
    [' ', 'the name of a security group must not be empty'],
  ];
  for (const [text, message] of cases) assert.equal(checkGroupName(text)?.message, message, text);
});

test('descriptions', () => {
  const set = 'a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*';
  assert.equal(checkGroupDescription(ALLOWED), undefined);
  assert.equal(checkGroupDescription(''), undefined);
  assert.equal(
    checkGroupDescription('a?b')?.message,
    `Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  ${set}`,
  );
  assert.equal(
    checkGroupDescription('ü')?.message,
    'Value (ü) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.',
  );
  assert.equal(checkRuleDescription(ALLOWED), undefined);
  for (const text of ['ü', 'a\nb', 'x'.repeat(256)]) {
    assert.equal(
      checkRuleDescription(text)?.message,
      `Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: ${set}`,
    );
  }
});

test('what is wrong is named', () => {
  assert.equal(explainText('a\tb'), 'the character "\\t" is not among them');
  assert.equal(explainText('x'.repeat(300)), 'it has 300 characters');
  assert.equal(explainText('fine'), undefined);
});
