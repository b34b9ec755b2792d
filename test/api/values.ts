/** Random parameters and answers of an action, by the wire table. */
import fc from 'fast-check';
import type { Struct, Value } from '../../src/api/action.ts';
import type { Member, Structure, Type } from '../../src/api/wire-table.ts';

/** Shapes nest in each other (CloudFormation's and Network Insights' do): deeper than this all is left out. */
const DEPTH_MAX = 3;
const LIST_MAX = 2;

const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\r]/;

/** Texts with what XML and forms have to escape, and none of the characters that XML can't carry. */
const TEXT = fc
  .oneof(
    fc.constantFrom(
      'a',
      '<&>"\'',
      ' a  b ',
      'tcp',
      '10.0.0.0/8',
      'é ü €',
      '😀',
      'a+b=c&d',
      '%41',
      'x\ny\tz',
      ']]>',
    ),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
  )
  // A parser may trim what is blank as a whole; AWS takes no such text.
  .filter((text) => text.trim() !== '' && !NOT_XML.test(text));
/** Some members at a time: all of a large shape would be a thousand values. */
const MEMBERS_MAX = 6;

export function structure(shape: Structure, depth = 0): fc.Arbitrary<Struct> {
  const members = membersAt(shape, depth);
  return fc
    .subarray(members, { maxLength: Math.min(MEMBERS_MAX, members.length) })
    .chain((chosen) =>
      fc.record(
        Object.fromEntries(chosen.map(({ name, type }) => [name, valueOf(type, depth + 1)])),
      ),
    );
}

/** The members that can have a value: those deep down have to be simple. */
function membersAt({ members }: Structure, depth: number): Member[] {
  return members.filter(({ type }) => hasValue(type, depth + 1));
}

function hasValue(type: Type, depth: number): boolean {
  if (type.kind === 'list') return hasValue(type.item, depth);
  return type.kind !== 'structure' || (depth < DEPTH_MAX && membersAt(type, depth).length > 0);
}

function valueOf(type: Type, depth: number): fc.Arbitrary<Value> {
  switch (type.kind) {
    case 'string':
      return TEXT;
    case 'integer':
      return fc.oneof(fc.integer(), fc.maxSafeInteger());
    case 'boolean':
      return fc.boolean();
    case 'timestamp':
      return fc.date({
        min: new Date('1971-01-01'),
        max: new Date('2199-12-31'),
        noInvalidDate: true,
      });
    case 'blob':
      return fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => Uint8Array.from(bytes));
    case 'map':
      return fc.dictionary(fc.stringMatching(/^[A-Za-z]{1,6}$/), TEXT, {
        minKeys: 1,
        maxKeys: 3,
        noNullPrototype: true,
      });
    case 'list':
      return fc.array(valueOf(type.item, depth), { minLength: 1, maxLength: LIST_MAX });
    case 'structure':
      // An empty structure leaves nothing on the wire.
      return structure(type, depth).filter((value) => Object.keys(value).length > 0);
    default:
      return type satisfies never;
  }
}
