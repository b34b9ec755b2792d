/** DNS names as rules have them: their one form, and what is refused; and the compiled names against plain text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileNames, NAME_PEER, NAME_TLS_PEER } from '../../src/policy/compiled-names.ts';
import {
  coversDnsPeer,
  coversName,
  nameIdentity,
  parseDnsName,
  wireForm,
} from '../../src/policy/dns-names.ts';
import type { DnsPeer } from '../../src/policy/model.ts';
import { hasNames, isNamedAt, NameMatcher } from '../../src/policy/name-match.ts';
import { hash2 } from '../../src/policy/word-table.ts';
import { nameBytes } from '../packets/dns.ts';

for (const [text, name] of [
  ['api.example.com', 'api.example.com'],
  ['API.Example.COM.', 'api.example.com'],
  ['*.example.com', '*.example.com'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['*.Bücher.example.', '*.xn--bcher-kva.example'],
  ['db', 'db'],
  ['_sip._udp.example', '_sip._udp.example'],
  [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
])
  test(`${text} is ${name}`, () => {
    assert.deepEqual(parseDnsName(text), { ok: true, value: name });
  });

for (const [text, message] of [
  ['', /^'' is not a DNS name$/],
  ['*', /^'\*' is not a DNS name$/],
  ['*.', /^'\*\.' is not a DNS name$/],
  ['a*.example', /\* that is not the whole first label/],
  ['*.*.example', /\* that is not the whole first label/],
  ['a..example', /empty label/],
  ['-a.example', /^'-a' in '-a\.example' is not a label/],
  ['a b.example', /is not a label/],
  ['a\u001b[2J.example', /is not a label/],
  [`${'a'.repeat(64)}.example`, /is not a label/],
  [Array(65).fill('abc').join('.'), /^the DNS name has 259 characters$/],
  ['10.0.0.1', /looks like an address/],
  ['0x7f.1', /looks like an address/],
] as const)
  test(`${JSON.stringify(text)} is refused`, () => {
    const parsed = parseDnsName(text);
    assert.equal(parsed.ok, false);
    if (!parsed.ok) assert.match(parsed.message, message);
  });

test('a wildcard covers what is below it at any depth, and not the name itself', () => {
  assert.equal(coversName('*.example.com', 'a.example.com'), true);
  assert.equal(coversName('*.example.com', 'b.a.example.com'), true);
  assert.equal(coversName('*.example.com', '*.a.example.com'), true);
  assert.equal(coversName('*.example.com', 'example.com'), false);
  assert.equal(coversName('*.example.com', 'badexample.com'), false);
  assert.equal(coversName('a.example.com', 'b.a.example.com'), false);
  assert.equal(coversName('a.example.com', 'a.example.com'), true);
});

test('the form of a name is that of a message', () => {
  assert.deepEqual(wireForm('api.example.com'), nameBytes('api.example.com').subarray(0, -1));
  assert.deepEqual(wireForm('*.example.com'), nameBytes('example.com').subarray(0, -1));
});

const label = fc.constantFrom('a', 'b', 'ab', 'www', 'x1', 'a'.repeat(63));
const plainName = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
const ruleName = fc
  .tuple(fc.boolean(), plainName)
  .map(([isWildcard, name]) => (isWildcard ? `*.${name}` : name));

const plain = (name: string): DnsPeer => ({ kind: 'dns', name });
const strict = (name: string): DnsPeer => ({ kind: 'dns', name, tlsName: true });

test('the compiled names are found that the plain text names', () => {
  const matcher = new NameMatcher();
  fc.assert(
    fc.property(
      fc.uniqueArray(ruleName, { maxLength: 12 }),
      fc.array(plainName, { minLength: 1, maxLength: 8 }),
      fc.func(fc.constantFrom(1, 2, 3)),
      (rules, asked, peersOf) => {
        // A name may be in rules that require it of TLS, in others, and in both.
        const hasPlain = (name: string): boolean => (peersOf(name) & 1) !== 0;
        const hasStrict = (name: string): boolean => (peersOf(name) & 2) !== 0;
        const names = compileNames(
          new Map([
            ...rules
              .filter(hasPlain)
              .map((name) => [rules.indexOf(name) + 3, plain(name)] as const),
            ...rules.filter(hasStrict).map((name) => [rules.indexOf(name) + 103, strict(name)] as const), // prettier-ignore
          ]),
          new Map(),
        );
        assert.equal(names.requiresTlsName, rules.some(hasStrict));
        const at = (base: number): string => {
          const { slots } = names;
          const [own, tls] = [slots[base + NAME_PEER], slots[base + NAME_TLS_PEER]];
          const name = rules[own === 0 ? tls - 103 : own - 3];
          assert.deepEqual([own > 0, tls > 0], [hasPlain(name), hasStrict(name)]);
          return name;
        };
        for (const name of asked) {
          const wire = nameBytes(name).subarray(0, -1);
          const count = matcher.find(names, wire, wire.length);
          const found = [...matcher.found.subarray(0, count)].map(at);
          const right = rules.filter((rule) => coversName(rule, name));
          assert.deepEqual(found.sort(), right.sort());
        }
        for (const name of rules) {
          const [first, second] = nameIdentity(name);
          assert.equal(at(names.places.get2(first, second, hash2(first, second)) - 1), name);
        }
      },
    ),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 1000) },
  );
});

test('a rule that requires the name of TLS admits less than one that does not', () => {
  const told = [
    [plain('*.a.example'), strict('b.a.example')],
    [strict('*.a.example'), strict('b.a.example')],
    [strict('*.a.example'), plain('b.a.example')],
    [strict('a.example'), strict('*.a.example')],
  ].map(([outer, inner]) => coversDnsPeer(outer, inner));
  assert.deepEqual(told, [true, true, false, false]);
});

test('a gate has its own names alone', () => {
  const names = compileNames(
    new Map([
      [3, plain('a.example')],
      [4, strict('b.example')],
    ]),
    new Map([
      [1, [3]],
      [5, [3, 4]],
    ]),
  );
  const [first, second] = ['a.example', 'b.example'].map((name) => {
    const id = nameIdentity(name);
    return names.places.get2(...id, hash2(...id)) - 1;
  });
  const told = [-1, 0, 1, 2, 5, 6].map((gate) =>
    [hasNames(names, gate), isNamedAt(names, gate, first), isNamedAt(names, gate, second)].join(),
  );
  assert.deepEqual(told, [
    'false,false,false',
    'false,false,false',
    'true,true,false',
    'false,false,false',
    'true,true,true',
    'false,false,false',
  ]);
});
