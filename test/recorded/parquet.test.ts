/** Flow logs in Parquet give the records that the same log as text gives; what is damaged ends with why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer, type ColumnSource } from 'hyparquet-writer';
import type { FlowLogCounts } from '../../src/replay/judge-flow-log.ts';
import { replay } from '../../src/replay/replay.ts';
import type { ModelText } from '../support/policy.ts';
import { configOf, fileOf, linesOf, replayed } from '../replay/support.ts';

const TEXT: ModelText = {
  groups: { web: { ingress: ['tcp 443 from 0.0.0.0/0', 'tcp 443 from ::/0'], egress: [] } },
  interfaces: { web: { addresses: ['10.0.0.1', 'fd00::1'], groups: ['web'] } },
};
const CONFIG = configOf(TEXT);
const ROWS = 30_000;

/** As AWS names columns, with one that no flow log has; every tenth row is to a port that is shut. */
function columns(): ColumnSource[] {
  const all = <T>(make: (i: number) => T): T[] => Array.from({ length: ROWS }, (_, i) => make(i));
  return [
    { name: 'version', data: all(() => 5), type: 'INT32' },
    { name: 'interface_id', data: all(() => 'eni-web'), type: 'STRING' },
    { name: 'srcaddr', data: all((i) => (i % 2 === 0 ? '203.0.113.9' : '2001:db8::9')), type: 'STRING' }, // prettier-ignore
    { name: 'dstaddr', data: all((i) => (i % 2 === 0 ? '10.0.0.1' : 'fd00::1')), type: 'STRING' },
    { name: 'srcport', data: all((i) => 32_768 + (i % 1000)), type: 'INT32' },
    { name: 'dstport', data: all((i) => (i % 10 === 0 ? 22 : 443)), type: 'INT32' },
    { name: 'protocol', data: all(() => 6), type: 'INT32' },
    { name: 'packets', data: all(() => 2n), type: 'INT64' },
    { name: 'start', data: all((i) => BigInt(1_700_000_000 + i)), type: 'INT64' },
    { name: 'end', data: all((i) => BigInt(1_700_000_060 + i)), type: 'INT64' },
    { name: 'action', data: all(() => 'ACCEPT'), type: 'STRING' },
    { name: 'hour', data: all(() => 'a b'), type: 'STRING' },
  ];
}

const GZIP = { codec: 'GZIP', compressors: { GZIP: (raw: Uint8Array) => new Uint8Array(gzipSync(raw)) } } as const; // prettier-ignore

for (const [name, packing] of [
  ['snappy', {}],
  ['gzip', GZIP],
] as const)
  test(`a log in Parquet, packed by ${name}, in several row groups`, async (t) => {
    const bytes = parquetWriteBuffer({ columnData: columns(), rowGroupSize: 10_000, ...packing });
    const result = await replayed([fileOf(t, 'a.parquet', new Uint8Array(bytes))], CONFIG);
    assert.deepEqual(linesOf(result), [
      'dropped web ingress tcp 22 from 203.0.113.9 x6000 [ingress-rules]',
    ]);
    const { records, passed, dropped } = result.counts as FlowLogCounts;
    assert.deepEqual([records, passed, dropped], [ROWS, 27_000, 3000]);
    assert.equal(result.lastMs, 1_700_000_060_000 + 1000 * (ROWS - 1));
  });

test('a file that is cut off is told, and no damage throws', async (t) => {
  const whole = Buffer.from(parquetWriteBuffer({ columnData: columns(), ...GZIP }));
  const options = { config: CONFIG, top: 1, onProgress: () => undefined };
  const cut = await replay([fileOf(t, 'a.parquet', whole.subarray(0, 5000))], options);
  assert.ok('message' in cut && cut.message !== '');
  for (let at = 8; at < whole.length; at += Math.floor(whole.length / 40)) {
    const hurt = Buffer.from(whole);
    hurt[at] ^= 0xff;
    // Data may be other data then; what matters is that it comes to an end.
    assert.ok(await replay([fileOf(t, 'a.parquet', hurt)], options));
  }
});
