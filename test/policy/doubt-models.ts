/** Draws models with unknowns of every kind, for property tests. */
import fc from 'fast-check';
import { makeAuditAll } from '../../src/policy/audit.ts';
import type {
  Direction,
  NetworkInterface,
  Peer,
  PolicyModel,
  PossibleRule,
  PrefixList,
  Rule,
  SecurityGroup,
} from '../../src/policy/model.ts';
import { mustAddress, mustCidr } from '../support/policy.ts';

const origin = { file: 'x', line: 1, column: 1, path: '' };
export const GROUPS = ['sg-a', 'sg-b', 'sg-c'];
export const INTERFACES = ['eni-a', 'eni-b'];
export const BLOCKS = [
  '0.0.0.0/0',
  '10.0.0.0/8',
  '10.0.0.0/24',
  '10.0.0.0/25',
  '10.0.1.0/24',
  '172.16.0.0/12',
].map(mustCidr);
export const ADDRESSES = ['10.0.0.4', '10.0.0.200', '10.0.1.4', '172.16.0.9'].map(mustAddress);

const peers: fc.Arbitrary<Peer> = fc.oneof(
  fc.constantFrom(...BLOCKS).map((block): Peer => ({ kind: 'cidr', cidr: block })),
  fc.constantFrom(...GROUPS).map((groupId): Peer => ({ kind: 'group', groupId })),
  fc.constant<Peer>({ kind: 'prefixList', prefixListId: 'pl-a' }),
);

export const rules: fc.Arbitrary<Rule> = fc
  .record({
    direction: fc.constantFrom<Direction>('ingress', 'egress'),
    fromPort: fc.constantFrom(1, 2),
    peer: peers,
  })
  .map(({ direction, fromPort, peer }) => {
    const id = `sgr-${direction}-${fromPort}-${JSON.stringify(peer)}`;
    return { id, direction, protocol: 6, fromPort, toPort: 2, peer, description: '', origin };
  });

const few = <T>(items: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(items, { maxLength: 2 });
const reasons = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.constant(['why']) },
);

const seldom = fc.oneof(
  { weight: 7, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
);

const group = (id: string): fc.Arbitrary<SecurityGroup> =>
  fc
    .record({
      rules: few(rules),
      possible: few(rules),
      audited: few(rules),
      audit: seldom,
      ingress: reasons,
      egress: reasons,
      members: reasons,
    })
    .map((drawn) => ({
      ...{ id, name: id, description: '', origin },
      ingress: drawn.rules.filter(({ direction }) => direction === 'ingress'),
      egress: drawn.rules.filter(({ direction }) => direction === 'egress'),
      gaps: { ingress: drawn.ingress, egress: drawn.egress },
      possible: drawn.possible.map((rule): PossibleRule => ({ ...rule, why: 'perhaps' })),
      memberGaps: drawn.members,
      audited: [
        ...drawn.audited.map((rule): Rule => ({ ...rule, id: `${rule.id}-audit`, audit: true })),
        ...(drawn.audit ? makeAuditAll(id, origin) : []),
      ],
    }));

const network = (id: string, i: number): fc.Arbitrary<NetworkInterface> =>
  fc
    .record({
      groupIds: fc.subarray(GROUPS, { maxLength: 2 }),
      maybe: fc.oneof(
        { weight: 2, arbitrary: fc.constant<string[]>([]) },
        { weight: 1, arbitrary: fc.subarray(GROUPS) },
      ),
      gaps: reasons,
      audit: seldom,
      within: fc.option(fc.constantFrom(mustCidr('10.0.0.0/24'), mustCidr('10.0.0.0/8'))),
    })
    .map(({ groupIds, maybe, gaps, audit, within }) => ({
      ...(audit ? { audit: true as const } : {}),
      ...{ id, name: id, addresses: [ADDRESSES[i]], groupIds, sourceDestCheck: true, origin },
      connectionTracking: {
        tcpEstablishedTimeoutSec: 60,
        udpTimeoutSec: 30,
        udpStreamTimeoutSec: 60,
      },
      doubt: {
        groups: new Map(
          maybe.filter((one) => !groupIds.includes(one)).map((one) => [one, 'perhaps']),
        ),
        gaps,
        ...(within === null ? {} : { within: [within] }),
      },
    }));

const list: fc.Arbitrary<PrefixList> = fc
  .record({ blocks: fc.subarray(BLOCKS, { maxLength: 2 }), gaps: reasons })
  .map(({ blocks, gaps }) => ({
    ...{ id: 'pl-a', name: 'pl-a', family: 4, maxEntries: 9, gaps, origin },
    entries: blocks.map((block) => ({ cidr: block, description: '' })),
  }));

export const models: fc.Arbitrary<PolicyModel> = fc
  .record({
    groups: fc.tuple(...GROUPS.map(group)),
    interfaces: fc.tuple(...INTERFACES.map(network)),
    list,
  })
  .map(({ groups, interfaces, list: one }) => ({
    groups: new Map(groups.map((each) => [each.id, each])),
    prefixLists: new Map([[one.id, one]]),
    interfaces: new Map(interfaces.map((each) => [each.id, each])),
    isElsewhere: true,
  }));
