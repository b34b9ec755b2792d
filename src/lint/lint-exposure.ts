/**
 * This rule finds ingress rules that open to the whole internet what only administrators should reach.
 *
 * "The whole internet" is 0.0.0.0/0 for IPv4. For IPv6 it is 2000::/3, which has all global unicast addresses (RFC
 * 4291 section 2.4, IANA registry). So a rule can't evade the check by not writing ::/0. Several blocks that together
 * cover the internet count as well, because people write them to evade such checks.
 */
import { cidrCovers, type Cidr } from '../addr/address.ts';
import { PROTOCOL_ALL, type PolicyModel, type Rule, type SecurityGroup } from '../policy/model.ts';
import { hasPorts, PROTOCOL_TCP, PROTOCOL_UDP, protocolName } from '../policy/protocols.ts';
import { peerText, PORT_MAX, serviceText } from '../policy/rules.ts';
import type { Problem } from '../source/problem.ts';
import { problemAt } from '../policy/problem-at.ts';
import { listTexts, placeKey, type Budget } from './lint-finding.ts';

const INTERNET: readonly Cidr[] = [
  { family: 4, words: [0], length: 0 },
  { family: 6, words: [0x20000000, 0, 0, 0], length: 3 },
];

/** Blocks are put together down to parts that take this many halvings of the internet. */
const HALVINGS_MAX = 12;

interface Service {
  readonly port: number;
  readonly name: string;
  readonly protocols: readonly number[];
}

const TCP = [PROTOCOL_TCP];
const BOTH = [PROTOCOL_TCP, PROTOCOL_UDP];

/** Services that administer a host, or that trust every client. Ports: IANA registry, or the product's default. */
export const ADMIN_SERVICES: readonly Service[] = [
  { port: 22, name: 'SSH', protocols: TCP },
  { port: 23, name: 'Telnet', protocols: TCP },
  { port: 445, name: 'SMB', protocols: TCP },
  { port: 1433, name: 'SQL Server', protocols: TCP },
  { port: 2375, name: 'Docker', protocols: TCP },
  { port: 2376, name: 'Docker with TLS', protocols: TCP },
  { port: 2379, name: 'etcd', protocols: TCP },
  { port: 3306, name: 'MySQL', protocols: TCP },
  { port: 3389, name: 'RDP', protocols: BOTH },
  { port: 5432, name: 'PostgreSQL', protocols: TCP },
  { port: 5900, name: 'VNC', protocols: TCP },
  { port: 5985, name: 'WinRM', protocols: TCP },
  { port: 5986, name: 'WinRM with TLS', protocols: TCP },
  { port: 6379, name: 'Redis', protocols: TCP },
  { port: 9200, name: 'Elasticsearch', protocols: TCP },
  { port: 11211, name: 'Memcached', protocols: BOTH },
  { port: 27017, name: 'MongoDB', protocols: TCP },
];

export function findExposed(model: PolicyModel, budget: Budget): Problem[] {
  return [...model.groups.values()].flatMap((group) => [
    ...findOpen(model, group, budget),
    ...findSplit(model, group, budget),
  ]);
}

/** Finds rules that are open to the internet by one peer. Rules of the same item are reported together. */
function findOpen(model: PolicyModel, group: SecurityGroup, budget: Budget): Problem[] {
  const open = new Map<string, Rule[]>();
  for (const rule of group.ingress) {
    const what = describeService(rule);
    if (what === undefined || !isInternet(blocksOf(model, rule), budget)) continue;
    const key = `${placeKey(rule.origin)} ${what}`;
    open.set(key, [...(open.get(key) ?? []), rule]);
  }
  return [...open.values()].map((rules) => describe(model, rules, ''));
}

/** Finds rules of one service that are open to the internet only together. */
function findSplit(model: PolicyModel, group: SecurityGroup, budget: Budget): Problem[] {
  const byService = new Map<string, Rule[]>();
  for (const rule of group.ingress) {
    const key = serviceText(rule);
    if (describeService(rule) === undefined) continue;
    if (!isInternet(blocksOf(model, rule), budget))
      byService.set(key, [...(byService.get(key) ?? []), rule]);
  }
  return [...byService.values()].flatMap((rules) =>
    INTERNET.flatMap((whole) => {
      const parts = rules.filter((rule) =>
        blocksOf(model, rule).some(
          ({ family, length }) => family === whole.family && length <= whole.length + HALVINGS_MAX,
        ),
      );
      const blocks = parts.flatMap((rule) => blocksOf(model, rule));
      return parts.length > 1 && fills(whole, blocks, budget)
        ? [describe(model, parts, ', together the whole internet')]
        : [];
    }),
  );
}

function describe(model: PolicyModel, rules: readonly Rule[], more: string): Problem {
  const [rule] = rules;
  const peers = listTexts([...new Set(rules.map(({ peer }) => peerText(peer, model)))]);
  const services = adminServicesOf(rule);
  const isAll = coversAllPorts(rule);
  const message = `${describeService(rule)} open to ${peers}${more}`;
  const hint =
    isAll || services.length !== 1
      ? 'open the ports that the internet needs and no others'
      : 'name who administers it: a block as 203.0.113.0/24, a prefix list or a group';
  const code = isAll ? 'open-to-internet' : 'open-admin-port';
  return problemAt(rule.origin, 'warning', code, message, hint);
}

/** Describes the service: `tcp 22 (SSH) is`, `every tcp port is`. Undefined if it may be open to everybody. */
function describeService(rule: Rule): string | undefined {
  if (rule.protocol === PROTOCOL_ALL) return 'every port of every protocol is';
  if (coversAllPorts(rule)) return `every ${protocolName(rule.protocol)} port is`;
  const services = adminServicesOf(rule);
  if (services.length === 0) return undefined;
  const text = serviceText(rule);
  if (rule.fromPort === rule.toPort) return `${text} (${services[0].name}) is`;
  const names = services.map(({ port, name }) => `${port} (${name})`);
  return `${text}, and with it ${listTexts(names)}, is`;
}

function coversAllPorts({ protocol, fromPort, toPort }: Rule): boolean {
  if (protocol === PROTOCOL_ALL) return true;
  // Nothing listens on port 0, so a range from 1 counts as all ports.
  return hasPorts(protocol) && fromPort <= 1 && toPort === PORT_MAX;
}

function adminServicesOf({ protocol, fromPort, toPort }: Rule): readonly Service[] {
  return ADMIN_SERVICES.filter(
    ({ port, protocols }) => protocols.includes(protocol) && fromPort <= port && port <= toPort,
  );
}

function blocksOf(model: PolicyModel, { peer }: Rule): readonly Cidr[] {
  switch (peer.kind) {
    case 'cidr':
      return [peer.cidr];
    case 'prefixList':
      return model.prefixLists.get(peer.prefixListId)?.entries.map(({ cidr }) => cidr) ?? [];
    case 'group':
    case 'dns':
      return [];
    default:
      return peer satisfies never;
  }
}

function isInternet(blocks: readonly Cidr[], budget: Budget): boolean {
  return INTERNET.some((whole) => fills(whole, blocks, budget));
}

/** Checks whether the blocks together cover all of `part`. */
function fills(part: Cidr, blocks: readonly Cidr[], budget: Budget, halvings = 0): boolean {
  budget.steps -= blocks.length;
  if (budget.steps <= 0) return false;
  if (blocks.some((block) => cidrCovers(block, part))) return true;
  const inside = blocks.filter((block) => cidrCovers(part, block));
  if (inside.length < 2 || halvings === HALVINGS_MAX) return false;
  return halve(part).every((half) => fills(half, inside, budget, halvings + 1));
}

function halve({ family, words, length }: Cidr): readonly [Cidr, Cidr] {
  const upper = words.map((word, i) =>
    i === length >> 5 ? word | (1 << (31 - (length & 31))) : word,
  );
  return [
    { family, words, length: length + 1 },
    { family, words: upper, length: length + 1 },
  ];
}
