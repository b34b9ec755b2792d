/** What a reload says that it changed. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compareConfigs, isSamePolicy } from '../../src/daemon/changes.ts';
import { hasChanges, type Changes } from '../../src/queries/reload-result.ts';
import type { Config } from '../../src/config/config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { loadText, problemLines } from '../config/config-text.ts';

const BASE = `
prefixLists:
  office: { entries: [203.0.113.0/24, 198.51.100.0/24], maxEntries: 20 }
securityGroups:
  web: { description: Web servers, ingress: [{ protocol: tcp, ports: 443, from: "0.0.0.0/0" }] }
  db: { ingress: [{ protocol: tcp, ports: 5432, from: "sg:web" }, { protocol: tcp, ports: 22, from: "pl:office" }] }
interfaces:
  web-1: { device: { netns: web-1, name: eth0 }, addresses: [10.0.0.11, "fd00:10::11"], securityGroups: [web] }
  db-1: { device: { netns: db-1, name: eth0 }, addresses: [10.0.0.21], securityGroups: [db] }
`;

function load(text: string): Config {
  const { config, problems } = loadText(text);
  assert.ok(config !== undefined, problemLines(problems).join('\n'));
  return config;
}

/** The text with one part of it replaced, which must be there. */
function edited(part: string, by: string): string {
  assert.ok(BASE.includes(part), part);
  return BASE.replace(part, by);
}

const NONE = { added: [], removed: [], changed: [] };
/** Of the ten rules seven are AWS's: those of the default group, and the egress of the other two. */
const UNCHANGED: Changes = {
  groups: NONE,
  rules: { added: [], removed: [], changed: [], kept: 10 },
  prefixLists: NONE,
  interfaces: NONE,
  flowLogs: NONE,
  order: [],
  settings: [],
};

const RULE_443 = '{ protocol: tcp, ports: 443, from: "0.0.0.0/0" }';
const RULE_5432 = '{ protocol: tcp, ports: 5432, from: "sg:web" }';
const RULE_22 = '{ protocol: tcp, ports: 22, from: "pl:office" }';

describe('the changes between two configurations', () => {
  test('none, wherever things stand in the file', () => {
    const moved = edited('prefixLists:', '# A comment.\n\nprefixLists:');
    for (const next of [BASE, moved]) {
      const changes = compareConfigs(load(BASE), load(next));
      assert.deepEqual(changes, UNCHANGED);
      assert.equal(hasChanges(changes), false);
    }
  });

  test('of what rules are described as, and of their order', () => {
    const next = edited(`${RULE_5432}, ${RULE_22}`, `${RULE_22}, ${RULE_5432}`)
      .replace(RULE_443, '{ protocol: tcp, ports: 443, from: "0.0.0.0/0", description: all }')
      .replace('from: "pl:office"', 'from: "pl:office", description: admins');
    const changes = compareConfigs(load(BASE), load(next));
    assert.deepEqual(changes, {
      ...UNCHANGED,
      rules: {
        ...UNCHANGED.rules,
        changed: ['web ingress: tcp 443 from 0.0.0.0/0', 'db ingress: tcp 22 from pl:office'],
      },
      order: ['rules of db'],
    });
    assert.equal(hasChanges(changes), true);
  });

  test('of a rule that decides something else and keeps its id, as calls change it', () => {
    const before = load(BASE);
    const groups = [...before.model.groups].map(([id, group]) => {
      const ingress = group.ingress.map((rule) =>
        rule.fromPort === 443 ? { ...rule, toPort: 444, description: 'more' } : rule,
      );
      return [id, { ...group, ingress }] as const;
    });
    const after = { ...before, model: { ...before.model, groups: new Map(groups) } };
    const changes = compareConfigs(before, after);
    assert.deepEqual(changes, {
      ...UNCHANGED,
      rules: {
        added: ['web ingress: tcp 443-444 from 0.0.0.0/0'],
        removed: ['web ingress: tcp 443 from 0.0.0.0/0'],
        changed: [],
        kept: 9,
      },
    });
    assert.equal(isSamePolicy(before, after, changes), false);
  });

  test('of rules, in the order of the file they are in', () => {
    const next = edited(
      `${RULE_5432}, ${RULE_22}`,
      `{ protocol: tcp, ports: 5433, from: "sg:web" }, ${RULE_22}, { protocol: udp, ports: 53, from: 10.0.0.0/8 }`,
    );
    assert.deepEqual(compareConfigs(load(BASE), load(next)).rules, {
      added: ['db ingress: tcp 5433 from sg:web', 'db ingress: udp 53 from 10.0.0.0/8'],
      removed: ['db ingress: tcp 5432 from sg:web'],
      changed: [],
      kept: 9,
    });
  });

  test('of groups that come, go and change', () => {
    const next = edited('Web servers', 'The web').replace(
      'interfaces:',
      '  spare: { ingress: [], egress: [{ protocol: udp, ports: 123, to: 10.0.0.1/32 }] }\ninterfaces:',
    );
    const there = compareConfigs(load(BASE), load(next));
    assert.deepEqual(there.groups, { added: ['spare'], removed: [], changed: ['web'] });
    assert.deepEqual(there.rules, {
      added: ['spare egress: udp 123 to 10.0.0.1/32'],
      removed: [],
      changed: [],
      kept: 10,
    });
    const back = compareConfigs(load(next), load(BASE));
    assert.deepEqual(back.groups, { added: [], removed: ['spare'], changed: ['web'] });
    assert.deepEqual(back.rules, {
      added: [],
      removed: ['spare egress: udp 123 to 10.0.0.1/32'],
      changed: [],
      kept: 10,
    });
  });

  test('of prefix lists: an entry more, another one, or another order', () => {
    for (const entries of ['203.0.113.0/24', '203.0.113.0/25, 198.51.100.0/24']) {
      const next = edited('203.0.113.0/24, 198.51.100.0/24', entries);
      assert.deepEqual(compareConfigs(load(BASE), load(next)).prefixLists, {
        ...NONE,
        changed: ['office'],
      });
    }
  });

  for (const [what, part, by] of [
    ['an address', '10.0.0.11,', '10.0.0.12,'],
    ['an address more', '[10.0.0.11, "fd00:10::11"]', '[10.0.0.11, "fd00:10::11", 10.0.0.13]'],
    ['an address less', '[10.0.0.11, "fd00:10::11"]', '[10.0.0.11]'],
    ['its groups', 'securityGroups: [web]', 'securityGroups: [web, db]'],
    ['the source check', 'securityGroups: [web]', 'securityGroups: [web], sourceDestCheck: false'],
    [
      'a time-out',
      'securityGroups: [web]',
      'securityGroups: [web], connectionTracking: { udpTimeout: 45 }',
    ],
    [
      'its most flows',
      'securityGroups: [web]',
      'securityGroups: [web], connectionTracking: { maxFlows: 1000 }',
    ],
    ['its device', 'netns: web-1, name: eth0', 'netns: web-1, name: eth1'],
    ['its namespace', 'netns: web-1, name: eth0', 'netns: web-2, name: eth0'],
  ] as const) {
    test(`of an interface: ${what}`, () => {
      const changes = compareConfigs(load(BASE), load(edited(part, by)));
      assert.deepEqual(changes.interfaces, { ...NONE, changed: ['web-1'] });
      assert.equal(hasChanges(changes), true);
    });
  }

  test('of interfaces that come and go', () => {
    const next = edited('  db-1: ', '  db-2: ');
    assert.deepEqual(compareConfigs(load(BASE), load(next)).interfaces, {
      added: ['db-2'],
      removed: ['db-1'],
      changed: [],
    });
  });
});

test('which rules came and went is what two sets of them say', () => {
  const rule = fc.integer({ min: 1, max: 12 });
  const rules = fc.uniqueArray(rule, { maxLength: 12 });
  const groups = fc.record(
    { a: rules, b: rules, c: rules, d: rules },
    { requiredKeys: ['a', 'b'] },
  );
  const textOf = (one: Readonly<Record<string, readonly number[] | undefined>>): string => {
    const written = Object.entries(one).map(([name, ports = []]) => {
      const list = ports.map((port) => `{ protocol: tcp, ports: ${port}, from: 10.0.0.0/8 }`);
      return `  ${name}: { ingress: [${list.join(', ')}], egress: [] }`;
    });
    return `securityGroups:\n${written.join('\n')}\n`;
  };
  const linesOf = ({ model }: Config): string[] =>
    [...model.groups.values()].flatMap(({ name, ingress, egress }) =>
      [...ingress, ...egress].map((one) => `${name} ${one.direction}: ${ruleText(one, model)}`),
    );
  fc.assert(
    fc.property(groups, groups, (before, after) => {
      const [current, next] = [load(textOf(before)), load(textOf(after))];
      const [old, now] = [linesOf(current), linesOf(next)];
      assert.deepEqual(compareConfigs(current, next).rules, {
        added: now.filter((line) => !old.includes(line)),
        removed: old.filter((line) => !now.includes(line)),
        changed: [],
        kept: now.filter((line) => old.includes(line)).length,
      });
    }),
    { numRuns: 100 },
  );
});
