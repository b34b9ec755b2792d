/**
 * A configuration is the same, and so is what is wrong with it, whether the reader of plain texts or the library has
 * read it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildConfig, type LoadedConfig } from '../../src/config/load-config.ts';
import { readPlainText } from '../../src/source/plain-yaml.ts';
import type { Problem } from '../../src/source/problem.ts';
import { parseAnyDocument, PLAIN_LIMITS } from '../../src/source/yaml.ts';
import { FILE } from './config-text.ts';

const OPTIONS = { netnsDirectory: '/run/netns' };

/** @returns what both readers make of a text; undefined if it is not plain */
function loadEitherWay(text: string): LoadedConfig | undefined {
  const plain = readPlainText(FILE, text, 'core', PLAIN_LIMITS);
  if (plain === undefined) return undefined;
  const problems: Problem[] = [];
  const any = parseAnyDocument(FILE, text, problems, 'core');
  assert.deepEqual(problems, []);
  const loaded = buildConfig(FILE, plain, OPTIONS);
  assert.deepEqual(loaded, buildConfig(FILE, any!, OPTIONS));
  return loaded;
}

const value = {
  protocol: ['tcp', 'udp', 'icmp', 'icmpv6', 'all', '50', '6', '-1', 'TCP', 'tpc', '256', '[tcp]'],
  ports: ['22', '80-90', '"443"', 'all', '[80, 443]', '[]', '65536', '90-80', '022', '{}', '-1'],
  type: ['8', 'all', '3', '256', '"8"', '[8]'],
  code: ['0', 'all', '999'],
  from: [
    ...[
      '10.0.0.0/8',
      '10.0.0.1/32',
      '0.0.0.0/0',
      '["::/0", self]',
      'self',
      '"sg:web"',
      '"pl:office"',
    ],
    ...['10.0.0.1/8', '10.0.0.1', '010.0.0.0/8', '"sg:wbe"', 'anywhere', '[]', '7', 'fd00::1/128'],
  ],
  description: ['ssh', '"a, b"', '7', 'what it is for', '"é"'],
  form: ['10.0.0.0/8'],
} as const;
type Key = keyof typeof value;

/** The first two of each are right: drawn as often as all others, so that some files have no problem at all. */
const keyAndValue = (key: Key): fc.Arbitrary<string> =>
  fc
    .oneof(fc.constantFrom(...value[key].slice(0, 2)), fc.constantFrom(...value[key]))
    .map((text) => `${key}: ${text}`);
const rule = fc
  .tuple(
    keyAndValue('protocol'),
    keyAndValue('ports'),
    keyAndValue('from'),
    fc.uniqueArray(fc.constantFrom<Key>('type', 'code', 'description', 'form'), { maxLength: 2 }),
  )
  .chain(([protocol, ports, from, more]) =>
    fc
      .tuple(...more.map(keyAndValue))
      .chain((others) => fc.subarray([protocol, ports, from, ...others], { minLength: 1 })),
  );

/** A rule in block style, or in flow style. */
const item = fc
  .tuple(rule, fc.boolean())
  .map(([keys, isFlow]) =>
    isFlow ? `      - { ${keys.join(', ')} }\n` : `      - ${keys.join('\n        ')}\n`,
  );

test('rules, right and wrong, in any order and style', () => {
  let plain = 0;
  let good = 0;
  let all = 0;
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 5 }), fc.boolean(), (items, isEgress) => {
      all++;
      const loaded = loadEitherWay(
        `prefixLists: { office: { entries: [203.0.113.0/24] } }
securityGroups:
  web:
    ${isEgress ? 'egress' : 'ingress'}:
${items.join('')}
interfaces:
  app: { device: { name: app }, addresses: [10.0.0.12], securityGroups: [web] }
`,
      );
      if (loaded === undefined) return;
      plain++;
      if (loaded.config !== undefined) good++;
    }),
    { numRuns: 1000 },
  );
  assert.ok(plain > all / 2, `${plain} of ${all} were plain`);
  assert.ok(good > 0, 'all were wrong');
});

test('ten thousand rules are plain, with either line break', () => {
  const rules = Array.from(
    { length: 10_000 },
    (_, i) => `      - { protocol: udp, ports: ${i}, from: 172.16.${i >>> 8}.${i & 255}/32 }\n`,
  );
  const text = `quotas: { rulesPerGroup: off, rulesTimesGroups: off }
securityGroups:
  app:
    ingress:
${rules.join('')}
interfaces:
  app: { device: { name: app }, addresses: [10.0.0.12], securityGroups: [app] }
`;
  for (const either of [text, text.replaceAll('\n', '\r\n')]) {
    const { config, problems } = loadEitherWay(either)!;
    assert.deepEqual(problems, []);
    const group = [...config!.model.groups.values()].find(({ name }) => name === 'app');
    assert.equal(group?.ingress.length, 10_000);
    assert.deepEqual(group.ingress[9_999].origin, {
      file: FILE,
      line: 10_004,
      column: 9,
      path: 'securityGroups.app.ingress[9999]',
    });
  }
});
