/** Who opened a flow, rule by rule, and that its memory of earlier records serves later ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowRecord, NOT_TOLD } from '../../src/recorded/flow-record.ts';
import { BY_FLAGS, BY_ORDER, BY_PORTS, Opener } from '../../src/recorded/opener.ts';

interface Ends {
  readonly src: number;
  readonly dst: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly flags?: number;
  readonly protocol?: number;
}

function record({ src, dst, srcPort, dstPort, flags = NOT_TOLD, protocol = 6 }: Ends): FlowRecord {
  const made = new FlowRecord();
  made.src0 = src;
  made.dst0 = dst;
  return Object.assign(made, { srcPort, dstPort, protocol, tcpFlags: flags });
}

const turned = ({ src, dst, srcPort, dstPort }: Ends): Ends => ({
  ...{ src: dst, dst: src, srcPort: dstPort, dstPort: srcPort },
});

test('flags, then what they told of an earlier record, then ports, then order', () => {
  const opener = new Opener();
  const ask = (ends: Ends): readonly [boolean, number] => [
    opener.isSource(record(ends)),
    opener.basis,
  ];
  // The server's port is the higher one: only flags tell.
  const odd = { src: 1, dst: 2, srcPort: 500, dstPort: 40_000 };
  assert.deepEqual(ask({ ...odd, flags: 2 }), [true, BY_FLAGS]);
  assert.deepEqual(ask({ ...turned(odd), flags: 18 }), [false, BY_FLAGS]);
  assert.deepEqual(ask({ ...odd, flags: 0 }), [true, BY_FLAGS]);
  assert.deepEqual(ask({ ...turned(odd), flags: 0 }), [false, BY_FLAGS]);

  assert.deepEqual(ask({ src: 3, dst: 4, srcPort: 40_000, dstPort: 443 }), [true, BY_PORTS]);
  assert.deepEqual(ask({ src: 4, dst: 3, srcPort: 443, dstPort: 40_000 }), [false, BY_PORTS]);
  assert.deepEqual(ask({ src: 3, dst: 4, srcPort: 1024, dstPort: 1023 }), [true, BY_PORTS]);
  assert.deepEqual(ask({ src: 3, dst: 4, srcPort: 8080, dstPort: 32_768 }), [false, BY_PORTS]);

  const unclear = { src: 5, dst: 6, srcPort: 5000, dstPort: 6000, protocol: 17 };
  assert.deepEqual(ask(unclear), [true, BY_ORDER]);
  assert.deepEqual(ask({ ...turned(unclear), protocol: 17 }), [false, BY_ORDER]);
  assert.deepEqual(ask(unclear), [true, BY_ORDER]);
});
