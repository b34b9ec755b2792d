/** Every scenario of every .scenario file is a test; and together they show what README.md says they do. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { STATE_NAMES } from '../../src/conntrack/states.ts';
import { REASONS } from '../../src/engine/reasons.ts';
import { repositoryRoot } from '../support/repository.ts';
import { readClauses } from './clauses.ts';
import { playScenario, recordScenario } from './player.ts';
import { parseScenarios, type PacketStep } from './scenario.ts';

const folder = join(repositoryRoot(), 'test', 'scenarios');
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.scenario'))
  .sort();
const scenarios = files.flatMap((file) =>
  parseScenarios(file, readFileSync(join(folder, file), 'utf8')).map((scenario) => ({
    file,
    scenario,
  })),
);

for (const file of files) {
  describe(file, () => {
    for (const one of scenarios)
      if (one.file === file)
        test(one.scenario.name, () => {
          playScenario(file, one.scenario);
        });
  });
}

describe('with the fast path', () => {
  let forwarded = 0;
  for (const { file, scenario } of scenarios)
    test(`${file}: ${scenario.name}`, () => {
      forwarded += playScenario(file, scenario, true);
    });

  test('packets took it', () => assert.ok(forwarded >= 20, `${forwarded} were forwarded`));
});

describe('with hosts behind interfaces, with the fast path and without', () => {
  let forwarded = 0;
  for (const { file, scenario } of scenarios)
    test(`${file}: ${scenario.name}`, () => {
      const fast = recordScenario(file, scenario, true);
      assert.deepEqual(fast.lines, recordScenario(file, scenario, false).lines);
      forwarded += fast.forwarded;
    });

  test('packets took it', () => assert.ok(forwarded >= 50, `${forwarded} were forwarded`));
});

/** What the scenarios have to show, by the lines of the requirements it comes from. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  '1 TCP': [
    'From the first SYN to the end, opened from either side',
    'Simultaneous open',
    'SYN retransmission',
    'Data in a SYN',
    'A SYN on the ports of a connection',
    'SYN-ACK, again and in reuse',
    'TIME_WAIT reuse by a new SYN',
    'RST validity',
    'Keepalives',
    'Half-close',
    'Window tracking',
    'Window scaling',
    'Illegal flag combinations',
    'Mid-stream packets by setting',
    'The two directions of a connection through different interfaces',
    'Revoked connections',
  ],
  '2 UDP, echo, other protocols, time-outs': [
    'UDP',
    'UDP stream, and which entries count as one',
    'ICMP echo',
    'ICMPv6 echo',
    'Other protocols, 600 s',
    'Per interface: `tcp-idle` 60, 350, 432,000 s',
    'Per interface: `udp-idle` 30 to 60 s',
    'Per interface: `udp-stream-idle` 60 to 180 s',
  ],
  '3 ICMP and ICMPv6 errors': [
    'About a tracked flow, inwards',
    'About a tracked flow, outwards',
    'Matched by the quoted packet',
    'Quotations cut short',
    'Spoofed',
    'Nested',
    'Path MTU discovery',
  ],
  '4 Untracked flows': [
    "AWS's condition",
    'Each family by itself',
    'Automatic tracking as a setting of the interface',
    'ICMP always tracked',
    'From tracked to untracked and back at a reload',
  ],
  '5 Fragments': [
    'Verdict of the first fragment',
    'Later ones first',
    'Overlaps',
    'Tiny first fragments',
    'Teardrop',
    'Ping of death',
    '64 KB',
    'Atomic',
    'Floods, bounded memory and time',
  ],
  '9 IPv6': [
    'Chains and their limits',
    'Unknown headers',
    'Repeated headers',
    'Routing type 0',
    'Hop-by-hop options out of place',
    'ESP and AH',
    'Neighbour discovery',
    'Multicast listener discovery',
    'Link-local',
    'Multicast',
  ],
};

describe('README.md', () => {
  const readme = readFileSync(join(folder, 'README.md'), 'utf8');
  const clauses = readClauses(readme);
  const names = new Set(
    scenarios.map(({ file, scenario }) => `${file.replace('.scenario', '')}: ${scenario.name}`),
  );

  test('has a clause for everything the scenarios have to show', () => {
    const found = Object.fromEntries(
      [...new Set(clauses.map(({ section }) => section))]
        .filter((section) => section !== 'Beyond')
        .map((section) => [
          section,
          clauses.filter((clause) => clause.section === section).map(({ text }) => text),
        ]),
    );
    assert.deepEqual(found, REQUIRED);
  });

  test('names for each clause a scenario at least, and none that is not there', () => {
    assert.deepEqual(
      clauses.filter((clause) => clause.scenarios.length === 0).map(({ text }) => text),
      [],
    );
    assert.deepEqual(
      clauses.flatMap((clause) => clause.scenarios).filter((name) => !names.has(name)),
      [],
    );
  });

  test('leaves no file out', () => {
    const named = new Set(
      clauses.flatMap((clause) => clause.scenarios.map((name) => name.split(':')[0])),
    );
    assert.deepEqual(
      files.filter((file) => !named.has(file.replace('.scenario', ''))),
      [],
    );
  });

  test('has an example that holds', () => {
    const [, example] = /```\n(instance [\s\S]*?)```/.exec(readme) ?? [];
    const parsed = parseScenarios('README.md', example ?? '');
    assert.equal(parsed.length, 1);
    playScenario('README.md', parsed[0]);
  });
});

describe('the scenarios', () => {
  const packets = scenarios.flatMap(({ scenario }) =>
    scenario.steps.filter((step): step is PacketStep => step.kind === 'packet'),
  );

  test('force every drop reason but those of the link layer, of devices, of a store, of DNS names and of the event ring', () => {
    const elsewhere = [
      'bad-dhcp',
      'bad-offload',
      'events-full',
      'fenced',
      'mac-spoof',
      'neighbour-spoof',
      'packet-too-big',
      'stale-groups',
      'tls-name',
      'tls-name-awaited',
      'tls-names-full',
      'unknown-ethertype',
      'unresolved',
      'vlan-tagged',
      'write-failed',
    ];
    const forced = new Set(packets.map(({ verdict }) => verdict));
    assert.deepEqual(
      REASONS.slice(1)
        .map(([name]) => name)
        .filter((name) => !forced.has(name))
        .sort(),
      elsewhere,
    );
  });

  test('lead a flow into every state', () => {
    const entered = new Set(
      packets.flatMap(({ expects }) =>
        expects.map((one) => (one.kind === 'state' ? one.state : '')),
      ),
    );
    assert.deepEqual(
      STATE_NAMES.slice(1).filter((name) => !entered.has(name)),
      [],
    );
  });
});
