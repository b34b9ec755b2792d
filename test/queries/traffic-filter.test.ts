/** Filters: the words people type, and what they let through. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAddress } from '../../src/addr/address.ts';
import { parseBlock, parsePortRange, parseProtocolWord } from '../../src/queries/filter-words.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import {
  CompiledFilter,
  LiveFilter,
  readChoice,
  readNumber,
  readWords,
  RequestError,
  type FilterNames,
  type TrafficFilter,
} from '../../src/queries/traffic-filter.ts';
import { RULE_PLATFORM } from '../../src/conntrack/entry.ts';
import type { Rule } from '../../src/policy/model.ts';
import { repositoryRoot } from '../support/repository.ts';

const WEB = 1;
const APP = 2;

function demo(): FilterNames & { readonly rules: readonly Rule[] } {
  const file = join(repositoryRoot(), 'config', 'demo.yaml');
  const { config } = loadConfig(file, { netnsDirectory: '/run/netns' });
  assert.ok(config !== undefined);
  const rules = [...config.model.groups.values()].flatMap((group) => [
    ...group.ingress,
    ...group.egress,
  ]);
  const names = new Map([
    [0, 'uplink'],
    ...config.interfaces.map(({ name }, i) => [i + 1, name] as const),
  ]);
  return { config, rules, portNames: () => names, ruleOf: (number) => rules[number] };
}

interface Flow {
  readonly port: number;
  readonly protocol: number;
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  readonly rule: number;
}

const FLOW: Flow = {
  port: WEB,
  protocol: 6,
  local: '10.0.0.11',
  localPort: 443,
  remote: '198.51.100.7',
  remotePort: 40_000,
  rule: 0,
};
const FLOW6: Flow = { ...FLOW, local: 'fd00:10::11', remote: '2001:db8:51::7' };

function matches(filter: TrafficFilter, flow: Flow, names: FilterNames): boolean {
  const local = parseAddress(flow.local);
  const remote = parseAddress(flow.remote);
  assert.ok(local.ok && remote.ok);
  const words = Int32Array.from([9, ...local.value.words, ...remote.value.words]);
  const { family } = local.value;
  return new CompiledFilter(filter, names).matches(
    flow.port,
    flow.protocol,
    flow.localPort,
    flow.remotePort,
    family,
    words,
    1,
    1 + local.value.words.length,
    flow.rule,
  );
}

test('what a filter lets through', () => {
  const names = demo();
  const [first] = names.rules;
  const cases: [TrafficFilter, Flow, boolean][] = [
    [{}, FLOW, true],
    [{ interfaces: ['eni-web-1'] }, FLOW, true],
    [{ interfaces: ['sgd-web'] }, FLOW, true],
    [{ interfaces: ['10.0.0.11'] }, FLOW, true],
    [{ interfaces: ['eni-app-1'] }, FLOW, false],
    [{ interfaces: ['eni-app-1', 'eni-web-1'] }, FLOW, true],
    [{ interfaces: ['uplink'] }, { ...FLOW, port: 0 }, true],
    [{ protocols: ['tcp'] }, FLOW, true],
    [{ protocols: ['6'] }, FLOW, true],
    [{ protocols: ['udp', 'icmp'] }, FLOW, false],
    [{ ports: ['443'] }, FLOW, true],
    [{ ports: ['40000'] }, FLOW, true],
    [{ ports: ['400-500'] }, FLOW, true],
    [{ ports: ['80'] }, FLOW, false],
    [{ localPorts: ['443'] }, FLOW, true],
    [{ localPorts: ['40000'] }, FLOW, false],
    [{ remotePorts: ['40000-40001'] }, FLOW, true],
    // A query's identifier is no port.
    [{ ports: ['443'] }, { ...FLOW, protocol: 1 }, false],
    [{ addresses: ['10.0.0.0/8'] }, FLOW, true],
    [{ addresses: ['198.51.100.7'] }, FLOW, true],
    [{ addresses: ['0.0.0.0/0'] }, FLOW, true],
    [{ addresses: ['0.0.0.0/0'] }, FLOW6, false],
    [{ addresses: ['::/0'] }, FLOW6, true],
    [{ addresses: ['2001:db8:51::/48'] }, FLOW6, true],
    [{ addresses: ['2001:db8:52::/48'] }, FLOW6, false],
    [{ addresses: ['128.0.0.0/1'] }, FLOW, true],
    [{ locals: ['198.51.100.7'] }, FLOW, false],
    [{ remotes: ['198.51.100.0/24'] }, FLOW, true],
    [{ rules: [first.id] }, FLOW, true],
    [{ rules: [first.id.slice(0, 8)] }, FLOW, true],
    [{ rules: [first.id] }, { ...FLOW, rule: 1 }, false],
    [{ rules: [first.id] }, { ...FLOW, rule: -1 }, false],
    [{ rules: ['platform'] }, { ...FLOW, rule: RULE_PLATFORM }, true],
    [{ groups: ['default'] }, FLOW, true],
    [{ groups: ['sg:default'] }, FLOW, true],
    [{ groups: ['web'] }, FLOW, false],
    [{ protocols: ['tcp'], ports: ['443'], interfaces: ['eni-web-1'] }, FLOW, true],
    [
      { protocols: ['tcp'], ports: ['443'], interfaces: ['eni-web-1'] },
      { ...FLOW, port: APP },
      false,
    ],
  ];
  for (const [filter, flow, wanted] of cases)
    assert.equal(matches(filter, flow, names), wanted, JSON.stringify([filter, flow]));
});

test('what could not be decoded matches by its interface alone', () => {
  const names = demo();
  const of = (filter: TrafficFilter): boolean =>
    new CompiledFilter(filter, names).matchesUndecoded(WEB);
  assert.deepEqual(
    [of({}), of({ interfaces: ['eni-web-1'] }), of({ interfaces: ['eni-app-1'] })],
    [true, true, false],
  );
  assert.deepEqual([of({ protocols: ['tcp'] }), of({ addresses: ['10.0.0.0/8'] })], [false, false]);
});

test('words that mean nothing are refused with what would be right', () => {
  const names = demo();
  const cases: [unknown, RegExp][] = [
    [
      { interfaces: ['eni-web-2'] },
      /^there is no interface 'eni-web-2'; did you mean 'eni-web-1'\?/,
    ],
    [{ interfaces: ['10.9.9.9'] }, /^no interface has the address 10\.9\.9\.9$/],
    [{ interfaces: 'eni-web-1' }, /^interfaces is a list of at most 100 words$/],
    [{ interfaces: [7] }, /^interfaces is a list of at most 100 words$/],
    [{ ports: Array.from({ length: 101 }, () => '1') }, /^ports is a list of at most 100 words$/],
    [{ ports: ['70000'] }, /^'70000' is no port \(write a port, as 443/],
    [{ ports: ['9-8'] }, /^'9-8' is no port/],
    [{ protocols: ['tpc'] }, /^'tpc' is no protocol \(write tcp, udp/],
    [{ protocols: ['all'] }, /^'all' is no protocol/],
    [{ addresses: ['010.0.0.1'] }, /octal/],
    [
      { rules: ['sgr-ffffffff'] },
      /^there is no rule 'sgr-ffffffff' \(sgctl rules shows which there are\)$/,
    ],
    [{ rules: ['sgr'] }, /^'sgr' is no rule/],
    [{ groups: ['wbe'] }, /^there is no group 'wbe' \(groups: default, web, /],
  ];
  for (const [filter, message] of cases)
    assert.throws(
      () => new CompiledFilter(filter as TrafficFilter, names),
      (error: unknown) => error instanceof RequestError && message.test(error.message),
      JSON.stringify(filter),
    );
});

test('the words themselves', () => {
  assert.deepEqual(parsePortRange('0-65535'), { ok: true, value: { from: 0, to: 65535 } });
  assert.equal(parsePortRange('08').ok, false);
  assert.equal(parsePortRange('1-2-3').ok, false);
  assert.deepEqual(parseProtocolWord('TCP'), { ok: true, value: 6 });
  assert.equal(parseProtocolWord('-1').ok, false);
  const block = parseBlock('10.1.2.3/8');
  assert.deepEqual(block.ok && [block.value.words[0] >>> 24, block.value.length], [10, 8]);
  const host = parseBlock('fd00::1');
  assert.equal(host.ok && host.value.length, 128);
});

test('numbers and choices of strangers', () => {
  const limits = { min: 0, max: 9, fallback: 5 };
  assert.equal(readNumber(undefined, 'n', limits), 5);
  assert.equal(readNumber(9, 'n', limits), 9);
  for (const wrong of [10, -1, 1.5, '3', null, {}, NaN])
    assert.throws(() => readNumber(wrong, 'n', limits), new RequestError('n goes from 0 to 9'));
  assert.equal(readChoice('a', 'w', ['a', 'b']), 'a');
  assert.throws(() => readChoice({}, 'w', ['a', 'b']), new RequestError('w is one of a, b'));
  assert.deepEqual(readWords(undefined, 'w'), []);
});

test('a filter in use outlives a change of the configuration; what it names that is gone matches nothing', () => {
  const first = demo();
  const portNames = (): ReadonlyMap<number, string> => first.portNames();
  const mutable = { ...first, config: first.config, portNames };
  const filter = new LiveFilter({ interfaces: ['eni-web-1'] }, mutable);
  const matchesAt = (port: number): boolean | undefined => filter.current?.matchesUndecoded(port);
  assert.equal(matchesAt(WEB), true);
  // The interface gets another port.
  mutable.config = { ...first.config };
  mutable.portNames = () => new Map([[7, 'eni-web-1']]);
  assert.equal(matchesAt(WEB), false);
  assert.equal(matchesAt(7), true);
  mutable.config = { ...first.config };
  mutable.portNames = () => new Map();
  assert.equal(matchesAt(WEB), undefined);
  mutable.config = { ...first.config };
  mutable.portNames = portNames;
  assert.equal(matchesAt(WEB), true);
});
