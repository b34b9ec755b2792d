/** `tlsName: required`, from the text of a configuration to what each command says of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { draftConfig, draftOf } from '../../src/config/group-draft.ts';
import { loadConfig, type LoadedConfig } from '../../src/config/load-config.ts';
import { draftOf as draftOfRows, rowsOf } from '../../src/console/page/logic/draft-rows.ts';
import { readDraft } from '../../src/console/read-body.ts';
import { explain } from '../../src/explain/explain.ts';
import { networkOf } from '../../src/explain/question.ts';
import { lint } from '../../src/lint/lint.ts';
import { writeCommands } from '../../src/outputs/write-commands.ts';
import { writeConfiguration } from '../../src/outputs/write-configuration.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { compareModels } from '../../src/reach/compare.ts';
import { mustAddress } from '../support/policy.ts';

function load(text: string): LoadedConfig {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-tls-'));
  try {
    const file = join(folder, 'names.yaml');
    writeFileSync(file, text);
    return loadConfig(file, { netnsDirectory: '/run/netns' });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function textOf(rules: string): string {
  return `
securityGroups:
  agent: { egress: [${rules}] }
interfaces:
  agent: { device: { name: a0 }, addresses: [10.0.0.11], securityGroups: [agent] }
uplink: { tun: up0, addresses: [198.51.100.1/24] }
`;
}

function configOf(rules: string): Config {
  const { config, problems } = load(textOf(rules));
  assert.ok(config !== undefined, JSON.stringify(problems));
  return config;
}

function rulesOf({ model }: Pick<Config, 'model'>): readonly string[] {
  const group = [...model.groups.values()].find(({ name }) => name === 'agent')!;
  return group.egress.map((rule) => ruleText(rule, model));
}

const DNS = '{ protocol: udp, ports: 53, to: 198.51.100.53/32 }';
const WEAK = "{ protocol: tcp, ports: 443, to: 'dns:api.example.com' }";
const STRICT = "{ protocol: tcp, ports: 443, to: 'dns:api.example.com', tlsName: required }";
const STRICT_TEXT = 'tcp 443 to dns:api.example.com (TLS name required)';

test('each name of the rule is required, and another rule may have it without', () => {
  const both = "{ protocol: tcp, ports: [443, 8443], to: ['dns:a.example', 'dns:*.b.example'], tlsName: required }"; // prettier-ignore
  assert.deepEqual(rulesOf(configOf(`${both}, ${WEAK}`)), [
    'tcp 443 to dns:a.example (TLS name required)',
    'tcp 443 to dns:*.b.example (TLS name required)',
    'tcp 8443 to dns:a.example (TLS name required)',
    'tcp 8443 to dns:*.b.example (TLS name required)',
    'tcp 443 to dns:api.example.com',
  ]);
});

for (const [rule, problems] of [
  [
    "{ protocol: udp, ports: 443, to: 'dns:a.example', tlsName: required }",
    ['error tls-name-without-tcp: a rule for udp has no server name of TLS'],
  ],
  [
    "{ protocol: all, to: 'dns:a.example', tlsName: required }",
    ['error tls-name-without-tcp: a rule for all has no server name of TLS'],
  ],
  [
    "{ protocol: tcp, ports: 443, to: ['dns:a.example', 10.0.0.0/8, self], tlsName: required }",
    [
      'error tls-name-without-name: tlsName is required beside a peer that is no DNS name',
      'error tls-name-without-name: tlsName is required beside a peer that is no DNS name',
    ],
  ],
  [
    "{ protocol: tcp, ports: 443, to: 'dns:a.example', tlsName: optional }",
    ["error bad-value: expected required, got 'optional'"],
  ],
  [
    "{ protocol: tcp, ports: 443, to: 'dns:a.example', tlsName: true }",
    ["error bad-value: expected required, got 'true'"],
  ],
] as const)
  test(`${rule}: told`, () => {
    const found = load(textOf(rule)).problems.map(
      ({ severity, code, message }) => `${severity} ${code}: ${message}`,
    );
    assert.deepEqual(found, problems);
  });

test('an ingress rule has no such key', () => {
  const rule = '{ protocol: tcp, ports: 443, from: 10.0.0.0/8, tlsName: required }';
  const { problems } = load(`securityGroups: { a: { ingress: [${rule}] } }`);
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['unknown-key'],
  );
});

test('what is written as a configuration says it again', () => {
  const { text, losses } = writeConfiguration(configOf(`${DNS}, ${STRICT}, ${WEAK}`));
  assert.deepEqual(losses, []);
  const { config } = load(text);
  assert.deepEqual(rulesOf(config!), [
    'udp 53 to 198.51.100.53/32',
    STRICT_TEXT,
    'tcp 443 to dns:api.example.com',
  ]);
});

test('what AWS can not hold is left out, and that is told', () => {
  assert.deepEqual(writeCommands(configOf(`${DNS}, ${STRICT}`).model).losses, [
    `the rule '${STRICT_TEXT}' of agent is left out: AWS has no rule with a DNS name`,
  ]);
});

test('lint tells that a rule which requires nothing makes the other one vain, and not the other way', () => {
  const codes = (rules: string): readonly string[] => lint(configOf(rules)).map(({ code, message }) => `${code} ${message}`); // prettier-ignore
  const [found, ...others] = codes(`${DNS}, ${STRICT}, ${WEAK}`);
  assert.deepEqual(others, []);
  assert.match(found, /^shadowed-rule .*TLS name required/);
  const below = "{ protocol: tcp, ports: 443, to: 'dns:*.example.com', tlsName: required }";
  assert.deepEqual(codes(`${DNS}, ${below}, ${WEAK}`), []);
});

test('a comparison tells that a name need not be said any more', () => {
  const [strict, weak] = [STRICT, WEAK].map((rule) => configOf(`${DNS}, ${rule}`).model);
  const lines = (old: typeof strict, next: typeof strict): readonly string[] =>
    compareModels(old, next).differences.map(
      ({ kind, from, to }) => `${kind}: ${from.join()} -> ${to.join()}`,
    );
  assert.deepEqual(lines(strict, weak), ['newly-allowed: agent -> dns:api.example.com']);
  assert.deepEqual(lines(weak, strict), ['no-longer-allowed: agent -> dns:api.example.com']);
  assert.deepEqual(lines(strict, strict), []);
});

test('the draft of a group keeps it, through the form and the server', () => {
  const config = configOf(`${DNS}, ${STRICT}`);
  const { draft } = draftOf(config.model, 'agent');
  const typed = draftOfRows('agent', rowsOf(draft!));
  const sent = readDraft(JSON.parse(JSON.stringify(typed)));
  const drafted = draftConfig(config, sent);
  assert.deepEqual(drafted.problems, []);
  assert.deepEqual(rulesOf(drafted.config!), rulesOf(config));
});

test('explain says what the connection must say', () => {
  const network = networkOf(configOf(`${DNS}, ${STRICT}`));
  const address = mustAddress('192.88.99.1');
  const learnt = { name: 'api.example.com', address, untilMs: 0 };
  const { answers } = explain(
    { ...network, learntBy: () => [learnt] },
    {
      from: { kind: 'interface', interfaceId: [...network.model.interfaces.keys()][0] },
      to: { kind: 'address', address },
      service: { kind: 'ports', protocol: 6, port: 443 },
    },
  );
  const text = JSON.stringify(answers);
  assert.match(text, /192\.88\.99\.1 was learnt for dns:api\.example\.com, and counts until 1970-01-01T00:00:00\.000Z; the connection must begin with TLS, and its server name must be api\.example\.com/); // prettier-ignore
});
