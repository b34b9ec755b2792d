/** Sets of services against sets of single packets, and their text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ANY, type Rule } from '../../src/policy/model.ts';
import { admitsProtocol } from '../../src/policy/reference.ts';
import {
  EVERY_SERVICE,
  intersect,
  servicesOf,
  serviceTexts,
  subtract,
  unite,
  type ServiceSet,
} from '../../src/policy/service-set.ts';

type Facts = Pick<Rule, 'protocol' | 'fromPort' | 'toPort'>;

const facts: fc.Arbitrary<Facts> = fc.oneof(
  fc.constant({ protocol: -1, fromPort: ANY, toPort: ANY }),
  fc.constantFrom(0, 5, 7, 47, 255).map((protocol) => ({ protocol, fromPort: ANY, toPort: ANY })),
  fc.tuple(fc.constantFrom(6, 17), fc.nat({ max: 9 }), fc.nat({ max: 9 })).map(([protocol, a, b]) => ({ protocol, fromPort: Math.min(a, b), toPort: Math.max(a, b) })),
  fc.constant({ protocol: 6, fromPort: 0, toPort: 65535 }),
  fc.tuple(fc.constantFrom(1, 58), fc.constantFrom(ANY, 0, 8, 255), fc.constantFrom(ANY, 0, 255)).map(([protocol, fromPort, code]) => ({ protocol, fromPort, toPort: fromPort === ANY ? ANY : code })),
); // prettier-ignore

/** Packets at all the edges. */
const PACKETS = [0, 1, 5, 6, 7, 17, 47, 58, 255].flatMap((protocol) =>
  [0, 1, 8, 9, 255].flatMap((a) =>
    (protocol === 1 || protocol === 58 ? [0, 1, 255] : [0]).map((b) => ({
      ...{ protocol, port: a, icmpType: a, icmpCode: b },
      remote: { family: 4 as const, words: [0] },
    })),
  ),
);

function has(set: ServiceSet, packet: (typeof PACKETS)[number]): boolean {
  const { protocol, port, icmpType, icmpCode } = packet;
  const isIcmp = protocol === 1 || protocol === 58;
  const at = protocol * 65536 + (isIcmp ? icmpType * 256 + icmpCode : port);
  return set.some(([first, last]) => first <= at && at <= last);
}

test('united, intersected and subtracted, they have the packets that rules admit', () => {
  const admits = (rules: readonly Facts[], packet: (typeof PACKETS)[number]): boolean =>
    rules.some((rule) => admitsProtocol(rule as Rule, packet));
  fc.assert(
    fc.property(
      fc.array(facts, { maxLength: 4 }),
      fc.array(facts, { maxLength: 4 }),
      (some, others) => {
        const [one, other] = [some, others].map((rules) => unite(rules.map(servicesOf)));
        for (const packet of PACKETS) {
          const [a, b] = [admits(some, packet), admits(others, packet)];
          assert.deepEqual(
            [
              has(one, packet),
              has(unite([one, other]), packet),
              has(intersect(one, other), packet),
              has(subtract(one, other), packet),
            ],
            [a, a || b, a && b, a && !b],
          );
        }
      },
    ),
  );
});

test('their text', () => {
  const tcp = (from: number, to: number): ServiceSet =>
    servicesOf({ protocol: 6, fromPort: from, toPort: to });
  const icmp = (type: number, code: number): ServiceSet =>
    servicesOf({ protocol: 1, fromPort: type, toPort: code });
  const texts = (set: ServiceSet): string => serviceTexts(set).join('; ');
  assert.equal(texts(EVERY_SERVICE), 'everything');
  assert.equal(
    texts(unite([tcp(22, 22), tcp(80, 90), icmp(8, ANY), icmp(3, 4)])),
    'icmp type 3 code 4, type 8; tcp 22, 80-90',
  );
  assert.equal(texts(tcp(0, 65535)), 'all of tcp');
  assert.equal(
    texts(subtract(EVERY_SERVICE, tcp(22, 22))),
    'tcp 0-21, 23-65535; all of icmp; all of udp; all of icmpv6; other protocols from 0 to 5; other protocols from 7 to 255',
  );
  assert.equal(texts(servicesOf({ protocol: 47, fromPort: ANY, toPort: ANY })), 'protocol 47');
  assert.deepEqual(serviceTexts([]), []);
});
