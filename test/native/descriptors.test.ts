/** A process that may open too few files is told that, whichever call ran out of them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { makeNamespace } from './support.ts';

const SCRIPT = fileURLToPath(new URL('./descriptors-script.js', import.meta.url));
/** Node itself takes some twenty: from here on every count of those left is tried, odd and even. */
const LIMITS = [48, 49, 50, 51];

test('too few descriptors are told as that, with what to raise', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  for (const limit of LIMITS) {
    const printed = execFileSync(
      'sh',
      [
        '-c',
        `ulimit -n ${limit}; exec nsenter --net=${namespace.path} ${process.execPath} ${SCRIPT}`,
      ],
      { encoding: 'utf8' },
    );
    const { code, message } = JSON.parse(printed) as { code: string; message: string };
    assert.equal(code, 'EMFILE', message);
    assert.match(
      message,
      /; the limit of open files is too low: raise LimitNOFILE= of the service/,
    );
  }
});
