/**
 * DNS names in egress rules with real programs: a resolver (dnsmasq) beyond the uplink, and an instance that asks it by
 * dig and curl. `workers: 2` brings the answer and the connection to different packet loops, for most addresses.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { NamesAnswer } from '../../src/queries/names-view.ts';
import type { Netns } from '../support/netns.ts';
import type { Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { runSgctl } from '../support/sgctl.ts';
import { canRun, Daemon, get, makeNamespaces, serve, temporaryFile } from './world.ts';

const RESOLVER = '198.51.100.53';
const OTHER = '198.51.100.54';
const API4 = ['203.0.113.10', '203.0.113.11', '203.0.113.12', '203.0.113.13'];
const API6 = '2001:db8:a::10';
const WEB = '203.0.113.20';
const TTL = 1;

interface Place {
  readonly agent: Netns;
  readonly outside: Netns;
  readonly daemon: Daemon;
  readonly control: string;
  /** dnsmasq at RESOLVER. */
  readonly resolver: Running;
  /** Starts a daemon once more, when the other one has ended. */
  readonly start: () => Promise<Daemon>;
}

/** How long an address counts at least. */
const LIFETIME_S = 1;
const LONG_S = 3600;

function makePlace(t: TestContext, workers: number, ...options: string[]): Promise<Place> {
  return makePlaceFor(t, LIFETIME_S, workers, ...options);
}

async function makePlaceFor(
  t: TestContext,
  minLifetime: number,
  workers: number,
  ...options: string[]
): Promise<Place> {
  const { agent, outside } = await makeNamespaces(t, ['agent', 'outside']);
  const file = temporaryFile(
    t,
    'names.yaml',
    `
workers: ${workers}
uplink: { tun: up0, netns: ${outside.path}, addresses: [198.51.100.1/24, '2001:db8:51::1/64'] }
names: { minLifetime: ${minLifetime} }
securityGroups:
  agent:
    egress:
      - { protocol: udp, ports: 53, to: ${RESOLVER}/32 }
      - { protocol: tcp, ports: 80, to: ['dns:api.test', 'dns:*.web.test'] }
interfaces:
  agent: { device: { netns: ${agent.path}, name: eth0 }, addresses: [10.0.0.11, 'fd00:10::11'], securityGroups: [agent] }
metrics: { listen: 127.0.0.1:0 }
`,
  );
  const control = join(file, '..', 'control.sock');
  const state = ['--state-dir', join(file, '..')];
  const start = (): Promise<Daemon> =>
    Daemon.start(t, file, ['--control', control, ...state, ...options]);
  const daemon = await start();
  for (const address of [
    `${RESOLVER}/32`,
    `${OTHER}/32`,
    `${WEB}/32`,
    ...API4.map((one) => `${one}/32`),
    `${API6}/128`,
  ])
    // prettier-ignore
    await outside.mustRun('ip', ['address', 'add', address, 'dev', 'lo']);
  await serve(outside, 'outside');
  const resolver = await startResolver(outside, RESOLVER, [
    ...[...API4, API6].map((one) => `--host-record=api.test,${one},${TTL}`),
    ...[`--address=/web.test/${WEB}`, '--host-record=inside.web.test,10.0.0.99'],
  ]);
  await startResolver(outside, OTHER, [`--host-record=api.test,${WEB}`]);
  return { agent, outside, daemon, control, resolver, start };
}

async function startResolver(
  netns: Netns,
  address: string,
  records: readonly string[],
): Promise<Running> {
  const server = await netns.start('dnsmasq', [
    ...[
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      '--user=root',
    ],
    ...[`--listen-address=${address}`, '--bind-interfaces', '--pid-file=', '--log-facility=-'],
    ...records,
  ]);
  await server.waitFor(/started, version/);
  return server;
}

function dig(netns: Netns, name: string, type = 'A', resolver = RESOLVER): Promise<string> {
  const args = [`@${resolver}`, '+short', '+tries=1', '+time=2', '+notcp', name, type];
  return netns.run('dig', args).then(({ stdout }) => stdout.trim());
}

function names({ control }: Place): NamesAnswer {
  const { stdout } = runSgctl(['names', '--json', '--socket', control]);
  return JSON.parse(stdout) as NamesAnswer;
}

function outcomesOf({ outcomes }: NamesAnswer): Record<string, number> {
  return Object.fromEntries(outcomes.map(({ outcome, count }) => [outcome, count]));
}

for (const workers of [1, 2])
  test(`an instance reaches what its resolver names, and nothing else, with ${workers} packet loop(s)`, async (t) => {
    if (!canRun(t) || !requireTools(t, 'dnsmasq', 'dig')) return;
    const place = await makePlace(t, workers);
    const { agent, daemon } = place;
    assert.equal(await get(agent, `${API4[0]}/`, 1), '', 'nothing was asked yet');
    const found = (await dig(agent, 'api.test')).split('\n').sort();
    assert.deepEqual(found, API4);
    for (const address of API4) assert.equal(await get(agent, `${address}/`), 'outside\n');
    assert.equal(await get(agent, `[${API6}]/`, 1), '', 'only IPv4 was asked for');
    assert.equal(await dig(agent, 'api.test', 'AAAA'), API6);
    assert.equal(await get(agent, `[${API6}]/`), 'outside\n');
    assert.equal(await get(agent, `${API4[0]}:8080/`, 1), '', 'the rule is for port 80');

    assert.equal(await dig(agent, 'a.b.web.test'), WEB);
    assert.equal(await get(agent, `${WEB}/`), 'outside\n');
    assert.equal(await dig(agent, 'inside.web.test'), '10.0.0.99');

    const { names: rows } = names(place);
    const told = rows.map(({ name, address }) => `${name} ${address}`).sort();
    assert.deepEqual(
      told,
      [...API4, API6]
        .map((one) => `api.test ${one}`)
        .concat(`*.web.test ${WEB}`)
        .sort(),
    );
    const outcomes = outcomesOf(names(place));
    assert.equal(outcomes['learnt'], 6);
    assert.equal(outcomes['forbidden-address'], 1);
    assert.equal(
      (await daemon.metrics()).get('secgroupd_names_answers_total{outcome="learnt"}'),
      6,
    );
  });

test('an answer of a resolver that no rule admits never comes, and one that was not asked teaches nothing', async (t) => {
  if (!canRun(t) || !requireTools(t, 'dnsmasq', 'dig', 'python3')) return;
  const place = await makePlace(t, 1);
  const { agent, outside } = place;
  assert.match(await dig(agent, 'api.test', 'A', OTHER), /no servers could be reached|^$/);
  assert.equal(await get(agent, `${WEB}/`, 1), '');
  // A question of the instance waits, and somebody who can send as the resolver answers it without its id.
  await place.resolver.stop('SIGKILL');
  await agent.mustRun('python3', ['-c', ASKER]);
  await outside.mustRun('python3', ['-c', FORGER, WEB, '1000', '1100']);
  assert.equal(await get(agent, `${WEB}/`, 1), '');
  const outcomes = outcomesOf(names(place));
  assert.equal(outcomes['unasked'], 100);
  assert.equal(outcomes['learnt'] ?? 0, 0);
  await outside.mustRun('python3', ['-c', FORGER, WEB, '7', '8']);
  assert.equal(
    await get(agent, `${WEB}/`),
    'outside\n',
    'with the id it would have been an answer',
  );
});

/** Asks for api.test from port 40000 with id 7. */
const ASKER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.0.0.11', 40000))
s.sendto(bytes.fromhex('0007010000010000000000000361706904746573740000010001'), ('${RESOLVER}', 53))
`;

/** Sends answers with the resolver's address and port, each with another id. */
const FORGER = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('${RESOLVER}', 53))
question = bytes.fromhex('0361706904746573740000010001')
record = bytes.fromhex('c00c000100010000012c0004') + socket.inet_aton(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    s.sendto(number.to_bytes(2, 'big') + bytes.fromhex('81800001000100000000') + question + record, ('10.0.0.11', 40000))
`;

test('an address counts for as long as the answer says, and a connection lives on', async (t) => {
  if (!canRun(t) || !requireTools(t, 'dnsmasq', 'dig')) return;
  // 11 s of an answer for 1 s, ten times as fast.
  const place = await makePlace(t, 1, '--time-scale', '10');
  const { agent } = place;
  await dig(agent, 'api.test');
  const ticks = await agent.start('curl', ['-gsSN', `http://${API4[0]}/ticks`]);
  await ticks.waitFor(/tick 1/);
  const until = async (wanted: boolean): Promise<void> => {
    for (let looks = 0; looks < 100; looks++) {
      const { names: rows } = names(place);
      if (rows.some(({ address }) => address === API4[0]) === wanted) return;
    }
    throw new Error(`it is ${wanted ? 'not' : 'still'} learnt`);
  };
  await until(false);
  assert.equal(await get(agent, `${API4[0]}/`, 1), '', 'its time is over');
  const seen = ticks.stdout().length;
  await ticks.waitFor(new RegExp(`tick ${ticks.stdout().trim().split('\n').length + 20}\\b`));
  assert.ok(ticks.stdout().length > seen, 'the connection goes on');
  await dig(agent, 'api.test');
  assert.equal(await get(agent, `${API4[0]}/`), 'outside\n');
});

test('a change of rules keeps what was learnt of names that stay', async (t) => {
  if (!canRun(t) || !requireTools(t, 'dnsmasq', 'dig')) return;
  const place = await makePlace(t, 1);
  const { agent, control } = place;
  await dig(agent, 'a.web.test');
  const { stdout, code } = runSgctl(['explain', `agent -> ${WEB} tcp 80`, '--socket', control]);
  assert.equal(code, 0, stdout);
  assert.match(stdout.replaceAll(/\s+/g, ' '), /203\.0\.113\.20 was learnt for dns:\*\.web\.test, and counts until 20/); // prettier-ignore
  const near = runSgctl(['explain', `agent -> ${API4[0]} tcp 80`, '--socket', control]);
  assert.match(near.stdout.replaceAll(/\s+/g, ' '), /dns:api\.test \(no answer for it has been seen\)/); // prettier-ignore
});

for (const workers of [1, 2])
  test(`what was learnt survives a restart, with ${workers} packet loop(s)`, async (t) => {
    if (!canRun(t) || !requireTools(t, 'dnsmasq', 'dig')) return;
    const place = await makePlaceFor(t, LONG_S, workers);
    const { agent, resolver } = place;
    await dig(agent, 'api.test');
    await dig(agent, 'api.test', 'AAAA');
    await resolver.stop('SIGKILL');
    const before = names(place).names;
    assert.equal(await place.daemon.stop(), 0);
    const daemon = await place.start();
    assert.match(daemon.output, /"names":5,"msg":"addresses of DNS names are known again"/);
    for (const address of [...API4, `[${API6}]`])
      assert.equal(await get(agent, `${address}/`), 'outside\n', address);
    assert.equal(await get(agent, `${WEB}/`, 1), '', 'it was never asked for');
    const times = (rows: NamesAnswer['names']): (readonly [string, number])[] =>
      rows
        .map(
          ({ address, untilMs }) => [address ?? '', Math.round((untilMs ?? 0) / 10_000)] as const,
        )
        .sort();
    const [now, then] = [times(names(place).names), times(before)];
    assert.deepEqual(
      now.map(([address]) => address),
      then.map(([address]) => address),
    );
    // The end is where it was, but for how exactly two clocks are read: a restart adds nothing.
    now.forEach(([, end], i) => assert.ok(end <= then[i][1] + 1, `${end} and ${then[i][1]}`));
    await daemon.kill();
    const after = await place.start();
    assert.doesNotMatch(after.output, /known again/, 'a crash leaves nothing to go by');
    assert.equal(await get(agent, `${API4[0]}/`, 1), '');
  });
