/** Makes of a service and an address what the rules of a gate see of a packet. */
import { sameAddress, type Address } from '../addr/address.ts';
import type { Probe } from '../policy/reference.ts';
import type { LearntName, Service } from './explanation.ts';

/** @param learnt what the interface has learnt of the names of its rules; undefined: nobody can tell */
export function probeOf(service: Service, remote: Address, learnt?: readonly LearntName[]): Probe {
  const { protocol } = service;
  return {
    protocol,
    port: service.kind === 'ports' ? service.port : 0,
    icmpType: service.kind === 'icmp' ? service.type : 0,
    icmpCode: service.kind === 'icmp' ? service.code : 0,
    remote,
    ...(learnt === undefined ? {} : { names: namesOf(remote, learnt) }),
  };
}

function namesOf(remote: Address, learnt: readonly LearntName[]): readonly string[] {
  return learnt.flatMap(({ name, address }) => (sameAddress(address, remote) ? [name] : []));
}
