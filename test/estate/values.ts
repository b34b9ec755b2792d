/** Values of the estate, made up by fast-check. */
import fc from 'fast-check';
import { maskWords, type Address, type Cidr } from '../../src/addr/address.ts';
import { LIST_CHANGES } from '../../src/estate/model.ts';
import type {
  EstateFlowLog,
  EstateGroup,
  EstateInterface,
  EstatePrefixList,
  EstateSubnet,
  EstateVpc,
  InsightsAnalysis,
  InsightsPath,
} from '../../src/estate/model.ts';
import { estateOrigin } from '../../src/estate/rows.ts';
import { ANY, PROTOCOL_ALL, type Peer, type Rule } from '../../src/policy/model.ts';

const record = <T extends object>(members: {
  [K in keyof T]: fc.Arbitrary<T[K]>;
}): fc.Arbitrary<T> => fc.record(members, { noNullPrototype: true }) as fc.Arbitrary<T>;
const hex = fc.string({
  unit: fc.constantFrom(...'0123456789abcdef'),
  minLength: 17,
  maxLength: 17,
});
export const idOf = (prefix: string): fc.Arbitrary<string> =>
  hex.map((digits) => `${prefix}-${digits}`);
const text = fc.string({ unit: 'binary', maxLength: 20 });
const tags = fc.uniqueArray(record({ key: text, value: text }), {
  selector: ({ key }) => key,
  maxLength: 3,
});
const owned = {
  tags,
  declaredAt: fc.option(record({ host: text, file: text, line: fc.nat() }), { nil: undefined }),
};
const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const address: fc.Arbitrary<Address> = fc.oneof(
  fc.tuple(word).map((words) => ({ family: 4 as const, words })),
  fc.tuple(word, word, word, word).map((words) => ({ family: 6 as const, words })),
);
const cidr: fc.Arbitrary<Cidr> = fc.tuple(address, fc.nat(128)).map(([{ family, words }, bits]) => {
  const length = family === 4 ? bits % 33 : bits;
  return { family, length, words: maskWords(words, length) };
});
const block = record({ associationId: text, cidr });

/** Without optional members that are undefined, as a row gives it back. */
function lean<T extends object>(value: T): T {
  const optional = ['declaredAt', 'owner', 'moved', 'generation'];
  const kept = Object.entries(value).filter(
    ([key, one]) => !optional.includes(key) || one !== undefined,
  );
  return Object.fromEntries(kept) as T;
}

const peer: fc.Arbitrary<Peer> = fc.oneof(
  cidr.map((one) => ({ kind: 'cidr' as const, cidr: one })),
  idOf('pl').map((prefixListId) => ({ kind: 'prefixList' as const, prefixListId })),
  idOf('sg').map((groupId) => ({ kind: 'group' as const, groupId })),
);

const service = fc.oneof(
  fc.constant({ protocol: PROTOCOL_ALL, fromPort: ANY, toPort: ANY }),
  record({
    protocol: fc.constantFrom(6, 17),
    fromPort: fc.nat(100),
    toPort: fc.integer({ min: 100, max: 65_535 }),
  }),
  record({
    protocol: fc.constantFrom(1, 58, 50),
    fromPort: fc.constant(ANY),
    toPort: fc.constant(ANY),
  }),
);

export const groups: fc.Arbitrary<EstateGroup> = record({
  id: idOf('sg'),
  vpcId: idOf('vpc'),
  name: text,
  description: text,
  rules: fc.array(
    record({
      id: idOf('sgr'),
      isIngress: fc.boolean(),
      service,
      peer,
      description: text,
      tags,
    }),
  ),
  ...owned,
}).map(({ id, vpcId, name, description, rules: given, ...rest }) => {
  const rules = given.map(({ id: ruleId, isIngress, service: one, ...rule }): Rule => ({
    id: ruleId,
    direction: isIngress ? 'ingress' : 'egress',
    ...one,
    peer: rule.peer,
    description: rule.description,
    origin: { ...estateOrigin(id), path: `${id}/${ruleId}` },
  }));
  return lean({
    group: {
      id,
      name,
      vpc: { id: vpcId, name: vpcId },
      description,
      ingress: rules.filter(({ direction }) => direction === 'ingress'),
      egress: rules.filter(({ direction }) => direction === 'egress'),
      origin: estateOrigin(id),
    },
    ruleTags: new Map(
      given.flatMap((rule) => (rule.tags.length === 0 ? [] : [[rule.id, rule.tags]])),
    ),
    ...rest,
  }) as EstateGroup;
});

export const vpcs = record({
  id: idOf('vpc'),
  blocks: fc.array(block),
  isDefault: fc.boolean(),
  enableDnsHostnames: fc.boolean(),
  enableDnsSupport: fc.boolean(),
  enableNetworkAddressUsageMetrics: fc.boolean(),
  ...owned,
}).map((value) => lean(value) as EstateVpc);

export const subnets = record({
  id: idOf('subnet'),
  vpcId: idOf('vpc'),
  cidr,
  ipv6: fc.option(block, { nil: undefined }),
  zone: text,
  isDefault: fc.boolean(),
  mapPublicIpOnLaunch: fc.boolean(),
  assignIpv6AddressOnCreation: fc.boolean(),
  ...owned,
}).map((value) => lean(value) as EstateSubnet);

const entries = fc.array(record({ cidr, description: text }), { maxLength: 4 });

export const prefixLists = record({
  id: idOf('pl'),
  name: text,
  family: fc.constantFrom(4 as const, 6 as const),
  maxEntries: fc.nat(),
  version: fc.nat(),
  entries,
  lastChange: fc.constantFrom(...LIST_CHANGES),
  former: fc.array(fc.tuple(fc.nat(), entries), { maxLength: 3 }),
  ...owned,
}).map(
  ({ lastChange, former, tags: given, declaredAt, ...list }) =>
    lean({
      list: { ...list, origin: estateOrigin(list.id) },
      lastChange,
      former: new Map(former),
      tags: given,
      declaredAt,
    }) as EstatePrefixList,
);

export const interfaces = record({
  id: idOf('eni'),
  vpcId: idOf('vpc'),
  subnetId: fc.option(idOf('subnet'), { nil: undefined }),
  addresses: fc.array(address),
  groupIds: fc.array(idOf('sg')),
  description: text,
  sourceDestCheck: fc.boolean(),
  connectionTracking: fc.option(record({ udpTimeoutSec: fc.integer({ min: 30, max: 60 }) }), {
    nil: undefined,
  }),
  macAddress: text,
  attachment: fc.option(
    record({
      id: text,
      host: text,
      instanceId: text,
      deviceIndex: fc.nat(),
      attachedAt: text,
      isByTags: fc.boolean(),
      owner: fc.option(text, { nil: undefined }),
      moved: fc.option(record({ from: text, isHeld: fc.boolean() }), { nil: undefined }),
      device: record({
        kind: fc.constantFrom('tun' as const, 'tap' as const),
        name: text,
        netns: fc.option(text, { nil: undefined }),
        mtu: fc.integer({ min: 576, max: 65_535 }),
        configure: fc.boolean(),
        persist: fc.boolean(),
      }),
    }).map(lean),
    { nil: undefined },
  ),
  generation: fc.option(fc.nat(), { nil: undefined }),
  owner: fc.option(text, { nil: undefined }),
  ...owned,
}).map((value) => lean(value) as EstateInterface);

const optional = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(values, { nil: undefined });

export const paths = record({
  id: idOf('nip'),
  source: text,
  destination: optional(text),
  sourceIp: optional(text),
  destinationIp: optional(text),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
  sourcePort: optional(fc.nat()),
  destinationPort: optional(fc.nat()),
  createdAt: text,
  ...owned,
}).map((value) => lean(value) as InsightsPath);

export const analyses = record({
  id: idOf('nia'),
  pathId: idOf('nip'),
  startedAt: text,
  isFound: fc.boolean(),
  output: record({ Status: text, NetworkPathFound: fc.boolean() }),
  ...owned,
}).map((value) => lean(value) as InsightsAnalysis);

export const flowLogs = record({
  id: idOf('fl'),
  resourceId: idOf('vpc'),
  traffic: fc.constantFrom('ALL' as const, 'ACCEPT' as const, 'REJECT' as const),
  format: text,
  aggregationSec: fc.constantFrom(60 as const, 600 as const),
  destinationType: text,
  destination: optional(text),
  logGroupName: optional(text),
  accountId: text,
  region: text,
  createdAt: text,
  ...owned,
}).map((value) => lean(value) as EstateFlowLog);
