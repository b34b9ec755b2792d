/** This file says what is audited and not enforced (policy/audit.ts), and what has passed by that. */
import { AUDITED_BYTES, AUDITED_PACKETS, counterRow, EGRESS, INGRESS } from '../engine/counters.ts';
import { groupAudit, namedAudits } from '../policy/audit.ts';
import type { NetworkInterface, PolicyModel } from '../policy/model.ts';
import { groupLabel } from '../policy/vpcs.ts';
import type { Observatory } from '../telemetry/observatory.ts';

/** What passed by audit alone. All packets of such flows count, both ways. */
export interface AuditedTraffic {
  readonly packets: number;
  readonly bytes: number;
}

export interface AuditStatus extends AuditedTraffic {
  /** Interfaces, and groups, in audit mode. */
  readonly interfaces: readonly string[];
  readonly groups: readonly string[];
  /** Rules that only audit, without those of groups and interfaces in audit mode. */
  readonly rules: number;
}

/** What is not enforced; nothing: everything is. */
export function readAudit(observatory: Observatory): { readonly audit?: AuditStatus } {
  const { groups, interfaces } = observatory.config.model;
  const audited = [...groups.values()].filter((group) => group.audited !== undefined);
  const own = [...interfaces.values()].filter(({ audit }) => audit === true);
  if (audited.length + own.length === 0) return {};
  const counters = observatory.dataplane.readCounters();
  let [packets, bytes] = [0, 0];
  for (const port of observatory.portNames().keys()) {
    const traffic = readAuditedTraffic(counters, port);
    packets += traffic.packets;
    bytes += traffic.bytes;
  }
  return {
    audit: {
      interfaces: own.map(({ name }) => name),
      groups: audited.filter((group) => groupAudit(group).length > 0).map(groupLabel),
      rules: audited.flatMap(namedAudits).length,
      packets,
      bytes,
    },
  };
}

/** What has passed at a port by audit alone, by the direction of the rules that would have refused it. */
export function readAuditedTraffic(counters: Float64Array, port: number): AuditedTraffic {
  const [ingress, egress] = [counterRow(port, INGRESS), counterRow(port, EGRESS)];
  return {
    packets: counters[ingress + AUDITED_PACKETS] + counters[egress + AUDITED_PACKETS],
    bytes: counters[ingress + AUDITED_BYTES] + counters[egress + AUDITED_BYTES],
  };
}

/** Why something is audited at an interface, each as a name: `the interface`, `sg:web`, `2 rules of sg:web`. */
export function auditors({ groups }: PolicyModel, own: NetworkInterface): readonly string[] {
  const found = own.audit === true ? ['the interface'] : [];
  for (const id of own.groupIds) {
    const group = groups.get(id)!;
    if (groupAudit(group).length > 0) found.push(`sg:${groupLabel(group)}`);
    if (namedAudits(group).length > 0) found.push(`rules of sg:${groupLabel(group)}`);
  }
  return found;
}
