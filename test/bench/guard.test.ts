/**
 * What must not creep up, counted instead of timed: operations a decision, and system calls a packet. (Allocations
 * are counted in test/engine/allocation.test.ts.) The bounds are what is needed today and a little; lower them
 * when less is needed.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { Rig } from '../engine/rig.ts';
import { udp4 } from '../packets/build.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';
import { Bench, sleep } from './bench.ts';
import { ReadCounter } from './count-reads.ts';
import { Collector } from './results.ts';
import { LOAD_PORT } from './rivals/rival.ts';
import { startSecgroupd } from './rivals/secgroupd.ts';

const UDP_CLIENT = fileURLToPath(new URL('../netns/udp-client.js', import.meta.url));
const WEB = '10.0.0.11';
const APP = '10.0.0.12';
const OUTSIDE = '198.51.100.7';

/** Words read of both gates' tables and of the policy. */
const TRACKED_READS_MAX = 20;
const NEW_FLOW_READS_MAX = 40;

/** Fewer than a device's queue holds. */
const PACKETS = 400;
/** The end of each batch is an EAGAIN, and so a wait; the rest is what else the process does meanwhile. */
const READS_BESIDE_MAX = 20;
const WRITES_BESIDE_MAX = 20;

/** Sends a packet of each of `count` flows in by a port; they differ in their source port. */
function sendFlows(rig: Rig, packet: Uint8Array, count: number, port: number): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  rig.engine.beginRound(0, 0, 0);
  for (let i = 0; i < count; i++) {
    view.setUint16(20, i);
    assert.ok(rig.engine.evaluate(view, 0, packet.length, port, 1, 0) >= 0);
  }
}

/** Words of flow tables and policy read for a packet. */
function readsPerPacket(rig: Rig, packet: Uint8Array, flows: number, port: number): number {
  const counter = new ReadCounter();
  counter.watch({ tables: [rig.flows4, rig.flows6], policy: rig.policy });
  sendFlows(rig, packet, flows, port);
  return counter.count / flows;
}

test('a tracked packet reads few words of a table that is as full as it gets, and none of the rules', (t) => {
  const flows = 2048;
  const rig = new Rig(
    {
      groups: { web: {}, app: { ingress: ['udp 53 from sg:web'] } },
      interfaces: {
        web: { addresses: [WEB], groups: ['web'] },
        app: { addresses: [APP], groups: ['app'] },
      },
    },
    { maxFlows: 2 * flows },
  );
  const packet = udp4(WEB, APP, { srcPort: 1, dstPort: 53 });
  sendFlows(rig, packet, flows, 1);
  assert.equal(rig.flows4.count, 2 * flows);
  const reads = readsPerPacket(rig, packet, flows, 1);
  t.diagnostic(`${reads} words a packet, both gates`);
  assert.ok(reads > 2 && reads <= TRACKED_READS_MAX, `${reads} words a packet, both gates`);
});

function rulesRig(count: number): Rig {
  const rules = Array.from(
    { length: count },
    (_, i) => `udp ${1000 + i} from 20.${i >>> 8}.${i & 255}.0/24`,
  );
  return new Rig(
    {
      groups: { app: { ingress: [...rules, 'udp 53 from 198.51.100.0/24'] } },
      interfaces: { app: { addresses: [APP], groups: ['app'] } },
    },
    { maxFlows: 4096 },
  );
}

test('a new flow reads as many words with 10,000 rules as with 10', (t) => {
  const packet = udp4(OUTSIDE, APP, { srcPort: 1, dstPort: 53 });
  const [few, many] = [10, 10_000].map((count) => readsPerPacket(rulesRig(count), packet, 1024, 0));
  t.diagnostic(`${few} words a new flow with 10 rules, ${many} with 10,000`);
  assert.ok(few > 10 && few <= NEW_FLOW_READS_MAX, `${few} words a new flow with 10 rules`);
  assert.ok(many <= 1.2 * few, `${few} words with 10 rules, ${many} with 10,000`);
});

test('system calls a packet, when a queue of packets is waiting', async (t) => {
  if (!requireRoot(t) || !requireTun(t) || !requireTools(t, 'ip', 'sysctl')) return;
  const bench = new Bench(new Collector(), true);
  t.after(() => bench.end());
  const { pid, client, server, serverAddress } = await startSecgroupd(bench);
  if (pid === undefined || systemCalls(pid) === undefined) {
    t.skip('the kernel does not count the system calls of a process (CONFIG_TASK_IO_ACCOUNTING)');
    return;
  }
  // A port unreachable for each datagram would be traffic too.
  const port = String(LOAD_PORT);
  const listen = `require('node:dgram').createSocket('udp4').bind(${port}, () => console.log('ready'))`;
  await (await server.start(process.execPath, ['-e', listen])).waitFor(/ready/);
  const replay = async (): Promise<{ reads: number; writes: number }> => {
    await sleep(100);
    process.kill(pid, 'SIGSTOP');
    const before = systemCalls(pid)!;
    try {
      await client.mustRun(process.execPath, [UDP_CLIENT, serverAddress, port, String(PACKETS)]);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await sleep(100);
    const after = systemCalls(pid)!;
    return { reads: after.reads - before.reads, writes: after.writes - before.writes };
  };
  await replay();
  const { reads, writes } = await replay();
  t.diagnostic(`${PACKETS} packets: ${reads} reads, ${writes} writes`);
  assert.ok(reads >= PACKETS && reads <= PACKETS + READS_BESIDE_MAX, `${reads} reads`);
  assert.ok(writes > 0 && writes <= PACKETS + WRITES_BESIDE_MAX, `${writes} writes`);
});

/** Reads and writes of all threads so far, as the kernel counts them; undefined if it does not. */
function systemCalls(pid: number): { reads: number; writes: number } | undefined {
  let reads = 0;
  let writes = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    let text: string;
    try {
      text = readFileSync(`/proc/${pid}/task/${thread}/io`, 'utf8');
    } catch {
      return undefined;
    }
    reads += Number(/^syscr: (\d+)/m.exec(text)?.[1]);
    writes += Number(/^syscw: (\d+)/m.exec(text)?.[1]);
  }
  return { reads, writes };
}
