/**
 * Random conversations, of which the kernel forwards what it can and the loop judges the rest: the programs say what
 * their plain twin says, and an engine without them comes to the same verdicts, states and counts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createCarried, type FlowAccounts } from '../../src/conntrack/accounts.ts';
import { isUsed, ruleOf, seenOf, STATE_WORDS, stateWordOf } from '../../src/conntrack/entry.ts';
import { recordWords, writeRecord } from '../../src/conntrack/flow-record.ts';
import type { FlowTable } from '../../src/conntrack/table.ts';
import type { NativeOffload } from '../../src/ports/native-offload.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import type { TwinPacket } from '../fuzz/twin-decode.ts';
import { udp4 } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';
import { KernelRig, requireOffload } from './kernel-rig.ts';
import { readPlainEntry } from './plain-entries.ts';
import { forwardsPlainly, type PlainFlow } from './plain-programs.ts';

const RUNS = 60;
const MTU = 1500;
const NAMES = ['web', 'db'] as const;
const TALKS = [
  ['10.0.0.11', 40000, '10.0.0.12', 5432],
  // Here the opener is the upper end.
  ['10.0.0.12', 40001, '10.0.0.11', 80],
  ['fd00::11', 40002, 'fd00::12', 5432],
] as const;
const UDP = TALKS.length;

interface Step {
  readonly flow: number;
  readonly isClient: boolean;
  readonly what: (typeof WHAT)[number];
  /** What is added to the right sequence number and acknowledgment. */
  readonly seq: number;
  readonly ack: number;
  readonly bytes: number;
  readonly window: number;
}

const WHAT = ['data', 'ack', 'odd', 'fin', 'rst', 'syn', 'synAck', 'frame', 'segments', 'time', 'tick', 'recheck', 'same-rules', 'other-rules'] as const; // prettier-ignore
const SELDOM = WHAT.filter((what) => !['data', 'ack', 'odd', 'segments'].includes(what));

const aStep: fc.Arbitrary<Step> = fc.record({
  flow: fc.integer({ min: 0, max: UDP }),
  isClient: fc.boolean(),
  what: fc.oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom<Step['what']>('data', 'data', 'ack', 'odd', 'segments'),
    },
    { weight: 1, arbitrary: fc.constantFrom<Step['what']>(...SELDOM) },
  ),
  seq: fc.constantFrom(0, 0, 1, -1, 70_000, -70_000, 2 ** 31, 10_000_000),
  ack: fc.constantFrom(0, 0, 1, -1, 70_000, -70_000, 2 ** 31),
  bytes: fc.constantFrom(0, 1, 100, 1400, 1460, 1461, 3000),
  window: fc.constantFrom(0, 1, 1000, 65_535),
});

function tiers(isOpen: boolean): ModelText {
  const ports = isOpen ? '0-65535' : '5432';
  const ingress = [`tcp ${ports} from sg:all`, `udp 0-65535 from sg:all`];
  return {
    groups: { all: { ingress, revocation: 'recheck' } },
    interfaces: {
      web: { addresses: ['10.0.0.11', 'fd00::11'], groups: ['all'] },
      db: { addresses: ['10.0.0.12', 'fd00::12'], groups: ['all'] },
    },
  };
}

class Run {
  /** The engine with the kernel, and the one without. */
  readonly kernel: KernelRig;
  readonly plain = new Rig(tiers(true));
  readonly talks = TALKS.map(
    ([client, from, server, to], i) =>
      new Conversation(client, from, server, to, {
        client: { scale: i === 1 ? undefined : 7, next: 2 ** 32 - 2000 },
        server: { scale: i },
      }),
  );
  forwarded = 0;

  constructor(addon: NativeOffload) {
    this.kernel = new KernelRig(addon, tiers(true));
    for (const [i, talk] of this.talks.entries()) {
      this.send(talk.syn(), this.sides(i, true));
      this.send(talk.synAck(), this.sides(i, false));
      this.send(talk.ack('client'), this.sides(i, true));
    }
  }

  /** Who sends and who gets a flow's packets: indices into NAMES. */
  sides(flow: number, isClient: boolean): readonly [number, number] {
    const isFromWeb = (flow === 1) !== isClient;
    return isFromWeb ? [0, 1] : [1, 0];
  }

  step(step: Step): void {
    const { kernel, plain } = this;
    switch (step.what) {
      case 'time':
        // Never near a time-out: how long the test itself takes does not matter.
        kernel.passTime(20_000);
        kernel.offload.beginRound(kernel.nowMs);
        return;
      case 'tick':
        kernel.passTime(200);
        kernel.offload.beginRound(kernel.nowMs);
        kernel.tick();
        return;
      case 'recheck': {
        const { nowMs } = kernel;
        for (const { gates } of [kernel.rig.engine, plain.engine])
          while (gates.recheckFlows(1, nowMs));
        return;
      }
      case 'same-rules':
      case 'other-rules':
        for (const rig of [kernel.rig, plain]) rig.change(tiers(step.what === 'same-rules'));
        return;
      default:
        this.send(this.packetOf(step), this.sides(step.flow, step.isClient), step);
    }
  }

  private packetOf({ flow, isClient, what, seq, ack, bytes, window }: Step): Uint8Array {
    const from = isClient ? 'client' : 'server';
    if (flow === UDP) {
      const ends = isClient ? ['10.0.0.11', '10.0.0.12'] : ['10.0.0.12', '10.0.0.11'];
      const ports = isClient ? [5000, 5353] : [5353, 5000];
      const payload = 'x'.repeat(bytes);
      return udp4(ends[0], ends[1], { srcPort: ports[0], dstPort: ports[1], payload });
    }
    const talk = this.talks[flow];
    switch (what) {
      case 'data':
      case 'segments':
        return talk.data(from, bytes);
      case 'fin':
        return talk.fin(from);
      case 'rst':
        return talk.rst(from);
      case 'syn':
        return talk.syn();
      case 'synAck':
        return talk.synAck();
      case 'odd': {
        const other = isClient ? 'server' : 'client';
        return talk.send(from, {
          flags: 'A',
          seq: (talk[from].next + seq) >>> 0,
          ack: (talk[other].next + ack) >>> 0,
          ...{ window, payload: 'x'.repeat(bytes) },
        });
      }
      default:
        return talk.ack(from);
    }
  }

  private send(packet: Uint8Array, [from, to]: readonly [number, number], step?: Step): void {
    const { kernel, plain } = this;
    const isStrange = step?.what === 'frame';
    const segmentBytes = step?.what === 'segments' ? 1400 : 0;
    const segments = segmentBytes === 0 ? 1 : Math.max(1, Math.ceil(step!.bytes / segmentBytes));
    const atMs = kernel.nowMs;
    let found: PlainFlow | undefined;
    const expected = forwardsPlainly(
      { packet, isOwn: !isStrange, segmentBytes, mtu: MTU },
      (decoded) => (found = this.find(decoded)),
    );
    const actual = kernel.isForwarded(packet, from + 1, {
      ...{ segmentBytes, segments: segmentBytes === 0 ? 0 : segments },
      ...(isStrange ? { source: [2, 0, 0, 0, 9, 9] } : {}),
    });
    assert.equal(actual, expected, 'the programs and their twin');
    const verdict = plain.send(NAMES[from], packet, atMs, segments);
    if (!actual) {
      assert.equal(kernel.judge(NAMES[from], NAMES[to], packet, segments), verdict);
      return;
    }
    this.forwarded++;
    assert.equal(verdict, NAMES[to], 'the engine would have passed it');
    const { flow } = readPlainEntry(kernel.tables, kernel.nowMs, found!.decoded)!;
    assert.deepEqual(flow.sides, found!.sides, 'what the packet said is noted');
  }

  private find(decoded: TwinPacket): PlainFlow | undefined {
    const { tables, nowMs, rig } = this.kernel;
    const entry = readPlainEntry(tables, nowMs, decoded);
    if (entry === undefined) return undefined;
    const { flow, generation } = entry;
    return { ...flow, decoded, isOfThisPolicy: generation === rig.policy.generation };
  }

  /** Compares what both engines know at the end. */
  compare(): void {
    const { kernel, plain } = this;
    kernel.offload.pullAll();
    assert.deepEqual(kernel.rig.counts, plain.counts);
    for (const family of ['flows4', 'flows6'] as const) {
      const accounts = family === 'flows4' ? 'accounts4' : 'accounts6';
      const ours = describe(kernel.rig[family], kernel.rig[accounts]);
      const theirs = describe(plain[family], plain[accounts]);
      assert.deepEqual([...ours.keys()].sort(), [...theirs.keys()].sort());
      for (const [key, { seenMs, ...state }] of ours) {
        const { seenMs: plainSeenMs, ...plainState } = theirs.get(key)!;
        assert.deepEqual(state, plainState, key);
        // The programs' clock (ktime_get_mono_fast_ns) may be a little behind, and so another millisecond.
        assert.ok(seenMs >= plainSeenMs - 1, `seen at ${seenMs}, not ${plainSeenMs}`);
      }
    }
  }
}

/** Flows by key, with all that decides what becomes of further packets. */
function describe(
  table: FlowTable,
  accounts: FlowAccounts,
): Map<string, { readonly seenMs: number; readonly state: readonly unknown[] }> {
  const found = new Map<string, { readonly seenMs: number; readonly state: readonly unknown[] }>();
  for (let flow = 0; flow < table.highWater; flow++) {
    if (!isUsed(table, flow)) continue;
    const words = new Int32Array(recordWords(table.keyWords === 4 ? 4 : 6));
    writeRecord(table, flow, 0, words, 0);
    const key = words.subarray(0, -STATE_WORDS);
    // Behind when it was seen, its state and its rule.
    const tcp = words.subarray(3 - STATE_WORDS);
    const carried = createCarried(accounts.words, accounts.doubles, flow * 8);
    const { packetsOut, packetsIn, bytesOut, bytesIn } = carried;
    found.set([...key].join(' '), {
      seenMs: seenOf(table, flow),
      state: [
        stateWordOf(table, flow) & 0xffffff,
        ruleOf(table, flow),
        [...tcp],
        ...[packetsOut, packetsIn, bytesOut, bytesIn],
      ],
    });
  }
  return found;
}

test('the kernel and the loop together judge, know and count as the loop alone', (t) => {
  const addon = requireOffload(t);
  if (addon === undefined) return;
  let forwarded = 0;
  fc.assert(
    fc.property(fc.array(aStep, { minLength: 20, maxLength: 80 }), (steps) => {
      const run = new Run(addon);
      try {
        for (const step of steps) run.step(step);
        run.compare();
        forwarded += run.forwarded;
      } finally {
        run.kernel.close();
      }
    }),
    { numRuns: RUNS },
  );
  assert.ok(forwarded > 5 * RUNS, `${forwarded} packets were forwarded: the test tries too little`);
});
