/** This file warns of what only audits: the configuration is not enforced there (policy/audit.ts). */
import { groupAudit, namedAudits } from '../policy/audit.ts';
import type { NetworkInterface, SecurityGroup } from '../policy/model.ts';
import { groupLabel } from '../policy/vpcs.ts';
import { count } from '../source/count.ts';
import { placeOf, report, type Reader } from './config-reader.ts';

const HINT = 'sgctl drops --audit shows what; remove audit to enforce the rules';

export function warnOfGroupAudit(reader: Reader, groups: readonly SecurityGroup[]): void {
  for (const group of groups) {
    const label = groupLabel(group);
    const named = namedAudits(group);
    if (named.length > 0) {
      const verb = named.length === 1 ? 'audits' : 'audit';
      const message = `${count(named.length, 'rule')} of '${label}' only ${verb}: what would be dropped passes`;
      report(reader, 'warning', placeOf(named[0].origin), 'audit-on', message, HINT);
    }
    if (groupAudit(group).length === 0) continue;
    const message = `the security group '${label}' is in audit mode: what no rule admits passes`;
    report(reader, 'warning', placeOf(group.origin), 'audit-on', message, HINT);
  }
}

export function warnOfInterfaceAudit(
  reader: Reader,
  { name, audit, origin }: NetworkInterface,
): void {
  if (audit !== true) return;
  const message = `the interface '${name}' is in audit mode: what no rule admits passes`;
  report(reader, 'warning', placeOf(origin), 'audit-on', message, HINT);
}
