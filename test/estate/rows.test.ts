/** Rows of the estate: what is written is read again, and what is not right is refused with its place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RowError, RowReader } from '../../src/estate/row-reader.ts';
import { decodeApplied, encodeApplied, ROW_FORMS } from '../../src/estate/rows.ts';
import {
  analyses,
  flowLogs,
  groups,
  interfaces,
  paths,
  prefixLists,
  subnets,
  vpcs,
} from './values.ts';

interface Form {
  readonly encode: (value: never) => object;
  readonly decode: (id: string, row: RowReader) => unknown;
}

function roundTrip(form: Form, id: string, value: unknown): unknown {
  const text = JSON.stringify(form.encode(value as never));
  return form.decode(id, RowReader.parse('row', text));
}

test('what is written is read again', () => {
  const check = <T>(values: fc.Arbitrary<T>, form: Form, idOf: (value: T) => string): void =>
    fc.assert(
      fc.property(values, (value) => {
        assert.deepEqual(roundTrip(form, idOf(value), value), value);
      }),
    );
  check(vpcs, ROW_FORMS.vpcs, ({ id }) => id);
  check(subnets, ROW_FORMS.subnets, ({ id }) => id);
  check(groups, ROW_FORMS.groups, ({ group }) => group.id);
  check(prefixLists, ROW_FORMS['prefix-lists'], ({ list }) => list.id);
  check(interfaces, ROW_FORMS.interfaces, ({ id }) => id);
  check(flowLogs, ROW_FORMS['flow-logs'], ({ id }) => id);
  check(paths, ROW_FORMS['insights-paths'], ({ id }) => id);
  check(analyses, ROW_FORMS['insights-analyses'], ({ id }) => id);
});

test('what a host has in force is read again', () => {
  for (const state of [{ revision: 7 }, { revision: 7, refused: { revision: 8, message: 'why' } }])
    assert.deepEqual(decodeApplied('applied/a', encodeApplied(state)), state);
});

test('a row can be read by people', () => {
  const [group] = fc.sample(groups, { numRuns: 1, seed: 1 });
  const rule = {
    id: 'sgr-1',
    direction: 'ingress' as const,
    protocol: 6,
    fromPort: 443,
    toPort: 443,
    peer: { kind: 'cidr' as const, cidr: { family: 4 as const, words: [0x0a000000], length: 8 } },
    description: '',
    origin: group.group.origin,
  };
  const value = {
    group: { ...group.group, name: 'web', description: 'd', ingress: [rule], egress: [] },
    ruleTags: new Map([['sgr-1', [{ key: 'k', value: 'v' }]]]),
    tags: [],
  };
  assert.deepEqual(ROW_FORMS.groups.encode(value), {
    vpcId: group.group.vpc.id,
    name: 'web',
    description: 'd',
    rules: [
      {
        id: 'sgr-1',
        direction: 'ingress',
        protocol: 'tcp',
        fromPort: 443,
        toPort: 443,
        cidr: '10.0.0.0/8',
        tags: [{ key: 'k', value: 'v' }],
      },
    ],
    tags: [],
  });
});

test('a row that is not right is refused, with its place', () => {
  const rule = { id: 'sgr-1', direction: 'ingress', protocol: 'tcp', fromPort: 1, toPort: 1 };
  const group = {
    vpcId: 'vpc-1',
    name: 'n',
    description: 'd',
    tags: [],
    rules: [{ ...rule, cidr: '::/0' }],
  };
  const cases: readonly [text: string, message: string][] = [
    ['[]', 'groups/sg-1 is not an object'],
    ['{', 'groups/sg-1 is not JSON'],
    [JSON.stringify({ ...group, name: 1 }), 'groups/sg-1.name is not a text'],
    [JSON.stringify({ ...group, rules: {} }), 'groups/sg-1.rules is not a list'],
    [JSON.stringify({ ...group, rules: [rule] }), 'groups/sg-1.rules[0].groupId is not a text'],
    [
      JSON.stringify({ ...group, rules: [{ ...rule, cidr: '10.0.0.0/33' }] }),
      "groups/sg-1.rules[0].cidr is not right: '10.0.0.0/33' has a bad prefix length",
    ],
    [
      JSON.stringify({ ...group, rules: [{ ...rule, direction: 'in' }] }),
      'groups/sg-1.rules[0].direction is not ingress or egress',
    ],
    [
      JSON.stringify({ ...group, rules: [{ ...rule, fromPort: '1', cidr: '10.0.0.0/8' }] }),
      'groups/sg-1.rules[0].fromPort is not a whole number',
    ],
  ];
  for (const [text, message] of cases) {
    const read = (): unknown =>
      ROW_FORMS.groups.decode('sg-1', RowReader.parse('groups/sg-1', text));
    assert.throws(read, (error) => error instanceof RowError && error.message === message, message);
  }
});
