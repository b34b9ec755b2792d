/** A flow log for tests. */
import assert from 'node:assert/strict';
import type { FlowLogConfig } from '../../src/config/config.ts';
import { DEFAULT_FORMAT, parseFormat } from '../../src/config/flow-log-format.ts';

export const WEB = '172.31.16.139';
export const OUT = '203.0.113.12';

export function formatOf(text: string): FlowLogConfig['format'] {
  const parsed = parseFormat(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

export const CONFIG: FlowLogConfig = {
  name: 'all',
  file: '-',
  format: formatOf(DEFAULT_FORMAT),
  aggregationSec: 60,
  traffic: 'all',
  interfaces: undefined,
  rotation: { sizeMb: 1, keep: 2, gzip: false },
  values: new Map([['account-id', '123456789010']]),
  interfaceValues: new Map(),
};
