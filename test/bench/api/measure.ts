/**
 * The benchmark "api": how fast the API's server answers with a large estate, and how soon packets obey a call.
 *
 * A call that changes something answers when the daemon has it in force, so its time is that until packets obey. The
 * daemon has a TUN device for each interface of its host; no packet is sent. moto's server, which keeps groups in
 * memory and enforces nothing, answers the same questions beside it where Python has it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { send, type Got, type Key } from '../../api/request.ts';
import { makeNetns } from '../../support/netns.ts';
import { mustRun, run, start } from '../../support/process.ts';
import { SGCTL } from '../../support/sgctl.ts';
import type { Bench } from '../bench.ts';
import { fillStore, idOf, type Size } from './fill.ts';

const BENCHMARK = 'api';
const FULL: Size = { groups: 10_000, rulesPerGroup: 10, interfaces: 20_000, attached: 1000 };
const QUICK: Size = { groups: 500, rulesPerGroup: 10, interfaces: 1000, attached: 50 };
const PAGE = 1000;
const CLIENTS = 8;
const SUSTAINED_MS = 10_000;
const SUSTAINED_QUICK_MS = 2000;
const HOST = 'bench';
const PROGRAMS = fileURLToPath(new URL('../../../src/', import.meta.url));

export interface Endpoint {
  readonly subject: string;
  readonly port: number;
  readonly key: Key;
  readonly agent: Agent;
}

export async function measureApi(bench: Bench): Promise<void> {
  const size = bench.pick(FULL, QUICK);
  const files = {
    store: bench.path('store.db'),
    keys: bench.path('keys.json'),
    config: bench.path('api.yaml'),
  };
  bench.say(`${BENCHMARK}: filling a store`);
  const devices = await makeNetns(bench.scope);
  const uplink = await makeNetns(bench.scope);
  await fillStore(files.store, size, { host: HOST, netns: devices.path });
  writeFileSync(
    files.config,
    `uplink: { tun: up0, netns: ${uplink.path}, addresses: [10.255.0.1/24] }\n`,
  );
  const key = await makeKey(files.keys);
  const started = performance.now();
  const server = await start(process.execPath, [
    join(PROGRAMS, 'api/secgroup-api.js'),
    ...['--listen', '127.0.0.1:0', '--keys', files.keys, '--store', files.store],
    ...['--requests-per-second', '100000'],
  ]);
  bench.scope.after(() => server.stop());
  const [, port] = await server.waitFor(/"url":"http:\/\/127\.0\.0\.1:(\d+)"/);
  note(bench, 'start', 'secgroupd', 'ms', performance.now() - started);
  const ours = { subject: 'secgroupd', port: Number(port), key, agent: keepAlive() };
  await measureReads(bench, ours, (number) => idOf('sg', number), size.groups);
  const daemonStarted = performance.now();
  const daemon = await start(process.execPath, [
    join(PROGRAMS, 'main.js'),
    ...['--config', files.config, '--store', files.store, '--host', HOST],
  ]);
  bench.scope.after(() => daemon.stop());
  await daemon.waitFor(/packets flow/);
  note(bench, 'start of the daemon', 'secgroupd', 'ms', performance.now() - daemonStarted);
  await measureChanges(bench, ours, (number) => idOf('sg', number), size.attached);
  note(bench, 'resident', 'secgroupd', 'MB', residentMegabytes(server.pid));
  note(bench, 'resident, daemon', 'secgroupd', 'MB', residentMegabytes(daemon.pid));
  ours.agent.destroy();
  await daemon.stop();
  await server.stop();
  await measureMoto(bench, size);
}

/** DescribeSecurityGroups of one group, and of a page. */
async function measureReads(
  bench: Bench,
  at: Endpoint,
  id: (number: number) => string,
  groups: number,
): Promise<void> {
  const one: number[] = [];
  for (let i = 0; i < bench.pick(500, 100); i++)
    one.push(
      await timed(() => call(at, 'DescribeSecurityGroups', { 'GroupId.1': id(i % groups) })),
    );
  quantiles(bench, 'one group by id', at.subject, one);
  const pages: number[] = [];
  for (let i = 0; i < bench.pick(30, 5); i++)
    pages.push(await timed(() => call(at, 'DescribeSecurityGroups', { MaxResults: String(PAGE) })));
  quantiles(bench, 'a page of 1,000', at.subject, pages);
}

/** One call after the other, then as many as go through with some clients at a time. */
async function measureChanges(
  bench: Bench,
  at: Endpoint,
  id: (number: number) => string,
  groups: number,
): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < bench.pick(500, 50); i++)
    times.push(
      await timed(() => call(at, 'AuthorizeSecurityGroupIngress', rule(id(i % groups), 7000 + i))),
    );
  quantiles(bench, 'authorize, one at a time', at.subject, times);
  const until = performance.now() + bench.pick(SUSTAINED_MS, SUSTAINED_QUICK_MS);
  const began = performance.now();
  let done = 0;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      for (let i = 0; performance.now() < until; i++) {
        const parameters = rule(id((client + CLIENTS * i) % groups), 20_000 + client);
        await call(at, 'AuthorizeSecurityGroupIngress', parameters);
        await call(at, 'RevokeSecurityGroupIngress', parameters);
        done += 2;
      }
    }),
  );
  const rate = (done * 1000) / (performance.now() - began);
  note(bench, `changes, ${CLIENTS} clients`, at.subject, 'a second', rate);
}

/** The same of moto's server, with groups that calls made: as many as are made in a moment. */
async function measureMoto(bench: Bench, { rulesPerGroup }: Size): Promise<void> {
  if ((await run('python3', ['-c', 'import moto.server'])).code !== 0) {
    bench.collector.note("moto's server is not installed; it was left out");
    return;
  }
  const groups = bench.pick(PAGE, 50);
  bench.say(`${BENCHMARK}: moto, with ${groups} groups`);
  const began = performance.now();
  const moto = await start('python3', ['-c', 'from moto.server import main; main(["-p", "0"])']);
  bench.scope.after(() => moto.stop());
  const [, port] = await moto.waitFor(/127\.0\.0\.1:(\d+)/);
  note(bench, 'start', 'moto', 'ms', performance.now() - began);
  const key = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'any' };
  const at = { subject: 'moto', port: Number(port), key, agent: keepAlive() };
  const ids: string[] = [];
  for (let i = 0; i < groups; i++) {
    const names = { GroupName: `group-${i}`, GroupDescription: 'd' };
    const { body } = await call(at, 'CreateSecurityGroup', names);
    const id = /<groupId>(.*?)<\/groupId>/.exec(body)?.[1] ?? '';
    ids.push(id);
    const rules = Array.from({ length: rulesPerGroup }, (_, r) => permission(r + 1, 1000 + r));
    const parameters = Object.fromEntries(rules.flatMap((one) => Object.entries(one)));
    await call(at, 'AuthorizeSecurityGroupIngress', { GroupId: id, ...parameters });
  }
  const version = await run('python3', ['-c', 'import moto; print(moto.__version__)']);
  bench.collector.tools['moto'] = `moto ${version.stdout.trim()}`;
  bench.collector.note(
    `moto had ${groups} groups, not as many as secgroupd, and it enforces nothing`,
  );
  await measureReads(bench, at, (number) => ids[number], groups);
  await measureChanges(bench, at, (number) => ids[number], Math.min(groups, 1000));
  note(bench, 'resident', 'moto', 'MB', residentMegabytes(moto.pid));
  at.agent.destroy();
  await moto.stop();
}

export function keepAlive(): Agent {
  return new Agent({ keepAlive: true });
}

function rule(id: string, port: number): Record<string, string> {
  return { GroupId: id, ...permission(1, port) };
}

function permission(number: number, port: number): Record<string, string> {
  return {
    [`IpPermissions.${number}.IpProtocol`]: 'tcp',
    [`IpPermissions.${number}.FromPort`]: String(port),
    [`IpPermissions.${number}.ToPort`]: String(port),
    [`IpPermissions.${number}.IpRanges.1.CidrIp`]: '192.0.2.0/24',
  };
}

export async function call(
  at: Endpoint,
  action: string,
  parameters: Record<string, string>,
): Promise<Got> {
  const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
  const got = await send(at.port, at.key, { body: body.toString(), agent: at.agent });
  if (got.status !== 200) throw new Error(`${at.subject} answered ${action} with ${got.body}`);
  return got;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function quantiles(bench: Bench, metric: string, subject: string, times: readonly number[]): void {
  const sorted = [...times].sort((a, b) => a - b);
  for (const [name, part] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const)
    // prettier-ignore
    note(bench, `${metric}, ${name}`, subject, 'ms', sorted[Math.floor(sorted.length * part)]);
}

function note(bench: Bench, metric: string, subject: string, unit: string, value: number): void {
  bench.collector.add(BENCHMARK, metric, subject, unit, value);
  bench.say(`${BENCHMARK} ${subject}: ${metric} ${value.toFixed(2)} ${unit}`);
}

function residentMegabytes(pid: number): number {
  const kilobytes = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}

async function makeKey(file: string): Promise<Key> {
  const made = await mustRun(process.execPath, [
    SGCTL,
    ...['api', 'key', 'create', 'bench', '--policy', 'write', '--keys', file, '--json'],
  ]);
  return JSON.parse(made) as Key;
}
