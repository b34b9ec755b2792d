/** What a host holds of an estate is what one revision has, and it decides as if it held all. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { formatAddress } from '../../src/addr/address.ts';
import type { Config } from '../../src/config/config.ts';
import { Edit } from '../../src/estate/edit.ts';
import type { Estate } from '../../src/estate/estate.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { EstateFollower } from '../../src/estate/estate-follower.ts';
import { HostPart } from '../../src/estate/host-part.ts';
import { Joiner, type Joined } from '../../src/estate/join.ts';
import { LAYOUT_KEY, membersPrefix, placedPrefix, valueKey } from '../../src/estate/keys.ts';
import { RowReader } from '../../src/estate/row-reader.ts';
import { ROW_FORMS } from '../../src/estate/rows.ts';
import type { PolicyModel, Rule } from '../../src/policy/model.ts';
import type { Change, Row, Snapshot } from '../../src/store/store.ts';
import { loadText } from '../config/config-text.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { groupId, HOSTS, interfaceId, make, step, writeGroup, type Step } from './part-steps.ts';
import { DEFAULT_VPC } from './world.ts';
import { writeAttached } from './write-interface.ts';

const PLACE = { device: 't0', address: '10.0.0.1' };

/** The keys that a host needs at a revision, found by reading everything: the slow twin of HostPart. */
function neededKeys(rows: ReadonlyMap<string, Row>, host: string): readonly string[] {
  const groupOf = (id: string): readonly Rule[] => {
    const row = rows.get(valueKey('groups', id));
    if (row === undefined) return [];
    const { ingress, egress } = ROW_FORMS.groups.decode(id, RowReader.parse('', row.value)).group;
    return [...ingress, ...egress];
  };
  const placed = [...rows.keys()].filter((key) => key.startsWith(placedPrefix(host)));
  const ids = placed.map((key) => key.slice(placedPrefix(host).length));
  const own = ids.flatMap((id) => {
    const { value } = rows.get(valueKey('interfaces', id))!;
    return ROW_FORMS.interfaces.decode(id, RowReader.parse('', value)).groupIds;
  });
  const peers = [...own, groupId(0)].flatMap(groupOf).map(({ peer }) => peer);
  const named = peers.flatMap((peer) => (peer.kind === 'group' ? [peer.groupId] : []));
  const lists = peers.flatMap((peer) => (peer.kind === 'prefixList' ? [peer.prefixListId] : []));
  const single = new Set([
    LAYOUT_KEY,
    ...ids.map((id) => valueKey('interfaces', id)),
    ...[...own, ...named, groupId(0)].map((id) => valueKey('groups', id)),
    ...lists.map((id) => valueKey('prefix-lists', id)),
  ]);
  const prefixes = [
    ...[placedPrefix(host), 'desired/vpcs/', 'desired/release'],
    ...named.map(membersPrefix),
  ];
  return [...rows.keys()].filter(
    (key) => single.has(key) || prefixes.some((prefix) => key.startsWith(prefix)),
  );
}

/** A store that takes its time, and whose watch fails now and then. */
class WaywardStore extends MemoryStore {
  private readonly numbers: Iterator<number>;

  constructor(memory: Memory, numbers: Iterator<number>) {
    super(memory);
    this.numbers = numbers;
  }

  override async read(prefix: string, revision?: number): Promise<Snapshot> {
    for (let i = this.next(4); i > 0; i--) await nextTurn();
    return super.read(prefix, revision);
  }

  override async *watch(
    prefix: string,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<Change> {
    for await (const change of super.watch(prefix, after, signal)) {
      if (this.next(8) === 0) throw new Error('the watch failed');
      yield change;
    }
  }

  private next(bound: number): number {
    return (this.numbers.next().value as number) % bound;
  }
}

function* cycle(numbers: readonly number[]): Generator<number, never> {
  for (;;) yield* numbers;
}

/** Members on other hosts, by their groups. */
function remoteOf({ remoteMembers = new Map() }: PolicyModel): object {
  const texts = [...remoteMembers].flatMap(([id, members]) =>
    [...members].map(
      (one) => `${id} ${one.id} ${one.host} ${one.addresses.map(formatAddress).join()}`,
    ),
  );
  return texts.sort();
}

/** What a join says that decides anything: what has to do with an interface of this host. */
function decisive({ config, leftOut }: Joined): object {
  const { model, interfaces } = config;
  const own = new Set([...model.interfaces.values()].flatMap(({ groupIds }) => groupIds));
  const groups = [...own].sort().map((id) => model.groups.get(id));
  const lists = groups.flatMap((one) =>
    [...(one?.ingress ?? []), ...(one?.egress ?? [])].flatMap(({ peer }) =>
      peer.kind === 'prefixList' ? [model.prefixLists.get(peer.prefixListId)] : [],
    ),
  );
  const ids = [...own, ...model.interfaces.keys()];
  return {
    ...{ interfaces, groups, lists, vpcs: model.vpcs },
    members: model.interfaces,
    remote: remoteOf(model),
    leftOut: ids.filter((id) => leftOut.has(id)).sort(),
  };
}

function joinerOf(follower: EstateFollower, host: string): Joiner {
  const options = { host, netnsDirectory: '/run/netns', flowLogDirectory: '/var/log' };
  return new Joiner(follower.estate, options);
}

function loadFile(): Config {
  const { config } = loadText('securityGroups: { other: {} }\n');
  assert.ok(config !== undefined);
  return config;
}

test('a host holds what one revision has, and decides as if it held all', async () => {
  const file = loadFile();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { maxLength: 15 }),
      fc.array(fc.nat(100), { minLength: 50, maxLength: 50 }),
      fc.array(fc.nat(10), { minLength: 15, maxLength: 15 }),
      fc.array(step, { minLength: 1, maxLength: 3 }),
      async (rounds, numbers, whims, asked) => {
        const memory = new Memory();
        const failures: unknown[] = [];
        const onTrouble = (): void => undefined;
        const writer = await EstateClient.open({ store: new MemoryStore(memory), onTrouble });
        const parts = HOSTS.map((host, i) => {
          const store = new WaywardStore(memory, cycle(numbers.slice(i)));
          const follower = new EstateFollower({ store, scope: new HostPart(host), onTrouble });
          const joiner = joinerOf(follower, host);
          const check = (): void => {
            const rows = memory.rowsAt(follower.estate.revision);
            const held = [...follower.estate.keys()].sort();
            assert.deepEqual(held, [...neededKeys(rows, host)].sort());
            for (const key of held)
              assert.equal(follower.estate.revisionOf(key), rows.get(key)?.revision);
            const whole = joinerOf(writer, host);
            if (writer.estate.revision === follower.estate.revision)
              assert.deepEqual(decisive(joiner.join(file)), decisive(whole.join(file)));
          };
          // To the follower, a failure would be one of the store.
          follower.listen(() => {
            try {
              check();
            } catch (error) {
              failures.push(error);
            }
          });
          follower.start(false);
          return follower;
        });
        await writer.change((edit) => {
          edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
          writeGroup(edit, { kind: 'group', at: 0, groups: [0], lists: [] });
          return { ok: true, value: undefined };
        });
        for (const [i, round] of rounds.entries()) {
          await writer.change((edit) => {
            for (const one of round) make(edit, one);
            return { ok: true, value: undefined };
          });
          for (let n = whims[i]; n > 0; n--) await nextTurn();
          if (whims[i] === 0) memory.compacted = memory.commits.length;
        }
        // What came and went in one commit leaves a release, and nothing to enforce.
        const { contentRevision: revision } = writer.estate;
        for (const [i, part] of parts.entries()) {
          const at = (): number => part.estate.contentRevision;
          assert.ok(await part.until(() => at() >= revision, GUARD_MS), `${HOSTS[i]} at ${at()}`);
          assert.deepEqual(
            decisive(joinerOf(part, HOSTS[i]).join(file)),
            decisive(joinerOf(writer, HOSTS[i]).join(file)),
          );
          // What a change would do that nobody makes is told as if all rows were held, too.
          const edit = (estate: Estate): Edit => {
            const made = new Edit(estate);
            for (const one of asked) make(made, one);
            return made;
          };
          memory.compacted = 0;
          assert.deepEqual(
            decisive(joinerOf(part, HOSTS[i]).previewEdit(file, await part.preview(edit))),
            decisive(joinerOf(writer, HOSTS[i]).previewEdit(file, edit(writer.estate))),
          );
          await part.close();
        }
        await writer.close();
        if (failures.length > 0) throw failures[0];
      },
    ),
    { numRuns: 60 },
  );
});

/** A writer, and what the host `a` holds. */
async function startPart(t: TestContext): Promise<{
  readonly memory: Memory;
  readonly writer: EstateClient;
  readonly part: HostPart;
  readonly follower: EstateFollower;
  readonly troubles: readonly string[];
  readonly change: (work: (edit: Edit) => void) => Promise<number>;
}> {
  const memory = new Memory();
  const troubles: string[] = [];
  const onTrouble = (message: string): number => troubles.push(message);
  const writer = await EstateClient.open({ store: new MemoryStore(memory), onTrouble });
  const part = new HostPart('a');
  const follower = new EstateFollower({ store: new MemoryStore(memory), scope: part, onTrouble });
  await follower.open();
  t.after(async () => {
    await follower.close();
    await writer.close();
  });
  const change = async (work: (edit: Edit) => void): Promise<number> => {
    await writer.change((edit) => {
      work(edit);
      return { ok: true, value: undefined };
    });
    const { revision } = writer.estate;
    assert.ok(await follower.reach(revision, GUARD_MS));
    return revision;
  };
  return { memory, writer, part, follower, troubles, change };
}

const WEB: Step & { readonly kind: 'group' } = { kind: 'group', at: 1, groups: [2], lists: [] };

test('a row that can not be read leaves the former one in force, and says so', async (t) => {
  const { writer, part, follower, change } = await startPart(t);
  await change((edit) => {
    writeGroup(edit, WEB);
    writeGroup(edit, { kind: 'group', at: 2, groups: [], lists: [] });
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'a' });
  });
  const key = valueKey('groups', groupId(1));
  await change((edit) => edit.put(key, '{"from":"a newer version"}'));
  assert.equal(follower.estate.group(groupId(1))?.group.ingress.length, 1);
  assert.deepEqual([...part.kept], [[key, `${key}.vpcId is not a text`]]);
  assert.equal(writer.estate.unreadable.size, 1);
  await change((edit) => writeGroup(edit, { ...WEB, groups: [] }));
  assert.equal(follower.estate.group(groupId(1))?.group.ingress.length, 0);
  assert.equal(part.kept.size, 0);
});

test('a row that could never be read closes what it is about', async (t) => {
  const { part, follower, change } = await startPart(t);
  await change((edit) => {
    edit.put(valueKey('groups', groupId(1)), '{');
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'a' });
  });
  assert.equal(part.kept.size, 0);
  assert.equal(follower.estate.unreadable.size, 1);
  const { model } = joinerOf(follower, 'a').join(loadFile()).config;
  assert.deepEqual(model.groups.get(groupId(1))?.ingress, []);
});

test('rows of a newer layout change nothing until they are understood', async (t) => {
  const { memory, follower, troubles, change } = await startPart(t);
  await change((edit) => {
    writeGroup(edit, WEB);
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'a' });
  });
  const { revision } = follower.estate;
  const other = new MemoryStore(memory);
  const row = { key: LAYOUT_KEY, value: '{"layout":3}' };
  await other.commit({ conditions: [], puts: [row], deletes: [valueKey('groups', groupId(1))] });
  while (troubles.length < 2) await nextTurn();
  assert.match(troubles[0], /^the rows of the store have layout 3, and this version knows 2/);
  assert.equal(follower.estate.revision, revision);
  assert.ok(follower.estate.group(groupId(1)) !== undefined);
  await other.commit({ conditions: [], puts: [], deletes: [LAYOUT_KEY] });
  assert.ok(await follower.until(() => follower.estate.group(groupId(1)) === undefined, GUARD_MS));
});

test('what concerns other hosts is not held, and its revision is known', async (t) => {
  const { follower, change } = await startPart(t);
  const revision = await change((edit) => {
    writeGroup(edit, WEB);
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'b/c' });
  });
  assert.deepEqual(follower.estate.keys(), []);
  assert.equal(follower.estate.contentRevision, revision);
});

test('a group that is only named has members here, and no rules', async (t) => {
  const { follower, change } = await startPart(t);
  await change((edit) => {
    writeGroup(edit, WEB);
    writeGroup(edit, { kind: 'group', at: 2, groups: [3], lists: [] });
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'a' });
    writeAttached(edit, interfaceId(1), {
      ...{ device: 't1', address: '10.0.0.2', host: 'b/c' },
      groupIds: [groupId(2)],
    });
  });
  const joiner = joinerOf(follower, 'a');
  const { config, leftOut } = joiner.join(loadFile());
  assert.equal(leftOut.size, 0);
  assert.equal(config.model.groups.get(groupId(2))?.isOnlyNamed, true);
  const [member] = config.model.remoteMembers?.get(groupId(2)) ?? [];
  assert.equal(member.host, 'b/c');
  const { remoteMembers } = config.model;
  await change((edit) => writeGroup(edit, { kind: 'group', at: 2, groups: [], lists: [] }));
  assert.ok(joiner.join(loadFile()).config.model.remoteMembers === remoteMembers, 'made anew');
});

test('rows of another store count, also at the revisions of those that are held', async (t) => {
  const { memory, follower, change } = await startPart(t);
  await change((edit) => {
    writeGroup(edit, WEB);
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'a' });
  });
  const rows = [...memory.rowsAt(memory.commits.length).values()];
  const other = new Memory();
  const onTrouble = (): void => undefined;
  const writer = await EstateClient.open({ store: new MemoryStore(other), onTrouble });
  await writer.change((edit) => {
    writeGroup(edit, { ...WEB, groups: [] });
    writeAttached(edit, interfaceId(0), { ...PLACE, groupIds: [groupId(1)], host: 'a' });
    return { ok: true, value: undefined };
  });
  const scope = new HostPart('a');
  const later = new EstateFollower({ store: new MemoryStore(other), scope, onTrouble });
  later.restore({ revision: follower.estate.revision, puts: rows, deletes: [] });
  assert.equal(later.estate.group(groupId(1))?.group.ingress.length, 1);
  await later.open();
  assert.equal(later.estate.revision, follower.estate.revision);
  assert.equal(later.estate.group(groupId(1))?.group.ingress.length, 0);
  await later.close();
  await writer.close();
});
