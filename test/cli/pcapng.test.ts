/** pcapng: every byte of a small file, and files that others can read. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { CaptureWriter, commentOf } from '../../src/cli/capture.ts';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/cli/pcapng.ts';
import type { CapturedPacket } from '../../src/queries/capture-stream.ts';
import { requireTools } from '../support/require.ts';

/** An echo request, 10.0.0.11 to 10.0.0.12. */
const ECHO = Buffer.from('4500001c00010000400166c60a00000b0a00000c0800f7fd00010001', 'hex');
const ECHO6 = Buffer.from(
  '6000000000083a40fd000010000000000000000000000011fd00001000000000000000000000001280007f8b00010001',
  'hex',
);

test('a section header says who wrote it', () => {
  assert.equal(
    sectionHeader('sgctl 1').toString('hex'),
    '0a0d0d0a' + // type
      '2c000000' + // length
      '4d3c2b1a' + // byte order
      '01000000' + // version 1.0
      'ffffffffffffffff' + // length of the section: not known
      '04000700' + // shb_userappl, 7 bytes
      '736763746c203100' +
      '00000000' + // end of options
      '2c000000',
  );
});

test('an interface description names it', () => {
  assert.equal(
    interfaceDescription('web', '', 2048).toString('hex'),
    '01000000' +
      '20000000' +
      '7100' +
      '0000' +
      '10080000' +
      '02000300' +
      '77656200' +
      '00000000' +
      '20000000',
  );
});

test('a packet has its time, its cooked header, its comment, direction and what was lost before it', () => {
  const block = enhancedPacket({
    interfaceNumber: 2,
    timeMs: 1_700_000_000_123.456,
    data: ECHO.subarray(0, 21),
    length: ECHO.length,
    direction: 'outbound',
    comment: 'DROP',
    lost: 3,
  });
  const time = 1_700_000_000_123_456n;
  assert.equal(block.readUInt32LE(0), 6);
  assert.equal(block.readUInt32LE(4), block.length);
  assert.equal(block.readUInt32LE(8), 2);
  assert.equal((BigInt(block.readUInt32LE(12)) << 32n) | BigInt(block.readUInt32LE(16)), time);
  assert.equal(block.readUInt32LE(20), 16 + 21);
  assert.equal(block.readUInt32LE(24), 16 + 28);
  assert.equal(block.subarray(28, 44).toString('hex'), '0004fffe00000000000000000000' + '0800');
  assert.deepEqual(block.subarray(44, 65), ECHO.subarray(0, 21));
  assert.equal(
    block.subarray(65).toString('hex'),
    '000000' + // padding
      '0100040044524f50' + // opt_comment
      '0200040002000000' + // epb_flags: outbound
      '040008000300000000000000' + // epb_dropcount
      '00000000' +
      block.subarray(4, 8).toString('hex'),
  );
});

const PASSED: CapturedPacket = {
  timeMs: 1_700_000_000_000,
  interface: 'eni-web-1',
  direction: 'egress',
  rule: {
    id: 'sgr-1',
    text: 'all to 0.0.0.0/0',
    direction: 'egress',
    group: { id: 'sg-1', name: 'web' },
    description: '',
    origin: { file: '/etc/web.yaml', line: 7 },
  },
  length: ECHO.length,
  data: ECHO.toString('base64'),
};
const { rule: _rule, ...WITHOUT_RULE } = PASSED;
const DROPPED: CapturedPacket = {
  ...WITHOUT_RULE,
  interface: 'eni-new',
  direction: 'ingress',
  reason: 'ingress-rules',
  length: ECHO6.length,
  data: ECHO6.toString('base64'),
};

test('comments say verdict, reason and rule', () => {
  assert.equal(commentOf(PASSED), 'PASS sg:web all to 0.0.0.0/0 (sgr-1, /etc/web.yaml:7)');
  assert.equal(
    commentOf(DROPPED),
    'DROP ingress-rules: no ingress rule of the groups on the interface admits it',
  );
});

/** What a capture of both writes. */
function writeCapture(): Buffer {
  const written: Uint8Array[] = [];
  const output = { write: (bytes: Uint8Array) => void written.push(bytes) };
  const traffic = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };
  const writer = new CaptureWriter(output, 2048, [
    {
      name: 'eni-web-1',
      device: 'eth0',
      kind: 'tun',
      mtu: 1500,
      addresses: [],
      groups: [],
      ingress: traffic,
      egress: traffic,
      flows: 0,
    },
  ]);
  writer.add(PASSED);
  writer.lost = 5;
  writer.add(DROPPED);
  writer.lost += 2;
  assert.equal(writer.packets, 2);
  assert.equal(writer.lostInAll, 7);
  return Buffer.concat(written);
}

test('an interface that came later is described before its first packet', () => {
  const types: number[] = [];
  const file = writeCapture();
  for (let at = 0; at < file.length; at += file.readUInt32LE(at + 4)) {
    types.push(file.readUInt32LE(at));
    const end = at + file.readUInt32LE(at + 4);
    assert.equal(file.readUInt32LE(end - 4), end - at, 'the length stands at the end as well');
  }
  assert.deepEqual(types, [0x0a0d0d0a, 1, 6, 1, 6]);
});

test('tcpdump reads it', (t) => {
  if (!requireTools(t, 'tcpdump')) return;
  const { stdout, stderr, status } = spawnSync('tcpdump', ['-n', '-t', '-r', '-'], {
    input: writeCapture(),
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'IP 10.0.0.11 > 10.0.0.12: ICMP echo request, id 1, seq 1, length 8',
    'IP6 fd00:10::11 > fd00:10::12: ICMP6, echo request, id 1, seq 1, length 8',
  ]);
});
