/** What a new flow costs, and whether it or a decision gets dearer with the number of rules, prefixes or members. */
import { udp4 } from '../../packets/build.ts';
import type { ModelText } from '../../support/policy.ts';
import { Bed, makeFlows, shuffled, word, type Flows } from './bed.ts';
import type { Case, CaseContext } from './case.ts';

const INSIDE = '10.0.0.12';
const OUTSIDE = '198.51.100.7';
const INSIDE_WORD = word(10, 0, 0, 12);
const UPLINK = 0;
const PORTS = { srcPort: 1, dstPort: 53 };
const FEW = 10;
const MANY = 10_000;

/**
 * Rule i of as many as one likes: four prefix lengths in turn, single ports and ranges, so that 10 rules have
 * the same shape as 10,000.
 */
function ruleOf(i: number): { text: string; flow: readonly [source: number, port: number] } {
  const octets = [20 + (i >>> 12), (i >>> 4) & 0xff, (i & 0xf) << 4, 0] as const;
  const length = [32, 28, 24, 20][i & 3];
  const port = 1000 + ((i * 7) % 60_000);
  const last = i % 5 === 0 ? port + 9 : port;
  const address = length === 32 ? [octets[0], octets[1], octets[2], 5] : octets;
  const masked = length === 20 ? [octets[0], octets[1], octets[2] & 0xf0, 0] : address;
  return {
    text: `udp ${port}-${last} from ${masked.join('.')}/${length}`,
    flow: [word(masked[0], masked[1], masked[2], masked[3] | (length === 32 ? 0 : 1)), port],
  };
}

/** Flows through an interface's rules, round and round, each from a source port of its own. */
function manyRules(count: number, flowCount: number): { text: ModelText; flows: Flows } {
  const rules = Array.from({ length: count }, (_, i) => ruleOf(i));
  return {
    text: {
      groups: { app: { ingress: rules.map(({ text }) => text) } },
      interfaces: { app: { addresses: [INSIDE], groups: ['app'] } },
    },
    flows: makeFlows(flowCount, (i) => {
      const [source, port] = rules[i % count].flow;
      return [source, INSIDE_WORD, ((i & 0xffff) << 16) | port];
    }),
  };
}

function prefixList(count: number, flowCount: number): { text: ModelText; flows: Flows } {
  const entries = Array.from({ length: count }, (_, i) => [
    20 + (i >>> 16),
    (i >>> 8) & 0xff,
    i & 0xff,
  ]);
  return {
    text: {
      groups: { app: { ingress: ['udp 53 from pl:list'] } },
      prefixLists: { list: entries.map((octets) => `${octets.join('.')}.0/24`) },
      interfaces: { app: { addresses: [INSIDE], groups: ['app'] } },
    },
    flows: makeFlows(flowCount, (i) => {
      const [a, b, c] = entries[i % count];
      return [word(a, b, c, 9), INSIDE_WORD, ((i & 0xffff) << 16) | 53];
    }),
  };
}

/**
 * Members are the addresses of one interface in the group, so that a batch that comes in by it has many senders in it.
 */
function groupMembers(count: number, flowCount: number): { text: ModelText; flows: Flows } {
  const addresses = Array.from({ length: count }, (_, i) => [
    10,
    1 + (i >>> 16),
    (i >>> 8) & 0xff,
    i & 0xff,
  ]);
  return {
    text: {
      groups: { web: {}, app: { ingress: ['udp 53 from sg:web'] } },
      interfaces: {
        app: { addresses: [INSIDE], groups: ['app'] },
        web: { addresses: addresses.map((octets) => octets.join('.')), groups: ['web'] },
      },
    },
    flows: makeFlows(flowCount, (i) => {
      const [a, b, c, d] = addresses[i % count];
      return [word(a, b, c, d), INSIDE_WORD, ((i & 0xffff) << 16) | 53];
    }),
  };
}

const PACKET = udp4(OUTSIDE, INSIDE, { ...PORTS, payload: 'x'.repeat(18) });

/** Port of the interface whose addresses are the members. */
const MEMBER = 2;

const SHAPES = [
  { noun: 'rules', make: manyRules, port: UPLINK },
  { noun: 'prefixes', make: prefixList, port: UPLINK },
  { noun: 'members', make: groupMembers, port: MEMBER },
] as const;

/** 10 and 10,000 of each take turns. */
export function growthCase(noun: (typeof SHAPES)[number]['noun']): Case {
  return {
    name: `growth-${noun}`,
    run(context) {
      const { isQuick, rounds, add } = context;
      const flowCount = isQuick ? 20_000 : 50_000;
      const { make, port } = SHAPES.find((shape) => shape.noun === noun)!;
      const order = shuffled(flowCount);
      const beds = [FEW, MANY].map((count) => {
        const { text, flows } = make(count, flowCount);
        const bed = new Bed(text, 2 * flowCount);
        bed.setPacket(PACKET);
        return { bed, flows, subject: `${count.toLocaleString('en')} ${noun}` };
      });
      // Round 0 warms up.
      for (let round = 0; round <= rounds; round++) {
        for (const { bed, flows, subject } of beds) {
          const opening = bed.send(flows, order, 0, flowCount, port);
          const deciding = bed.send(flows, order, 0, flowCount, port);
          bed.endFlows();
          if (round === 0) continue;
          add('new flow', subject, 'ns', opening);
          add('decision', subject, 'ns', deciding);
        }
      }
    },
  };
}

/** Between two interfaces, the receiver's with 1,000 rules: two gates, two entries. And from outside: one. */
export const newFlowCase: Case = {
  name: 'new-flow',
  run({ isQuick, rounds, add }: CaseContext) {
    const flowCount = isQuick ? 20_000 : 50_000;
    const { text, flows } = manyRules(1000, flowCount);
    const order = shuffled(flowCount);
    const between = {
      ...text,
      groups: { ...text.groups, web: {} },
      interfaces: {
        ...text.interfaces,
        // Its packets come from the addresses that the rules name.
        web: { addresses: ['10.0.0.11'], groups: ['web'], sourceDestCheck: false },
      },
    };
    const beds = [
      { bed: new Bed(between, 2 * flowCount), metric: 'new flow, two gates', port: 2 },
      { bed: new Bed(text, 2 * flowCount), metric: 'new flow, one gate', port: UPLINK },
    ];
    for (const { bed } of beds) bed.setPacket(PACKET);
    for (let round = 0; round <= rounds; round++) {
      for (const { bed, metric, port } of beds) {
        const ns = bed.send(flows, order, 0, flowCount, port);
        bed.endFlows();
        if (round > 0) add(metric, '1,000 rules', 'ns', ns);
      }
    }
  },
};
