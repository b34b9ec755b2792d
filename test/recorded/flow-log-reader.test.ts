/** Flow logs: formats, headers, lines that are none, and records that say nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FIELD_NAMES, parseFormat } from '../../src/config/flow-log-format.ts';
import { formatLine } from '../../src/flow-logs/flow-log-fields.ts';
import { READ_MORE, READ_ONE } from '../../src/recorded/captured-packet.ts';
import { FlowLogReader, readFormat } from '../../src/recorded/flow-log-reader.ts';
import { sourceOf } from './write-capture.ts';

const LINE =
  '2 123456789010 eni-a 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK';
const NO_DATA = '2 123456789010 eni-b - - - - - - - 1431280876 1431280934 - NODATA';
const SKIPPED = '2 123456789010 eni-b - - - - - - - 1431280876 1431280934 - SKIPDATA';

interface Read {
  readonly records: readonly string[];
  readonly told: readonly string[];
  readonly badLines: number;
}

async function readAll(text: string, fields?: readonly string[], piece?: number): Promise<Read> {
  const reader = new FlowLogReader(sourceOf(Buffer.from(text, 'latin1'), piece), fields);
  const records: string[] = [];
  for (let read = READ_MORE; read === READ_MORE;) {
    await reader.feed();
    for (read = reader.step(); read === READ_ONE; read = reader.step()) {
      const { record: r } = reader;
      const ends = [r.src0, r.src3, r.dst0, r.dst3].map((word) => (word >>> 0).toString(16));
      records.push(
        r.status !== 0
          ? `${r.interfaceId} status ${r.status}`
          : `${r.interfaceId} ${r.family} ${ends.join(' ')} ${r.srcPort} ${r.dstPort} ${r.protocol} ${r.packets} ${r.bytes} ${r.startMs} ${r.endMs} action ${r.action} flags ${r.tcpFlags} direction ${r.direction}`,
      );
    }
  }
  const told = reader.told.map(({ line, message, text: shown }) => `${line} ${message}: ${shown}`);
  return { records, told, badLines: reader.badLines };
}

const RECORD =
  'eni-a 4 ac1f108b 0 ac1f1015 0 20641 22 6 20 4249 1418530010000 1418530070000 action 1 flags -1 direction -1';

test("AWS's default format, in pieces of any size, with and without its header", async () => {
  const header =
    'version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status';
  const lines = `${LINE}\r\n${NO_DATA}\n\n${SKIPPED}`;
  const records = [RECORD, 'eni-b status 1', 'eni-b status 2'];
  for (const text of [lines, `${header}\n${lines}\n`, `${header.replaceAll('-', '_')}\n${lines}`])
    for (const piece of [undefined, 1, 50])
      assert.deepEqual(await readAll(text, undefined, piece), { records, told: [], badLines: 0 });
});

test('other formats: the addresses of the packet, flags, direction, IPv6', async () => {
  const fields = readFormat(
    '${pkt-srcaddr} ${srcaddr} ${pkt-dstaddr} ${dstaddr} ${dstport} ${srcport} ${protocol} ${tcp-flags} ${flow-direction} ${drop-reason}',
  );
  assert.ok(typeof fields !== 'string');
  const { records } = await readAll(
    'fd00::7 fd00::1 2001:db8::9 fd00::2 443 50000 6 3 egress -\n10.9.0.1 10.0.0.1 10.0.0.2 10.0.0.2 1 2 17 0 ingress -\n',
    fields,
  );
  assert.deepEqual(records, [
    ' 6 fd000000 7 20010db8 9 50000 443 6 1 0 0 0 action 0 flags 3 direction 1',
    ' 4 a090001 0 a000002 0 2 1 17 1 0 0 0 action 0 flags 0 direction 0',
  ]);
});

test('what our own flow logs write, with all the fields there are', async () => {
  const format = parseFormat(FIELD_NAMES.map((name) => `\${${name}}`).join(' '));
  assert.ok(format.ok);
  const about = { id: 'eni-a', name: 'a', primary4: '10.0.0.1', primary6: undefined };
  const line = { about: { ...about, values: new Map() }, fromMs: 60_000, toMs: 120_000 };
  const record = {
    family: 4,
    direction: 'ingress',
    srcaddr: '10.9.9.9',
    dstaddr: '10.0.0.77',
    srcport: 40_000,
    dstport: 443,
    protocol: 6,
    action: 'REJECT',
    ruleId: undefined,
    groupId: undefined,
    dropReason: 'ingress-rules',
    isAudited: undefined,
    isRemoteLocal: false,
    packets: 3,
    bytes: 180,
    tcpFlags: 2,
    startMs: 61_000,
    endMs: 63_000,
  } as const;
  const lines = [
    formatLine(format.value, { ...line, record, status: 'OK' }),
    formatLine(format.value, { ...line, record: undefined, status: 'NODATA' }),
  ];
  assert.deepEqual(await readAll(lines.join('\n'), format.value.names), {
    records: [
      // The packet's destination, not the interface's primary address.
      'eni-a 4 a090909 0 a00004d 0 40000 443 6 3 180 61000 63000 action 2 flags 2 direction 0',
      'eni-a status 1',
    ],
    ...{ told: [], badLines: 0 },
  });
});

test('a format without what is needed, and one that is none', () => {
  assert.equal(
    readFormat('${srcaddr} ${dstaddr} ${dstport}'),
    'the format lacks srcport, protocol, and nothing can be judged without',
  );
  assert.equal(readFormat('${srcadr}'), "there is no field 'srcadr'");
});

test('lines that are none are told, and the next one is read', async () => {
  const bad = [
    LINE.replace('172.31.16.21 ', '172.31.16.256 '),
    LINE.replace(' 22 ', ' 65536 '),
    LINE.replace(' 6 ', ' -6 '),
    LINE.replace('ACCEPT', 'ALLOW!'),
    `${LINE} more`,
    LINE.replace('172.31.16.21', 'fd00::1'),
    'x'.repeat(40_000),
    '\x1b[2J',
  ];
  const { records, told, badLines } = await readAll([...bad, LINE].join('\n'), undefined, 4096);
  assert.deepEqual(records, [RECORD]);
  assert.equal(badLines, bad.length);
  assert.deepEqual(
    told.map((one) => one.split(':')[0]),
    [
      '1 field 5 is not what its name says',
      '2 field 7 is not what its name says',
      '3 field 8 is not what its name says',
      '4 field 13 is not what its name says',
      '5 15 fields, and the format has 14',
    ],
  );
});

test('whatever stands in a log, nothing throws, and pieces make no difference', async () => {
  const text = fc
    .array(
      fc.oneof(
        fc.constantFrom(LINE, NO_DATA, SKIPPED, 'version srcaddr', ''),
        fc.string({ maxLength: 200 }),
        fc.tuple(fc.nat(90), fc.string({ maxLength: 3 })).map(([at, put]) => LINE.slice(0, at) + put + LINE.slice(at + 1)), // prettier-ignore
      ),
      { maxLength: 8 },
    )
    .map((lines) => lines.join('\n'));
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 300 }), async (log, piece) => {
      assert.deepEqual(await readAll(log, undefined, piece), await readAll(log));
    }),
    { numRuns: Number(process.env['PROPERTY_RUNS'] ?? 300) },
  );
});
