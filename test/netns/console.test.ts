/** secgroup-api's console on real packets: a key signs in, a draft is previewed and applied, and packets obey. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  About,
  ApplyAnswer,
  ChangesAnswer,
  DraftAnswer,
  DropsAnswer,
  FlowsAnswer,
  GroupDraft,
  HostsAnswer,
  SignedIn,
} from '../../src/console/contract.ts';
import { signedHeaders } from '../api/request.ts';
import { makeApiPageWorld, OUTSIDE, WEB } from '../console/api-page-world.ts';
import { sendTo } from '../console/world.ts';
import { until } from '../support/until.ts';
import { canRun, ping, pingInVain } from './world.ts';

const PING = { protocol: 'icmp', type: '8', peer: OUTSIDE } as const;

test('from draft to packets, and back', async (t) => {
  if (!canRun(t)) return;
  const world = await makeApiPageWorld(t);
  const { server, port, key, out, group } = world;

  const { 'content-type': _, ...signed } = signedHeaders(key, port, {
    ...{ service: 'secgroupd', signedPath: '/api/sign-in', body: '{}' },
    signed: { 'content-type': 'application/json' },
  });
  const { text: said, status } = await sendTo(port, {
    ...{ method: 'POST', path: '/api/sign-in', body: '{}' },
    headers: { ...signed, 'content-type': 'application/json' },
  });
  assert.equal(status, 200, said);
  const { token } = JSON.parse(said) as SignedIn;
  const ask = async <T>(path: string, body?: object): Promise<T> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const got = await sendTo(port, { path: `/api/${path}`, headers, ...sent });
    assert.equal(got.status, 200, `${path}: ${got.text}`);
    return JSON.parse(got.text) as T;
  };
  const apply = async (draft: GroupDraft): Promise<ApplyAnswer> => {
    const preview = await ask<DraftAnswer>('draft', draft);
    assert.ok(preview.apply?.isPossible === true, JSON.stringify(preview));
    assert.deepEqual(
      preview.hosts?.map(({ host, why }) => [host, why]),
      [['here', undefined]],
    );
    return ask('apply', { ...draft, preview: preview.apply.preview });
  };
  assert.match((await sendTo(port, { path: '/' })).text, /src="\/page\.js"/);
  // The server was there before the daemon, and looks for it once a second.
  const note = 'flows, drops, rates and hits are those of here alone';
  await until('the daemon to be seen', async () => (await ask<About>('about')).liveNote === note);
  const about = await ask<About>('about');
  assert.deepEqual([about.source, about.isLive, about.mayApply], ['estate', true, true]);

  await pingInVain(out, WEB);
  const { drops } = await ask<DropsAnswer>('drops');
  assert.deepEqual([...new Set(drops.map(({ reason }) => reason))], ['ingress-rules']);
  const closed = await ask<GroupDraft>('draft?group=web');
  const open = { ...closed, ingress: [PING] };
  const { revision, enforcement, behind, away } = await apply(open);
  assert.deepEqual([enforcement, behind, away], ['awaited', [], []]);
  // It is in force when it is answered.
  assert.equal((await ping(out, WEB)).code, 0);
  const { flows } = await ask<FlowsAnswer>('flows?proto=icmp');
  assert.equal(
    flows.some(({ remoteAddress }) => remoteAddress === '10.9.0.1'),
    true,
  );
  const { hosts } = await ask<HostsAnswer>('hosts');
  assert.deepEqual(
    hosts.map((one) => [one.host, one.state, one.isBehind, (one.revision ?? 0) >= revision]),
    [['here', 'lives', false, true]],
  );

  const { changes } = await ask<ChangesAnswer>('changes');
  assert.deepEqual(
    [changes[0].revision, changes[0].by, changes[0].who.name],
    [revision, 'console', 'alice'],
  );
  const before = await ask<GroupDraft>(`draft?group=${group}&before=${revision}`);
  assert.deepEqual(before, closed);
  await apply(before);
  await pingInVain(out, WEB);

  world.deleteKey(key);
  const last = await sendTo(port, {
    ...{ path: '/api/about', headers: { authorization: `Bearer ${token}` } },
  });
  assert.equal(last.status, 401);
  assert.equal(server.stdout().includes(token), false);
  assert.equal(server.stderr().includes(token), false);
});
