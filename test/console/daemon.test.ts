/**
 * The console about a real daemon, asked as a browser asks: `sgctl console` as people start it, real packets, a reload,
 * and a daemon that goes away and comes back while the page is open.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  About,
  DraftAnswer,
  DropExplanation,
  DropsAnswer,
  FlowsAnswer,
  GroupDraft,
  GroupsAnswer,
  LiveExplanation,
  LiveTop,
  MapView,
  RateHistory,
  RateSample,
  RulesAnswer,
} from '../../src/console/contract.ts';
import { ask } from '../../src/control-socket/control-client.ts';
import {
  canRun,
  Daemon,
  get,
  makeNamespaces,
  pingInVain,
  serve,
  temporaryFile,
} from '../netns/world.ts';
import type { Netns } from '../support/netns.ts';
import { start } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Follower, sendTo } from './world.ts';

type Names = Record<'web' | 'db', Netns>;

function configuration(
  names: Names,
  dbIngress = '{ protocol: tcp, ports: 7000, from: "sg:web" }',
): string {
  const device = (name: keyof Names): string => `{ netns: ${names[name].path}, name: eth0 }`;
  return `
securityGroups:
  web: {}
  db: { ingress: [${dbIngress}] }
interfaces:
  web: { device: ${device('web')}, addresses: [10.0.0.11], securityGroups: [web] }
  db: { device: ${device('db')}, addresses: [10.0.0.12], securityGroups: [db] }
`;
}

interface World {
  readonly names: Names;
  readonly file: string;
  readonly socket: string;
  readonly daemon: Daemon;
  readonly port: number;
  readonly token: string;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  status(path: string): Promise<number>;
  follow(): Promise<Follower>;
  /** Ends the console as Ctrl-C does. @returns its exit code */
  interrupt(): Promise<number | null>;
}

async function open(t: TestContext): Promise<World> {
  const names = await makeNamespaces(t, ['web', 'db']);
  const file = temporaryFile(t, 'console.yaml', configuration(names));
  const socket = join(dirname(file), 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  const running = await start(process.execPath, [
    SGCTL,
    'console',
    '--socket',
    socket,
    '--port',
    '0',
    '--json',
  ]);
  t.after(() => running.stop());
  await running.waitFor(/^}$/m);
  const { port, token, url } = JSON.parse(running.stdout()) as {
    port: number;
    token: string;
    url: string;
  };
  assert.equal(url, `http://127.0.0.1:${port}/#token=${token}`);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const take = <T>({ status, text }: { readonly status: number; readonly text: string }): T => {
    assert.equal(status, 200, text);
    return JSON.parse(text) as T;
  };
  return {
    ...{ names, file, socket, daemon, port, token },
    get: async (path) => take(await sendTo(port, { path: `/api/${path}`, headers })),
    post: async (path, body) =>
      take(
        await sendTo(port, {
          method: 'POST',
          path: `/api/${path}`,
          headers,
          body: JSON.stringify(body),
        }),
      ),
    status: async (path) => (await sendTo(port, { path: `/api/${path}`, headers })).status,
    follow: () => Follower.open(t, { port, token }),
    interrupt: async () => (await running.stop('SIGINT')).code,
  };
}

test('what passes and what drops is seen, explained, drawn and drafted', async (t) => {
  if (!canRun(t)) return;
  const world = await open(t);
  const { names } = world;
  const about = await world.get<About>('about');
  assert.deepEqual(
    [about.source, about.title, about.configuration, about.isLive, about.away],
    ['daemon', world.socket, world.file, true, undefined],
  );
  const follower = await world.follow();
  assert.deepEqual(
    follower.events[0]?.name ?? (await follower.until(({ name }) => name, 'an event')),
    'source',
  );
  // What it is about is known before anything moves.
  await follower.until(({ name }) => (name === 'estate' ? true : undefined), 'the estate');
  await follower.until(({ name }) => (name === 'top' ? true : undefined), 'a look');

  const server = await serve(names.db, 'web');
  t.after(() => server.stop());
  const place = '10.0.0.12:7000';
  assert.notEqual(await get(names.web, place), '');
  await pingInVain(names.web, '10.0.0.12', 3);

  const live = await follower.until(
    ({ name, data }) =>
      name === 'top' && (data as LiveTop).total.droppedPackets > 0 ? (data as LiveTop) : undefined,
    'a look with the drops',
  );
  assert.ok(live.topDrops.some((one) => one.interface === 'db' && one.reason === 'ingress-rules'));
  const { examples } = await follower.until(
    ({ name, data }) =>
      name === 'drop'
        ? (data as { examples: DropsAnswer['drops'][number]['examples'] })
        : undefined,
    'an example of a drop',
  );
  assert.deepEqual(
    [
      ...new Set(
        examples.map((one) => `${one.interface} ${one.reason} ${one.packet?.remoteAddress}`),
      ),
    ],
    ['db ingress-rules 10.0.0.11'],
  );
  const drop = await world.get<DropExplanation>(`drops/${examples[0].id}`);
  assert.ok(drop.outcome === 'explained' && drop.explanation?.verdict === 'refused');
  const drops = await world.get<DropsAnswer>('drops?interface=db&reason=ingress-rules');
  assert.deepEqual(
    drops.drops.map(({ packets }) => packets),
    [3],
  );

  const flows = await world.get<FlowsAnswer>('flows?interface=db&proto=tcp&port=7000');
  assert.deepEqual(
    flows.flows.map((one) => [one.remoteAddress, one.rule?.text]),
    [['10.0.0.11', 'tcp 7000 from sg:web']],
  );
  const { rules } = await world.get<RulesAnswer>('rules?group=db&direction=ingress');
  assert.deepEqual(
    rules.map(({ text, hits }) => [text, hits]),
    [['tcp 7000 from sg:web', 1]],
  );
  const groups = await world.get<GroupsAnswer>('groups');
  assert.deepEqual(
    groups.map(({ name }) => name),
    ['default', 'web', 'db'],
  );
  const explained = await world.post<LiveExplanation>('explain', {
    question: 'web -> db tcp 7000',
  });
  assert.ok(explained.outcome === 'explained');
  assert.equal(explained.pairs[0].explanation.verdict, 'allowed');

  const map = await world.get<MapView>('map');
  const idOf = (label: string): string => map.nodes.find((node) => node.label === label)!.id;
  const edge = map.edges.find(({ from, to }) => from === idOf('web') && to === idOf('db'))!;
  assert.deepEqual(edge.services, ['tcp 7000']);
  const used = edge.rules
    .map((place) => map.rules[place])
    .find(({ direction }) => direction === 'ingress')!;
  assert.deepEqual(
    [used.text, used.origin?.file, used.origin?.line],
    ['tcp 7000 from sg:web', world.file, 4],
  );
  assert.equal(
    map.edges.some(({ from, to }) => from === idOf('db') && to === idOf('web')),
    false,
  );

  await checkDraft(world);

  const sample = await follower.until(
    ({ name, data }) =>
      name === 'rates' && (data as RateSample).total !== null ? (data as RateSample) : undefined,
    'a sample of the rates',
  );
  const history = await world.get<RateHistory>('history');
  assert.ok(history.timesMs.includes(sample.timeMs));
  assert.equal(history.total.passedBytes.length, history.timesMs.length);
  assert.equal(await world.interrupt(), 130);
});

/** A draft that takes the rule away, by which a connection is tracked. */
async function checkDraft(world: World): Promise<void> {
  const draft = await world.get<GroupDraft>('draft?group=db');
  assert.deepEqual(draft.ingress, [{ protocol: 'tcp', ports: '7000', peer: 'sg:web' }]);
  const answer = await world.post<DraftAnswer>('draft', {
    ...draft,
    ingress: [{ protocol: 'icmp', type: '8', peer: 'sg:web' }],
  });
  assert.deepEqual(answer.problems, []);
  assert.deepEqual(
    answer.newlyAllowed.map(({ from, to, services }) => [from, to, services]),
    [[['web'], ['db'], ['icmp type 8']]],
  );
  assert.deepEqual(
    answer.noLongerAllowed.map(({ services }) => services),
    [['tcp 7000']],
  );
  const { connections } = answer;
  assert.ok(connections !== undefined, answer.connectionsWhy);
  // As in AWS the connection would live on, and could not be opened again.
  assert.deepEqual([connections.cut, connections.refusedAnew], [0, 1]);
  assert.deepEqual(
    connections.refusedAnewConnections.map((one) => [one.interface, one.remoteAddress]),
    [['db', '10.0.0.11']],
  );
  // Nothing was changed.
  assert.equal((await ask(world.socket, 'status', {})).generation, 1);
}

test('a reload and a restart of the daemon are told, and the page goes on', async (t) => {
  if (!canRun(t)) return;
  const world = await open(t);
  const follower = await world.follow();
  const generations = (): readonly number[] =>
    follower.events
      .filter(({ name }) => name === 'estate')
      .map(({ data }) => (data as { generation: number }).generation);
  await follower.until(({ name }) => (name === 'estate' ? true : undefined), 'the estate');
  assert.deepEqual(generations(), [1]);

  writeFileSync(
    world.file,
    configuration(world.names, '{ protocol: tcp, ports: 8000, from: "sg:web" }'),
  );
  const { outcome } = await ask(world.socket, 'reload', {});
  assert.equal(outcome, 'changed');
  await follower.until(
    ({ name, data }) =>
      name === 'estate' && (data as { generation: number }).generation === 2 ? true : undefined,
    'the other estate',
  );
  const map = await world.get<MapView>('map');
  assert.deepEqual(
    [map.generation, map.edges.filter(({ services }) => services.includes('tcp 8000')).length],
    [2, 1],
  );

  await world.daemon.stop();
  const away = await follower.until(
    ({ name, data }) =>
      name === 'source' && !(data as { isReachable: boolean }).isReachable
        ? (data as { why: string })
        : undefined,
    'that it went away',
  );
  assert.match(away.why, /no daemon listens at|has gone/);
  assert.equal(await world.status('flows'), 502);
  assert.equal(await world.status('map'), 502);
  const gone = await world.get<About>('about');
  assert.ok(gone.away !== undefined && gone.away.sinceMs <= Date.now());
  const seen = follower.events.length;

  await Daemon.start(t, world.file, ['--control', world.socket]);
  await follower.until(
    (event) =>
      follower.events.indexOf(event) >= seen &&
      event.name === 'source' &&
      (event.data as { isReachable: boolean }).isReachable
        ? true
        : undefined,
    'that it is back',
  );
  // It is another daemon: what is known of the one before does not count.
  await follower.until(
    (event) =>
      follower.events.indexOf(event) >= seen && event.name === 'estate' ? true : undefined,
    'the estate of the new one',
  );
  assert.equal((await world.get<MapView>('map')).generation, 1);
  assert.equal((await world.get<About>('about')).away, undefined);
  await sleep(0);
});
