/** Every request of the control socket, answered by a real daemon that a few packets have come to. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { Handlers } from '../../src/control-socket/protocol.ts';
import { makeHandlers } from '../../src/daemon/handlers.ts';
import { Reloader } from '../../src/daemon/reloader.ts';
import { EGRESS, INGRESS } from '../../src/engine/counters.ts';
import type { DropExample } from '../../src/queries/drops-view.ts';
import { readTraffic } from '../../src/queries/interfaces-view.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import type { Sink } from '../../src/queries/stream.ts';
import { udp4 } from '../packets/build.ts';
import { startWorld, type DaemonWorld } from './world.ts';

const TEXT = `
securityGroups:
  web: { ingress: [{ protocol: udp, ports: 53, from: 10.0.0.0/8 }] }
interfaces:
  a: { device: { name: dev-a }, addresses: [10.0.0.1], securityGroups: [web] }
  b: { device: { name: dev-b }, addresses: [10.0.0.2], securityGroups: [web] }
  c: { device: { name: dev-c }, addresses: [10.0.0.3], securityGroups: [web] }
`;
const A = 1;
const B = 2;

interface Served extends DaemonWorld {
  readonly handlers: Handlers;
  /** A packet from a to b, to that port, that both gates judge: 53 passes, others drop at b. */
  readonly send: (port: number) => Promise<void>;
}

async function serve(t: TestContext, text = TEXT): Promise<Served> {
  const world = await startWorld(t, text, {
    prepare: ({ refused }) => void refused.set('dev-c', 'ENODEV'),
  });
  const { daemon, file, devices } = world;
  const log = pino({ enabled: false });
  const reloader = new Reloader({
    daemon,
    file,
    netnsDirectory: '/run/netns',
    log,
    onResult: () => undefined,
  });
  const handlers = makeHandlers({
    daemon,
    reloader,
    estate: undefined,
    calls: undefined,
    log,
  });
  t.after(() => handlers.stop());
  const judgedAt = (port: number, direction: number): number => {
    const cells = daemon.observatory.dataplane.readCounters();
    const { passedPackets, droppedPackets } = readTraffic(cells, port, direction);
    return passedPackets + droppedPackets;
  };
  const send = async (port: number): Promise<void> => {
    const before = judgedAt(B, INGRESS);
    devices.send('dev-a', udp4('10.0.0.1', '10.0.0.2', { srcPort: 1000, dstPort: port }));
    await world.until(() => judgedAt(B, INGRESS) > before, 'b’s gate has judged it');
  };
  assert.equal(judgedAt(A, EGRESS), 0);
  return { ...world, handlers, send };
}

/** What a client is sent. */
function makeSink<Answer>(): { readonly sink: Sink<Answer>; readonly answers: Answer[] } {
  const answers: Answer[] = [];
  const sink = {
    send: (answer: Answer): boolean => answers.push(answer) > 0,
    miss: () => undefined,
  };
  return { sink, answers };
}

test('status, interfaces and groups are of what is in force and what waits', async (t) => {
  const { handlers, file, send } = await serve(t);
  const { methods } = handlers;
  await send(53);
  const { health, ...status } = await methods.status({});
  assert.deepEqual(
    { ...status, version: undefined },
    {
      version: undefined,
      pid: process.pid,
      config: file,
      generation: 1,
      interfaces: ['a', 'b', 'c'],
      waiting: [{ name: 'c', device: 'dev-c', reason: 'ENODEV: no dev-c' }],
      groups: 2,
      flows: 2,
      offload: { mode: 'off', interfaces: 0, flows: 0 },
      prefixLists: [],
    },
  );
  assert.match(status.version, /^\d+\.\d+\.\d+/);
  assert.deepEqual([health.workers, health.flowsByState], [1, { udp: 2 }]);
  const interfaces = await methods.interfaces({});
  assert.deepEqual(
    interfaces.map(({ name, device, flows, waiting }) => [name, device, flows, waiting]),
    [
      ['a', 'dev-a', 1, undefined],
      ['b', 'dev-b', 1, undefined],
      ['c', 'dev-c', 0, 'ENODEV: no dev-c'],
    ],
  );
  for (const { fastPath } of interfaces) assert.equal(fastPath, undefined, 'it is off');
  const groups = await methods.groups({});
  assert.deepEqual(groups.map(({ name }) => name).sort(), ['default', 'web']);
});

test('whose an address is', async (t) => {
  const { methods } = (await serve(t)).handlers;
  const { instance } = await methods.instance({ address: '10.0.0.1' });
  const { id, macAddress, ...rest } = instance!;
  assert.match(id, /^eni-[0-9a-f]{17}$/);
  assert.match(macAddress, /^02(:[0-9a-f]{2}){5}$/);
  const group = { name: 'web', id: rest.groups[0].id };
  assert.deepEqual(
    { ...rest, vpc: undefined },
    { name: 'a', addresses: ['10.0.0.1'], groups: [group], subnets: [], vpc: undefined, tags: {} },
  );
  assert.deepEqual(await methods.instance({ address: '10.0.0.9' }), {});
  await assert.rejects(async () => methods.instance({ address: 'a' }), RequestError);
});

test('where the port of the platform is', async (t) => {
  const { methods } = (await serve(t)).handlers;
  assert.deepEqual(await methods.platform({}), {});
  const port = 'platform: { tun: sg-platform, netns: sg-platform }';
  const text = `${TEXT}\nplatformServices: [dns, instance-metadata]\n${port}\n`;
  const served = (await serve(t, text)).handlers;
  const addresses = ['169.254.169.253', 'fd00:ec2::253', '169.254.169.254', 'fd00:ec2::254'];
  const netns = '/run/netns/sg-platform';
  assert.deepEqual(await served.methods.platform({}), { platform: { netns, addresses } });
  const told = (await served.methods.interfaces({})).find(({ name }) => name === 'platform');
  assert.deepEqual([told?.netns, told?.addresses], [netns, addresses]);
});

test('rules have hits, flows are listed and ended', async (t) => {
  const { handlers, send, until, daemon } = await serve(t);
  const { methods } = handlers;
  await send(53);
  const { rules } = await methods.rules({ groups: ['web'] });
  assert.deepEqual(
    rules.map(({ text, hits }) => [text, hits]),
    [
      ['udp 53 from 10.0.0.0/8', 1],
      ['all to 0.0.0.0/0', 1],
      ['all to ::/0', 0],
    ],
  );
  const { flows } = await methods.flows({});
  assert.deepEqual(flows.map(({ interface: name, localPort }) => `${name} ${localPort}`).sort(), [
    'a 1000',
    'b 53',
  ]);
  assert.deepEqual(await methods.endFlows({ interfaces: ['b'] }), { ended: 1 });
  assert.deepEqual(await methods.endFlows({ interfaces: ['b'] }), { ended: 0 });
  await until(() => daemon.status().flows >= 1, 'the other flow is still tracked');
});

test('drops are listed and explained, by their number or the latest', async (t) => {
  const { handlers, send, until } = await serve(t);
  const { methods } = handlers;
  await send(99);
  let examples: readonly DropExample[] = [];
  await until(() => {
    void methods.drops({}).then(({ drops }) => (examples = drops.flatMap((one) => one.examples)));
    return examples.length > 0;
  }, 'the drop is told');
  const [{ id, interface: name, direction, reason }] = examples;
  assert.deepEqual([name, direction, reason], ['b', 'ingress', 'ingress-rules']);
  for (const question of [{}, { id }]) {
    const found = await methods.explainDrop(question);
    assert.ok(found.outcome === 'explained');
    assert.deepEqual([found.drop.id, found.explanation?.answers[0].reason], [id, 'ingress-rules']);
  }
  assert.equal((await methods.explainDrop({ id: id + 1 })).outcome, 'unknown');
  assert.throws(
    () => methods.explainDrop({ id: 0.5 }),
    new RequestError('id is the number of a drop'),
  );
});

test('an explanation, a plan and a reload', async (t) => {
  const { handlers, file } = await serve(t);
  const { methods } = handlers;
  const question = { from: 'a', to: 'b', service: 'udp', detail: '99' } as const;
  const answer = await methods.explain(question);
  assert.ok(answer.outcome === 'explained');
  assert.equal(answer.pairs[0].explanation.answers[0].reason, 'ingress-rules');
  writeFileSync(file, TEXT.replace('ports: 53', 'ports: 99'));
  const planned = await methods.reload({ dryRun: true });
  assert.equal(planned.outcome, 'planned');
  assert.equal((await methods.status({})).generation, 1);
  const changed = await methods.reload({});
  assert.equal(changed.outcome, 'changed');
  assert.equal((await methods.status({})).generation, 2);
});

test('the configuration in force is told whole to who does not have it', async (t) => {
  const { handlers, file } = await serve(t);
  const { methods } = handlers;
  const first = await methods.configuration({});
  assert.deepEqual(
    first.configuration?.networks.map(({ name }) => name),
    ['a', 'b', 'c'],
  );
  const { mark, generation } = first;
  assert.equal(generation, 1);
  assert.deepEqual(await methods.configuration({ unless: mark }), { mark, generation });
  // A description decides no packet, and is told all the same.
  writeFileSync(file, TEXT.replace('from: 10.0.0.0/8', 'from: 10.0.0.0/8, description: mine'));
  await methods.reload({});
  const next = await methods.configuration({ unless: mark });
  assert.notEqual(next.mark, mark);
  const web = next.configuration?.groups.find(({ name }) => name === 'web');
  assert.equal(web?.ingress[0].description, 'mine');
});

test('a draft of a group is told by what it would do, and changes nothing', async (t) => {
  const { handlers, send } = await serve(
    t,
    TEXT.replace('{ ingress', '{ revocation: recheck, ingress'),
  );
  const { methods } = handlers;
  await send(53);
  const rule = { protocol: 'udp', ports: '54', peer: '10.0.0.0/8' };
  const everything = { protocol: 'all', peer: '0.0.0.0/0' };
  const draft = { group: 'web', ingress: [rule], egress: [everything] };
  const answer = await methods.preview(draft);
  assert.ok(answer.outcome === 'planned');
  const { cut, kept, cutConnections, cutByRule } = answer.impact;
  assert.deepEqual([cut, kept, cutConnections.map((one) => one.interface)], [1, 1, ['b']]);
  assert.deepEqual(cutByRule, [{ rule: 'web ingress: udp 53 from 10.0.0.0/8', flows: 1 }]);
  assert.deepEqual(answer.admitted, ['web ingress: udp 54 from 10.0.0.0/8 at a, b, c']);
  const wrong = await methods.preview({ ...draft, ingress: [{ ...rule, peer: 'sg:wob' }] });
  assert.ok(wrong.outcome === 'refused');
  assert.deepEqual(
    wrong.problems.map(({ path }) => path),
    ['ingress[0].from'],
  );
  assert.deepEqual(
    (await methods.rules({ groups: ['web'] })).rules[0].text,
    'udp 53 from 10.0.0.0/8',
  );
  assert.deepEqual(
    [(await methods.status({})).generation, (await methods.flows({})).matched],
    [1, 2],
  );
});

test('trace, top and capture tell of packets until their client hangs up', async (t) => {
  const { handlers, send, until, daemon } = await serve(t);
  const trace = makeSink<{ verdicts: readonly { interface: string; reason?: string }[] }>();
  const capture = makeSink<{ packets: readonly { interface: string; reason?: string }[] }>();
  const top = makeSink<{ topDrops: readonly { interface: string; packets: number }[] }>();
  const stops = [
    handlers.streams.trace({ verdict: 'dropped' }, trace.sink),
    handlers.streams.capture({ verdict: 'dropped' }, capture.sink),
    handlers.streams.top({}, top.sink),
  ];
  // The first scan of top is what later ones are compared with.
  await until(() => top.answers.length > 0, 'top answers');
  await send(99);
  await until(() => trace.answers.length > 0 && capture.answers.length > 0, 'both tell');
  const [verdict] = trace.answers.flatMap(({ verdicts }) => verdicts);
  assert.deepEqual([verdict.interface, verdict.reason], ['b', 'ingress-rules']);
  const [packet] = capture.answers.flatMap(({ packets }) => packets);
  assert.deepEqual([packet.interface, packet.reason], ['b', 'ingress-rules']);
  const tops = (): typeof top.answers => top.answers.filter(({ topDrops }) => topDrops.length > 0);
  await until(() => tops().length > 0, 'top has the drop');
  assert.deepEqual(
    tops()[0].topDrops.map((one) => [one.interface, one.packets]),
    [['b', 1]],
  );
  for (const stop of stops) stop();
  const told = [trace.answers.length, capture.answers.length];
  await send(98);
  await until(() => daemon.loop.pulse > 0, 'the loop goes on');
  assert.deepEqual([trace.answers.length, capture.answers.length], told);
});
