/**
 * What the kernel's programs take for a packet of one flow of many, and what memory these flows take.
 *
 * An engine admits the flows, and the kernel is handed a packet of each in an order that no cache can foresee
 * (BPF_PROG_TEST_RUN): no device, and no packet on a wire. The kernel itself times the program's runs
 * (kernel.bpf_stats_enabled), so what a test run costs beside them is not counted. Another packet's test run is between
 * two of them, as another packet's way through the stack would be.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { OffloadedFlows } from '../../../src/engine/offloaded-flows.ts';
import type { NativeOffload } from '../../../src/ports/native-offload.ts';
import { KernelRig, requireOffload } from '../../offload/kernel-rig.ts';
import { udp4 } from '../../packets/build.ts';
import type { ModelText } from '../../support/policy.ts';
import { shuffled } from '../decision/bed.ts';
import { runCase, type Case } from '../decision/case.ts';

const STATISTICS = '/proc/sys/kernel/bpf_stats_enabled';
const CLIENT = '10.0.0.11';
const SERVER = '10.0.0.12';
const SERVER_PORT = 2;
const PORTS = { srcPort: 1, dstPort: 53 };
/** Of a packet: source and destination port. */
const PORTS_OFFSET = 20;
/** Longer than all of it takes. */
const FOREVER = { tcpEstablishedSec: 432_000, udpSec: 100_000, udpStreamSec: 100_000 };
const PAYLOAD = { payload: 'x'.repeat(18) };

const MODEL: ModelText = {
  groups: { client: {}, server: { ingress: ['udp 0-65535 from sg:client'] } },
  interfaces: {
    client: { addresses: [CLIENT], groups: ['client'] },
    server: { addresses: [SERVER], groups: ['server'] },
  },
};

/** Flows that the kernel forwards answers of. */
class Crowd {
  readonly subject: string;
  readonly kernel: KernelRig;
  private readonly answer = udp4(SERVER, CLIENT, { ...PORTS, ...PAYLOAD });
  /** Numbers of those that found room in their buckets. */
  private readonly flows: Int32Array;
  private readonly order: Int32Array;
  private at = 0;

  /** @param count flows, with room for a few more in the kernel */
  constructor(addon: NativeOffload, count: number) {
    this.subject = `${count.toLocaleString('en')} flows`;
    const options = { maxFlows: 2 * count, timeouts: { client: FOREVER, server: FOREVER } };
    const capacity = 2 ** Math.ceil(Math.log2(count));
    this.kernel = new KernelRig(addon, MODEL, options, { capacity });
    const question = udp4(CLIENT, SERVER, { ...PORTS, ...PAYLOAD });
    const placed: number[] = [];
    for (let i = 0; i < count; i++) {
      const before = this.kernel.offload.count;
      this.kernel.judge('client', 'server', withPorts(question, i, true));
      this.kernel.judge('server', 'client', withPorts(this.answer, i, false));
      if (this.kernel.offload.count > before) placed.push(i);
    }
    this.flows = Int32Array.from(placed);
    this.order = shuffled(placed.length);
  }

  /** @returns ns that a run of the program took on average */
  look(packets: number): number {
    const before = readRuns(this.kernel);
    for (let i = 0; i < packets; i++) {
      const flow = this.flows[this.order[this.at]];
      this.at = (this.at + 1) % this.order.length;
      if (!this.kernel.isForwarded(withPorts(this.answer, flow, false), SERVER_PORT))
        throw new Error(`the kernel does not forward packets of flow ${flow} of ${this.subject}`);
    }
    const after = readRuns(this.kernel);
    return (after.ns - before.ns) / (after.count - before.count);
  }

  /** Bytes a flow: of the kernel's tables, which the loop shares, and of the loop's own. */
  get memory(): { readonly shared: number; readonly own: number } {
    const { opened, parts } = this.kernel;
    const { buckets, flows, changed } = opened;
    const tables = [buckets, flows, changed].map((fd) => readFields(fd).get('memlock') ?? 0);
    const before = process.memoryUsage().arrayBuffers;
    const second = new OffloadedFlows(parts);
    const own = process.memoryUsage().arrayBuffers - before;
    if (second.count !== 0) throw new Error('new tables are not empty');
    const sum = tables.reduce((total, bytes) => total + bytes, 0);
    return { shared: sum / parts.capacity, own: own / parts.capacity };
  }
}

/** The packet as flow `i` has it. @param isFromClient whether it has the server's port second */
function withPorts(packet: Uint8Array, i: number, isFromClient: boolean): Uint8Array {
  const client = i & 0xffff;
  const server = 1000 + (i >>> 16);
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  view.setUint16(PORTS_OFFSET, isFromClient ? client : server);
  view.setUint16(PORTS_OFFSET + 2, isFromClient ? server : client);
  return packet;
}

/** What the kernel tells of a descriptor, the numbers of it. */
function readFields(fd: number): ReadonlyMap<string, number> {
  const lines = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').trim().split('\n');
  return new Map(
    lines.map((line) => {
      const [name, value] = line.split(':\t');
      return [name, Number(value)];
    }),
  );
}

function readRuns({ opened }: KernelRig): { readonly ns: number; readonly count: number } {
  const fields = readFields(opened.rehearse);
  const [ns, count] = [fields.get('run_time_ns'), fields.get('run_cnt')];
  if (ns === undefined || count === undefined) throw new Error('the kernel times no programs');
  return { ns, count };
}

/** As `requireOffload` takes a test: who asked for this has looked whether it can be. */
const scope = {
  skip(why: string): void {
    throw new Error(why);
  },
} as unknown as TestContext;

const lookUp: Case = {
  name: 'look-up',
  run({ isQuick, rounds, add }) {
    const addon = requireOffload(scope);
    if (addon === undefined) return;
    const counts = isQuick ? [1000, 20_000] : [1000, 65_536, 1_000_000];
    const packets = isQuick ? 5000 : 100_000;
    const crowds = counts.map((count) => new Crowd(addon, count));
    const before = readFileSync(STATISTICS, 'utf8');
    writeFileSync(STATISTICS, '1');
    try {
      for (const crowd of crowds) crowd.look(packets);
      for (let round = 0; round < rounds; round++)
        for (const crowd of crowds) add('look-up', crowd.subject, 'ns', crowd.look(packets));
    } finally {
      writeFileSync(STATISTICS, before);
    }
    for (const { subject, memory } of crowds) {
      add('memory a flow, shared with the kernel', subject, 'B', memory.shared);
      add('memory a flow, the packet loop’s', subject, 'B', memory.own);
    }
  },
};

runCase([lookUp]);
