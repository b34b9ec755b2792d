/** A short run of the fuzzer, the cases it found before, and that it would notice if something were wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PASS, REASONS } from '../../src/engine/reasons.ts';
import { tcp4, udp4 } from '../packets/build.ts';
import {
  caseText,
  corpusLine,
  parseCorpus,
  parseOptions,
  readFiles,
  readTalks,
  type CorpusPacket,
} from './corpus.ts';
import { replay, runEpisode, tallyIndex } from './episode.ts';
import { GuidedFuzzer } from './guided.ts';
import { minimise } from './minimise.ts';
import { APP, POLICIES, WEB } from './policies.ts';
import { Random } from './random.ts';
import { runJobs, runShare, TALLIES, type Progress, type Share } from './run.ts';
import { ROOMY, type WorldOptions } from './world.ts';

const SHARE: Share = {
  seed: 0,
  packets: 1_000_000,
  seconds: 3,
  job: 0,
  jobs: 1,
  isGuarded: false,
  isOffloaded: false,
};

/** Every world with every setting. */
const ALL_OPTIONS: readonly WorldOptions[] = POLICIES.flatMap((_, world) =>
  [true, false].flatMap((acceptsMidstream) =>
    [true, false].map((checksWindow) => ({ ...ROOMY, world, acceptsMidstream, checksWindow })),
  ),
);

function run(share: Share): Progress {
  let last: Progress | undefined;
  runShare(readTalks(), share, (so) => (last = so));
  return last!;
}

for (const isOffloaded of [false, true]) {
  const path = isOffloaded ? ', with the fast path' : '';
  test(`what chance sends gets the verdicts of the twin${path}`, (t) => {
    const seed = Date.now() % 2 ** 32;
    const { packets, judged, forwarded, tally, failed } = run({
      ...SHARE,
      ...{ seed, packets: 12 * 2048, seconds: 600, isOffloaded },
    });
    t.diagnostic(`seed ${seed}: ${packets} packets, ${judged} judged by the twin`);
    const again = `scripts/fuzz --seed ${seed} --episode ${failed?.episode}`;
    assert.equal(
      failed,
      undefined,
      `${failed?.what}; to see it made small: ${again}${isOffloaded ? ' --offload' : ''}`,
    );
    assert.equal(packets, 12 * 2048);
    // What a run that gets nowhere would lack.
    for (const [verdict, name] of [
      [1, 'to web'],
      [2, 'to app'],
      [3, 'to db'],
      [0, 'to uplink'],
    ] as const)
      assert.ok(tally[tallyIndex(verdict)] > packets / 200, `${name}: ${tally[verdict]} times`);
    // 602 to 1,360 of 24,576 in eight runs.
    if (isOffloaded) assert.ok(forwarded > packets / 100, `${forwarded} went by the fast path`);
    else assert.equal(forwarded, 0);
  });
}

test('batches of frames are written as the twins say, with the fast path', () => {
  const talks = readTalks();
  let forwarded = 0;
  // Of 16 episodes, this one sends batches (episode.ts).
  for (let seed = 0; seed < 8; seed++)
    forwarded += runEpisode(talks, seed, 14, { isOffloaded: true });
  assert.ok(forwarded > 200, `${forwarded} went by the fast path`);
});

for (const folder of ['corpus', 'cases'] as const) {
  for (const [file, text] of readFiles(folder)) {
    test(`${folder}/${file}: engine and twin agree`, () => {
      const talks = parseCorpus(file, text);
      assert.ok(talks.length > 0);
      const own = parseOptions(text);
      for (const options of own === undefined ? ALL_OPTIONS : [own])
        for (const isOffloaded of [false, true])
          for (const talk of talks)
            assert.equal(replay({ ...options, isOffloaded }, talk)?.what, undefined);
    });
  }
}

test('corpus and chance reach every reason but those that devices, stores and DNS names give', () => {
  const talks = readTalks();
  const tally = new Float64Array(TALLIES);
  for (let number = 0; number < 80; number++) runEpisode(talks, 1, number, { tally });
  for (const options of [ROOMY, { ...ROOMY, events: 'full' as const }])
    for (const talk of talks) replay(options, talk, options, tally);
  const missing = REASONS.map(([name], reason) => ({ name, reason }))
    .filter(({ reason }) => reason !== PASS && tally[tallyIndex(-reason)] === 0)
    .map(({ name }) => name);
  // No port of the rig has a MAC address that the configuration names, no store is away, and no rule has a DNS name.
  const others = [
    'write-failed',
    'packet-too-big',
    'unresolved',
    'mac-spoof',
    'stale-groups',
    'fenced',
    'tls-name',
    'tls-name-awaited',
    'tls-names-full',
  ];
  assert.deepEqual(missing, others);
});

test('two jobs do together what one does alone', async () => {
  const share = { ...SHARE, seed: 3, packets: 16 * 2048, seconds: 60 };
  const alone = run(share);
  const together = await runJobs({ ...share, jobs: 2 }, () => undefined);
  assert.deepEqual([...together.tally], [...alone.tally]);
  assert.equal(together.judged, alone.judged);
});

test('a difference is noticed and made small', () => {
  const noise = [...readFiles('corpus')]
    .flatMap(([name, text]) => parseCorpus(name, text).flat())
    .map((one) => ({ ...one, afterMs: 3 }));
  const ack: CorpusPacket = {
    port: 1,
    bytes: tcp4(WEB, APP, { srcPort: 3333, dstPort: 8080, flags: 'A' }),
    afterMs: 5,
  };
  const packets = [...noise, ack, ...noise];
  assert.equal(replay(ROOMY, packets), undefined);
  // A twin that takes no packets from mid-stream stands in for a mistake.
  const wrong = { ...ROOMY, acceptsMidstream: false };
  assert.equal(replay(ROOMY, [ack], wrong)?.what, 'the engine says to app, the twin tcp-midstream');
  const few = minimise(ROOMY, packets, wrong);
  assert.equal(few.length, 1);
  assert.match(replay(ROOMY, few, wrong)!.what, /^the engine says to \w+, the twin tcp-midstream$/);
  const ask = { port: 1, bytes: udp4(WEB, APP, { srcPort: 9, dstPort: 53 }), afterMs: 0 };
  const late = { port: 2, bytes: udp4(APP, WEB, { srcPort: 53, dstPort: 9 }), afterMs: 1 };
  const slow = noise.slice(0, 31).map((one) => ({ ...one, afterMs: 1000 }));
  const whole = minimise(ROOMY, [ask, ...slow, late]);
  assert.equal(whole.length, 33, 'where nothing differs, nothing is left out');
});

test('a difference in who makes room, or in what is remembered, is noticed', () => {
  const tight = { ...ROOMY, maxFlows: 4, maxHalfOpen: 4 };
  const ask = (srcPort: number): CorpusPacket => ({
    port: 1,
    bytes: udp4(WEB, APP, { srcPort, dstPort: 53 }),
    afterMs: 1,
  });
  const flood = [1, 2, 3, 4, 5].map(ask);
  assert.equal(replay(tight, flood), undefined);
  const what = replay(tight, flood, { ...tight, maxFlows: 8, maxHalfOpen: 8 })?.what;
  assert.match(what!, /^the engine has \d flows in state udp, the twin \d+$/);
});

test('coverage leads to what the input did not reach', () => {
  const first: CorpusPacket = {
    port: 1,
    bytes: udp4(WEB, APP, { srcPort: 9, dstPort: 53 }),
    afterMs: 0,
  };
  let readings = 0;
  const guided = new GuidedFuzzer([[first]], 1).run(() => ++readings > 20);
  assert.ok(guided.found.length > 5, `${guided.found.length} inputs found`);
  for (const talk of guided.found) assert.equal(replay(ROOMY, talk)?.what, undefined);
});

test('a corpus file is read and written, and a bad line is named', () => {
  const lines = ['web 00ff', '+250 uplink 01', 'rules=2 held app 45', '+1 rules=0 db'];
  const text = `# one\n${lines.slice(0, 2).join('\n')}\n\n${lines.slice(2).join('\n')}\n`;
  const talks = parseCorpus('x', text);
  assert.deepEqual(
    talks.map((talk) => talk.map(corpusLine)),
    [lines.slice(0, 2), lines.slice(2)],
  );
  const kept = caseText({ ...ROOMY, world: 2, maxFlows: 7 }, talks[0]);
  assert.deepEqual(parseOptions(kept), { ...ROOMY, world: 2, maxFlows: 7 });
  assert.deepEqual(parseCorpus('x', kept), [talks[0]]);
  assert.throws(() => parseCorpus('x.hex', 'web 00\nlan 00'), {
    message: "x.hex:2: not '[+MS] [rules=N] [held] uplink|web|app|db HEX': lan 00",
  });
  assert.throws(() => parseCorpus('x.hex', 'web 0'), /^Error: x\.hex:1: /);
});

test('the same seed gives the same numbers, another seed or stream others', () => {
  const take = (seed: number, stream: number): number[] => {
    const random = new Random(seed, stream);
    return Array.from({ length: 4 }, () => random.below(1000));
  };
  assert.deepEqual(take(7, 1), take(7, 1));
  assert.notDeepEqual(take(7, 1), take(8, 1));
  assert.notDeepEqual(take(7, 1), take(7, 2));
  const random = new Random(3);
  const seen = new Array<number>(10).fill(0);
  for (let i = 0; i < 10_000; i++) seen[random.below(10)]++;
  for (const count of seen)
    assert.ok(count > 850 && count < 1150, `one in ten came ${count} times`);
});
