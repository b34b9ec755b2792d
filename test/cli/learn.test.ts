/** `sgctl learn`: exit codes, its forms, what it tells of what is set apart, and that a stranger's text does no harm. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runSgctl, type Ran } from '../support/sgctl.ts';
import { writeFolder } from '../inputs/support.ts';

const CONFIG = `# The shop.
conntrack: { midstream: drop }
prefixLists:
  old: { entries: [10.0.0.0/8] }
securityGroups:
  open:
    ingress: [{ protocol: all, from: 0.0.0.0/0 }, { protocol: tcp, ports: 22, from: pl:old }]
interfaces:
  # It serves.
  web: { addresses: [10.0.0.1], securityGroups: [open], audit: true, device: { netns: web, name: eth0 } }
  db: { addresses: [10.0.0.2], securityGroups: [open], device: { netns: db, name: eth0 } }
`;
const START = 1_700_000_000;
const line = (
  src: string,
  from: number,
  dst: string,
  to: number,
  at = 0,
  action = 'ACCEPT',
  id = 'eni-1',
): string =>
  // prettier-ignore
  `2 1 ${id} ${src} ${dst} ${from} ${to} 6 3 180 ${START + at} ${START + at + 60} ${action} OK\n`;
const talk = (client: string, port: number, server: string, service: number, at = 0): string =>
  line(client, port, server, service, at) + line(server, service, client, port, at);
const LOG =
  talk('203.0.113.8', 40_000, '10.0.0.1', 443) +
  talk('203.0.113.9', 40_001, '10.0.0.1', 443, 60) +
  talk('10.0.0.1', 40_000, '10.0.0.2', 5432) +
  talk('10.0.0.1', 40_002, '10.0.0.2', 5432, 120) +
  talk('203.0.113.8', 40_009, '10.0.0.1', 22) +
  line('203.0.113.66', 40_000, '10.0.0.1', 23, 0, 'REJECT') +
  line('203.0.113.66', 40_001, '10.0.0.1', 24);

interface World {
  readonly folder: string;
  readonly learn: (...args: string[]) => Ran;
  readonly sgctl: (...args: string[]) => Ran;
}

function world(t: TestContext): World {
  const folder = writeFolder(t, {
    'shop.yaml': CONFIG,
    'flow.log': LOG,
    'once.log': talk('203.0.113.8', 40_000, '10.0.0.1', 443),
    'broken.log': `${LOG}\x1b[2J\n`,
    'bad.yaml': 'securityGroups: 1\n',
    'odd.log': (LOG + LOG).replaceAll('eni-1', 'eni\x1b[2J'),
  });
  const sgctl = (...args: string[]): Ran => runSgctl(args, { cwd: folder });
  return { folder, sgctl, learn: (...args) => sgctl('learn', ...args) };
}

test('YAML: groups take the place of those there were, and all else stays', (t) => {
  const { folder, learn, sgctl } = world(t);
  const { code, stdout, stderr } = learn('flow.log', '-c', 'shop.yaml', '--widen-max', '1');
  assert.equal(code, 0, stderr);
  const seen = '2 flows, 720 B, 2023-11-14T22:13:20Z to 2023-11-14T22:';
  assert.equal(
    // Long lines are folded.
    stdout.replace(/^# (?!The shop)[^\n]*\n/gm, '').replace(/ to\n {10}/g, ' to '),
    `# The shop.
conntrack: { midstream: drop }
securityGroups:
  web:
    description: Proposed from traffic that was seen at 1 interface
    ingress:
      - protocol: tcp
        ports: 443
        from: 203.0.113.8/31
        description: ${seen}15:20Z, admits the 2 seen, as 203.0.113.8:40000 to 10.0.0.1:443
    egress:
      - protocol: tcp
        ports: 5432
        to: sg:db
        description: ${seen}16:20Z, admits the 1 seen, as 10.0.0.1:40000 to 10.0.0.2:5432
  db:
    description: Proposed from traffic that was seen at 1 interface
    ingress:
      - protocol: tcp
        ports: 5432
        from: sg:web
        description: ${seen}16:20Z, admits the 1 seen, as 10.0.0.1:40000 to 10.0.0.2:5432
    egress: []
interfaces:
  # It serves.
  web: { addresses: [ 10.0.0.1 ], securityGroups: [ web ], device: { netns: web, name: eth0 } }
  db: { addresses: [ 10.0.0.2 ], securityGroups: [ db ], device: { netns: db, name: eth0 } }
`,
  );
  const lines = stderr
    .trim()
    .split('\n')
    .filter((one) => !one.includes('object to'));
  const head = stdout.split('\n').filter((one) => one.startsWith('# '));
  assert.ok(head[0].startsWith('# Proposed by sgctl learn from 1 flow log: 3m 00s of traffic,'));
  for (const told of [
    'set apart, refused: the flow log says that it was refused',
    '  tcp 23 at web from 203.0.113.66, 1 flow',
    'set apart, unanswered: nobody answered (--keep-unanswered proposes rules for it)',
    '  tcp 24 at web from 203.0.113.66, 1 flow',
    'set apart, one-off: services with fewer than 2 flows (--min-flows)',
    '  tcp 22 at web from 203.0.113.8, 1 flow',
  ]) {
    assert.ok(lines.includes(told), `${told} is not in\n${stderr}`);
    assert.ok(head.includes(`# ${told}`), `${told} is not in\n${head.join('\n')}`);
  }
  // It is a configuration, and admits what was seen, without what was set apart.
  const proposed = join(folder, 'proposed.yaml');
  writeFileSync(proposed, stdout);
  assert.equal(sgctl('check', proposed).code, 0);
  const replayed = sgctl('replay', 'flow.log', '-c', proposed);
  assert.match(replayed.stdout, /web ingress: tcp 22 from 203\.0\.113\.8/);
  assert.match(replayed.stdout, /web ingress: tcp 24 from 203\.0\.113\.66/);
  assert.doesNotMatch(replayed.stdout, /gress: tcp (?:443|5432) /);
});

test('exit codes: proposed, nothing to propose, wrong usage, not all read', (t) => {
  const { learn } = world(t);
  assert.equal(learn('flow.log').code, 0);
  const once = learn('once.log');
  assert.deepEqual([once.code, once.stdout], [1, '']);
  assert.match(once.stderr, /nothing was seen that rules could be proposed for/);
  assert.equal(learn('once.log', '--min-flows', '1').code, 0);
  assert.equal(learn('flow.log', '--live', 'eth0').code, 2);
  assert.equal(learn('flow.log', '--socket', '/none').code, 2);
  assert.equal(learn('flow.log', '--own', '10.0.0.1/8').code, 2);
  assert.equal(learn('flow.log', '--anyone', '443').code, 2);
  assert.equal(learn('flow.log', '--widen-max', '0.5').code, 2);
  assert.equal(learn('flow.log', '--config', 'shop.yaml', '--tighten', 'shop.yaml').code, 2);
  assert.equal(learn('flow.log', '--config', 'bad.yaml').code, 3);
  assert.equal(learn('none.log').code, 3);
  const broken = learn('broken.log');
  assert.equal(broken.code, 3);
  assert.match(broken.stdout, /^securityGroups:$/m);
  assert.match(broken.stderr, /^broken\.log:13: warning: 1 fields/m);
  assert.ok(!broken.stderr.includes('\x1b'));
  assert.equal(learn('--socket', '/none/such', '--for', '1s').code, 1);
});

test('without a configuration: interfaces are those of the flow log, in whatever words', (t) => {
  const { learn } = world(t);
  const { code, stdout } = learn('odd.log', '--widen-max', '1');
  assert.equal(code, 0);
  assert.ok(!stdout.includes('\x1b'));
  assert.match(stdout, /^ {2}eni-2J:$/m);
  const own = learn('flow.log', '--own', '10.0.0.2').stdout;
  assert.match(own, /from: 10\.0\.0\.1\/32/);
  assert.doesNotMatch(own, /443/);
});

test('CloudFormation and Terraform: the evidence is in descriptions, and both can be read', (t) => {
  const { folder, learn, sgctl } = world(t);
  const options = ['flow.log', '-c', 'shop.yaml', '--anyone', 'tcp/443', '--output'];
  const template = learn(...options, 'cloudformation');
  assert.equal(template.code, 0);
  writeFileSync(join(folder, 'groups.json'), template.stdout);
  assert.equal(sgctl('check', 'groups.json').code, 0);
  const rules = sgctl('rules', 'groups.json').stdout;
  assert.match(rules, /tcp 443 from 0\.0\.0\.0\/0/);
  const terraform = learn(...options, 'terraform');
  const written = JSON.parse(terraform.stdout) as { resource: Record<string, Record<string, { description?: string }>> }; // prettier-ignore
  const ingress = Object.values(written.resource['aws_vpc_security_group_ingress_rule']);
  assert.ok(ingress.some(({ description }) => /^2 flows, .*2 seen, admits everybody/.test(description ?? ''))); // prettier-ignore
});

test('JSON: rules with evidence, thresholds, and all that is set apart', (t) => {
  const { learn } = world(t);
  const { stdout, stderr } = learn('flow.log', '-c', 'shop.yaml', '--json');
  const told = JSON.parse(stdout) as {
    lookedForMs: number;
    thresholds: { minFlows: number };
    groups: { name: string; rules: { text: string; evidence: object }[] }[];
    apart: { reason: string; service: string; from: string }[];
  };
  assert.equal(told.lookedForMs, 180_000);
  assert.equal(told.thresholds.minFlows, 2);
  assert.deepEqual(
    told.groups.map(({ name, rules }) => [name, rules.map(({ text }) => text)]),
    [
      ['web', ['tcp 443 from 203.0.113.8/31', 'tcp 5432 to sg:db']],
      ['db', ['tcp 5432 from sg:web']],
    ],
  );
  assert.deepEqual(told.groups[0].rules[0].evidence, {
    ...{ flows: 2, packets: 12, bytes: 720 },
    ...{ first: '2023-11-14T22:13:20Z', last: '2023-11-14T22:15:20Z' },
    examples: ['203.0.113.8:40000 to 10.0.0.1:443', '203.0.113.9:40001 to 10.0.0.1:443'],
    ...{ pairsSeen: 2, pairsAdmitted: '2' },
  });
  assert.deepEqual(
    told.apart.map(({ reason, service, from }) => `${reason} ${service} ${from}`),
    ['refused tcp 23 203.0.113.66', 'unanswered tcp 24 203.0.113.66', 'one-off tcp 22 203.0.113.8'],
  );
  assert.doesNotMatch(stderr, /set apart/);
});

test('tighten: which rules were never used, which could be narrower, and how long was looked', (t) => {
  const { learn, folder } = world(t);
  const { code, stdout } = learn('flow.log', '--tighten', 'shop.yaml');
  assert.equal(code, 0);
  assert.equal(
    stdout,
    `1 flow log: 3m 00s of traffic, 2023-11-14T22:13:20Z to 2023-11-14T22:16:20Z
what runs less often than once in 3m 00s was not seen: rules for it are not here

never used
  sg:open tcp 22 from pl:old (shop.yaml:7)
  sg:open all to ::/0 (shop.yaml:6)

could be narrower
  sg:open all from 0.0.0.0/0 (shop.yaml:7)
    4 flows, as 203.0.113.8:40000 to 10.0.0.1:443
    enough: tcp 443 from 203.0.113.8/31
    enough: tcp 5432 from 10.0.0.1/32
  sg:open all to 0.0.0.0/0 (shop.yaml:6)
    2 flows, as 10.0.0.1:40000 to 10.0.0.2:5432
    enough: tcp 5432 to 10.0.0.2/32

0 rules of 4 used as they are
`,
  );
  assert.equal(readFileSync(join(folder, 'shop.yaml'), 'utf8'), CONFIG);
  const json = JSON.parse(learn('flow.log', '--tighten', 'shop.yaml', '--json').stdout) as {
    rules: { use: string }[];
  };
  assert.deepEqual(
    json.rules.map(({ use }) => use),
    ['could-be-narrower', 'never-used', 'could-be-narrower', 'never-used'],
  );
});
