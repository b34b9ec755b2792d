/** Lines that somebody may send to the control socket: requests with every method and parameter, values of every kind, and broken ones. */
import fc from 'fast-check';
import { REQUEST_NAMES } from '../../src/control-socket/requests.ts';

const KEYS = [
  'interfaces',
  'protocols',
  'ports',
  'localPorts',
  'remotePorts',
  'addresses',
  'locals',
  'remotes',
  'rules',
  'groups',
  'states',
  'openedBy',
  'idleMs',
  'sort',
  'limit',
  'reasons',
  'verdict',
  'direction',
  'sinceMs',
  'id',
  'snapLength',
  'all',
  'from',
  'to',
  'service',
  'detail',
  'sourcePort',
  'family',
  'dryRun',
  'owner',
  'device',
  'securityGroups',
  'tags',
  'keep',
  'neverHit',
  '__proto__',
  'constructor',
  'toString',
  'valueOf',
  'then',
  'length',
];

const WORDS = [
  'a',
  'uplink',
  'platform',
  '10.0.0.1',
  '0.0.0.0/0',
  '::/0',
  '::ffff:1.2.3.4',
  'outside:10.0.0.1',
  'tcp',
  'udp',
  'icmp',
  'protocol',
  '80',
  '80-443',
  '65536',
  '0-0',
  'sg:web',
  'sgr-00000',
  'passed',
  'dropped',
  'ingress',
  'egress',
  'bytes',
  'hits',
  'established',
  'instance',
  'echo',
  '',
  '\0',
  '\ud800',
  '\u202e',
  '%s%n',
  '../../etc/passwd',
  'x'.repeat(256),
  'x'.repeat(20_000),
];

const NUMBERS = [0, -0, -1, 1, 4, 6, 0.5, 80, 2 ** 31, 2 ** 53, 1e308, Number.MIN_VALUE];

const scalar = fc.oneof(
  fc.constantFrom(...WORDS),
  fc.constantFrom(...NUMBERS),
  fc.constantFrom(true, false, null),
  fc.string(),
);

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(scalar, { maxLength: 3 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie('value'), { maxKeys: 3 }),
  ),
}));

const params = fc.dictionary(fc.constantFrom(...KEYS), value, { maxKeys: 5 });
const method = fc.oneof(
  { arbitrary: fc.constantFrom<unknown>(...REQUEST_NAMES), weight: 8 },
  { arbitrary: value, weight: 1 },
);
const version = fc.oneof(
  { arbitrary: fc.constant<unknown>(1), weight: 8 },
  { arbitrary: value, weight: 1 },
);

const request = fc
  .record(
    { version, method, params: fc.oneof({ arbitrary: params, weight: 8 }, value) },
    { requiredKeys: ['version', 'method'] },
  )
  .map((one) => Buffer.from(JSON.stringify(one)));

const broken = fc
  .tuple(request, fc.nat(), fc.constantFrom('', '\0', '{', '}', '"', ']', '\\', '\xff', ',1e999'))
  .map(([bytes, at, junk]) =>
    Buffer.concat([bytes.subarray(0, at % (bytes.length + 1)), Buffer.from(junk, 'latin1')]),
  );

const deep = fc
  .tuple(fc.constantFrom('version', 'method', 'params'), fc.integer({ min: 1, max: 30_000 }))
  .map(([key, depth]) => {
    const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
    return Buffer.from(
      `{"version":1,"method":"status",${JSON.stringify(key)}:${nested}}`.slice(0, 65_536),
    );
  });

/** One line without its newline, of at most 64 KiB. */
export const controlLine: fc.Arbitrary<Buffer> = fc
  .oneof(
    { arbitrary: request, weight: 12 },
    { arbitrary: broken, weight: 3 },
    { arbitrary: deep, weight: 1 },
    { arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)), weight: 2 },
    { arbitrary: fc.json().map((text) => Buffer.from(text)), weight: 2 },
  )
  .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x0a)).subarray(0, 65_536));
