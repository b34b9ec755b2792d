/** The server name of a ClientHello: what is read of it, what is refused, and that no bytes lead the reader astray. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ClientHello,
  HELLO_MALFORMED,
  HELLO_NAMED,
  HELLO_NAMELESS,
} from '../../../src/engine/tls/client-hello.ts';
import { alpn, clientHello, concat, serverNames, type Extension } from '../../packets/tls.ts';
import { readMessage } from './plain-hello.ts';

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 2000);

/** The name as text; '' for none; undefined if it is malformed. */
function nameOf(message: Uint8Array): string | undefined {
  const hello = new ClientHello();
  const result = hello.read(guard(message), message.length);
  if (result === HELLO_MALFORMED) return undefined;
  if (result === HELLO_NAMELESS) return '';
  assert.equal(result, HELLO_NAMED);
  const labels: string[] = [];
  for (let at = 0; at < hello.nameLength; at += 1 + hello.name[at])
    labels.push(
      Buffer.from(hello.name.subarray(at + 1, at + 1 + hello.name[at])).toString('latin1'),
    );
  return labels.join('.');
}

/** The same bytes, which fail a test that reads others. */
function guard(message: Uint8Array): Uint8Array {
  return new Proxy(message, {
    get(target, key): unknown {
      if (typeof key === 'string' && /^-?\d+$/.test(key))
        assert.ok(Number(key) >= 0 && Number(key) < target.length, `byte ${key} is read`);
      return Reflect.get(target, key, target);
    },
  });
}

function named(name: string): Uint8Array {
  return clientHello({ name });
}

function withNames(data: Uint8Array): Uint8Array {
  return clientHello({ extensions: [[0, data]] });
}

for (const [what, message, name] of [
  ['a name', named('api.example.com'), 'api.example.com'],
  ['a name in capitals', named('API.Example.COM'), 'api.example.com'],
  ['a name behind others', clientHello({ name: 'a.example', extensions: [alpn('h2')], isNameLast: true }), 'a.example'], // prettier-ignore
  ['a name of one label', named('db'), 'db'],
  ['a name of 253 characters', named(`${'a.'.repeat(126)}b`), `${'a.'.repeat(126)}b`],
  ['a name of 255 characters', named(`${'a.'.repeat(127)}b`), ''],
  ['a label of 64 characters', named(`${'a'.repeat(64)}.example`), ''],
  ['a dot at the end', named('api.example.com.'), ''],
  ['an empty label', named('api..example.com'), ''],
  ['a byte 0 in the name', named('evil.example\0.example.com'), ''],
  ['a space in the name', named('api .example.com'), ''],
  ['no name', clientHello(), ''],
  ['no extensions', clientHello({ isBare: true }), ''],
  ['two names in the list', withNames(serverNames('a.example', 'b.example')), undefined],
  ['an empty list of names', withNames(serverNames()), undefined],
  ['an empty name', withNames(serverNames('')), undefined],
  ['an empty extension', withNames(concat()), undefined],
  ['a name of another type', withNames(concat([0, 4, 1, 0, 1, 0x61])), undefined],
  ['bytes behind the list of names', withNames(concat(serverNames('a.example'), [0])), undefined],
  ['two extensions with names', clientHello({ name: 'a.example', extensions: [[0, serverNames('b.example')]] }), undefined], // prettier-ignore
  ['bytes behind the message', concat(named('a.example'), [0]), undefined],
  ['a message cut short', named('a.example').subarray(0, -1), undefined],
  ['a session id of 33 bytes', clientHello({ name: 'a.example', session: 33 }), undefined],
  ['no cipher suites', clientHello({ name: 'a.example', suites: 0 }), undefined],
  ['a ServerHello', concat([2], named('a.example').subarray(1)), undefined],
] as const)
  test(`${what}: ${name ?? 'malformed'}`, () => {
    assert.equal(nameOf(message), name);
    assert.deepEqual(readMessage([...message])?.name ?? '', name ?? '', 'the twin agrees');
  });

const name = fc.oneof(
  fc.domain(),
  fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 20 }),
  fc.constantFrom('a.example', 'A.EXAMPLE.', '..', 'x'.repeat(64)),
);
const extension: fc.Arbitrary<Extension> = fc.tuple(
  fc.oneof(fc.constantFrom(0, 16, 43, 51, 0xfe0d), fc.nat(0xffff)),
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    name.map((text) => serverNames(text)),
  ),
);
const message = fc
  .record({
    name: fc.option(name, { nil: undefined }),
    extensions: fc.array(extension, { maxLength: 6 }),
    isNameLast: fc.boolean(),
    isBare: fc.boolean(),
    session: fc.nat(33),
    suites: fc.nat(20),
  })
  .map(({ name: own, ...rest }) => clientHello(own === undefined ? rest : { name: own, ...rest }));

function compare(bytes: Uint8Array): void {
  const right = readMessage([...bytes]);
  assert.equal(nameOf(bytes), right === undefined ? undefined : (right.name ?? ''));
}

test('any ClientHello has the name that the plain reader finds', () => {
  fc.assert(fc.property(message, compare), { numRuns: RUNS });
});

test('a ClientHello with bytes changed, cut out or put in is read as the plain reader reads it', () => {
  const change = fc.tuple(fc.nat(400), fc.constantFrom('set', 'cut', 'put'), fc.nat(255));
  fc.assert(
    fc.property(message, fc.array(change, { minLength: 1, maxLength: 4 }), (bytes, changes) => {
      const mutated = [...bytes];
      for (const [place, how, byte] of changes) {
        const at = place % mutated.length;
        if (how === 'set') mutated[at] = byte;
        else if (how === 'cut') mutated.splice(at, 1);
        else mutated.splice(at, 0, byte);
        if (mutated.length === 0) mutated.push(byte);
      }
      compare(Uint8Array.from(mutated));
    }),
    { numRuns: RUNS },
  );
});

test('no bytes at all lead the reader beyond them', () => {
  const hello = [1, 0, 0];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      compare(bytes);
      compare(concat(hello, [bytes.length], bytes));
    }),
    { numRuns: RUNS },
  );
});
