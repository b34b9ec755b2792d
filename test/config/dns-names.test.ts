/** DNS names as peers, from the text of a configuration to what each command says of them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatNames } from '../../src/cli/names.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig, type LoadedConfig } from '../../src/config/load-config.ts';
import { loopSettings } from '../../src/daemon/loop-settings.ts';
import { declaredRows } from '../../src/estate/declared.ts';
import { explain } from '../../src/explain/explain.ts';
import { networkOf } from '../../src/explain/question.ts';
import { lint } from '../../src/lint/lint.ts';
import { writeCommands } from '../../src/outputs/write-commands.ts';
import { writeTemplate } from '../../src/outputs/write-template.ts';
import { writeTerraform } from '../../src/outputs/write-terraform.ts';
import { compareModels } from '../../src/reach/compare.ts';
import type { Problem } from '../../src/source/problem.ts';
import { mustAddress } from '../support/policy.ts';

function load(text: string): LoadedConfig {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-names-'));
  try {
    const file = join(folder, 'names.yaml');
    writeFileSync(file, text);
    return loadConfig(file, { netnsDirectory: '/run/netns' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function configOf(rules: string, more = ''): Config {
  const { config, problems } = load(`
securityGroups:
  agent: { egress: [${rules}] }
interfaces:
  agent: { device: { name: a0 }, addresses: [10.0.0.11], securityGroups: [agent] }
uplink: { tun: up0, addresses: [198.51.100.1/24] }
${more}`);
  assert.ok(config !== undefined, JSON.stringify(problems));
  return config;
}

function told(problems: readonly Problem[]): readonly string[] {
  return problems.map(({ severity, code, at, message }) => `${severity} ${at?.line} ${code}: ${message}`); // prettier-ignore
}

const DNS = '{ protocol: udp, ports: 53, to: 198.51.100.53/32 }';
const API = "{ protocol: tcp, ports: 443, to: 'dns:API.example.com.' }";

test('a name is read in its one form, and the settings have defaults', () => {
  const config = configOf(`${DNS}, ${API}`);
  const agent = [...config.model.groups.values()].find(({ name }) => name === 'agent')!;
  assert.deepEqual(agent.egress[1].peer, { kind: 'dns', name: 'api.example.com' });
  assert.deepEqual(config.names, {
    minLifetimeSec: 60,
    maxLifetimeSec: 86_400,
    maxAddresses: 1024,
    privateAddresses: 'refuse',
  });
  assert.deepEqual(lint(config), []);
});

test('the settings reach the packet loops', () => {
  const names =
    'names: { minLifetime: 5, maxLifetime: 600, maxAddresses: 16, privateAddresses: accept }';
  const settings = loopSettings(configOf(`${DNS}, ${API}`, names), 1);
  assert.deepEqual(settings.names, {
    minLifetimeMs: 5000,
    maxLifetimeMs: 600_000,
    maxAddresses: 16,
    acceptsPrivate: true,
  });
});

for (const [text, problems] of [
  [
    'securityGroups: { a: { ingress: [{ protocol: tcp, ports: 1, from: "dns:a.example" }] } }',
    ["error 1 dns-name-ingress: an ingress rule can't have the DNS name 'dns:a.example' as its source"], // prettier-ignore
  ],
  [
    'securityGroups: { a: { egress: [{ protocol: tcp, ports: 1, to: ["dns:a..example", "dns:*"] }] } }',
    [
      "error 1 bad-dns-name: 'a..example' has an empty label, or characters that no name has",
      "error 1 bad-dns-name: '*' is not a DNS name",
    ],
  ],
  [
    'securityGroups: { a: { egress: [{ protocol: tcp, ports: 1, to: api.example.com }] } }',
    ["error 1 bad-peer: 'api.example.com' is not a CIDR block, a group or a prefix list"],
  ],
  [
    'names: { minLifetime: 3601, maxLifetime: 0, maxAddresses: 8 }',
    [
      'error 1 bad-names: minLifetime 3601 is out of range',
      'error 1 bad-names: maxLifetime 0 is out of range',
      'error 1 bad-names: maxAddresses 8 is out of range',
    ],
  ],
  [
    'names: { minLifetime: 700, maxLifetime: 600 }',
    ['error 1 bad-names: minLifetime 700 is more than maxLifetime 600'],
  ],
] as const)
  test(`${text.slice(0, 60)}: told where it is`, () => {
    assert.deepEqual(told(load(text).problems), problems);
  });

test('a host name without its prefix is told how to write it', () => {
  const { problems } = load(
    'securityGroups: { a: { egress: [{ protocol: tcp, ports: 1, to: api.example.com }] } }',
  );
  assert.equal(
    problems[0].hint,
    'for the addresses that the instance learns of the DNS name write dns:api.example.com',
  );
});

test('an interface has at most 64 names', () => {
  const peers = (count: number): string =>
    Array.from({ length: count }, (_, i) => `'dns:n${i}.example'`).join(', ');
  const text = (count: number): string => `
quotas: { rulesPerGroup: off }
securityGroups: { a: { egress: [{ protocol: tcp, ports: 443, to: [${peers(count)}] }] } }
interfaces: { a: { device: { name: a0 }, addresses: [10.0.0.1], securityGroups: [a] } }
`;
  assert.deepEqual(told(load(text(64)).problems), []);
  assert.deepEqual(told(load(text(65)).problems), [
    "error 4 too-many-dns-names: the rules of the interface 'a' have 65 DNS names, more than 64",
  ]);
});

test('lint tells of names without a resolver, of one that is anybody, and of names in names', () => {
  assert.deepEqual(told(lint(configOf(API))), [
    "warning 3 dns-name-without-resolver: no rule lets the interface 'agent' ask a resolver by UDP, so it learns no address of dns:api.example.com",
  ]);
  assert.deepEqual(lint(configOf(API, 'platformServices: [dns]')), []);
  assert.deepEqual(told(lint(configOf(`{ protocol: udp, ports: 53, to: 0.0.0.0/0 }, ${API}`))), [
    "warning 3 dns-name-any-resolver: 'agent' may ask any server for dns:api.example.com: whoever it asks chooses the addresses that the rule admits",
  ]);
  const wide = "{ protocol: tcp, ports: 443, to: 'dns:*.example.com' }";
  assert.match(
    told(lint(configOf(`${DNS}, ${wide}, ${API}`))).join(),
    /^warning 3 shadowed-rule: /,
  );
});

test('without a daemon nobody knows whether an address has a name, unless it surely has none', () => {
  const network = networkOf(configOf(`${DNS}, ${API}`));
  const ask = (address: string, port: number, learnt?: string): string => {
    const name = { name: 'api.example.com', address: mustAddress(learnt ?? '0.0.0.0'), untilMs: 0 };
    const explanation = explain(
      learnt === undefined ? network : { ...network, learntBy: () => [name] },
      {
        from: { kind: 'interface', interfaceId: [...network.model.interfaces.keys()][0] },
        to: { kind: 'address', address: mustAddress(address) },
        service: { kind: 'ports', protocol: 6, port },
      },
    );
    return `${explanation.verdict}: ${explanation.answers[0].why}`;
  };
  assert.equal(
    ask('192.88.99.1', 443),
    'undecidable: not decidable: which addresses dns:api.example.com has, a daemon knows from the answers that the interface gets',
  );
  assert.equal(ask('192.88.99.1', 80), 'refused: no egress rule of sg:agent admits it');
  assert.equal(ask('192.88.99.1', 443, '192.88.99.1'), 'allowed: everything on its way admits it');
  assert.equal(
    ask('192.88.99.1', 443, '192.88.99.2'),
    'refused: no egress rule of sg:agent admits it',
  );
});

test('what AWS can not hold is left out, and that is told', () => {
  const { model } = configOf(`${DNS}, ${API}`);
  for (const write of [writeTemplate, writeTerraform, writeCommands]) {
    const { text, losses } = write(model);
    assert.equal(text.includes('api.example.com'), false);
    assert.deepEqual(losses, [
      "the rule 'tcp 443 to dns:api.example.com' of agent is left out: AWS has no rule with a DNS name",
    ]);
  }
});

test('the API shows a declared group without rules that EC2 has no word for', () => {
  const rows = [...declaredRows(configOf(`${DNS}, ${API}`), 'here').values()].join('\n');
  assert.match(rows, /198\.51\.100\.53/);
  assert.doesNotMatch(rows, /api\.example\.com/);
});

test('a comparison tells of names that come and go', () => {
  const other = "{ protocol: tcp, ports: 443, to: 'dns:*.example.org' }";
  const { differences } = compareModels(
    configOf(`${DNS}, ${API}`).model,
    configOf(`${DNS}, ${other}`).model,
  );
  const lines = differences.map(({ kind, from, to }) => `${kind}: ${from.join()} -> ${to.join()}`);
  assert.deepEqual(lines.sort(), [
    'newly-allowed: agent -> dns:*.example.org',
    'no-longer-allowed: agent -> dns:api.example.com',
  ]);
});

test('sgctl names fits a terminal, and tells what became of answers', () => {
  const answer = {
    names: [
      { interface: 'agent', name: 'api.example.com', address: '203.0.113.10', untilMs: 65_000, answers: 3 }, // prettier-ignore
      { interface: 'agent', name: '*.example.org', answers: 0 },
    ],
    leftOut: 1,
    outcomes: [{ outcome: 'learnt', meaning: 'an address that was not known', count: 1 }],
  };
  const text = formatNames(answer, {}, 5000, 80);
  assert.deepEqual(
    text.split('\n').map((line) => line.trimEnd()),
    [
      'interface  name             address       for  answers'.replace('for  ', '   for  '),
      'agent      api.example.com  203.0.113.10  1m 00s        3',
      'agent      *.example.org    not learnt                  0',
      '(1 row left out: --limit)',
      '',
      'learnt 1: an address that was not known',
    ],
  );
});
