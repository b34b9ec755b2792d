/** Explains what the subnets of both ends ask beside groups: network ACLs and routes (policy/subnets.ts). */
import { blockIncludes } from '../policy/doubt.ts';
import { intersect, servicesOf, subtract, type ServiceSet } from '../policy/service-set.ts';
import { passagesBetween, type SubnetEnd } from '../policy/subnets.ts';
import type { Path, Side } from './explain-path.ts';
import type { Service, SubnetAnswer } from './explanation.ts';

/** The answers in the order in which a packet meets them; empty if the input says nothing of subnets. */
export function askSubnets({ from, to }: Path, service: Service): readonly SubnetAnswer[] {
  const asked = setOf(service);
  const { family } = from.address;
  const port = service.kind === 'ports' ? service.sourcePort : undefined;
  const answers = port === undefined ? undefined : ([port, port] as const);
  return passagesBetween(endOf(from), endOf(to), family, answers).map(
    ({ what: check, sure, maybe, name }): SubnetAnswer => {
      if (subtract(asked, sure).length === 0)
        return { check, verdict: 'allowed', why: `${name}, lets it pass` };
      if (intersect(asked, maybe).length === 0)
        return { check, verdict: 'refused', why: `refused by ${name}` };
      return { check, verdict: 'undecidable', why: `it may be refused by ${name}` };
    },
  );
}

function endOf({ address, network }: Side): SubnetEnd {
  return { own: network, isIn: (block) => blockIncludes(block, address, network) };
}

function setOf(service: Service): ServiceSet {
  const { protocol } = service;
  switch (service.kind) {
    case 'ports':
      return servicesOf({ protocol, fromPort: service.port, toPort: service.port });
    case 'icmp':
      return servicesOf({ protocol, fromPort: service.type, toPort: service.code });
    case 'protocol':
      return servicesOf({ protocol, fromPort: -1, toPort: -1 });
    default:
      return service satisfies never;
  }
}
