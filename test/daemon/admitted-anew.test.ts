/** What a configuration would admit that another does not, in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admittedAnew } from '../../src/daemon/admitted-anew.ts';
import type { Config } from '../../src/config/config.ts';
import { loadText } from '../config/config-text.ts';

const BEFORE = `
prefixLists: { office: { maxEntries: 5, entries: [198.51.100.0/24] } }
securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 443, from: 'pl:office' }] }
  db: { ingress: [{ protocol: tcp, ports: 5432, from: 'sg:web' }] }
  spare: { ingress: [{ protocol: tcp, ports: 22, from: 10.0.0.0/8 }] }
interfaces:
  a: { device: { name: dev-a }, addresses: [10.0.0.1], securityGroups: [web] }
  b: { device: { name: dev-b }, addresses: [10.0.0.2], securityGroups: [db] }
  c: { device: { name: dev-c }, addresses: [10.0.0.3], securityGroups: [db] }
`;

function load(text: string): Config {
  const { config, problems } = loadText(text);
  assert.ok(config !== undefined, JSON.stringify(problems));
  return config;
}

const CASES: readonly (readonly [
  what: string,
  from: string,
  to: string,
  lines: readonly string[],
])[] = [
  ['nothing', '', '', []],
  ['a rule less', "[{ protocol: tcp, ports: 443, from: 'pl:office' }]", '[]', []],
  [
    'a rule more',
    "from: 'sg:web' }",
    "from: 'sg:web' }, { protocol: udp, ports: 53, from: 10.0.0.0/8 }",
    ['db ingress: udp 53 from 10.0.0.0/8 at b, c'],
  ],
  ['a rule more of a group that is on no interface', 'ports: 22', 'ports: 23', []],
  [
    'an entry more',
    '[198.51.100.0/24]',
    '[198.51.100.0/24, 192.0.2.0/24]',
    ['web ingress: tcp 443 from pl:office, now also 192.0.2.0/24 at a'],
  ],
  [
    'a group more, and so a member more',
    '[10.0.0.3], securityGroups: [db]',
    '[10.0.0.3], securityGroups: [db, web]',
    [
      'db ingress: tcp 5432 from sg:web, now also 10.0.0.3 at b, c',
      'web ingress: tcp 443 from pl:office at c',
    ],
  ],
  [
    'a group less',
    '[10.0.0.1], securityGroups: [web]',
    '[10.0.0.1], securityGroups: [spare]',
    ['spare ingress: tcp 22 from 10.0.0.0/8 at a'],
  ],
];

for (const [what, from, to, lines] of CASES)
  test(`with ${what}`, () => {
    assert.ok(BEFORE.includes(from));
    assert.deepEqual(admittedAnew(load(BEFORE), load(BEFORE.replace(from, to))), lines);
  });
