/** Flows to a file and back: equal up to their age, refused when anything is wrong, right in the tracker that gets them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { UntrackedPast } from '../../src/policy/untracked-past.ts';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { createLinkMemory, Macs } from '../../src/engine/link-memory.ts';
import { REPLIED, STATE_COUNT, STATE_MASK, TCP_SYN_RECEIVED } from '../../src/conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  type FlowFamily,
  KEY_META,
  KEY_WORDS_4,
  RULE_PLATFORM,
  STATE_WORDS,
  packRule,
  ruleIn,
  ruleOf,
} from '../../src/conntrack/entry.ts';
import { FlowTable, flowTableBytes } from '../../src/conntrack/table.ts';
import { Notifier } from '../../src/service/notify.ts';
import { restoreFlows, type Restored } from '../../src/service/restore.ts';
import { saveState, openState, type FlowState } from '../../src/service/saved-state.ts';
import { Snapshot, SnapshotRefusal, writeSnapshot } from '../../src/service/snapshot.ts';
import { SnapshotStore } from '../../src/service/snapshot-store.ts';
import { adoptFlows } from '../../src/dataplane/adopt-flows.ts';
import type { Native } from '../../src/ports/native.ts';
import { Conversation } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { tcp4, udp4 } from '../packets/build.ts';

const PORTS = 4;
const RULES = 6;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sgt-snapshot-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function makeTables(capacity: number, secret: number): [FlowTable, FlowTable] {
  const make = (family: FlowFamily): FlowTable => {
    const layout = { capacity, family };
    const buffer = new SharedArrayBuffer(flowTableBytes(layout));
    return new FlowTable(layout, { k0: secret, k1: ~secret }, buffer);
  };
  return [make(4), make(6)];
}

/** A flow in plain numbers. */
interface Flow {
  readonly family: FlowFamily;
  readonly port: number;
  readonly rule: number;
  readonly state: number;
  readonly hasReply: boolean;
  readonly ageMs: number;
  readonly filler: number;
}

const flows: fc.Arbitrary<Flow[]> = fc.uniqueArray(
  fc.record({
    family: fc.constantFrom(4, 6),
    port: fc.integer({ min: 1, max: PORTS }),
    rule: fc.oneof(fc.nat(RULES - 1), fc.constant(RULE_PLATFORM)),
    state: fc.integer({ min: 1, max: STATE_COUNT - 1 }),
    hasReply: fc.boolean(),
    ageMs: fc.oneof(fc.nat(1000), fc.nat(0x7fffffff)),
    filler: fc.integer(),
  }),
  { maxLength: 200, selector: ({ family, port, filler }) => `${family} ${port} ${filler}` },
);

function put(tables: readonly [FlowTable, FlowTable], flow: Flow, nowMs: number): void {
  const table = tables[flow.family === 4 ? 0 : 1];
  const key = new Int32Array(table.keyWords).fill(flow.filler);
  key[KEY_META] = (flow.port << 16) | 6;
  const at = table.insert(key) * table.stride + table.keyWords;
  for (let i = 0; i < STATE_WORDS; i++) table.words[at + i] = Math.imul(flow.filler, i + 3);
  table.words[at + FLOW_SEEN] = (nowMs - flow.ageMs) | 0;
  table.words[at + FLOW_STATE] = flow.state | (flow.hasReply ? REPLIED : 0);
  table.words[at + FLOW_RULE] = packRule(flow.rule, 17);
}

/** Every flow of the tables as text: key, age or moment, other words. */
function listFlows(tables: readonly FlowTable[]): string[] {
  return tables
    .flatMap(({ words, stride, keyWords, highWater }) =>
      Array.from({ length: highWater }, (_, i) => words.subarray(i * stride, (i + 1) * stride))
        .filter((entry) => (entry[keyWords + FLOW_STATE] & STATE_MASK) !== 0)
        .map((entry) => entry.join(' ')),
    )
    .sort();
}

const CONTENT = { bootId: 'boot', boottimeMs: 1000, interfaces: [], rules: [] };
const ignore = (): void => undefined;

function write(file: string, tables: readonly [FlowTable, FlowTable], nowMs: number): void {
  writeSnapshot(file, { content: CONTENT, tables, nowMs, timeBudgetMs: 1e6, onProgress: ignore });
}

function restore(
  file: string,
  tables: readonly FlowTable[],
  more: Partial<Parameters<typeof restoreFlows>[1]> = {},
): Restored {
  const snapshot = Snapshot.open(file, ignore)!;
  const restored = restoreFlows(snapshot, {
    isReleased: () => false,
    tables,
    tableOf: ({ length }) => (length === KEY_WORDS_4 ? 0 : 1),
    ports: new Map(Array.from({ length: PORTS }, (_, i) => [i + 1, i + 1])),
    rules: new Map(Array.from({ length: RULES }, (_, i) => [i, i])),
    elapsedMs: 0,
    generation: 1,
    maxFlows: 1000,
    maxHalfOpen: 1000,
    timeBudgetMs: 1e6,
    onProgress: ignore,
    ...more,
  });
  snapshot.close();
  return restored;
}

test('of several loops each gets flows of its own, half-open ones as many as its part', (t) => {
  const file = join(folder(t), 'flows.snapshot');
  const before = makeTables(100, 1);
  for (let filler = 0; filler < 40; filler++)
    put(before, { family: 4, port: 1, rule: 0, state: 1, hasReply: false, ageMs: 0, filler }, 0); // prettier-ignore
  write(file, before, 0);
  const tables = [...makeTables(100, 2), ...makeTables(100, 3)];
  let turn = 0;
  // Three of four belong to the second loop.
  const restored = restore(file, tables, {
    tableOf: () => (turn++ % 4 === 0 ? 0 : 2),
    maxHalfOpen: 30,
  });
  assert.deepEqual(
    tables.map(({ count }) => count),
    [10, 0, 15, 0],
  );
  assert.deepEqual([restored.flows, restored.left], [25, 15]);
});

test('what is restored is what was saved, in the new numbers, and as much older as time has passed', (t) => {
  const file = join(folder(t), 'flows.snapshot');
  fc.assert(
    fc.property(flows, fc.integer(), fc.nat(100_000), (list, nowMs, elapsedMs) => {
      const before = makeTables(1000, 1);
      for (const flow of list) put(before, flow, nowMs);
      write(file, before, nowMs);

      // Ports and rules have other numbers now; the interface of port 2 is gone.
      const port = (old: number): number => old + 7;
      const rule = (old: number): number => (old === RULE_PLATFORM ? old : RULES - old);
      const after = makeTables(1000, 2);
      const counts = restore(file, after, {
        ports: new Map([1, 3, 4].map((old) => [old, port(old)])),
        rules: new Map(Array.from({ length: RULES }, (_, old) => [old, rule(old)])),
        elapsedMs,
        generation: 30,
      });

      const expected = makeTables(1000, 3);
      const known = list.filter((flow) => flow.port !== 2);
      const young = known.filter(({ ageMs }) => ageMs + elapsedMs <= 0x7fffffff);
      for (const flow of young) {
        // FLOW_SEEN holds an age until the loop takes over: the moment 0 minus a negative age.
        const old = { ...flow, port: port(flow.port), ageMs: -(flow.ageMs + elapsedMs) };
        put(expected, { ...old, rule: rule(flow.rule) }, 0);
      }
      for (const { words, stride, keyWords, highWater } of expected)
        for (let at = keyWords; at < highWater * stride; at += stride)
          words[at + FLOW_RULE] = packRule(ruleIn(words[at + FLOW_RULE]), 29);
      assert.deepEqual(listFlows(after), listFlows(expected));
      assert.deepEqual(counts, {
        flows: young.length,
        aged: known.length - young.length,
        strangers: list.length - known.length,
        left: 0,
      });
    }),
    { numRuns: 60 },
  );
});

test('a smaller table keeps those that were answered', (t) => {
  const file = join(folder(t), 'flows.snapshot');
  const before = makeTables(100, 1);
  const flow = { family: 4, port: 1, rule: 0, ageMs: 0 } as const;
  for (let i = 0; i < 20; i++)
    put(before, { ...flow, state: TCP_SYN_RECEIVED + (i % 2), hasReply: true, filler: i }, 0);
  write(file, before, 0);
  const isEstablished = (word: number): boolean => (word & STATE_MASK) === TCP_SYN_RECEIVED + 1;

  const small = makeTables(100, 1);
  assert.deepEqual(restore(file, small, { maxFlows: 12 }), {
    flows: 12,
    aged: 0,
    strangers: 0,
    left: 8,
  });
  const states = listFlows(small).map((line) => Number(line.split(' ')[KEY_WORDS_4 + FLOW_STATE]));
  assert.equal(states.filter(isEstablished).length, 10);

  const few = restore(file, makeTables(100, 1), { maxHalfOpen: 3 });
  assert.deepEqual([few.flows, few.left], [13, 7]);
  const late = restore(file, makeTables(100, 1), { timeBudgetMs: -1 });
  assert.deepEqual([late.flows, late.left], [0, 20]);
});

test('writing that takes too long leaves the rest out', (t) => {
  const file = join(folder(t), 'flows.snapshot');
  const tables = makeTables(10_000, 1);
  const flow = {
    family: 4,
    port: 1,
    rule: 0,
    state: 3,
    hasReply: true,
    ageMs: 0,
  } as const;
  for (let i = 0; i < 9000; i++) put(tables, { ...flow, filler: i }, 0);
  const written = writeSnapshot(file, {
    content: CONTENT,
    tables,
    nowMs: 0,
    timeBudgetMs: -1,
    onProgress: ignore,
  });
  assert.deepEqual([written.flows, written.left], [4096, 4904]);
  const after = makeTables(10_000, 2);
  assert.equal(restore(file, after, { maxFlows: 10_000 }).flows, 4096);
});

test('every damage is found: a flipped bit anywhere, any length', (t) => {
  const file = join(folder(t), 'flows.snapshot');
  const tables = makeTables(100, 1);
  const flow = { port: 1, rule: 0, state: 3, hasReply: true, ageMs: 5 } as const;
  for (let i = 0; i < 6; i++) put(tables, { ...flow, family: i < 3 ? 4 : 6, filler: i }, 0);
  write(file, tables, 0);
  const whole = readFileSync(file);
  const open = (bytes: Uint8Array): void => {
    writeFileSync(file, bytes);
    Snapshot.open(file, ignore)?.close();
  };
  open(whole);
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] ^= 1 << (at % 8);
    assert.throws(() => open(damaged), SnapshotRefusal, `byte ${at}`);
    assert.throws(() => open(whole.subarray(0, at)), SnapshotRefusal, `${at} bytes`);
  }
  assert.throws(() => open(Buffer.concat([whole, Buffer.of(0)])), SnapshotRefusal);
});

test('a snapshot of another layout or version is refused, however whole it is', (t) => {
  const file = join(folder(t), 'flows.snapshot');
  write(file, makeTables(100, 1), 0);
  const whole = readFileSync(file);
  const PREFIX_BYTES = 16;
  const DIGEST_BYTES = 32;
  const header = whole.toString('utf8', PREFIX_BYTES, PREFIX_BYTES + whole.readUInt32LE(12));
  /** As another program would have written it. */
  const open = (change: (bytes: Buffer) => void): void => {
    const bytes = Buffer.from(whole.subarray(0, whole.length - DIGEST_BYTES));
    change(bytes);
    writeFileSync(file, Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]));
    Snapshot.open(file, ignore)?.close();
  };
  open(() => undefined);
  const { layout } = JSON.parse(header) as { layout: string };
  const start = PREFIX_BYTES + header.indexOf('"layout"');
  const digits = [...whole.subarray(start, PREFIX_BYTES + header.length).entries()].filter(
    ([, byte]) => byte >= 0x30 && byte <= 0x39,
  );
  assert.ok(digits.length > 10, layout);
  for (const [at, byte] of digits) {
    const other = byte === 0x39 ? 0x38 : byte + 1;
    assert.throws(() => open((bytes) => (bytes[start + at] = other)), {
      message: 'its entries are laid out otherwise: it is of another version',
    });
  }
  assert.throws(() => open((bytes) => bytes.writeUInt32LE(2, 8)), {
    message: 'it has version 2, and this program reads 1',
  });
});

test('it is written for its owner alone, in place of what was there, and through no link', (t) => {
  const path = folder(t);
  const file = join(path, 'flows.snapshot');
  writeFileSync(file, 'old', { mode: 0o666 });
  chmodSync(file, 0o666);
  write(file, makeTables(10, 1), 0);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(path), ['flows.snapshot']);

  const victim = join(path, 'victim');
  writeFileSync(victim, 'mine');
  symlinkSync(victim, `${file}.tmp`);
  write(file, makeTables(10, 1), 0);
  assert.equal(readFileSync(victim, 'utf8'), 'mine');
  rmSync(file);
  symlinkSync(victim, file);
  assert.throws(() => Snapshot.open(file, ignore), { code: 'ELOOP' });
});

interface StoreRig {
  readonly store: (at: { bootId?: string; nowMs?: number }) => SnapshotStore;
  readonly logged: () => string;
  readonly path: string;
}

function storeRig(t: TestContext): StoreRig {
  const path = folder(t);
  let text = '';
  const log = pino({ base: null, timestamp: false }, { write: (line) => (text += line) });
  const notifier = new Notifier({} as Native, undefined, log);
  return {
    path,
    logged: () => text,
    store: ({ bootId = 'this', nowMs = 50_000 }) =>
      new SnapshotStore({ directory: path, log, notifier, clock: { bootId, nowMs: () => nowMs } }),
  };
}

test('another boot, a clock that went back: put aside; a directory that is gone: told', (t) => {
  const cases = [
    [{ bootId: 'another' }, 'it is from before the last boot'],
    [{ nowMs: 49_999 }, 'it is from the future: the clock since boot went back'],
    [{ nowMs: Number.NaN }, 'it is from the future: the clock since boot went back'],
  ] as const;
  for (const [at, why] of cases) {
    const { store, logged, path } = storeRig(t);
    store({}).save({ interfaces: [], rules: [] }, makeTables(10, 1), 0);
    assert.equal(store(at).open(), undefined);
    assert.ok(logged().includes(`"why":"${why}"`), logged());
    assert.deepEqual(readdirSync(path), ['flows.snapshot.bad']);
    assert.equal(store({}).open(), undefined);
  }
  const { store, logged, path } = storeRig(t);
  rmSync(path, { recursive: true });
  store({}).save({ interfaces: [], rules: [] }, makeTables(10, 1), 0);
  assert.match(logged(), /"why":"ENOENT: .*"msg":"the flows could not be saved; connections go on/);
  assert.equal(existsSync(path), false);
});

test('it serves once, and tells how long ago it was', (t) => {
  const { store, path } = storeRig(t);
  store({ nowMs: 50_000 }).save({ interfaces: [], rules: [] }, makeTables(10, 1), 0);
  const opened = store({ nowMs: 51_500 }).open()!;
  assert.equal(opened.elapsedMs, 1500);
  opened.snapshot.close();
  assert.deepEqual(readdirSync(path), []);
});

const WEB = '10.0.0.11';
const DB = '10.0.0.12';

function makeRig(ingress: readonly string[], maxFlows = 100): Rig {
  return new Rig(
    {
      groups: { web: { ingress: [...ingress] } },
      interfaces: {
        web: { addresses: [WEB], groups: ['web'] },
        db: { addresses: [DB], groups: ['web'] },
      },
    },
    { acceptsMidstream: false, maxFlows },
  );
}

function stateOf(rig: Rig, nowMs: number): FlowState {
  return {
    flows: [rig.flows4, rig.flows6],
    tableOf: ({ length }) => (length === KEY_WORDS_4 ? 0 : 1),
    interfaces: [1, 2].map((port) => ({ port, id: `eni-${port}`, device: `tun-${port}` })),
    macs: new Macs(createLinkMemory(3)),
    ruleNumbers: rig.ruleNumbers,
    generation: rig.policy.generation,
    untracked: [],
    names: { learntNames: [], recallNames: () => 0 },
    nowMs,
  };
}

const SSH = ['tcp 22 from 0.0.0.0/1', 'udp 53 from 0.0.0.0/1'];
const LIMITS = { maxFlows: 100, maxHalfOpen: 50 } as Parameters<
  NonNullable<ReturnType<typeof openState>>['restore']
>[1];

test('a tracker that takes them over goes on where the other left off', (t) => {
  const { store } = storeRig(t);
  const first = makeRig(SSH);
  const talk = new Conversation('9.0.0.1', 40000, WEB, 22);
  assert.equal(first.send('uplink', talk.syn(), 1000), 'web');
  assert.equal(first.send('web', talk.synAck(), 1001), 'uplink');
  assert.equal(first.send('uplink', talk.ack('client'), 1002), 'web');
  // Half-open, the elder first: a question nobody has answered, and a SYN.
  const ask = udp4('9.0.0.2', WEB, { srcPort: 5000, dstPort: 53, payload: 'q' });
  assert.equal(first.send('uplink', ask, 2000), 'web');
  const syn = tcp4('9.0.0.3', DB, { srcPort: 40000, dstPort: 22, flags: 'S' });
  assert.equal(first.send('uplink', syn, 3000), 'db');
  saveState(store({ nowMs: 50_000 }), stateOf(first, 4000));

  // Other rules in front of them: the same rules have other numbers.
  const second = makeRig(['tcp 1-21 from 9.0.0.0/8', ...SSH]);
  second.maxFlowsByPort[1] = 3;
  const saved = openState(store({ nowMs: 60_000 }), second.ruleNumbers, new UntrackedPast())!;
  saved.restore(stateOf(second, 0), LIMITS, 1);
  const { tracker } = second.engine.gates;
  assert.deepEqual(adoptFlows(tracker, 77_000), { restored: 3, aged: 0 });
  assert.deepEqual(second.states, first.states);
  assert.equal(tracker.halfOpenFlows, 2);

  const number = second.ruleNumber('web', 'ingress', 1);
  assert.ok(number > 0);
  const established = ruleOf(second.flows4, 0);
  assert.equal(second.ruleNumbers.ruleOf(established)!.fromPort, 22);

  assert.equal(second.send('web', talk.data('server', 20), 77_001), 'uplink');
  assert.equal(second.send('uplink', talk.ack('client'), 77_002), 'web');
  const stray = new Conversation('9.0.0.9', 40000, WEB, 22);
  stray.syn();
  stray.synAck();
  assert.notEqual(second.send('uplink', stray.ack('client'), 77_003), 'web');
  // The interface has 2 of its 3 flows; the next but one makes the half-open one go.
  const other = (n: number): Uint8Array =>
    tcp4(`9.0.1.${n}`, WEB, { srcPort: 40000, dstPort: 22, flags: 'S' });
  assert.equal(second.send('uplink', other(1), 77_004), 'web');
  assert.equal(tracker.evictedFlows, 0);
  assert.equal(second.send('uplink', other(2), 77_005), 'web');
  assert.equal(tracker.evictedFlows, 1);
});

test('flows past their time-out are not restored, however long nobody ran', (t) => {
  for (const [elapsedMs, restored] of [
    [26_000, 3],
    [28_001, 2],
    [57_001, 1],
    [432_000_000, 0],
    [30 * 86_400_000, 0],
  ] as const) {
    const { store, logged } = storeRig(t);
    const first = makeRig(SSH);
    const talk = new Conversation('9.0.0.1', 40000, WEB, 22);
    first.send('uplink', talk.syn(), 1000);
    first.send('web', talk.synAck(), 1000);
    first.send('uplink', talk.ack('client'), 1000);
    first.send('uplink', udp4('9.0.0.2', WEB, { srcPort: 5000, dstPort: 53 }), 2000); // 30 s
    first.send('uplink', tcp4('9.0.0.3', WEB, { srcPort: 1, dstPort: 22, flags: 'S' }), 1000); // 60 s
    saveState(store({ nowMs: 0 }), stateOf(first, 4000));
    const second = makeRig(SSH);
    const saved = openState(store({ nowMs: elapsedMs }), second.ruleNumbers, new UntrackedPast())!;
    saved.restore(stateOf(second, 0), LIMITS, 1);
    const adopted = adoptFlows(second.engine.gates.tracker, 5);
    assert.equal(adopted.restored, restored, `${elapsedMs} ms`);
    const log = pino({ base: null, timestamp: false }, { write: (line) => (told += line) });
    let told = '';
    saved.tell(log, adopted);
    const count = restored === 1 ? '1 flow' : `${restored} flows`;
    assert.match(told, new RegExp(`"msg":"restored ${count}, ${3 - restored} aged out"`));
    assert.doesNotMatch(logged(), /"level":50/);
  }
});

test('flows of an interface that has another device now are left out', (t) => {
  const { store } = storeRig(t);
  const first = makeRig(SSH);
  first.send('uplink', udp4('9.0.0.2', WEB, { srcPort: 5000, dstPort: 53 }), 0);
  first.send('uplink', udp4('9.0.0.2', DB, { srcPort: 5000, dstPort: 53 }), 0);
  saveState(store({}), stateOf(first, 0));
  const second = makeRig(SSH);
  const saved = openState(store({}), second.ruleNumbers, new UntrackedPast())!;
  const state = stateOf(second, 0);
  const [web, db] = state.interfaces;
  saved.restore({ ...state, interfaces: [web, { ...db, device: 'tap-2' }] }, LIMITS, 1);
  assert.deepEqual(adoptFlows(second.engine.gates.tracker, 0), { restored: 1, aged: 0 });
});

test('what was untracked is known after a restart, as much older as it took', (t) => {
  const { store } = storeRig(t);
  const first = makeRig(SSH);
  const untracked = [['eni-web', 0, 80, 90, 431_000]] as const;
  saveState(store({ nowMs: 0 }), { ...stateOf(first, 0), untracked });
  const second = makeRig(SSH);
  let nowSec = 5;
  const past = new UntrackedPast(() => nowSec);
  assert.ok(openState(store({ nowMs: 900_000 }), second.ruleNumbers, past) !== undefined);
  assert.deepEqual(past.save(), [['eni-web', 0, 80, 90, 431_900]]);
  const share = (): number[] => [...past.share(new Map([['eni-web', 1]]), 2).pastRanges];
  assert.deepEqual(share(), [(80 << 16) | 90]);
  nowSec = 106;
  assert.deepEqual(share(), []);
});
