/** What is written of a model and read again says the same: as a configuration, a CloudFormation template, Terraform. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { makeAuditAll } from '../../src/policy/audit.ts';
import { ruleIdOfKey } from '../../src/policy/default-group.ts';
import { DEFAULT_CONNECTION_TRACKING } from '../../src/policy/idle-timeouts.ts';
import { stableId } from '../../src/policy/ids.ts';
import type {
  Direction,
  NetworkInterface,
  PolicyModel,
  PrefixList,
  Rule,
  SecurityGroup,
} from '../../src/policy/model.ts';
import { ANY } from '../../src/policy/model.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import { makeConfig } from '../../src/inputs/make-config.ts';
import { writeConfiguration } from '../../src/outputs/write-configuration.ts';
import { writeTemplate } from '../../src/outputs/write-template.ts';
import { writeTerraform } from '../../src/outputs/write-terraform.ts';
import { load, describeModel, writeFolder } from '../inputs/support.ts';
import { mustAddress, mustCidr } from '../support/policy.ts';
import { planOf } from './terraform-json.ts';

const RUNS = 150;
const origin = { file: 'x', line: 1, column: 1, path: '' };
/** Names that differ in what keys and logical ids can't have. */
const NAMES = ['web', 'web-1', 'webx1', 'webIn1', 'web 1', 'A.b', '7 of 9', 'x${y}', '-'];
const LISTS = ['offices', 'off ices'];
const BLOCKS = ['0.0.0.0/0', '10.0.0.0/8', '192.0.2.1/32', '::/0', 'fd00:10::/64'].map(mustCidr);

type Service = Pick<Rule, 'protocol' | 'fromPort' | 'toPort'>;
const services: fc.Arbitrary<Service> = fc.oneof(
  fc.constant({ protocol: -1, fromPort: ANY, toPort: ANY }),
  fc.constantFrom(47, 50).map((protocol) => ({ protocol, fromPort: ANY, toPort: ANY })),
  fc.tuple(fc.constantFrom(6, 17), fc.constantFrom([0, 0], [22, 22], [80, 90], [0, 65535])).map(([protocol, [fromPort, toPort]]) => ({ protocol, fromPort, toPort })),
  fc.tuple(fc.constantFrom(1, 58), fc.constantFrom([ANY, ANY], [8, ANY], [3, 4])).map(([protocol, [fromPort, toPort]]) => ({ protocol, fromPort, toPort })),
); // prettier-ignore

const models: fc.Arbitrary<PolicyModel> = fc
  .record({ names: fc.subarray(NAMES, { minLength: 1 }), lists: fc.subarray(LISTS) })
  .chain(({ names, lists }) => {
    const ids = names.map((name) => stableId('sg', name));
    const peers = fc.oneof(
      fc.constantFrom(...BLOCKS).map((block): Rule['peer'] => ({ kind: 'cidr', cidr: block })),
      fc.constantFrom(...ids).map((groupId): Rule['peer'] => ({ kind: 'group', groupId })),
      ...lists.map((name) =>
        fc.constant<Rule['peer']>({ kind: 'prefixList', prefixListId: stableId('pl', name) }),
      ),
    );
    const rules = fc.array(fc.tuple(services, peers, fc.constantFrom('', 'its #1: ${x}')), {
      maxLength: 3,
    });
    const group = (name: string): fc.Arbitrary<SecurityGroup> =>
      fc
        .tuple(rules, rules, fc.constantFrom('', 'a group'), fc.boolean())
        .map(([ingress, egress, description, audits]) => {
          const id = stableId('sg', name);
          const make = (drawn: typeof ingress, direction: Direction): Rule[] => {
            const made = drawn.map(([service, peer, text]) => ({
              ...service,
              direction,
              peer,
              description: text,
              origin,
            }));
            const unique = new Map(made.map((rule) => [ruleKey(rule), rule]));
            return [...unique].map(([key, rule]) => ({
              id: ruleIdOfKey(id, direction, key),
              ...rule,
            }));
          };
          return {
            id,
            name,
            description,
            ingress: make(ingress, 'ingress'),
            egress: make(egress, 'egress'),
            ...(audits ? { audited: makeAuditAll(id, origin) } : {}),
            origin,
          };
        });
    const list = (name: string): fc.Arbitrary<PrefixList> =>
      fc.tuple(fc.constantFrom<4 | 6>(4, 6), fc.subarray(BLOCKS)).map(([family, blocks]) => ({
        ...{ id: stableId('pl', name), name, family, maxEntries: 7, origin },
        entries: blocks
          .filter((block) => block.family === family)
          .map((block) => ({ cidr: block, description: '' })),
      }));
    const interfaces = fc.array(fc.subarray(ids, { minLength: 1 }), { maxLength: 3 }).map((drawn) =>
      drawn.map((groupIds, i): NetworkInterface => {
        const name = `eni-${i}`;
        return {
          id: stableId('eni', name),
          name,
          addresses: [mustAddress(`10.9.0.${i + 4}`)],
          groupIds,
          sourceDestCheck: i % 2 === 0,
          connectionTracking: DEFAULT_CONNECTION_TRACKING,
          origin,
        };
      }),
    );
    return fc.record({
      groups: fc.tuple(...names.map(group)),
      lists: fc.tuple(...lists.map(list)),
      interfaces,
    });
  })
  .map(({ groups, lists, interfaces }) => ({
    groups: new Map(groups.map((one) => [one.id, one])),
    prefixLists: new Map(lists.map((one) => [one.id, one])),
    interfaces: new Map(interfaces.map((one) => [one.id, one])),
    isElsewhere: true,
  }));

/** Rules with descriptions, by the names of groups and lists; those that another form calls otherwise are put back. */
function saidOf(
  model: PolicyModel,
  rename: ReadonlyMap<string, string> = new Map(),
): readonly string[] {
  const nameOf = (name: string): string => rename.get(name) ?? name;
  const groups = new Map(
    [...model.groups].map(([id, group]) => [id, { ...group, name: nameOf(group.name) }]),
  );
  const prefixLists = new Map(
    [...model.prefixLists].map(([id, list]) => [id, { ...list, name: nameOf(list.name) }]),
  );
  const renamed = { ...model, groups, prefixLists };
  const texts = [...groups.values()].flatMap(({ name, ingress, egress }) =>
    [...ingress, ...egress].map(({ description, ...rule }) =>
      `${name} "${description}" ${ruleKey(rule)}`.replace(
        /(?:sg|pl)-[0-9a-f]{17}/g,
        (id) => groups.get(id)?.name ?? prefixLists.get(id)?.name ?? id,
      ),
    ),
  );
  return [...texts, ...describeModel(renamed)]
    .filter((line) => !line.includes('127.0.0.1/32'))
    .sort();
}

function withoutInterfaces(model: PolicyModel): PolicyModel {
  return { ...model, interfaces: new Map() };
}

test('a configuration: groups, lists, interfaces', (t) => {
  const file = join(writeFolder(t, {}), 'written.yaml');
  fc.assert(
    fc.property(models, (model) => {
      const { text, losses } = writeConfiguration(makeConfig('x', model, '/run/netns'));
      assert.deepEqual(losses, []);
      writeFileSync(file, text);
      const { model: read } = load(file).config;
      const groups = new Map([...read.groups].filter(([, { name }]) => name !== 'default'));
      // Lists are called by their keys, which may be others.
      const lists = new Map(
        [...read.prefixLists.values()].map(({ name }, i) => [
          name,
          [...model.prefixLists.values()][i].name,
        ]),
      );
      const names = new Map(
        [...groups.values()].map(({ name }, i) => [name, [...model.groups.values()][i].name]),
      );
      assert.deepEqual(saidOf({ ...read, groups }, new Map([...lists, ...names])), saidOf(model));
    }),
    { numRuns: RUNS },
  );
});

test('a CloudFormation template: groups and lists', (t) => {
  const file = join(writeFolder(t, {}), 'written.json');
  fc.assert(
    fc.property(models, (model) => {
      writeFileSync(file, writeTemplate(model).text);
      assert.deepEqual(saidOf(load(file).config.model), saidOf(withoutInterfaces(model)));
    }),
    { numRuns: RUNS },
  );
});

test('Terraform: groups and lists, as a plan has them', (t) => {
  const file = join(writeFolder(t, {}), 'plan.json');
  fc.assert(
    fc.property(models, (model) => {
      writeFileSync(file, JSON.stringify(planOf(JSON.parse(writeTerraform(model).text) as object)));
      assert.deepEqual(saidOf(load(file).config.model), saidOf(withoutInterfaces(model)));
    }),
    { numRuns: RUNS },
  );
});
