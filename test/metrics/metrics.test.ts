/** The metrics' text: what is in it, how big it can get, and what dashboards and alerts ask of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRegistry } from '../../src/metrics/metrics.ts';
import { RULE_LINES_MAX } from '../../src/metrics/metrics-policy.ts';
import type { MetricsOptions } from '../../src/metrics/metrics-parts.ts';
import type { NumberedRule } from '../../src/policy/rule-numbers.ts';
import {
  GAUGE_BUSY_MS,
  GAUGE_COALESCED,
  GAUGE_COUNT,
  GAUGE_READ_BATCHES,
  GAUGE_READ_PACKETS,
  GAUGE_WRITES,
} from '../../src/engine/counters.ts';
import { udp4 } from '../packets/build.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { requireTools, findTool } from '../support/require.ts';
import { run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';

const WEB = '10.0.0.11';
const OUT = '9.0.0.1';
const LAST_HIT_MS = 1_700_000_000_000;

function makeRig(): Rig {
  return new Rig({
    groups: { web: { ingress: ['tcp 22 from 0.0.0.0/1', 'udp 53 from 0.0.0.0/1'] } },
    interfaces: { web: { addresses: [WEB], groups: ['web'] } },
  });
}

function optionsOf(
  rig: Rig,
  rules: readonly NumberedRule[],
  audits: readonly NumberedRule[] = [],
): MetricsOptions {
  const gauges = new Float64Array(GAUGE_COUNT);
  rig.engine.gates.writeGauges(gauges);
  gauges[GAUGE_BUSY_MS] = 1500;
  gauges[GAUGE_READ_BATCHES] = 10;
  gauges[GAUGE_READ_PACKETS] = 25;
  gauges[GAUGE_WRITES] = 20;
  gauges[GAUGE_COALESCED] = 5;
  return {
    source: {
      readCounters: () => rig.engine.counters,
      flowCount: rig.flows4.count,
      flows: [rig.flows4, rig.flows6],
      readGauge: (gauge) => gauges[gauge],
      readGauges: (gauge) => [gauges[gauge]],
      hitsOf: (rule) => rig.ruleHits.hits[rule],
      lastHitAt: (rule) => (rig.ruleHits.hits[rule] > 0 ? LAST_HIT_MS : undefined),
      auditedBy: (rule) => {
        const [packets, bytes] = rig.ruleHits.audited.subarray(2 * rule);
        return { packets, bytes };
      },
    },
    waiting: () => [],
    ports: () => [
      [0, 'uplink'],
      [1, 'web'],
    ],
    rules: () => new Map(rules.map((rule) => [rule.number, rule])),
    audits: () => new Map(audits.map((rule) => [rule.number, rule])),
    events: () => ({ taken: 7, lost: 2 }),
    flowLogs: () => [{ name: 'all', written: 5, lost: 1, skipped: 2 }],
    store: () => ({ revision: 41, notInForce: 2, awaySec: 0, isFenced: true }),
    policy: () => ({ generation: 3, sinceMs: 1_600_000_000_000 }),
    reloads: {
      changed: 2,
      unchanged: 1,
      refused: 4,
      lastSuccessMs: 1_650_000_000_000,
      isLastRefused: true,
    },
    maxFlows: 1000,
    maxHalfOpen: 250,
    version: '9.9.9',
  };
}

function rulesOf(rig: Rig): NumberedRule[] {
  return [0, 1].map((index) => {
    const number = rig.ruleNumber('web', 'ingress', index);
    const rule = rig.ruleNumbers.ruleOf(number)!;
    return { number, rule, groupId: 'sg-web', direction: 'ingress' };
  });
}

/** Rules that only audit; the implied ones are an interface's. */
function auditsOf(rig: Rig): NumberedRule[] {
  const found: NumberedRule[] = [];
  for (let number = 0; ; number++) {
    const rule = rig.ruleNumbers.ruleOf(number);
    if (rule === undefined) return found;
    if (rule.audit !== true) continue;
    const groupId = rule.implied === true ? '' : 'sg-web';
    found.push({ number, rule, groupId, direction: rule.direction });
  }
}

async function linesOf(options: MetricsOptions): Promise<string[]> {
  return (await createRegistry(options).metrics()).split('\n');
}

function traffic(rig: Rig): void {
  const talk = new Conversation(OUT, 40000, WEB, 22);
  rig.send('uplink', talk.syn(), 0);
  rig.send('web', talk.synAck(), 0);
  rig.send('uplink', talk.ack('client'), 0);
  for (let port = 1; port <= 3; port++)
    rig.send('uplink', udp4(OUT, WEB, { srcPort: port, dstPort: 53 }));
  rig.send('uplink', udp4(OUT, WEB, { srcPort: 1, dstPort: 54 }));
}

test('every figure is where dashboards look for it', async () => {
  const rig = makeRig();
  traffic(rig);
  const rules = rulesOf(rig);
  const lines = await linesOf(optionsOf(rig, rules));
  for (const line of [
    'secgroupd_packets_total{interface="web",direction="ingress",verdict="pass"} 5',
    'secgroupd_dropped_packets_total{interface="web",direction="ingress",reason="ingress-rules"} 1',
    'secgroupd_conntrack_flows 4',
    'secgroupd_conntrack_flows_by_state{state="established"} 1',
    'secgroupd_conntrack_flows_by_state{state="udp"} 3',
    'secgroupd_conntrack_flows_by_state{state="syn-sent"} 0',
    'secgroupd_conntrack_opened_flows_total 4',
    'secgroupd_conntrack_half_open_flows 3',
    `secgroupd_rule_hits_total{rule="${rules[0].rule.id}",group="sg-web",direction="ingress"} 1`,
    `secgroupd_rule_hits_total{rule="${rules[1].rule.id}",group="sg-web",direction="ingress"} 3`,
    `secgroupd_rule_last_hit_timestamp_seconds{rule="${rules[0].rule.id}",group="sg-web",direction="ingress"} 1700000000`,
    'secgroupd_rules 2',
    'secgroupd_policy_generation 3',
    'secgroupd_policy_loaded_timestamp_seconds 1600000000',
    'secgroupd_config_reloads_total{outcome="refused"} 4',
    'secgroupd_config_last_reload_successful 0',
    'secgroupd_config_last_reload_success_timestamp_seconds 1650000000',
    'secgroupd_loop_busy_seconds_total 1.5',
    'secgroupd_read_packets_total 25',
    'secgroupd_coalesced_packets_total 5',
    'secgroupd_events_total{outcome="lost"} 2',
    'secgroupd_flow_log_lines_total{log="all",outcome="lost"} 1',
    'conntrack_allowance_available 996',
    'secgroupd_build_info{version="9.9.9"} 1',
  ])
    assert.ok(lines.includes(line), `no line: ${line}`);
});

test('what passes by audit has its lines, by the gate and by the rule, and no other line counts it', async () => {
  const rig = new Rig({
    groups: { web: { ingress: [], egress: [], audited: ['tcp 22 from 0.0.0.0/1'] } },
    interfaces: { web: { addresses: [WEB], groups: ['web'], audit: true } },
  });
  const told = async (): Promise<readonly string[]> => {
    const lines = await linesOf(optionsOf(rig, [], auditsOf(rig)));
    return lines.filter((line) => /^secgroupd_\w*audit/.test(line)).sort();
  };
  assert.deepEqual(await told(), ['secgroupd_audit_rules 5']);
  const talk = new Conversation(OUT, 40000, WEB, 22);
  const packets = [talk.syn(), talk.synAck()];
  rig.send('uplink', packets[0], 0);
  rig.send('web', packets[1], 0);
  const asked = udp4(WEB, OUT, { srcPort: 1, dstPort: 53 });
  rig.send('web', asked);
  const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
  const own = auditsOf(rig).find(({ number, groupId, direction }) => groupId === '' && direction === 'egress' && rig.ruleHits.audited[2 * number] > 0)!; // prettier-ignore
  const wanted = [
    'secgroupd_audit_rule_packets_total{rule="sgr-web-audit-tcp 22 from 0.0.0.0/1",group="sg-web",direction="ingress"} 2',
    `secgroupd_audit_rule_packets_total{rule="${own.rule.id}",group="",direction="egress"} 1`,
    'secgroupd_audit_rules 5',
    `secgroupd_audited_bytes_total{interface="web",direction="egress"} ${asked.length}`,
    `secgroupd_audited_bytes_total{interface="web",direction="ingress"} ${bytes}`,
    'secgroupd_audited_packets_total{interface="web",direction="egress"} 1',
    'secgroupd_audited_packets_total{interface="web",direction="ingress"} 2',
  ];
  assert.deepEqual(await told(), wanted.sort());
});

test('a rule that never admitted anything has a count of 0 and no time', async () => {
  const rig = makeRig();
  const rules = rulesOf(rig);
  const lines = await linesOf(optionsOf(rig, rules));
  const of = (name: string): string[] => lines.filter((line) => line.startsWith(`${name}{`));
  assert.equal(of('secgroupd_rule_hits_total').length, 2);
  assert.deepEqual(of('secgroupd_rule_last_hit_timestamp_seconds'), []);
});

test('of many rules the most used have lines', async () => {
  const rig = makeRig();
  const [{ rule }] = rulesOf(rig);
  const rules = Array.from({ length: RULE_LINES_MAX + 5 }, (_, number): NumberedRule => ({
    number,
    rule: { ...rule, id: `sgr-${number}` },
    groupId: 'sg-web',
    direction: 'ingress',
  }));
  rules.forEach(({ number }) => (rig.ruleHits.hits[number] = number));
  const lines = await linesOf(optionsOf(rig, rules));
  const told = lines.filter((line) => line.startsWith('secgroupd_rule_hits_total{'));
  assert.equal(told.length, RULE_LINES_MAX);
  assert.equal(
    told.some((line) => line.includes('"sgr-4"')),
    false,
  );
  assert.equal(
    told.some((line) => line.includes('"sgr-5"')),
    true,
  );
  assert.ok(lines.includes(`secgroupd_rules ${RULE_LINES_MAX + 5}`));
});

test('the dashboard and the alerts ask for metrics that there are', async () => {
  const rig = makeRig();
  traffic(rig);
  const known = new Set(
    (await linesOf(optionsOf(rig, rulesOf(rig))))
      .filter((line) => line.startsWith('# TYPE '))
      .map((line) => line.split(' ')[2]),
  );
  for (const file of ['grafana/secgroupd.json', 'prometheus/secgroupd.rules.yml']) {
    const text = readFileSync(join(repositoryRoot(), 'config', file), 'utf8');
    const asked = text.match(/\b(?:secgroupd|conntrack|process)_[a-z_]+/g)!;
    assert.ok(asked.length > 5);
    for (const name of asked) {
      if (/^conntrack_md$/.test(name)) continue;
      assert.ok(known.has(name), `${file} asks for ${name}`);
    }
  }
});

test('the dashboard is one that Grafana reads', () => {
  const text = readFileSync(join(repositoryRoot(), 'config/grafana/secgroupd.json'), 'utf8');
  const { panels } = JSON.parse(text) as {
    readonly panels: readonly {
      readonly id: number;
      readonly title: string;
      readonly targets: readonly { readonly expr: string }[];
    }[];
  };
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { title, targets } of panels) assert.ok(targets.length > 0, title);
});

test('the alert rules do what their unit tests say', async (t) => {
  if (!requireTools(t, 'promtool')) return;
  const folder = join(repositoryRoot(), 'config', 'prometheus');
  for (const args of [
    ['check', 'rules', 'secgroupd.rules.yml'],
    ['check', 'config', 'prometheus.yml'],
    ['test', 'rules', 'secgroupd.rules.test.yml'],
  ]) {
    const { code, stdout, stderr } = await run(findTool('promtool')!, args, { cwd: folder });
    assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
  }
});

test('each of several packet loops has a line of its own that says how busy it is', async () => {
  const rig = makeRig();
  const { source, ...rest } = optionsOf(rig, rulesOf(rig));
  const text = await createRegistry({
    ...rest,
    source: { ...source, readGauges: () => [1500, 250] },
  }).metrics();
  assert.deepEqual(text.match(/^secgroupd_loop_busy_seconds_total.*$/gm), [
    'secgroupd_loop_busy_seconds_total{loop="0"} 1.5',
    'secgroupd_loop_busy_seconds_total{loop="1"} 0.25',
  ]);
});

test('a daemon with a store tells its revision and how much is not in force, one without tells nothing', async () => {
  const rig = makeRig();
  const options = optionsOf(rig, []);
  const tell = async (store: MetricsOptions['store']): Promise<readonly string[]> =>
    (await linesOf({ ...options, store })).filter((line) => line.startsWith('secgroupd_store'));
  assert.deepEqual(await tell(options.store), [
    'secgroupd_store_revision 41',
    'secgroupd_store_not_in_force 2',
    'secgroupd_store_age_seconds 0',
    'secgroupd_store_fenced 1',
  ]);
  assert.deepEqual(await tell(() => undefined), []);
});
