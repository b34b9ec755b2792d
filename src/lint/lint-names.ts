/**
 * These rules find egress rules with DNS names that surely do not do what they are for: no resolver may be asked, so no
 * address is ever learnt; or anybody may be, so whoever answers decides which addresses the name has.
 */
import type { PolicyModel, Rule } from '../policy/model.ts';
import { PROTOCOL_ALL } from '../policy/model.ts';
import { problemAt } from '../policy/problem-at.ts';
import { PROTOCOL_UDP } from '../policy/protocols.ts';
import { peerText } from '../policy/rules.ts';
import type { SpecialAddresses } from '../policy/special-addresses.ts';
import type { Problem } from '../source/problem.ts';
import { isAnywhere } from '../policy/peer-numbers.ts';
import { placeKey } from './lint-finding.ts';

const DNS_PORT = 53;

/** @param exempt services of the platform, which no rule need admit */
export function findUnlearnt(
  model: PolicyModel,
  { exempt }: Pick<SpecialAddresses, 'exempt'>,
): Problem[] {
  const hasPlatformDns = exempt.some(
    ({ protocol, port }) => protocol === PROTOCOL_UDP && port === DNS_PORT,
  );
  const problems = new Map<string, Problem>();
  for (const { name, groupIds } of model.interfaces.values()) {
    const rules = groupIds.flatMap((id) => model.groups.get(id)?.egress ?? []);
    const named = rules.find(({ peer }) => peer.kind === 'dns');
    if (named === undefined) continue;
    const resolvers = rules.filter(admitsDns);
    const what = peerText(named.peer, model);
    if (resolvers.length === 0 && !hasPlatformDns) {
      const message = `no rule lets the interface '${name}' ask a resolver by UDP, so it learns no address of ${what}`;
      const hint = 'admit udp 53 to its resolver, or name dns among platformServices';
      problems.set(
        `${placeKey(named.origin)} no`,
        problemAt(named.origin, 'warning', 'dns-name-without-resolver', message, hint),
      );
    }
    const wide = resolvers.find(({ peer }) => isAnywhere(peer) !== undefined);
    if (wide === undefined) continue;
    const message = `'${name}' may ask any server for ${what}: whoever it asks chooses the addresses that the rule admits`;
    const hint = 'admit udp 53 to the resolvers that you trust, and to nobody else';
    problems.set(
      `${placeKey(wide.origin)} any`,
      problemAt(wide.origin, 'warning', 'dns-name-any-resolver', message, hint),
    );
  }
  return [...problems.values()];
}

function admitsDns({ protocol, fromPort, toPort, peer }: Rule): boolean {
  if (peer.kind === 'dns') return false;
  if (protocol === PROTOCOL_ALL) return true;
  return protocol === PROTOCOL_UDP && fromPort <= DNS_PORT && DNS_PORT <= toPort;
}
