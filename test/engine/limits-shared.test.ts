/** Limits that several packet loops keep together: each counts what the others have, and gives up only its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FlowTables } from '../../src/engine/flow-limits.ts';
import { tcp4, udp6 } from '../packets/build.ts';
import { Rig, type RigOptions } from './rig.ts';

const WEB = '10.0.0.11';
const WEB6 = 'fd00:10::11';
const DB = '10.0.0.12';
const WEB_PORT = 1;
const LOOPS = 3;
const MAX_FLOWS = 12;
const MAX_WEB = 7;

function makeRig(others: readonly FlowTables[], options: RigOptions = {}): Rig {
  const ingress = ['tcp 22 from 0.0.0.0/1', 'udp 53 from ::/1'];
  const rig = new Rig(
    {
      groups: { web: { ingress } },
      interfaces: {
        web: { addresses: [WEB, WEB6], groups: ['web'] },
        db: { addresses: [DB], groups: ['web'] },
      },
    },
    { maxFlows: MAX_FLOWS, ...options, others },
  );
  rig.maxFlowsByPort[WEB_PORT] = MAX_WEB;
  return rig;
}

/** Loops that see each other as they are, or as `view` shows them. */
function makeLoops(options: RigOptions = {}, view = (rig: Rig): FlowTables => rig): Rig[] {
  const lists: FlowTables[][] = Array.from({ length: LOOPS }, () => []);
  const rigs = lists.map((others) => makeRig(others, options));
  lists.forEach((others, loop) => {
    for (const rig of rigs) if (rig !== rigs[loop]) others.push(view(rig));
  });
  return rigs;
}

const tracked = (rig: Rig): number => rig.flows4.count + rig.flows6.count;
const total = (rigs: readonly Rig[]): number => rigs.reduce((sum, rig) => sum + tracked(rig), 0);
const ofWeb = (rigs: readonly Rig[]): number =>
  rigs.reduce((sum, rig) => sum + rig.flowsByPort[WEB_PORT], 0);

/** A flow has one entry: the other side is outside. It stays half-open until it is answered. */
const openings = {
  web: (rig: Rig, n: number, nowMs: number) =>
    rig.send('uplink', tcp4(`9.0.0.${n}`, WEB, { srcPort: 4000, dstPort: 22, flags: 'S' }), nowMs),
  web6: (rig: Rig, n: number, nowMs: number) =>
    rig.send('uplink', udp6(`1::${n + 1}`, WEB6, { srcPort: 4000, dstPort: 53 }), nowMs),
  db: (rig: Rig, n: number, nowMs: number) =>
    rig.send('uplink', tcp4(`9.0.0.${n}`, DB, { srcPort: 4000, dstPort: 22, flags: 'S' }), nowMs),
};
const answers = {
  web: (rig: Rig, n: number, nowMs: number) =>
    rig.send(
      'web',
      tcp4(WEB, `9.0.0.${n}`, { srcPort: 22, dstPort: 4000, flags: 'RA', ack: 1 }),
      nowMs,
    ),
  web6: (rig: Rig, n: number, nowMs: number) =>
    rig.send('web', udp6(WEB6, `1::${n + 1}`, { srcPort: 53, dstPort: 4000 }), nowMs),
  db: (rig: Rig, n: number, nowMs: number) =>
    rig.send(
      'db',
      tcp4(DB, `9.0.0.${n}`, { srcPort: 22, dstPort: 4000, flags: 'RA', ack: 1 }),
      nowMs,
    ),
};

interface Step {
  readonly loop: number;
  readonly kind: keyof typeof openings;
  readonly n: number;
  readonly isAnswer: boolean;
  readonly afterMs: number;
}

const steps = fc.array(
  fc.record<Step>({
    loop: fc.nat(LOOPS - 1),
    kind: fc.constantFrom('web', 'web6', 'db'),
    n: fc.nat(30),
    isAnswer: fc.boolean(),
    // A loop counts once a millisecond what the others have left of their reserves: within one, it may be out of date.
    afterMs: fc.constantFrom(1, 1, 10, 20_000),
  }),
  { minLength: 20, maxLength: 120, size: 'max' },
);

test('no limit is exceeded, and a refusal says the limit is reached', () => {
  let refused = 0;
  fc.assert(
    fc.property(steps, (taken) => {
      const rigs = makeLoops();
      let nowMs = 0;
      for (const { loop, kind, n, isAnswer, afterMs } of taken) {
        nowMs += afterMs;
        const before = { total: total(rigs), web: ofWeb(rigs) };
        // Each interface has one place of its own (an even part of a quarter of twelve).
        const kept = kind === 'db' ? before.web === 0 : before.total === before.web;
        const others = rigs.map(tracked);
        const verdict = (isAnswer ? answers : openings)[kind](rigs[loop], n, nowMs);
        assert.ok(total(rigs) <= MAX_FLOWS && ofWeb(rigs) <= MAX_WEB, `${total(rigs)}`);
        // A loop gives up what is its own, never what another has.
        rigs.forEach((rig, i) => i === loop || assert.equal(tracked(rig), others[i]));
        if (verdict !== 'conntrack-full') continue;
        refused++;
        const mayUse = MAX_FLOWS - (kept ? 1 : 0);
        assert.ok(before.total >= mayUse || (kind !== 'db' && before.web >= MAX_WEB));
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(refused > 20, `${refused} refusals were seen`);
});

test('loops that open at the same moment exceed a limit by one each at most', () => {
  fc.assert(
    fc.property(steps, (taken) => {
      // What each sees of the others is as it was when the round began: as late as it can be.
      const seen: (() => void)[] = [];
      const rigs = makeLoops({}, (rig) => {
        const view = {
          flows4: { count: 0 },
          flows6: { count: 0 },
          flowsByPort: new Int32Array(rig.flowsByPort.length),
        };
        seen.push(() => {
          view.flows4.count = rig.flows4.count;
          view.flows6.count = rig.flows6.count;
          view.flowsByPort.set(rig.flowsByPort);
        });
        return view as unknown as FlowTables;
      });
      for (let round = 0; round < taken.length; round++) {
        for (const look of seen) look();
        rigs.forEach((rig, loop) => {
          const { kind, n } = taken[(round + loop) % taken.length];
          openings[kind](rig, (n + round) % 250, 0);
        });
        assert.ok(total(rigs) <= MAX_FLOWS + LOOPS - 1, `${total(rigs)} flows`);
        assert.ok(ofWeb(rigs) <= MAX_WEB + LOOPS - 1, `${ofWeb(rigs)} of the interface`);
      }
    }),
    { numRuns: 200 },
  );
});

test('a loop that has nothing to give up is refused where the others have all', () => {
  const [first, second] = makeLoops({ maxHalfOpen: MAX_FLOWS });
  // One place is web's.
  const most = MAX_FLOWS - 1;
  for (let n = 0; n < most; n++) assert.equal(openings.db(first, n, 0), 'db');
  assert.equal(openings.db(second, 100, 0), 'conntrack-full');
  // The first gives up its oldest half-open one for another of its own.
  assert.equal(openings.db(first, 101, 1), 'db');
  assert.equal(total([first, second]), most);
  assert.equal(openings.db(second, 100, 2), 'conntrack-full');
  assert.equal(openings.web(second, 100, 2), 'web', 'what is kept for web is there in any loop');
});

test('the budget of half-open flows is a loop of its own', () => {
  const [first, second] = makeLoops({ maxHalfOpen: 4 });
  for (let n = 0; n < 10; n++) assert.equal(openings.db(first, n, n), 'db');
  assert.deepEqual([tracked(first), first.engine.gates.tracker.halfOpenFlows], [4, 4]);
  for (let n = 0; n < 3; n++) assert.equal(openings.db(second, n, n), 'db');
  assert.deepEqual([tracked(first), tracked(second)], [4, 3], 'a flood costs the other nothing');
});
