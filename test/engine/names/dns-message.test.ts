/** Messages of DNS as the packet path reads them: against a plain reader, and whatever bytes there are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  BAD_RECORD,
  DnsMessage,
  MESSAGE_ANSWERS,
  MESSAGE_ASKS,
  MESSAGE_MALFORMED,
  MESSAGE_OTHER,
  NO_ADDRESS,
  RECORDS_MAX,
} from '../../../src/engine/names/dns-message.ts';
import { message as build } from '../../metadata/messages.ts';
import {
  a,
  aaaa,
  ASKED,
  cname,
  dnsAnswer,
  dnsQuestion,
  recordBytes,
  TYPE_AAAA,
  type DnsRecord,
} from '../../packets/dns.ts';

const read = new DnsMessage();

/** `203.0.113.1 300`, and how it ended. @param before bytes in front of the message */
function addressesOf(bytes: Uint8Array, before = 0): readonly string[] {
  const whole = Buffer.concat([Buffer.alloc(before, 0xff), bytes]);
  const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
  const kind = read.read(view, before, whole.length);
  if (kind !== MESSAGE_ANSWERS) return [`kind ${kind}`];
  const found: string[] = [];
  for (let steps = 0; steps <= RECORDS_MAX; steps++) {
    const at = read.next(view);
    if (at === NO_ADDRESS) return found;
    if (at === BAD_RECORD) return [...found, 'bad'];
    const size = read.family === 4 ? 4 : 16;
    found.push(`${[...whole.subarray(at, at + size)].join('.')} ${read.lifetimeSec}`);
  }
  throw new Error('more addresses than records');
}

const NAME = 'api.example.com';
const answer = (records: readonly DnsRecord[], more = {}): Buffer =>
  dnsAnswer({ name: NAME, records, ...more });

test('a question of A or AAAA is one', () => {
  for (const [type, family] of [
    [1, 4],
    [TYPE_AAAA, 6],
  ]) {
    const bytes = dnsQuestion('API.example.COM', type, 0x1234);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    assert.equal(read.read(view, 0, bytes.length), MESSAGE_ASKS);
    assert.deepEqual([read.family, read.id], [family, 0x1234]);
    assert.equal(
      Buffer.from(read.name.bytes.subarray(0, read.name.length)).toString('latin1'),
      '\x03api\x07example\x03com',
    );
  }
});

for (const [what, records, right] of [
  ['addresses of the asked name', [a('203.0.113.1'), a('203.0.113.2', { ttl: 5 })], ['203.0.113.1 300', '203.0.113.2 5']], // prettier-ignore
  ['the name written out, in other letters', [a('203.0.113.1', { owner: 'Api.EXAMPLE.com' })], ['203.0.113.1 300']], // prettier-ignore
  ['other names', [a('203.0.113.1', { owner: 'evil.example' }), a('203.0.113.2', { owner: 16 })], []], // prettier-ignore
  ['a chain, with its shortest lifetime', [cname('x.cdn.example', { ttl: 20 }), cname('y.cdn.example', { owner: 'x.cdn.example', ttl: 90 }), a('203.0.113.3', { owner: 'y.cdn.example', ttl: 60 })], ['203.0.113.3 20']], // prettier-ignore
  ['a chain that does not begin with the asked name', [cname('y.example', { owner: 'x.example' }), a('203.0.113.3', { owner: 'y.example' })], []], // prettier-ignore
  ['a former name of a chain', [cname('x.example'), a('203.0.113.4')], []],
  ['a lifetime with the highest bit', [a('203.0.113.1', { ttl: -1 })], ['203.0.113.1 0']],
  ['an address of another family', [aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])], []],
  ['an address of the wrong length', [a('203.0.113.1', { data: Buffer.alloc(5) })], ['bad']],
  ['an alias with more behind it', [cname('x.example', { data: Buffer.from([1, 65, 0, 0]) })], ['bad']], // prettier-ignore
  ['a pointer to itself', [a('203.0.113.1', { owner: 33 })], ['bad']],
  ['a pointer forwards', [a('203.0.113.1', { owner: 60 })], ['bad']],
] as const)
  test(`${what}: ${JSON.stringify(right)}`, () => {
    assert.deepEqual(addressesOf(answer(records)), right);
    assert.deepEqual(addressesOf(answer(records), 77), right, 'offsets count from the message');
  });

test('AAAA is read of an answer to a question for it', () => {
  const records = [aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7]), a('203.0.113.1')];
  assert.deepEqual(addressesOf(answer(records, { type: TYPE_AAAA })), [
    '32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.7 300',
  ]);
});

test('what is no answer about addresses is left alone', () => {
  for (const [bytes, kind] of [
    [Buffer.alloc(11), MESSAGE_OTHER],
    [build({ flags: 0x8180, type: 16 }), MESSAGE_OTHER],
    [build({ flags: 0x8180 | 0x2800 }), MESSAGE_OTHER],
    [build({ flags: 0x8180, counts: [0, 1, 0, 0] }), MESSAGE_OTHER],
    [build({ flags: 0x8180, counts: [2, 1, 0, 0] }), MESSAGE_OTHER],
    [build({ flags: 0x8180 }).subarray(0, 20), MESSAGE_MALFORMED],
  ] as const)
    assert.deepEqual(addressesOf(bytes), [`kind ${kind}`]);
});

test('an answer that says that there is none teaches nothing, whatever is in it', () => {
  assert.deepEqual(addressesOf(answer([a('203.0.113.1')], { flags: 0x8183 })), []);
});

test('records beyond the limit are not read, and that is told', () => {
  const many = Array.from({ length: RECORDS_MAX + 1 }, (_, i) => a(`203.0.113.${i}`));
  assert.equal(addressesOf(answer(many)).length, RECORDS_MAX);
  assert.equal(read.isTooLong, true);
  assert.equal(addressesOf(answer(many.slice(1))).length, RECORDS_MAX);
  assert.equal(read.isTooLong, false);
});

test('a chain has at most 16 aliases', () => {
  const chain = (length: number): DnsRecord[] => [
    ...Array.from({ length }, (_, i) =>
      cname(`n${i + 1}.example`, i === 0 ? {} : { owner: `n${i}.example` }),
    ),
    a('203.0.113.1', { owner: `n${length}.example` }),
  ];
  assert.deepEqual(addressesOf(answer(chain(16))), ['203.0.113.1 300']);
  assert.deepEqual(addressesOf(answer(chain(17))), ['bad']);
});

/** A plain reader: text, exceptions, and a list of what it has been to. */
function plainAddresses(bytes: Buffer): readonly string[] {
  const nameAt = (start: number): [name: string, behind: number] => {
    let at = start;
    let limit = start;
    let behind: number | undefined;
    let pointers = 0;
    const labels: string[] = [];
    for (;;) {
      const size = bytes[at];
      if (size === undefined) throw new Error('end');
      if (size === 0) break;
      if (size >= 0xc0) {
        if (at + 2 > bytes.length) throw new Error('end');
        const target = bytes.readUInt16BE(at) & 0x3fff;
        if (target >= limit || ++pointers > 16) throw new Error('pointer');
        behind ??= at + 2;
        limit = target;
        at = target;
        continue;
      }
      if (size > 63 || at + 1 + size > bytes.length) throw new Error('label');
      labels.push(bytes.subarray(at + 1, at + 1 + size).toString('hex'));
      if (labels.reduce((sum, one) => sum + 1 + one.length / 2, 0) > 254) throw new Error('long');
      at += 1 + size;
    }
    const lower = labels.map((hex) =>
      Buffer.from(hex, 'hex')
        .map((byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte))
        .toString(),
    );
    return [JSON.stringify(lower), behind ?? at + 1];
  };
  if (bytes.length < 12) return ['kind 0'];
  const flags = bytes.readUInt16BE(2);
  if ((flags & 0x7800) !== 0 || bytes.readUInt16BE(4) !== 1) return ['kind 0'];
  let asked: [string, number];
  try {
    asked = nameAt(12);
  } catch {
    return ['kind 1'];
  }
  let [wanted, at] = asked;
  if (at + 4 > bytes.length) return ['kind 1'];
  const type = bytes.readUInt16BE(at);
  if (bytes.readUInt16BE(at + 2) !== 1 || (type !== 1 && type !== 28)) return ['kind 0'];
  if ((flags & 0x8000) === 0) return ['kind 2'];
  at += 4;
  const found: string[] = [];
  let chain = Infinity;
  let aliases = 0;
  const records = (flags & 15) === 0 ? bytes.readUInt16BE(6) : 0;
  try {
    for (let i = 0; i < Math.min(records, 64); i++) {
      const [owner, head] = nameAt(at);
      if (head + 10 > bytes.length) throw new Error('end');
      const size = bytes.readUInt16BE(head + 8);
      const data = head + 10;
      if (data + size > bytes.length) throw new Error('end');
      at = data + size;
      if (bytes.readUInt16BE(head + 2) !== 1 || owner !== wanted) continue;
      const ttl = Math.max(0, bytes.readInt32BE(head + 4));
      const what = bytes.readUInt16BE(head);
      if (what === 5) {
        const [target, end] = nameAt(data);
        if (++aliases > 16 || end !== data + size) throw new Error('alias');
        wanted = target;
        chain = Math.min(chain, ttl);
      } else if (what === type) {
        if (size !== (type === 1 ? 4 : 16)) throw new Error('length');
        found.push(`${[...bytes.subarray(data, data + size)].join('.')} ${Math.min(chain, ttl)}`);
      }
    }
  } catch {
    found.push('bad');
  }
  return found;
}

const owner = fc.constantFrom<string | number>(ASKED, 16, 40, 33, NAME, 'x.example', 'y.example');
const data = fc.oneof(
  owner.map((target) => cname(target)),
  fc.ipV4().map((address) => a(address)),
  fc.uint8Array({ maxLength: 20 }).map((bytes): DnsRecord => ({ type: 1, data: bytes })),
  fc.constant(aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
);
const record = fc
  .tuple(data, owner, fc.constantFrom(-1, 0, 1, 60, 300, 0x7fffffff))
  .map(([one, of, ttl]) => ({ ...one, owner: of, ttl }));

test('answers teach what the plain reader finds, also with bytes changed and cut off', () => {
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 8 }),
      fc.constantFrom(1, 28),
      fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 3 }),
      fc.nat(300),
      (records, type, changes, cut) => {
        const bytes = dnsAnswer({ name: NAME, type, records });
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const part = bytes.subarray(0, cut < 100 ? bytes.length - cut : bytes.length);
        assert.deepEqual(addressesOf(part, 3), plainAddresses(Buffer.from(part)));
      },
    ),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 3000) },
  );
});

test('any bytes are read to an end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (bytes, isAnswer) => {
      if (isAnswer && bytes.length >= 12) bytes.set([0, 7, 0x81, 0x80, 0, 1, 0, 64], 0);
      addressesOf(bytes);
    }),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 3000) },
  );
});

test('a message made to cost the most is read in bounded steps', () => {
  // Each record's name is as long as a name can be, and differs from the wanted one in its last byte alone.
  const long = [...Array<string>(3).fill('a'.repeat(63)), 'a'.repeat(61)].join('.');
  const near = `${long.slice(0, -1)}b`;
  const first = recordBytes(a('203.0.113.1', { owner: near }));
  const questionBytes = 12 + 255 + 4;
  const others = Array.from({ length: 63 }, () => a('203.0.113.1', { owner: questionBytes }));
  const records = [a('203.0.113.1', { owner: near }), ...others];
  const bytes = dnsAnswer({ name: long, records });
  assert.equal(bytes.subarray(questionBytes, questionBytes + first.length).equals(first), true);
  assert.deepEqual(addressesOf(bytes), []);
});
