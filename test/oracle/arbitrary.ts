/**
 * Random sequences: conversations as they should be, and everything that goes wrong with them. Values lean towards the
 * bounds that window tracking draws, since that is where two trackers may disagree by one.
 */
import fc from 'fast-check';
import {
  HANDSHAKE,
  tcpStep,
  type EchoStep,
  type ErrorStep,
  type FragmentsStep,
  type OtherStep,
  type ReplayStep,
  type Sequence,
  type Side,
  type Step,
  type TcpStep,
  type UdpStep,
} from './steps.ts';

const side = fc.constantFrom('client' as const, 'server' as const);
const place = fc.constantFrom('in' as const, 'out' as const);

/** Mostly a little off, sometimes a window, sometimes half the space. */
const offset = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 2, arbitrary: fc.integer({ min: -3000, max: 3000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -140_000, max: 140_000 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      65535,
      65536,
      66000,
      66001,
      -65535,
      -66000,
      -66001,
      0x7fffffff,
      -0x80000000,
      0x40000000,
    ),
  },
  { weight: 1, arbitrary: fc.integer({ min: -0x80000000, max: 0x7fffffff }) },
);

const bytes = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 500, max: 1400 }) },
);

const window = fc.oneof(
  { weight: 6, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 65535) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 65535 }) },
);

const sackAhead = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }) },
);

const lost = fc.oneof(
  { weight: 9, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
);
const delay = fc.oneof(
  { weight: 9, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) },
);

/** Data and acknowledgments with right numbers, perhaps lost or late on the way. */
const goodTcp: fc.Arbitrary<TcpStep> = fc
  .record({ side, bytes, window, sackAhead, lost, delay })
  .map(({ side, ...more }) => tcpStep(side, more.bytes > 0 ? 'PA' : 'A', more));

const closingTcp: fc.Arbitrary<TcpStep> = fc
  .record({ side, flags: fc.constantFrom('FA', 'FA', 'FA', 'RA', 'R'), bytes, lost, delay })
  .map(({ side, flags, ...more }) => tcpStep(side, flags, more));

/** A new start on the same ports. */
const reopening: fc.Arbitrary<TcpStep> = fc
  .record({
    side: fc.constantFrom('client' as const, 'client' as const, 'server' as const),
    flags: fc.constantFrom('S', 'S', 'SA'),
    seqFrom: fc.constantFrom('next' as const, 'initial' as const),
    seqOffset: fc.constantFrom(0, 0, 100_000, -100_000, 0x20000000),
    lost,
  })
  .map(({ side, flags, ...more }) => tcpStep(side, flags, more));

const keepalive: fc.Arbitrary<TcpStep> = fc
  .record({ side, bytes: fc.constantFrom(0, 1) })
  .map(({ side, bytes }) => tcpStep(side, 'A', { bytes, seqOffset: -1 }));

const flags = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('A', 'PA', 'FA', 'R', 'RA', 'S', 'SA') },
  {
    weight: 1,
    arbitrary: fc.subarray([...'FSRPAUEC']).map((letters) => letters.join('')),
  },
);

/** A packet that somebody else could have sent: anything may be wrong with it. */
const badTcp: fc.Arbitrary<TcpStep> = fc
  .record({
    side,
    flags,
    bytes,
    seqFrom: fc.constantFrom(
      'next' as const,
      'next' as const,
      'initial' as const,
      'acked' as const,
      'edge' as const,
      'oldest' as const,
      'zero' as const,
    ),
    seqOffset: fc.oneof(fc.constant(0), offset),
    ackFrom: fc.constantFrom(
      'next' as const,
      'next' as const,
      'initial' as const,
      'oldest' as const,
      'zero' as const,
    ),
    ackOffset: fc.oneof(fc.constant(0), offset),
    window,
    sackAhead,
  })
  .map(({ side, flags, ...more }) => tcpStep(side, flags, more));

const replay: fc.Arbitrary<ReplayStep> = fc.record({
  kind: fc.constant('replay' as const),
  back: fc.integer({ min: 0, max: 8 }),
  mirrored: fc.oneof(
    { weight: 5, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});

const error: fc.Arbitrary<ErrorStep> = fc.record({
  kind: fc.constant('error' as const),
  from: place,
  what: fc.constantFrom(
    'unreachable' as const,
    'too-big' as const,
    'time-exceeded' as const,
    'parameter' as const,
    'redirect' as const,
    'source-quench' as const,
  ),
  back: fc.integer({ min: 0, max: 5 }),
  lie: fc.oneof(
    { weight: 3, arbitrary: fc.constant('none' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'source' as const,
        'destination' as const,
        'port' as const,
        'protocol' as const,
        'turned' as const,
        'sequence' as const,
      ),
    },
  ),
  shift: offset,
  quotedBytes: fc.oneof(
    { weight: 4, arbitrary: fc.constant(8) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 40 }) },
  ),
  byRouter: fc.boolean(),
  astray: fc.oneof(
    { weight: 7, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});

const udp: fc.Arbitrary<UdpStep> = fc.record({
  kind: fc.constant('udp' as const),
  from: place,
  ports: fc.constantFrom(
    [40_000, 1053] as const,
    [53, 40_000] as const,
    [53, 1053] as const,
    [40_000, 40_000] as const,
  ),
  bytes: fc.constantFrom(0, 20),
});

const echo: fc.Arbitrary<EchoStep> = fc.record({
  kind: fc.constant('echo' as const),
  from: place,
  what: fc.constantFrom(
    'echo' as const,
    'echo' as const,
    'echo-reply' as const,
    'echo-reply' as const,
    'timestamp' as const,
    'timestamp-reply' as const,
  ),
  id: fc.constantFrom(1, 1, 2, 0, 65535),
  bytes: fc.constantFrom(0, 0, 40),
});

const other: fc.Arbitrary<OtherStep> = fc.record({
  kind: fc.constant('other' as const),
  from: place,
  protocol: fc.constantFrom(112, 99, 200),
  bytes: fc.constant(0),
});

/** Which fragments are sent: in order, in any order, with copies, gaps and overlaps. */
const fragmentOrder: fc.Arbitrary<FragmentsStep['order']> = fc.oneof(
  fc.constant([0, 1, 2, 3, 4, 5].map((i) => [0, i] as const)),
  fc
    .shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 5 })
    .map((rest) => rest.map((i) => [0, i] as const)),
  fc
    .shuffledSubarray([1, 2, 3, 4, 5], { minLength: 4 })
    .map((rest) => [0, ...rest].map((i) => [0, i] as const)),
  fc.array(fc.tuple(fc.constant(0 as const), fc.integer({ min: 0, max: 5 })), { maxLength: 10 }),
  fc.array(
    fc.tuple(fc.constantFrom(0 as const, 0 as const, 1 as const), fc.integer({ min: 0, max: 5 })),
    { maxLength: 10 },
  ),
);

/** Large enough for three fragments and more, small enough for one. */
const fragmentedBytes = fc.integer({ min: 1, max: 300 });
const units = fc.constantFrom(1, 2, 3, 4, 5, 8, 16, 20);

const fragmentsOfAny = (
  of: fc.Arbitrary<TcpStep | UdpStep | EchoStep | OtherStep>,
): fc.Arbitrary<FragmentsStep> =>
  fc
    .record({
      kind: fc.constant('fragments' as const),
      of,
      bytes: fragmentedBytes,
      cuts: fc.tuple(units, units),
      order: fragmentOrder,
      id: fc.constantFrom(0, 0, 1),
    })
    .map(({ bytes, ...step }) => ({ ...step, of: { ...step.of, bytes } }));

const simultaneous: readonly TcpStep[] = [
  tcpStep('client', 'S'),
  tcpStep('server', 'S'),
  tcpStep('client', 'SA', { seqFrom: 'initial' }),
  tcpStep('server', 'SA', { seqFrom: 'initial' }),
];

/** How a connection begins. */
const beginning: fc.Arbitrary<readonly Step[]> = fc.oneof(
  { weight: 8, arbitrary: fc.constant(HANDSHAKE) },
  { weight: 1, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.constant(HANDSHAKE.slice(0, 1)) },
  { weight: 1, arbitrary: fc.constant(HANDSHAKE.slice(0, 2)) },
  { weight: 1, arbitrary: fc.constant(simultaneous) },
  {
    weight: 1,
    arbitrary: fc.constant([
      HANDSHAKE[0],
      tcpStep('client', 'S', { seqFrom: 'initial' }),
      ...HANDSHAKE.slice(1),
    ]),
  },
  {
    weight: 1,
    arbitrary: fc.constant([HANDSHAKE[0], tcpStep('server', 'RA', { seqFrom: 'zero' })]),
  },
);

/** How it ends, in good order: FIN, ACK, FIN, ACK, and either side may begin. */
const ending: fc.Arbitrary<readonly Step[]> = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  {
    weight: 1,
    arbitrary: side.map((first) => {
      const second = first === 'client' ? 'server' : 'client';
      return [
        tcpStep(first, 'FA'),
        tcpStep(second, 'A'),
        tcpStep(second, 'FA'),
        tcpStep(first, 'A'),
      ];
    }),
  },
  { weight: 1, arbitrary: side.map((from) => [tcpStep(from, 'RA')]) },
);

const tcpBody = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: goodTcp },
    { weight: 2, arbitrary: closingTcp },
    { weight: 1, arbitrary: reopening },
    { weight: 1, arbitrary: keepalive },
    { weight: 4, arbitrary: badTcp },
    { weight: 2, arbitrary: replay },
    { weight: 1, arbitrary: error },
    { weight: 1, arbitrary: fragmentsOfAny(fc.oneof(goodTcp, goodTcp, badTcp)) },
  ),
  { maxLength: 16 },
);

const afterwards = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: reopening },
    { weight: 2, arbitrary: goodTcp },
    { weight: 2, arbitrary: badTcp },
    { weight: 1, arbitrary: closingTcp },
    { weight: 2, arbitrary: replay },
    { weight: 1, arbitrary: error },
  ),
  { maxLength: 8 },
);

const tcpSteps = fc
  .tuple(beginning, tcpBody, ending, afterwards)
  .map((parts): readonly Step[] => parts.flat());

const mixedSteps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: udp },
    { weight: 4, arbitrary: echo },
    { weight: 3, arbitrary: other },
    { weight: 3, arbitrary: error },
    { weight: 2, arbitrary: replay },
    { weight: 2, arbitrary: goodTcp },
    { weight: 4, arbitrary: fragmentsOfAny(fc.oneof(udp, echo, other)) },
  ),
  { maxLength: 24 },
);

const end: fc.Arbitrary<Side> = fc.record({
  initial: fc.oneof(
    fc.constantFrom(1000, 0xffffff00, 0x7fffff00),
    fc.integer({ min: 0, max: 0xffffffff }),
  ),
  scale: fc.constantFrom(undefined, 0, 7, 7, 14, 15),
  window: fc.constantFrom(500, 500, 65535, 100, 1, 0),
});

const sometimes = fc.constantFrom(false, false, false, true);

export const sequences: fc.Arbitrary<Sequence> = fc.record({
  family: fc.constantFrom(4 as const, 4 as const, 6 as const),
  midstream: fc.boolean(),
  opener: place,
  forbidden: fc.constantFrom(false, false, false, false, false, false, false, true),
  openBothWays: sometimes,
  client: end,
  server: end,
  steps: fc.oneof({ weight: 4, arbitrary: tcpSteps }, { weight: 1, arbitrary: mixedSteps }),
});
