/**
 * The flow log of a daemon that runs, of real traffic, is replayed: by the rules that were in force it says what
 * happened, and by others what would have.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { runSgctl, type Ran } from '../support/sgctl.ts';
import { canRun, Daemon, get, makeNamespaces, ping, serve, temporaryFile } from './world.ts';

const WORLD = '198.51.100.7';
const WEB = '10.0.0.11';
const DB = '10.0.0.12';

interface Told {
  readonly findings: readonly {
    readonly kind: string;
    readonly interface: string;
    readonly direction: string;
    readonly service: string;
    readonly packets: number;
  }[];
}

/** Fields in another order, and some of ours. A log has no line that names them. */
const FIELDS =
  '${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${tcp-flags} ${flow-direction} ${log-status} ${audited}';

for (const format of ['', FIELDS])
  test(`a flow log of real traffic is replayed, ${format === '' ? 'as AWS writes it' : 'with fields of ours'}`, async (t) => {
    if (!canRun(t)) return;
    const { world, web, db } = await makeNamespaces(t, ['world', 'web', 'db']);
    const config = (ports: string, from: string): string => `
uplink: { tun: up0, netns: ${world.path}, addresses: [${WORLD}/24] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: ${ports}, from: 0.0.0.0/0 }
      - { protocol: icmp, type: 8, from: 0.0.0.0/0 }
    egress: [{ protocol: tcp, ports: 5432, to: sg:db }]
  db: { ingress: [{ protocol: tcp, ports: 5432, from: '${from}' }], egress: [] }
interfaces:
  eni-00000000000000011: { device: { netns: ${web.path}, name: eth0 }, addresses: [${WEB}], securityGroups: [web] }
  eni-00000000000000012: { device: { netns: ${db.path}, name: eth0 }, addresses: [${DB}], securityGroups: [db] }
flowLogs:
  all:
    file: ${log}
    aggregation: 60
${format === '' ? '' : `    format: '${format}'\n`}`;
    const file = temporaryFile(t, 'c.yaml', '');
    const log = join(dirname(file), 'flow.log');
    const [tight, wide] = ['tight.yaml', 'wide.yaml'].map((name) => join(dirname(file), name));
    writeFileSync(file, config('8080', 'sg:web'));
    writeFileSync(tight, config('443', `${WORLD}/32`));
    writeFileSync(wide, config('[8080, 7000]', 'sg:web'));
    const daemon = await Daemon.start(t, file);
    await Promise.all([serve(web, 'web'), serve(db, 'db')]);
    assert.equal(await get(world, `${WEB}:8080`), 'web\n');
    assert.equal(await get(web, `${DB}:5432`), 'db\n');
    assert.equal((await ping(world, WEB, 2)).code, 0);
    assert.equal(await get(world, `${WEB}:7000`, 0.5), '');
    assert.equal(await get(web, `${WORLD}:80`, 0.5), '');
    assert.equal(await daemon.stop(), 0);

    const records = readFileSync(log, 'utf8').split('\n').filter((line) => / OK\b/.test(line)); // prettier-ignore
    // HTTP both ways at web, web to db both ways at each, the ping both ways, and two that were refused.
    assert.ok(records.length >= 10, records.join('\n'));
    const how = format === '' ? [] : ['--format', format];
    const replay = (...args: string[]): Ran => runSgctl(['replay', log, '--json', ...how, ...args]);
    const findings = ({ stdout }: Ran): readonly string[] =>
      (JSON.parse(stdout) as Told).findings
        .map((one) => `${one.kind} ${one.interface.slice(-2)} ${one.direction} ${one.service}`)
        .sort();
    const same = replay('--config', file);
    assert.deepEqual([same.code, findings(same)], [0, []], same.stderr);
    const narrow = replay('--config', tight);
    assert.deepEqual(findings(narrow), [
      'dropped 11 ingress tcp 8080',
      'dropped 12 ingress tcp 5432',
    ]);
    assert.equal(narrow.code, 1);
    const wider = replay('--config', file, '--against', wide);
    assert.deepEqual(findings(wider), ['newly-passed 11 ingress tcp 7000']);
    assert.equal(wider.code, 1);
  });
