/** The demo that scripts/quickstart runs, and what it reads from /metrics. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatDrops, parseDrops } from '../../scripts/demo/drops.ts';
import { HOSTS, SERVICES, isAllowed } from '../../scripts/demo/expectations.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { whyNoLab } from './lab-support.ts';

const QUICKSTART = fileURLToPath(new URL('../../scripts/demo/quickstart.js', import.meta.url));
const CELLS = 4 * 3 * 2 * 6;

const METRICS = `# HELP secgroupd_dropped_packets_total Packets dropped.
# TYPE secgroupd_dropped_packets_total counter
secgroupd_dropped_packets_total{interface="eni-db-1",direction="ingress",reason="no-rule"} 41
secgroupd_dropped_packets_total{interface="eni-db-1",direction="egress",reason="no-rule"} 7
secgroupd_dropped_packets_total{interface="eni-web-1",direction="ingress",reason="malformed"} 0
secgroupd_packets_total{interface="eni-db-1",direction="ingress",verdict="drop"} 41
process_cpu_seconds_total 0.5
`;

describe('the drop counters', () => {
  test('those that are not 0, and no other metric', () => {
    assert.deepEqual(parseDrops(METRICS), [
      { interface: 'eni-db-1', direction: 'ingress', reason: 'no-rule', packets: 41 },
      { interface: 'eni-db-1', direction: 'egress', reason: 'no-rule', packets: 7 },
    ]);
  });

  test('as a table', () => {
    const expected = [
      'INTERFACE  DIRECTION  REASON   PACKETS',
      'eni-db-1   ingress    no-rule  41',
      'eni-db-1   egress     no-rule  7',
    ].join('\n');
    assert.equal(formatDrops(METRICS), expected);
    assert.equal(formatDrops('process_cpu_seconds_total 0.5\n'), '(no drops counted)');
  });
});

describe('the expectations', () => {
  test('has allowed and denied cells for every service', () => {
    for (const { title } of SERVICES) {
      const cells = HOSTS.flatMap((from) =>
        HOSTS.filter((to) => to !== from).map((to) => isAllowed(from.name, to.name, title)),
      );
      assert.deepEqual([...new Set(cells)].sort(), [false, true], title);
    }
  });
});

describe('the demo', () => {
  test(
    'every cell is as expected, drops are counted, nothing is left',
    { skip: whyNoLab() ?? false },
    () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [QUICKSTART], {
        encoding: 'utf8',
        timeout: GUARD_MS,
      });
      assert.equal(status, 0, stdout + stderr);
      assert.match(stdout, new RegExp(`^${CELLS} of ${CELLS} cells are as expected\\.$`, 'm'));
      assert.match(stdout, /^web +app +IPv4 +yes\/yes +no\/no +no\/no +yes\/yes +no\/no +no\/no$/m);
      assert.match(stdout, /^stranger +db +IPv6 +no\/no +no\/no +no\/no +no\/no +no\/no +no\/no$/m);
      assert.match(stdout, /^eni-db-1 +ingress +\S+ +[1-9]\d*$/m);
      assert.match(stdout, /^eni-db-1 +egress +\S+ +[1-9]\d*$/m);
      for (const { netns } of HOSTS) assert.equal(existsSync(`/run/netns/${netns}`), false, netns);
    },
  );
});
