/** Flow logs: records as AWS writes them, from packets through a real engine; files, rotation, trouble. */
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test, type TestContext } from 'node:test';
import type { Config, FlowLogConfig } from '../../src/config/config.ts';
import {
  formatLine,
  type FlowRecord,
  type LogInterface,
} from '../../src/flow-logs/flow-log-fields.ts';
import { DEFAULT_FORMAT, FIELD_NAMES, parseFormat } from '../../src/config/flow-log-format.ts';
import { FlowLogs } from '../../src/flow-logs/flow-logs.ts';
import { Observatory, type LoopView } from '../../src/telemetry/observatory.ts';
import { EVENTS_MAX } from '../../src/engine/events.ts';
import { CONFIG, formatOf, OUT, WEB } from './flow-log-config.ts';
import { icmp4, tcp4, tcp6, udp4 } from '../packets/build.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { model, type ModelText } from '../support/policy.ts';

const WEB_SECOND = '172.31.16.140';
const WEB6 = 'fd00:10::11';
const ALL_FIELDS = FIELD_NAMES.map((name) => `\${${name}}`).join(' ');

interface World {
  readonly rig: Rig;
  readonly logs: FlowLogs;
  readonly lines: string[];
  /** Ends the interval and gives the lines it wrote. */
  readonly end: () => Promise<string[]>;
  /** Puts another model in force. */
  readonly change: (text: ModelText) => void;
}

/** An engine with flow logs over it. Times in what it writes are replaced by how far they are from the start. */
function makeWorld(t: TestContext, ...configs: Partial<FlowLogConfig>[]): World {
  const rig = new Rig(
    {
      groups: {
        web: {
          ingress: [
            'tcp 22 from 0.0.0.0/1',
            'tcp 22 from 128.0.0.0/1',
            'udp 53 from 0.0.0.0/0',
            'icmp 8/-1 from 128.0.0.0/1',
          ],
          audited: ['tcp 8443 from 0.0.0.0/0'],
        },
      },
      interfaces: {
        web: { addresses: [WEB, WEB_SECOND, WEB6], groups: ['web'] },
        idle: { addresses: ['172.31.16.9'], groups: ['web'] },
      },
    },
    { platform: ['169.254.169.254/udp/53'] },
  );
  let config = {
    interfaces: [...rig.model.interfaces.values()].map(({ id, name }) => ({ id, name })),
    model: rig.model,
    special: rig.special,
    flowLogs: [],
    conntrack: {},
  } as unknown as Config;
  const dataplane = {
    events: [rig.events],
    nextInterval: () => rig.events.nextInterval(),
    flows: [rig.flows4, rig.flows6],
    accounts: [rig.accounts4, rig.accounts6],
    timeScale: 1,
    nowMs: 0,
    msSince: (momentMs: number) => rig.nowMs - momentMs,
  } as unknown as LoopView;
  const observatory = new Observatory({
    dataplane,
    ruleNumbers: rig.ruleNumbers,
    config: () => config,
    generation: () => 1,
    portNames: () => [
      [0, 'uplink'],
      [1, 'web'],
      [2, 'idle'],
    ],
  });
  const lines: string[] = [];
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(...chunk.toString().split('\n').slice(0, -1));
      done();
    },
  }) as NodeJS.WriteStream;
  const logs = new FlowLogs({
    observatory,
    configs: configs.map((more) => ({ ...CONFIG, ...more })),
    onTrouble: (_name, message) => assert.fail(message),
    stdout,
  });
  t.after(async () => {
    await logs.stop();
    observatory.stop();
  });
  return {
    rig,
    logs,
    lines,
    end: async () => {
      await logs.endInterval();
      return lines.splice(0);
    },
    change: (text) => {
      rig.change(text);
      config = { ...config, model: model(text) };
    },
  };
}

/** A line without its start and end: those are wall-clock times. */
function timeless(line: string): string {
  return line.replace(/ 1[6-9]\d{8}\b/g, ' T').replace(/ 2\d{9}\b/g, ' T');
}

const ENI = 'eni-web';

test('the field audited: what passed by audit alone, also after its rule has gone', async (t) => {
  const format = parseFormat('${srcport} ${dstport} ${action} ${packets} ${audited} ${rule-id}');
  assert.ok(format.ok);
  const { rig, end, change } = makeWorld(t, { interfaces: ['web'], format: format.value });
  const [open, audited] = [22, 8443].map((port) => new Conversation(OUT, 20641, WEB, port));
  for (const talk of [open, audited]) {
    rig.send('uplink', talk.syn());
    rig.send('web', talk.synAck());
  }
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 20641, dstPort: 23, flags: 'S' }));
  assert.deepEqual((await end()).sort(), [
    '20641 22 ACCEPT 1 no sgr-web-ingress-tcp 22 from 128.0.0.0/1',
    '20641 23 REJECT 1 no -',
    '20641 8443 ACCEPT 1 yes sgr-web-audit-tcp 8443 from 0.0.0.0/0',
    '22 20641 ACCEPT 1 no sgr-web-ingress-tcp 22 from 128.0.0.0/1',
    '8443 20641 ACCEPT 1 yes sgr-web-audit-tcp 8443 from 0.0.0.0/0',
  ]);
  rig.send('uplink', audited.ack('client'));
  change({
    groups: { web: { ingress: [] } },
    interfaces: {
      web: { addresses: [WEB], groups: ['web'] },
      idle: { addresses: ['172.31.16.9'], groups: ['web'] },
    },
  });
  assert.deepEqual(await end(), ['20641 8443 ACCEPT 1 yes sgr-web-audit-tcp 8443 from 0.0.0.0/0']);
});

test('a connection that goes on gives a record each way, and the next interval what came in it', async (t) => {
  const { rig, end } = makeWorld(t, { interfaces: ['web'] });
  const talk = new Conversation(OUT, 20641, WEB, 22);
  const sizes: Record<'in' | 'out', number> = { in: 0, out: 0 };
  const send = (from: 'uplink' | 'web', packet: Uint8Array): void => {
    sizes[from === 'web' ? 'out' : 'in'] += packet.length;
    rig.send(from, packet);
  };
  send('uplink', talk.syn());
  send('web', talk.synAck());
  send('uplink', talk.ack('client'));
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} ${OUT} ${WEB} 20641 22 6 2 ${sizes.in} T T ACCEPT OK`,
    `2 123456789010 ${ENI} ${WEB} ${OUT} 22 20641 6 1 ${sizes.out} T T ACCEPT OK`,
  ]);
  sizes.in = 0;
  send('uplink', talk.data('client', 100));
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} ${OUT} ${WEB} 20641 22 6 1 ${sizes.in} T T ACCEPT OK`,
  ]);
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} - - - - - - - T T - NODATA`,
  ]);
});

test('what the rules refuse is one REJECT; ICMP has no ports', async (t) => {
  const { rig, end } = makeWorld(t, { interfaces: ['web'] });
  const rdp = tcp4(OUT, WEB, { srcPort: 49761, dstPort: 3389, flags: 'S' });
  for (let i = 0; i < 3; i++) rig.send('uplink', rdp);
  const ping = icmp4(OUT, WEB, { type: 8, code: 0, id: 77 });
  for (let i = 0; i < 4; i++) rig.send('uplink', ping);
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} ${OUT} ${WEB} 49761 3389 6 3 ${3 * rdp.length} T T REJECT OK`,
    `2 123456789010 ${ENI} ${OUT} ${WEB} 0 0 1 4 ${4 * ping.length} T T ACCEPT OK`,
  ]);
});

test('tcp-flags are those of the interval, as AWS adds them up', async (t) => {
  const format = formatOf('${srcport} ${dstport} ${action} ${tcp-flags}');
  const { rig, end } = makeWorld(t, { format, interfaces: ['web'] });
  const long = new Conversation(OUT, 1, WEB, 22);
  rig.send('uplink', long.syn());
  rig.send('web', long.synAck());
  rig.send('uplink', long.ack('client'));
  const short = new Conversation(OUT, 2, WEB, 22);
  rig.send('uplink', short.syn());
  rig.send('web', short.synAck());
  rig.send('uplink', short.ack('client'));
  rig.send('uplink', short.fin('client'));
  rig.send('web', short.fin('server'));
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 3, dstPort: 23, flags: 'SE' }));
  assert.deepEqual((await end()).sort(), [
    '1 22 ACCEPT 2',
    '2 22 ACCEPT 3',
    '22 1 ACCEPT 18',
    '22 2 ACCEPT 19',
    '3 23 REJECT 2',
  ]);
  rig.send('uplink', long.data('client'));
  assert.deepEqual(await end(), ['1 22 ACCEPT 0'], 'an interval with ACK and PSH alone');
  rig.send('uplink', long.fin('client'));
  rig.send('web', long.fin('server'));
  assert.deepEqual((await end()).sort(), ['1 22 ACCEPT 1', '22 1 ACCEPT 1']);
});

test('a flow that ends within the interval is told once, with all it carried', async (t) => {
  const { rig, end } = makeWorld(t, { interfaces: ['web'] });
  const ask = icmp4(OUT, WEB, { type: 8, code: 0, id: 5 });
  rig.send('uplink', ask, 0);
  // Past its time-out, and then another flow on the same entry.
  rig.engine.beginRound(40_000, 40, 0);
  rig.engine.gates.tracker.sweep(100, 40_000);
  assert.equal(rig.flows4.count, 0);
  rig.send('uplink', icmp4(OUT, WEB, { type: 8, code: 0, id: 6 }), 40_001);
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} ${OUT} ${WEB} 0 0 1 2 ${2 * ask.length} T T ACCEPT OK`,
  ]);
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} - - - - - - - T T - NODATA`,
  ]);
});

test('untracked packets and IPv6 are logged; a secondary address is shown as the primary one', async (t) => {
  const format = formatOf(
    '${type} ${srcaddr} ${dstaddr} ${pkt-srcaddr} ${pkt-dstaddr} ${packets} ${flow-direction}',
  );
  const { rig, end } = makeWorld(t, { format, interfaces: ['web'] });
  for (let i = 0; i < 3; i++)
    rig.send('uplink', udp4(OUT, WEB_SECOND, { srcPort: 9, dstPort: 53 }));
  rig.send('web', tcp6(WEB6, '2001:db8::1', { srcPort: 9, dstPort: 443, flags: 'S' }));
  assert.deepEqual(await end(), [
    `IPv4 ${OUT} ${WEB} ${OUT} ${WEB_SECOND} 3 ingress`,
    `IPv6 ${WEB6} 2001:db8::1 ${WEB6} 2001:db8::1 1 egress`,
  ]);
});

test('our own fields tell rule, group and reason where they are asked for', async (t) => {
  const format = formatOf('${dstport} ${action} ${rule-id} ${group-id} ${drop-reason}');
  const { rig, end } = makeWorld(t, { format, interfaces: ['web'] });
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 1, dstPort: 22, flags: 'S' }));
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 1, dstPort: 24, flags: 'S' }));
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 1, dstPort: 25, flags: 'SF' }));
  const rule = rig.ruleNumbers.ruleOf(rig.ruleNumber('web', 'ingress', 1))!;
  const { id } = [...rig.model.groups.values()].find(({ name }) => name === 'web')!;
  assert.deepEqual((await end()).sort(), [
    `22 ACCEPT ${rule.id} ${id} -`,
    '24 REJECT - - ingress-rules',
    '25 REJECT - - tcp-flags',
  ]);
});

test('services of the platform, and what never leaves the link, are not logged', async (t) => {
  const { rig, end } = makeWorld(t, { interfaces: ['web'] });
  rig.send('web', udp4(WEB, '169.254.169.254', { srcPort: 1, dstPort: 53 }));
  rig.send('web', udp4(WEB, '224.0.0.1', { srcPort: 1, dstPort: 80 }));
  assert.deepEqual((await end()).map(timeless), [
    `2 123456789010 ${ENI} - - - - - - - T T - NODATA`,
  ]);
});

test('what instances try at addresses of the platform without a service there is logged', async (t) => {
  const format = formatOf('${dstaddr} ${dstport} ${action} ${drop-reason}');
  const { rig, end } = makeWorld(t, { interfaces: ['web'], format });
  rig.send('web', udp4(WEB, '169.254.169.254', { srcPort: 1, dstPort: 80 }));
  rig.send('web', udp4(WEB, '169.254.169.123', { srcPort: 1, dstPort: 123 }));
  assert.deepEqual((await end()).sort(), [
    '169.254.169.123 123 REJECT no-route',
    '169.254.169.254 80 ACCEPT -',
  ]);
});

test('each log takes the traffic and interfaces it wants; 600 s close every tenth time', async (t) => {
  const { rig, end } = makeWorld(
    t,
    { traffic: 'reject', format: formatOf('reject ${action} ${packets}'.replace('reject ', '')) },
    {
      traffic: 'accept',
      aggregationSec: 600,
      format: formatOf('${version} ${action} ${packets} ${tcp-flags}'),
    },
  );
  const passed = tcp4(OUT, WEB, { srcPort: 1, dstPort: 22, flags: 'S' });
  const dropped = tcp4(OUT, WEB, { srcPort: 1, dstPort: 23, flags: 'S' });
  for (let i = 0; i < 9; i++) {
    rig.send('uplink', passed);
    rig.send('uplink', dropped);
    assert.deepEqual(await end(), ['REJECT 1', '- -'], 'and the other interface had no data');
  }
  rig.send('uplink', passed);
  assert.deepEqual(await end(), ['- -', '3 ACCEPT 10 2', '3 - - -']);
});

test('lost events are told as SKIPDATA, and flows that were not heard of are found', async (t) => {
  const format = formatOf('${srcport} ${packets} ${log-status}');
  const { rig, end } = makeWorld(t, { format, interfaces: ['web'] });
  const dropped = tcp4(OUT, WEB, { srcPort: 1, dstPort: 23, flags: 'S' });
  for (let i = 0; i < EVENTS_MAX; i++) rig.send('uplink', dropped);
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 2, dstPort: 22, flags: 'S' }));
  assert.deepEqual(await end(), [`1 ${EVENTS_MAX} OK`, '2 1 OK', '- - SKIPDATA']);
  rig.send('uplink', tcp4(OUT, WEB, { srcPort: 2, dstPort: 22, flags: 'S' }));
  assert.deepEqual(await end(), ['2 1 OK']);
});

describe('formats', () => {
  const about: LogInterface = {
    id: 'eni-1235b8ca123456789',
    name: 'web',
    primary4: '172.31.16.21',
    primary6: undefined,
    values: new Map([['account-id', '123456789010']]),
  };
  const record: FlowRecord = {
    family: 4,
    direction: 'ingress',
    srcaddr: '172.31.16.139',
    dstaddr: '172.31.16.21',
    srcport: 20641,
    dstport: 22,
    protocol: 6,
    action: 'ACCEPT',
    ruleId: undefined,
    groupId: undefined,
    dropReason: undefined,
    isAudited: undefined,
    isRemoteLocal: true,
    packets: 20,
    bytes: 4249,
    tcpFlags: 0,
    startMs: 1418530010_999,
    endMs: 1418530070_000,
  };
  const window = { fromMs: 1431280876_000, toMs: 1431280934_000 };

  test("the default's lines are AWS's examples to the byte", () => {
    const format = formatOf(DEFAULT_FORMAT);
    assert.equal(
      formatLine(format, { about, record, status: 'OK', ...window }),
      '2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK',
    );
    for (const status of ['NODATA', 'SKIPDATA'] as const)
      assert.equal(
        formatLine(format, { about, record: undefined, status, ...window }),
        `2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - ${status}`,
      );
  });

  test('every field of AWS has its place; the version is that of the newest', () => {
    const line = formatLine(formatOf(ALL_FIELDS), { about, record, status: 'OK', ...window });
    const values = new Map(line.split(' ').map((value, i) => [FIELD_NAMES[i], value]));
    assert.equal(values.size, FIELD_NAMES.length);
    assert.equal(values.get('version'), '10');
    assert.equal(values.get('reject-reason'), '-');
    assert.equal(values.get('traffic-path'), '-', 'of what comes in');
    assert.equal(values.get('region'), '-', 'nobody gave one');
    assert.equal(formatOf('${srcaddr}').version, 2);
    assert.equal(formatOf('${srcaddr} ${rule-id}').version, 2);
    assert.equal(formatOf('${tcp-flags} ${flow-direction}').version, 5);
  });

  test('what is no format is refused by its word', () => {
    assert.deepEqual(parseFormat('${srcaddr} ${sraddr}'), {
      ok: false,
      message: "there is no field 'sraddr'",
      unknown: 'sraddr',
    });
    assert.deepEqual(parseFormat('${srcaddr}, ${dstaddr}'), {
      ok: false,
      message: "'${srcaddr},' is no field: a format is ${field}s separated by blanks",
      unknown: undefined,
    });
    assert.equal(parseFormat('').ok, false);
  });
});
