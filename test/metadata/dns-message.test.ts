/** What a forwarder reads of DNS messages, of any bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  fitAnswer,
  FORMERR,
  isAnswer,
  makeRefusal,
  NOTIMP,
  readQuery,
  withId,
  type DnsQuestion,
} from '../../src/metadata/dns-message.ts';
import { ANSWER, message, QUERY, record } from './messages.ts';

function read(query: Buffer): DnsQuestion {
  const question = readQuery(query);
  assert.ok(typeof question === 'object', 'it is no query');
  return question;
}

test('a query has one question, and says how long an answer may be', () => {
  assert.equal(read(message({})).answerBytes, 512);
  assert.equal(read(message({ edns: 100 })).answerBytes, 512);
  assert.equal(read(message({ edns: 1000 })).answerBytes, 1000);
  assert.equal(read(message({ edns: 65535 })).answerBytes, 1232);
  assert.equal(read(message({ edns: 0 })).hasEdns, true);
  assert.equal(read(message({ name: '' })).question.length, 5);
});

test('what is no query is refused, or not answered', () => {
  assert.equal(readQuery(Buffer.alloc(11)), undefined);
  assert.equal(readQuery(message({ flags: ANSWER })), undefined, 'answers are not answered');
  assert.equal(readQuery(message({ flags: 0x2800 })), NOTIMP, 'an update');
  assert.equal(readQuery(message({ counts: [0, 0, 0, 0] })), FORMERR);
  assert.equal(readQuery(message({ counts: [2, 0, 0, 0] })), FORMERR);
  assert.equal(readQuery(message({ counts: [1, 1, 0, 0] })), FORMERR);
  assert.equal(readQuery(message({ counts: [1, 0, 0, 1] })), FORMERR, 'a record that is not there');
  assert.equal(readQuery(message({}).subarray(0, -1)), FORMERR);
  assert.equal(readQuery(message({ name: 'x'.repeat(64) })), FORMERR);
  const long = Array.from({ length: 5 }, () => 'x'.repeat(63)).join('.');
  assert.equal(readQuery(message({ name: long })), FORMERR, 'a name of 320 bytes');
  const pointer = Buffer.from(message({}));
  pointer[12] = 0xc0;
  assert.equal(readQuery(pointer), FORMERR);
  const two = Buffer.concat([message({ edns: 512 }), message({ edns: 512 }).subarray(-11)]);
  two.writeUInt16BE(2, 10);
  assert.equal(readQuery(two), FORMERR, 'EDNS twice');
});

test('an answer has the id and the question', () => {
  const question = read(message({}));
  assert.equal(isAnswer(message({ flags: ANSWER }), 7, question), true);
  assert.equal(isAnswer(message({ flags: ANSWER, name: 'WWW.Example' }), 7, question), true);
  assert.equal(isAnswer(message({ flags: ANSWER }), 8, question), false);
  assert.equal(isAnswer(message({ flags: QUERY }), 7, question), false);
  assert.equal(isAnswer(message({ flags: ANSWER, name: 'www.exampl2' }), 7, question), false);
  assert.equal(isAnswer(message({ flags: ANSWER, type: 28 }), 7, question), false);
  assert.equal(isAnswer(message({ flags: ANSWER, counts: [0, 0, 0, 0] }), 7, question), false);
  assert.equal(withId(message({}), 9).readUInt16BE(0), 9);
});

test('an answer that is too long is cut to its question, with TC', () => {
  const plain = message({ flags: ANSWER, records: record(600) });
  const cut = fitAnswer(plain, read(message({})));
  assert.deepEqual(cut, message({ flags: ANSWER | 0x0200 }));
  const edns = fitAnswer(
    message({ flags: ANSWER, records: record(1300), edns: 4096 }),
    read(message({ edns: 4096 })),
  );
  assert.deepEqual(edns, message({ flags: ANSWER | 0x0200, edns: 1232 }));
  assert.deepEqual(fitAnswer(plain, read(message({ edns: 1232 }))), plain);
});

test('a refusal repeats id, RD and question', () => {
  assert.deepEqual(makeRefusal(message({ edns: 1232 }), 2), message({ flags: 0x8102 }));
  const broken = makeRefusal(message({ counts: [3, 0, 0, 0] }), 1);
  assert.deepEqual([...broken], [0, 7, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('no bytes make it throw', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.nat(40),
      fc.array(fc.tuple(fc.nat(40), fc.nat(255)), { maxLength: 3 }),
      (noise, cut, changes) => {
        const query = Buffer.from(message({ edns: 1232 })).subarray(0, cut + 1);
        for (const [at, byte] of changes) if (at < query.length) query[at] = byte;
        for (const bytes of [Buffer.from(noise), query]) {
          const question = readQuery(bytes);
          if (typeof question === 'number') assert.ok(makeRefusal(bytes, question).length >= 12);
          isAnswer(bytes, 7, read(message({})));
        }
      },
    ),
  );
});
