/**
 * The rival "ovs": Open vSwitch's userspace datapath with ct(), as a process of its own with a database of its
 * own. It has veth pairs for ports, so the ends fill in their checksums themselves: without DPDK, this
 * datapath has no other way to get them right.
 */
import { GUARD_MS } from '../../support/guard-time.ts';
import { connect, makeNetns, type Netns } from '../../support/netns.ts';
import { mustRun, type Running } from '../../support/process.ts';
import { findTool } from '../../support/require.ts';
import type { Bench } from '../bench.ts';
import { FIRST_PORT, LAST_PORT, makeEnds, type Rival } from './rival.ts';

const CLIENT = '10.1.0.1';
const SERVER = '10.1.0.2';
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

export const OVS_TOOLS = ['ovsdb-tool', 'ovsdb-server', 'ovs-vsctl', 'ovs-vswitchd', 'ovs-ofctl'];

/** One flow a port: OpenFlow 1.0 has masks instead of ranges. */
function flows(): string {
  const ports = Array.from({ length: LAST_PORT - FIRST_PORT + 1 }, (_, i) => FIRST_PORT + i);
  const admitted = ports.flatMap((port) =>
    ['tcp', 'udp'].map(
      (protocol) =>
        `table=1,priority=10,ct_state=+trk+new,${protocol},nw_src=${CLIENT},nw_dst=${SERVER},tp_dst=${port},actions=ct(commit),NORMAL`,
    ),
  );
  return [
    'table=0,priority=10,arp,actions=NORMAL',
    'table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1)',
    'table=1,priority=20,ct_state=+trk+inv,actions=drop',
    'table=1,priority=10,ct_state=+trk+est,ip,actions=NORMAL',
    'table=1,priority=10,ct_state=+trk+rel,ip,actions=NORMAL',
    ...admitted,
    'table=1,priority=0,actions=drop',
    '',
  ].join('\n');
}

export async function startOvs(bench: Bench): Promise<Rival> {
  const { client, server } = await makeEnds(bench);
  const middle = await makeNetns(bench.scope);
  for (const [end, name, address] of [
    [client, 'client', CLIENT],
    [server, 'server', SERVER],
  ] as const) {
    await connect(
      { netns: end, interfaceName: 'eth0', addresses: [`${address}/24`] },
      { netns: middle, interfaceName: name, addresses: [] },
    );
    await end.mustRun(bench.tool('offload-off'), ['eth0']);
  }
  const daemon = await startSwitch(bench, middle);
  return {
    name: 'ovs',
    client,
    server,
    clientAddress: CLIENT,
    serverAddress: SERVER,
    refuses: true,
    pid: daemon.pid,
  };
}

async function startSwitch(bench: Bench, netns: Netns): Promise<Running> {
  const { directory } = bench;
  const env = {
    ...process.env,
    OVS_RUNDIR: directory,
    OVS_LOGDIR: directory,
    OVS_DBDIR: directory,
  };
  const database = `unix:${bench.path('db.sock')}`;
  await mustRun(tool('ovsdb-tool'), ['create', bench.path('conf.db'), SCHEMA], { env });
  const quiet = ['-vconsole:off'];
  const server = await netns.start(
    tool('ovsdb-server'),
    [...quiet, `--remote=p${database}`, bench.path('conf.db')],
    { env },
  );
  bench.scope.after(() => server.stop());
  const vsctl = (...args: readonly string[]): Promise<string> =>
    mustRun(
      tool('ovs-vsctl'),
      [`--timeout=${GUARD_MS / 1000}`, '--retry', `--db=${database}`, ...args],
      { env },
    );
  await vsctl('--no-wait', 'init');
  const daemon = await netns.start(tool('ovs-vswitchd'), [...quiet, database], { env });
  bench.scope.after(() => daemon.stop());
  await vsctl(
    ...['add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev', 'fail-mode=secure'],
    ...['--', 'add-port', 'br0', 'client', '--', 'add-port', 'br0', 'server'],
  );
  const management = `unix:${bench.path('br0.mgmt')}`;
  await mustRun(tool('ovs-ofctl'), ['add-flows', management, '-'], { env, input: flows() });
  bench.collector.tools['ovs'] = (await vsctl('--version')).split('\n')[0];
  return daemon;
}

function tool(name: string): string {
  return findTool(name) ?? name;
}
