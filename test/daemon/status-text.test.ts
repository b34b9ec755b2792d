/** What `systemctl status` says of a reload. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeDaemon, describeReload } from '../../src/daemon/status-text.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import type { Problem } from '../../src/source/problem.ts';

type Status = ReturnType<Daemon['status']>;

function daemon(waiting: readonly string[]): Pick<Daemon, 'status'> {
  const status = {
    interfaces: ['eni-web-1'],
    waiting: waiting.map((name) => ({ name, device: 'eth0', reason: 'it is not there' })),
    groups: 2,
    generation: 7,
  } as unknown as Status;
  return { status: () => status };
}

function problem(severity: Problem['severity'], line: number, hint?: string): Problem {
  const text = { severity, code: 'x', path: 'a.b', message: `wrong in ${line}` };
  const at = { file: '/etc/s.yaml', line, column: 3 };
  return hint === undefined ? { ...text, at } : { ...text, at, hint };
}

const IN_FORCE = 'packets flow: 1 interface, 2 groups, policy generation 7';

test('what is in force, and who waits', () => {
  assert.equal(describeDaemon(daemon([])), IN_FORCE);
  assert.equal(describeDaemon(daemon(['a', 'b'])), `${IN_FORCE}; waiting for a device: a b`);
});

test('a refused reload: the first error with its place and hint, and how many more', () => {
  const one = [problem('warning', 1), problem('error', 4, 'do this')];
  assert.equal(
    describeReload(daemon([]), { outcome: 'refused', problems: one }),
    `reload refused, nothing changed: /etc/s.yaml:4:3: error: wrong in 4 [a.b]; do this; ${IN_FORCE}`,
  );
  const three = [...one, problem('error', 5), problem('error', 6)];
  assert.equal(
    describeReload(daemon([]), { outcome: 'refused', problems: three }),
    `reload refused, nothing changed: /etc/s.yaml:4:3: error: wrong in 4 [a.b]; do this; and 2 more errors, in the journal; ${IN_FORCE}`,
  );
});

test('the line is bounded, and says nothing of an earlier refusal once a reload succeeds', () => {
  const long = { ...problem('error', 4), message: 'x'.repeat(5000) };
  const text = describeReload(daemon([]), { outcome: 'refused', problems: [long] });
  assert.equal(text.length < 800, true);
  assert.match(text, /x…; packets flow/);
  const changed = { outcome: 'unchanged', generation: 7, problems: [] };
  assert.equal(describeReload(daemon([]), changed as never), IN_FORCE);
});
