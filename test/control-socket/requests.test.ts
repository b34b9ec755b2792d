/** What a stranger may send over the control socket: any bytes are a request of the right kinds, or refused in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RequestLines } from '../../src/control-socket/request-line.ts';
import { readRequest } from '../../src/control-socket/requests.ts';
import { PORT_KIND_NAMES } from '../../src/ports/port-kind.ts';
import { RequestError } from '../../src/queries/traffic-filter.ts';
import { controlLine } from './control-lines.ts';

function refusalOf(text: string | Buffer): string {
  try {
    readRequest(Buffer.from(text));
  } catch (error) {
    assert.ok(error instanceof RequestError, String(error));
    return error.message;
  }
  return 'taken';
}

const request = (method: string, params: unknown): string =>
  JSON.stringify({ version: 1, method, params });

const OTHER_VERSION = (what: string): string =>
  `this daemon speaks version 1 of the protocol, not ${what}; use the sgctl that came with it`;

test('no value becomes text by its own means', () => {
  assert.equal(
    refusalOf('{"version":{"toString":1,"valueOf":1},"method":"status"}'),
    OTHER_VERSION('an object'),
  );
  assert.match(
    refusalOf('{"version":1,"method":{"toString":1,"valueOf":1}}'),
    /^unknown method 'an object'; there are status, /,
  );
  const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;
  assert.equal(refusalOf(`{"version":${deep}}`), OTHER_VERSION('a list'));
  assert.match(refusalOf(`{"version":1,"method":${deep}}`), /^unknown method 'a list'/);
  assert.equal(
    refusalOf(`{"version":1,"method":"status","params":${deep}}`),
    'params is a JSON object',
  );
  assert.equal(
    refusalOf(`{"version":1,"method":"flows","params":{"ports":${deep}}}`),
    'ports is a list of at most 100 words',
  );
  assert.equal(refusalOf('{"version":1e999}'), OTHER_VERSION('Infinity'));
  assert.equal(refusalOf('{"method":"status"}'), OTHER_VERSION('none'));
  assert.equal(refusalOf('{"version":null}'), OTHER_VERSION('null'));
  assert.equal(refusalOf(`{"version":"${'1'.repeat(60_000)}"}`), OTHER_VERSION('1'.repeat(64)));
  assert.equal(refusalOf('{"version":1,"method":"status","params":[]}'), 'params is a JSON object');
  assert.equal(refusalOf('[]'), 'a request is one JSON object a line');
  assert.equal(refusalOf(''), 'a request is one JSON object a line');
  assert.equal(refusalOf('{"version":1\0}'), 'a request is one JSON object a line');
  assert.equal(
    refusalOf(Buffer.from('{"version":1,"method":"\xff"}', 'latin1')),
    'a request is UTF-8 text',
  );
});

test('each parameter is of the kind that the method takes', () => {
  const ADD = {
    id: 'eni-0123456789abcdef0',
    owner: 'docker',
    device: { kind: 'tap', name: 'eth0', netns: '/proc/7/ns/net', mtu: 1500, persist: true },
    addresses: ['10.0.0.1'],
    securityGroups: ['web'],
    tags: { a: 'b' },
  };
  const question = { from: 'a', to: 'b', service: 'tcp', detail: '80' };
  const cases: [method: string, params: unknown, refusal: string][] = [
    ['explain', question, 'taken'],
    ['explain', { ...question, sourcePort: 1024, family: 6 }, 'taken'],
    ['explain', { ...question, from: {} }, 'from is a word of at most 255 characters'],
    ['explain', { ...question, to: 'x'.repeat(256) }, 'to is a word of at most 255 characters'],
    [
      'explain',
      { ...question, service: 'any' },
      'service is one of tcp, udp, icmp, icmpv6, protocol',
    ],
    ['explain', { ...question, sourcePort: '1' }, 'sourcePort is a whole number, not below 0'],
    ['explain', { ...question, family: 5 }, 'family is one of 4, 6'],
    ['explain', { from: 'a' }, "explain needs the parameter 'to'"],
    ['reload', { dryRun: true }, 'taken'],
    ['reload', { dryRun: 'true' }, 'dryRun is true or false'],
    ['reload', { dryrun: true }, "reload has no parameter 'dryrun'; it takes dryRun"],
    ['status', { a: 1 }, "status has no parameter 'a'; it takes no parameters"],
    ['explainDrop', { id: 2 ** 60 }, 'id is a whole number, not below 0'],
    ['addInterface', ADD, 'taken'],
    ['addInterface', { ...ADD, id: 7 }, 'id is a word of at most 255 characters'],
    ['addInterface', { ...ADD, device: [] }, 'device is a JSON object'],
    [
      'addInterface',
      { ...ADD, device: { kind: 'bridge' } },
      `kind is one of ${PORT_KIND_NAMES.join(', ')}`,
    ],
    ['addInterface', { ...ADD, device: { mtu: -1 } }, 'mtu is a whole number, not below 0'],
    ['addInterface', { ...ADD, device: { configure: 1 } }, 'configure is true or false'],
    [
      'addInterface',
      { ...ADD, device: { netns: 'x'.repeat(4096) } },
      'netns is a text of at most 4095 characters',
    ],
    [
      'addInterface',
      { ...ADD, device: { mac: '02:00:00:00:00:01' } },
      "device has no parameter 'mac'; it takes kind, name, netns, mtu, configure, persist",
    ],
    ['addInterface', { ...ADD, tags: { a: 1 } }, 'each of tags is a text'],
    ['addInterface', { ...ADD, tags: ['a'] }, 'tags is an object of at most 50 tags'],
    [
      'addInterface',
      { ...ADD, tags: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [n, ''])) },
      'tags is an object of at most 50 tags',
    ],
    ['addInterface', { id: 'eni-1', owner: 'a' }, "addInterface needs the parameter 'addresses'"],
    ['addInterface', { ...ADD, leased: 'yes' }, 'leased is true or false'],
    ['leaseAddress', { owner: 'a', cidr: '10.0.0.0/24', subnet: 's', vpc: 'v' }, 'taken'],
    ['leaseAddress', { owner: 'a' }, "leaseAddress needs the parameter 'cidr'"],
    ['findSubnet', { cidr: [] }, 'cidr is a word of at most 255 characters'],
    ['releaseAddress', { owner: 'a', vpc: 'v' }, "releaseAddress needs the parameter 'address'"],
    ['reconcileInterfaces', { owner: 'a', keep: Array<string>(2000).fill('eni-1') }, 'taken'],
    [
      'reconcileInterfaces',
      { owner: 'a', keep: Array<string>(2001).fill('eni-1') },
      'keep is a list of at most 2000 words',
    ],
    [
      'reconcileInterfaces',
      { owner: 'a', keep: [7] },
      'each of keep is a word of at most 255 characters',
    ],
    ['rules', { neverHit: 1 }, 'neverHit is true or false'],
    ['trace', { all: [] }, 'all is true or false'],
    ['flows', { limit: '9' }, 'limit is a whole number, not below 0'],
    ['flows', { ports: [80] }, 'ports is a list of at most 100 words'],
    [
      'endFlows',
      { interface: ['a'] },
      "endFlows has no parameter 'interface'; it takes interfaces, protocols, ports, localPorts, remotePorts, addresses, locals, remotes, rules, groups, states, openedBy, idleMs, audit",
    ],
  ];
  for (const [method, params, refusal] of cases)
    assert.equal(refusalOf(request(method, params)), refusal, JSON.stringify(params));
  assert.match(
    refusalOf('{"version":1,"method":"status","params":{"__proto__":{}}}'),
    /^status has no parameter '__proto__'/,
  );
});

test('whatever bytes come are taken or refused in words', () => {
  let taken = 0;
  fc.assert(
    fc.property(controlLine, (line) => {
      const said = refusalOf(line);
      if (said === 'taken') taken++;
      assert.ok(said.length > 0 && said.length < 600, said);
    }),
    { numRuns: 5000 },
  );
  assert.ok(taken > 100, `only ${taken} of 5000 were taken: they try too little of what is behind`);
});

test('lines are the same however they are cut up', () => {
  const MAX = 20;
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[a-c]{0,20}$/), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (sent, cuts) => {
        const bytes = Buffer.from(sent.map((line) => `${line}\n`).join(''));
        const lines = new RequestLines(MAX);
        const taken: string[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const length = cuts[i % cuts.length];
          lines.add(bytes.subarray(at, at + length));
          at += length;
          for (let line = lines.take(); line !== undefined; line = lines.take())
            taken.push(line.toString());
        }
        assert.deepEqual(taken, sent);
      },
    ),
  );
  const lines = new RequestLines(MAX);
  lines.add(Buffer.from(`${'x'.repeat(MAX)}\n${'x'.repeat(MAX + 1)}\n`));
  assert.equal(String(lines.take()), 'x'.repeat(MAX));
  assert.equal(lines.take(), 'too long');
  lines.clear();
  lines.add(Buffer.from('x'.repeat(MAX + 1)));
  assert.equal(lines.take(), 'too long', 'before its end has come');
});
