/** What is found in recorded traffic: groups, their counts and times, differences of two configurations, bounds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { CaptureCounts } from '../../src/replay/judge-capture.ts';
import type { FlowLogCounts } from '../../src/replay/judge-flow-log.ts';
import { replay } from '../../src/replay/replay.ts';
import { icmp4, ipv4, tcp4, udp4 } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';
import { captureOf, configOf, fileOf, linesOf, replayed, START_MS } from './support.ts';

const WEB = '10.0.0.1';
const DB = '10.0.0.2';
const CLIENT = '203.0.113.9';

const TEXT: ModelText = {
  groups: {
    web: { ingress: ['tcp 443 from 0.0.0.0/0'], egress: ['tcp 5432 to sg:db', 'udp 53 to 0.0.0.0/0'] },
    db: { ingress: ['tcp 5432 from sg:web'], egress: [] },
  },
  interfaces: {
    web: { addresses: [WEB], groups: ['web'] },
    db: { addresses: [DB], groups: ['db'] },
  },
}; // prettier-ignore
const CONFIG = configOf(TEXT);
const NARROW = configOf({
  ...TEXT,
  groups: { ...TEXT.groups, db: { ingress: ['tcp 5432 from 10.9.0.0/16'], egress: [] } },
});

const syn = (src: string, dst: string, dstPort: number, srcPort = 40_000): Uint8Array =>
  tcp4(src, dst, { srcPort, dstPort, flags: 'S', seq: 100 });

const HANDSHAKE: readonly (readonly [number, Uint8Array])[] = [
  [0, syn(WEB, DB, 5432)],
  [1, tcp4(DB, WEB, { srcPort: 5432, dstPort: 40_000, flags: 'SA', seq: 500, ack: 101 })],
  [2, tcp4(WEB, DB, { srcPort: 40_000, dstPort: 5432, flags: 'A', seq: 101, ack: 501 })],
];

test('a connection passes with its answers; what no rule admits is grouped, with the nearest rule', async (t) => {
  const file = captureOf(t, [
    ...HANDSHAKE,
    [10, syn(CLIENT, WEB, 8080)],
    [900, syn('203.0.113.10', WEB, 8080)],
    [950, syn(CLIENT, WEB, 443)],
    [999, udp4(WEB, '198.51.100.1', { srcPort: 40_001, dstPort: 123 })],
  ]);
  const result = await replayed([file], CONFIG);
  assert.deepEqual(linesOf(result), [
    `dropped web ingress tcp 8080 from ${CLIENT} and 1 x2 [ingress-rules]`,
    'dropped web egress udp 123 to 198.51.100.1 x1 [egress-rules]',
  ]);
  const [{ nearest, firstMs, lastMs, bytes }] = result.findings;
  assert.equal(nearest?.text, 'would match if the port were 443, not 8080');
  assert.deepEqual([firstMs, lastMs, bytes], [START_MS + 10, START_MS + 900, 80]);
  const { passed, dropped, assumed } = result.counts as CaptureCounts;
  assert.deepEqual([passed, dropped, assumed], [4, 3, 0]);
  assert.ok(result.refused.has('dropped'));
});

test('answers of what began before the capture pass, and are counted', async (t) => {
  const file = captureOf(t, [
    // Data of a connection to db, from db; a name server's answer; both opened by web.
    [0, tcp4(DB, WEB, { srcPort: 5432, dstPort: 40_000, flags: 'PA', seq: 900, ack: 1 })],
    [5, udp4('198.51.100.53', WEB, { srcPort: 53, dstPort: 40_001 })],
    // Nobody may have asked these.
    [10, tcp4(DB, CLIENT, { srcPort: 22, dstPort: 50_000, flags: 'PA', seq: 900, ack: 1 })],
    // So late an answer has no question from before the capture.
    [200_000, udp4('198.51.100.53', WEB, { srcPort: 53, dstPort: 40_002 })],
  ]);
  const result = await replayed([file], CONFIG);
  const { passed, assumed } = result.counts as CaptureCounts;
  assert.deepEqual([passed, assumed], [2, 2]);
  assert.deepEqual(linesOf(result), [
    `dropped db egress tcp from port 22 to ${CLIENT} x1 [egress-rules]`,
    'dropped web ingress udp from port 53 from 198.51.100.53 x1 [ingress-rules]',
  ]);
});

test('what is no matter of the rules is told apart', async (t) => {
  const file = captureOf(t, [
    [0, syn(CLIENT, '203.0.113.77', 443)],
    [1, udp4(WEB, '239.1.1.1', { srcPort: 1, dstPort: 2 })],
    [2, syn(WEB, '169.254.169.254', 80)],
    [3, syn('169.254.169.254', WEB, 80)],
    [4, ipv4({ src: CLIENT, dst: WEB, protocol: 6, payload: new Uint8Array(3) })],
    [5, icmp4(CLIENT, WEB, { type: 8, id: 1 })],
  ]);
  const { counts, ...rest } = await replayed([file], CONFIG);
  const { unrelated, linkScope, unjudged, dropped } = counts as CaptureCounts;
  assert.deepEqual([unrelated, linkScope, unjudged, dropped], [1, 1, 2, 2]);
  assert.deepEqual(linesOf({ counts, ...rest }), [
    `dropped web ingress a malformed packet from ${CLIENT} x1 [truncated]`,
    `dropped web ingress icmp type 8 code 0 from ${CLIENT} x1 [ingress-rules]`,
  ]);
});

test('two configurations: what they decide differently, and what lets it in', async (t) => {
  const file = captureOf(t, [...HANDSHAKE, [10, syn(CLIENT, WEB, 8080)]]);
  assert.deepEqual(linesOf(await replayed([file], CONFIG, { against: CONFIG })), []);
  const narrower = await replayed([file], CONFIG, { against: NARROW });
  assert.deepEqual(linesOf(narrower), ['newly-dropped db ingress tcp 5432 from web x2 [ingress-rules]']);
  assert.equal(narrower.findings[0].admittedBy?.text, 'tcp 5432 from sg:web');
  assert.equal((narrower.counts as CaptureCounts).follows, 1);
  const wider = await replayed([file], NARROW, { against: CONFIG });
  assert.deepEqual(linesOf(wider), ['newly-passed db ingress tcp 5432 from web x2 [ingress-rules]']);
  const without = configOf({ ...TEXT, interfaces: { web: TEXT.interfaces['web'] } });
  const { counts } = await replayed([captureOf(t, [[0, syn(CLIENT, DB, 1)]])], CONFIG, { against: without }); // prettier-ignore
  assert.deepEqual(counts.absent, [0, 1]);
}); // prettier-ignore

test('several captures are judged in the order of time, whatever their order is', async (t) => {
  const odd = captureOf(t, [HANDSHAKE[1]]);
  const even = captureOf(t, [HANDSHAKE[0], HANDSHAKE[2]]);
  for (const files of [[odd, even], [even, odd]]) {
    const { counts } = await replayed(files, CONFIG);
    const { passed, assumed, outOfOrder } = counts as CaptureCounts;
    assert.deepEqual([passed, assumed, outOfOrder], [3, 0, 0]);
  }
}); // prettier-ignore

test('a scan fills the table of groups, and the rest is counted', async (t) => {
  const scan = Array.from({ length: 12_000 }, (_, i): [number, Uint8Array] => [i, syn(CLIENT, WEB, i + 1000)]);
  const { findings, more } = await replayed([captureOf(t, scan)], CONFIG, { top: 3 });
  assert.deepEqual([findings.length, more.groups, more.packets], [3, 9997, 11_997]);
}); // prettier-ignore

const line = (ends: string, ports: string, rest: string): string =>
  `2 1 ${rest.startsWith('eni-') ? rest.split(' ')[0] : '-'} ${ends} ${ports} 10 1000 1700000000 1700000060 ${rest.split(' ').at(-1)!} OK`;

test('flow logs: flows by who opened them, both interfaces once, and what was refused then', async (t) => {
  const log = [
    line(`${WEB} ${DB}`, '40000 5432 6', 'eni-web ACCEPT'),
    line(`${DB} ${WEB}`, '5432 40000 6', 'eni-db ACCEPT'),
    line(`${WEB} ${DB}`, '40000 22 6', 'eni-web ACCEPT'),
    line(`${WEB} 198.51.100.7`, '40000 22 6', 'eni-web ACCEPT'),
    line(`${CLIENT} ${WEB}`, '40000 3389 6', 'eni-web REJECT'),
    line(`${CLIENT} ${WEB}`, '40000 443 6', 'eni-web REJECT'),
    line(`${CLIENT} ${WEB}`, '0 0 1', 'eni-web ACCEPT'),
    line('198.51.100.1 198.51.100.2', '1 2 6', 'eni-x ACCEPT'),
    '2 1 eni-web - - - - - - - 1700000000 1700000060 - SKIPDATA',
  ].join('\n');
  for (const file of [fileOf(t, 'a.log', log), fileOf(t, 'a.log.gz', gzipSync(log))]) {
    const result = await replayed([file], CONFIG);
    assert.deepEqual(linesOf(result), [
      'dropped web egress tcp 22 to db x10 [egress-rules]',
      'dropped web egress tcp 22 to 198.51.100.7 x10 [egress-rules]',
      `passed web ingress tcp 443 from ${CLIENT} x10 [passed]`,
    ]);
    const counts = result.counts as FlowLogCounts;
    const { passed, dropped, undecided, refusedThen, unrelated, skipData, byPorts } = counts;
    assert.deepEqual([passed, dropped, undecided, refusedThen], [3, 3, 1, 1]);
    assert.deepEqual([unrelated, skipData, byPorts], [1, 1, 6]);
  }
});

test('a flow in the logs of both its interfaces counts once, by that of the gate', async (t) => {
  const both = [
    line(`${WEB} ${DB}`, '40000 5432 6', 'eni-web ACCEPT'),
    line(`${WEB} ${DB}`, '40000 5432 6', 'eni-db ACCEPT'),
  ];
  for (const lines of [both, both.slice(0, 1)]) {
    const file = fileOf(t, 'a.log', lines.join('\n'));
    const result = await replayed([file], CONFIG, { against: NARROW });
    assert.deepEqual(linesOf(result), ['newly-dropped db ingress tcp 5432 from web x10 [ingress-rules]']);
  }
}); // prettier-ignore

test('captures and flow logs together, and what is not there', async (t) => {
  const options = { config: CONFIG, top: 1, onProgress: () => undefined };
  const capture = captureOf(t, []);
  const log = fileOf(t, 'a.log', 'x');
  assert.deepEqual(await replay([capture, log], options), {
    file: log,
    message: `it is a flow log, and ${capture} a capture: read them apart`,
  });
  assert.deepEqual(await replay(['/none'], options), { file: '/none', message: 'there is no such file' });
  assert.deepEqual(await replay(['/tmp'], options), { file: '/tmp', message: 'it is a directory' });
  const broken = fileOf(t, 'a.gz', gzipSync('2 1 '.repeat(5000)).subarray(0, 30));
  assert.deepEqual(await replay([broken], options), { file: broken, message: 'unexpected end of file' });
  const lines = Array.from({ length: 50_000 }, (_, i) => line(`${CLIENT} ${WEB}`, `${i} 443 6`, 'eni-web ACCEPT'));
  const packed = gzipSync(lines.join('\n'), { level: 1 });
  const cut = fileOf(t, 'b.gz', packed.subarray(0, packed.length - 100));
  const { recordings, counts } = await replayed([cut], CONFIG);
  assert.equal(recordings[0].damage?.message, 'unexpected end of file');
  assert.ok((counts as FlowLogCounts).passed > 0);
}); // prettier-ignore

test('what only an audit lets pass would be dropped', async (t) => {
  const file = captureOf(t, [
    [10, syn(CLIENT, WEB, 8080)],
    [20, syn(CLIENT, WEB, 443)],
    [30, syn(CLIENT, DB, 22)],
  ]);
  const { web, db } = TEXT.groups;
  const { interfaces } = TEXT;
  for (const text of [
    {
      ...TEXT,
      groups: { web: { ...web, audit: true }, db: { ...db, audited: ['tcp 22 from 0.0.0.0/0'] } },
    },
    {
      ...TEXT,
      interfaces: {
        web: { ...interfaces['web'], audit: true },
        db: { ...interfaces['db'], audit: true },
      },
    },
  ])
    // prettier-ignore
    assert.deepEqual(linesOf(await replayed([file], configOf(text))), [
      `dropped web ingress tcp 8080 from ${CLIENT} x1 [ingress-rules]`,
      `dropped db ingress tcp 22 from ${CLIENT} x1 [ingress-rules]`,
    ]);
});
