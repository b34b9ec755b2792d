/** This file has the schema of audit: what would be dropped passes, and is counted (policy/audit.ts). */

function audit(description: string): object {
  return { type: 'boolean', default: false, title: 'Audit', description };
}

export const RULE_AUDIT = audit(
  'The rule only audits: what it alone admits passes, and counts as what would be dropped. So the removal of a rule is tried.',
);

export const GROUP_AUDIT = audit(
  'Of the interfaces with this group, let pass what no rule admits, both ways, and count it as what would be dropped. Only the refusal by rules is passed over.',
);

export const INTERFACE_AUDIT = audit(
  'Let pass what no rule of its groups admits, both ways, and count it as what would be dropped. Only the refusal by rules is passed over.',
);
