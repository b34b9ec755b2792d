/** What records of flow logs say: who opened, what was refused, and whose interface it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownersOfLog } from '../../src/learn/owners.ts';
import { formatAddress } from '../../src/addr/address.ts';
import type { Conversations } from '../../src/learn/conversations.ts';
import { conversationLines, seeRecords } from './support.ts';

const line = (
  id: string,
  src: string,
  srcPort: number,
  dst: string,
  dstPort: number,
  rest = 'ACCEPT',
  protocol = 6,
): string =>
  // prettier-ignore
  `2 1 ${id} ${src} ${dst} ${srcPort} ${dstPort} ${protocol} 3 180 1700000000 1700000060 ${rest} OK\n`;

const ownersText = (conversations: Conversations): readonly string[] =>
  ownersOfLog(conversations.all).map(
    ({ name, addresses }) => `${name} ${addresses.map(formatAddress).join(' ')}`,
  );

test('a question and its answer are one conversation; intervals of a flow are one flow', async () => {
  const seen = await seeRecords(
    line('eni-1', '203.0.113.9', 40_000, '10.0.0.1', 443) +
      line('eni-1', '10.0.0.1', 443, '203.0.113.9', 40_000) +
      line('eni-1', '203.0.113.9', 40_000, '10.0.0.1', 443),
  );
  assert.deepEqual(conversationLines(seen), ['6/443 203.0.113.9 > 10.0.0.1 x1 answered']);
  assert.equal(seen.all[0].packets, 9);
});

test('what was refused is no answer, and its conversation is known as refused', async () => {
  const seen = await seeRecords(line('eni-1', '203.0.113.9', 40_000, '10.0.0.1', 22, 'REJECT'));
  assert.deepEqual(conversationLines(seen), ['6/22 203.0.113.9 > 10.0.0.1 x1 refused 1']);
  assert.equal(seen.all[0].isAccepted, false);
});

test('TCP flags: a RST alone is no answer', async () => {
  const format = '${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${tcp-flags}';
  const ask = '203.0.113.9 10.0.0.1 40000 40001 6 2\n';
  const back = (flags: number): string => `10.0.0.1 203.0.113.9 40001 40000 6 ${flags}\n`;
  assert.deepEqual(conversationLines(await seeRecords(ask + back(4), format)), [
    '6/40001 203.0.113.9 > 10.0.0.1 x1',
  ]);
  assert.deepEqual(conversationLines(await seeRecords(ask + back(18) + back(4), format)), [
    '6/40001 203.0.113.9 > 10.0.0.1 x1 answered',
  ]);
});

test('ICMP is an echo request, of either family; a flow in two logs counts once', async () => {
  const four = line('eni-1', '10.0.0.1', 0, '10.0.0.2', 0, 'ACCEPT', 1);
  const again = line('eni-2', '10.0.0.1', 0, '10.0.0.2', 0, 'ACCEPT', 1);
  const six = line('eni-1', 'fd00::1', 0, 'fd00::2', 0, 'ACCEPT', 58);
  const seen = await seeRecords(four + again + six);
  assert.deepEqual(conversationLines(seen), [
    '1/2048 10.0.0.1 > 10.0.0.2 x1',
    '58/32768 fd00::1 > fd00::2 x1',
  ]);
  assert.equal(seen.all[0].packets, 3);
});

test('whose addresses: the direction says it, else what all records have in common', async () => {
  const format = '${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${flow-direction}'; // prettier-ignore
  const told = await seeRecords(
    'eni-1 10.0.0.1 10.0.0.2 40000 443 6 egress\neni-2 10.0.0.1 10.0.0.2 40000 443 6 ingress\n',
    format,
  );
  assert.deepEqual(ownersText(told), ['eni-1 10.0.0.1', 'eni-2 10.0.0.2']);
  const found = await seeRecords(
    line('eni-1', '203.0.113.9', 40_000, '10.0.0.1', 443) +
      line('eni-1', '203.0.113.8', 40_000, '10.0.0.1', 443) +
      line('eni-1', '10.0.0.1', 40_000, '10.0.0.2', 5432) +
      line('eni-2', '10.0.0.1', 40_000, '10.0.0.2', 5432) +
      // A second address of the same interface.
      line('eni-1', '203.0.113.9', 40_000, '10.0.0.7', 25),
  );
  assert.deepEqual(ownersText(found), ['eni-1 10.0.0.1 10.0.0.7', 'eni-2 10.0.0.2']);
});
