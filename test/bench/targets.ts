/** The targets of the project, and whether a run reached them. */
import type { Collector, RivalName, TargetResult } from './results.ts';
import { ratios, summarise } from './stats.ts';

interface Target {
  readonly what: string;
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
  /** `× kernel`, ` ns` */
  readonly suffix: string;
  /** Figures to hold against the limit, by round; none if not measured. */
  readonly values: (collector: Collector) => readonly number[];
}

function ratio(
  what: string,
  [benchmark, metric]: readonly [string, string],
  bound: Target['bound'],
  limit: number,
  rival: string,
  ours: RivalName = 'secgroupd',
): Target {
  return {
    what,
    bound,
    limit,
    suffix: ` × ${rival}`,
    values: (collector) =>
      ratios(collector.values(benchmark, metric, ours), collector.values(benchmark, metric, rival)),
  };
}

function inProcess(
  what: string,
  metric: string,
  subject: string,
  limit: number,
  suffix: string,
  benchmark = 'decision',
): Target {
  return {
    what,
    bound: 'at most',
    limit,
    suffix,
    values: (collector) => collector.values(benchmark, metric, subject),
  };
}

function recordings(what: string, work: string, subject: string, limit: number): Target {
  return inProcess(what, `${work}, processor time`, subject, limit, ' µs', 'recordings');
}

/** Of the kernel's fast path, next to the kernel. */
function fast(
  what: string,
  measured: readonly [string, string],
  bound: Target['bound'],
  limit: number,
): Target {
  return ratio(`fast path: ${what}`, measured, bound, limit, 'kernel', 'fast-path');
}

/** Of the kernel's fast path, by itself. */
function kernelHas(what: string, benchmark: string, metric: string, limit: number): Target {
  return inProcess(`fast path: ${what}`, metric, 'fast-path', limit, ' ms', benchmark);
}

/** 10,000 of something against 10 of it. */
function growth(what: string, metric: string, noun: string): Target {
  return {
    what,
    bound: 'at most',
    limit: 1.2,
    suffix: ` × 10 ${noun}`,
    values: (collector) =>
      ratios(
        collector.values('decision', metric, `10,000 ${noun}`),
        collector.values('decision', metric, `10 ${noun}`),
      ),
  };
}

function api(
  what: string,
  metric: string,
  limit: number,
  suffix = ' ms',
  bound: Target['bound'] = 'at most',
): Target {
  const values = (collector: Collector): readonly number[] =>
    collector.values('api', metric, 'secgroupd');
  return { what: `API: ${what}`, bound, limit, suffix, values };
}

/** Of the hosts that a run has; 1,000 are calculated from it (docs/clusters.md). */
function cluster(what: string, metric: string, limit: number, suffix: string): Target {
  const values = (collector: Collector): readonly number[] =>
    collector.measurements
      .filter((one) => one.benchmark === 'cluster' && one.metric === metric)
      .flatMap((one) => one.values);
  return { what: `cluster: ${what}`, bound: 'at most', limit, suffix, values };
}

/** How much longer than with dockerd's own bridge. */
function longer(what: string, metric: string, limit: number): Target {
  return {
    ...{ what, bound: 'at most', limit, suffix: ' ms more than bridge' },
    values: (collector) => {
      const theirs = collector.values('docker', metric, 'bridge');
      return collector
        .values('docker', metric, 'secgroupd')
        .map((ours, i) => ours - theirs[i])
        .filter(Number.isFinite);
    },
  };
}

const TARGETS: readonly Target[] = [
  ratio('TCP, one flow', ['tcp-1', 'throughput'], 'at least', 1.2, 'kernel'),
  ratio('TCP, one flow', ['tcp-1', 'throughput'], 'at least', 0.95, 'relay'),
  ratio('TCP, one flow', ['tcp-1', 'throughput'], 'at least', 15, 'ovs'),
  ratio('TCP, 8 flows', ['tcp-8', 'throughput'], 'at least', 1, 'kernel'),
  ratio('UDP 64 B, ≤ 0.1 % loss', ['udp-64', 'rate'], 'at least', 2, 'kernel'),
  ratio('UDP 64 B, ≤ 0.1 % loss', ['udp-64', 'rate'], 'at least', 2, 'ovs'),
  ratio('TCP connections a second', ['connections', 'rate'], 'at least', 0.8, 'kernel'),
  ratio('round trip at half load, p50', ['round-trip', 'half load, p50'], 'at most', 2, 'kernel'),
  ratio('round trip at half load, p99', ['round-trip', 'half load, p99'], 'at most', 2, 'kernel'),
  fast('TCP, one flow', ['tcp-1', 'throughput'], 'at least', 1),
  fast('TCP, 8 flows', ['tcp-8', 'throughput'], 'at least', 1),
  fast('UDP 64 B, ≤ 0.1 % loss', ['udp-64', 'rate'], 'at least', 1.2),
  fast('TCP connections a second', ['connections', 'rate'], 'at least', 0.9),
  fast('CPU a Gb, one flow', ['cpu', 'TCP, one flow'], 'at most', 1),
  fast('CPU a Gb, 8 flows', ['cpu', 'TCP, 8 flows'], 'at most', 1),
  fast('CPU a packet, UDP 64 B', ['cpu', 'UDP 64 B'], 'at most', 1),
  fast('round trip idle, p50', ['round-trip', 'idle, p50'], 'at most', 1),
  fast('round trip idle, p99', ['round-trip', 'idle, p99'], 'at most', 1),
  fast('round trip at half load, p50', ['round-trip', 'half load, p50'], 'at most', 1),
  fast('round trip at half load, p99', ['round-trip', 'half load, p99'], 'at most', 1),
  // Or after three packets; a flow that is in a hurry has more of them in a millisecond.
  kernelHas('in the kernel, UDP', 'hand-over', 'UDP, until then, p50', 1),
  kernelHas('in the kernel, TCP', 'hand-over', 'TCP, until then, p50', 1),
  kernelHas('last packet after a reload', 'revocation', 'reload, from the request', 10),
  kernelHas('last packet after a call', 'revocation', 'API, from the request', 10),
  {
    ...{ what: 'fast path: look-up, 1M flows', bound: 'at most', limit: 1.3 },
    suffix: ' × 1,000 flows',
    values: (collector) =>
      ratios(
        collector.values('kernel-flows', 'look-up', '1,000,000 flows'),
        collector.values('kernel-flows', 'look-up', '1,000 flows'),
      ),
  },
  ratio('Docker: TCP, one flow', ['docker', 'tcp-1 throughput'], 'at least', 1, 'bridge'),
  longer('Docker: run to first answer', 'docker run to first answer', 150),
  ratio('attached veth: TCP, one flow', ['attach', 'tcp-1 throughput'], 'at least', 0.6, 'kernel'),
  ratio('attached TAP: TCP, one flow', ['vm-tap', 'tcp-1 throughput'], 'at least', 0.6, 'kernel'),
  inProcess('CNI: start of the plugin', 'start of the plugin', 'secgroupd', 100, ' ms', 'cni'),
  inProcess('decision, UDP, hot', 'UDP', '1 flow', 50, ' ns'),
  inProcess('decision, TCP, hot', 'TCP', '1 flow', 50, ' ns'),
  inProcess('decision, UDP, 64k flows', 'UDP', '65,536 flows', 90, ' ns'),
  inProcess('decision, TCP, 64k flows', 'TCP', '65,536 flows', 90, ' ns'),
  inProcess('decision, UDP, 1M flows', 'UDP', '1,000,000 flows', 200, ' ns'),
  inProcess('decision, TCP, 1M flows', 'TCP', '1,000,000 flows', 200, ' ns'),
  inProcess('new tracked flow, 1,000 rules', 'new flow, two gates', '1,000 rules', 500, ' ns'),
  growth('decision, 10,000 rules', 'decision', 'rules'),
  growth('new flow, 10,000 rules', 'new flow', 'rules'),
  growth('new flow, prefix list of 10,000', 'new flow', 'prefixes'),
  growth('new flow, group of 10,000', 'new flow', 'members'),
  inProcess('one rule of 10,000 changed, control plane', 'control plane', 'one rule', 5, ' ms'),
  inProcess('one rule of 10,000 changed, packets stall', 'stall', 'one rule', 0.2, ' ms'),
  inProcess('one member of 10,000 changed, control plane', 'control plane', 'one member', 5, ' ms'),
  inProcess('one member of 10,000 changed, packets stall', 'stall', 'one member', 0.2, ' ms'),
  // 0 but for what a measurement itself leaves behind, spread over a million packets.
  inProcess('allocated on the packet path', 'allocated a packet', 'worst of both', 0.05, ' B'),
  // 10 million records in 60 s, a million packets in 5.
  recordings('replay, a record', 'replay', 'a record', 6),
  recordings('replay, a packet', 'replay', 'a packet', 5),
  recordings('learn, a record', 'learn', 'a record', 6),
  recordings('learn, a packet', 'learn', 'a packet', 5),
  inProcess('resident, idle', 'resident', 'secgroupd', 80, ' MB', 'idle'),
  // The control plane looks once a second how full the flow table is; the packet loop does nothing.
  inProcess('wake-ups, idle', 'wake-ups', 'secgroupd', 2, ' a second', 'idle'),
  api('one group by id, p50', 'one group by id, p50', 5),
  api('a page of 1,000 groups, p50', 'a page of 1,000, p50', 100),
  api('authorize until packets obey, p50', 'authorize, one at a time, p50', 5),
  api('authorize until packets obey, p99', 'authorize, one at a time, p99', 25),
  api('changes a second, sustained', 'changes, 8 clients', 200, ' a second', 'at least'),
  api('resident, the server', 'resident', 300, ' MB'),
  api('start of the server', 'start', 3000),
  cluster('change until packets obey, p50', 'change until packets obey, p50', 50, ' ms'),
  cluster('change until packets obey, p99', 'change until packets obey, p99', 500, ' ms'),
  cluster('change until a host has it, p50', 'change until a host has it, p50', 50, ' ms'),
  cluster('change until a host has it, p99', 'change until a host has it, p99', 500, ' ms'),
  cluster('start from the store', 'start from the store, until a packet', 2000, ' ms'),
  cluster('start with a copy', 'start with a copy, until a packet', 300, ' ms'),
  cluster('all start at once', 'all start at once, until each has the newest', 60_000, ' ms'),
  cluster('leaders killed, packets lost', 'leaders killed: packets lost', 0, ''),
  cluster('leaders killed, wrong verdicts', 'leaders killed: verdicts of no revision', 0, ''),
  cluster('leader killed until a commit', 'leader killed until a commit', 2000, ' ms'),
  cluster('etcd away, packets lost', 'etcd away: packets lost', 0, ''),
  cluster('memory, 10,000 remote members', 'memory, 10,000 remote members', 5, ' MB'),
  cluster('store', 'store', 200, ' MB'),
];

/** @param isBusy whether something else ran: then nothing counts as reached or missed */
export function judgeTargets(collector: Collector, isBusy = false): TargetResult[] {
  return TARGETS.map(({ what, bound, limit, suffix, values }) => {
    const found = values(collector);
    const target = `${bound === 'at least' ? '≥' : '≤'} ${limit}${suffix}`;
    if (found.length === 0) return { what, target, result: undefined, verdict: 'not measured' };
    const result = summarise(found);
    const isReached = bound === 'at least' ? result.median >= limit : result.median <= limit;
    const verdict = isBusy ? 'hint only' : isReached ? 'reached' : 'missed';
    return { what, target, result, verdict };
  });
}
