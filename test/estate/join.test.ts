/** A join that is kept up to date equals one that is made at once, whatever has happened to the estate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../src/addr/address.ts';
import { Estate } from '../../src/estate/estate.ts';
import { type Joined, Joiner } from '../../src/estate/join.ts';
import type { Config } from '../../src/config/config.ts';
import { Edit } from '../../src/estate/edit.ts';
import { parseValueKey, valueKey } from '../../src/estate/keys.ts';
import { RowReader } from '../../src/estate/row-reader.ts';
import { estateOrigin, ROW_FORMS, vpcRef } from '../../src/estate/rows.ts';
import { AUDITS } from '../../src/policy/audit-tags.ts';
import type { Rule } from '../../src/policy/model.ts';
import { ONLY_VPC_ID, ownGroupId } from '../../src/policy/vpcs.ts';
import { loadText } from '../config/config-text.ts';

const HOST = 'here';
const OPTIONS = { host: HOST, netnsDirectory: '/run/netns', flowLogDirectory: '/var/log' };
const FILES = [
  'securityGroups: { other: {} }\n',
  'securityGroups:\n  web: { ingress: [{ protocol: tcp, ports: 80, from: 10.0.0.0/8 }] }\n',
];
const GROUPS = 5;
const INTERFACES = 3;

const number = fc.nat({ max: GROUPS - 1 });
const peers = fc.array(number, { maxLength: 3 });
/** What of a group has the tag `secgroupd:audit`. */
const audits = fc.constantFrom('nothing', 'nothing', 'the group', 'each rule', 'both');
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('group' as const), at: number, peers, audits }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('no group' as const), at: number }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('bad group' as const), at: number }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('interface' as const),
      at: fc.nat({ max: INTERFACES - 1 }),
      groups: fc.uniqueArray(number, { minLength: 1, maxLength: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('no interface' as const),
      at: fc.nat({ max: INTERFACES - 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('vpc' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('file' as const), at: fc.nat({ max: 1 }) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const digits = (at: number): string => String(at).padStart(17, '0');
/** The first is the default group, which files imply; the second has a name that a file declares. */
const groupId = (at: number): string =>
  at === 0 ? ownGroupId('default', undefined) : `sg-${digits(at)}`;
const NAMES = ['default', 'web', 'c', 'd', 'e'];

function groupText(at: number, named: readonly number[], what: string): string {
  const id = groupId(at);
  const rules = [...new Set(named)].map((peer, i): Rule => ({
    id: `sgr-${digits(10 * at + peer)}`,
    direction: i % 2 === 0 ? 'ingress' : 'egress',
    protocol: 6,
    fromPort: 80,
    toPort: 80,
    peer: { kind: 'group', groupId: groupId(peer) },
    description: '',
    origin: estateOrigin(id),
  }));
  const group = {
    id,
    name: NAMES[at],
    vpc: vpcRef(ONLY_VPC_ID),
    description: 'd',
    ingress: rules.filter(({ direction }) => direction === 'ingress'),
    egress: rules.filter(({ direction }) => direction === 'egress'),
    origin: estateOrigin(id),
  };
  const [isWhole, isNamed] = [/group|both/, /rule|both/].map((words) => words.test(what));
  const ruleTags = new Map(isNamed ? rules.map(({ id: rule }) => [rule, [AUDITS]]) : []);
  return JSON.stringify(
    ROW_FORMS.groups.encode({ group, ruleTags, tags: isWhole ? [AUDITS] : [] }),
  );
}

function interfaceText(at: number, groups: readonly number[]): string {
  const address = parseAddress(`10.0.0.${at + 1}`);
  assert.ok(address.ok);
  const device = { kind: 'tun' as const, name: `t${at}`, netns: undefined, mtu: 1500 };
  const value = {
    id: `eni-${digits(at)}`,
    vpcId: ONLY_VPC_ID,
    subnetId: undefined,
    addresses: [address.value],
    groupIds: groups.map(groupId),
    description: '',
    sourceDestCheck: true,
    connectionTracking: undefined,
    macAddress: '02:00:00:00:00:01',
    attachment: {
      ...{ id: 'eni-attach-1', host: HOST, instanceId: 'i-1', deviceIndex: 0, isByTags: false },
      attachedAt: '2026-01-01T00:00:00.000Z',
      device: { ...device, configure: false, persist: false },
    },
    tags: [],
  };
  return JSON.stringify(ROW_FORMS.interfaces.encode(value));
}

function rowOf(one: Step): { readonly key: string; readonly value?: string } | undefined {
  switch (one.kind) {
    case 'group':
      return {
        key: valueKey('groups', groupId(one.at)),
        value: groupText(one.at, one.peers, one.audits),
      };
    case 'bad group':
      return { key: valueKey('groups', groupId(one.at)), value: '{' };
    case 'no group':
      return { key: valueKey('groups', groupId(one.at)) };
    case 'interface': {
      const key = valueKey('interfaces', `eni-${digits(one.at)}`);
      return { key, value: interfaceText(one.at, one.groups) };
    }
    case 'no interface':
      return { key: valueKey('interfaces', `eni-${digits(one.at)}`) };
    case 'vpc': {
      const vpc = {
        ...{ id: 'vpc-00000000000000009', blocks: [], isDefault: false, tags: [] },
        ...{ enableDnsHostnames: false, enableDnsSupport: true },
        enableNetworkAddressUsageMetrics: false,
      };
      return { key: valueKey('vpcs', vpc.id), value: JSON.stringify(ROW_FORMS.vpcs.encode(vpc)) };
    }
    case 'file':
      return undefined;
    default:
      return one satisfies never;
  }
}

/** What an edit with the rows of a round would give; undefined: no edit can write them. */
function foresee(
  joiner: Joiner,
  estate: Estate,
  file: Config,
  round: readonly Step[],
): ReturnType<Joiner['join']> | undefined {
  if (estate.unreadable.size > 0) return undefined;
  const edit = new Edit(estate);
  for (const one of round) {
    const row = rowOf(one);
    if (row === undefined || one.kind === 'bad group') return undefined;
    const { folder, id } = parseValueKey(row.key)!;
    if (row.value === undefined) {
      edit.erase(folder, id);
      continue;
    }
    const value = ROW_FORMS[folder].decode(id, RowReader.parse(row.key, row.value));
    edit.write(folder, id, value);
  }
  return joiner.previewEdit(file, edit);
}

/** With groups in a map of one kind. */
function plain({ config, leftOut }: Joined): Joined {
  const model = { ...config.model, groups: new Map(config.model.groups) };
  return { config: { ...config, model }, leftOut };
}

test('what is kept up to date is what a join from the start gives', () => {
  const files = FILES.map((text) => {
    const { config, problems } = loadText(text);
    assert.ok(config !== undefined, JSON.stringify(problems));
    return config;
  });
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 3 }), { maxLength: 12 }), (rounds) => {
      const estate = new Estate();
      const kept = new Joiner(estate, OPTIONS);
      let file = files[0];
      let revision = 0;
      for (const round of rounds) {
        const foreseen = foresee(kept, estate, file, round);
        for (const one of round) {
          if (one.kind === 'file') file = files[one.at];
          const row = rowOf(one);
          if (row === undefined) continue;
          revision++;
          const { key, value } = row;
          estate.apply(
            value === undefined
              ? { revision, puts: [], deletes: [key] }
              : { revision, puts: [{ key, value, revision }], deletes: [] },
          );
        }
        const before = kept.join(file);
        const fresh = new Joiner(estate, OPTIONS).preview(file);
        assert.deepEqual(plain(before), plain(fresh));
        if (foreseen !== undefined) assert.deepEqual(plain(foreseen), plain(before));
        if (estate.unreadable.size > 0) continue;
        const again = kept.join(file);
        assert.ok(again.config.model.interfaces === before.config.model.interfaces);
      }
    }),
  );
});

test('what a tag says audits is beside the rules, under its id; a rule of a peer that is gone is left out', () => {
  const { config } = loadText(FILES[0]);
  assert.ok(config !== undefined);
  const estate = new Estate();
  const put = (at: number, what: string, revision: number): void => {
    const value = groupText(at, [2, 3], what);
    const key = valueKey('groups', groupId(at));
    estate.apply({ revision, puts: [{ key, value, revision }], deletes: [] });
  };
  put(2, 'nothing', 1);
  put(3, 'both', 2);
  put(4, 'each rule', 3);
  const joiner = new Joiner(estate, OPTIONS);
  const inForce = (at: number): readonly (readonly string[])[] => {
    const { ingress, egress, audited = [] } = joiner.join(config).config.model.groups.get(groupId(at))!; // prettier-ignore
    return [[...ingress, ...egress], audited].map((rules) =>
      rules.map(({ id, implied, audit }) => `${implied === true ? 'all' : id} ${audit ?? false}`),
    );
  };
  const id = (at: number, peer: number): string => `sgr-${digits(10 * at + peer)}`;
  assert.deepEqual(inForce(2), [[`${id(2, 2)} false`, `${id(2, 3)} false`], []]);
  const all = new Array<string>(4).fill('all true');
  assert.deepEqual(inForce(3), [[], [`${id(3, 2)} true`, `${id(3, 3)} true`, ...all]]);
  assert.deepEqual(inForce(4), [[], [`${id(4, 2)} true`, `${id(4, 3)} true`]]);
  estate.apply({ revision: 4, puts: [], deletes: [valueKey('groups', groupId(2))] });
  assert.deepEqual(inForce(4), [[], [`${id(4, 3)} true`]]);
  put(4, 'nothing', 5);
  assert.deepEqual(inForce(4), [[`${id(4, 3)} false`], []]);
});

test('a default group whose row can not be read lets nothing through', () => {
  const { config } = loadText(FILES[0]);
  assert.ok(config !== undefined);
  const id = groupId(0);
  assert.equal(config.model.groups.get(id)?.egress.length, 2, 'the file implies it');
  const estate = new Estate();
  const puts = [{ key: valueKey('groups', id), value: '{', revision: 1 }];
  estate.apply({ revision: 1, puts, deletes: [] });
  const group = new Joiner(estate, OPTIONS).join(config).config.model.groups.get(id);
  assert.deepEqual([group?.ingress, group?.egress], [[], []]);
});
