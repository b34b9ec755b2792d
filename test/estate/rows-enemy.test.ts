/**
 * Rows as an enemy would write them: each is read, or refused with a RowError, and nothing else happens. A host whose
 * store has such rows goes on with the others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EstateFollower } from '../../src/estate/estate-follower.ts';
import { HostPart } from '../../src/estate/host-part.ts';
import { decodeMember, indexRows, memberText } from '../../src/estate/index-rows.ts';
import { Joiner } from '../../src/estate/join.ts';
import { memberKey, placedKey, valueKey } from '../../src/estate/keys.ts';
import type { EstateGroup, EstateInterface } from '../../src/estate/model.ts';
import { RowError, RowReader } from '../../src/estate/row-reader.ts';
import { decodeApplied, ROW_FORMS, type FolderValues } from '../../src/estate/rows.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import { RuleNumbers } from '../../src/policy/rule-numbers.ts';
import { normalizeRange } from '../../src/policy/rules.ts';
import { loadText } from '../config/config-text.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import * as values from './values.ts';

const HOST = 'a';
const OPTIONS = { host: HOST, netnsDirectory: '/run/netns', flowLogDirectory: '/var/log' };
const NEST = 20_000;
const LONG = 200_000;
const RUNS = 500;

type Folder = keyof FolderValues;

/** Texts of right rows, by their folder. */
const RIGHT: Readonly<Record<Folder, fc.Arbitrary<string>>> = {
  vpcs: textOf('vpcs', values.vpcs),
  subnets: textOf('subnets', values.subnets),
  groups: textOf('groups', values.groups),
  'prefix-lists': textOf('prefix-lists', values.prefixLists),
  interfaces: textOf('interfaces', values.interfaces),
  'flow-logs': textOf('flow-logs', values.flowLogs),
  'insights-paths': textOf('insights-paths', values.paths),
  'insights-analyses': textOf('insights-analyses', values.analyses),
};
const FOLDERS = Object.keys(RIGHT) as readonly Folder[];

function textOf(folder: Folder, all: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  const { encode } = ROW_FORMS[folder] as { encode: (value: unknown) => object };
  return all.map((value) => JSON.stringify(encode(value)));
}

/** JSON that somebody means harm with. */
const evil: fc.Arbitrary<string> = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value)),
  fc.constantFrom(
    ...['1e308', '-1', '9007199254740993', '1e400', '0.5', 'null', '""', '[]', '{}'],
    ...['"\\ud800"', '"\\u0000"', '"/"', '".."', '"a/b"', '"__proto__"', '"0.0.0.0/0"', '"::/0"'],
    ...['{"__proto__":{"tags":1}}', '{"constructor":{}}', '[null]', '[{}]', '[[]]'],
    `"${'x'.repeat(LONG)}"`,
    `[${'0,'.repeat(LONG)}0]`,
    `${'['.repeat(NEST)}${']'.repeat(NEST)}`,
    `${'{"a":'.repeat(NEST)}1${'}'.repeat(NEST)}`,
  ),
);

/** A right row of which something, at any depth, was replaced. */
function spoiled(right: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 1, arbitrary: evil },
    { weight: 1, arbitrary: fc.tuple(right, fc.nat(500)).map(([text, at]) => text.slice(0, at)) },
    { weight: 8, arbitrary: fc.tuple(right, fc.nat(), evil).map((made) => replaceOne(...made)) },
  );
}

const MARK = '\u0001here';

/** Replaces one of the values that a text has, its own or one within. */
function replaceOne(text: string, at: number, by: string): string {
  const root = { root: JSON.parse(text) as unknown };
  const places: (readonly [holder: Record<string, unknown>, key: string])[] = [];
  const visit = (holder: Record<string, unknown>): void => {
    for (const [key, value] of Object.entries(holder)) {
      places.push([holder, key]);
      if (typeof value === 'object' && value !== null) visit(value as Record<string, unknown>);
    }
  };
  visit(root);
  const [holder, key] = places[at % places.length];
  holder[key] = MARK;
  return JSON.stringify(root.root).replace(JSON.stringify(MARK), () => by);
}

/** Reads, or refuses as a reader of rows does. */
function readOrRefuse<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RowError) return undefined;
    throw error;
  }
}

/** What compiles rules relies on it. */
function assertRight({ group }: EstateGroup): void {
  for (const { protocol, fromPort, toPort } of [...group.ingress, ...group.egress])
    assert.deepEqual(normalizeRange(protocol, fromPort, toPort), {
      ...{ ok: true, value: { fromPort, toPort } },
    });
}

test('what an enemy wrote is read whole, or refused', () => {
  for (const folder of FOLDERS) {
    let read = 0;
    fc.assert(
      fc.property(spoiled(RIGHT[folder]), (text) => {
        const { decode, encode } = ROW_FORMS[folder] as {
          decode: (id: string, row: RowReader) => unknown;
          encode: (value: unknown) => object;
        };
        const of = (row: string): unknown => decode('id-1', RowReader.parse('row', row));
        const value = readOrRefuse(() => of(text));
        if (value === undefined) return;
        read++;
        // Analyses are of API servers alone, and have any JSON, which may be nested deeper than can be written.
        if (folder === 'insights-analyses') return;
        assert.deepEqual(of(JSON.stringify(encode(value))), value);
        if (folder === 'interfaces') indexRows(value as EstateInterface);
        if (folder === 'groups') assertRight(value as EstateGroup);
      }),
      { numRuns: RUNS },
    );
    // A member that nobody reads may be anything.
    assert.ok(read < RUNS, folder);
  }
});

test('so are members of groups, and what hosts say', () => {
  const member = fc.record({
    name: fc.string(),
    host: fc.string(),
    addresses: fc.constant(['10.0.0.1']),
  });
  const applied = fc.record({ revision: fc.nat(), leftOut: fc.constant({ 'eni-1': 'why' }) });
  const textsOf = (of: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
    spoiled(of.map((value) => JSON.stringify(value)));
  fc.assert(
    fc.property(textsOf(member), (text) => {
      const value = readOrRefuse(() => decodeMember('row', 'eni-1', text));
      if (value !== undefined)
        assert.deepEqual(decodeMember('row', 'eni-1', memberText(value)), value);
    }),
  );
  fc.assert(
    fc.property(textsOf(applied), (text) => {
      readOrRefuse(() => decodeApplied('row', text));
    }),
  );
});

/** A key below which something of the host `a` is looked for. */
const evilKey = fc.oneof(
  fc.constantFrom(
    ...['desired/', 'desired/groups/', 'desired/groups/a/b', 'desired/members/sg-1'],
    ...['desired/members/sg-1/', 'desired/members/sg-1/a/b', 'desired/members//', 'desired/x'],
    ...[placedKey(HOST, ''), placedKey(HOST, 'a/b'), placedKey(HOST, ' '), 'desired/layouts'],
    ...['desired/placed/', 'desired/placed/%/', 'desired/previews/', 'desired/previews/a/b'],
  ),
  fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).map((rest) => `desired/${rest}`),
);

interface Row {
  readonly key: string;
  readonly value: string;
}

/** A right interface of the host, with its group. */
const SOUND = { eni: 'eni-sound', group: 'sg-sound', other: 'sg-other' };

function soundRows(group: EstateGroup, one: EstateInterface): readonly Row[] {
  const text = (folder: 'groups' | 'interfaces', value: unknown): string => {
    const { encode } = ROW_FORMS[folder] as { encode: (value: unknown) => object };
    return JSON.stringify(encode(value));
  };
  const attached: EstateInterface = {
    ...{ ...one, id: SOUND.eni, groupIds: [SOUND.group], subnetId: undefined },
    ...{ addresses: [{ family: 4, words: [0x0a000001] }], connectionTracking: undefined },
    attachment: {
      ...{ id: 'attach', host: HOST, instanceId: 'i-1', deviceIndex: 0 },
      ...{ attachedAt: '2026-01-01T00:00:00.000Z', isByTags: false },
      device: {
        ...{ kind: 'tun', name: 't0', netns: undefined, mtu: 1500 },
        ...{ configure: false, persist: false },
      },
    },
  };
  const { declaredAt: _, ...own } = attached;
  return [
    { key: valueKey('groups', SOUND.group), value: text('groups', group) },
    { key: valueKey('interfaces', SOUND.eni), value: text('interfaces', own) },
    ...[...indexRows(own)].map(([key, value]) => ({ key, value })),
  ];
}

const evilRow = fc.oneof(
  fc
    .constantFrom(...FOLDERS)
    .chain((folder) =>
      spoiled(RIGHT[folder]).map((value) => ({ key: valueKey(folder, 'evil-1'), value })),
    ),
  spoiled(RIGHT.groups).map((value) => ({ key: valueKey('groups', SOUND.other), value })),
  spoiled(fc.constant('{"name":"n","host":"b","addresses":["10.0.0.2"]}')).map((value) => ({
    ...{ key: memberKey(SOUND.other, 'eni-2'), value },
  })),
  fc.tuple(evilKey, evil).map(([key, value]) => ({ key, value })),
);

test('a host goes on with what it can read, whatever else is in the store', async () => {
  const declared = loadText('uplink: { tun: up0 }\n').config!;
  await fc.assert(
    fc.asyncProperty(
      values.groups,
      values.interfaces,
      fc.array(fc.array(evilRow, { maxLength: 4 }), { minLength: 1, maxLength: 4 }),
      fc.array(spoiled(RIGHT.interfaces), { maxLength: 2 }),
      async (group, one, rounds, placed) => {
        const memory = new Memory();
        // By another hand: no commit of ours has such rows.
        const put = (puts: readonly Row[]): void => {
          const last = new Map(puts.map((row) => [row.key, row] as const));
          memory.commits.push({ puts: [...last.values()], deletes: [] });
          for (const wake of [...memory.waiting]) wake();
        };
        put([
          ...soundRows(group, one),
          ...placed.flatMap((value, i) => [
            { key: placedKey(HOST, `eni-evil-${i}`), value: '{}' },
            { key: valueKey('interfaces', `eni-evil-${i}`), value },
          ]),
        ]);
        const store = new MemoryStore(memory);
        const troubles: string[] = [];
        const follower = new EstateFollower({
          ...{ store, scope: new HostPart(HOST) },
          onTrouble: (message) => troubles.push(message),
        });
        await follower.open();
        const joiner = new Joiner(follower.estate, OPTIONS);
        for (const round of [[], ...rounds]) {
          put([{ key: valueKey('vpcs', 'vpc-tick'), value: '{' }, ...round]);
          const revision = memory.commits.length;
          assert.ok(await follower.reach(revision, GUARD_MS), troubles.join('\n'));
          const { config } = joiner.join(declared);
          compilePolicy({
            ...{ model: config.model, special: config.special, generation: 1 },
            ports: new Map(config.interfaces.map(({ id }, i) => [id, i + 1])),
            ruleNumbers: new RuleNumbers(),
          });
          assert.ok(config.model.interfaces.has(SOUND.eni), 'it is in force');
          // What can't be read is all that is wrong.
          for (const trouble of troubles)
            assert.match(trouble, /^a row of the store can't be read/);
        }
        await follower.close();
      },
    ),
    { numRuns: 300 },
  );
});
