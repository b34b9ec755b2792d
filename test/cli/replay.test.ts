/** `sgctl replay`: exit codes, its forms, and that a stranger's text does no harm. What is found is test/replay/'s. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { runSgctl, type Ran } from '../support/sgctl.ts';
import { writeFolder } from '../inputs/support.ts';

const config = (port: number): string => `
securityGroups:
  web:
    ingress: [{ protocol: tcp, ports: ${port}, from: 0.0.0.0/0 }]
    egress: []
interfaces:
  web: { addresses: [10.0.0.1], securityGroups: [web], device: { netns: web, name: eth0 } }
`;
const line = (port: number, action = 'ACCEPT'): string =>
  `2 1 eni-1 203.0.113.9 10.0.0.1 40000 ${port} 6 3 180 1700000000 1700000060 ${action} OK\n`;

function world(t: TestContext): (...args: string[]) => Ran {
  const cwd = writeFolder(t, {
    'a.yaml': config(443),
    'b.yaml': config(80),
    'bad.yaml': 'securityGroups: 1\n',
    'fine.log': line(443),
    'refused.log': line(443) + line(8080) + line(8080, 'REJECT'),
    'broken.log': `${line(443)}\x1b[2J\n`,
    'other.log': line(443).replace('10.0.0.1', '10.9.9.9'),
    'header.log': `srcaddr dstaddr srcport dstport protocol\n203.0.113.9 10.0.0.1 40000 22 6\n`,
    'bare.log': '203.0.113.9 10.0.0.1 40000 22 6\n',
  });
  return (...args) => runSgctl(['replay', ...args], { cwd });
}

test('exit codes: nothing refused, something, wrong usage, not all read', (t) => {
  const replay = world(t);
  assert.equal(replay('fine.log', '-c', 'a.yaml').code, 0);
  assert.equal(replay('refused.log', '-c', 'a.yaml').code, 1);
  assert.equal(replay('fine.log').code, 2);
  assert.equal(replay('fine.log', '-c', 'a.yaml', '--format', '${srcaddr}').code, 2);
  assert.equal(replay('fine.log', '-c', 'bad.yaml').code, 3);
  assert.equal(replay('none.log', '-c', 'a.yaml').code, 3);
  const broken = replay('broken.log', '-c', 'a.yaml');
  assert.equal(broken.code, 3);
  assert.match(broken.stderr, /^broken\.log:2: warning: 1 fields, and the format has 14: \S+$/m);
  assert.ok(!broken.stderr.includes('\x1b'));
  const other = replay('other.log', '-c', 'a.yaml');
  assert.equal(other.code, 3);
  assert.match(other.stdout, /^1 record not to or from an interface$/m);
  assert.equal(replay('header.log', '-c', 'a.yaml').code, 1);
  const format = '${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol}';
  assert.equal(replay('bare.log', '-c', 'a.yaml', '--format', format).code, 1);
  assert.equal(replay('bare.log', '-c', 'a.yaml').code, 3);
});

test('text: what would be dropped, when, and the nearest rule', (t) => {
  const { stdout } = world(t)('refused.log', '-c', 'a.yaml');
  assert.equal(
    stdout,
    `3 records in 1 flow log, 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z

would be dropped
  web ingress: tcp 8080 from 203.0.113.9
    3 packets in 1 record, 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z
    ingress-rules; nearest: sg:web tcp 443 from 0.0.0.0/0 (a.yaml:4)
    would match if the port were 443, not 8080

1 record would pass, 2 would be dropped, of which 1 were refused then
who opened was told by TCP flags (0), by ports (3), by order (0)
`,
  );
});

test('against other rules: text, JSON, Markdown', (t) => {
  const replay = world(t);
  const same = replay('fine.log', '-c', 'a.yaml', '--against', 'a.yaml');
  assert.equal(same.code, 0);
  assert.match(same.stdout, /^both decide the same$/m);
  const { code, stdout } = replay('fine.log', '-c', 'a.yaml', '--against', 'b.yaml');
  assert.equal(code, 1);
  assert.match(stdout, /^passed before, and would be dropped$/m);
  assert.match(stdout, /^ {4}let in by sg:web tcp 443 from 0\.0\.0\.0\/0 \(a\.yaml:4\)$/m);
  const json = JSON.parse(
    replay('fine.log', '-c', 'b.yaml', '--against', 'a.yaml', '--json').stdout,
  ) as { refused: boolean; findings: { kind: string; interface: string; packets: number }[] };
  assert.deepEqual(
    [json.refused, json.findings.map((one) => [one.kind, one.interface, one.packets])],
    [true, [['newly-passed', 'web', 3]]],
  );
  const markdown = replay('fine.log', '-c', 'a.yaml', '--against', 'b.yaml', '--markdown').stdout;
  assert.match(markdown, /^### What this change does to recorded traffic$/m);
  assert.match(markdown, /^\| passed before, and would be dropped \| `web ingress` \| `tcp 443 from 203\.0\.113\.9` \| 3 packets in 1 record \|/m); // prettier-ignore
});

test('what is read of standard input', (t) => {
  const cwd = writeFolder(t, { 'a.yaml': config(443) });
  const { code } = runSgctl(['replay', '-', '-c', 'a.yaml'], { cwd, input: line(443) });
  assert.equal(code, 0);
});
