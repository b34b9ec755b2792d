/** Makes of a service and an address what the rules of a gate see of a packet. */
import type { Address } from '../addr/address.ts';
import type { Probe } from '../policy/reference.ts';
import type { Service } from './explanation.ts';

export function probeOf(service: Service, remote: Address): Probe {
  const { protocol } = service;
  return {
    protocol,
    port: service.kind === 'ports' ? service.port : 0,
    icmpType: service.kind === 'icmp' ? service.type : 0,
    icmpCode: service.kind === 'icmp' ? service.code : 0,
    remote,
  };
}
