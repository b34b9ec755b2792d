/** Proposals for small worlds, rule by rule: groups, blocks, lists, ranges of ports, names; what is set apart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelOf } from '../../src/learn/proposal-model.ts';
import { THRESHOLDS, type Thresholds } from '../../src/learn/set-apart.ts';
import { findUses } from '../../src/learn/tighten.ts';
import { Conversation } from '../engine/conversation.ts';
import { icmp4, tcp4, udp4, udp6 } from '../packets/build.ts';
import { model, mustCidr } from '../support/policy.ts';
import { linesOf, owner, proposedFor, seePackets, sorted, type Step } from './support.ts';

const OWNERS = [
  owner('web-1', '10.0.0.1', 'fd00::1'),
  owner('web-2', '10.0.0.2', 'fd00::2'),
  owner('db', '10.0.0.3', 'fd00::3'),
];
const WEB = ['10.0.0.1', '10.0.0.2'];

/** A connection that is answered. */
function talk(client: string, server: string, port: number, from = 40_000): readonly Step[] {
  const one = new Conversation(client, from, server, port);
  return [[0, one.syn()], [1, one.synAck()], [2, one.ack('client')]]; // prettier-ignore
}

const apartOf = (steps: readonly Step[], thresholds: Partial<Thresholds>): readonly string[] => {
  const learnt = sorted(seePackets(steps), { given: OWNERS, thresholds: { ...THRESHOLDS, ...thresholds } }); // prettier-ignore
  return learnt.apart.map(({ conversation, reason }) => `${reason} ${conversation.service}`);
};

test('an application: groups name each other, clients are blocks, and who does nothing has nothing', () => {
  const steps = [
    ...WEB.flatMap((web, i) => [
      ...talk('203.0.113.8', web, 443, 40_000 + i),
      ...talk('203.0.113.9', web, 443, 41_000 + i),
      ...talk(web, '10.0.0.3', 5432),
    ]),
  ];
  const learnt = sorted(seePackets(steps), { given: [...OWNERS, owner('idle', '10.0.0.9')] });
  const proposed = proposedFor(learnt);
  assert.deepEqual(linesOf(proposed), [
    'web: web-1 web-2',
    '  tcp 443 from 203.0.113.8/31',
    '  tcp 5432 to sg:db',
    'db: db',
    '  tcp 5432 from sg:web',
    'nothing-seen: idle',
  ]);
  const [web] = proposed.groups;
  assert.equal(
    web.group.ingress[0].description,
    '4 flows, 480 B, 2023-11-14T22:13:20Z, admits the 4 seen, as 203.0.113.8:40000 to 10.0.0.1:443',
  );
});

test('the bound decides whether clients of two interfaces are one rule', () => {
  const steps = [...talk('203.0.113.8', WEB[0], 443), ...talk('203.0.113.11', WEB[1], 443)];
  const learnt = sorted(seePackets(steps), { given: OWNERS.slice(0, 2) });
  assert.deepEqual(linesOf(proposedFor(learnt)), [
    'web-1: web-1',
    '  tcp 443 from 203.0.113.8/32',
    'web-2: web-2',
    '  tcp 443 from 203.0.113.11/32',
  ]);
  assert.deepEqual(linesOf(proposedFor(learnt, { factor: 4 })), [
    'web: web-1 web-2',
    '  tcp 443 from 203.0.113.8/30',
  ]);
});

test('neighbouring ports are a range, many blocks a list, and both families have rules', () => {
  const ports = [8000, 8001, 8002, 8004].flatMap((port) => talk('203.0.113.8', WEB[0], port));
  const clients = [1, 5, 9, 13, 17, 21].flatMap((i) => talk(`198.51.100.${i}`, WEB[0], 22));
  const six: Step = [5, udp6('fd00::1', '2001:db8::53', { srcPort: 40_000, dstPort: 53 })];
  const four: Step = [5, udp4('10.0.0.1', '203.0.113.53', { srcPort: 40_000, dstPort: 53 })];
  const learnt = sorted(seePackets([...ports, ...clients, six, four]), {
    given: OWNERS.slice(0, 1),
  });
  const proposed = proposedFor(learnt);
  assert.deepEqual(linesOf(proposed), [
    'web-1: web-1',
    '  tcp 22 from pl:web-1-tcp-22-from',
    '  tcp 8000-8002 from 203.0.113.8/32',
    '  tcp 8004 from 203.0.113.8/32',
    '  udp 53 to 2001:db8::53/128',
    '  udp 53 to 203.0.113.53/32',
  ]);
  assert.equal(proposed.lists[0].entries.length, 6);
});

test('what is declared open is open, and what is not is not', () => {
  const steps = [...talk('203.0.113.8', WEB[0], 443), ...talk('198.51.100.1', WEB[1], 443)];
  const learnt = sorted(seePackets(steps), { given: OWNERS.slice(0, 2) });
  const open = [{ direction: 'ingress', protocol: 6, service: 443 }] as const;
  const proposed = proposedFor(learnt, { open });
  assert.deepEqual(linesOf(proposed), ['web: web-1 web-2', '  tcp 443 from 0.0.0.0/0']);
  assert.match(proposed.groups[0].group.ingress[0].description, /2 seen, admits everybody/);
});

test('without names: groups are called by what they offer', () => {
  const steps = [...talk('10.0.0.1', '10.0.0.3', 5432), ...talk('10.0.0.2', '10.0.0.3', 5432)];
  const ping: Step = [3, icmp4('203.0.113.9', '10.0.0.3', { type: 8, code: 0, id: 1 })];
  assert.deepEqual(linesOf(proposedFor(sorted(seePackets([...steps, ping])))), [
    'asks-tcp-5432: ip-10-0-0-1 ip-10-0-0-2',
    '  tcp 5432 to sg:offers-icmp-type-8-code-0',
    'offers-icmp-type-8-code-0: ip-10-0-0-3',
    '  icmp type 8 code 0 from 203.0.113.9/32',
    '  tcp 5432 from sg:asks-tcp-5432',
  ]);
  const blocks = [mustCidr('10.0.0.3/32')];
  assert.deepEqual(linesOf(proposedFor(sorted(seePackets(steps), { blocks }))), [
    'offers-tcp-5432: ip-10-0-0-3',
    '  tcp 5432 from 10.0.0.1/32',
    '  tcp 5432 from 10.0.0.2/32',
  ]);
});

test('set apart: scanners, what was never answered, one-offs, and services of few days', () => {
  const syn = (port: number): Step => [port, tcp4('203.0.113.66', WEB[0], { srcPort: 40_000, dstPort: port, flags: 'S' })]; // prettier-ignore
  const scan = Array.from({ length: 19 }, (_, i) => syn(i + 1));
  const found = talk('203.0.113.66', WEB[0], 443);
  assert.deepEqual(
    apartOf([...scan, ...found], { minFlows: 1 }).filter((one) => !one.startsWith('scanner')),
    [],
  );
  // One place fewer, and it is no scanner: what answered is proposed.
  assert.deepEqual(
    apartOf([...scan.slice(1), ...found], { minFlows: 1 }).filter(
      (one) => !one.startsWith('unanswered'),
    ),
    [],
  );
  const reasons = apartOf([...scan.slice(1), ...found], { minFlows: 1, keepsUnanswered: true });
  assert.deepEqual(reasons, []);
  assert.deepEqual(apartOf(found, {}), ['one-off 443']);
  assert.deepEqual(apartOf([...found, ...talk('203.0.113.67', WEB[0], 443)], {}), []);
  const twice = [...found, ...talk('203.0.113.67', WEB[0], 443)];
  assert.deepEqual(apartOf(twice, { minDays: 2 }), ['few-days 443', 'few-days 443']);
  const day = 86_400_000;
  const next = talk('203.0.113.66', WEB[0], 443, 40_005).map(([ms, packet]): Step => [ms + day, packet]); // prettier-ignore
  assert.deepEqual(apartOf([...twice, ...next], { minDays: 2 }), []);
});

test('tighten: what was never used, what is too wide, what others admit, what only scanners used', () => {
  const text = {
    groups: {
      web: {
        ingress: [
          'tcp 443 from 0.0.0.0/0',
          'tcp 22 from 10.0.0.0/8',
          'tcp 1-65535 from 198.51.100.0/24',
        ],
        egress: ['tcp 5432 to sg:db', 'tcp 5432 to 10.0.0.3/32'],
      },
      db: { ingress: ['tcp 5432 from sg:web'], egress: [] },
    },
    interfaces: {
      'web-1': { addresses: ['10.0.0.1'], groups: ['web'] },
      db: { addresses: ['10.0.0.3'], groups: ['db'] },
    },
  };
  const existing = model(text);
  const scanned: Step = [9, tcp4('198.51.100.7', '10.0.0.1', { srcPort: 40_000, dstPort: 99, flags: 'S' })]; // prettier-ignore
  const steps = [...talk('203.0.113.8', '10.0.0.1', 443), ...talk('10.0.0.1', '10.0.0.3', 5432), scanned]; // prettier-ignore
  const given = [owner('web-1', '10.0.0.1'), owner('db', '10.0.0.3')];
  const found = findUses(sorted(seePackets(steps), { given }), existing, 4).map(
    ({ group, text: words, use, narrower, others }) =>
      [`${group.name} ${words}: ${use}`, ...narrower, ...others].join(', '),
  );
  assert.deepEqual(found, [
    'web tcp 443 from 0.0.0.0/0: could-be-narrower, tcp 443 from 203.0.113.8/32',
    'web tcp 22 from 10.0.0.0/8: never-used',
    'web tcp 1-65535 from 198.51.100.0/24: set-apart-only',
    'web tcp 5432 to sg:db: redundant, tcp 5432 to 10.0.0.3/32',
    'web tcp 5432 to 10.0.0.3/32: redundant, tcp 5432 to sg:db',
    'db tcp 5432 from sg:web: used',
  ]);
});

test('a proposal changes the groups of interfaces, and nothing else of them but audit', () => {
  const existing = model({
    groups: { all: { ingress: ['all from 0.0.0.0/0'] } },
    interfaces: { 'web-1': { addresses: ['10.0.0.1'], groups: ['all'], sourceDestCheck: false, audit: true } }, // prettier-ignore
  });
  const learnt = sorted(seePackets(talk('203.0.113.8', '10.0.0.1', 443)), { given: [owner('web-1', '10.0.0.1')] }); // prettier-ignore
  const made = modelOf(proposedFor(learnt), existing.interfaces).interfaces.get('eni-web-1')!;
  assert.deepEqual([made.sourceDestCheck, made.audit, made.groupIds.length], [false, undefined, 1]);
  assert.notEqual(made.groupIds[0], 'sg-all');
});
