/** A draft at secgroup-api's console: previewed, applied as one commit by the calls of the API, and never without. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type {
  ApplyAnswer,
  ApplyOffer,
  ConsoleGroup,
  DraftAnswer,
  Failure,
  GroupDraft,
} from '../../src/console/contract.ts';
import type { Edit } from '../../src/estate/edit.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { createEstateGroup } from '../../src/estate/groups.ts';
import { declaredKey } from '../../src/estate/keys.ts';
import type { EstateGroup } from '../../src/estate/model.ts';
import { ROW_FORMS } from '../../src/estate/rows.ts';
import { isAuditTagged } from '../../src/policy/audit-tags.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { change, context, makeClients, putHost } from '../estate/world.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { ApiConsole, READER, WRITER, type Tab } from './world.ts';

const HTTPS = { protocol: 'tcp', ports: '443', peer: '10.0.0.0/8' } as const;
const EVERYTHING = { protocol: 'all', peer: '0.0.0.0/0' } as const;

interface World {
  readonly console: ApiConsole;
  readonly client: EstateClient;
  readonly tab: Tab;
  readonly web: string;
  /** A draft of web with these ingress rules. */
  readonly draft: (...ingress: GroupDraft['ingress']) => GroupDraft;
  readonly group: () => EstateGroup;
}

function makeGroup(edit: Edit, name: string): Checked<EstateGroup> {
  return createEstateGroup(edit, { vpcId: undefined, name, description: 'd', tags: [] }, context);
}

async function start(t: TestContext, client?: EstateClient): Promise<World> {
  const own = client ?? (await makeClients(t))[0];
  const console = await ApiConsole.start(t, own);
  const { group } = await change(own, (edit) => makeGroup(edit, 'web'));
  return {
    ...{ console, client: own, tab: await console.as(WRITER), web: group.id },
    draft: (...ingress) => ({ group: 'web', ingress, egress: [EVERYTHING] }),
    group: () => own.estate.group(group.id)!,
  };
}

async function offerOf(
  tab: Tab,
  draft: GroupDraft,
): Promise<Extract<ApplyOffer, { isPossible: true }>> {
  const { apply, problems } = await tab.must<DraftAnswer>('draft', draft);
  assert.ok(apply?.isPossible === true, JSON.stringify([apply, problems]));
  return apply;
}

async function applied(tab: Tab, draft: GroupDraft): Promise<ApplyAnswer> {
  const { preview } = await offerOf(tab, draft);
  return tab.must('apply', { ...draft, preview });
}

const rulesOf = ({ group }: EstateGroup): readonly string[] =>
  [...group.ingress, ...group.egress].map((rule) => `${rule.direction} ${ruleKey(rule)}`);

describe('a draft', () => {
  test('is applied as it was shown, by the calls that it names', async (t) => {
    const { tab, draft, client, group } = await start(t);
    const rule = { ...HTTPS, description: 'office' };
    const asked = draft(rule, { protocol: 'icmp', type: '8', peer: 'sg:web' });
    const { apply, newlyAllowed, hosts } = await tab.must<DraftAnswer>('draft', asked);
    assert.ok(apply?.isPossible === true);
    assert.deepEqual(newlyAllowed, [], 'nobody is in the group');
    assert.deepEqual(hosts, [], 'no host follows the store');
    const calls = [
      {
        action: 'AuthorizeSecurityGroupIngress',
        rules: ['tcp 443 from 10.0.0.0/8', 'icmp type 8 from sg:web'],
        ruleCount: 2,
      },
    ];
    assert.deepEqual(apply.calls, calls);
    assert.deepEqual(rulesOf(group()), ['egress all to 0.0.0.0/0'], 'not yet');

    const { revision } = client.estate;
    const done = await tab.must<ApplyAnswer>('apply', { ...asked, preview: apply.preview });
    assert.ok(done.revision > revision);
    assert.deepEqual(
      { ...done, revision: 0 },
      { revision: 0, enforcement: 'awaited', away: [], behind: [], calls },
    );
    assert.equal(group().group.ingress[0].description, 'office');
    assert.deepEqual(await tab.must('draft?group=web'), asked);
    // What is there needs no call.
    assert.deepEqual((await offerOf(tab, asked)).calls, []);
  });

  test('is one commit, whatever it takes', async (t) => {
    const { tab, draft, client, group } = await start(t);
    await applied(tab, draft(HTTPS, { ...HTTPS, ports: '80' }, { ...HTTPS, ports: '22' }));
    const kept = group().group.ingress[2].id;
    const revisions: number[] = [];
    const stop = client.listen(() => void revisions.push(client.estate.contentRevision));
    t.after(stop);
    const { calls } = await applied(tab, {
      group: 'web',
      ingress: [
        { ...HTTPS, description: 'new' },
        { ...HTTPS, ports: '22', audit: true },
        { ...HTTPS, ports: '53', audit: true },
      ],
      egress: [{ protocol: 'udp', ports: 'all', peer: '::/0' }],
    });
    assert.deepEqual(
      calls.map(({ action, rules }) => [action, ...rules]),
      [
        ['RevokeSecurityGroupIngress', 'tcp 80 from 10.0.0.0/8'],
        ['RevokeSecurityGroupEgress', 'all to 0.0.0.0/0'],
        ['AuthorizeSecurityGroupIngress', 'tcp 53 from 10.0.0.0/8'],
        ['UpdateSecurityGroupRuleDescriptionsIngress', 'tcp 443 from 10.0.0.0/8'],
        ['AuthorizeSecurityGroupEgress', 'udp 0-65535 to ::/0'],
        ['CreateTags', 'tcp 22 from 10.0.0.0/8'],
      ],
    );
    assert.equal(new Set(revisions).size, 1);
    const { group: now, ruleTags } = group();
    const audited = now.ingress.filter(({ id }) => isAuditTagged(ruleTags.get(id) ?? []));
    assert.deepEqual(
      audited.map(({ fromPort }) => fromPort),
      [22, 53],
    );
    assert.equal(audited[0].id, kept, 'a rule that is there keeps its id');
    const { calls: back } = await applied(tab, {
      ...{ group: 'web', ingress: [{ ...HTTPS, ports: '22' }] },
      egress: [{ protocol: 'udp', ports: 'all', peer: '::/0' }],
    });
    assert.deepEqual(
      back.map(({ action, ruleCount }) => [action, ruleCount]),
      [
        ['RevokeSecurityGroupIngress', 2],
        ['DeleteTags', 1],
      ],
    );
  });

  test('is previewed by one server, and applied by another', async (t) => {
    const [first, second] = await makeClients(t, 2);
    const { tab, draft } = await start(t, first);
    const other = await (await ApiConsole.start(t, second)).as(WRITER);
    const { preview } = await offerOf(tab, draft(HTTPS));
    const { revision } = await other.must<ApplyAnswer>('apply', { ...draft(HTTPS), preview });
    assert.ok(await first.reach(revision, GUARD_MS));
    assert.deepEqual(await tab.must('draft?group=web'), draft(HTTPS));
  });
});

describe('nothing is applied', () => {
  test('without a preview of the same draft, by the same key', async (t) => {
    const { tab, draft, group, console } = await start(t);
    const { preview } = await offerOf(tab, draft(HTTPS));
    const others = await offerOf(tab, draft({ ...HTTPS, ports: '80' }));
    const [until, code] = preview.split('.');
    const later = `${Number(until) + 1}.${code}`;
    for (const wrong of ['', 'x', others.preview, later, `${until}.${'A'.repeat(43)}`])
      assert.deepEqual(
        await tab.failure('apply', { ...draft(HTTPS), preview: wrong }),
        [409, 'changed-since'],
        wrong,
      );
    assert.deepEqual(await tab.failure('apply', draft(HTTPS)), [400, undefined]);
    const key = { ...WRITER, accessKeyId: 'AKIAOTHEROTHEROTHER1', name: 'other' };
    console.keys.set(key.accessKeyId, key);
    const stranger = await console.as(key);
    assert.deepEqual(await stranger.failure('apply', { ...draft(HTTPS), preview }), [
      409,
      'changed-since',
    ]);
    assert.deepEqual(rulesOf(group()), ['egress all to 0.0.0.0/0']);
    await tab.must('apply', { ...draft(HTTPS), preview });
  });

  test('if anything that was looked at has changed since', async (t) => {
    const { tab, draft, console, web, client } = await start(t);
    const stale = async (work: () => Promise<unknown>): Promise<void> => {
      const { preview } = await offerOf(tab, draft(HTTPS));
      await work();
      const failure = await tab.failure('apply', { ...draft(HTTPS), preview });
      assert.deepEqual(failure, [409, 'changed-since']);
    };
    await stale(() =>
      console.call('AuthorizeSecurityGroupIngress', {
        GroupId: web,
        IpPermissions: [
          { IpProtocol: 'tcp', FromPort: 1, ToPort: 1, IpRanges: [{ CidrIp: '10.0.0.0/8' }] },
        ],
      }),
    );
    await stale(() => console.call('CreateSecurityGroup', { GroupName: 'o', Description: 'd' }));
    // A host that says what it has in force, or a question of another dry run, is no such change.
    const { preview } = await offerOf(tab, draft(HTTPS));
    await change(client, (edit) => {
      putHost(edit, 'far', { revision: 1e6 });
      return { ok: true, value: undefined };
    });
    await tab.must('apply', { ...draft(HTTPS), preview });
  });

  test('by a preview of a quarter of an hour ago', async (t) => {
    const clock = { ms: Date.now() };
    const [client] = await makeClients(t);
    const console = await ApiConsole.start(t, client, { now: () => clock.ms });
    await change(client, (edit) => makeGroup(edit, 'web'));
    const tab = await console.as(WRITER);
    const draft = { group: 'web', ingress: [HTTPS], egress: [] };
    const { preview } = await offerOf(tab, draft);
    clock.ms += 10 * 60_000;
    const { token } = await tab.must<{ token: string }>('renew', {});
    clock.ms += 6 * 60_000;
    const later = Object.assign(Object.create(tab) as Tab, { token });
    assert.deepEqual(await later.failure('apply', { ...draft, preview }), [409, 'changed-since']);
  });

  test('by a key that may only read', async (t) => {
    const { draft, console, group } = await start(t);
    const reader = await console.as(READER);
    const { apply, connectionsWhy, hosts } = await reader.must<DraftAnswer>('draft', draft(HTTPS));
    assert.deepEqual(apply, {
      isPossible: false,
      why: "the key 'reader' may not call AuthorizeSecurityGroupIngress",
    });
    assert.equal(connectionsWhy, 'hosts are asked only for who may change something');
    assert.equal(hosts, undefined);
    const wrong = { ...draft(HTTPS), preview: 'x' };
    assert.deepEqual(await reader.failure('apply', wrong), [409, 'changed-since']);
    // A key that loses its right between the two.
    const writer = await console.as(WRITER);
    const { preview } = await offerOf(writer, draft(HTTPS));
    console.keys.set(WRITER.accessKeyId, { ...WRITER, policy: 'read' });
    const denied = await writer.failure('apply', { ...draft(HTTPS), preview });
    assert.deepEqual(denied, [403, 'not-allowed']);
    assert.equal(console.records.at(-1)?.outcome, 'AccessDenied');
    assert.deepEqual(rulesOf(group()), ['egress all to 0.0.0.0/0']);
  });

  test('to a group that a file declares', async (t) => {
    const { tab, client, group } = await start(t);
    const declaredAt = { host: 'here', file: '/etc/c.yaml', line: 7 };
    const declared = {
      ...group(),
      group: { ...group().group, id: 'sg-file', name: 'file' },
      declaredAt,
    };
    await change(client, (edit) => {
      const text = JSON.stringify(ROW_FORMS.groups.encode(declared));
      edit.put(declaredKey('here', 'groups', 'sg-file'), text);
      return { ok: true, value: undefined };
    });
    const why =
      'sg-file is declared in /etc/c.yaml, line 7, on here, and can be changed there only';
    const draft = { group: 'file', ingress: [HTTPS], egress: [] };
    const { apply } = await tab.must<DraftAnswer>('draft', draft);
    assert.deepEqual(apply, { isPossible: false, why });
    const groups = await tab.must<readonly ConsoleGroup[]>('groups');
    assert.deepEqual(
      groups.map(({ name, fixed }) => [name, fixed]),
      [
        ['default', undefined],
        ['web', undefined],
        ['file', why.replace('sg-file', 'file')],
      ],
    );
  });

  test('that the store has no word for, or that a quota refuses', async (t) => {
    const { tab, draft } = await start(t);
    const named: GroupDraft = {
      ...{ group: 'web', ingress: [] },
      egress: [{ protocol: 'tcp', ports: '443', peer: 'dns:api.example' }],
    };
    const { apply } = await tab.must<DraftAnswer>('draft', named);
    assert.equal(apply?.isPossible, false);
    assert.match(apply.why, /^tcp 443 to dns:api\.example has a DNS name/);
    const many = Array.from({ length: 61 }, (_, i) => ({ ...HTTPS, ports: String(i + 1) }));
    const over = await tab.must<DraftAnswer>('draft', draft(...many));
    assert.equal(over.apply?.isPossible, false);
    assert.match(
      over.apply.why,
      /^The maximum number of rules per security group has been reached\./,
    );
    const wrong = await tab.must<DraftAnswer>('draft', draft({ ...HTTPS, ports: 'x' }));
    assert.deepEqual([wrong.problems.length, wrong.apply], [1, undefined]);
  });

  test('that hosts do not put in force: it is taken back', async (t) => {
    const [client] = await makeClients(t);
    const console = await ApiConsole.start(t, client, { enforceTimeoutMs: 50 });
    const tab = await console.as(WRITER);
    await change(client, (edit) => {
      putHost(edit, 'slow', { revision: 1 });
      return makeGroup(edit, 'web');
    });
    const draft = { group: 'web', ingress: [HTTPS], egress: [EVERYTHING] };
    const { hosts, apply } = await tab.must<DraftAnswer>('draft', draft);
    assert.deepEqual(hosts, [{ host: 'slow', why: 'it did not answer in time' }]);
    assert.ok(apply?.isPossible === true);
    const { status, text } = await tab.ask('apply', { ...draft, preview: apply.preview });
    const { error, code } = JSON.parse(text) as Failure;
    assert.deepEqual([status, code], [503, 'ServiceUnavailable']);
    assert.match(error, /slow did not put it in force within 0\.05 s.*The change was taken back\./);
    assert.deepEqual(await tab.must('draft?group=web'), { ...draft, ingress: [] });
    assert.deepEqual(await tab.must('changes'), { changes: [], keptAtMost: 500, hasMore: false });
  });
});
