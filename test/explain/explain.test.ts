/** What is explained about single questions: deciding rules, near misses, tracking, checks before the gates. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Address } from '../../src/addr/address.ts';
import {
  ICMP_QUERY_FLOW,
  OTHER,
  setTimeouts,
  STATE_COUNT,
  TCP_ESTABLISHED,
  TCP_SYN_SENT,
  UDP_SINGLE,
  UDP_STREAM,
} from '../../src/conntrack/states.ts';
import { REASONS } from '../../src/engine/reasons.ts';
import { explain } from '../../src/explain/explain.ts';
import {
  EXPLAINED_REASONS,
  type Explanation,
  type GateAnswer,
  type Network,
  type Service,
  type Tracking,
} from '../../src/explain/explanation.ts';
import type { Direction } from '../../src/policy/model.ts';
import { model, mustAddress, specialAddresses, type ModelText } from '../support/policy.ts';

const THREE_TIERS: ModelText = {
  groups: {
    web: {
      ingress: ['tcp 80 from 0.0.0.0/0', 'tcp 80 from ::/0', 'tcp 22 from pl:office'],
    },
    app: {
      ingress: [
        'tcp 8080-8090 from sg:web',
        'icmp 8/-1 from sg:web',
        'icmp 3/4 from 10.0.0.0/24',
        '50 from sg:web',
      ],
    },
    db: { ingress: ['tcp 5432 from sg:app', 'udp 53 from sg:app'], egress: [] },
    base: { ingress: ['all from sg:nobody', 'tcp 5432 from 10.0.0.9/32'], egress: [] },
    nobody: {},
  },
  prefixLists: { office: ['203.0.113.0/24', '198.51.100.0/25'] },
  interfaces: {
    web: { addresses: ['10.0.0.11', 'fd00:10::11'], groups: ['web'] },
    app: { addresses: ['10.0.0.12', 'fd00:10::12', '10.0.0.22'], groups: ['app'] },
    db: { addresses: ['10.0.0.13', 'fd00:10::13'], groups: ['db', 'base'] },
    old: { addresses: ['10.0.0.14'], groups: ['nobody'] },
  },
};

const SPECIAL = specialAddresses([
  '169.254.169.254/tcp/80',
  '169.254.169.254/udp/53',
  'fd00:ec2::254/tcp/80',
  '169.254.169.123',
]);

function networkOf(text: ModelText, hasUplink = true): Network {
  return { model: model(text), special: SPECIAL, hasUplink };
}

function service(text: string): Service {
  const [name, value, , source] = text.split(' ');
  if (name === 'tcp' || name === 'udp') {
    const ports = {
      kind: 'ports',
      protocol: name === 'tcp' ? 6 : 17,
      port: Number(value),
    } as const;
    return source === undefined ? ports : { ...ports, sourcePort: Number(source) };
  }
  if (name === 'icmp' || name === 'icmpv6') {
    const [type, code] = value.split('/').map(Number);
    return { kind: 'icmp', protocol: name === 'icmp' ? 1 : 58, type, code };
  }
  return { kind: 'protocol', protocol: Number(name) };
}

/** `web -> db`, `tcp 5432` or `tcp 5432 from 40000`; ends are interfaces by name, or addresses. */
function ask(network: Network, ends: string, what: string, family?: 4 | 6): Explanation {
  const [from, to] = ends
    .split(' -> ')
    .map((text) =>
      network.model.interfaces.has(`eni-${text}`)
        ? ({ kind: 'interface', interfaceId: `eni-${text}` } as const)
        : ({ kind: 'address', address: mustAddress(text) } as const),
    );
  const question = { from, to, service: service(what) };
  return explain(network, family === undefined ? question : { ...question, family });
}

function gateOf(explained: Explanation, direction: Direction, family: 4 | 6 = 4): GateAnswer {
  const answer = explained.answers.find((one) => one.family === family);
  const gate = answer?.gates.find((one) => one.direction === direction);
  assert.ok(gate, `no ${direction} gate was asked over IPv${family}`);
  return gate;
}

const THREE = networkOf(THREE_TIERS);

describe('verdicts of the three tiers', () => {
  const cases: readonly (readonly [ends: string, what: string, verdicts: string])[] = [
    ['web -> app', 'tcp 8080', '4 passed, 6 passed'],
    ['web -> app', 'tcp 8090', '4 passed, 6 passed'],
    ['web -> app', 'tcp 8091', '4 ingress-rules, 6 ingress-rules'],
    ['web -> app', 'icmp 8/0', '4 passed'],
    ['web -> app', 'icmpv6 128/0', '6 ingress-rules'],
    ['web -> app', '50', '4 passed, 6 passed'],
    ['web -> app', '44', '4 ingress-rules'],
    ['web -> db', 'tcp 5432', '4 ingress-rules, 6 ingress-rules'],
    ['app -> db', 'tcp 5432', '4 passed, 6 passed'],
    ['db -> app', 'tcp 8080', '4 egress-rules, 6 egress-rules'],
    ['old -> db', 'tcp 1', '4 passed'],
    ['198.51.100.7 -> web', 'tcp 80', '4 passed'],
    ['198.51.100.7 -> web', 'tcp 22', '4 passed'],
    ['198.51.100.200 -> web', 'tcp 22', '4 ingress-rules'],
    ['2001:db8::7 -> web', 'tcp 80', '6 passed'],
    ['2001:db8::7 -> web', 'tcp 22', '6 ingress-rules'],
    ['web -> 198.51.100.7', 'udp 53', '4 passed'],
    ['db -> 198.51.100.7', 'udp 53', '4 egress-rules'],
    ['db -> 169.254.169.254', 'tcp 80', '4 passed'],
    ['db -> fd00:ec2::254', 'tcp 80', '6 passed'],
    // An address that an interface has is reached there, however it is named …
    ['web -> 10.0.0.22', 'tcp 8080', '4 passed'],
    // … and as a bare source it comes from outside.
    ['10.0.0.11 -> app', 'tcp 8080', '4 uplink-spoof'],
    ['web -> 224.0.0.1', 'udp 5353', '4 link-scope'],
    ['web -> ff02::1', 'udp 5353', '6 link-scope'],
    ['web -> fe80::1', 'udp 5353', '6 link-scope'],
    ['web -> 127.0.0.1', 'tcp 80', '4 martian'],
    ['127.0.0.1 -> web', 'tcp 80', '4 martian'],
    ['::1 -> web', 'tcp 80', '6 martian'],
    ['198.51.100.7 -> 198.51.100.8', 'tcp 80', '4 no-route'],
    ['198.51.100.7 -> 2001:db8::7', 'tcp 80', ''],
  ];
  for (const [ends, what, verdicts] of cases) {
    test(`${ends} ${what}: ${verdicts || 'cannot be asked'}`, () => {
      const { answers, verdict } = ask(THREE, ends, what);
      assert.equal(answers.map(({ family, reason }) => `${family} ${reason}`).join(', '), verdicts);
      const isAllowed = answers.length > 0 && answers.every(({ reason }) => reason === 'passed');
      assert.equal(verdict, isAllowed ? 'allowed' : 'refused');
      for (const answer of answers)
        assert.equal(answer.verdict, answer.reason === 'passed' ? 'allowed' : 'refused');
    });
  }

  test('one family allowed and the other not is not allowed', () => {
    const explained = ask(THREE, 'web -> app', 'tcp 8080');
    assert.equal(explained.verdict, 'allowed');
    const network = networkOf({
      ...THREE_TIERS,
      groups: { ...THREE_TIERS.groups, web: { egress: ['all to 0.0.0.0/0'] } },
    });
    const half = ask(network, 'web -> app', 'tcp 8080');
    assert.deepEqual(
      half.answers.map(({ verdict }) => verdict),
      ['allowed', 'refused'],
    );
    assert.equal(half.verdict, 'refused');
  });

  test('without an uplink nothing goes out or comes in', () => {
    const island = networkOf(THREE_TIERS, false);
    const out = ask(island, 'web -> 198.51.100.7', 'tcp 80').answers[0];
    assert.equal(out.reason, 'no-route');
    assert.equal(out.why, 'no interface has 198.51.100.7, and there is no uplink');
    const back = ask(island, '198.51.100.7 -> web', 'tcp 80').answers[0];
    assert.equal(back.why, 'there is no uplink: nothing comes in from outside');
    // What the gate would say is told all the same.
    assert.deepEqual(
      back.gates.map(({ verdict, reached }) => ({ verdict, reached })),
      [{ verdict: 'allowed', reached: false }],
    );
  });

  test('why a family is not asked', () => {
    const whys = (ends: string, what: string): string[] =>
      ask(THREE, ends, what).notAsked.map(({ family, why }) => `${family}: ${why}`);
    assert.deepEqual(whys('web -> old', 'tcp 80'), ['6: old has no IPv6 address']);
    assert.deepEqual(whys('web -> app', 'icmp 8/0'), ['6: icmp is for IPv4']);
    assert.deepEqual(whys('web -> app', 'icmpv6 128/0'), ['4: icmpv6 is for IPv6']);
    assert.deepEqual(whys('web -> app', '44'), [
      '6: protocol 44 is an extension header in IPv6: what follows it is judged',
    ]);
    assert.deepEqual(whys('198.51.100.7 -> web', 'tcp 80'), ['6: 198.51.100.7 is an IPv4 address']);
    assert.deepEqual(ask(THREE, 'web -> app', 'tcp 80', 6).notAsked, []);
  });
});

describe('gates', () => {
  test('the first rule in the order of groups and rules decides, and the others are told', () => {
    const network = networkOf({
      groups: {
        b: { ingress: ['udp 1 from 0.0.0.0/0', 'tcp 80-90 from 10.0.0.0/8', 'tcp 80 from sg:a'] },
        a: { ingress: ['tcp 80 from 0.0.0.0/0'] },
      },
      interfaces: {
        x: { addresses: ['10.0.0.1'], groups: ['b', 'a'] },
        y: { addresses: ['10.0.0.2'], groups: ['a'] },
      },
    });
    const gate = gateOf(ask(network, 'y -> x', 'tcp 80'), 'ingress');
    assert.equal(gate.decidedBy?.group.id, 'sg-b');
    assert.equal(gate.decidedBy.text, 'tcp 80-90 from 10.0.0.0/8');
    assert.equal(gate.decidedBy.because, undefined);
    assert.deepEqual(
      gate.alsoAdmittedBy.map(({ group, text, because }) => [`${group.name}: ${text}`, because]),
      [
        ['b: tcp 80 from sg:a', '10.0.0.2 is of sg:a'],
        ['a: tcp 80 from 0.0.0.0/0', undefined],
      ],
    );
    assert.deepEqual(gate.nearMisses, []);
  });

  test('a prefix list says by which entry it covers the address', () => {
    const gate = gateOf(ask(THREE, '198.51.100.7 -> web', 'tcp 22'), 'ingress');
    assert.equal(gate.decidedBy?.because, '198.51.100.7 is in 198.51.100.0/25 of pl:office');
  });

  test('both gates are asked; the one behind a refusal is not reached', () => {
    const { gates } = ask(THREE, 'db -> app', 'tcp 8080').answers[0];
    assert.deepEqual(
      gates.map(({ direction, interface: { name }, verdict, reason, reached }) =>
        [name, direction, verdict, reason, reached].join(' '),
      ),
      ['db egress refused egress-rules true', 'app ingress refused ingress-rules false'],
    );
  });

  test('groups without rules', () => {
    const egress = gateOf(ask(THREE, 'db -> app', 'tcp 8080'), 'egress');
    assert.equal(egress.why, 'there are no egress rules at all in sg:db or sg:base');
    assert.deepEqual(
      egress.groupsWithoutRules.map(({ name }) => name),
      ['db', 'base'],
    );
    const alone = gateOf(ask(THREE, 'web -> old', 'tcp 80'), 'ingress');
    assert.equal(alone.why, 'sg:nobody has no ingress rules at all');
    const some = gateOf(ask(THREE, 'web -> db', 'tcp 5432'), 'ingress');
    assert.equal(some.why, 'no ingress rule of sg:db or sg:base admits it');
    assert.deepEqual(some.groupsWithoutRules, []);
  });

  test('beside a service that is named, its address is judged as any, and others are not forwarded to', () => {
    const answer = ask(THREE, 'db -> 169.254.169.254', 'tcp 2222').answers[0];
    assert.equal(answer.reason, 'egress-rules');
    assert.deepEqual(answer.notes, [
      "169.254.169.254 is the platform's; what platformServices does not name is judged as any traffic",
    ]);
    const unnamed = ask(THREE, 'db -> 169.254.169.123', 'udp 123').answers[0];
    assert.equal(unnamed.reason, 'no-route');
    assert.equal(
      unnamed.why,
      '169.254.169.123 is for services of the platform, and platformServices names none at it',
    );
  });

  test('the platform is not filtered on the way out', () => {
    const gate = gateOf(ask(THREE, 'db -> 169.254.169.254', 'tcp 80'), 'egress');
    assert.equal(gate.verdict, 'allowed');
    assert.equal(gate.decidedBy, undefined);
    assert.equal(
      gate.why,
      "169.254.169.254 is the platform's, and platformServices names this service, which groups never filter",
    );
  });
});

describe('near misses', () => {
  const cases: readonly (readonly [rule: string, what: string, text: string])[] = [
    [
      'tcp 5432 from sg:m',
      'tcp 5432',
      'would match if the source were in sg:m (10.0.0.5, fd00::5)',
    ],
    ['tcp 5432 from 192.0.2.0/24', 'tcp 5432', 'would match if the source were in 192.0.2.0/24'],
    ['tcp 5432 from 192.0.2.1/32', 'tcp 5432', 'would match if the source were 192.0.2.1'],
    [
      'tcp 5432 from pl:p',
      'tcp 5432',
      'would match if the source were in pl:p (192.0.2.0/24, 192.0.3.0/24)',
    ],
    ['tcp 5432 from sg:e', 'tcp 5432', 'would match if the source were in sg:e (on no interface)'],
    [
      'tcp 5432 from sg:six',
      'tcp 5432',
      'would match if the source were in sg:six (fd00::6; no IPv4 address)',
    ],
    [
      'all from sg:many',
      'tcp 1',
      'would match if the source were in sg:many (10.1.0.1, 10.1.0.2, 10.1.0.3, 10.1.0.4 and 2 more)',
    ],
    ['tcp 443 from 0.0.0.0/0', 'tcp 8443', 'would match if the port were 443, not 8443'],
    ['udp 8000-8010 from 0.0.0.0/0', 'udp 53', 'would match if the port were in 8000-8010, not 53'],
    ['tcp 53 from 0.0.0.0/0', 'udp 53', 'is for tcp, not udp'],
    ['50 from 0.0.0.0/0', '51', 'is for 50, not 51'],
    ['all from ::/0', 'tcp 1', 'is for IPv6 only'],
    ['tcp 1 from pl:p6', 'tcp 1', 'is for IPv6 only'],
    ['icmp 8/0 from 0.0.0.0/0', 'icmp 13/0', 'would match if the type were 8, not 13'],
    ['icmp 3/4 from 0.0.0.0/0', 'icmp 3/1', 'would match if the code were 4, not 1'],
    [
      'icmp 3/4 from 0.0.0.0/0',
      'icmp 8/0',
      'would match if the type were 3, not 8, and the code were 4, not 0',
    ],
    ['icmp -1/-1 from 0.0.0.0/0', 'tcp 1', 'is for icmp, not tcp'],
    ['icmp 8/0 from 0.0.0.0/0', 'tcp 1', 'is for icmp, not tcp, and only if the type were 8'],
    ['tcp 80 from 0.0.0.0/0', 'icmp 8/0', 'is for tcp, not icmp, and only if the port were 80'],
    ['tcp 0-65535 from 0.0.0.0/0', '50', 'is for tcp, not 50'],
    ['udp 1 from ::/0', 'tcp 1', 'is for udp, not tcp, and for IPv6 only'],
    [
      'udp 2 from sg:m',
      'tcp 1',
      'is for udp, not tcp, and only if the port were 2, not 1, and the source were in sg:m (10.0.0.5, fd00::5)',
    ],
  ];
  const network = (rule: string): Network =>
    networkOf({
      groups: { g: { ingress: [rule] }, m: {}, e: {}, six: {}, many: {} },
      prefixLists: { p: ['192.0.2.0/24', '192.0.3.0/24'], p6: ['2001:db8::/32'] },
      interfaces: {
        x: { addresses: ['10.0.0.1'], groups: ['g'] },
        m: { addresses: ['10.0.0.5', 'fd00::5'], groups: ['m'] },
        six: { addresses: ['fd00::6'], groups: ['six'] },
        many: {
          addresses: [1, 2, 3, 4, 5, 6].map((n) => `10.1.0.${n}`),
          groups: ['many'],
        },
      },
    });
  for (const [rule, what, text] of cases) {
    test(`${rule}, asked ${what}`, () => {
      const gate = gateOf(ask(network(rule), '198.51.100.7 -> x', what), 'ingress');
      assert.deepEqual(
        gate.nearMisses.map((miss) => miss.text),
        [text],
      );
    });
  }

  test('the destination, on the way out', () => {
    const out = networkOf({
      groups: { g: { egress: ['tcp 5432 to sg:m'] }, m: {} },
      interfaces: {
        x: { addresses: ['fd00::1'], groups: ['g'] },
        m: { addresses: ['10.0.0.5', 'fd00::5'], groups: ['m'] },
      },
    });
    const gate = gateOf(ask(out, 'x -> 2001:db8::1', 'tcp 5432'), 'egress', 6);
    assert.deepEqual(gate.nearMisses[0].failed, [
      { clause: 'peer', wanted: 'sg:m (fd00::5, 10.0.0.5)', found: '2001:db8::1' },
    ]);
    assert.equal(
      gate.nearMisses[0].text,
      'would match if the destination were in sg:m (fd00::5, 10.0.0.5)',
    );
  });

  test('the fewest failed clauses first, then by clause, then as written', () => {
    const many = networkOf({
      groups: {
        g: {
          ingress: [
            'udp 9 from sg:g',
            'udp 5432 from 0.0.0.0/0',
            'all from ::/0',
            'tcp 9 from 0.0.0.0/0',
            'tcp 8 from 0.0.0.0/0',
            'tcp 5432 from sg:g',
          ],
        },
        h: { ingress: ['tcp 5432 from 10.0.0.0/8'] },
      },
      interfaces: { x: { addresses: ['10.0.0.1'], groups: ['g', 'h'] } },
    });
    const gate = gateOf(ask(many, '198.51.100.7 -> x', 'tcp 5432'), 'ingress');
    assert.deepEqual(
      gate.nearMisses.map(
        ({ rule, failed }) =>
          `${rule.group.name} ${rule.text}: ${failed.map(({ clause }) => clause).join(', ')}`,
      ),
      [
        'g tcp 5432 from sg:g: peer',
        'h tcp 5432 from 10.0.0.0/8: peer',
        'g tcp 9 from 0.0.0.0/0: port',
        'g tcp 8 from 0.0.0.0/0: port',
        'g all from ::/0: family',
        'g udp 5432 from 0.0.0.0/0: protocol',
        'g udp 9 from sg:g: protocol, port, peer',
      ],
    );
  });
});

describe('tracking', () => {
  const trackingOf = (
    groups: ModelText['groups'],
    ends: string,
    what: string,
    family: 4 | 6 = 4,
  ): Tracking | undefined => {
    const network = networkOf({
      groups,
      interfaces: {
        x: { addresses: ['10.0.0.1', 'fd00::1'], groups: Object.keys(groups) },
      },
    });
    return ask(network, ends, what).answers.find((one) => one.family === family)?.gates[0].tracking;
  };
  const IN = '198.51.100.7 -> x';
  const OUT = 'x -> 198.51.100.7';

  test('untracked, with the two rules that make it so', () => {
    const groups = { a: { ingress: ['tcp 80 from 0.0.0.0/0'], egress: [] }, b: {} };
    const tracking = trackingOf(groups, IN, 'tcp 80');
    assert.ok(tracking?.kind === 'untracked');
    assert.equal(tracking.why, 'a rule for 0.0.0.0/0 admits it, and another one every answer');
    assert.deepEqual(
      tracking.rules.map(({ group, text }) => [group.name, text]),
      [
        ['a', 'tcp 80 from 0.0.0.0/0'],
        ['b', 'all to 0.0.0.0/0'],
      ],
    );
  });

  const tracked: readonly (readonly [string, ModelText['groups'], string, string, string])[] = [
    [
      'only a narrow rule admits it',
      { g: { ingress: ['tcp 22 from 198.51.100.0/24'] } },
      IN,
      'tcp 22',
      'no ingress rule for 0.0.0.0/0 admits tcp 22',
    ],
    [
      'the answers have no rule for all ports',
      { g: { ingress: ['tcp 80 from 0.0.0.0/0'], egress: ['tcp 1024-65535 to 0.0.0.0/0'] } },
      IN,
      'tcp 80 from 1024',
      'no egress rule for 0.0.0.0/0 admits all of tcp',
    ],
    [
      'two halves of everywhere are not everywhere',
      { g: { ingress: ['udp 53 from 0.0.0.0/1', 'udp 53 from 128.0.0.0/1'] } },
      IN,
      'udp 53',
      'no ingress rule for 0.0.0.0/0 admits udp 53',
    ],
    [
      'an outgoing flow, with no way in for all answers',
      { g: { ingress: ['tcp 80 from 0.0.0.0/0'] } },
      OUT,
      'tcp 443 from 40000',
      'no ingress rule for 0.0.0.0/0 admits all of tcp, or port 40000',
    ],
    ['ICMP', { g: { ingress: ['all from 0.0.0.0/0'] } }, IN, 'icmp 8/0', 'ICMP always is'],
    [
      'another protocol',
      { g: { ingress: ['all from 0.0.0.0/0'] } },
      IN,
      '50',
      'only TCP and UDP are ever untracked',
    ],
  ];
  for (const [name, groups, ends, what, why] of tracked) {
    test(`tracked: ${name}`, () => {
      const tracking = trackingOf(groups, ends, what);
      assert.equal(tracking?.kind, 'tracked');
      assert.equal(tracking.why, why);
    });
  }

  test('to the platform: tracked, since no rule lets the answer in', () => {
    const tracking = trackingOf(
      { g: { ingress: ['all from 0.0.0.0/0'] } },
      'x -> 169.254.169.254',
      'udp 53',
    );
    assert.equal(tracking?.kind, 'tracked');
    assert.equal(tracking.why, 'the answer has no rule to live by but its flow');
  });

  test('an ICMP message that neither asks nor answers', () => {
    const tracking = trackingOf({ g: { ingress: ['all from 0.0.0.0/0'] } }, IN, 'icmp 3/1');
    assert.deepEqual(tracking, {
      kind: 'none',
      why: 'an ICMP message that neither asks nor answers makes no flow',
    });
  });

  test('where it hangs on the source port, the ports are told', () => {
    const groups = {
      g: {
        ingress: ['tcp 80 from 0.0.0.0/0', 'tcp 81-90 from 0.0.0.0/0', 'tcp 443 from 0.0.0.0/0'],
      },
    };
    const tracking = trackingOf(groups, OUT, 'tcp 443');
    assert.ok(tracking?.kind === 'depends');
    assert.deepEqual(tracking.untrackedSourcePorts, [
      [80, 90],
      [443, 443],
    ]);
    assert.equal(tracking.why, 'no ingress rule for 0.0.0.0/0 admits all of tcp');
    assert.equal(trackingOf(groups, OUT, 'tcp 443 from 85')?.kind, 'untracked');
    assert.equal(trackingOf(groups, OUT, 'tcp 443 from 91')?.kind, 'tracked');
  });

  test('each family by its own rules', () => {
    const groups = {
      g: { ingress: ['tcp 80 from 0.0.0.0/0', 'tcp 80 from ::/0'], egress: ['all to ::/0'] },
    };
    assert.equal(trackingOf(groups, '2001:db8::7 -> x', 'tcp 80', 6)?.kind, 'untracked');
    const four = trackingOf(groups, IN, 'tcp 80');
    assert.equal(four?.kind, 'tracked');
    assert.equal(four.why, 'no egress rule for 0.0.0.0/0 admits all of tcp');
  });

  test('the idle times are those of the flow table', () => {
    const timeoutsMs = new Int32Array(STATE_COUNT);
    // What test/support/policy.ts gives its interfaces.
    setTimeouts(timeoutsMs, 0, { tcpEstablishedSec: 432000, udpSec: 30, udpStreamSec: 180 });
    const groups = { g: { ingress: ['all from 198.51.100.0/24'] } };
    const secondsOf = (what: string): number[] => {
      const tracking = trackingOf(groups, IN, what);
      assert.ok(tracking?.kind === 'tracked');
      return tracking.idle.map(({ seconds }) => seconds);
    };
    const states = (...list: number[]): number[] => list.map((state) => timeoutsMs[state] / 1000);
    assert.deepEqual(secondsOf('tcp 80'), states(TCP_SYN_SENT, TCP_ESTABLISHED));
    assert.deepEqual(secondsOf('udp 53'), states(UDP_SINGLE, UDP_STREAM));
    assert.deepEqual(secondsOf('icmp 8/0'), states(ICMP_QUERY_FLOW));
    assert.deepEqual(secondsOf('50'), states(OTHER));
  });
});

describe('checks and notes', () => {
  test('the checks are told in order, up to the one that refuses', () => {
    const checks = (ends: string): string[] =>
      ask(THREE, ends, 'tcp 80').answers[0].checks.map(({ check, outcome, why }) =>
        [check, outcome, why].join(': '),
      );
    assert.deepEqual(checks('web -> 198.51.100.7'), [
      'link-scope: passed: 198.51.100.7 is beyond the link',
      'martian: passed: both addresses may be on a wire',
      'source-check: passed: 10.0.0.11 is an address of web',
      'no-route: passed: 198.51.100.7 is reached by the uplink',
    ]);
    assert.deepEqual(checks('10.0.0.11 -> app'), [
      'link-scope: passed: 10.0.0.12 is beyond the link',
      'martian: passed: both addresses may be on a wire',
      'uplink-spoof: refused: 10.0.0.11 comes from outside and is an address of web',
    ]);
    assert.deepEqual(checks('web -> 224.0.0.251'), [
      "link-scope: refused: 224.0.0.251 ends at the link: groups don't filter it, and it is not forwarded",
    ]);
    assert.equal(
      checks('web -> 0.0.0.0').at(-1),
      'martian: refused: no packet on a wire has 0.0.0.0 as its destination',
    );
  });

  test('notes', () => {
    const notes = (ends: string, what: string): readonly string[] =>
      ask(THREE, ends, what).answers[0].notes;
    assert.deepEqual(notes('web -> db', 'tcp 5432'), []);
    assert.deepEqual(notes('app -> db', 'tcp 5432'), [
      'app has 2 IPv4 addresses; ask about another by naming it',
    ]);
    assert.deepEqual(notes('web -> web', 'tcp 5432'), [
      'what web sends to itself stays inside and meets no gate',
    ]);
    assert.deepEqual(notes('web -> db', 'icmp 3/4'), [
      'an ICMP error about a flow that a gate knows passes that gate without a rule',
    ]);
    assert.deepEqual(notes('web -> db', 'icmp 0/0'), [
      'the reply to a query that a gate has let through passes that gate without a rule',
    ]);
  });

  test('the address of an interface that is named is the one taken', () => {
    const address: Address = mustAddress('10.0.0.22');
    const { answers, notAsked } = explain(THREE, {
      from: { kind: 'interface', interfaceId: 'eni-app', address },
      to: { kind: 'interface', interfaceId: 'eni-db' },
      service: service('tcp 5432'),
    });
    assert.deepEqual(
      answers.map(({ from }) => from.address),
      ['10.0.0.22'],
    );
    assert.deepEqual(notAsked, [{ family: 6, why: '10.0.0.22 is an IPv4 address' }]);
  });

  test('an interface that is fenced is told as such, whatever the rules say', () => {
    const why = 'its lease of the store ran out';
    const fenced = { interfaces: new Set(['eni-db']), why };
    const network = { ...THREE, model: { ...THREE.model, fenced } };
    const ask = (from: string, to: string): readonly unknown[] => {
      const ends = {
        from: { kind: 'interface', interfaceId: from },
        to: { kind: 'interface', interfaceId: to },
      } as const;
      const { answers } = explain(network, { ...ends, service: service('tcp 5432') });
      return answers.flatMap(({ reason, gates }) => [reason, gates.map((gate) => gate.why).join(' / ')]); // prettier-ignore
    };
    const [reason, text] = ask('eni-app', 'eni-db');
    assert.equal(reason, 'fenced');
    assert.match(
      String(text),
      / \/ this host may not have db any more: its lease of the store ran out$/,
    );
    assert.equal(ask('eni-db', 'eni-app')[0], 'fenced');
    assert.notEqual(ask('eni-app', 'eni-web')[0], 'fenced');
  });

  test('the reasons are those of the packet path', () => {
    const names = new Set(REASONS.map(([name]) => name));
    assert.deepEqual(
      EXPLAINED_REASONS.filter((name) => !names.has(name)),
      [],
    );
  });
});
