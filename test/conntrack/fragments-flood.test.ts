/** Fragments in their millions: nothing is allocated, and none costs more than its share of time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Rig } from '../engine/rig.ts';
import { fragments4, fragments6, ipv4, PROTOCOL, udp } from '../packets/build.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What a measurement itself may leave behind, spread over all fragments. */
const BYTES_PER_FRAGMENT_MAX = 0.05;
/** Of the processor, a hundred times what it takes here: only a search that grows with the flood would take so long. */
const MICROSECONDS_PER_FRAGMENT_MAX = 50;

const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const ID = 4;
const ID6 = 44;

const payload = udp(WEB, APP, { srcPort: 5000, dstPort: 53, payload: 'y'.repeat(4992) });
const inOrder = fragments4(ipv4({ src: WEB, dst: APP, protocol: PROTOCOL.udp, payload }), 40);
const [first, ...rest] = inOrder;
const udp6 = udp('fd00:10::11', 'fd00:10::12', {
  srcPort: 5000,
  dstPort: 53,
  payload: 'y'.repeat(92),
});
const inOrder6 = fragments6(
  { src: 'fd00:10::11', dst: 'fd00:10::12', nextHeader: PROTOCOL.udp, payload: udp6 },
  48,
);

/** What is sent again and again, each time under another identification. */
const KINDS: readonly (readonly [name: string, pieces: readonly Uint8Array[], expected: number])[] =
  [
    ['whole datagrams of 125 fragments, in order', inOrder, 2],
    ['the same, all but the first backwards: the longest search', [first, ...rest.toReversed()], 2],
    ['IPv6 datagrams', inOrder6, 2],
    ['first fragments alone', [first], 2],
    ['later fragments alone', [inOrder[1]], -1],
    ['a copy of each', [first, inOrder[1], first, inOrder[1]], -1],
    ['a first fragment and one that overlaps it', [first, fragments4(first, 16)[1]], -1],
  ];

function measure(pieces: readonly Uint8Array[]): {
  bytes: number;
  microseconds: number;
  last: number;
} {
  const { engine } = new Rig({
    groups: { web: {}, app: { ingress: ['udp 53 from sg:web'] } },
    interfaces: {
      web: { addresses: [WEB, 'fd00:10::11'], groups: ['web'] },
      app: { addresses: [APP, 'fd00:10::12'], groups: ['app'] },
    },
  });
  const views = pieces.map((p) => new DataView(p.buffer, p.byteOffset, p.byteLength));
  const lengths = pieces.map((p) => p.length);
  const idAt = pieces[0][0] >>> 4 === 4 ? ID : ID6 + 2;
  const rounds = Math.ceil(200_000 / pieces.length);
  let last = 0;
  const run = (): void => {
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < views.length; i++) {
        views[i].setUint16(idAt, round & 0xffff);
        last = engine.evaluate(views[i], 0, lengths[i], 1, 1, 0);
      }
    }
  };
  let bytes = Infinity;
  let microseconds = Infinity;
  run();
  for (let attempt = 0; attempt < 8 && bytes > BYTES_PER_FRAGMENT_MAX; attempt++) {
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    const begun = process.cpuUsage();
    run();
    const { user } = process.cpuUsage(begun);
    bytes = Math.min(bytes, (process.memoryUsage().heapUsed - before) / (rounds * pieces.length));
    microseconds = Math.min(microseconds, user / (rounds * pieces.length));
  }
  return { bytes, microseconds, last };
}

for (const [name, pieces, expected] of KINDS) {
  test(`${name}: 0 bytes a fragment, and little time`, (t) => {
    const { bytes, microseconds, last } = measure(pieces);
    t.diagnostic(`${microseconds.toFixed(2)} µs a fragment through two gates`);
    assert.equal(Math.sign(last), Math.sign(expected), 'passes or drops as it should');
    assert.ok(bytes <= BYTES_PER_FRAGMENT_MAX, `${bytes} bytes a fragment`);
    assert.ok(microseconds <= MICROSECONDS_PER_FRAGMENT_MAX, `${microseconds} µs a fragment`);
  });
}
