/** Drafts of a group: what they change, what is wrong with them, and how they are written as something else. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { draftConfig, draftOf } from '../../src/config/group-draft.ts';
import type {
  CopyAnswer,
  DraftAnswer,
  GroupDraft,
  GroupsAnswer,
  LiveExplanation,
  RulesAnswer,
} from '../../src/console/contract.ts';
import { loadText } from '../config/config-text.ts';
import { inputOf, openConsole, type ConsoleWorld } from './world.ts';

const TEXT = `
prefixLists:
  office: { family: 4, maxEntries: 5, entries: [{ cidr: 192.0.2.0/24 }] }
securityGroups:
  web:
    description: servers
    ingress:
      - { protocol: tcp, ports: 443, from: 0.0.0.0/0, description: everybody }
      - { protocol: tcp, ports: 8000-8010, from: "pl:office" }
      - { protocol: icmp, type: 3, code: 4, from: 10.0.0.0/8 }
      - { protocol: icmpv6, from: "::/0" }
      - { protocol: 50, from: "sg:web" }
      - { protocol: all, from: "sg:db", audit: true }
    egress:
      - { protocol: tcp, ports: 443, to: "dns:api.example.com" }
  db:
    ingress: [{ protocol: tcp, ports: 5432, from: "sg:web" }]
interfaces:
  web-1: { device: { name: web-1 }, addresses: [10.0.0.1], securityGroups: [web] }
  db-1: { device: { name: db-1 }, addresses: [10.0.0.3], securityGroups: [db] }
`;

async function open(
  t: TestContext,
): Promise<{ readonly world: ConsoleWorld; readonly draft: GroupDraft }> {
  const world = await openConsole(t, inputOf(TEXT));
  return { world, draft: await world.get<GroupDraft>('draft?group=web') };
}

describe('a draft', () => {
  test('starts from the rules of the group, in the words of the configuration', async (t) => {
    const { draft } = await open(t);
    assert.deepEqual(draft, {
      group: 'web',
      ingress: [
        { protocol: 'tcp', ports: '443', peer: '0.0.0.0/0', description: 'everybody' },
        { protocol: 'tcp', ports: '8000-8010', peer: 'pl:office' },
        { protocol: 'icmp', type: '3', code: '4', peer: '10.0.0.0/8' },
        { protocol: 'icmpv6', type: 'all', peer: '::/0' },
        { protocol: '50', peer: 'sg:web' },
        { protocol: 'all', peer: 'sg:db', audit: true },
      ],
      egress: [{ protocol: 'tcp', ports: '443', peer: 'dns:api.example.com' }],
    });
  });

  test('that changes nothing is the group as it is, rule for rule', () => {
    const config = loadText(TEXT).config!;
    for (const group of config.model.groups.values()) {
      const { draft } = draftOf(config.model, group.name);
      const { config: drafted, problems } = draftConfig(config, draft!);
      assert.deepEqual(problems, []);
      const next = drafted!.model.groups.get(group.id)!;
      assert.deepEqual(next, group);
      for (const direction of ['ingress', 'egress'] as const)
        next[direction].forEach((rule, i) => assert.equal(rule, group[direction][i]));
    }
  });

  test('is told by who could newly reach whom, and who no longer', async (t) => {
    const { world, draft } = await open(t);
    const [everybody, ...others] = draft.ingress;
    const ingress = [
      { ...everybody, peer: '10.0.0.0/8' },
      ...others,
      { protocol: 'tcp', ports: '22', peer: 'sg:db' },
    ];
    const answer = await world.post<DraftAnswer>('draft', { ...draft, ingress });
    assert.deepEqual(answer.problems, []);
    assert.deepEqual(answer.newlyAllowed, [
      { from: ['db-1'], to: ['web-1'], services: ['tcp 22'], families: [4] },
    ]);
    assert.deepEqual(answer.noLongerAllowed, [
      {
        from: ['0.0.0.0/5 8.0.0.0/7', '11.0.0.0-255.255.255.255'],
        ...{ to: ['web-1'], services: ['tcp 443'], families: [4] },
      },
    ]);
    assert.equal(answer.connections, undefined);
    assert.equal(answer.connectionsWhy, 'an input in files has no connections');
  });

  test('gets what the linter newly says of it, and what it said before', async (t) => {
    const { world, draft } = await open(t);
    const ssh = { protocol: 'tcp', ports: '22', peer: '0.0.0.0/0' };
    const { lint } = await world.post<DraftAnswer>('draft', {
      ...draft,
      ingress: [...draft.ingress, ssh],
    });
    const found = lint.filter(({ isNew }) => isNew);
    assert.equal(found.length, 1, JSON.stringify(lint));
    assert.match(found[0].message, /22/);
    assert.deepEqual(found[0].at, { file: 'draft', line: 7, column: 0 });
    const same = await world.post<DraftAnswer>('draft', draft);
    assert.deepEqual(
      same.lint.filter(({ isNew }) => isNew),
      [],
    );
    assert.deepEqual([same.newlyAllowed, same.noLongerAllowed], [[], []]);
  });

  test('with mistakes is told all of them, each with its place, and nothing else', async (t) => {
    const { world } = await open(t);
    const answer = await world.post<DraftAnswer>('draft', {
      group: 'web',
      ingress: [
        { protocol: 'tcp', ports: '70000', peer: '10.0.0.0/8' },
        { protocol: 'tcp', peer: 'sg:wbe' },
        { protocol: 'icmp', type: '8', peer: 'dns:x.example.com' },
        { protocol: 'tcp', ports: '1', peer: '10.0.0.5/8' },
      ],
      egress: [{ protocol: 'nope', ports: '1', peer: 'anywhere', description: 'x'.repeat(300) }],
    });
    assert.deepEqual(
      answer.problems.map(({ severity, path }) => `${severity} ${path}`),
      [
        'error ingress[0].ports',
        'error ingress[1]',
        'error ingress[1].from',
        'error ingress[2].from',
        'error ingress[3].from',
        'error egress[0].protocol',
        'error egress[0].to',
        'error egress[0].description',
      ],
    );
    assert.match(answer.problems[2].message, /did you mean 'web'/);
    assert.deepEqual([answer.newlyAllowed, answer.noLongerAllowed, answer.lint], [[], [], []]);
  });

  test('of a group that is not there, or that several are called, is refused', async (t) => {
    const { world } = await open(t);
    const draft = { group: 'wob', ingress: [], egress: [] };
    const { problems } = await world.post<DraftAnswer>('draft', draft);
    assert.deepEqual(
      problems.map(({ code, path }) => [code, path]),
      [['unknown-group', 'group']],
    );
    const authorization = `Bearer ${world.token}`;
    const asked = await world.send({ path: '/api/draft?group=wob', headers: { authorization } });
    assert.equal(asked.status, 404);
    assert.match(asked.text, /there is no security group 'wob'/);
  });

  test('beyond a quota of AWS is warned of, and one that was beyond it before is not', async (t) => {
    const { world, draft } = await open(t);
    const many = Array.from({ length: 61 }, (_, i) => ({
      protocol: 'tcp',
      ports: `${1000 + i}`,
      peer: '10.0.0.0/8',
    }));
    const { problems } = await world.post<DraftAnswer>('draft', { ...draft, ingress: many });
    assert.deepEqual(
      problems.map(({ severity, code }) => [severity, code]),
      [['warning', 'quota-rules']],
    );
  });

  test('is bounded, and its fields have their types', async (t) => {
    const { world } = await open(t);
    const rule = { protocol: 'tcp', ports: '1', peer: '10.0.0.0/8' };
    for (const wrong of [
      { group: 'web', ingress: [] },
      { group: 'web', ingress: {}, egress: [] },
      { group: 1, ingress: [], egress: [] },
      { group: 'web', ingress: [{ ...rule, ports: 1 }], egress: [] },
      { group: 'web', ingress: [{ ...rule, more: '1' }], egress: [] },
      { group: 'web', ingress: [{ ...rule, audit: 'yes' }], egress: [] },
      { group: 'web', ingress: [null], egress: [] },
      { group: 'web', ingress: [{ ...rule, peer: 'x'.repeat(2000) }], egress: [] },
      { group: 'web', ingress: new Array(1001).fill({ protocol: 'x', peer: 'y' }), egress: [] },
    ]) {
      const { status } = await world.send({
        ...{ method: 'POST', path: '/api/draft', body: JSON.stringify(wrong) },
        headers: { authorization: `Bearer ${world.token}`, 'content-type': 'application/json' },
      });
      assert.equal(status, 400, JSON.stringify(wrong).slice(0, 100));
    }
    assert.deepEqual(world.failures, []);
  });
});

describe('a copy of a draft', () => {
  test('as YAML is the group alone, and is read as the same rules', async (t) => {
    const { world, draft } = await open(t);
    // Rules that only audit come last.
    const ingress = [{ protocol: 'tcp', ports: '22', peer: 'sg:db' }, ...draft.ingress];
    const changed = { ...draft, ingress };
    const { text, losses } = await world.post<CopyAnswer>('copy', { ...changed, as: 'yaml' });
    assert.deepEqual(losses, []);
    assert.match(text, /^securityGroups:\n {2}web:\n {4}description: servers\n/);
    const others = TEXT.replace(/ {2}web:\n(?: {4}.*\n| {6}.*\n)+/, '');
    const read = loadText(others.replace('securityGroups:\n', text));
    assert.deepEqual(
      read.problems.map(({ code }) => code),
      ['audit-on'],
    );
    assert.deepEqual(draftOf(read.config!.model, 'web').draft, changed);
  });

  test('in the forms of AWS has the groups that its rules name, and says what is lost', async (t) => {
    const { world } = await open(t);
    const draft = {
      group: 'db',
      ingress: [{ protocol: 'tcp', ports: '5432', peer: 'sg:web' }],
      egress: [],
    };
    const copy = (as: string): Promise<CopyAnswer> =>
      world.post<CopyAnswer>('copy', { ...draft, as });
    const template = JSON.parse((await copy('cloudformation')).text) as {
      Resources: Record<string, { Type: string }>;
    };
    assert.equal(
      Object.values(template.Resources).filter(({ Type }) => Type === 'AWS::EC2::SecurityGroup')
        .length,
      2,
    );
    const terraform = await copy('terraform');
    assert.deepEqual(
      Object.keys(
        (JSON.parse(terraform.text) as { resource: Record<string, object> }).resource[
          'aws_security_group'
        ],
      ).sort(),
      ['db', 'web'],
    );
    assert.ok(terraform.losses.some((loss) => loss.includes('DNS name')));
    assert.match((await copy('commands')).text, /^#!\/bin\/sh\n/);
  });

  test('of one with errors is refused', async (t) => {
    const { world } = await open(t);
    const body = JSON.stringify({
      group: 'web',
      ingress: [{ protocol: 'tcp', peer: 'self' }],
      egress: [],
      as: 'yaml',
    });
    const headers = { authorization: `Bearer ${world.token}`, 'content-type': 'application/json' };
    const { status, text } = await world.send({ method: 'POST', path: '/api/copy', body, headers });
    assert.deepEqual(
      [status, (JSON.parse(text) as { error: string }).error],
      [400, 'a tcp rule needs ports'],
    );
  });
});

test('questions about an input are answered as sgctl explain answers them', async (t) => {
  const { world } = await open(t);
  const ask = (question: string): Promise<LiveExplanation> => world.post('explain', { question });
  const allowed = await ask('8.8.8.8 -> web-1 tcp 443');
  assert.ok(allowed.outcome === 'explained');
  assert.deepEqual(
    allowed.pairs.map(({ from, to, explanation, connections }) => [
      from,
      to,
      explanation.verdict,
      connections,
    ]),
    [['8.8.8.8', 'web-1', 'refused', []]],
  );
  const misunderstood = await ask('web-1 -> nobody tcp 443');
  assert.ok(misunderstood.outcome === 'misunderstood');
  assert.match(misunderstood.message, /nobody/);
  const shapeless = await ask('why?');
  assert.ok(shapeless.outcome === 'misunderstood');
});

test('groups and rules of an input are listed, and nothing has moved', async (t) => {
  const { world } = await open(t);
  const groups = await world.get<GroupsAnswer>('groups');
  assert.deepEqual(
    groups.map(({ name, ingress, egress, interfaces, hits }) => [
      name,
      ingress,
      egress,
      interfaces,
      hits,
    ]),
    [
      ['default', 1, 2, [], 0],
      ['web', 5, 1, ['web-1'], 0],
      ['db', 1, 2, ['db-1'], 0],
    ],
  );
  const { rules } = await world.get<RulesAnswer>('rules?group=db&direction=ingress');
  assert.deepEqual(
    rules.map(({ text, origin }) => [text, origin?.line]),
    [['tcp 5432 from sg:web', 17]],
  );
  assert.deepEqual(await world.get('flows?interface=web-1&limit=5'), {
    matched: 0,
    flows: [],
    hasAccounts: false,
  });
  assert.deepEqual(await world.get('drops'), { drops: [], lost: 0 });
  assert.deepEqual(await world.get('drops/7'), { outcome: 'unknown', kept: 0, newest: 0 });
  const authorization = `Bearer ${world.token}`;
  for (const path of [
    'rules?group=nobody',
    'flows?more=1',
    'flows?limit=3000',
    'flows?limit=1&limit=2',
    'flows?idle=soon',
    'drops?audit=perhaps',
    'flows?port=',
    `flows?port=${'1,'.repeat(200)}1`,
  ])
    assert.equal(
      (await world.send({ path: `/api/${path}`, headers: { authorization } })).status,
      400,
      path,
    );
});
