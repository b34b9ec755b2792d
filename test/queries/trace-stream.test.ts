/** What `sgctl trace` sends of the events of a ring, and what it leaves out. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { NO_FLOW } from '../../src/conntrack/entry.ts';
import { OPENED_LOCALLY, TCP_SYN_SENT } from '../../src/conntrack/states.ts';
import { EGRESS, INGRESS } from '../../src/engine/counters.ts';
import {
  EVENT_DROP,
  EVENT_FLOW_OPENED,
  EVENT_NO_RULE,
  EVENT_PASS,
  EVENTS_MAX,
  WANT_DROPS,
  WANT_FLOWS,
  WANT_PASSES,
  WANT_UNTRACKED,
} from '../../src/engine/events.ts';
import { EGRESS_RULES, INGRESS_RULES, SOURCE_CHECK } from '../../src/engine/reasons.ts';
import {
  followVerdicts,
  type TraceAnswer,
  type TraceQuestion,
} from '../../src/queries/trace-stream.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import { Packet } from '../../src/wire/packet.ts';
import { NOW_MS, Seeing } from '../telemetry/seeing.ts';

const WEB = 1;

interface Traced {
  readonly seeing: Seeing;
  readonly answers: TraceAnswer[];
  /** Things that no answer has. */
  missed: number;
  readonly stop: () => void;
  /** Takes what is in the ring. @returns the verdicts that were sent */
  readonly flush: () => string[];
}

function follow(t: TestContext, question: TraceQuestion): Traced {
  const seeing = new Seeing();
  t.after(() => seeing.pump.stop());
  const answers: TraceAnswer[] = [];
  const stop = followVerdicts(seeing.observatory, seeing.book, question, {
    send: (answer) => answers.push(answer) > 0,
    miss: (items) => (traced.missed += items),
  });
  seeing.ring.beginRound(NOW_MS);
  const traced: Traced = {
    seeing,
    answers,
    missed: 0,
    stop,
    flush: () => {
      const before = answers.length;
      seeing.pump.flush();
      return answers
        .slice(before)
        .flatMap(({ verdicts }) => verdicts)
        .map((one) => `${one.direction} ${one.packet?.remotePort} ${one.reason ?? 'passed'}`);
    },
  };
  return traced;
}

/** A packet between the web instance and a stranger's port. */
function tell(
  { seeing }: Traced,
  kind: number,
  direction: number,
  reason: number,
  port: number,
): void {
  const packet = new Packet();
  packet.family = 4;
  packet.protocol = 17;
  const [local, remote] = [0x0a00000b, 0xc6336407 | 0];
  const isEgress = direction === EGRESS;
  packet.src0 = isEgress ? local : remote;
  packet.dst0 = isEgress ? remote : local;
  packet.srcPort = isEgress ? 443 : port;
  packet.dstPort = isEgress ? port : 443;
  seeing.ring.tellPacket(kind, reason, packet, true, WEB, direction, EVENT_NO_RULE, NO_FLOW, 1, 60);
}

const drop = (to: Traced, direction: number, reason: number, port: number): void =>
  tell(to, EVENT_DROP, direction, reason, port);
const pass = (to: Traced, direction: number, port: number): void =>
  tell(to, EVENT_PASS, direction, 0, port);

function openFlow({ seeing }: Traced, remotePort: number, isOpenedLocally: boolean): void {
  const state = TCP_SYN_SENT | (isOpenedLocally ? OPENED_LOCALLY : 0);
  const flow = seeing.open({ remotePort, state });
  seeing.ring.tellFlow(EVENT_FLOW_OPENED, 0, seeing.tables[0], flow, null);
}

test('every drop, flows as they open, and the first packet of an untracked flow', (t) => {
  const trace = follow(t, {});
  assert.equal(trace.seeing.ring.wanted, WANT_DROPS | WANT_FLOWS | WANT_UNTRACKED);
  drop(trace, INGRESS, INGRESS_RULES, 1);
  drop(trace, INGRESS, INGRESS_RULES, 1);
  pass(trace, EGRESS, 2);
  pass(trace, EGRESS, 2);
  pass(trace, EGRESS, 3);
  openFlow(trace, 4, true);
  assert.deepEqual(trace.flush(), [
    'ingress 1 ingress-rules',
    'ingress 1 ingress-rules',
    'egress 2 passed',
    'egress 3 passed',
    'egress 4 passed',
  ]);
  pass(trace, EGRESS, 3);
  assert.deepEqual(trace.flush(), [], 'it is remembered');
  const [{ verdicts }] = trace.answers;
  assert.deepEqual(
    verdicts.map(({ opensFlow, interface: name }) => [opensFlow, name]),
    [false, false, false, false, true].map((opens) => [opens, 'eni-web-1']),
  );
});

test('with all, each packet, and no flow beside its packet', (t) => {
  const trace = follow(t, { all: true });
  assert.equal(trace.seeing.ring.wanted, WANT_DROPS | WANT_PASSES);
  pass(trace, EGRESS, 2);
  pass(trace, EGRESS, 2);
  openFlow(trace, 4, true);
  assert.deepEqual(trace.flush(), ['egress 2 passed', 'egress 2 passed']);
});

test('by verdict, direction and reason, and by what the packet is', (t) => {
  const told = (question: TraceQuestion): string[] => {
    const trace = follow(t, question);
    drop(trace, INGRESS, INGRESS_RULES, 1);
    drop(trace, EGRESS, EGRESS_RULES, 2);
    drop(trace, EGRESS, SOURCE_CHECK, 3);
    pass(trace, INGRESS, 4);
    openFlow(trace, 5, false);
    openFlow(trace, 6, true);
    return trace.flush().map((line) => line.split(' ')[1]);
  };
  assert.deepEqual(told({}), ['1', '2', '3', '4', '5', '6']);
  assert.deepEqual(told({ verdict: 'dropped' }), ['1', '2', '3']);
  assert.deepEqual(told({ verdict: 'passed' }), ['4', '5', '6']);
  assert.deepEqual(told({ direction: 'ingress' }), ['1', '4', '5']);
  assert.deepEqual(told({ direction: 'egress' }), ['2', '3', '6']);
  assert.deepEqual(told({ reasons: ['source-check', 'ingress-rules'] }), ['1', '3']);
  assert.deepEqual(told({ verdict: 'passed', reasons: ['source-check'] }), []);
  assert.deepEqual(told({ remotePorts: ['2-4'] }), ['2', '3', '4']);
  assert.deepEqual(told({ interfaces: ['eni-db-1'] }), []);
});

test('a question that makes no sense is refused', (t) => {
  assert.throws(() => follow(t, { verdict: 'refused' as never }), RequestError);
  assert.throws(() => follow(t, { direction: 'up' as never }), RequestError);
  assert.throws(() => follow(t, { reasons: ['bad-luck'] }), RequestError);
});

test('of one look at most a thousand are sent: the rest is missed, and what the ring lost is told', (t) => {
  const trace = follow(t, {});
  for (let i = 0; i < 1003; i++) drop(trace, INGRESS, INGRESS_RULES, i);
  assert.equal(trace.flush().length, 1000);
  assert.deepEqual([trace.missed, trace.answers[0].lost], [3, 0]);
  for (let i = 0; i < EVENTS_MAX + 7; i++) pass(trace, EGRESS, 2);
  assert.deepEqual(trace.flush(), ['egress 2 passed']);
  assert.equal(trace.answers[1].lost, 7);
  assert.equal(trace.missed, 3);
});

test('when the client has hung up, nothing is asked of the loop', (t) => {
  const trace = follow(t, {});
  trace.stop();
  trace.seeing.ring.beginRound(NOW_MS);
  assert.equal(trace.seeing.ring.wanted, 0);
  drop(trace, INGRESS, INGRESS_RULES, 1);
  assert.deepEqual(trace.flush(), []);
});
